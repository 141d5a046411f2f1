// SPDX-License-Identifier: MIT
// Exact transport: points (in the plane, clustered there, in 3 and 50 dimensions) under the squared
// distance and random dense costs, equal and general weights, dense and lazy. Counters: the cost
// (bench/peers/ot_exact.py makes the same problems, runs peers on them and compares), the certified
// gap relative to it, and the pivots.
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

enum Family { plane, clustered, space, high, random_costs };

/// n points of a family, in columns; `side` is 1 or 2.
MatrixX<double> points(Family family, Index n, std::uint64_t side) {
  if (family != clustered) {
    return uniform(family == plane ? 2 : family == space ? 3 : 50, n, side);
  }
  MatrixX<double> const centres = uniform(2, 10, 6);
  MatrixX<double> X = MatrixX<double>::Constant(2, n, -0.075);
  for (std::uint64_t k : {1, 2, 3}) X += 0.05 * uniform(2, n, 10 * side + k);
  for (Index i = 0; i < n; ++i) X.col(i) += centres.col(i * Index(2 * side - 1) % 10);
  return X;
}

MatrixX<double> cost_of(Family family, Index n) {
  if (family == random_costs) return uniform(n, n, 3);
  return monge::ot::cost_matrix(points(family, n, 1), points(family, n, 2),
                                monge::ot::squared_euclidean{});
}

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
  run(state, cost_of(family, state.range(0)), kind);
}

/// The simplex where `exact` might solve an assignment.
void simplex(benchmark::State& state, Family family, Weights kind) {
  run(state, monge::ot::DenseCost<double>(cost_of(family, state.range(0))), kind);
}

void lazy(benchmark::State& state, Family family, Weights kind) {
  Index const n = state.range(0);
  run(state,
      monge::ot::point_cloud(points(family, n, 1), points(family, n, 2),
                             monge::ot::squared_euclidean{}),
      kind);
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (Index n : {1000, 2000, 5000, 10000}) benchmark->Arg(n);
  benchmark->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(dense, plane_equal, plane, equal)->Apply(sizes);
BENCHMARK_CAPTURE(simplex, plane_equal, plane, equal)->Apply(sizes);
BENCHMARK_CAPTURE(dense, plane_general, plane, general)->Apply(sizes);
BENCHMARK_CAPTURE(lazy, plane_general, plane, general)->Apply(sizes);
BENCHMARK_CAPTURE(dense, clustered_equal, clustered, equal)->Apply(sizes);
BENCHMARK_CAPTURE(dense, clustered_general, clustered, general)->Apply(sizes);
BENCHMARK_CAPTURE(dense, space_general, space, general)->Apply(sizes);
BENCHMARK_CAPTURE(dense, high_general, high, general)->Apply(sizes);
BENCHMARK_CAPTURE(dense, random_equal, random_costs, equal)->Apply(sizes);
BENCHMARK_CAPTURE(simplex, random_equal, random_costs, equal)->Apply(sizes);
BENCHMARK_CAPTURE(dense, random_general, random_costs, general)->Apply(sizes);

}  // namespace
