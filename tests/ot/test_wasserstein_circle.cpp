// SPDX-License-Identifier: MIT
// Oracles: the transport simplex on the matrix of circular costs, the line, closed forms,
// differences, and the conditions of optimality recomputed here over all pairs.
#ifndef EIGEN_RUNTIME_NO_MALLOC
#define EIGEN_RUNTIME_NO_MALLOC
#endif
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/exact.hpp>
#include <monge/ot/wasserstein_circle.hpp>

namespace {

using Catch::Matchers::WithinRel;
using Eigen::VectorXd;
using monge::Index;
using monge::MatrixX;
using monge::Status;
using monge::VectorX;
using monge::ot::Answer1d;
using monge::ot::wasserstein_circle;
using monge::ot::wasserstein_circle_to_uniform;
using monge::ot::WassersteinCircleResult;

template <class S = double>
VectorX<S> turns(Index n, std::uint64_t seed, double low = 0, double high = 1) {
  return support::matrix<S>(n, 1, seed, low, high).col(0);
}

/// The p-th power of the distance along the shorter way round.
template <class S>
MatrixX<double> costs(VectorX<S> const& x, VectorX<S> const& y, double p, double period) {
  MatrixX<double> C(x.size(), y.size());
  for (Index j = 0; j < y.size(); ++j) {
    for (Index i = 0; i < x.size(); ++i) {
      double const z = std::remainder(double(x(i)) - double(y(j)), period);
      C(i, j) = std::pow(std::abs(z), p);
    }
  }
  return C;
}

template <class S>
void require_optimal(VectorX<S> const& x, VectorX<S> const& y, VectorX<S> const& a,
                     VectorX<S> const& b, double p, double period,
                     WassersteinCircleResult<S> const& r) {
  INFO(std::string(message(r.status)));
  REQUIRE(r.converged());
  Index const n = x.size(), m = y.size();
  double const u = std::numeric_limits<S>::epsilon();
  MatrixX<double> const C = costs(x, y, p, period);
  double const mass = a.template cast<double>().sum();
  double const size = r.f.cwiseAbs().maxCoeff() + r.g.cwiseAbs().maxCoeff() + std::pow(period, p);
  VectorXd rows = VectorXd::Zero(n), columns = VectorXd::Zero(m);
  REQUIRE(r.plan.nonZeros() <= n + m);
  double cost = 0, dual = 0;
  for (Index j = 0; j < m; ++j) {
    for (typename Eigen::SparseMatrix<S>::InnerIterator entry(r.plan, j); entry; ++entry) {
      Index const i = entry.row();
      REQUIRE(entry.value() > 0);
      rows(i) += double(entry.value());
      columns(j) += double(entry.value());
      cost += double(entry.value()) * C(i, j);
      REQUIRE(std::abs(C(i, j) - double(r.f(i)) - double(r.g(j))) <= 16 * u * size);
    }
    for (Index i = 0; i < n; ++i) {
      REQUIRE(double(r.f(i)) + double(r.g(j)) <= C(i, j) + 16 * u * size);
    }
  }
  for (Index i = 0; i < n; ++i) dual += double(a(i)) * double(r.f(i));
  for (Index j = 0; j < m; ++j) dual += double(b(j)) * double(r.g(j));
  double const marginals = (rows - a.template cast<double>()).cwiseAbs().sum() +
                           (columns - b.template cast<double>()).cwiseAbs().sum();
  REQUIRE(marginals <= 8 * double(n + m) * u * mass);
  REQUIRE(std::abs(cost - double(r.power)) <= 64 * u * size * mass);
  REQUIRE(std::abs(dual - double(r.power)) <= 64 * u * size * mass);
  REQUIRE(std::abs(double(r.a.dot(r.f)) - double(r.b.dot(r.g))) <= 64 * u * size * mass);
}

TEMPLATE_TEST_CASE("the coupling and the potentials prove each other on the circle", "", float,
                   double) {
  using S = TestType;
  for (double p : {1.0, 1.5, 2.0, 3.7}) {
    for (auto [n, m] : {std::pair<Index, Index>{1, 1}, {1, 9}, {12, 1}, {40, 40}, {31, 50}}) {
      for (double period : {1.0, 2 * std::numbers::pi}) {
        CAPTURE(p, n, m, period);
        VectorX<S> const x = turns<S>(n, 1, 0, period), y = turns<S>(m, 2, 0.4 * period, period);
        double const whole = double(S(period));
        require_optimal<S>(x, y, support::uniform_weights<S>(n), support::uniform_weights<S>(m), p,
                           whole, wasserstein_circle(x, y, {.p = p, .period = period}));
        VectorX<S> a = support::weights<S>(n, 3), b = support::weights<S>(m, 4);
        if (n > 3) a(2) = a(7) = a(8) = 0;
        if (m > 3) b(0) = b(3) = 0;
        a /= a.sum();
        b /= b.sum();
        require_optimal<S>(x, y, a, b, p, whole,
                           wasserstein_circle(x, y, a, b, {.p = p, .period = period}));
      }
    }
  }
}

TEST_CASE("ties, repeated points, opposite points and empty points are optimal too") {
  for (double p : {1.0, 2.0, 2.5}) {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
      CAPTURE(p, seed);
      VectorXd const x = (turns(30, seed) * 12).array().floor() / 12,
                     y = (turns(20, seed + 50) * 12).array().floor() / 12;
      VectorXd a = (turns(30, seed + 70, 0, 4)).array().floor(), b = VectorXd::Ones(20);
      a(0) += 4;
      b(3) = b(4) = b(11) = 0;
      b *= a.sum() / b.sum();
      require_optimal<double>(x, y, a, b, p, 1, wasserstein_circle(x, y, a, b, {.p = p}));
      require_optimal<double>(x, y, support::uniform_weights(30), support::uniform_weights(20), p,
                              1, wasserstein_circle(x, y, {.p = p}));
      VectorXd const z = x.head(20);
      require_optimal<double>(z, y, support::uniform_weights(20), support::uniform_weights(20), p,
                              1, wasserstein_circle(z, y, {.p = p}));
    }
    // Four points against the four opposite to the gaps: every shift costs the same.
    VectorXd const square = VectorXd{{0, 0.25, 0.5, 0.75}}, turned = square.array() + 0.125;
    auto const r = wasserstein_circle(square, turned, {.p = p});
    CHECK(std::abs(r.value - 0.125) < 1e-15);
    require_optimal<double>(square, turned, support::uniform_weights(4),
                            support::uniform_weights(4), p, 1, r);
  }
}

TEST_CASE("the transport simplex finds the same cost on the circular cost matrix") {
  for (double p : {1.0, 1.4, 2.0, 3.0}) {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      CAPTURE(p, seed);
      Index const n = 10 + 3 * Index(seed), m = 25;
      VectorXd const x = turns(n, seed, 0, 2), y = turns(m, seed + 20, 0, 2),
                     a = support::weights(n, seed + 30), b = support::weights(m, seed + 40);
      auto const oracle = monge::ot::exact(costs(x, y, p, 2), a, b);
      REQUIRE(oracle.converged());
      double const power = wasserstein_circle(x, y, a, b, {.p = p, .period = 2}).power;
      CHECK(std::abs(power - oracle.transport_cost) <= 1e-14);
      VectorXd const u = support::uniform_weights(n), v = support::uniform_weights(m);
      auto const equal = monge::ot::exact(costs(x, y, p, 2), u, v);
      CHECK(std::abs(wasserstein_circle(x, y, {.p = p, .period = 2}).power -
                     equal.transport_cost) <= 1e-14);
      VectorXd const w = turns(n, seed + 60, 0, 2);
      auto const square = monge::ot::exact(costs(x, w, p, 2), u, u);
      CHECK(std::abs(wasserstein_circle(x, w, {.p = p, .period = 2}).power -
                     square.transport_cost) <= 1e-14);
    }
  }
}

TEST_CASE("turning, reflecting and exchanging the samples changes nothing") {
  VectorXd const x = turns(37, 11), y = turns(29, 12, 0.2, 0.7), z = turns(37, 13, 0.6, 1.3),
                 a = support::weights(37, 14), b = support::weights(29, 15);
  for (double p : {1.0, 1.5, 2.0, 4.0}) {
    double const weighted = wasserstein_circle(x, y, a, b, {.p = p}).power;
    double const matched = wasserstein_circle(x, z, {.p = p}).power;
    CHECK(std::abs(wasserstein_circle(y, x, b, a, {.p = p}).power - weighted) <= 1e-15);
    CHECK(std::abs(wasserstein_circle((-x).eval(), (-y).eval(), a, b, {.p = p}).power - weighted) <=
          1e-15);
    for (double turn : {0.1, 0.5, 0.77, -3.3, 12.25}) {
      VectorXd const u = x.array() + turn, v = y.array() + turn, w = z.array() + turn;
      CHECK(std::abs(wasserstein_circle(u, v, a, b, {.p = p}).power - weighted) <= 1e-14);
      CHECK(std::abs(wasserstein_circle(u, w, {.p = p}).power - matched) <= 1e-14);
    }
    // W_p(x, x turned by h) is at most h, and h if one point is turned.
    VectorXd const one = VectorXd::Constant(1, 0.9), other = VectorXd::Constant(1, 0.2);
    CHECK(std::abs(wasserstein_circle(one, other, {.p = p}).value - 0.3) <= 1e-15);
    CHECK(wasserstein_circle(x, x, {.p = p}).power == 0);
  }
}

TEST_CASE("metric laws on the circle: triangle, homogeneity, growth with p, at most half a turn") {
  VectorXd const x = turns(25, 31), y = turns(40, 32, 0, 0.5), z = turns(33, 33, 0.3, 0.9);
  double last = 0;
  for (double p : {1.0, 1.5, 2.0, 4.0, 40.0}) {
    double const xy = wasserstein_circle(x, y, {.p = p}).value;
    CHECK(wasserstein_circle(x, z, {.p = p}).value <=
          xy + wasserstein_circle(y, z, {.p = p}).value + 1e-14);
    VectorXd const u = 3 * x, v = 3 * y;
    CHECK(std::abs(wasserstein_circle(u, v, {.p = p, .period = 3}).value - 3 * xy) <= 1e-13);
    CHECK(xy >= last);
    CHECK(xy <= 0.5);
    last = xy;
  }
}

TEST_CASE("points within half the circle are points on the line") {
  for (auto [n, m] : {std::pair<Index, Index>{40, 40}, {33, 21}}) {
    VectorXd const x = turns(n, 41, 0.8, 1.25), y = turns(m, 42, 0.8, 1.25),
                   a = support::weights(n, 43), b = support::weights(m, 44);
    for (double p : {1.0, 1.5, 2.0, 3.0}) {
      double const line = monge::ot::wasserstein_1d(x, y, a, b, {.p = p}).power;
      CHECK(std::abs(wasserstein_circle(x, y, a, b, {.p = p}).power - line) <= 1e-14);
      double const equal = monge::ot::wasserstein_1d(x, y, {.p = p}).power;
      CHECK(std::abs(wasserstein_circle(x, y, {.p = p}).power - equal) <= 1e-14);
    }
  }
}

TEST_CASE("gradients on the circle agree with differences, in points and in weights") {
  double const h = 1e-6;
  VectorXd const x = turns(8, 51), y = turns(6, 52, 0.3, 1.1), a = support::weights(8, 53),
                 b = support::weights(6, 54);
  for (double p : {1.0, 1.5, 2.0, 3.0}) {
    CAPTURE(p);
    auto const power = [&](VectorXd const& u, VectorXd const& v, VectorXd const& w) {
      return wasserstein_circle(u, v, w, b, {.p = p}).power;
    };
    auto const r = wasserstein_circle(x, y, a, b, {.p = p});
    for (Index k = 0; k < 8; ++k) {
      VectorXd const step = h * VectorXd::Unit(8, k), up = x + step, down = x - step;
      CHECK(std::abs((power(up, y, a) - power(down, y, a)) / (2 * h) - r.gradient_x(k)) < 1e-8);
      VectorXd const more = a + step - h * VectorXd::Unit(8, 0),
                     less = a - step + h * VectorXd::Unit(8, 0);
      CHECK(std::abs((power(x, y, more) - power(x, y, less)) / (2 * h) - (r.f(k) - r.f(0))) < 1e-8);
    }
    for (Index k = 0; k < 6; ++k) {
      VectorXd const step = h * VectorXd::Unit(6, k), up = y + step, down = y - step;
      CHECK(std::abs((power(x, up, a) - power(x, down, a)) / (2 * h) - r.gradient_y(k)) < 1e-8);
    }
  }
}

TEST_CASE("less is asked, the same is told on the circle") {
  VectorXd const x = turns(70, 61), z = turns(41, 63), a = support::weights(70, 64),
                 b = support::weights(41, 65);
  for (double p : {1.0, 2.0, 3.3}) {
    auto const all = wasserstein_circle(x, z, {.p = p});
    auto const some = wasserstein_circle(x, z, {.p = p, .answer = Answer1d::gradients});
    auto const value = wasserstein_circle(x, z, {.p = p, .answer = Answer1d::value});
    CHECK(value.power == all.power);
    CHECK(some.power == all.power);
    CHECK(some.gradient_x == all.gradient_x);
    CHECK(some.plan.size() == 0);
    CHECK(value.gradient_x.size() == 0);
    CHECK(wasserstein_circle(x, z, a, b, {.p = p, .answer = Answer1d::value}).power ==
          wasserstein_circle(x, z, a, b, {.p = p}).power);
  }
}

TEST_CASE("the distance to the uniform law is the limit of distances to fine grids") {
  for (auto [n, period] : {std::pair<Index, double>{1, 1.0}, {7, 1.0}, {40, 6.0}}) {
    VectorXd const x = turns(n, 71, 0.1 * period, 0.9 * period), a = support::weights(n, 72);
    Index const fine = 20000;
    VectorXd const grid =
        (VectorXd::LinSpaced(fine, 0, double(fine - 1)).array() + 0.5) * (period / double(fine));
    VectorXd const v = support::uniform_weights(fine);
    double const tolerance = period * period / double(fine);
    auto const r = wasserstein_circle_to_uniform(x, period);
    auto const w = wasserstein_circle_to_uniform(x, a, period);
    CHECK(r.converged());
    CHECK(std::abs(r.power - wasserstein_circle(x, grid, {.period = period}).power) < tolerance);
    CHECK(std::abs(w.power - wasserstein_circle(x, grid, a, v, {.period = period}).power) <
          tolerance);
    VectorXd const turned = x.array() + 0.37 * period;
    CHECK(std::abs(wasserstein_circle_to_uniform(turned, a, period).power - w.power) < 1e-13);
    CHECK_THAT(wasserstein_circle_to_uniform(x, VectorXd(7 * a), period).power,
               WithinRel(w.power, 1e-13));
    double const h = 1e-5;
    for (Index k = 0; k < n; ++k) {
      VectorXd up = x, down = x;
      up(k) += h;
      down(k) -= h;
      CHECK(std::abs((wasserstein_circle_to_uniform(up, a, period).power -
                      wasserstein_circle_to_uniform(down, a, period).power) /
                         (2 * h) -
                     w.gradient(k)) < 1e-9);
    }
  }
  // All mass at one point: int_0^1/2 2 t^2 dt = 1 / 12; n even points: period^2 / (12 n^2).
  CHECK_THAT(wasserstein_circle_to_uniform(VectorXd::Constant(1, 0.3)).power,
             WithinRel(1.0 / 12, 1e-15));
  VectorXd const even = VectorXd{{0.05, 0.3, 0.55, 0.8}};
  CHECK_THAT(wasserstein_circle_to_uniform(even).power, WithinRel(1.0 / 192, 1e-14));
}

TEST_CASE("the kernels allocate nothing once they have seen the size") {
  namespace detail = monge::ot::detail;
  VectorXd x = turns(300, 81), y = turns(300, 82);
  std::sort(x.data(), x.data() + 300);
  std::sort(y.data(), y.data() + 300);
  detail::CircleScratch<double> scratch;
  auto const run = [&](Index m, auto c) {
    return detail::circle_uniform(x.data(), 300, y.data(), m, 1.0, c, scratch).power;
  };
  double const first = run(300, detail::SecondPower{}) + run(200, detail::SecondPower{}) +
                       run(200, detail::FirstPower{});
  double second = 0;
  CHECK(monge::test::allocations([&] {
          second = run(300, detail::SecondPower{}) + run(200, detail::SecondPower{}) +
                   run(200, detail::FirstPower{});
        }) == 0);
  CHECK(first == second);
}

TEST_CASE("many points keep their certificate on the circle") {
  Index const n = 100000, m = 70000;
  VectorXd const x = turns(n, 91), y = turns(m, 92, 0, 1).array().square();
  for (double p : {1.0, 2.0}) {
    auto const r = wasserstein_circle(x, y, {.p = p});
    CHECK(r.converged());
    CHECK(r.duality_gap <= 1e-12 * r.power);
  }
  auto const single =
      wasserstein_circle(VectorX<float>(x.cast<float>()), VectorX<float>(y.cast<float>()));
  CHECK(single.converged());
  CHECK_THAT(single.power, WithinRel(wasserstein_circle(x, y).power, 1e-5));
}

TEST_CASE("rows, expressions and points of any winding are taken") {
  MatrixX<double> const M = support::matrix(3, 20, 95);
  VectorXd const x = M.row(1), y = M.row(2);
  double const power = wasserstein_circle(x, y).power;
  CHECK(wasserstein_circle(M.row(1), M.row(2)).power == power);
  VectorXd const wound = x.array() - 3;
  CHECK(std::abs(wasserstein_circle(wound, y).power - power) < 1e-14);
  VectorXd const edge = VectorXd{{-1e-20, 1.0, 0.0}}, zero = VectorXd::Zero(2);
  CHECK(wasserstein_circle(edge, zero).power == 0);
}

TEST_CASE("misuse on the circle is refused in the caller's words") {
  VectorXd const x = turns(4, 96), y = turns(3, 97), a = support::weights(4, 98),
                 b = support::weights(3, 99);
  VectorXd bad = x;
  bad(2) = std::numeric_limits<double>::quiet_NaN();
  CHECK_REFUSED(wasserstein_circle(x, y, {.p = 0.5}), "wasserstein_circle: p is 0.5");
  CHECK_REFUSED(wasserstein_circle(x, y, {.period = 0}), "period is 0");
  CHECK_REFUSED(wasserstein_circle(x, y, {.period = monge::infinity}), "period is inf");
  CHECK_REFUSED(wasserstein_circle(bad, y), "x(2) is nan");
  CHECK_REFUSED(wasserstein_circle(VectorXd(), y), "x has no points");
  CHECK_REFUSED(wasserstein_circle(x, y, b, b), "x has 4 points but a has 3 entries");
  VectorXd const heavy = 1.01 * b;
  CHECK_REFUSED(wasserstein_circle(x, y, a, heavy), "rescale one of them");
  CHECK_REFUSED(wasserstein_circle_to_uniform(bad), "x(2) is nan");
  CHECK_REFUSED(wasserstein_circle_to_uniform(x, -1.0), "period is -1");
  CHECK_REFUSED(wasserstein_circle_to_uniform(x, b), "x has 4 points but a has 3 entries");
  CHECK_REFUSED(wasserstein_circle_to_uniform(x, VectorXd(VectorXd::Zero(4))), "sum to 0");
  CHECK_REFUSED(wasserstein_circle_to_uniform(x, VectorXd(-a)), "a(0) is");
  VectorXd const far = VectorXd{{0.0}}, opposite = VectorXd{{4e307}};
  CHECK(wasserstein_circle(far, opposite, {.p = 2, .period = 1e308}).status == Status::non_finite);
}

}  // namespace
