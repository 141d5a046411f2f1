// SPDX-License-Identifier: MIT
// Many small exact problems: 1000 cost matrices of 100 x 100 (points in the plane and random costs,
// equal and general weights) on one thread and on two. Counters: the sum of the costs (compare
// bench/peers/ot_exact_batch.py, which makes the same problems), and whether all converged.
#include <Eigen/Core>

#include <benchmark/benchmark.h>
#include <vector>

#include "support/streams.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/exact_batch.hpp>

namespace {

using monge::Index;
using monge::MatrixX;
using monge::VectorX;

constexpr Index n = 100, problems = 1000;

struct Problems {
  std::vector<MatrixX<double>> costs;
  std::vector<VectorX<double>> a, b;

  Problems(bool plane, bool general) {
    bench::Lehmer stream(1);
    for (Index k = 0; k < problems; ++k) {
      if (plane) {
        MatrixX<double> const X = stream.matrix(2, n), Y = stream.matrix(2, n);
        costs.push_back(monge::ot::cost_matrix(X, Y, monge::ot::squared_euclidean{}));
      } else {
        costs.push_back(stream.matrix(n, n));
      }
      for (auto* side : {&a, &b}) {
        VectorX<double> w = VectorX<double>::Ones(n);
        if (general) w = stream.matrix(n, 1).array() + 0.01;
        side->push_back(w / w.sum());
      }
    }
  }
};

void batch(benchmark::State& state, bool plane, bool general) {
  Problems const p(plane, general);
  monge::ot::ExactBatchOptions options;
  if (state.range(0) > 1) options.parallel = monge::parallel::threads(int(state.range(0)));
  double sum = 0;
  bool converged = true;
  for (auto _ : state) {
    auto const results = monge::ot::exact_batch(p.costs, p.a, p.b, options);
    sum = 0;
    for (auto const& r : results) {
      sum += r.transport_cost;
      converged = converged && r.converged();
    }
  }
  state.counters["cost"] = sum;
  state.counters["converged"] = converged;
}

/// The same problems as pairs of clouds: the cost matrices are made on the way.
void pairwise(benchmark::State& state) {
  bench::Lehmer stream(1);
  std::vector<MatrixX<double>> X, Y;
  for (Index k = 0; k < 32; ++k) {
    X.push_back(stream.matrix(2, n));
    Y.push_back(stream.matrix(2, n));
  }
  monge::ot::ExactBatchOptions options;
  if (state.range(0) > 1) options.parallel = monge::parallel::threads(int(state.range(0)));
  for (auto _ : state) {
    auto const r = monge::ot::exact_pairwise(X, {}, Y, {}, monge::ot::euclidean{}, options);
    benchmark::DoNotOptimize(r.cost.sum());
  }
}

void threads(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();
}

BENCHMARK_CAPTURE(batch, plane_equal, true, false)->Apply(threads);
BENCHMARK_CAPTURE(batch, plane_general, true, true)->Apply(threads);
BENCHMARK_CAPTURE(batch, random_equal, false, false)->Apply(threads);
BENCHMARK_CAPTURE(batch, random_general, false, true)->Apply(threads);
BENCHMARK(pairwise)->Apply(threads);

}  // namespace
