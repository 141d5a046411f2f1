// SPDX-License-Identifier: MIT
// Exact transport by the network simplex: points in the plane and random dense costs, equal and
// general weights, dense and lazy. Counters: the cost (compare bench/peers/ot_exact.py, which makes
// the same problems), the certified gap relative to it, and the pivots.
#include <Eigen/Core>

#include <benchmark/benchmark.h>
#include <cstdint>

#include <monge/ot/exact.hpp>

namespace {

using monge::Index;
using monge::MatrixX;
using monge::VectorX;

// The stream that bench/peers/ot_exact.py makes as well.
MatrixX<double> uniform(Index rows, Index columns, std::uint64_t state) {
  MatrixX<double> matrix(rows, columns);
  for (Index k = 0; k < matrix.size(); ++k) {
    state = state * 48271 % 2147483647;
    matrix(k) = double(state) / 2147483647;
  }
  return matrix;
}

enum Family { plane, random_costs };
enum Weights { equal, general };

VectorX<double> weights(Weights kind, Index n, std::uint64_t seed) {
  VectorX<double> w = VectorX<double>::Ones(n);
  if (kind == general) w = uniform(n, 1, seed).array() + 0.01;
  return w / w.sum();
}

template <class C>
void run(benchmark::State& state, C const& cost, Weights kind) {
  VectorX<double> const a = weights(kind, cost.rows(), 4), b = weights(kind, cost.cols(), 5);
  monge::ot::ExactResult<double> r;
  for (auto _ : state) {
    r = monge::ot::exact(cost, a, b);
    benchmark::DoNotOptimize(r.transport_cost);
  }
  state.counters["cost"] = r.transport_cost;
  state.counters["relative_gap"] = r.duality_gap / r.transport_cost;
  state.counters["pivots"] = double(r.iterations);
  state.counters["converged"] = r.converged();
}

void dense(benchmark::State& state, Family family, Weights kind) {
  Index const n = state.range(0);
  run(state,
      family == plane ? monge::ot::cost_matrix(uniform(2, n, 1), uniform(2, n, 2),
                                               monge::ot::squared_euclidean{})
                      : uniform(n, n, 3),
      kind);
}

/// The simplex where `exact` might solve an assignment.
void simplex(benchmark::State& state, Family family, Weights kind) {
  Index const n = state.range(0);
  monge::ot::DenseCost<double> const cost(
      family == plane ? monge::ot::cost_matrix(uniform(2, n, 1), uniform(2, n, 2),
                                               monge::ot::squared_euclidean{})
                      : uniform(n, n, 3));
  run(state, cost, kind);
}

void lazy(benchmark::State& state, Weights kind) {
  Index const n = state.range(0);
  run(state,
      monge::ot::point_cloud(uniform(2, n, 1), uniform(2, n, 2), monge::ot::squared_euclidean{}),
      kind);
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (Index n : {1000, 2000, 5000}) benchmark->Arg(n);
  benchmark->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(dense, plane_equal, plane, equal)->Apply(sizes);
BENCHMARK_CAPTURE(simplex, plane_equal, plane, equal)->Apply(sizes);
BENCHMARK_CAPTURE(dense, plane_general, plane, general)->Apply(sizes);
BENCHMARK_CAPTURE(lazy, plane_general, general)->Apply(sizes);
BENCHMARK_CAPTURE(dense, random_equal, random_costs, equal)->Apply(sizes);
BENCHMARK_CAPTURE(simplex, random_equal, random_costs, equal)->Apply(sizes);
BENCHMARK_CAPTURE(dense, random_general, random_costs, general)->Apply(sizes);

}  // namespace
