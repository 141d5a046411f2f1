// SPDX-License-Identifier: MIT
// Sinkhorn on points in the plane, squared Euclidean cost over its maximum: the time of an
// iteration and the time to the default tolerance, dense and lazy, in double and float. The same
// points are made by bench/peers/ot_sinkhorn.py.
#include <benchmark/benchmark.h>
#include <cmath>
#include <optional>

#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_newton.hpp>

namespace {

using namespace monge;

/// Kronecker points in the unit square; `warp` pushes them towards the origin.
MatrixX<double> points(Index n, double offset, bool warp) {
  MatrixX<double> X(2, n);
  double const step[2] = {0.7548776662466927, 0.5698402909980532};  // powers of the plastic number
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < 2; ++i) {
      double const x = std::fmod(offset + double(j + 1) * step[i], 1.0);
      X(i, j) = warp ? x * x : x;
    }
  }
  return X;
}

template <class S>
struct Problem {
  MatrixX<S> X, Y, C;
  VectorX<S> w;

  explicit Problem(Index n)
      : X(points(n, 0.5, false).cast<S>()),
        Y(points(n, 0.25, true).cast<S>()),
        C(ot::cost_matrix(X, Y, ot::squared_euclidean{})),
        w(VectorX<S>::Constant(n, S(1) / S(n))) {
    S const largest = C.maxCoeff();
    C /= largest;
    X /= std::sqrt(largest);
    Y /= std::sqrt(largest);
  }
};

template <class S>
void report(benchmark::State& state, ot::SinkhornResult<S> const& r, Index n) {
  state.counters["marginal_error"] = r.marginal_error;
  state.counters["iterations"] = double(r.iterations);
  state.counters["transport_cost"] = double(r.transport_cost);
  state.counters["ns_per_entry"] = benchmark::Counter(
      double(r.iterations) * double(n) * double(n) * 1e-9,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

/// One iteration, from the State that a hundred iterations reached.
template <class S, class Make>
void iteration(benchmark::State& state, Make make, double tolerance = 0,
               ot::KernelPrecision precision = ot::KernelPrecision::full,
               std::optional<double> kernel_bytes = {}) {
  Index const n = state.range(0);
  Problem<S> const p(n);
  ot::SinkhornOptions const options{.epsilon = 1e-2,
                                    .tolerance = tolerance,
                                    .kernel_bytes = kernel_bytes,
                                    .kernel_precision = precision};
  ot::Sinkhorn const method(make(p), p.w, p.w, options);
  auto run = method.init();
  static_cast<void>(method.advance(run, 100));
  for (auto _ : state) {
    static_cast<void>(method.advance(run, 1));
  }
  state.counters["marginal_error"] = method.error(run);
  state.counters["ns_per_entry"] = benchmark::Counter(
      double(n) * double(n) * 1e-9,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

template <class S>
void dense_iteration(benchmark::State& state) {
  iteration<S>(state, [](Problem<S> const& p) { return ot::DenseCost<S>(p.C); });
}

/// No kernel is stored: an exponential per entry.
template <class S>
void log_iteration(benchmark::State& state) {
  iteration<S>(
      state, [](Problem<S> const& p) { return ot::DenseCost<S>(p.C); }, 0,
      ot::KernelPrecision::full, 0.0);
}

/// Without the acceleration: the iteration that finds the tolerance met, which is done again and
/// again. range(1): 0 for a kernel in double, 1 for one in float.
void settled_iteration(benchmark::State& state) {
  iteration<double>(
      state, [](Problem<double> const& p) { return ot::DenseCost<double>(p.C); }, 1e-5,
      state.range(1) == 1 ? ot::KernelPrecision::single : ot::KernelPrecision::full);
}

/// What a sum over a buffer of n x n doubles takes: the bandwidth that an iteration is held to.
void plain_sum(benchmark::State& state) {
  Index const n = state.range(0);
  VectorX<double> const buffer = VectorX<double>::Constant(n * n, 0.5);
  using V = simd::pack_t<double>;
  constexpr Index lanes = simd::lanes<double>;
  for (auto _ : state) {
    V sums[8] = {};
    for (Index i = 0; i + 8 * lanes <= buffer.size(); i += 8 * lanes) {
      for (Index c = 0; c < 8; ++c) sums[c] += simd::load(&buffer(i + c * lanes));
    }
    for (int c = 1; c < 8; ++c) sums[0] += sums[c];
    benchmark::DoNotOptimize(simd::sum<double>(sums[0]));
  }
  state.counters["bytes_per_second"] =
      benchmark::Counter(8.0 * double(n * n), benchmark::Counter::kIsIterationInvariantRate);
}

template <class S>
void lazy_iteration(benchmark::State& state) {
  iteration<S>(state, [](Problem<S> const& p) {
    return ot::point_cloud(p.X, p.Y, ot::squared_euclidean{});
  });
}

/// To the marginal error 1e-9 at epsilon = range(1) / 1e6 of the largest cost.
void to_tolerance(benchmark::State& state) {
  Index const n = state.range(0);
  Problem<double> const p(n);
  ot::SinkhornResult<double> r;
  for (auto _ : state) {
    r = ot::sinkhorn(p.C, p.w, p.w, {.epsilon = double(state.range(1)) * 1e-6, .tolerance = 1e-9});
  }
  report(state, r, n);
}

/// To a marginal error of 1e-5, with the kernel in double and in float.
void to_rough_tolerance(benchmark::State& state) {
  Index const n = state.range(0);
  Problem<double> const p(n);
  ot::SinkhornOptions options{.epsilon = 1e-2, .tolerance = 1e-5};
  if (state.range(1) == 1) options.kernel_precision = ot::KernelPrecision::single;
  ot::SinkhornResult<double> r;
  for (auto _ : state) r = ot::sinkhorn(p.C, p.w, p.w, options);
  report(state, r, n);
}

/// The same by Newton steps.
void newton_to_tolerance(benchmark::State& state) {
  Index const n = state.range(0);
  Problem<double> const p(n);
  ot::SinkhornNewtonResult<double> r;
  for (auto _ : state) {
    r = ot::sinkhorn_newton(p.C, p.w, p.w,
                            {.epsilon = double(state.range(1)) * 1e-6, .tolerance = 1e-9});
  }
  report<double>(state, r, n);
}

}  // namespace

BENCHMARK(dense_iteration<double>)->Arg(1000)->Arg(2000)->Arg(4000)->Unit(benchmark::kMillisecond);
BENCHMARK(dense_iteration<float>)->Arg(1000)->Arg(2000)->Arg(4000)->Unit(benchmark::kMillisecond);
BENCHMARK(log_iteration<double>)->Arg(1000)->Arg(2000)->Arg(4000)->Unit(benchmark::kMillisecond);
BENCHMARK(log_iteration<float>)->Arg(1000)->Arg(2000)->Arg(4000)->Unit(benchmark::kMillisecond);
BENCHMARK(settled_iteration)
    ->ArgsProduct({{1000, 2000, 4000}, {0, 1}})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(plain_sum)->Arg(707)->Arg(1000)->Arg(1414)->Arg(2000)->Arg(2828)->Arg(4000)->Unit(
    benchmark::kMillisecond);
BENCHMARK(lazy_iteration<double>)->Arg(1000)->Arg(4000)->Unit(benchmark::kMillisecond);
BENCHMARK(lazy_iteration<float>)->Arg(1000)->Arg(4000)->Unit(benchmark::kMillisecond);
BENCHMARK(to_tolerance)
    ->Args({1000, 10'000})
    ->Args({1000, 1'000})
    ->Args({2000, 10'000})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(to_rough_tolerance)
    ->Args({1000, 0})
    ->Args({1000, 1})
    ->Args({4000, 0})
    ->Args({4000, 1})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(newton_to_tolerance)
    ->Args({1000, 10'000})
    ->Args({1000, 1'000})
    ->Args({1000, 100})
    ->Args({2000, 1'000})
    ->Unit(benchmark::kMillisecond);
