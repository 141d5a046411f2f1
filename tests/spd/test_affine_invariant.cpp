// SPDX-License-Identifier: MIT
#include "support/metric_laws.hpp"
#include <monge/spd/affine_invariant.hpp>

using namespace monge;
using namespace monge::test;

TEST_CASE("the affine-invariant metric obeys the laws of a metric", "[spd]") {
  for (Index n : {1, 2, 5, 13}) {
    CAPTURE(n);
    Triple const p = triple(n, 30);
    check_distance(spd::affine_invariant{}, p, 1e-13);
    check_geodesics(spd::affine_invariant{}, p, 1e-12);
    check_inner(spd::affine_invariant{}, p, 1e-11);
    check_transport(spd::affine_invariant{}, p, 1e-11);
  }
  check_refusals(spd::affine_invariant{});
}

TEST_CASE("affine-invariant distances agree with arithmetic of 60 digits", "[spd]") {
  MatrixXd A(3, 3), B(3, 3), E(3, 3), hilbert(8, 8), reversed(8, 8);
  A << 4, 1, 0, 1, 3, 1, 0, 1, 2;
  B << 2, -1, 0, -1, 5, 1, 0, 1, 1;
  E << 1, 2, -1, 2, 0, 1, -1, 1, 3;
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 8; ++j) {
      hilbert(i, j) = 1.0 / (i + j + 1);
      reversed(7 - i, 7 - j) = hilbert(i, j);
    }
  }
  spd::affine_invariant const metric;
  CHECK(std::abs(metric.distance(A, B) / 1.5509080046693667733 - 1) < 2e-15);
  CHECK(std::abs(metric.distance(A, MatrixXd(A + 0x1p-40 * E)) / 1.846846911221322529e-12 - 1) <
        1e-14);
  Eigen::Vector3d const units(1, 0x1p-10, 0x1p-20);
  MatrixXd const D = units.asDiagonal();
  CHECK(std::abs(metric.distance(MatrixXd(D * A * D), MatrixXd(D * B * D)) / 1.5509080046693667733 -
                 1) < 2e-14);
  // Condition 1.5e10: rounding the entries moves the smallest eigenvalues by 1e-6 of themselves.
  CHECK(std::abs(metric.distance(hilbert, reversed) / 29.017313469855335154 - 1) < 1e-6);
}

TEST_CASE("congruence and inversion are isometries", "[spd]") {
  Triple const p = triple(5, 1e3);
  spd::affine_invariant const metric;
  double const d = metric.distance(p.A, p.B);
  MatrixXd const N = support::points(5, 5, 4) + 2 * MatrixXd::Identity(5, 5);
  auto const congruent = [&](MatrixXd const& X) {
    MatrixXd const Y = N * X * N.transpose();
    return MatrixXd((Y + Y.transpose()) / 2);
  };
  CHECK(std::abs(metric.distance(congruent(p.A), congruent(p.B)) / d - 1) < 1e-11);
  CHECK(std::abs(metric.distance(spd::power(p.A, -1), spd::power(p.B, -1)) / d - 1) < 1e-11);
  MatrixXd const I = MatrixXd::Identity(5, 5);
  CHECK(std::abs(metric.distance(I, MatrixXd(std::exp(2.0) * I)) - 2 * std::sqrt(5.0)) < 1e-14);
  CHECK_REFUSED(metric.distance(I, MatrixXd(0 * I)), "distance: a matrix is not positive definite");
}
