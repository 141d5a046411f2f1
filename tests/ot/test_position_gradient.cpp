// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/position_gradient.hpp>
#include <monge/ot/sinkhorn.hpp>

using namespace monge;

namespace {

/// c(x, y) = |x|^2 |x - y|^2: a user's cost that is not symmetric.
struct Lopsided {
  template <class X, class Y>
  double operator()(X const& x, Y const& y) const {
    return x.squaredNorm() * (x - y).squaredNorm();
  }
  template <class X, class Y>
  Eigen::VectorXd gradient_x(X const& x, Y const& y) const {
    return 2 * (x - y).squaredNorm() * x + 2 * x.squaredNorm() * (x - y);
  }
  template <class X, class Y>
  Eigen::VectorXd gradient_y(X const& x, Y const& y) const {
    return -2 * x.squaredNorm() * (x - y);
  }
};

// Solved with one kind of cost only, so that this file compiles quickly.
double value(Eigen::MatrixXd const& C, Eigen::VectorXd const& a, Eigen::VectorXd const& b) {
  return ot::sinkhorn(C, a, b, {.epsilon = 0.3, .tolerance = 1e-12}).dual_value;
}

}  // namespace

TEMPLATE_TEST_CASE("position_gradient: agrees with central differences of the regularised cost",
                   "[position_gradient]", ot::squared_euclidean, ot::euclidean, ot::p_norm,
                   ot::cosine, Lopsided) {
  Eigen::MatrixXd const X = support::points(3, 7, 1), Y = support::points(3, 5, 2);
  Eigen::VectorXd const a = support::weights(7, 3), b = support::weights(5, 4);
  std::vector<TestType> costs(1);
  if constexpr (std::is_same_v<TestType, ot::p_norm>) costs = {{1}, {1.5}, {2}, {3}, {infinity}};
  for (TestType const& c : costs) {
    Eigen::MatrixXd const C = ot::cost_matrix(X, Y, c);
    auto const r = ot::sinkhorn(C, a, b, {.epsilon = 0.3, .tolerance = 1e-12});
    auto const gradient = ot::position_gradient(X, Y, c, r);
    double const h = 1e-5;
    auto const difference = [&](Index k, Index i, bool first) {
      Eigen::MatrixXd moved[2] = {X, Y};
      double ends[2];
      for (int side = 0; side < 2; ++side) {
        moved[first ? 0 : 1](k, i) += side == 0 ? -h : 2 * h;
        ends[side] = value(ot::cost_matrix(moved[0], moved[1], c), a, b);
      }
      return (ends[1] - ends[0]) / (2 * h);
    };
    double worst = 0;
    for (Index k = 0; k < 3; ++k) {
      for (Index i : {0, 3, 6}) {
        worst = std::max(worst, std::abs(gradient.X(k, i) - difference(k, i, true)));
      }
      for (Index j : {0, 4}) {
        worst = std::max(worst, std::abs(gradient.Y(k, j) - difference(k, j, false)));
      }
    }
    CHECK(worst <= 1e-9);
    CHECK(gradient.X.cwiseAbs().maxCoeff() > 1e-3);
  }
}

TEST_CASE("position_gradient: of the squared distance is 2 (a x - P y), for more than one block",
          "[position_gradient]") {
  Eigen::MatrixXd const X = support::points(2, 600, 1), Y = support::points(2, 9, 2);
  auto const cloud = ot::point_cloud(X, Y, ot::squared_euclidean{});
  auto const r =
      ot::sinkhorn(cloud, support::weights(600, 3), support::weights(9, 4), {.epsilon = 0.2});
  auto const gradient = ot::position_gradient(X, Y, ot::squared_euclidean{}, r);
  auto const sums = ot::marginals(cloud, r);
  Eigen::MatrixXd const expected =
      2 * (X * sums.rows.asDiagonal() - ot::apply(cloud, r, Y.transpose()).transpose());
  CHECK((gradient.X - expected).cwiseAbs().maxCoeff() <= 1e-15);
  // Moving everything together changes nothing.
  CHECK((gradient.X.rowwise().sum() + gradient.Y.rowwise().sum()).cwiseAbs().maxCoeff() <= 1e-14);
}

TEST_CASE("position_gradient: in float as in double", "[position_gradient]") {
  Eigen::MatrixXf const X = support::points<float>(2, 20, 1), Y = support::points<float>(2, 30, 2);
  Eigen::VectorXf const a = support::weights<float>(20, 3), b = support::weights<float>(30, 4);
  auto const r = ot::sinkhorn(ot::point_cloud(X, Y, ot::euclidean{}), a, b, {.epsilon = 0.2});
  auto const narrow = ot::position_gradient(X, Y, ot::euclidean{}, r);
  Eigen::MatrixXd const C = ot::cost_matrix(X, Y, ot::euclidean{}).cast<double>();
  Eigen::VectorXd const wide_b =
      b.cast<double>() * (a.cast<double>().sum() / b.cast<double>().sum());
  auto const exact = ot::sinkhorn(C, a.cast<double>(), wide_b, {.epsilon = 0.2});
  auto const wide =
      ot::position_gradient(X.cast<double>(), Y.cast<double>(), ot::euclidean{}, exact);
  CHECK((narrow.X.cast<double>() - wide.X).cwiseAbs().maxCoeff() <= 1e-6);
  CHECK((narrow.Y.cast<double>() - wide.Y).cwiseAbs().maxCoeff() <= 1e-6);
}

TEST_CASE("position_gradient: coinciding points and the origin give 0, not NaN",
          "[position_gradient]") {
  Eigen::MatrixXd const X = Eigen::MatrixXd::Zero(2, 3);
  Eigen::VectorXd const a = support::uniform_weights(3);
  auto const r = ot::sinkhorn(Eigen::MatrixXd::Zero(3, 3), a, a, {.epsilon = 1.0});
  for (auto const& gradient :
       {ot::position_gradient(X, X, ot::squared_euclidean{}, r),
        ot::position_gradient(X, X, ot::euclidean{}, r),
        ot::position_gradient(X, X, ot::cosine{}, r), ot::position_gradient(X, X, ot::p_norm{1}, r),
        ot::position_gradient(X, X, ot::p_norm{3}, r),
        ot::position_gradient(X, X, ot::p_norm{infinity}, r)}) {
    CHECK(gradient.X.isZero(0));
    CHECK(gradient.Y.isZero(0));
  }
}

TEST_CASE("position_gradient: misuse is refused", "[position_gradient]") {
  Eigen::MatrixXd const X = support::points(2, 3, 1), Y = support::points(2, 4, 2);
  auto const r = ot::sinkhorn(ot::cost_matrix(X, Y, ot::euclidean{}), support::weights(3, 1),
                              support::weights(4, 1), {.epsilon = 1.0});
  CHECK_REFUSED(ot::position_gradient(Y, X, ot::euclidean{}, r),
                "cost is 4x3 but the solution has 3 and 4 potentials");
  CHECK_REFUSED(ot::position_gradient(X, Y.topRows(1), ot::euclidean{}, r),
                "X has 2 coordinates and Y has 1");
}
