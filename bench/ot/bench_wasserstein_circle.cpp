// SPDX-License-Identifier: MIT
// Transport on the circle between samples of two laws: the value with equal weights and as many
// points on both sides, with different numbers of points and with general weights, everything, and
// the distance to the uniform law. Counters: the cost (compare
// bench/peers/ot_wasserstein_circle.py, which makes the same samples).
#include <Eigen/Core>

#include <benchmark/benchmark.h>

#include "support/streams.hpp"
#include <monge/ot/wasserstein_circle.hpp>

namespace {

using monge::Index;
using monge::VectorX;
using monge::ot::Answer1d;

using bench::uniform;

enum Kind { matched, unequal, general };

template <class S, Kind kind, Answer1d answer>
void circle(benchmark::State& state) {
  Index const n = state.range(0), m = kind == unequal ? n * 9 / 10 : n;
  VectorX<S> const x = uniform(n, 1).cast<S>(), y = uniform(m, 2).array().square().cast<S>();
  monge::ot::WassersteinCircleOptions const options{.p = double(state.range(1)), .answer = answer};
  VectorX<double> u = uniform(n, 3).array() + 0.1, v = uniform(m, 4).array() + 0.1;
  VectorX<S> const a = (u / u.sum()).cast<S>(), b = (v / v.sum()).cast<S>();
  monge::ot::WassersteinCircleResult<S> r;
  for (auto _ : state) {
    if constexpr (kind == general) {
      r = monge::ot::wasserstein_circle(x, y, a, b, options);
    } else {
      r = monge::ot::wasserstein_circle(x, y, options);
    }
    benchmark::DoNotOptimize(r.power);
  }
  state.counters["cost"] = double(r.power);
  state.counters["converged"] = r.converged();
}

void to_uniform(benchmark::State& state) {
  VectorX<double> const x = uniform(state.range(0), 2).array().square();
  double power = 0;
  for (auto _ : state) {
    power = monge::ot::wasserstein_circle_to_uniform(x).power;
    benchmark::DoNotOptimize(power);
  }
  state.counters["cost"] = power;
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgsProduct({{1000, 10000, 100000}, {1, 2}})->Unit(benchmark::kMillisecond);
}

BENCHMARK_TEMPLATE(circle, double, matched, Answer1d::value)->Apply(sizes);
BENCHMARK_TEMPLATE(circle, double, unequal, Answer1d::value)->Apply(sizes);
BENCHMARK_TEMPLATE(circle, double, general, Answer1d::value)->Apply(sizes);
BENCHMARK_TEMPLATE(circle, double, general, Answer1d::everything)->Apply(sizes);
BENCHMARK_TEMPLATE(circle, float, matched, Answer1d::value)->Apply(sizes);
BENCHMARK(to_uniform)->Arg(1000)->Arg(10000)->Arg(100000)->Unit(benchmark::kMillisecond);

}  // namespace
