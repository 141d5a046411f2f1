// SPDX-License-Identifier: MIT
// Exact transport along given arcs: random graphs of 10 and 100 arcs per row, equal and general
// weights. Counters: the cost (compare
// bench/peers/ot_exact_sparse.py, which makes the same random graphs), the certified gap relative
// to it, and the pivots.
#include <Eigen/SparseCore>

#include <benchmark/benchmark.h>
#include <vector>

#include "support/streams.hpp"
#include <monge/ot/exact_sparse.hpp>

namespace {

using monge::Index;
using monge::VectorX;
using Graph = Eigen::SparseMatrix<double>;

/// Row i may send to column i, which costs at most 1, and to `arcs` - 1 random others.
Graph random_graph(Index n, Index arcs) {
  bench::Lehmer stream(3);
  std::vector<Eigen::Triplet<double>> entries;
  for (int i = 0; i < n; ++i) {
    for (Index k = 0; k < arcs; ++k) {
      int const j = k == 0 ? i : int(stream.next() * double(n));
      entries.emplace_back(i, j, stream.next());
    }
  }
  Graph graph(n, n);
  graph.setFromTriplets(entries.begin(), entries.end(), [](double, double last) { return last; });
  return graph;
}

enum Weights { equal, general };

void random(benchmark::State& state, Index arcs, Weights kind) {
  Index const n = state.range(0);
  Graph const cost = random_graph(n, arcs);
  VectorX<double> a = VectorX<double>::Ones(n);
  if (kind == general) {
    bench::Lehmer stream(4);
    for (double& x : a) x = stream.next() + 0.01;
  }
  a /= a.sum();
  monge::ot::ExactResult<double> r;
  for (auto _ : state) {
    r = monge::ot::exact(cost, a, a);
    benchmark::DoNotOptimize(r.transport_cost);
  }
  state.counters["cost"] = r.transport_cost;
  state.counters["relative_gap"] = r.duality_gap / r.transport_cost;
  state.counters["pivots"] = double(r.iterations);
  state.counters["converged"] = r.converged();
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (Index n : {1000, 3000, 10000}) benchmark->Arg(n);
  benchmark->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(random, ten_equal, 10, equal)->Apply(sizes);
BENCHMARK_CAPTURE(random, ten_general, 10, general)->Apply(sizes);
BENCHMARK_CAPTURE(random, hundred_equal, 100, equal)->Apply(sizes);
BENCHMARK_CAPTURE(random, hundred_general, 100, general)->Apply(sizes);

}  // namespace
