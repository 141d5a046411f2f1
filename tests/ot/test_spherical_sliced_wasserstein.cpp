// SPDX-License-Identifier: MIT
// Oracles: POT's values on given circles (support/oracles/spherical_sliced.py), transport on the
// circle, the definition of the linear embedding on a fine grid, differences, symmetries.
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <numbers>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/spherical_sliced_wasserstein.hpp>

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::MatrixX;
using monge::Philox;
using monge::RandomKey;
using namespace monge::ot;

/// The clouds of the oracle.
MatrixXd wave(Index n, bool second) {
  MatrixXd X(4, n);
  for (Index k = 0; k < n; ++k) {
    for (Index i = 0; i < 4; ++i) {
      X(i, k) = second ? std::cos(double(i + 2) * (double(k) + 0.7)) + 0.3
                       : std::sin(double(i + 1) * (double(k) + 1.3));
    }
  }
  return X.colwise().normalized();
}
VectorXd ramp(Index n) {
  VectorXd const a = VectorXd::LinSpaced(n, 1, double(n));
  return a / a.sum();
}

/// The planes of the axes (0, 1), (0, 2) and (1, 3).
GreatCircles axes() {
  MatrixXd basis = MatrixXd::Zero(4, 6);
  basis(0, 0) = basis(1, 1) = basis(0, 2) = basis(2, 3) = basis(1, 4) = basis(3, 5) = 1;
  return {basis, {}, false};
}

MatrixXd sphere(Index d, Index n, std::uint64_t seed) {
  return support::points(d, n, seed).colwise().normalized();
}

/// F^-1 of samples on the circle, continued over all t.
struct Quantile {
  std::vector<double> x, ends;  // sorted, with the mass up to and with each
  double mean = 0;

  Quantile(VectorXd const& points, VectorXd const& weights) {
    std::vector<Index> order(std::size_t(points.size()));
    std::iota(order.begin(), order.end(), Index(0));
    auto const turn = [&](Index k) { return points(k) - std::floor(points(k)); };
    std::sort(order.begin(), order.end(), [&](Index k, Index l) { return turn(k) < turn(l); });
    double sum = 0;
    for (Index k : order) {
      x.push_back(turn(k));
      ends.push_back(sum += weights(k));
      mean += weights(k) * turn(k);
    }
  }
  double operator()(double t) const {
    double const whole = std::floor(t);
    auto const place = std::upper_bound(ends.begin(), ends.end() - 1, t - whole);
    return x[std::size_t(place - ends.begin())] + whole;
  }
};

/// The definition of the linear distance on one circle, by the midpoint rule.
double embedded_distance(VectorXd const& x, VectorXd const& y, VectorXd const& a,
                         VectorXd const& b) {
  Quantile const F(x, a), G(y, b);
  Index const nodes = 200000;
  double sum = 0;
  for (Index k = 0; k < nodes; ++k) {
    double const t = (double(k) + 0.5) / double(nodes);
    double const gap = std::remainder(F(t - F.mean + 0.5) - G(t - G.mean + 0.5), 1.0);
    sum += gap * gap / double(nodes);
  }
  return sum;
}

VectorXd turns(MatrixXd const& X) {
  VectorXd t(X.cols());
  for (Index k = 0; k < X.cols(); ++k) t(k) = std::atan2(X(1, k), X(0, k)) / (2 * std::numbers::pi);
  return t;
}

}  // namespace

TEST_CASE("POT's values come out on given circles") {
  MatrixXd const X = wave(9, false);
  VectorXd const a = ramp(9);
  struct Row {
    Index m;
    double p, equal, weighted;
  };
  for (Row const& row : {Row{9, 1, 0.0896266959292693, 0.11458236075079471},
                         Row{9, 2, 0.011666915651138447, 0.0186432149717244},
                         Row{7, 1, 0.1062453958573573, 0.12295561647140119},
                         Row{7, 2, 0.01532092343979416, 0.01908306504729582}}) {
    CAPTURE(row.m, row.p);
    MatrixXd const Y = wave(row.m, true);
    SphericalSlicedOptions const options{.p = row.p};
    auto const equal = spherical_sliced_wasserstein(X, Y, options, axes());
    auto const weighted = spherical_sliced_wasserstein(X, Y, a, ramp(row.m), options, axes());
    // POT searches the shift of p = 2 to a tolerance.
    CHECK(std::abs(double(equal.power) - row.equal) <= 1e-7);
    CHECK(std::abs(double(weighted.power) - row.weighted) <= 1e-7);
    CHECK(double(equal.value) == Approx(std::pow(double(equal.power), 1 / row.p)));
  }
  CHECK(std::abs(double(spherical_sliced_wasserstein_to_uniform(X, {}, axes()).power) -
                 0.005084592089919594) <= 1e-15);
}

TEST_CASE("a weight is a number of points") {
  MatrixXd const X = wave(5, false);
  MatrixXd many(4, 15);
  for (Index k = 0, next = 0; k < 5; ++k) {
    for (Index copy = 0; copy <= k; ++copy) many.col(next++) = X.col(k);
  }
  GreatCircles const circles = great_circles(4, 10, {1, 0});
  CHECK(double(spherical_sliced_wasserstein_to_uniform(X, ramp(5), {}, circles).power) ==
        Approx(double(spherical_sliced_wasserstein_to_uniform(many, {}, circles).power))
            .epsilon(1e-12));
  MatrixXd const Y = wave(7, true);
  CHECK(double(spherical_sliced_wasserstein(X, Y, ramp(5), support::uniform_weights(7), {}, circles)
                   .power) ==
        Approx(double(spherical_sliced_wasserstein(many, Y, {}, circles).power)).epsilon(1e-12));
}

TEST_CASE("in the plane there is one circle") {
  MatrixXd const X = sphere(2, 11, 1), Y = sphere(2, 8, 2);
  auto const r = spherical_sliced_wasserstein(X, Y, {.p = 1.5}, Philox(1));
  CHECK(r.slices.size() == 1);
  CHECK_FALSE(r.standard_error.has_value());
  double const exactly = wasserstein_circle(turns(X), turns(Y), {.p = 1.5}).power;
  CHECK(std::abs(r.power - exactly) <= 1e-14);
  auto const uniform = spherical_sliced_wasserstein_to_uniform(X, {}, Philox(1));
  CHECK(std::abs(uniform.power - wasserstein_circle_to_uniform(turns(X)).power) <= 1e-15);
}

TEST_CASE("the linear distance is that of the embeddings, and never below the other") {
  // By hand: .2 .5 .8 against .4 .5 .7 with a shift of 1/30, in pieces of 1/30 and 9/30.
  auto const at = [](std::initializer_list<double> list) {
    MatrixXd X(2, Index(list.size()));
    Index k = 0;
    for (double t : list) {
      X.col(k++) << std::cos(2 * std::numbers::pi * t), std::sin(2 * std::numbers::pi * t);
    }
    return X;
  };
  auto const hand =
      linear_spherical_sliced_wasserstein(at({0.2, 0.5, 0.8}), at({0.4, 0.5, 0.7}), {}, Philox(1));
  CHECK(std::abs(double(hand.power) - 0.08 / 3) <= 1e-15);
  for (Index m : {8, 11}) {
    MatrixXd const X = sphere(2, 11, 1), Y = sphere(2, m, 2);
    VectorXd const a = support::weights(11, 3), b = support::weights(m, 4);
    auto const equal = linear_spherical_sliced_wasserstein(X, Y, {}, Philox(1));
    auto const weighted = linear_spherical_sliced_wasserstein(X, Y, a, b, {}, Philox(1));
    CHECK(std::abs(equal.power - embedded_distance(turns(X), turns(Y), support::uniform_weights(11),
                                                   support::uniform_weights(m))) <= 1e-5);
    CHECK(std::abs(weighted.power - embedded_distance(turns(X), turns(Y), a, b)) <= 1e-5);
    CHECK(equal.power >= spherical_sliced_wasserstein(X, Y, {}, Philox(1)).power - 1e-15);
    CHECK(weighted.power >= spherical_sliced_wasserstein(X, Y, a, b, {}, Philox(1)).power - 1e-15);
  }
}

TEST_CASE("a metric that turns with its clouds") {
  MatrixXd const X = sphere(4, 12, 1), Y = sphere(4, 12, 2), Z = sphere(4, 12, 3);
  GreatCircles const circles = great_circles(4, 20, {5, 0});
  for (double p : {1.0, 2.0}) {
    auto const distance = [&](MatrixXd const& A, MatrixXd const& B) {
      return double(spherical_sliced_wasserstein(A, B, {.p = p}, circles).value);
    };
    CHECK(distance(X, X) <= 1e-8);
    CHECK(std::abs(distance(X, Y) - distance(Y, X)) <= 1e-14);
    CHECK(distance(X, Z) <= distance(X, Y) + distance(Y, Z));
    CHECK(distance(X, Y) <= 0.5);  // half a turn
  }
  MatrixXd Q = support::points(4, 4, 7);
  detail::orthonormalise(Q);
  GreatCircles const turned{Q * circles.basis, {}, true};
  CHECK(double(spherical_sliced_wasserstein(Q * X, Q * Y, {}, turned).power) ==
        Approx(double(spherical_sliced_wasserstein(X, Y, {}, circles).power)).epsilon(1e-12));
  auto const linear = linear_spherical_sliced_wasserstein(X, X, {}, circles);
  CHECK(linear.power <= 1e-15);
}

TEST_CASE("circles are orthonormal, and rules agree on the sphere") {
  for (Index d : {3, 4, 9}) {
    GreatCircles const circles = great_circles(d, 7, {1, 2});
    for (Index l = 0; l < 7; ++l) {
      MatrixXd const U = circles.basis.middleCols(2 * l, 2);
      CHECK((U.transpose() * U - MatrixXd::Identity(2, 2)).norm() <= 1e-14);
    }
  }
  MatrixXd const X = sphere(3, 15, 1);
  MatrixXd Y = sphere(3, 15, 2);
  Y.row(2) = Y.row(2).cwiseAbs();
  auto const fine = spherical_sliced_wasserstein(
      X, Y, {.projections = 2500, .directions = DirectionRule::gauss}, RandomKey{});
  auto const sobol = spherical_sliced_wasserstein(
      X, Y, {.projections = 1024, .directions = DirectionRule::sobol}, Philox(1));
  auto const random = spherical_sliced_wasserstein(X, Y, {.projections = 400}, Philox(1));
  CHECK(double(sobol.power) == Approx(double(fine.power)).epsilon(0.01));
  REQUIRE(random.standard_error.has_value());
  CHECK_FALSE(fine.standard_error.has_value());
  CHECK(std::abs(double(random.power - fine.power)) <= 4 * *random.standard_error);
  CHECK(*random.standard_error <= 0.1 * double(random.power));
}

TEST_CASE("many equal steps around the circle are its uniform law") {
  MatrixXd const X = sphere(2, 9, 1);
  Index const m = 4000;
  MatrixXd Y(2, m);
  for (Index k = 0; k < m; ++k) {
    double const t = 2 * std::numbers::pi * (double(k) + 0.5) / double(m);
    Y.col(k) << std::cos(t), std::sin(t);
  }
  auto const grid = spherical_sliced_wasserstein(X, Y, {}, Philox(1));
  auto const law = spherical_sliced_wasserstein_to_uniform(X, {}, Philox(1));
  CHECK(double(grid.power) == Approx(double(law.power)).epsilon(1e-3));
}

TEST_CASE("gradients are those of differences, tangent to the sphere") {
  MatrixXd const X = sphere(3, 7, 1), Y = sphere(3, 9, 2);
  VectorXd const a = support::weights(7, 3), b = support::weights(9, 4);
  GreatCircles const circles = great_circles(3, 12, {1, 0});
  double const h = 1e-6;
  auto const check = [&](auto&& call, MatrixXd const& gradient, MatrixXd const& points) {
    CHECK((gradient.cwiseProduct(points)).colwise().sum().cwiseAbs().maxCoeff() <= 1e-12);
    for (Index k = 0; k < points.size(); k += 4) {
      MatrixXd up = points, down = points;
      up(k) += h;
      down(k) -= h;
      double const difference = (double(call(up).power) - double(call(down).power)) / (2 * h);
      CHECK(std::abs(gradient(k) - difference) <= 1e-7);
    }
  };
  SphericalSlicedOptions const options{.p = 2, .gradients = true};
  auto const r = spherical_sliced_wasserstein(X, Y, a, b, options, circles);
  check([&](MatrixXd const& Z) { return spherical_sliced_wasserstein(Z, Y, a, b, {}, circles); },
        r.gradient_x, X);
  check([&](MatrixXd const& Z) { return spherical_sliced_wasserstein(X, Z, a, b, {}, circles); },
        r.gradient_y, Y);
  auto const u = spherical_sliced_wasserstein_to_uniform(X, a, options, circles);
  check(
      [&](MatrixXd const& Z) { return spherical_sliced_wasserstein_to_uniform(Z, a, {}, circles); },
      u.gradient_x, X);
  // The value with and without derivatives is the same.
  CHECK(std::abs(r.power - spherical_sliced_wasserstein(X, Y, a, b, {}, circles).power) <= 1e-15);
}

TEST_CASE("threads, float, storage, split points and points without weight") {
  MatrixXd const X = sphere(3, 12, 1), Y = sphere(3, 12, 2);
  SphericalSlicedOptions options{.projections = 40, .gradients = true};
  auto const r = spherical_sliced_wasserstein(X, Y, options, Philox(1));
  options.parallel = monge::parallel::threads(3);
  auto const threaded = spherical_sliced_wasserstein(X, Y, options, Philox(1));
  CHECK(threaded.power == r.power);
  CHECK(threaded.gradient_x == r.gradient_x);
  CHECK(threaded.gradient_y == r.gradient_y);
  Eigen::Matrix<double, 3, Eigen::Dynamic, Eigen::RowMajor> const rows = X;
  CHECK(spherical_sliced_wasserstein(rows, Y, {.projections = 40}, Philox(1)).slices ==
        spherical_sliced_wasserstein(X, 2 * (Y / 2), {.projections = 40}, Philox(1)).slices);
  MatrixX<float> const Xf = X.cast<float>(), Yf = Y.cast<float>();
  auto const f = spherical_sliced_wasserstein(Xf, Yf, {.projections = 40}, Philox(1));
  CHECK(double(f.power) == Approx(double(r.power)).epsilon(1e-4));
  MatrixXd split(3, 14);
  split << X, X.col(0), Y.col(3);
  VectorXd a = VectorXd::Constant(14, 1.0 / 12);
  a(0) = a(12) = 1.0 / 24;
  a(13) = 0;
  VectorXd const b = support::uniform_weights(12);
  CHECK(
      double(spherical_sliced_wasserstein(split, Y, a, b, {.projections = 40}, Philox(1)).power) ==
      Approx(double(r.power)).epsilon(1e-10));
  CHECK(double(linear_spherical_sliced_wasserstein(split, Y, a, b, {}, Philox(1)).power) ==
        Approx(double(linear_spherical_sliced_wasserstein(X, Y, {}, Philox(1)).power))
            .epsilon(1e-10));
}

TEST_CASE("misuse is refused in the caller's words") {
  MatrixXd const X = sphere(3, 12, 1), Y = sphere(4, 12, 2);
  VectorXd const a = support::uniform_weights(12), few = support::uniform_weights(5);
  Philox rng(1);
  CHECK_REFUSED(spherical_sliced_wasserstein(X, Y, {}, rng),
                "spherical_sliced_wasserstein: X is 3x12 and Y is 4x12");
  CHECK_REFUSED(spherical_sliced_wasserstein(2 * X, X, {}, rng), "column 0 of X has norm 2");
  CHECK_REFUSED(spherical_sliced_wasserstein(X, monge::not_a_number * X, {}, rng),
                "column 0 of Y has norm nan");
  CHECK_REFUSED(spherical_sliced_wasserstein(X, MatrixXd(3, 0), {}, rng), "Y has no points");
  CHECK_REFUSED(spherical_sliced_wasserstein(X, X, {.p = 0.5}, rng), "p is 0.5");
  CHECK_REFUSED(spherical_sliced_wasserstein(X, X, {.projections = 0}, rng), "projections is 0");
  CHECK_REFUSED(spherical_sliced_wasserstein(X, X, few, a, {}, rng), "a has 5 entries");
  CHECK_REFUSED(spherical_sliced_wasserstein(X, X, a, (2 * a).eval(), {}, rng),
                "spherical_sliced_wasserstein: a sums to 1");
  CHECK_REFUSED(spherical_sliced_wasserstein(X, X, {}, axes()), "the circles are 4x6");
  CHECK_REFUSED(spherical_sliced_wasserstein(Y, Y, {.directions = DirectionRule::orthogonal}, rng),
                "only for d = 3");
  CHECK_REFUSED(spherical_sliced_wasserstein(MatrixXd::Ones(1, 3), MatrixXd::Ones(1, 3), {}, rng),
                "points have 1 rows");
  CHECK_REFUSED(spherical_sliced_wasserstein_to_uniform(X, {.p = 1}, rng), "p is 1");
  CHECK_REFUSED(spherical_sliced_wasserstein_to_uniform(X, few, {}, rng), "a has 5 entries");
  CHECK_REFUSED(linear_spherical_sliced_wasserstein(X, X, {.gradients = true}, rng),
                "gradients are not available");
}
