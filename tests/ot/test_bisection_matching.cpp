// SPDX-License-Identifier: MIT
// Laws of a heuristic: it returns a bijection whose cost is what it says, more work never costs
// more, the bound holds against the exact assignment, and easy problems are solved exactly.
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
#include <monge/core/threads.hpp>
#include <monge/ot/assignment.hpp>
#include <monge/ot/bisection_matching.hpp>

namespace {

using Eigen::MatrixXd;
using monge::Index;
using monge::MatrixX;
using monge::ot::assignment;
using monge::ot::bisection_matching;
using monge::ot::BisectionMatching;
using monge::ot::cost_matrix;
using monge::ot::squared_euclidean;

/// A permutation, and the cost that is claimed. Returns the cost recomputed.
template <class S, class F>
double check(MatrixX<S> const& X, MatrixX<S> const& Y, F const& c, BisectionMatching<S> const& r) {
  Index const n = X.cols();
  REQUIRE(r.row_to_column.size() == n);
  std::vector<bool> used(std::size_t(n), false);
  double cost = 0;
  for (Index i = 0; i < n; ++i) {
    Index const j = r.row_to_column(i);
    REQUIRE(j >= 0);
    REQUIRE(j < n);
    REQUIRE_FALSE(used[std::size_t(j)]);
    used[std::size_t(j)] = true;
    cost += double(c(X.col(i), Y.col(j)));
  }
  double const u = std::numeric_limits<S>::epsilon();
  REQUIRE(std::abs(double(r.cost) - cost) <= 16 * u * std::abs(cost));
  return cost;
}

TEMPLATE_TEST_CASE("every size and dimension gives a bijection of the cost that is claimed", "",
                   float, double) {
  using S = TestType;
  for (Index d : {1, 2, 5}) {
    for (Index n : {1, 2, 3, 4, 5, 7, 16, 33, 200}) {
      CAPTURE(d, n);
      MatrixX<S> const X = support::points<S>(d, n, 1), Y = support::points<S>(d, n, 2);
      auto const r = bisection_matching(X, Y, squared_euclidean{}, {.trees = 5});
      double const cost = check(X, Y, squared_euclidean{}, r);
      double const optimum = double(assignment(cost_matrix(X, Y, squared_euclidean{})).cost);
      CHECK(cost >= optimum * (1 - 1e-6));
      if (n <= 2) CHECK(std::abs(cost - optimum) <= 1e-6 * optimum);
      CHECK(r.f.size() == 0);
      CHECK(r.duality_gap == monge::infinity);
    }
  }
}

TEST_CASE("the certified gap bounds the error, and the potentials are feasible") {
  for (std::uint64_t seed : {1, 2, 3}) {
    Index const n = 300;
    MatrixXd const X = support::points(2, n, seed);
    MatrixXd const Y = support::points(2, n, seed + 10).array().cube() + 0.3;
    MatrixXd const C = cost_matrix(X, Y, squared_euclidean{});
    double const optimum = assignment(C).cost;
    auto const plain = bisection_matching(X, Y, squared_euclidean{}, {.trees = 16});
    auto const r = bisection_matching(X, Y, squared_euclidean{}, {.trees = 16, .certify = true});
    check(X, Y, squared_euclidean{}, r);
    CHECK(r.cost <= plain.cost * (1 + 1e-14));
    CHECK(r.cost - optimum <= r.duality_gap + 1e-12);
    CHECK(r.duality_gap >= 0);
    CHECK(((C.colwise() - r.f).rowwise() - r.g.transpose()).minCoeff() >= -1e-14);
    CHECK(std::abs(r.cost - r.f.sum() - r.g.sum() - r.duality_gap) <= 1e-11);
    CHECK(plain.cost < 1.1 * optimum);
    CHECK(r.cost < 1.05 * optimum);
    CHECK(r.duality_gap < 0.3 * optimum);
  }
}

TEST_CASE("more trees and exchanges do not cost more") {
  MatrixXd const X = support::points(2, 500, 4), Y = support::points(2, 500, 5);
  double last = monge::infinity;
  for (int trees : {1, 2, 4, 8, 16, 32}) {  // a prefix of the same sequence of trees
    auto const r = bisection_matching(X, Y, squared_euclidean{}, {.trees = trees, .exchanges = 0});
    CHECK(r.cost <= last);
    last = r.cost;
    auto const better = bisection_matching(X, Y, squared_euclidean{}, {.trees = trees});
    CHECK(better.cost <= r.cost);
  }
}

TEST_CASE("a merge takes the cheaper half of every cycle") {
  namespace detail = monge::ot::detail;
  MatrixXd const X = support::points(2, 40, 6), Y = support::points(2, 40, 7);
  squared_euclidean const c;
  detail::PairCost<double, squared_euclidean> const cost{X, Y, c};
  detail::Bijection<double> one(40), two(40);
  for (std::int32_t i = 0; i < 40; ++i) {
    std::int32_t const next = std::int32_t(i / 5 * 5 + (i + 1) % 5);  // eight cycles of five
    one.pair(i, i, cost(i, i));
    two.pair(i, next, cost(i, next));
  }
  double expected = 0;
  for (std::size_t first = 0; first < 40; first += 5) {
    double own = 0, other = 0;
    for (std::size_t i = first; i < first + 5; ++i) {
      own += one.cost[i];
      other += two.cost[i];
    }
    expected += std::min(own, other);
  }
  std::vector<char> seen(40);
  detail::merge_bijections(one, two, seen);
  double merged = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    merged += one.cost[i];
    CHECK(one.row[std::size_t(one.column[i])] == std::int32_t(i));
  }
  CHECK(std::abs(merged - expected) < 1e-14);
}

TEST_CASE("points on a line are paired in order, and a far shift is found") {
  MatrixXd const x = support::points(1, 400, 8), y = support::points(1, 400, 9);
  auto const r = bisection_matching(x, y, squared_euclidean{});
  Eigen::RowVectorXd u = x, v = y;
  std::sort(u.data(), u.data() + 400);
  std::sort(v.data(), v.data() + 400);
  CHECK(std::abs(r.cost - (u - v).squaredNorm()) <= 1e-12);
  // A translation is optimal for the squared distance; every split keeps the pairs together.
  MatrixXd const X = support::points(3, 300, 10), Y = X.colwise() + Eigen::Vector3d(5, -7, 2);
  auto const s = bisection_matching(X, Y, squared_euclidean{}, {.trees = 1, .exchanges = 0});
  for (Index i = 0; i < 300; ++i) REQUIRE(s.row_to_column(i) == i);
}

TEST_CASE("any cost works, and equal points are no obstacle") {
  MatrixXd const X = (4 * support::points(2, 200, 11)).array().round(),
                 Y = (4 * support::points(2, 200, 12)).array().round();
  auto const own = [](auto const& x, auto const& y) {
    return (x - y).cwiseAbs().sum() + std::abs(x(0) * y(1));
  };
  auto const r = bisection_matching(X, Y, own, {.certify = true});
  check(X, Y, own, r);
  double const optimum = assignment(cost_matrix(X, Y, own)).cost;
  CHECK(r.cost - optimum <= r.duality_gap + 1e-12);
  check(X, Y, monge::ot::cosine{}, bisection_matching(X, Y, monge::ot::cosine{}));
  check(X, Y, monge::ot::euclidean{}, bisection_matching(X, Y, monge::ot::euclidean{}));
  MatrixXd const one = MatrixXd::Ones(2, 50);
  CHECK(bisection_matching(one, one, squared_euclidean{}).cost == 0);
}

TEST_CASE("the answer depends on the key and on nothing else") {
  MatrixXd const X = support::points(2, 700, 13), Y = support::points(2, 700, 14);
  auto const run = [&](monge::Parallel parallel, std::uint64_t seed) {
    return bisection_matching(X, Y, squared_euclidean{}, {.trees = 6, .parallel = parallel},
                              {seed, 3});
  };
  auto const serial = run({}, 1), again = run({}, 1), threads = run(monge::parallel::threads(3), 1),
             other = run({}, 2);
  CHECK(serial.row_to_column == again.row_to_column);
  CHECK(serial.row_to_column == threads.row_to_column);
  CHECK(serial.cost == threads.cost);
  CHECK(serial.row_to_column != other.row_to_column);
  Eigen::Matrix<double, -1, -1, Eigen::RowMajor> const rows = X;
  CHECK(bisection_matching(rows, Y.leftCols(700), squared_euclidean{}, {.trees = 6}, {1, 3})
            .row_to_column == serial.row_to_column);
}

TEST_CASE("misuse of bisection_matching is refused in the caller's words") {
  MatrixXd const X = support::points(2, 5, 15), Y = support::points(2, 6, 16);
  CHECK_REFUSED(bisection_matching(X, Y, squared_euclidean{}),
                "bisection_matching: X is 2x5 and Y is 2x6");
  CHECK_REFUSED(bisection_matching(MatrixXd(2, 0), MatrixXd(2, 0), squared_euclidean{}),
                "X is 2x0");
  CHECK_REFUSED(bisection_matching(X, X, squared_euclidean{}, {.trees = 0}), "trees is 0");
  CHECK_REFUSED(bisection_matching(X, X, squared_euclidean{}, {.exchanges = -1}),
                "exchanges is -1");
  MatrixXd bad = X;
  bad(1, 3) = monge::not_a_number;
  CHECK_REFUSED(bisection_matching(X, bad, squared_euclidean{}), "NaN or infinity in Y");
}

}  // namespace
