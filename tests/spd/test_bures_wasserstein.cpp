// SPDX-License-Identifier: MIT
#include "support/metric_laws.hpp"
#include <monge/spd/bures_wasserstein.hpp>

using namespace monge;
using namespace monge::test;
using Eigen::VectorXd;

namespace {

constexpr double u = std::numeric_limits<double>::epsilon();

MatrixXd three(double a, double b, double c, double d, double e, double f) {
  MatrixXd X(3, 3);
  X << a, b, c, b, d, e, c, e, f;
  return X;
}

double relative(double value, double exact) { return std::abs(value / exact - 1); }

}  // namespace

TEST_CASE("the Bures-Wasserstein metric obeys the laws of a metric", "[spd]") {
  for (Index n : {1, 2, 5, 13}) {
    CAPTURE(n);
    Triple const p = triple(n, 30);
    check_distance(spd::bures_wasserstein{}, p, 1e-13);
    check_geodesics(spd::bures_wasserstein{}, p, 1e-12);
    check_inner(spd::bures_wasserstein{}, p, 1e-11);
  }
  // Condition 1e12: the matrices hold u |A|, so what is divided by small eigenvalues loses digits.
  Triple const hard = triple(6, 1e12);
  check_distance(spd::bures_wasserstein{}, hard, 1e-12);
  check_geodesics(spd::bures_wasserstein{}, hard, 1e-8);
  check_refusals(spd::bures_wasserstein{});
}

TEST_CASE("Bures-Wasserstein transport is isometric, to the order of its steps", "[spd]") {
  Triple const p = triple(4, 10);
  check_transport(spd::bures_wasserstein{}, p, 1e-6);
  check_transport(spd::bures_wasserstein{256}, p, 1e-10);
  // With the identity at one end it is in closed form.
  MatrixXd const I = MatrixXd::Identity(4, 4);
  check_transport(spd::bures_wasserstein{1}, {I, p.B, p.C}, 1e-13);
  check_transport(spd::bures_wasserstein{1}, {p.A, 3 * I, p.C}, 1e-13);
  // The closed form agrees with the steps, which start beside the identity here.
  MatrixXd const nearly = I + 1e-9 * support::symmetric(4, 5);
  MatrixXd const V = support::symmetric(4, 6);
  CHECK(apart(spd::bures_wasserstein{64}.transport(nearly, p.B, V),
              spd::bures_wasserstein{}.transport(I, p.B, V)) < 1e-7);
  double error[2];
  MatrixXd const exact = spd::bures_wasserstein{512}.transport(p.A, p.B, V);
  for (int k = 0; k < 2; ++k) {
    error[k] = apart(spd::bures_wasserstein{8 << k}.transport(p.A, p.B, V), exact);
  }
  CHECK(std::abs(std::log2(error[0] / error[1]) - 4) < 0.6);
}

TEST_CASE("distances agree with arithmetic of 60 digits", "[spd]") {
  MatrixXd const A = three(4, 1, 0, 3, 1, 2), B = three(2, -1, 0, 5, 1, 1);
  MatrixXd const E = three(1, 2, -1, 0, 1, 3);
  VectorXd units(3);
  units << 1, 0x1p-10, 0x1p-20;
  auto const scaled = [&](MatrixXd const& X) {
    return MatrixXd(units.asDiagonal() * X * units.asDiagonal());
  };
  using spd::bures_wasserstein_distance;
  CHECK(relative(bures_wasserstein_distance(A, B), 1.1865578659380548475) < 8 * u);
  // Close matrices: subtracting the traces would leave no digit at all.
  MatrixXd const close = A + 0x1p-40 * E;
  CHECK(relative(bures_wasserstein_distance(A, close), 1.3198835184190922313e-12) < 16 * u);
  CHECK(relative(bures_wasserstein_distance(close, A), 1.3198835184190922313e-12) < 16 * u);
  // Units that span a million, condition 1e12.
  CHECK(relative(bures_wasserstein_distance(scaled(A), scaled(B)), 0.58578779823133707631) < 8 * u);
  CHECK(relative(bures_wasserstein_distance(scaled(A), scaled(A + 0x1p-30 * E)),
                 2.3283234681858634733e-10) < 1e-9);
  MatrixXd hilbert(8, 8), reversed(8, 8);  // condition 1.5e10
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 8; ++j) {
      hilbert(i, j) = 1.0 / (i + j + 1);
      reversed(7 - i, 7 - j) = hilbert(i, j);
    }
  }
  CHECK(relative(bures_wasserstein_distance(hilbert, reversed), 1.1948379482276798657) < 16 * u);
  // float, and fixed sizes
  Eigen::MatrixXf const a = A.cast<float>(), b = B.cast<float>();
  CHECK(relative(double(bures_wasserstein_distance(a, b)), 1.1865578659380548475) < 4e-7);
  Eigen::Matrix3d const A3 = A, B3 = B;
  CHECK(relative(bures_wasserstein_distance(A3, B3), 1.1865578659380548475) < 8 * u);
  STATIC_REQUIRE(std::same_as<decltype(spd::bures_wasserstein{}.log(A3, B3)), Eigen::Matrix3d>);
}

TEST_CASE("matrices that commute have their distance in closed form", "[spd]") {
  for (double ratio : {1.0, 1e-3, 1e-9, 1e-15}) {
    VectorXd const a = support::matrix(6, 1, 1, 0.1, 2).col(0);
    VectorXd const change = ratio * support::matrix(6, 1, 2, -0.5, 0.5).col(0).cwiseProduct(a);
    VectorXd const b = a + change, exact = b - a;
    double const d =
        exact.cwiseQuotient(VectorXd(a.cwiseSqrt() + b.cwiseSqrt())).norm();  // sqrt b - sqrt a
    CAPTURE(ratio);
    CHECK(relative(
              spd::bures_wasserstein_distance(MatrixXd(a.asDiagonal()), MatrixXd(b.asDiagonal())),
              d) < 32 * u);
  }
}

TEST_CASE("the distance scales, rotates and takes singular matrices", "[spd]") {
  Triple const p = triple(6, 1e4);
  double const d = spd::bures_wasserstein_distance(p.A, p.B);
  CHECK(relative(spd::bures_wasserstein_distance(MatrixXd(1e-200 * p.A), MatrixXd(1e-200 * p.B)),
                 1e-100 * d) < 1e-13);
  CHECK(relative(spd::bures_wasserstein_distance(MatrixXd(1e200 * p.A), MatrixXd(1e200 * p.B)),
                 1e100 * d) < 1e-13);
  MatrixXd const U = support::rotation(6, 4);
  CHECK(relative(spd::bures_wasserstein_distance(MatrixXd(U * p.A * U.transpose()),
                                                 MatrixXd(U * p.B * U.transpose())),
                 d) < 1e-12);
  MatrixXd const zero = MatrixXd::Zero(6, 6);
  CHECK(relative(spd::bures_wasserstein_distance(p.A, zero), std::sqrt(p.A.trace())) < 8 * u);
  CHECK(relative(spd::bures_wasserstein_distance(zero, p.A), std::sqrt(p.A.trace())) < 8 * u);
  CHECK(spd::bures_wasserstein_distance(zero, zero) == 0);
  // Rank one: d^2 = |x|^2 + |y|^2 - 2 |x'y|, and the nearer of y and -y gives the path.
  VectorXd const x = support::points(6, 1, 8), y = support::points(6, 1, 9);
  double const rank_one = x.dot(y) > 0 ? (x - y).norm() : (x + y).norm();
  MatrixXd const xx = x * x.transpose(), yy = y * y.transpose();
  CHECK(relative(spd::bures_wasserstein_distance(xx, yy), rank_one) < 1e-14);
  CHECK(spd::bures_wasserstein_distance(xx, xx) < 1e-14);
  MatrixXd const half = spd::bures_wasserstein{}.geodesic(xx, yy, 0.5);
  VectorXd const middle = x.dot(y) > 0 ? VectorXd((x + y) / 2) : VectorXd((x - y) / 2);
  CHECK(apart(half, middle * middle.transpose()) < 1e-14);
  CHECK(apart(spd::bures_wasserstein{}.geodesic(zero, p.A, 0.5), p.A / 4) < 1e-15);
}

TEST_CASE("the optimal map carries one covariance to the other", "[spd]") {
  for (double condition : {10.0, 1e6}) {
    Triple const p = triple(7, condition);
    MatrixXd const T = spd::bures_wasserstein_map(p.A, p.B);
    CHECK(apart(T * p.A * T, p.B) < 1e-15 * condition + 1e-13);
    CHECK(apart(T, T.transpose()) == 0);
    CHECK(spd::spectrum(T).values(0) > 0);
    // d^2 = E |x - T x|^2
    MatrixXd const H = T - MatrixXd::Identity(7, 7);
    double const d = spd::bures_wasserstein_distance(p.A, p.B);
    CHECK(std::abs((H * p.A * H).trace() - d * d) < 1e-14);
  }
  CHECK_REFUSED(spd::bures_wasserstein_map(MatrixXd(MatrixXd::Zero(2, 2)),
                                           MatrixXd(MatrixXd::Identity(2, 2))),
                "map: the matrix is singular");
}
