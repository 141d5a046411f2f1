// SPDX-License-Identifier: MIT
// Exact assignment on three families of square costs. Counters: the certified gap relative to the
// cost and the duals, and the number of augmentations.
#include <Eigen/Core>

#include <benchmark/benchmark.h>
#include <cmath>
#include <cstdint>
#include <random>

#include <monge/ot/assignment.hpp>

namespace {

using monge::Index;
using monge::MatrixX;

MatrixX<double> uniform(Index rows, Index columns, std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  MatrixX<double> matrix(rows, columns);
  for (Index j = 0; j < columns; ++j)
    for (Index i = 0; i < rows; ++i) matrix(i, j) = double(engine() >> 11) * 0x1p-53;
  return matrix;
}

enum Family { uniform_costs, integer_costs, plane_points };

MatrixX<double> cost(Family family, Index n) {
  if (family == plane_points) {
    MatrixX<double> const X = uniform(2, n, 1), Y = uniform(2, n, 2);
    MatrixX<double> C(n, n);
    for (Index j = 0; j < n; ++j) C.col(j) = (X.colwise() - Y.col(j)).colwise().squaredNorm();
    return C;
  }
  MatrixX<double> C = uniform(n, n, 3);
  if (family == integer_costs) C = (C.array() * 1000).floor().matrix();
  return C;
}

template <class S>
void assignment(benchmark::State& state, Family family) {
  MatrixX<S> const C = cost(family, state.range(0)).cast<S>();
  monge::ot::AssignmentResult<S> r;
  for (auto _ : state) {
    r = monge::ot::assignment(C);
    benchmark::DoNotOptimize(r.cost);
  }
  double const size = std::abs(double(r.cost)) + r.f.template cast<double>().cwiseAbs().sum() +
                      r.g.template cast<double>().cwiseAbs().sum();
  state.counters["relative_gap"] = double(r.duality_gap) / size;
  state.counters["augmentations"] = double(r.iterations);
  state.counters["converged"] = r.converged();
}

void in_double(benchmark::State& state, Family family) { assignment<double>(state, family); }
void in_float(benchmark::State& state, Family family) { assignment<float>(state, family); }

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (Index n : {500, 1000, 2000}) benchmark->Arg(n);
  benchmark->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(in_double, uniform, uniform_costs)->Apply(sizes);
BENCHMARK_CAPTURE(in_double, integer, integer_costs)->Apply(sizes);
BENCHMARK_CAPTURE(in_double, plane, plane_points)->Apply(sizes);
BENCHMARK_CAPTURE(in_float, uniform, uniform_costs)->Apply(sizes);
BENCHMARK_CAPTURE(in_float, integer, integer_costs)->Apply(sizes);
BENCHMARK_CAPTURE(in_float, plane, plane_points)->Apply(sizes);

}  // namespace
