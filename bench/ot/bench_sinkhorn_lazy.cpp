// SPDX-License-Identifier: MIT
// Large point clouds in O((n + m) d) memory: plain passes, the multiscale solver and sparse costs.
// Every run also times exp on an array in the first-level cache, the bound of a pass that takes
// one exponential per pair. The same points are made by bench/peers/ot_sinkhorn_lazy.py.
#include <benchmark/benchmark.h>
#include <cmath>
#include <sys/resource.h>
#include <vector>

#include "support/neighbours.hpp"
#include <monge/core/exp.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_multiscale.hpp>
#include <monge/ot/sinkhorn_sparse.hpp>

namespace {

using namespace monge;

/// Kronecker points in the unit cube (square roots of primes), those of Y squared.
template <class S>
MatrixX<S> points(Index d, Index n, bool warp) {
  MatrixX<S> X(d, n);
  double prime = 1;
  auto const next_prime = [&] {
    for (bool found = false; !found;) {
      ++prime;
      found = true;
      for (double q = 2; q * q <= prime; ++q) found = found && std::fmod(prime, q) != 0;
    }
  };
  for (Index k = 0; k < d; ++k) {
    next_prime();
    for (Index i = 0; i < n; ++i) {
      double const x = std::fmod((warp ? 0.25 : 0.5) + double(i + 1) * std::sqrt(prime), 1.0);
      X(k, i) = S(warp ? x * x : x);
    }
  }
  return X;
}

template <class S>
auto cloud(Index d, Index n) {
  return ot::point_cloud(points<S>(d, n, false), points<S>(d, n, true), ot::squared_euclidean{});
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) / 1024;
}

template <class S>
void exp_bound(benchmark::State& state) {
  std::vector<S> x(512), y(512);
  for (int i = 0; i < 512; ++i) x[std::size_t(i)] = -S(i) / 40;
  for (auto _ : state) {
    monge::exp(x.data(), y.data(), 512);
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  state.counters["ns_per_pair"] = benchmark::Counter(
      512e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

/// One iteration in the log domain: range(0) points with range(1) coordinates.
template <class S>
void iteration(benchmark::State& state) {
  Index const n = state.range(0), d = state.range(1);
  auto const cost = cloud<S>(d, n);
  VectorX<S> const w = VectorX<S>::Constant(n, S(1) / S(n));
  double const before = peak_megabytes();
  ot::Sinkhorn method(
      cost, w, w,
      {.epsilon = 0.05 * double(d), .tolerance = 0.0, .annealing = 1, .kernel_bytes = 0.0});
  auto run = method.init();
  static_cast<void>(method.advance(run, 2));
  for (auto _ : state) static_cast<void>(method.advance(run, 1));
  state.counters["ns_per_pair"] = benchmark::Counter(
      double(n) * double(n) * 1e-9,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["MB_beyond_inputs"] = peak_megabytes() - before;
}

template <class R>
void report(benchmark::State& state, R const& r) {
  state.counters["converged"] = r.converged();
  state.counters["marginal_error"] = r.marginal_error;
  state.counters["iterations"] = double(r.iterations);
  state.counters["transport_cost"] = double(r.transport_cost);
}

/// To a marginal error of 10^-range(3) at epsilon = 10^-6 range(2) d (d is the largest cost).
template <class S>
void to_tolerance(benchmark::State& state) {
  Index const n = state.range(0), d = state.range(1);
  auto const cost = cloud<S>(d, n);
  VectorX<S> const w = VectorX<S>::Constant(n, S(1) / S(n));
  ot::SinkhornResult<S> r;
  for (auto _ : state) {
    r = ot::sinkhorn(cost, w, w,
                     {.epsilon = double(state.range(2)) * 1e-6 * double(d),
                      .tolerance = std::pow(10.0, -double(state.range(3)))});
  }
  report(state, r);
}

void multiscale(benchmark::State& state) {
  Index const n = state.range(0), d = state.range(1);
  auto const cost = cloud<double>(d, n);
  VectorX<double> const w = VectorX<double>::Constant(n, 1 / double(n));
  double const before = peak_megabytes();
  ot::SinkhornResult<double> r;
  for (auto _ : state) {
    r = ot::sinkhorn_multiscale(cost, w, w,
                                {.epsilon = double(state.range(2)) * 1e-6 * double(d),
                                 .tolerance = std::pow(10.0, -double(state.range(3)))});
  }
  report(state, r);
  state.counters["MB_beyond_inputs"] = peak_megabytes() - before;
}

template <class Result>
void report_entries(benchmark::State& state, bench::Neighbours const& p, Result const& r) {
  report(state, r);
  bench::count_entries(state, p, r.iterations);
}

void sparse(benchmark::State& state) {
  bench::Neighbours const p = bench::neighbours(state.range(0));
  ot::SinkhornResult<double> r;
  for (auto _ : state) r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 1.0, .tolerance = 1e-9});
  report_entries(state, p, r);
}

/// The same with 1.3 times the mass in b, and rho = 20 on both sides.
void sparse_unbalanced(benchmark::State& state) {
  bench::Neighbours p = bench::neighbours(state.range(0));
  p.b *= 1.3;
  ot::SinkhornUnbalancedResult<double> r;
  for (auto _ : state) {
    r = ot::sinkhorn_unbalanced(p.C, p.a, p.b,
                                {.epsilon = 1.0, .rho_a = 20, .rho_b = 20, .tolerance = 1e-9});
  }
  report_entries(state, p, r);
}

}  // namespace

BENCHMARK(exp_bound<double>);
BENCHMARK(exp_bound<float>);
BENCHMARK(iteration<double>)
    ->Args({20'000, 2})
    ->Args({20'000, 3})
    ->Args({20'000, 8})
    ->Args({20'000, 64})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(3);
BENCHMARK(iteration<float>)
    ->Args({20'000, 3})
    ->Args({20'000, 64})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(3);
BENCHMARK(iteration<double>)
    ->Name("iteration_large<double>")
    ->Args({100'000, 2})
    ->Args({100'000, 3})
    ->Args({100'000, 64})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1);
BENCHMARK(iteration<float>)
    ->Name("iteration_large<float>")
    ->Args({100'000, 3})
    ->Args({100'000, 64})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1);
BENCHMARK(to_tolerance<float>)
    ->Args({20'000, 3, 50'000, 3})
    ->Args({20'000, 3, 10'000, 3})
    ->Args({20'000, 3, 1'000, 3})
    ->Args({20'000, 64, 10'000, 3})
    ->Args({20'000, 64, 3'000, 3})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1);
BENCHMARK(to_tolerance<double>)
    ->Args({20'000, 3, 50'000, 3})
    ->Args({20'000, 3, 10'000, 3})
    ->Args({20'000, 3, 1'000, 3})
    ->Args({20'000, 64, 10'000, 3})
    ->Args({20'000, 64, 3'000, 3})
    ->Args({20'000, 3, 10'000, 9})
    ->Args({20'000, 64, 10'000, 9})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1);
BENCHMARK(multiscale)
    ->Args({20'000, 3, 50'000, 3})
    ->Args({20'000, 3, 10'000, 3})
    ->Args({20'000, 3, 1'000, 3})
    ->Args({2'000, 2, 1'000, 9})
    ->Args({10'000, 2, 1'000, 9})
    ->Args({20'000, 2, 1'000, 6})
    ->Args({10'000, 2, 100, 6})
    ->Args({20'000, 2, 100, 6})
    ->Args({50'000, 2, 100, 6})
    ->Args({100'000, 2, 100, 6})
    ->Args({100'000, 2, 100, 9})
    ->Args({20'000, 3, 1'000, 6})
    ->Args({100'000, 3, 1'000, 4})
    ->Args({100'000, 2, 1'000, 6})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1);
BENCHMARK(sparse_unbalanced)->Arg(10'000)->Arg(40'000)->Unit(benchmark::kMillisecond);
BENCHMARK(sparse)->Arg(10'000)->Arg(40'000)->Arg(100'000)->Unit(benchmark::kMillisecond);
