// SPDX-License-Identifier: MIT
// Sliced distances on S^2 between stretched Gaussian clouds divided by their norms, 50 circles, one
// thread; beside bench/peers/ot_sliced_plan.py. Counter: the value.
#include <Eigen/Core>

#include <benchmark/benchmark.h>

#include <monge/core/random.hpp>
#include <monge/ot/spherical_sliced_wasserstein.hpp>

namespace {

using Eigen::MatrixXd;
using monge::Index;
using monge::Philox;
namespace ot = monge::ot;

MatrixXd cloud(Index n, std::uint64_t seed, double stretch) {
  MatrixXd X(3, n);
  monge::random::fill_normal(X, {seed, 0});
  X.row(0) *= stretch;
  return X.colwise().normalized();
}

void circles(benchmark::State& state) {
  MatrixXd const X = cloud(state.range(0), 1, 1), Y = cloud(state.range(0), 2, 2);
  double value = 0;
  for (auto _ : state) {
    value = ot::spherical_sliced_wasserstein(X, Y, {.p = double(state.range(1))}, Philox(1)).value;
  }
  state.counters["value"] = value;
}
void circles_with_gradients(benchmark::State& state) {
  MatrixXd const X = cloud(state.range(0), 1, 1), Y = cloud(state.range(0), 2, 2);
  double value = 0;
  for (auto _ : state) {
    value = ot::spherical_sliced_wasserstein(X, Y, {.p = double(state.range(1)), .gradients = true},
                                             Philox(1))
                .value;
  }
  state.counters["value"] = value;
}
void to_uniform(benchmark::State& state) {
  MatrixXd const X = cloud(state.range(0), 1, 1);
  double value = 0;
  for (auto _ : state) {
    value = ot::spherical_sliced_wasserstein_to_uniform(X, {}, Philox(1)).value;
  }
  state.counters["value"] = value;
}
void linear(benchmark::State& state) {
  MatrixXd const X = cloud(state.range(0), 1, 1), Y = cloud(state.range(0), 2, 2);
  double value = 0;
  for (auto _ : state) {
    value = ot::linear_spherical_sliced_wasserstein(X, Y, {}, Philox(1)).value;
  }
  state.counters["value"] = value;
}

BENCHMARK(circles)->ArgsProduct({{1000, 10000}, {1, 2}})->Unit(benchmark::kMillisecond);
BENCHMARK(circles_with_gradients)
    ->ArgsProduct({{1000, 10000}, {1, 2}})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(to_uniform)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);
BENCHMARK(linear)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);

}  // namespace
