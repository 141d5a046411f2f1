// SPDX-License-Identifier: MIT
// What every metric of positive definite matrices must do, as checks that the test of one calls.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/covariances.hpp"
#include "support/throws.hpp"

namespace monge::test {

using Eigen::MatrixXd;

inline double apart(MatrixXd const& X, MatrixXd const& Y) { return (X - Y).norm(); }

/// Three matrices of a condition number, their entries of size 1.
struct Triple {
  MatrixXd A, B, C;
};
inline Triple triple(Eigen::Index n, double condition) {
  return {support::covariance(n, 1, condition), 1.7 * support::covariance(n, 2, condition),
          0.6 * support::covariance(n, 3, condition)};
}

template <class Metric>
void check_distance(Metric const& metric, Triple const& p, double tolerance) {
  double const ab = metric.distance(p.A, p.B), bc = metric.distance(p.B, p.C);
  CHECK(ab > 0);
  CHECK(metric.distance(p.A, p.A) <= 0.01 * tolerance);
  CHECK(std::abs(metric.distance(p.B, p.A) - ab) < tolerance * ab);
  CHECK(metric.distance(p.A, p.C) < ab + bc);
}

/// exp and log are inverse, geodesics are exp of multiples of log, and lengths are distances.
template <class Metric>
void check_geodesics(Metric const& metric, Triple const& p, double tolerance) {
  double const d = metric.distance(p.A, p.B);
  MatrixXd const V = metric.log(p.A, p.B);
  CHECK(apart(metric.exp(p.A, V), p.B) < tolerance * p.B.norm());
  CHECK(std::abs(metric.norm(p.A, V) - d) < tolerance * d);
  CHECK(apart(metric.geodesic(p.A, p.B, 0), p.A) < tolerance);
  CHECK(apart(metric.geodesic(p.A, p.B, 1), p.B) < tolerance);
  for (double t : {0.25, 0.7}) {
    MatrixXd const X = metric.geodesic(p.A, p.B, t);
    CHECK(apart(metric.exp(p.A, t * V), X) < tolerance);
    CHECK(apart(metric.geodesic(p.B, p.A, 1 - t), X) < tolerance);
    CHECK(std::abs(metric.distance(p.A, X) - t * d) < tolerance * d);
    CHECK(std::abs(metric.distance(X, p.B) - (1 - t) * d) < tolerance * d);
  }
}

/// The metric is the derivative of the distance: d(A, exp_A(h V)) = h |V|.
template <class Metric>
void check_inner(Metric const& metric, Triple const& p, double tolerance) {
  MatrixXd const U = metric.log(p.A, p.B), V = metric.log(p.A, p.C);
  double const uu = metric.inner(p.A, U, U), vv = metric.inner(p.A, V, V);
  double const uv = metric.inner(p.A, U, V), sum = metric.inner(p.A, U + V, U + V);
  CHECK(std::abs(sum - (uu + 2 * uv + vv)) < tolerance * (uu + vv));
  CHECK(std::abs(metric.inner(p.A, V, U) - uv) < tolerance * (uu + vv));
  MatrixXd const near = metric.exp(p.A, 1e-3 * V);
  CHECK(std::abs(metric.distance(p.A, near) - 1e-3 * std::sqrt(vv)) < tolerance * std::sqrt(vv));
  CHECK(apart(metric.log(p.A, near), 1e-3 * V) < tolerance * V.norm());
}

/// Parallel transport keeps inner products, carries the tangent of a geodesic along, and is undone
/// by the way back.
template <class Metric>
void check_transport(Metric const& metric, Triple const& p, double tolerance) {
  MatrixXd const U = metric.log(p.A, p.B), V = metric.log(p.A, p.C);
  MatrixXd const moved_u = metric.transport(p.A, p.B, U), moved_v = metric.transport(p.A, p.B, V);
  double const uu = metric.inner(p.A, U, U), vv = metric.inner(p.A, V, V);
  CHECK(std::abs(metric.inner(p.B, moved_u, moved_v) - metric.inner(p.A, U, V)) <
        tolerance * std::sqrt(uu * vv));
  CHECK(std::abs(metric.inner(p.B, moved_v, moved_v) - vv) < tolerance * vv);
  CHECK(apart(moved_u, -metric.log(p.B, p.A)) < tolerance * moved_u.norm());
  CHECK(apart(metric.transport(p.B, p.A, moved_v), V) < tolerance * V.norm());
}

template <class Metric>
void check_refusals(Metric const& metric) {
  MatrixXd const I = MatrixXd::Identity(3, 3), J = MatrixXd::Identity(2, 2);
  MatrixXd skew = I, broken = I;
  skew(0, 1) = 1;
  broken(1, 1) = std::numeric_limits<double>::quiet_NaN();
  CHECK_REFUSED(metric.distance(I, J), "distance: the first matrix is 3x3 but another one is 2x2");
  CHECK_REFUSED(metric.distance(I, MatrixXd(-I)), "positive");
  CHECK_REFUSED(metric.log(MatrixXd(-I), I), "log: the matrix is not positive semidefinite");
  CHECK_REFUSED(metric.distance(skew, I), "distance: the matrix is not symmetric");
  CHECK_REFUSED(metric.exp(I, broken), "exp: the matrix has NaN");
  CHECK_REFUSED(metric.geodesic(I, I, std::numeric_limits<double>::infinity()), "geodesic: t is");
  CHECK_REFUSED(metric.exp(MatrixXd(0 * I), I), "exp: the matrix is singular");
  CHECK_REFUSED(metric.distance(MatrixXd(2, 3), I), "distance: the matrix is 2x3");
}

}  // namespace monge::test
