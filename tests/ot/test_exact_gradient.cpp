// SPDX-License-Identifier: MIT
// The gradients of exact transport against central differences of its value.
#include <Eigen/Core>

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/exact.hpp>
#include <monge/ot/position_gradient.hpp>

namespace {

using Catch::Matchers::WithinAbs;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
namespace ot = monge::ot;

constexpr double h = 1e-6;

double value(MatrixXd const& C, VectorXd const& a, VectorXd const& b,
             ot::ExactOptions const& options = {}) {
  auto const r = ot::exact(C, a, b, options);
  REQUIRE(r.converged());
  return r.transport_cost + r.penalty;
}

struct Problem {
  MatrixXd X = support::points(3, 9, 1), Y = support::points(3, 7, 2);
  VectorXd a = support::weights(9, 3), b = support::weights(7, 4);
  MatrixXd C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
};

}  // namespace

TEST_CASE("exact: the gradient with respect to the cost is the plan", "[exact]") {
  Problem const p;
  MatrixXd const P = ot::exact(p.C, p.a, p.b).plan;
  for (Index j = 0; j < 7; ++j) {
    for (Index i = 0; i < 9; ++i) {
      MatrixXd up = p.C, down = p.C;
      up(i, j) += h;
      down(i, j) -= h;
      REQUIRE_THAT((value(up, p.a, p.b) - value(down, p.a, p.b)) / (2 * h),
                   WithinAbs(P(i, j), 1e-8));
    }
  }
}

TEST_CASE("exact: the gradient with respect to the weights is the centred duals", "[exact]") {
  Problem const p;
  auto const gradient = ot::weight_gradient(ot::exact(p.C, p.a, p.b));
  REQUIRE_THAT(gradient.a.sum(), WithinAbs(0, 1e-14));
  REQUIRE_THAT(gradient.b.sum(), WithinAbs(0, 1e-14));
  // Along all changes that keep the masses: one weight up and the others of its side down.
  for (Index i = 0; i < 9; ++i) {
    VectorXd const along = VectorXd::Unit(9, i).array() - 1. / 9;
    double const slope =
        (value(p.C, p.a + h * along, p.b) - value(p.C, p.a - h * along, p.b)) / (2 * h);
    REQUIRE_THAT(gradient.a.dot(along), WithinAbs(slope, 1e-8));
    REQUIRE_THAT(gradient.a(i), WithinAbs(slope, 1e-8));
  }
  for (Index j = 0; j < 7; ++j) {
    VectorXd const along = VectorXd::Unit(7, j).array() - 1. / 7;
    double const slope =
        (value(p.C, p.a, p.b + h * along) - value(p.C, p.a, p.b - h * along)) / (2 * h);
    REQUIRE_THAT(gradient.b(j), WithinAbs(slope, 1e-8));
  }
}

TEST_CASE("exact: if mass is left over the duals are the gradient without a gauge", "[exact]") {
  Problem p;
  for (double const factor : {0.6, 1.5}) {
    VectorXd const a = factor * p.a;
    for (ot::ExactOptions const& options :
         {ot::ExactOptions{.extra_mass_penalty = 0.7}, ot::ExactOptions{.mass = 0.4}}) {
      auto const gradient = ot::weight_gradient(ot::exact(p.C, a, p.b, options));
      for (Index i = 0; i < 9; ++i) {
        VectorXd const step = h * VectorXd::Unit(9, i);
        double const slope =
            (value(p.C, a + step, p.b, options) - value(p.C, a - step, p.b, options)) / (2 * h);
        REQUIRE_THAT(gradient.a(i), WithinAbs(slope, 1e-8));
      }
      for (Index j = 0; j < 7; ++j) {
        VectorXd const step = h * VectorXd::Unit(7, j);
        double const slope =
            (value(p.C, a, p.b + step, options) - value(p.C, a, p.b - step, options)) / (2 * h);
        REQUIRE_THAT(gradient.b(j), WithinAbs(slope, 1e-8));
      }
    }
  }
}

TEMPLATE_TEST_CASE("exact: the gradient with respect to the points", "[exact]",
                   ot::squared_euclidean, ot::euclidean, ot::p_norm, ot::cosine) {
  Problem const p;
  std::vector<TestType> costs(1);
  if constexpr (std::is_same_v<TestType, ot::p_norm>) costs = {{1}, {1.5}, {3}, {monge::infinity}};
  for (TestType const& c : costs) {
    auto const r = ot::exact(ot::cost_matrix(p.X, p.Y, c), p.a, p.b);
    auto const gradient = ot::position_gradient(p.X, p.Y, c, r);
    auto const slope = [&](Index k, Index i, bool first) {
      double ends[2];
      for (int side = 0; side < 2; ++side) {
        MatrixXd X = p.X, Y = p.Y;
        (first ? X : Y)(k, i) += side == 0 ? -h : h;
        ends[side] = value(ot::cost_matrix(X, Y, c), p.a, p.b);
      }
      return (ends[1] - ends[0]) / (2 * h);
    };
    for (Index k = 0; k < 3; ++k) {
      for (Index i : {0, 4, 8}) REQUIRE_THAT(gradient.X(k, i), WithinAbs(slope(k, i, true), 1e-8));
      for (Index j : {0, 3, 6}) REQUIRE_THAT(gradient.Y(k, j), WithinAbs(slope(k, j, false), 1e-8));
    }
  }
}

TEST_CASE("exact: for the squared distance it is 2 (a x - P y), for what is moved", "[exact]") {
  Problem const p;
  for (ot::ExactOptions const& options : {ot::ExactOptions{}, ot::ExactOptions{.mass = 0.3}}) {
    auto const r = ot::exact(p.C, p.a, p.b, options);
    MatrixXd const P = r.plan;
    auto const gradient = ot::position_gradient(p.X, p.Y, ot::squared_euclidean{}, r);
    VectorXd const rows = P.rowwise().sum();
    MatrixXd const expected = 2 * (p.X * rows.asDiagonal() - p.Y * P.transpose());
    REQUIRE((gradient.X - expected).cwiseAbs().maxCoeff() <= 1e-14);
    // The whole configuration may be shifted at no cost.
    REQUIRE((gradient.X.rowwise().sum() + gradient.Y.rowwise().sum()).norm() <= 1e-14);
  }
}

TEST_CASE("exact: points that were not solved for are refused", "[exact]") {
  Problem const p;
  auto const r = ot::exact(p.C, p.a, p.b);
  std::string const text =
      support::refusal([&] { (void)ot::position_gradient(p.Y, p.X, ot::squared_euclidean{}, r); });
  REQUIRE(text.find("X is 3x7 and Y is 3x9 but the plan is 9x7") != std::string::npos);
}
