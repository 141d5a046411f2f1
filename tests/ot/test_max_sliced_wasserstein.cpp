// SPDX-License-Identifier: MIT
// Oracles: clouds whose worst direction is known, brute force over the circle and the sphere,
// transport on the line, exact transport, differences.
#include <Eigen/Core>

#include <cmath>
#include <cstdint>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/max_sliced_wasserstein.hpp>
#include <monge/ot/sliced_plan.hpp>

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::MatrixX;
using monge::Philox;
using monge::RandomKey;
using monge::Status;
using monge::VectorX;
using namespace monge::ot;

MatrixXd normal(Index d, Index n, std::uint64_t seed) {
  MatrixXd X(d, n);
  monge::random::fill_normal(X, RandomKey{seed, 0});
  return X;
}

double along(MatrixXd const& X, MatrixXd const& Y, VectorXd const& theta, double p) {
  VectorXd const x = X.transpose() * theta, y = Y.transpose() * theta;
  return wasserstein_1d(x, y, {.p = p, .answer = Answer1d::value}).power;
}

double brute_force(MatrixXd const& X, MatrixXd const& Y, double p, Index count) {
  Directions const set = gauss_directions(X.rows(), count);
  double best = 0;
  for (Index l = 0; l < set.count(); ++l) {
    best = std::max(best, along(X, Y, set.theta.col(l), p));
  }
  return best;
}

}  // namespace

TEST_CASE("a shift is found, and proven to be the worst direction") {
  VectorXd const shift = VectorXd::LinSpaced(6, -1, 2);
  MatrixXd const X = support::points(6, 30, 1);
  for (double p : {1.0, 1.5, 2.0, 3.0}) {
    auto const r = max_sliced_wasserstein(X, X.colwise() + shift, {.p = p}, Philox(1));
    CHECK(r.status == Status::converged);
    CHECK(std::abs(r.value - shift.norm()) <= 1e-12);
    CHECK(std::abs(r.upper_power - r.power) <= 1e-12 * r.power);
    CHECK(std::abs(std::abs(r.direction.dot(shift.normalized())) - 1) <= 1e-12);
    CHECK((r.gradient_x.rowwise().sum() + r.gradient_y.rowwise().sum()).norm() <= 1e-12);
  }
}

TEST_CASE("a cloud stretched along one line is told apart along that line, with proof") {
  Index const d = 12;
  MatrixXd const X = normal(d, 200, 1);
  VectorXd const u = VectorXd::LinSpaced(d, 1, -2).normalized();
  MatrixXd const Y = X + 2 * u * (u.transpose() * X);
  auto const r = max_sliced_wasserstein(X, Y, {}, Philox(1));
  CHECK(r.converged());
  CHECK(std::abs(r.direction.dot(u)) >= 1 - 1e-6);
  CHECK(r.power <= r.upper_power * (1 + 1e-13));
  CHECK(r.upper_power <= r.power * (1 + 1e-6));
  double const exactly = 4 * (u.transpose() * X).squaredNorm() / 200;
  CHECK(std::abs(r.power - exactly) <= 1e-6 * exactly);
  CHECK(r.power <= exactly * (1 + 1e-13));
  // Independent samples of both laws: the direction is close, the value no less than along u.
  MatrixXd const Z = normal(d, 200, 2);
  MatrixXd const V = Z + 2 * u * (u.transpose() * Z);
  auto const s = max_sliced_wasserstein(X, V, {}, Philox(1));
  CHECK(std::abs(s.direction.dot(u)) >= 0.97);
  CHECK(s.power >= along(X, V, u, 2));
}

TEST_CASE("on the line there is one direction") {
  MatrixXd const X = support::points(1, 15, 1), Y = support::points(1, 11, 2);
  for (double p : {1.0, 2.0, 2.5}) {
    auto const exactly = wasserstein_1d(X.row(0), Y.row(0), {.p = p});
    auto const r = max_sliced_wasserstein(X, Y, {.p = p}, Philox(1));
    CHECK(r.converged());
    CHECK(std::abs(r.power - exactly.power) <= 1e-14 * exactly.power);
    CHECK(r.upper_power == r.power);
    CHECK((r.gradient_x.row(0).transpose() - exactly.gradient_x).norm() <= 1e-14);
    CHECK((r.gradient_y.row(0).transpose() - exactly.gradient_y).norm() <= 1e-14);
  }
}

TEST_CASE("no direction of a fine grid is better") {
  for (Index d : {2, 3}) {
    for (double p : {1.0, 1.5, 2.0, 3.0}) {
      for (Index n : {6, 40}) {
        CAPTURE(d, p, n);
        MatrixXd const X = support::points(d, n, 1), Y = 1.5 * support::points(d, n, 2);
        auto const r = max_sliced_wasserstein(X, Y, {.p = p}, Philox(3));
        double const best = brute_force(X, Y, p, 10000);
        REQUIRE(double(r.power) >= best * (1 - 1e-9));
        REQUIRE(double(r.power) <= best * (1 + (d == 2 ? 1e-3 : 0.05)));
        REQUIRE(double(r.upper_power) >= best);
        REQUIRE(double(r.power) == Approx(along(X, Y, r.direction, p)).epsilon(1e-12));
        REQUIRE(std::abs(r.direction.norm() - 1) <= 1e-12);
      }
    }
  }
}

TEST_CASE("it is at most the cost of any coupling, and symmetric") {
  MatrixXd const X = support::points(4, 25, 1), Y = support::points(4, 18, 2);
  VectorXd const a = 2 * support::weights(25, 3);
  VectorXd b = support::weights(18, 4);
  b *= a.sum() / b.sum();
  for (double p : {1.0, 2.0}) {
    auto const r = max_sliced_wasserstein(X, Y, a, b, {.p = p}, Philox(1));
    CHECK(r.power <= min_pivot_sliced(X, Y, a, b, {.p = p}, Philox(1)).power);
    CHECK(r.upper_power >= r.power);
    auto const s = max_sliced_wasserstein(Y, X, b, a, {.p = p}, Philox(1));
    CHECK(std::abs(s.power - r.power) <= 1e-3 * r.power);
    auto const twice = max_sliced_wasserstein(2 * X, 2 * Y, a, b, {.p = p}, Philox(1));
    CHECK(std::abs(twice.power - std::pow(2, p) * r.power) <= 1e-3 * twice.power);
  }
}

TEST_CASE("gradients are those of the power along the direction") {
  MatrixXd const X = support::points(3, 9, 1), Y = support::points(3, 7, 2);
  for (double p : {1.5, 2.0}) {
    auto const r = max_sliced_wasserstein(X, Y, {.p = p}, Philox(1));
    double const h = 1e-6;
    for (Index k = 0; k < X.size(); k += 5) {
      // The direction may sit on a kink, so another one is taken: gradients are local there too.
      MatrixXd up = X, down = X;
      up(k) += h;
      down(k) -= h;
      double const difference =
          (along(up, Y, r.direction, p) - along(down, Y, r.direction, p)) / (2 * h);
      double const one_sided = (along(up, Y, r.direction, p) - along(X, Y, r.direction, p)) / h;
      double const other_side = (along(X, Y, r.direction, p) - along(down, Y, r.direction, p)) / h;
      double const kink = std::abs(one_sided - other_side);
      CHECK(std::abs(r.gradient_x(k) - difference) <= kink + 1e-5);
    }
    VectorXd const radial =
        X * r.gradient_x.transpose() * r.direction + Y * r.gradient_y.transpose() * r.direction;
    CHECK(std::abs(radial.dot(r.direction) - p * r.power) <= 1e-12 * r.power);  // Euler's rule
  }
}

TEST_CASE("equal clouds, one point, float, threads, storage") {
  MatrixXd const X = support::points(3, 20, 1), Y = support::points(3, 20, 2);
  auto const same = max_sliced_wasserstein(X, X, {}, Philox(1));
  CHECK(same.converged());
  CHECK(same.power == 0);
  CHECK(same.upper_power <= 1e-30);
  auto const pair = max_sliced_wasserstein(X.col(0), Y.col(0), {}, Philox(1));
  CHECK(std::abs(pair.value - (X.col(0) - Y.col(0)).norm()) <= 1e-12);
  auto const r = max_sliced_wasserstein(X, Y, {}, Philox(1));
  auto const threaded =
      max_sliced_wasserstein(X, Y, {.parallel = monge::parallel::threads(3)}, Philox(1));
  CHECK(threaded.direction == r.direction);
  CHECK(threaded.power == r.power);
  CHECK(threaded.evaluations == r.evaluations);
  CHECK(max_sliced_wasserstein(X, Y, {}, key_from(Philox(1))).power == r.power);
  Eigen::Matrix<double, 3, Eigen::Dynamic, Eigen::RowMajor> const rows = X;
  CHECK(max_sliced_wasserstein(rows, 2 * (Y / 2), {}, Philox(1)).power == r.power);
  MatrixX<float> const Xf = X.cast<float>(), Yf = Y.cast<float>();
  auto const f = max_sliced_wasserstein(Xf, Yf, {.p = 1}, Philox(1));
  auto const g = max_sliced_wasserstein(X, Y, {.p = 1}, Philox(1));
  CHECK(std::abs(f.power - g.power) <= 1e-3 * g.power);
}

TEST_CASE("limits are kept and misuse is refused") {
  MatrixXd const X = support::points(5, 20, 1), Y = support::points(5, 20, 2);
  Philox rng(1);
  auto const few = max_sliced_wasserstein(X, Y, {.max_iterations = 2}, rng);
  CHECK(few.status == Status::iteration_limit);
  CHECK(few.power > 0);
  auto const late = max_sliced_wasserstein(X, Y, {.max_seconds = 0}, rng);
  CHECK(late.status == Status::time_limit);
  CHECK(late.power > 0);
  MatrixXd spoilt = X;
  spoilt(1, 1) = monge::not_a_number;
  CHECK_REFUSED(max_sliced_wasserstein(spoilt, Y, {}, rng), "max_sliced_wasserstein: X has NaN");
  CHECK_REFUSED(max_sliced_wasserstein(X, Y.topRows(2), {}, rng), "X is 5x20 and Y is 2x20");
  CHECK_REFUSED(max_sliced_wasserstein(X, MatrixXd(5, 0), {}, rng), "Y has 0 points");
  CHECK_REFUSED(max_sliced_wasserstein(X, Y, {.p = 0}, rng), "p is 0");
  CHECK_REFUSED(max_sliced_wasserstein(X, Y, {.projections = 0}, rng), "projections is 0");
  CHECK_REFUSED(max_sliced_wasserstein(X, Y, {.starts = 0}, rng), "starts is 0");
  CHECK_REFUSED(max_sliced_wasserstein(X, Y, {.tolerance = 0}, rng), "tolerance is 0");
  CHECK_REFUSED(max_sliced_wasserstein(X, Y, {.max_iterations = 0}, rng), "max_iterations is 0");
  CHECK(max_sliced_wasserstein(1e200 * X, Y, {}, rng).status == Status::non_finite);
}
