// SPDX-License-Identifier: MIT
// Plans from directions and the max-sliced distance on Gaussian clouds in R^3, one thread; beside
// bench/peers/ot_sliced_plan.py. Counters: the bracket of the exact W_2^2 and, for n = 1000, the
// exact value.
#include <Eigen/Core>

#include <benchmark/benchmark.h>

#include <monge/core/random.hpp>
#include <monge/ot/exact.hpp>
#include <monge/ot/max_sliced_wasserstein.hpp>
#include <monge/ot/sliced_plan.hpp>

namespace {

using Eigen::MatrixXd;
using monge::Index;
using monge::Philox;
namespace ot = monge::ot;

struct Clouds {
  MatrixXd X, Y;
  explicit Clouds(Index n) : X(3, n), Y(3, n) {
    monge::random::fill_normal(X, {1, 0});
    monge::random::fill_normal(Y, {2, 0});
    Y.row(0) *= 2;
  }
};

void exact_value(benchmark::State& state, Clouds const& c) {
  if (c.X.cols() > 1000) return;
  Eigen::VectorXd const a = Eigen::VectorXd::Constant(c.X.cols(), 1 / double(c.X.cols()));
  state.counters["exact"] =
      double(ot::exact(ot::point_cloud(c.X, c.Y, ot::squared_euclidean{}), a, a).transport_cost);
}

void min_pivot(benchmark::State& state) {
  Clouds const c(state.range(0));
  ot::SlicedPlanResult<double> r;
  for (auto _ : state) r = ot::min_pivot_sliced(c.X, c.Y, {.projections = 50}, Philox(1));
  state.counters["lower"] = r.lower_power;
  state.counters["upper"] = r.power;
  exact_value(state, c);
}

void expected(benchmark::State& state) {
  Clouds const c(state.range(0));
  ot::SlicedPlanResult<double> r;
  for (auto _ : state) r = ot::expected_sliced(c.X, c.Y, {.projections = 50}, Philox(1));
  state.counters["cost"] = r.power;
}

void max_sliced(benchmark::State& state) {
  Clouds const c(state.range(0));
  ot::MaxSlicedResult<double> r;
  for (auto _ : state) r = ot::max_sliced_wasserstein(c.X, c.Y, {}, Philox(1));
  state.counters["value"] = r.value;
  state.counters["upper"] = std::sqrt(r.upper_power);
  state.counters["evaluations"] = double(r.evaluations);
}

BENCHMARK(min_pivot)->Arg(1000)->Arg(10000)->Arg(100000)->Unit(benchmark::kMillisecond);
BENCHMARK(expected)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);
BENCHMARK(max_sliced)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);

}  // namespace
