// SPDX-License-Identifier: MIT
// Exact assignment on nine families of square costs, the same as in bench/peers/ot_assignment.py
// (there transposed). Counters: the cost, the certified gap relative to the cost and the duals, and
// the number of augmentations after the start.
#include <Eigen/Core>

#include <algorithm>
#include <benchmark/benchmark.h>
#include <cmath>

#include "support/streams.hpp"
#include <monge/ot/assignment.hpp>

namespace {

using monge::Index;
using monge::MatrixX;

constexpr auto uniform = bench::splitmix;

enum Family {
  uniform_costs,
  integers_below_10,
  integers_below_1000,
  plane,          // squared distances of points in the unit square
  space,          // and in the unit cube
  clusters,       // points that crowd at the origin against points far from it
  product,        // i j: Machol and Wien
  near_constant,  // 1000 and a little noise
  low_rank,       // u v'
};

MatrixX<double> squared(MatrixX<double> const& X, MatrixX<double> const& Y) {
  MatrixX<double> C(X.cols(), Y.cols());
  for (Index j = 0; j < Y.cols(); ++j) C.col(j) = (X.colwise() - Y.col(j)).colwise().squaredNorm();
  return C;
}

MatrixX<double> cost(Family family, Index n) {
  switch (family) {
    case uniform_costs:
      return uniform(n, n, 3);
    case integers_below_10:
      return (uniform(n, n, 3).array() * 10).floor();
    case integers_below_1000:
      return (uniform(n, n, 3).array() * 1000).floor();
    case plane:
      return squared(uniform(2, n, 1), uniform(2, n, 2));
    case space:
      return squared(uniform(3, n, 1), uniform(3, n, 2));
    case clusters:
      return squared(uniform(2, n, 1).array().cube(), 0.5 + 0.5 * uniform(2, n, 2).array());
    case product: {
      monge::VectorX<double> const k = monge::VectorX<double>::LinSpaced(n, 1, double(n));
      return k * k.transpose();
    }
    case near_constant:
      return 1000 + 1e-3 * uniform(n, n, 3).array();
    case low_rank:
      return uniform(n, 1, 1) * uniform(n, 1, 2).transpose();
  }
  return {};
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
  state.counters["cost"] = double(r.cost);
  state.counters["relative_gap"] = double(r.duality_gap) / std::max(size, 1e-300);
  state.counters["augmentations"] = double(r.iterations);
  state.counters["converged"] = r.converged();
}

void in_double(benchmark::State& state, Family family) { assignment<double>(state, family); }
void in_float(benchmark::State& state, Family family) { assignment<float>(state, family); }

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (Index n : {500, 1000, 2000, 5000}) benchmark->Arg(n);
  benchmark->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(in_double, uniform, uniform_costs)->Apply(sizes);
BENCHMARK_CAPTURE(in_double, integer10, integers_below_10)->Apply(sizes);
BENCHMARK_CAPTURE(in_double, integer1000, integers_below_1000)->Apply(sizes);
BENCHMARK_CAPTURE(in_double, plane, plane)->Apply(sizes);
BENCHMARK_CAPTURE(in_double, space, space)->Apply(sizes);
BENCHMARK_CAPTURE(in_double, clusters, clusters)->Apply(sizes);
BENCHMARK_CAPTURE(in_double, product, product)->Apply(sizes);
BENCHMARK_CAPTURE(in_double, near_constant, near_constant)->Apply(sizes);
BENCHMARK_CAPTURE(in_double, low_rank, low_rank)->Apply(sizes);
BENCHMARK_CAPTURE(in_float, uniform, uniform_costs)->Apply(sizes);
BENCHMARK_CAPTURE(in_float, plane, plane)->Apply(sizes);
BENCHMARK_CAPTURE(in_float, integer1000, integers_below_1000)->Apply(sizes);

}  // namespace
