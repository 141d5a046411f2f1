// SPDX-License-Identifier: MIT
// Many small entropic problems: 1000 of 64 x 64 points in the plane, squared distance over its
// maximum, equal weights, to the L1 marginal error 1e-9, at epsilon 1e-1, 1e-2 and 1e-3; beside a
// loop over sinkhorn and one over entropic, and in other sizes. bench/peers/ot_sinkhorn_batch.py
// makes the same problems. The read of the kernel across the rows of one problem, which the batch
// uses, is beside one of several problems in the lanes of a vector.
#include <Eigen/Core>

#include <benchmark/benchmark.h>
#include <vector>

#include "support/streams.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/entropic.hpp>
#include <monge/ot/sinkhorn_batch.hpp>

namespace {

using namespace monge;

template <class S>
struct Problems {
  std::vector<MatrixX<S>> costs;
  VectorX<S> w;

  Problems(Index n, Index count) : w(VectorX<S>::Constant(n, S(1) / S(n))) {
    bench::Lehmer stream(1);
    for (Index k = 0; k < count; ++k) {
      MatrixX<double> const X = stream.matrix(2, n), Y = stream.matrix(2, n);
      MatrixX<double> const C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
      costs.push_back((C / C.maxCoeff()).template cast<S>());
    }
  }
};

template <class S>
void report(benchmark::State& state, std::vector<ot::SinkhornResult<S>> const& results) {
  double worst = 0, cost = 0, iterations = 0, converged = 0;
  for (auto const& r : results) {
    worst = std::max(worst, r.marginal_error);
    cost += double(r.transport_cost);
    iterations += double(r.iterations);
    converged += double(r.converged());
  }
  double const count = double(results.size());
  state.counters["marginal_error"] = worst;
  state.counters["transport_cost"] = cost;
  state.counters["iterations"] = iterations / count;
  state.counters["converged"] = converged / count;
  state.counters["us_per_problem"] = benchmark::Counter(
      count * 1e-6, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

/// Arguments: n, the number of problems, epsilon in millionths, threads.
template <class S>
void batch(benchmark::State& state) {
  Problems<S> const p(state.range(0), state.range(1));
  ot::SinkhornBatchOptions options{.epsilon = double(state.range(2)) * 1e-6};
  if (std::same_as<S, double>) options.tolerance = 1e-9;
  if (state.range(3) > 1) options.parallel = parallel::threads(int(state.range(3)));
  std::vector<ot::SinkhornResult<S>> results;
  for (auto _ : state) results = ot::sinkhorn_batch(p.costs, p.w, p.w, options);
  report<S>(state, results);
}

template <class Solve>
void loop(benchmark::State& state, Solve solve) {
  Problems<double> const p(state.range(0), state.range(1));
  std::vector<ot::SinkhornResult<double>> results(p.costs.size());
  for (auto _ : state) {
    for (std::size_t k = 0; k < results.size(); ++k) results[k] = solve(p.costs[k], p.w);
  }
  report<double>(state, results);
}

void loop_sinkhorn(benchmark::State& state) {
  loop(state, [&](auto const& C, auto const& w) {
    return ot::sinkhorn(C, w, w, {.epsilon = double(state.range(2)) * 1e-6, .tolerance = 1e-9});
  });
}

void loop_entropic(benchmark::State& state) {
  loop(state, [&](auto const& C, auto const& w) {
    return ot::entropic(C, w, w, {.epsilon = double(state.range(2)) * 1e-6, .tolerance = 1e-9});
  });
}

constexpr int reads = 64;

/// A read and the division that makes a step of Sinkhorn of it, for one problem.
template <class S>
void read_along_rows(benchmark::State& state) {
  Index const n = state.range(0);
  constexpr int lanes = simd::lanes<S>;
  ot::detail::SmallKernel<S> kernel;
  kernel.resize(n, n);
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < n; ++i) kernel.column(j)[i] = S(1 + (7 * i + 13 * j) % 17);
  }
  VectorX<S> const w = VectorX<S>::Constant(kernel.rows(), S(1) / S(n));
  VectorX<S> u = w, t = w;
  for (auto _ : state) {
    for (int k = 0; k < reads; ++k) {
      kernel.read(u.data(), t.data(), [&](Index j, auto s) { return simd::load(&w(j)) / s; });
      for (Index i = 0; i < t.size(); i += lanes) {
        simd::store<S>(&u(i), simd::load(&w(i)) / simd::load(&t(i)));
      }
    }
    benchmark::DoNotOptimize(u.data());
  }
  state.counters["ns_per_problem"] = benchmark::Counter(
      1e-9 * reads, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

/// The same for as many problems as a pack has lanes, one in each.
template <class S>
void read_across_problems(benchmark::State& state) {
  using V = simd::pack_t<S>;
  Index const n = state.range(0);
  constexpr int lanes = simd::lanes<S>;
  VectorX<S> K(n * n * lanes);
  for (Index k = 0; k < K.size(); ++k)
    K(k) = S(1 + (7 * (k / lanes % n) + 13 * (k / lanes / n)) % 17);
  VectorX<S> const w = VectorX<S>::Constant(n * lanes, S(1) / S(n));
  VectorX<S> u = w, t = w;
  for (auto _ : state) {
    for (int k = 0; k < reads; ++k) {
      t.setZero();
      for (Index j = 0; j < n; j += 4) {
        V sum[4] = {}, other[4] = {};
        S const* const block = &K(j * n * lanes);
        for (Index i = 0; i < n; i += 2) {
          V const x = simd::load(&u(i * lanes)), y = simd::load(&u((i + 1) * lanes));
          for (int c = 0; c < 4; ++c) {
            sum[c] += x * simd::load(block + (c * n + i) * lanes);
            other[c] += y * simd::load(block + (c * n + i + 1) * lanes);
          }
        }
        V const v = simd::load(&w(j * lanes));
        for (int c = 0; c < 4; ++c) sum[c] = v / (sum[c] + other[c]);
        for (Index i = 0; i < n; ++i) {
          V to = simd::load(&t(i * lanes));
          for (int c = 0; c < 4; ++c) to += sum[c] * simd::load(block + (c * n + i) * lanes);
          simd::store<S>(&t(i * lanes), to);
        }
      }
      for (Index i = 0; i < t.size(); i += lanes) {
        simd::store<S>(&u(i), simd::load(&w(i)) / simd::load(&t(i)));
      }
    }
    benchmark::DoNotOptimize(u.data());
  }
  state.counters["ns_per_problem"] =
      benchmark::Counter(1e-9 * reads * lanes, benchmark::Counter::kIsIterationInvariantRate |
                                                   benchmark::Counter::kInvert);
}

void shares(benchmark::internal::Benchmark* b) {
  for (int epsilon : {100'000, 10'000, 1'000}) b->Args({64, 1000, epsilon, 1});
  b->Unit(benchmark::kMillisecond);
}
void sizes(benchmark::internal::Benchmark* b) {
  for (int n : {16, 32, 128, 256}) {
    for (int epsilon : {100'000, 10'000, 1'000}) b->Args({n, 50, epsilon, 1});
  }
  b->Unit(benchmark::kMillisecond);
}
void small(benchmark::internal::Benchmark* b) { b->Arg(8)->Arg(16)->Arg(32)->Arg(64)->Arg(128); }

BENCHMARK(batch<double>)->Apply(shares);
BENCHMARK(batch<float>)->Apply(shares);
BENCHMARK(batch<double>)->Args({64, 1000, 10'000, 2})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(loop_sinkhorn)
    ->Args({64, 1000, 100'000})
    ->Args({64, 1000, 10'000})
    ->Args({64, 50, 1'000})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(loop_entropic)
    ->Args({64, 1000, 100'000})
    ->Args({64, 1000, 10'000})
    ->Args({64, 50, 1'000})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(batch<double>)->Apply(sizes);
BENCHMARK(loop_entropic)->Apply(sizes);
BENCHMARK(read_along_rows<double>)->Apply(small);
BENCHMARK(read_across_problems<double>)->Apply(small);
BENCHMARK(read_along_rows<float>)->Apply(small);
BENCHMARK(read_across_problems<float>)->Apply(small);

}  // namespace
