// SPDX-License-Identifier: MIT
// Oracles: all permutations of a few points, values of SciPy's wasserstein_distance, closed forms,
// differences, and the conditions of optimality recomputed here over all pairs.
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/wasserstein_1d.hpp>

namespace {

using Eigen::VectorXd;
using monge::Index;
using monge::MatrixX;
using monge::Status;
using monge::VectorX;
using monge::ot::Answer1d;
using monge::ot::Wasserstein1dResult;
using monge::ot::wasserstein_1d;

template <class S = double>
VectorX<S> line(Index n, std::uint64_t seed, double low = -2, double high = 3) {
  return support::matrix<S>(n, 1, seed, low, high).col(0);
}

/// |x_i - y_j|^p.
template <class S>
MatrixX<double> costs(VectorX<S> const& x, VectorX<S> const& y, double p) {
  MatrixX<double> C(x.size(), y.size());
  for (Index j = 0; j < y.size(); ++j) {
    for (Index i = 0; i < x.size(); ++i) {
      C(i, j) = std::pow(std::abs(double(x(i)) - double(y(j))), p);
    }
  }
  return C;
}

/// Feasibility over all pairs, equality on the plan, marginals, values: all recomputed.
template <class S>
void require_optimal(VectorX<S> const& x, VectorX<S> const& y, VectorX<S> const& a,
                     VectorX<S> const& b, double p, Wasserstein1dResult<S> const& r) {
  INFO(std::string(message(r.status)));
  REQUIRE(r.converged());
  Index const n = x.size(), m = y.size();
  double const u = std::numeric_limits<S>::epsilon();
  MatrixX<double> const C = costs(x, y, p);
  double const mass = a.template cast<double>().sum();
  VectorXd rows = VectorXd::Zero(n), columns = VectorXd::Zero(m);
  REQUIRE(r.plan.rows() == n);
  REQUIRE(r.plan.cols() == m);
  REQUIRE(r.plan.nonZeros() <= n + m - 1);
  double cost = 0, dual = 0;
  double const size = r.f.cwiseAbs().maxCoeff() + r.g.cwiseAbs().maxCoeff() + C.maxCoeff();
  for (Index j = 0; j < m; ++j) {
    Index last = -1;
    for (typename Eigen::SparseMatrix<S>::InnerIterator entry(r.plan, j); entry; ++entry) {
      REQUIRE(entry.value() > 0);
      REQUIRE(entry.row() > last);
      last = entry.row();
      rows(last) += double(entry.value());
      columns(j) += double(entry.value());
      cost += double(entry.value()) * C(last, j);
      REQUIRE(std::abs(C(last, j) - double(r.f(last)) - double(r.g(j))) <= 16 * u * size);
    }
  }
  for (Index i = 0; i < n; ++i) dual += double(a(i)) * double(r.f(i));
  for (Index j = 0; j < m; ++j) dual += double(b(j)) * double(r.g(j));
  double const marginals = (rows - a.template cast<double>()).cwiseAbs().sum() +
                           (columns - b.template cast<double>()).cwiseAbs().sum();
  REQUIRE(marginals <= 8 * double(n + m) * u * mass);
  for (Index j = 0; j < m; ++j) {
    for (Index i = 0; i < n; ++i) {
      REQUIRE(double(r.f(i)) + double(r.g(j)) <= C(i, j) + 16 * u * size);
    }
  }
  REQUIRE(std::abs(cost - double(r.power)) <= 64 * u * cost);
  REQUIRE(std::abs(dual - double(r.power)) <= 64 * u * size * mass);
  REQUIRE(std::abs(double(r.value) - std::pow(double(r.power), 1 / p)) <= 8 * u * double(r.value));
  double const gauge = double(r.a.dot(r.f)) - double(r.b.dot(r.g));
  REQUIRE(std::abs(gauge) <= 64 * u * size * mass);
}

TEMPLATE_TEST_CASE("the coupling and the potentials prove each other", "", float, double) {
  using S = TestType;
  for (double p : {1.0, 1.5, 2.0, 3.7}) {
    for (auto [n, m] : {std::pair<Index, Index>{1, 1}, {1, 9}, {12, 1}, {40, 40}, {31, 50}}) {
      CAPTURE(p, n, m);
      VectorX<S> const x = line<S>(n, 1), y = line<S>(m, 2, -1, 5);
      require_optimal<S>(x, y, support::uniform_weights<S>(n), support::uniform_weights<S>(m), p,
                         wasserstein_1d(x, y, {.p = p}));
      VectorX<S> a = support::weights<S>(n, 3), b = support::weights<S>(m, 4);
      if (n > 3) a(2) = 0;
      if (m > 3) b(0) = b(3) = 0;
      a /= a.sum();
      b /= b.sum();
      require_optimal<S>(x, y, a, b, p, wasserstein_1d(x, y, a, b, {.p = p}));
    }
  }
}

TEST_CASE("ties, repeated points and integer data are optimal too") {
  for (double p : {1.0, 2.0, 2.5}) {
    for (std::uint64_t seed : {1, 2, 3}) {
      CAPTURE(p, seed);
      VectorXd const x = (line(30, seed) * 2).array().floor(),
                     y = (line(20, seed + 5) * 2).array().floor();
      VectorXd a = (line(30, seed + 7, 0, 4)).array().floor(), b = VectorXd::Ones(20);
      a(0) += 4;
      b *= a.sum() / 20;
      require_optimal<double>(x, y, a, b, p, wasserstein_1d(x, y, a, b, {.p = p}));
      require_optimal<double>(x, y, support::uniform_weights(30), support::uniform_weights(20), p,
                              wasserstein_1d(x, y, {.p = p}));
    }
  }
}

TEST_CASE("no permutation is cheaper") {
  for (double p : {1.0, 1.3, 2.0, 5.0}) {
    VectorXd const x = line(6, 11), y = line(6, 12);
    MatrixX<double> const C = costs<double>(x, y, p);
    std::vector<Index> column = {0, 1, 2, 3, 4, 5};
    double least = monge::infinity;
    do {
      double cost = 0;
      for (Index i = 0; i < 6; ++i) cost += C(i, column[std::size_t(i)]) / 6;
      least = std::min(least, cost);
    } while (std::next_permutation(column.begin(), column.end()));
    CHECK(std::abs(wasserstein_1d(x, y, {.p = p}).power - least) <= 1e-14 * least);
  }
}

TEST_CASE("values of SciPy's wasserstein_distance are reproduced") {
  VectorXd const x = VectorXd{{3.4, 3.9, 7.5, 7.8}}, y = VectorXd{{4.5, 1.4}};
  VectorXd a = VectorXd{{1.4, 0.9, 3.1, 7.2}}, b = VectorXd{{3.2, 3.5}};
  a /= a.sum();
  b /= b.sum();
  CHECK(std::abs(wasserstein_1d(x, y, a, b, {.p = 1}).value - 4.0781331438047861) < 1e-14);
  VectorXd const u = VectorXd{{0, 1, 3}}, v = VectorXd{{5, 6, 8}};
  CHECK(wasserstein_1d(u, v, {.p = 1}).value == 5);
}

TEST_CASE("a shift costs its length, for every exponent") {
  VectorXd const x = line(200, 21);
  VectorXd const y = (x.array() + 0.75).reverse();
  for (double p : {1.0, 1.5, 2.0, 10.0}) {
    CHECK(std::abs(wasserstein_1d(x, y, {.p = p}).value - 0.75) < 1e-14);
    CHECK(wasserstein_1d(x, x, {.p = p}).power == 0);
  }
}

TEST_CASE("W_2 of uniform laws sampled at quantiles follows the closed form") {
  // Between U(0, 1) and U(2, 5) the map is 2 + 3 t: W_2^2 = int (2 + 2 t)^2 dt = 28 / 3.
  Index const n = 2000;
  VectorXd const t = (VectorXd::LinSpaced(n, 0, double(n - 1)).array() + 0.5) / double(n);
  VectorXd const y = 2 + 3 * t.array();
  double const midpoint_error = 4.0 / (12.0 * double(n) * double(n));
  CHECK(std::abs(wasserstein_1d(t, y).power + midpoint_error - 28.0 / 3) < 1e-12);
}

TEST_CASE("metric laws: symmetry, triangle, homogeneity, growth with p") {
  VectorXd const x = line(25, 31), y = line(40, 32), z = line(33, 33);
  double last = 0;
  for (double p : {1.0, 1.5, 2.0, 4.0}) {
    double const xy = wasserstein_1d(x, y, {.p = p}).value;
    CHECK(std::abs(wasserstein_1d(y, x, {.p = p}).value - xy) <= 1e-14);
    CHECK(wasserstein_1d(x, z, {.p = p}).value <=
          xy + wasserstein_1d(y, z, {.p = p}).value + 1e-14);
    VectorXd const u = -3 * x, v = -3 * y;
    CHECK(std::abs(wasserstein_1d(u, v, {.p = p}).value - 3 * xy) <= 1e-13);
    CHECK(xy >= last);
    last = xy;
  }
}

TEST_CASE("gradients agree with differences, in points and in weights") {
  double const h = 1e-6;
  for (double p : {1.0, 1.5, 2.0, 3.0}) {
    CAPTURE(p);
    VectorXd const x = line(8, 41), y = line(6, 42), a = support::weights(8, 43),
                   b = support::weights(6, 44);
    auto const r = wasserstein_1d(x, y, a, b, {.p = p});
    for (Index k = 0; k < 8; ++k) {
      VectorXd up = x, down = x;
      up(k) += h;
      down(k) -= h;
      double const slope = (wasserstein_1d(up, y, a, b, {.p = p}).power -
                            wasserstein_1d(down, y, a, b, {.p = p}).power) /
                           (2 * h);
      CHECK(std::abs(slope - r.gradient_x(k)) < 1e-8);
    }
    for (Index k = 0; k < 6; ++k) {
      VectorXd up = y, down = y;
      up(k) += h;
      down(k) -= h;
      double const slope = (wasserstein_1d(x, up, a, b, {.p = p}).power -
                            wasserstein_1d(x, down, a, b, {.p = p}).power) /
                           (2 * h);
      CHECK(std::abs(slope - r.gradient_y(k)) < 1e-8);
    }
    for (Index k = 1; k < 8; ++k) {  // mass moves from point 0 to point k
      VectorXd up = a, down = a;
      up(k) += h;
      up(0) -= h;
      down(k) -= h;
      down(0) += h;
      double const slope = (wasserstein_1d(x, y, up, b, {.p = p}).power -
                            wasserstein_1d(x, y, down, b, {.p = p}).power) /
                           (2 * h);
      CHECK(std::abs(slope - (r.f(k) - r.f(0))) < 1e-8);
    }
  }
}

TEST_CASE("less is asked, the same is told") {
  VectorXd const x = line(70, 51), y = line(70, 52), z = line(41, 53), a = support::weights(70, 54),
                 b = support::weights(41, 55);
  for (double p : {1.0, 2.0, 3.3}) {
    auto const all = wasserstein_1d(x, z, {.p = p});
    auto const some = wasserstein_1d(x, z, {.p = p, .answer = Answer1d::gradients});
    auto const value = wasserstein_1d(x, z, {.p = p, .answer = Answer1d::value});
    CHECK(value.converged());
    CHECK(some.converged());
    CHECK(value.power == all.power);
    CHECK(some.power == all.power);
    CHECK(some.gradient_x == all.gradient_x);
    CHECK(some.plan.size() == 0);
    CHECK(value.gradient_x.size() == 0);
    CHECK(wasserstein_1d(x, z, a, b, {.p = p, .answer = Answer1d::value}).power ==
          wasserstein_1d(x, z, a, b, {.p = p}).power);
    double const equal = wasserstein_1d(x, y, {.p = p}).power;
    VectorXd const w = support::uniform_weights(70);
    CHECK(std::abs(wasserstein_1d(x, y, w, w, {.p = p}).power - equal) <= 1e-14 * equal);
  }
}

TEST_CASE("expressions, rows and blocks are taken as points") {
  MatrixX<double> const M = support::matrix(3, 20, 61);
  VectorXd const x = M.row(1), y = M.row(2);
  double const power = wasserstein_1d(x, y).power;
  CHECK(wasserstein_1d(M.row(1), M.row(2)).power == power);
  CHECK(wasserstein_1d(2 * M.row(1), (2 * y).eval()).power == 4 * power);
}

TEST_CASE("a million points keep their certificate") {
  Index const n = 1000000, m = 700000;
  VectorXd const x = line(n, 71), y = line(m, 72, 0, 4).array().square();
  auto const r = wasserstein_1d(x, y, {.p = 2});
  INFO(std::string(message(r.status)));
  REQUIRE(r.converged());
  REQUIRE(r.plan.nonZeros() <= n + m - 1);
  double const size = r.f.cwiseAbs().maxCoeff() + r.g.cwiseAbs().maxCoeff();
  double worst = 0, unequal = 0;
  auto const slack = [&](Index i, Index j) {
    return (x(i) - y(j)) * (x(i) - y(j)) - r.f(i) - r.g(j);
  };
  std::vector<std::int32_t> order(static_cast<std::size_t>(m)), rank(order.size());
  VectorXd sorted = y;
  monge::detail::SortScratch<double> scratch;
  monge::detail::sort_with_order(sorted.data(), order.data(), m, scratch);
  for (Index k = 0; k < m; ++k) rank[std::size_t(order[std::size_t(k)])] = std::int32_t(k);
  for (Index j = 0; j < m; ++j) {
    for (Eigen::SparseMatrix<double>::InnerIterator entry(r.plan, j); entry; ++entry) {
      unequal = std::max(unequal, std::abs(slack(entry.row(), j)));
      for (Index step : {-1000, -10, -1, 1, 10, 1000, 100000}) {
        Index const k = rank[std::size_t(j)] + step;
        if (k >= 0 && k < m) worst = std::max(worst, -slack(entry.row(), order[std::size_t(k)]));
      }
    }
  }
  CHECK(unequal <= 4 * monge::unit_roundoff<double> * size);
  CHECK(worst <= 4 * monge::unit_roundoff<double> * size);
}

TEST_CASE("far and near points: potentials lose nothing to cancellation") {
  VectorXd x = line(500, 81), y = line(400, 82);
  x.array() += 1e6;
  y.array() += 1e6;
  for (double p : {1.0, 2.0, 1.5}) {
    CAPTURE(p);
    require_optimal<double>(x, y, support::uniform_weights(500), support::uniform_weights(400), p,
                            wasserstein_1d(x, y, {.p = p}));
  }
}

TEST_CASE("misuse is refused in the caller's words") {
  VectorXd const x = line(4, 91), y = line(3, 92), a = support::weights(4, 93),
                 b = support::weights(3, 94);
  VectorXd bad = x;
  bad(2) = std::numeric_limits<double>::quiet_NaN();
  CHECK_REFUSED(wasserstein_1d(x, y, {.p = 0.5}), "wasserstein_1d: p is 0.5");
  CHECK_REFUSED(wasserstein_1d(x, y, {.p = monge::infinity}), "p is inf");
  CHECK_REFUSED(wasserstein_1d(x, y, {.p = monge::not_a_number}), "p is nan");
  CHECK_REFUSED(wasserstein_1d(bad, y), "x(2) is nan");
  CHECK_REFUSED(wasserstein_1d(x, bad), "y(2) is nan");
  bad(2) = monge::infinity;
  CHECK_REFUSED(wasserstein_1d(bad, y), "x(2) is inf");
  CHECK_REFUSED(wasserstein_1d(VectorXd(), y), "x has no points");
  CHECK_REFUSED(wasserstein_1d(x, y, b, b), "x has 4 points but a has 3 entries");
  CHECK_REFUSED(wasserstein_1d(x, y, a, a), "y has 3 points but b has 4 entries");
  VectorXd const heavy = 1.01 * b, negative = -b;
  CHECK_REFUSED(wasserstein_1d(x, y, a, heavy), "rescale one of them");
  CHECK_REFUSED(wasserstein_1d(x, y, a, negative), "b(0) is");
  VectorXd const nothing = VectorXd::Zero(4);
  CHECK_REFUSED(wasserstein_1d(x, y, nothing, b), "sum to 0");
}

TEST_CASE("powers that overflow are an outcome, not an answer") {
  VectorXd const x = VectorXd{{-1e200, 1e200}}, y = VectorXd{{3e200, 1.0}};
  CHECK(wasserstein_1d(x, y, {.p = 2}).status == Status::non_finite);
  CHECK(wasserstein_1d(x, y, {.p = 2, .answer = Answer1d::value}).status == Status::non_finite);
  CHECK(wasserstein_1d(x, y, {.p = 1}).converged());
}

}  // namespace
