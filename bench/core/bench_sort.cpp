// SPDX-License-Identifier: MIT
// Sorting normal deviates and deviates with heavy tails, alone, with the permutation, and from the
// permutation of nearly the same entries, beside std::sort and, where CMake finds it, the
// vectorised sort of Highway (Debian: libhwy-dev). Counters: seconds per entry, and whether the
// result is sorted. Compare bench/peers/core_sort.py, whose NumPy 2 sorts by x86-simd-sort.
#include <algorithm>
#include <benchmark/benchmark.h>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#ifdef MONGE_HIGHWAY
#include <hwy/contrib/sort/vqsort.h>
#endif

#include <monge/core/detail/sort.hpp>

namespace {

using monge::Index;
namespace detail = monge::detail;

enum Family { normal, heavy };

/// Several inputs, so that the branch predictor does not learn one by heart.
template <class S>
std::vector<std::vector<S>> inputs(Family family, Index n) {
  std::mt19937_64 engine(1);
  std::normal_distribution<double> deviate;
  std::vector<std::vector<S>> sets(std::size_t(std::clamp<Index>(1000000 / n, 2, 200)));
  for (std::vector<S>& set : sets) {
    for (Index k = 0; k < n; ++k) {
      double const z = deviate(engine);
      set.push_back(S(family == normal ? z : std::exp(3 * z)));
    }
  }
  return sets;
}

template <class Body>
double seconds_of(Body body) {
  auto const start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Times `body` on a fresh copy of one of the inputs.
template <class S, class Body>
void run(benchmark::State& state, Family family, Body body) {
  Index const n = state.range(0);
  auto const sets = inputs<S>(family, n);
  std::vector<S> x;
  std::size_t next = 0;
  bool sorted = true;
  for (auto _ : state) {
    x = sets[next];
    double seconds = 0;
    body(x.data(), next, seconds);
    state.SetIterationTime(seconds);
    sorted = sorted && std::is_sorted(x.begin(), x.end());
    next = (next + 1) % sets.size();
  }
  state.counters["s_per_entry"] = benchmark::Counter(
      double(n), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["sorted"] = sorted;
}

template <class S, Family family>
void standard(benchmark::State& state) {
  Index const n = state.range(0);
  run<S>(state, family, [n](S* x, std::size_t, double& seconds) {
    seconds = seconds_of([&] { std::sort(x, x + n); });
  });
}

#ifdef MONGE_HIGHWAY
template <class S, Family family>
void highway(benchmark::State& state) {
  Index const n = state.range(0);
  hwy::Sorter const sorter;
  run<S>(state, family, [&](S* x, std::size_t, double& seconds) {
    seconds = seconds_of([&] { sorter(x, std::size_t(n), hwy::SortAscending()); });
  });
}
#endif

template <class S, Family family>
void keys(benchmark::State& state) {
  Index const n = state.range(0);
  detail::SortScratch<S> scratch;
  run<S>(state, family, [&](S* x, std::size_t, double& seconds) {
    seconds = seconds_of([&] { detail::sort(x, n, scratch); });
  });
}

template <class S, Family family>
void with_order(benchmark::State& state) {
  Index const n = state.range(0);
  detail::SortScratch<S> scratch;
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  run<S>(state, family, [&](S* x, std::size_t, double& seconds) {
    seconds = seconds_of([&] { detail::sort_with_order(x, order.data(), n, scratch); });
  });
}

/// One entry in a hundred has changed places since.
template <class S, Family family>
void with_previous(benchmark::State& state) {
  Index const n = state.range(0);
  detail::SortScratch<S> scratch;
  std::vector<std::vector<std::int32_t>> orders;
  std::mt19937_64 engine(2);
  for (std::vector<S>& x : inputs<S>(family, n)) {
    std::vector<std::int32_t> order(x.size());
    detail::sort_with_order(x.data(), order.data(), n, scratch);
    for (Index k = 0; k < n / 200; ++k) {
      std::size_t const place = engine() % std::size_t(n - 1);
      std::swap(order[place], order[place + 1]);
    }
    orders.push_back(std::move(order));
  }
  std::vector<std::int32_t> order;
  run<S>(state, family, [&](S* x, std::size_t set, double& seconds) {
    order = orders[set];
    seconds = seconds_of([&] { detail::sort_with_previous_order(x, order.data(), n, scratch); });
  });
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (Index n : {1000, 10000, 100000, 1000000}) benchmark->Arg(n);
  benchmark->UseManualTime();
}

BENCHMARK_TEMPLATE(standard, double, normal)->Apply(sizes);
BENCHMARK_TEMPLATE(keys, double, normal)->Apply(sizes);
BENCHMARK_TEMPLATE(keys, double, heavy)->Apply(sizes);
BENCHMARK_TEMPLATE(with_order, double, normal)->Apply(sizes);
BENCHMARK_TEMPLATE(with_order, double, heavy)->Apply(sizes);
BENCHMARK_TEMPLATE(with_previous, double, normal)->Apply(sizes);
#ifdef MONGE_HIGHWAY
BENCHMARK_TEMPLATE(highway, double, normal)->Apply(sizes);
BENCHMARK_TEMPLATE(highway, double, heavy)->Apply(sizes);
BENCHMARK_TEMPLATE(highway, float, normal)->Apply(sizes);
BENCHMARK_TEMPLATE(highway, float, heavy)->Apply(sizes);
#endif
BENCHMARK_TEMPLATE(standard, float, normal)->Apply(sizes);
BENCHMARK_TEMPLATE(keys, float, normal)->Apply(sizes);
BENCHMARK_TEMPLATE(keys, float, heavy)->Apply(sizes);
BENCHMARK_TEMPLATE(with_order, float, normal)->Apply(sizes);
BENCHMARK_TEMPLATE(with_previous, float, normal)->Apply(sizes);

}  // namespace
