// SPDX-License-Identifier: MIT
// Oracles: points repeated as often as they weigh, quantile functions evaluated level by level, and
// central differences.
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include <monge/ot/detail/quantile_coupling.hpp>

namespace {

using monge::Index;
using monge::VectorX;
namespace detail = monge::ot::detail;
using detail::Mass;

template <class S>
VectorX<S> sorted_points(Index n, std::uint64_t seed) {
  VectorX<S> x = support::matrix<S>(n, 1, seed, -2, 3).col(0);
  std::sort(x.begin(), x.end());
  return x;
}

/// Each point as often as its mass says.
VectorX<double> repeated(VectorX<double> const& x, std::vector<Mass> const& mass) {
  VectorX<double> result(std::accumulate(mass.begin(), mass.end(), Mass(0)));
  Index next = 0;
  for (Index k = 0; k < x.size(); ++k) {
    for (Mass c = 0; c < mass[std::size_t(k)]; ++c) result(next++) = x(k);
  }
  return result;
}

/// Nonnegative masses, some of them zero, that sum to `total`.
std::vector<Mass> random_masses(Index n, Mass total, std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::vector<Mass> mass(static_cast<std::size_t>(n), 0);
  for (Mass c = 0; c < total; ++c) ++mass[engine() % std::uint64_t(n)];
  return mass;
}

double mean_power(VectorX<double> const& x, VectorX<double> const& y, double p) {
  long double sum = 0;  // up to 360 000 terms
  for (Index k = 0; k < x.size(); ++k) sum += std::pow(std::abs(x(k) - y(k)), p);
  return double(sum / x.size());
}

TEST_CASE("the staircase visits n + m - 1 cells and moves exactly the masses") {
  for (Index n : {1, 2, 5, 9}) {
    for (Index m : {1, 3, 8}) {
      for (std::uint64_t seed : {1, 2, 3}) {
        std::vector<Mass> const a = random_masses(n, 24, seed), b = random_masses(m, 24, seed + 9);
        std::vector<Mass> rows(a.size(), 0), columns(b.size(), 0);
        std::vector<std::int32_t> order(static_cast<std::size_t>(std::max(n, m)));
        std::iota(order.begin(), order.end(), 0);
        Index cells = 0, last_i = 0, last_j = 0;
        detail::for_each_cell(n, detail::OrderedMasses{a.data(), order.data()}, m,
                              detail::OrderedMasses{b.data(), order.data()},
                              [&](Index i, Index j, Mass mass) {
                                REQUIRE(mass >= 0);
                                REQUIRE(i + j == cells++);
                                REQUIRE((i >= last_i && j >= last_j));
                                last_i = i;
                                last_j = j;
                                rows[std::size_t(i)] += mass;
                                columns[std::size_t(j)] += mass;
                              });
        REQUIRE(cells == n + m - 1);
        REQUIRE(rows == a);
        REQUIRE(columns == b);
      }
    }
  }
}

TEMPLATE_TEST_CASE("equal weights: the power is the mean over common refinements", "", float,
                   double) {
  using S = TestType;
  double const tolerance = sizeof(S) == 4 ? 1e-6 : 1e-14;
  for (double p : {1.0, 1.5, 2.0, 3.0}) {
    for (auto [n, m] : {std::pair<Index, Index>{1, 1}, {600, 600}, {1, 7}, {6, 4}, {35, 21}}) {
      VectorX<S> const x = sorted_points<S>(n, 1), y = sorted_points<S>(m, 2);
      double const expected = mean_power(
          repeated(x.template cast<double>(), std::vector<Mass>(std::size_t(n), Mass(m))),
          repeated(y.template cast<double>(), std::vector<Mass>(std::size_t(m), Mass(n))), p);
      double const power = double(detail::with_power(
          p, [&](auto c) { return detail::uniform_power(x.data(), n, y.data(), m, c); }));
      CAPTURE(p, n, m, power, expected);
      CHECK(std::abs(power - expected) <= tolerance * expected);
    }
  }
}

TEST_CASE("general weights: the power is that of repeated points") {
  Index const n = 11, m = 7, total = 60;
  VectorX<double> const x = sorted_points<double>(n, 3), y = sorted_points<double>(m, 4);
  std::vector<Mass> const a = random_masses(n, total, 5), b = random_masses(m, total, 6);
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (double p : {1.0, 2.0, 2.5}) {
    double const power = detail::with_power(p, [&](auto c) {
      return detail::coupled_power(x.data(), n, detail::OrderedMasses{a.data(), order.data()},
                                   y.data(), m, detail::OrderedMasses{b.data(), order.data()}, c,
                                   1.0 / total);
    });
    double const expected = mean_power(repeated(x, a), repeated(y, b), p);
    CHECK(std::abs(power - expected) <= 1e-14 * expected);
  }
}

TEST_CASE("gradients with respect to the points agree with differences") {
  for (double p : {1.0, 1.5, 2.0, 4.0}) {
    for (auto [n, m] : {std::pair<Index, Index>{9, 9}, {9, 5}}) {
      CAPTURE(p, n, m);
      VectorX<double> const x = sorted_points<double>(n, 7), y = sorted_points<double>(m, 8);
      std::vector<std::int32_t> order(static_cast<std::size_t>(n));
      for (Index k = 0; k < n; ++k) order[std::size_t(k)] = std::int32_t((k * 4) % n);
      VectorX<double> gradient = VectorX<double>::Constant(n, 10);
      detail::with_power(p, [&](auto c) {
        detail::add_uniform_gradient(x.data(), order.data(), n, y.data(), m, c, 3.0,
                                     gradient.data());
        double const h = 1e-6;
        for (Index k = 0; k < n; ++k) {
          VectorX<double> up = x, down = x;
          up(k) += h;
          down(k) -= h;
          double const slope = (detail::uniform_power(up.data(), n, y.data(), m, c) -
                                detail::uniform_power(down.data(), n, y.data(), m, c)) /
                               (2 * h);
          CHECK(std::abs(gradient(order[std::size_t(k)]) - 10 - 3 * slope) < 1e-7);
        }
      });
    }
  }
}

TEST_CASE("a point on its partner has no slope") {
  double const x[] = {0, 1}, y[] = {0, 1};
  std::int32_t const order[] = {0, 1};
  for (double p : {1.0, 1.5, 2.0}) {
    double gradient[] = {0, 0};
    detail::with_power(
        p, [&](auto c) { detail::add_matched_gradient(x, order, y, 2, c, 1.0, gradient); });
    CHECK(gradient[0] == 0);
    CHECK(gradient[1] == 0);
  }
}

TEST_CASE("the rise of the cost has no cancellation") {
  for (double p : {1.0, 1.3, 2.0, 5.0}) {
    for (double z : {-3.0, -1e-3, 0.0, 2e-5, 7.0}) {
      for (double h : {-10.0, -1e-3, -1e-12, 1e-15, 1e-6, 0.5, 20.0}) {
        long double const start = z, end = start + h;
        long double const q = p;
        long double const expected = std::pow(std::abs(end), q) - std::pow(std::abs(start), q);
        double const rise = detail::with_power(p, [&](auto c) { return c.rise(z, h); });
        CAPTURE(p, z, h, rise, double(expected));
        // The long double reference cancels too: 1e-19 of the larger term.
        double const allowed =
            1e-14 * std::abs(double(expected)) + 2e-19 * std::pow(std::abs(z), p);
        CHECK(std::abs(rise - double(expected)) <= allowed);
      }
    }
  }
}

TEMPLATE_TEST_CASE("weights become integers of equal sums, rounded to the unit", "", float,
                   double) {
  using S = TestType;
  VectorX<S> a = support::weights<S>(50, 9), b = support::weights<S>(30, 10);
  a(3) = 0;
  b(7) = S(1e-30);
  a /= a.sum();
  b /= b.sum();
  std::vector<Mass> counts_a(50), counts_b(30);
  double const unit =
      std::ldexp(1.0, detail::integer_masses<S>(a, b, a.template cast<double>().sum(),
                                                counts_a.data(), counts_b.data()));
  CHECK(std::accumulate(counts_a.begin(), counts_a.end(), Mass(0)) ==
        std::accumulate(counts_b.begin(), counts_b.end(), Mass(0)));
  CHECK(counts_a[3] == 0);
  for (Index k = 0; k < 50; ++k) {
    CHECK(std::abs(double(counts_a[std::size_t(k)]) * unit - double(a(k))) <=
          double(monge::unit_roundoff<S>));
  }
}

}  // namespace
