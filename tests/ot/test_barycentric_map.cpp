// SPDX-License-Identifier: MIT
#include <limits>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/barycentric_map.hpp>
#include <monge/ot/sinkhorn.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

TEMPLATE_TEST_CASE("barycentric_map averages the targets by the plan", "[barycentric_map]", float,
                   double) {
  using S = TestType;
  Index const n = 530, m = 40;
  MatrixX<S> const X = support::points<S>(3, n, 1), Y = support::points<S>(3, m, 2);
  auto const cloud = ot::point_cloud(X, Y, ot::squared_euclidean{});
  auto const r =
      ot::sinkhorn(cloud, support::weights<S>(n, 3), support::weights<S>(m, 4), {.epsilon = 0.1});
  MatrixX<S> const P = ot::plan(cloud, r);
  MatrixX<S> const average =
      Y * (P.array().colwise() / P.rowwise().sum().array()).matrix().transpose();
  MatrixX<S> const T = ot::barycentric_map(cloud, r, Y);
  CHECK((T - average).cwiseAbs().maxCoeff() < 200 * unit_roundoff<S>);
  CHECK((ot::barycentric_map(ot::cost_matrix(X, Y, ot::squared_euclidean{}), r, Y) - T)
            .cwiseAbs()
            .maxCoeff() < 200 * unit_roundoff<S>);
}

TEST_CASE("barycentric_map of one Gaussian to another is affine in closed form",
          "[barycentric_map]") {
  // In one dimension the entropic plan of two Gaussians is Gaussian with covariance
  // c = (sqrt(4 s1^2 s2^2 + sigma^4) - sigma^2) / 2, 2 sigma^2 = epsilon [JMPC20, Theorem 1], so
  // that E[y | x] = m2 + c / s1^2 (x - m1), also at points that are not in the sample.
  double const m1 = -0.4, s1 = 0.7, m2 = 0.9, s2 = 0.35, epsilon = 0.3;
  Index const n = 300;
  VectorXd const x = VectorXd::LinSpaced(n, m1 - 8 * s1, m1 + 8 * s1);
  VectorXd const y = VectorXd::LinSpaced(n, m2 - 8 * s2, m2 + 8 * s2);
  VectorXd a = (-(x.array() - m1).square() / (2 * s1 * s1)).exp().matrix();
  VectorXd b = (-(y.array() - m2).square() / (2 * s2 * s2)).exp().matrix();
  a /= a.sum();
  b /= b.sum();
  auto const r =
      ot::sinkhorn(ot::point_cloud(x.transpose(), y.transpose(), ot::squared_euclidean{}), a, b,
                   {.epsilon = epsilon, .tolerance = 1e-13});
  Eigen::RowVectorXd const z = Eigen::RowVectorXd::LinSpaced(57, m1 - 3 * s1, m1 + 3 * s1);
  MatrixXd const T = ot::barycentric_map(ot::point_cloud(z, y.transpose(), ot::squared_euclidean{}),
                                         r, y.transpose());
  double const sigma2 = epsilon / 2;
  double const c = (std::sqrt(4 * s1 * s1 * s2 * s2 + sigma2 * sigma2) - sigma2) / 2;
  for (Index k = 0; k < z.size(); ++k) {
    CHECK(std::abs(T(0, k) - (m2 + c / (s1 * s1) * (z(k) - m1))) < 1e-9);
  }
}

TEST_CASE("barycentric_map stays in the hull of the targets, however far the point",
          "[barycentric_map]") {
  MatrixXd const X = support::points(2, 30, 1), Y = support::points(2, 20, 2);
  auto const r = ot::sinkhorn(ot::point_cloud(X, Y, ot::squared_euclidean{}),
                              support::weights(30, 3), support::weights(20, 4), {.epsilon = 1e-3});
  MatrixXd const Z = 1e6 * support::points(2, 50, 5);
  MatrixXd const T = ot::barycentric_map(ot::point_cloud(Z, Y, ot::squared_euclidean{}), r, Y);
  REQUIRE(T.allFinite());
  CHECK((T.rowwise().maxCoeff() - Y.rowwise().maxCoeff()).maxCoeff() <= 1e-15);
  CHECK((T.rowwise().minCoeff() - Y.rowwise().minCoeff()).minCoeff() >= -1e-15);
}

TEST_CASE("barycentric_map averages anything, in threads with the same bits", "[barycentric_map]") {
  MatrixXd const X = support::points(2, 1300, 1), Y = support::points(2, 20, 2);
  auto const cloud = ot::point_cloud(X, Y, ot::squared_euclidean{});
  VectorXd b = support::weights(20, 4);
  b(3) = 0;
  b /= b.sum();
  auto const r = ot::sinkhorn(cloud, support::weights(1300, 3), b, {.epsilon = 0.05});
  MatrixXd labels = support::matrix(5, 20, 6);
  MatrixXd const T = ot::barycentric_map(cloud, r, labels);
  CHECK(T.rows() == 5);
  CHECK(ot::barycentric_map(cloud, r, labels, parallel::threads(2)) == T);
  labels.col(3).setConstant(not_a_number);  // a target without mass takes no part
  CHECK(ot::barycentric_map(cloud, r, labels) == T);
}

TEST_CASE("barycentric_map: forbidden pairs and misuse", "[barycentric_map]") {
  MatrixXd const C = support::matrix(4, 5, 1), Y = support::points(2, 5, 2);
  auto const r = ot::sinkhorn(C, support::weights(4, 2), support::weights(5, 3), {.epsilon = 0.1});
  MatrixXd forbidden = C.topRows(2);
  forbidden.row(1).setConstant(infinity);
  forbidden(0, 1) = infinity;
  MatrixXd const T = ot::barycentric_map(forbidden, r, Y);
  CHECK(T.col(0).allFinite());
  CHECK(T.col(1).hasNaN());
  CHECK_REFUSED(ot::barycentric_map(C.leftCols(4), r, Y), "cost is 4x4 but the solution has 5");
  CHECK_REFUSED(ot::barycentric_map(C, r, Y.leftCols(3)), "Y has 3 points but the solution has 5");
}
