// SPDX-License-Identifier: MIT
// The oracle is std::stable_sort. Inputs are chosen so that every road is taken: insertion, one and
// two bucket passes, splits by the linear and by the integer image, radix passes; the roads are
// also called alone.
#define EIGEN_RUNTIME_NO_MALLOC
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include <monge/core/detail/sort.hpp>

namespace {

using monge::Index;
namespace detail = monge::detail;

constexpr char const* families[] = {"normal",   "uniform", "heavy tails", "few values",
                                    "clusters", "wide",    "sorted",      "reversed",
                                    "equal",    "extreme", "subnormal",   "zeros"};

template <class S>
std::vector<S> draw(std::string const& family, Index n, std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  auto const uniform = [&] { return double(engine() >> 11) * 0x1p-53; };
  S const largest = std::numeric_limits<S>::max(), least = std::numeric_limits<S>::denorm_min();
  std::vector<S> x;
  for (Index k = 0; k < n; ++k) {
    double value = normal(engine);
    if (family == "uniform") value = uniform();
    if (family == "heavy tails") value = std::tan(3.14159 * (uniform() - 0.5));
    if (family == "few values") value = std::floor(10 * uniform()) - 5;
    if (family == "clusters") value = 1e-3 * value + (uniform() < 0.5 ? 1e6 : -1e6);
    if (family == "wide") value = std::ldexp(value, int(200 * uniform()) - 100);
    if (family == "sorted") value = std::floor(double(k) / 3);
    if (family == "reversed") value = -std::floor(double(k) / 3);
    if (family == "equal") value = 7;
    S entry = S(value);
    if (family == "extreme") entry = value < 0 ? -largest * S(uniform()) : largest * S(uniform());
    if (family == "subnormal") entry = S(std::floor(40 * value)) * least;
    if (family == "zeros") entry = std::copysign(S(uniform() < 0.1), S(value));
    x.push_back(entry);
  }
  return x;
}

std::vector<std::int32_t> iota(Index n) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

template <class S>
std::vector<std::int32_t> stable_order(std::vector<S> const& x) {
  std::vector<std::int32_t> order = iota(Index(x.size()));
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t i, std::int32_t j) {
    return x[std::size_t(i)] < x[std::size_t(j)];
  });
  return order;
}

/// Bit for bit, so that -0 is told from 0.
template <class S>
bool same_bits(S a, S b) {
  return a == b && std::signbit(a) == std::signbit(b);
}

/// x[k] is what stood at order[k], and order is the stable one.
template <class S>
bool sorted_stably(std::vector<S> const& before, std::vector<S> const& x,
                   std::vector<std::int32_t> const& order) {
  if (order != stable_order(before)) return false;
  for (std::size_t k = 0; k < x.size(); ++k) {
    if (!same_bits(x[k], before[std::size_t(order[k])])) return false;
  }
  return true;
}

TEMPLATE_TEST_CASE("entries are sorted stably, whatever their number and distribution", "", float,
                   double, long double) {
  using S = TestType;
  detail::SortScratch<S> scratch;
  for (char const* family : families) {
    for (Index n : {0, 1, 2, 3, 7, 40, 41, 100, 511, 512, 1000, 5000, 600000}) {
      if (sizeof(S) > 8 && n > 1000) continue;
      if (n > 10000 && family[0] != 'n' && family[0] != 'c') continue;
      CAPTURE(family, n);
      std::vector<S> const before = draw<S>(family, n, std::uint64_t(n) + 1);
      std::vector<S> keys = before, x = before, companions(before.size());
      std::vector<detail::SortEntry<S, S>> pairs(before.size());
      std::vector<std::int32_t> order(before.size(), -1);
      std::iota(companions.begin(), companions.end(), S(0));
      detail::sort(keys.data(), n, scratch);
      detail::sort_with_order(x.data(), order.data(), n, scratch);
      detail::sort_pairs(before.data(), companions.data(), pairs.data(), n, scratch);
      REQUIRE(sorted_stably(before, x, order));
      REQUIRE(std::equal(x.begin(), x.end(), pairs.begin(),
                         [](S value, auto const& pair) { return same_bits(value, pair.value); }));
      REQUIRE(std::equal(order.begin(), order.end(), pairs.begin(),
                         [](std::int32_t k, auto const& pair) { return S(k) == pair.tag; }));
      REQUIRE(std::equal(keys.begin(), keys.end(), x.begin()));
    }
  }
}

TEMPLATE_TEST_CASE("each road sorts alone", "", float, double) {
  using S = TestType;
  detail::SortScratch<S> scratch;
  Index const n = 3000;
  for (char const* family : families) {
    CAPTURE(family);
    std::vector<S> const before = draw<S>(family, n, 3);
    auto const sorts = [&](auto sort) {
      std::vector<S> x = before;
      std::vector<std::int32_t> order = iota(n);
      detail::KeysWithOrder<S> const view{x.data(), order.data()};
      sort(view, view.room(scratch, n));
      return sorted_stably(before, x, order);
    };
    REQUIRE(sorts([&](auto view, auto room) { detail::radix_sort(view, room, n, scratch); }));
    REQUIRE(sorts([&](auto view, auto) { detail::insertion_sort(view, n, n * n); }));
    REQUIRE(sorts([&](auto view, auto room) {
      detail::LeadingBits<S> const image(detail::extent(view.x, n));
      detail::split(view, room, n, image, false, scratch, 0);
    }));
  }
  for (char const* family : {"normal", "uniform"}) {
    CAPTURE(family);
    std::vector<S> x = draw<S>(family, n, 4);
    std::vector<S> const before = x;
    std::vector<std::int32_t> order = iota(n);
    detail::KeysWithOrder<S> const view{x.data(), order.data()};
    REQUIRE(
        detail::bucket_sort(view, view.room(scratch, n), detail::extent(x.data(), n), n, scratch));
    REQUIRE(sorted_stably(before, x, order));
  }
}

TEMPLATE_TEST_CASE("a bucket sort that gives up leaves every entry in its care", "", float,
                   double) {
  using S = TestType;
  detail::SortScratch<S> scratch;
  Index const n = 4000;
  for (char const* family : {"clusters", "heavy tails", "wide", "extreme"}) {
    CAPTURE(family);
    std::vector<S> const before = draw<S>(family, n, 5);
    std::vector<S> x = before;
    detail::Keys<S> const view{x.data()};
    detail::Extent<S> const range = detail::extent(x.data(), n);
    bool const done = detail::bucket_sort(view, view.room(scratch, n), range, n, scratch);
    REQUIRE(!done);
    std::sort(x.begin(), x.end());
    std::vector<S> expected = before;
    std::sort(expected.begin(), expected.end());
    REQUIRE(x == expected);
  }
}

TEMPLATE_TEST_CASE("the extent of entries is found wherever it stands", "", float, double) {
  using S = TestType;
  for (Index n : {1, 2, 5, 8, 9, 16, 17, 33}) {
    for (Index place = 0; place < n; ++place) {
      CAPTURE(n, place);
      std::vector<S> x(static_cast<std::size_t>(n));
      for (Index k = 0; k < n; ++k) x[std::size_t(k)] = S(k);
      CHECK(detail::extent(x.data(), n).sorted);
      x[std::size_t(place)] = S(1000);
      detail::Extent<S> const up = detail::extent(x.data(), n);
      CHECK(up.high == S(1000));
      CHECK(up.sorted == (place == n - 1));
      x[std::size_t(place)] = S(-1000);
      detail::Extent<S> const down = detail::extent(x.data(), n);
      CHECK(down.low == S(-1000));
      CHECK(down.sorted == (place == 0));
    }
  }
}

TEMPLATE_TEST_CASE("a previous order changes the cost, never the result", "", float, double) {
  using S = TestType;
  detail::SortScratch<S> scratch;
  for (char const* family : families) {
    for (Index n : {0, 1, 50, 2000}) {
      for (double step : {0.0, 1e-4, 10.0}) {
        CAPTURE(family, n, step);
        std::vector<S> x = draw<S>(family, n, 6);
        std::vector<std::int32_t> order = stable_order(x);
        if (step > 9) std::shuffle(order.begin(), order.end(), std::mt19937_64(7));
        std::vector<S> const noise = draw<S>("few values", n, 8);
        for (std::size_t k = 0; k < x.size(); ++k) x[k] += S(step) * noise[k];
        std::vector<S> const before = x;
        detail::sort_with_previous_order(x.data(), order.data(), n, scratch);
        REQUIRE(sorted_stably(before, x, order));
      }
    }
  }
}

TEST_CASE("a scratch that has seen the size is all that sorting needs") {
  detail::SortScratch<double> scratch;
  for (char const* family : {"normal", "clusters", "wide"}) {
    std::vector<double> const before = draw<double>(family, 5000, 9);
    std::vector<double> x = before;
    std::vector<std::int32_t> order = iota(5000);
    auto const all = [&] {
      x = before;
      detail::sort(x.data(), 5000, scratch);
      x = before;
      detail::sort_with_order(x.data(), order.data(), 5000, scratch);
      x = before;
      detail::sort_with_previous_order(x.data(), order.data(), 5000, scratch);
    };
    all();
    CHECK(monge::test::allocations(all) == 0);
  }
}

}  // namespace
