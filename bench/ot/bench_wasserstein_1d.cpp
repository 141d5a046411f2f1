// SPDX-License-Identifier: MIT
// Transport on the line between samples of two normal laws: the value alone, with equal and with
// general weights, and everything (plan, potentials, certificate). Counters: the cost (compare
// bench/peers/ot_wasserstein_1d.py, which makes the same samples) and the share of the time that
// sorting the two samples takes by itself.
#include <Eigen/Core>

#include <algorithm>
#include <benchmark/benchmark.h>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "support/streams.hpp"
#include <monge/ot/wasserstein_1d.hpp>

namespace {

using monge::Index;
using monge::VectorX;
using monge::ot::Answer1d;

using bench::uniform;

VectorX<double> normal(Index n, std::uint64_t seed) {
  VectorX<double> const u = uniform(2 * n, seed);
  VectorX<double> z(n);
  for (Index k = 0; k < n; ++k) {
    z(k) = std::sqrt(-2 * std::log(u(2 * k))) * std::cos(2 * std::numbers::pi * u(2 * k + 1));
  }
  return z;
}

template <class S>
struct Problem {
  VectorX<S> x, y, a, b;

  explicit Problem(Index n)
      : x(normal(n, 1).cast<S>()), y((normal(n, 2) * 1.5).array().cast<S>() + S(1)) {
    VectorX<double> const u = uniform(n, 3).array() + 0.1, v = uniform(n, 4).array() + 0.1;
    a = (u / u.sum()).cast<S>();
    b = (v / v.sum()).cast<S>();
    if (sizeof(S) == 4) b *= a.template cast<double>().sum() / b.template cast<double>().sum();
  }
};

/// Seconds of sorting both samples, the least of five.
template <class S>
double sorting(Problem<S> const& problem, bool with_order) {
  double least = monge::infinity;
  monge::detail::SortScratch<S> scratch;
  std::vector<std::int32_t> order(std::size_t(problem.x.size()));
  for (int repeat = 0; repeat < 5; ++repeat) {
    double seconds = 0;
    for (VectorX<S> points : {problem.x, problem.y}) {
      auto const start = std::chrono::steady_clock::now();
      if (with_order) {
        monge::detail::sort_with_order(points.data(), order.data(), points.size(), scratch);
      } else {
        monge::detail::sort(points.data(), points.size(), scratch);
      }
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    least = std::min(least, seconds);
  }
  return least;
}

template <class S, bool general, Answer1d answer>
void line(benchmark::State& state) {
  Problem<S> const problem(state.range(0));
  monge::ot::Wasserstein1dOptions const options{.p = double(state.range(1)), .answer = answer};
  monge::ot::Wasserstein1dResult<S> r;
  double least = monge::infinity;
  for (auto _ : state) {
    if constexpr (general) {
      r = monge::ot::wasserstein_1d(problem.x, problem.y, problem.a, problem.b, options);
    } else {
      r = monge::ot::wasserstein_1d(problem.x, problem.y, options);
    }
    benchmark::DoNotOptimize(r.power);
    least = std::min(least, r.seconds);
  }
  state.counters["cost"] = double(r.power);
  state.counters["sort_share"] = sorting(problem, general || answer != Answer1d::value) / least;
  state.counters["converged"] = r.converged();
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgsProduct({{10000, 100000, 1000000}, {1, 2}})->Unit(benchmark::kMillisecond);
}

BENCHMARK_TEMPLATE(line, double, false, Answer1d::value)->Apply(sizes);
BENCHMARK_TEMPLATE(line, double, true, Answer1d::value)->Apply(sizes);
BENCHMARK_TEMPLATE(line, double, false, Answer1d::everything)->Apply(sizes);
BENCHMARK_TEMPLATE(line, double, true, Answer1d::everything)->Apply(sizes);
BENCHMARK_TEMPLATE(line, float, false, Answer1d::value)->Apply(sizes);
BENCHMARK_TEMPLATE(line, float, true, Answer1d::value)->Apply(sizes);

}  // namespace
