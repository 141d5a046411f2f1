// SPDX-License-Identifier: MIT
// Bijections by bisection between points in the plane, the unit square against itself (the hardest
// case), against a square that is warped towards the origin, and against a ring; and in d = 3.
// Counters: the mean cost (compare bench/peers/ot_bisection_matching.py, which makes the same
// points) and, up to n = 4000, by how much it exceeds the optimum.
#include <Eigen/Core>

#include <benchmark/benchmark.h>
#include <cmath>
#include <numbers>

#include "support/streams.hpp"
#include <monge/ot/assignment.hpp>
#include <monge/ot/bisection_matching.hpp>

namespace {

using monge::Index;
using monge::MatrixX;

constexpr auto uniform = bench::splitmix;

enum Family { same, warped, ring, space };

MatrixX<double> targets(Family family, Index n) {
  MatrixX<double> Y = uniform(family == space ? 3 : 2, n, 2);
  if (family == warped || family == space) Y = Y.array().square();
  if (family == ring) {
    for (Index j = 0; j < n; ++j) {
      double const angle = 2 * std::numbers::pi * Y(0, j), radius = 0.8 + 0.2 * Y(1, j);
      Y.col(j) << 0.5 + radius * std::cos(angle), 0.5 + radius * std::sin(angle);
    }
  }
  return Y;
}

void bisection(benchmark::State& state, Family family, bool certify) {
  Index const n = state.range(0);
  MatrixX<double> const X = uniform(family == space ? 3 : 2, n, 1), Y = targets(family, n);
  monge::ot::BisectionMatchingOptions const options{.trees = int(state.range(1)),
                                                    .certify = certify};
  monge::ot::BisectionMatching<double> r;
  for (auto _ : state) {
    r = monge::ot::bisection_matching(X, Y, monge::ot::squared_euclidean{}, options);
    benchmark::DoNotOptimize(r.cost);
  }
  state.counters["mean_cost"] = r.cost / double(n);
  if (certify) state.counters["relative_gap"] = r.duality_gap / r.cost;
  if (n <= 4000) {
    double const optimum =
        monge::ot::assignment(monge::ot::cost_matrix(X, Y, monge::ot::squared_euclidean{})).cost;
    state.counters["relative_error"] = r.cost / optimum - 1;
  }
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgsProduct({{1000, 4000, 10000, 100000}, {16, 64}});
  benchmark->Unit(benchmark::kMillisecond);
}
void few(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgsProduct({{1000, 4000}, {32}})->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(bisection, same, same, false)->Apply(sizes);
BENCHMARK_CAPTURE(bisection, warped, warped, false)->Apply(sizes);
BENCHMARK_CAPTURE(bisection, ring, ring, false)->Apply(sizes);
BENCHMARK_CAPTURE(bisection, space, space, false)->Apply(sizes);
BENCHMARK_CAPTURE(bisection, same_certified, same, true)->Apply(few);
BENCHMARK_CAPTURE(bisection, warped_certified, warped, true)->Apply(few);
BENCHMARK_CAPTURE(bisection, ring_certified, ring, true)->Apply(few);

}  // namespace
