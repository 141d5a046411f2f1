// SPDX-License-Identifier: MIT
#include <limits>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/c_transform.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

TEST_CASE("c-transforms equal their definition", "[c_transform]") {
  Index const n = 600, m = 7;
  MatrixXd const X = support::points(2, n, 1), Y = support::points(2, m, 2);
  MatrixXd const C = ot::cost_matrix(X, Y, ot::euclidean{});
  VectorXd const f = support::points(n, 1, 3), g = support::points(m, 1, 4);
  VectorXd const rows = (C.rowwise() - g.transpose()).rowwise().minCoeff();
  VectorXd const cols = (C.colwise() - f).colwise().minCoeff().transpose();
  CHECK(ot::c_transform_rows(C, g) == rows);
  CHECK(ot::c_transform_columns(C, f) == cols);
  CHECK(ot::c_transform_rows(C, g.transpose()) == rows);
  auto const cloud = ot::point_cloud(X, Y, ot::euclidean{});
  CHECK((ot::c_transform_rows(cloud, g) - rows).lpNorm<Eigen::Infinity>() < 1e-15);
  CHECK((ot::c_transform_columns(cloud, f) - cols).lpNorm<Eigen::Infinity>() < 1e-15);
}

TEST_CASE("c-transforms are feasible, largest, and stable after two", "[c_transform]") {
  MatrixXd const C = support::matrix(30, 40, 5);
  VectorXd const g = support::points(40, 1, 6);
  VectorXd const f = ot::c_transform_rows(C, g);
  CHECK((C - f.replicate(1, 40) - g.transpose().replicate(30, 1)).minCoeff() >= 0);
  VectorXd const g2 = ot::c_transform_columns(C, f);
  CHECK((g2 - g).minCoeff() >= -1e-15);
  VectorXd const f2 = ot::c_transform_rows(C, g2);
  CHECK((f2 - f).lpNorm<Eigen::Infinity>() < 1e-15);
}

TEST_CASE("c-transforms with forbidden pairs and absent partners", "[c_transform]") {
  double const inf = infinity;
  MatrixXd C(2, 3);
  C << 1, inf, 4, inf, inf, inf;
  VectorXd const f = ot::c_transform_rows(C, Eigen::Vector3d(0.5, 7, 3.75));
  CHECK(f(0) == 0.25);
  CHECK(f(1) == inf);
  CHECK(ot::c_transform_rows(C, Eigen::Vector3d(0.5, 7, -inf))(0) == 0.5);
  CHECK(ot::c_transform_columns(C, Eigen::Vector2d(1, 2)) == VectorXd(Eigen::Vector3d(0, inf, 3)));
}

TEST_CASE("c-transforms refuse potentials of the wrong size", "[c_transform]") {
  MatrixXd const C = support::matrix(3, 4, 1);
  CHECK_REFUSED(ot::c_transform_rows(C, VectorXd::Zero(3)), "cost is 3x4 but g has 3 entries");
  CHECK_REFUSED(ot::c_transform_columns(C, VectorXd::Zero(4)), "cost is 3x4 but f has 4 entries");
}
