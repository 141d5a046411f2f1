// SPDX-License-Identifier: MIT
#include <array>
#include <cmath>
#include <limits>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/entropic.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/position_gradient.hpp>
#include <monge/ot/sinkhorn_unbalanced.hpp>

using namespace monge;

namespace {

using support::largest;

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;
using Options = ot::SinkhornUnbalancedOptions;

/// The largest derivative of the objective with respect to log P, relative to epsilon: 0 at the
/// optimum, where both rho are finite.
double stationarity(Matrix const& C, ot::SinkhornUnbalancedResult<double> const& r) {
  Matrix const P = ot::plan(C, r);
  Vector const rows = P.rowwise().sum(), cols = P.colwise().sum().transpose();
  double const mass = std::sqrt(r.a.sum() * r.b.sum());
  double worst = 0;
  for (Index j = 0; j < C.cols(); ++j) {
    for (Index i = 0; i < C.rows(); ++i) {
      if (!(P(i, j) > 1e-250)) continue;
      double const slope = C(i, j) + r.epsilon * std::log(P(i, j) / (r.a(i) * r.b(j) / mass)) +
                           r.rho_a * std::log(rows(i) / r.a(i)) +
                           r.rho_b * std::log(cols(j) / r.b(j));
      worst = std::max(worst, std::abs(slope));
    }
  }
  return worst;
}

struct Problem {
  Index n = 12, m = 9;
  Matrix X = support::points(2, n, 1), Y = support::points(2, m, 2);
  Matrix C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
  Vector a = 1.5 * support::weights(n, 3), b = 0.7 * support::weights(m, 4);
};

}  // namespace

TEST_CASE("sinkhorn_unbalanced: one pair has a closed form", "[sinkhorn_unbalanced]") {
  for (double const rho_a : {0.01, 1.0, 300.0}) {
    for (double const rho_b : {0.2, 40.0}) {
      for (double const epsilon : {0.05, 2.0}) {
        double const a = 3, b = 0.25, c = 0.8;
        auto const r = ot::sinkhorn_unbalanced(
            Matrix::Constant(1, 1, c), Vector::Constant(1, a), Vector::Constant(1, b),
            {.epsilon = epsilon, .rho_a = rho_a, .rho_b = rho_b, .tolerance = 1e-12});
        double const q = std::sqrt(a * b);
        double const p =
            std::exp((epsilon * std::log(q) + rho_a * std::log(a) + rho_b * std::log(b) - c) /
                     (epsilon + rho_a + rho_b));
        auto const kl = [](double x, double y) { return x * std::log(x / y) - x + y; };
        double const value = c * p + epsilon * kl(p, q) + rho_a * kl(p, a) + rho_b * kl(p, b);
        CAPTURE(rho_a, rho_b, epsilon);
        REQUIRE(r.converged());
        CHECK(std::abs(r.transported_mass - p) <= 1e-11 * p);
        CHECK(std::abs(r.regularised_cost - value) <= 1e-11 * value);
        CHECK(std::abs(r.dual_value - value) <= 1e-11 * value);
        CHECK(std::abs(r.transport_cost - c * p) <= 1e-11);
      }
    }
  }
}

TEST_CASE("sinkhorn_unbalanced: a published 2 x 2 example", "[sinkhorn_unbalanced]") {
  // C = (0 1; 1 0), halves, epsilon = rho = 1: 1/4 (2 / (1 + 1/e))^(2/3) (1, 1/e).
  Matrix C(2, 2);
  C << 0, 1, 1, 0;
  Vector const half = Vector::Constant(2, 0.5);
  auto const r = ot::sinkhorn_unbalanced(
      C, half, half, {.epsilon = 1.0, .rho_a = 1, .rho_b = 1, .tolerance = 1e-13});
  Matrix const P = ot::plan(C, r);
  CHECK(std::abs(P(0, 0) - 0.3220536) <= 1e-7);
  CHECK(std::abs(P(0, 1) - 0.1184769) <= 1e-7);
}

TEST_CASE("sinkhorn_unbalanced: the objective is stationary, and primal and dual agree",
          "[sinkhorn_unbalanced]") {
  Problem const p;
  for (double const epsilon : {0.01, 0.1, 10.0}) {
    for (auto const& [rho_a, rho_b] : {std::pair(1e-3, 1e-3),
                                       {0.05, 0.05},
                                       {1.0, 0.1},
                                       {0.3, 7.0},
                                       {100.0, 100.0},
                                       {1e4, 1e-2}}) {
      CAPTURE(epsilon, rho_a, rho_b);
      auto const r = ot::sinkhorn_unbalanced(
          p.C, p.a, p.b, {.epsilon = epsilon, .rho_a = rho_a, .rho_b = rho_b, .tolerance = 1e-11});
      REQUIRE(r.converged());
      CHECK(stationarity(p.C, r) <= 1e-9 * std::max({1.0, rho_a, rho_b, epsilon}));
      CHECK(std::abs(r.regularised_cost - r.dual_value) <= 1e-11 * (1 + std::abs(r.dual_value)));
      auto const sums = ot::marginals(p.C, r);
      CHECK(largest(sums.rows - r.rows) <= 1e-14);
      CHECK(largest(sums.cols - r.cols) <= 1e-14);
      CHECK(std::abs(r.rows.sum() - r.transported_mass) <= 1e-14);
    }
  }
}

TEST_CASE(
    "sinkhorn_unbalanced: infinite prices are the balanced problem, and large ones approach it",
    "[sinkhorn_unbalanced]") {
  Problem const p;
  Vector const b = p.b * (p.a.sum() / p.b.sum());
  auto const exact = ot::sinkhorn(p.C, p.a, b, {.epsilon = 0.05, .tolerance = 1e-12});
  auto const r = ot::sinkhorn_unbalanced(p.C, p.a, b, {.epsilon = 0.05, .tolerance = 1e-12});
  REQUIRE(r.converged());
  CHECK(largest(r.f - exact.f) <= 1e-10);
  CHECK(largest(r.g - exact.g) <= 1e-10);
  CHECK(std::abs(r.regularised_cost - exact.regularised_cost) <= 1e-12);
  CHECK(std::abs(r.dual_value - exact.dual_value) <= 1e-12);
  double before = infinity;
  for (double const rho : {1.0, 1e2, 1e4, 1e6}) {
    auto const near =
        ot::sinkhorn_unbalanced(p.C, p.a, b, {.epsilon = 0.05, .rho_a = rho, .rho_b = rho});
    REQUIRE(near.converged());
    double const gap = exact.regularised_cost - near.regularised_cost;
    CHECK(gap > 0);  // a penalty is weaker than a constraint
    CHECK(gap <= 0.6 / rho);
    CHECK(gap < before);
    before = gap;
    CHECK(near.iterations <= exact.iterations + r.iterations);  // a heavy price costs no extra time
  }
}

TEST_CASE("sinkhorn_unbalanced: one side may be a constraint, with any masses",
          "[sinkhorn_unbalanced]") {
  Problem const p;
  for (double const rho : {0.02, 3.0}) {
    auto const r =
        ot::sinkhorn_unbalanced(p.C, p.a, p.b, {.epsilon = 0.05, .rho_b = rho, .tolerance = 1e-11});
    REQUIRE(r.converged());
    CHECK(largest(r.rows - p.a) <= 1e-10);
    CHECK(std::abs(r.transported_mass - 1.5) <= 1e-10);
    CHECK(std::abs(r.regularised_cost - r.dual_value) <= 1e-9);
    // Columns are off by the factor that their potential says.
    CHECK(largest(r.cols - (p.b.array() * (-r.g.array() / rho).exp()).matrix()) <= 1e-10);
    auto const other = ot::sinkhorn_unbalanced(p.C.transpose().eval(), p.b, p.a,
                                               {.epsilon = 0.05, .rho_a = rho, .tolerance = 1e-11});
    CHECK(largest(other.g - r.f) <= 1e-9);
    CHECK(largest(other.rows - r.cols) <= 1e-10);
  }
}

TEST_CASE(
    "sinkhorn_unbalanced: scaling the masses scales the answer; masses may differ a millionfold",
    "[sinkhorn_unbalanced]") {
  Problem const p;
  Options const options{.epsilon = 0.1, .rho_a = 0.5, .rho_b = 2, .tolerance = 1e-11};
  auto const r = ot::sinkhorn_unbalanced(p.C, p.a, p.b, options);
  auto const scaled = ot::sinkhorn_unbalanced(p.C, 1e-9 * p.a, 1e-9 * p.b, options);
  CHECK(largest(scaled.f - r.f) <= 1e-9);
  CHECK(std::abs(scaled.regularised_cost * 1e9 - r.regularised_cost) <= 1e-9);
  auto const uneven = ot::sinkhorn_unbalanced(p.C, 1e6 * p.a, p.b, options);
  REQUIRE(uneven.converged());
  CHECK(stationarity(p.C, uneven) <= 1e-8);
}

TEST_CASE("sinkhorn_unbalanced: with tiny prices mass is destroyed, not moved",
          "[sinkhorn_unbalanced]") {
  Problem const p;
  // Moving costs 1 and more; destroying both ends costs 2e-3.
  Matrix const C = (1 + p.C.array()).matrix();
  auto const r = ot::sinkhorn_unbalanced(
      C, p.a, p.b, {.epsilon = 1e-3, .rho_a = 1e-3, .rho_b = 1e-3, .tolerance = 1e-11});
  CHECK(r.converged());
  CHECK(r.transported_mass <= 1e-100);
  CHECK(r.transported_mass > 0);
  // All is lost: rho times both masses, and epsilon times that of Q.
  double const lost = 1e-3 * (1.5 + 0.7 + std::sqrt(1.5 * 0.7));
  CHECK(std::abs(r.regularised_cost - lost) <= 1e-12);
  CHECK(std::abs(r.dual_value - lost) <= 1e-12);
  CHECK(r.f.allFinite());
}

TEST_CASE("sinkhorn_unbalanced: an unfinished run brackets the optimum", "[sinkhorn_unbalanced]") {
  Problem const p;
  Options options{.epsilon = 0.02, .rho_a = 1, .rho_b = 1, .tolerance = 1e-12};
  double const value = ot::sinkhorn_unbalanced(p.C, p.a, p.b, options).regularised_cost;
  for (Index const steps : {1, 3, 10, 30}) {
    options.max_iterations = steps;
    auto const r = ot::sinkhorn_unbalanced(p.C, p.a, p.b, options);
    CHECK(r.dual_value <= value + 1e-12);
    CHECK(r.regularised_cost >= value - 1e-12);
  }
}

TEST_CASE("sinkhorn_unbalanced: gradients with respect to points, costs and weights",
          "[sinkhorn_unbalanced]") {
  Problem p;
  p.a(4) = 0;
  for (auto const& [rho_a, rho_b] : {std::pair(0.7, 2.0), {infinity, 0.5}, {0.5, infinity}}) {
    CAPTURE(rho_a, rho_b);
    Options const options{.epsilon = 0.2, .rho_a = rho_a, .rho_b = rho_b, .tolerance = 1e-12};
    auto const value = [&](Matrix const& C, Vector const& a, Vector const& b) {
      return double(ot::sinkhorn_unbalanced(C, a, b, options).dual_value);
    };
    auto const cost = [&](Matrix const& X) {
      return ot::cost_matrix(X, p.Y, ot::squared_euclidean{});
    };
    auto const r = ot::sinkhorn_unbalanced(p.C, p.a, p.b, options);
    auto const weight = ot::weight_gradient(r);
    auto const position = ot::position_gradient(p.X, p.Y, ot::squared_euclidean{}, r);
    double const h = 1e-5;
    Matrix up = p.X, down = p.X;
    up(1, 3) += h;
    down(1, 3) -= h;
    CHECK(std::abs(position.X(1, 3) -
                   (value(cost(up), p.a, p.b) - value(cost(down), p.a, p.b)) / (2 * h)) <= 1e-8);
    Vector a_up = p.a, a_down = p.a, b_up = p.b, b_down = p.b;
    a_up(2) += h;
    a_down(2) -= h;
    b_up(5) += h;
    b_down(5) -= h;
    CHECK(std::abs(weight.a(2) - (value(p.C, a_up, p.b) - value(p.C, a_down, p.b)) / (2 * h)) <=
          1e-8);
    CHECK(std::abs(weight.b(5) - (value(p.C, p.a, b_up) - value(p.C, p.a, b_down)) / (2 * h)) <=
          1e-8);
    // A weight of zero that begins to grow: one-sided, of second order.
    Vector one = p.a, two = p.a;
    one(4) += h;
    two(4) += 2 * h;
    CHECK(std::abs(weight.a(4) -
                   (4 * value(p.C, one, p.b) - value(p.C, two, p.b) - 3 * value(p.C, p.a, p.b)) /
                       (2 * h)) <= 1e-7);
  }
}

TEST_CASE("sinkhorn_unbalanced: weights without a partner are written off, or infeasible",
          "[sinkhorn_unbalanced]") {
  Problem p;
  p.C.row(3).setConstant(infinity);
  p.C.col(2).setConstant(infinity);
  auto const r = ot::sinkhorn_unbalanced(p.C, p.a, p.b, {.epsilon = 0.1, .rho_a = 1, .rho_b = 2});
  REQUIRE(r.converged());
  CHECK(r.rows(3) == 0);
  CHECK(r.cols(2) == 0);
  CHECK(std::abs(r.regularised_cost - r.dual_value) <= 1e-8);
  // As if the points were not there, but for their price (and for Q, whose mass they share).
  Vector a = p.a, b = p.b;
  a(3) = 0;
  b(2) = 0;
  double const share = std::sqrt(a.sum() * b.sum() / (p.a.sum() * p.b.sum()));
  Matrix const P = ot::plan(p.C, r);
  Matrix const Q = share * a * b.transpose() / std::sqrt(a.sum() * b.sum());
  double worst = 0;
  for (Index j = 0; j < p.m; ++j) {
    for (Index i = 0; i < p.n; ++i) {
      if (i == 3 || j == 2) continue;
      double const slope = p.C(i, j) + 0.1 * std::log(P(i, j) / Q(i, j)) +
                           std::log(r.rows(i) / a(i)) + 2 * std::log(r.cols(j) / b(j));
      worst = std::max(worst, std::abs(slope));
    }
  }
  CHECK(worst <= 1e-8);
  CHECK(ot::sinkhorn_unbalanced(p.C, p.a, p.b, {.epsilon = 0.1, .rho_b = 2}).status ==
        Status::infeasible);
  CHECK(ot::sinkhorn_unbalanced(p.C, p.a, p.b, {.epsilon = 0.1, .rho_a = 2}).status ==
        Status::infeasible);
}

TEST_CASE("sinkhorn_unbalanced: lazy, row-major and threaded runs agree", "[sinkhorn_unbalanced]") {
  Problem const p;
  Options options{.epsilon = 0.05, .rho_a = 0.3, .rho_b = 3, .tolerance = 1e-11};
  auto const r = ot::sinkhorn_unbalanced(p.C, p.a, p.b, options);
  auto const lazy = ot::sinkhorn_unbalanced(ot::point_cloud(p.X, p.Y, ot::squared_euclidean{}), p.a,
                                            p.b, options);
  CHECK(largest(lazy.f - r.f) <= 1e-9);
  Eigen::Matrix<double, -1, -1, Eigen::RowMajor> const rowwise = p.C;
  auto const turned = ot::sinkhorn_unbalanced(rowwise, p.a, p.b, options);
  CHECK(largest(turned.f - r.f) <= 1e-9);
  CHECK(largest(turned.rows - r.rows) <= 1e-9);
  CHECK(turned.rho_a == 0.3);
  Matrix const big = support::matrix(150, 170, 5);
  Vector const a = support::weights(150, 6), b = 3 * support::weights(170, 7);
  auto const serial = ot::sinkhorn_unbalanced(big, a, b, options);
  options.parallel = parallel::threads(3);
  auto const threaded = ot::sinkhorn_unbalanced(big, a, b, options);
  CHECK(serial.f == threaded.f);
  CHECK(serial.g == threaded.g);
  CHECK(serial.dual_value == threaded.dual_value);
}

TEST_CASE("sinkhorn_unbalanced: in float, and from a start", "[sinkhorn_unbalanced]") {
  Problem const p;
  Options const options{.epsilon = 0.05, .rho_a = 0.3, .rho_b = 3};
  auto const r = ot::sinkhorn_unbalanced(p.C, p.a, p.b, options);
  Eigen::MatrixXf const C = p.C.cast<float>();
  auto const narrow = ot::sinkhorn_unbalanced(C, p.a.cast<float>(), p.b.cast<float>(), options);
  CHECK(narrow.converged());
  CHECK(largest(narrow.f.cast<double>() - r.f) <= 1e-4);
  auto const again = ot::sinkhorn_unbalanced(p.C, p.a, p.b, options, {r.f, r.g});
  CHECK(again.converged());
  CHECK(again.iterations <= 2);
}

TEST_CASE("sinkhorn_unbalanced: iterations do not allocate, and resume bit for bit",
          "[sinkhorn_unbalanced]") {
  Problem const p;
  ot::SinkhornUnbalanced const method(ot::DenseCost<double>(p.C), p.a, p.b,
                                      {.epsilon = 0.01, .rho_a = 1, .rho_b = 1});
  auto state = method.init();
  CHECK(method.advance(state, 10).steps == 10);
  auto copy = state;
  CHECK(test::allocations([&] { static_cast<void>(method.advance(state, 20)); }) == 0);
  CHECK(method.advance(copy, 7).steps == 7);
  CHECK(method.advance(copy, 13).steps == 13);
  CHECK(copy.f == state.f);
}

TEST_CASE("sinkhorn_unbalanced: between two points the plan has a closed form",
          "[sinkhorn_unbalanced]") {
  for (auto const& [rho_a, rho_b] : {std::pair(0.5, 2.0), {30.0, 0.1}}) {
    double const a = 3, b = 0.2, c = 0.7, epsilon = 0.05;
    auto const r = ot::sinkhorn_unbalanced(
        Matrix::Constant(1, 1, c), Vector::Constant(1, a), Vector::Constant(1, b),
        {.epsilon = epsilon, .rho_a = rho_a, .rho_b = rho_b, .tolerance = 1e-13});
    REQUIRE(r.converged());
    double const log_p =
        (epsilon * std::log(a * b) / 2 + rho_a * std::log(a) + rho_b * std::log(b) - c) /
        (epsilon + rho_a + rho_b);
    CHECK(std::abs(std::log(double(r.transported_mass)) - log_p) <= 1e-12);
  }
}

TEST_CASE("sinkhorn_unbalanced: between Gaussian measures potentials are parabolas",
          "[sinkhorn_unbalanced]") {
  // Centred, of variances s^2 and t^2 and masses A and B: potentials p x^2 + q turn into such ones
  // by Gaussian integrals. The trapezoidal rule is exact for them to rounding.
  double const s = 1, t = 0.6, A = 1.3, B = 0.4, epsilon = 0.5, rho_a = 2, rho_b = 5;
  struct Parabola {
    double p, q;
  } f{0, 0}, g{0, 0};
  double const M = std::sqrt(A * B);
  auto const transform = [&](Parabola other, double sigma, double mass, double rho) {
    double const k = 0.5 / (sigma * sigma) + (1 - other.p) / epsilon;
    double const share = mass / M / std::sqrt(2 * sigma * sigma * k), tau = rho / (rho + epsilon);
    return Parabola{tau * (1 - 1 / (epsilon * k)), tau * (-other.q - epsilon * std::log(share))};
  };
  for (int k = 0; k < 2000; ++k) {
    g = transform(f, s, A, rho_b);
    f = transform(g, t, B, rho_a);
  }
  Index const n = 161;
  Vector const x = Vector::LinSpaced(n, -8, 8);
  auto const density = [&](double sigma, double mass) {
    Vector const e = (-x.array().square() / (2 * sigma * sigma)).exp();
    return Vector(e * (mass / e.sum()));
  };
  Matrix const X = x.transpose();
  auto const r = ot::sinkhorn_unbalanced(
      ot::cost_matrix(X, X, ot::squared_euclidean{}), density(s, A), density(t, B),
      {.epsilon = epsilon, .rho_a = rho_a, .rho_b = rho_b, .tolerance = 1e-13});
  REQUIRE(r.converged());
  for (Index const i : {Index(60), Index(80), Index(95)}) {
    CHECK(std::abs(r.f(i) - (f.p * x(i) * x(i) + f.q)) <= 1e-10);
    CHECK(std::abs(r.g(i) - (g.p * x(i) * x(i) + g.q)) <= 1e-10);
  }
}

TEST_CASE("sinkhorn_unbalanced: acceleration finds the same plan in far fewer steps",
          "[sinkhorn_unbalanced]") {
  Matrix const X = support::points(2, 60, 1);
  Matrix const Y = support::points(2, 50, 2).array().square();
  Matrix const C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
  Vector const a = support::weights(60, 3), b = 2 * support::weights(50, 4);
  for (auto const& [rho_a, rho_b] : {std::pair(0.05, 0.05), {1.0, 1.0}, {infinity, 0.3}}) {
    CAPTURE(rho_a, rho_b);
    Options options{.epsilon = 2e-3, .rho_a = rho_a, .rho_b = rho_b, .tolerance = 1e-11};
    auto const quick = ot::sinkhorn_unbalanced(C, a, b, options);
    options.acceleration = ot::Acceleration::none;
    auto const plain = ot::sinkhorn_unbalanced(C, a, b, options);
    REQUIRE(quick.converged());
    REQUIRE(plain.converged());
    CHECK(largest(quick.f - plain.f) <= 1e-8);
    CHECK(largest(quick.g - plain.g) <= 1e-8);
    CHECK(std::abs(quick.dual_value - plain.dual_value) <= 1e-12);
    CHECK(4 * quick.iterations <= plain.iterations);
  }
}

TEST_CASE("sinkhorn_unbalanced: prices of many potentials are those of each",
          "[sinkhorn_unbalanced]") {
  std::array<double, ot::detail::price_width> p, kept, conjugate;
  for (std::size_t k = 0; k + 2 < p.size(); ++k) {
    p[k] = (k % 2 == 0 ? 1 : -1) * 1e-17 * std::pow(1.2, double(k));  // up to 1e3
  }
  p[p.size() - 2] = infinity;
  p[p.size() - 1] = -infinity;
  for (double const rho : {1e-3, 3.0, 1e6, infinity}) {
    ot::detail::Price const price{rho};
    price.both(p, kept, conjugate);
    bool close = true;
    for (std::size_t k = 0; k + 2 < p.size(); ++k) {
      double const share = price.kept(p[k]), gain = price.conjugate(p[k]);
      bool const end = share < std::numeric_limits<double>::min() || share == infinity;
      close = close && (end || std::abs(kept[k] - share) <= 1e-15 * share);
      close =
          close && (share == infinity ? conjugate[k] == -infinity
                                      : std::abs(conjugate[k] - gain) <= 1e-15 * std::abs(gain));
    }
    CAPTURE(rho);
    CHECK(close);
    for (std::size_t k = p.size() - 2; k < p.size(); ++k) {
      CHECK(kept[k] == 0);
      CHECK(conjugate[k] == (rho == infinity ? 0 : rho));
    }
  }
}

TEST_CASE("sinkhorn_unbalanced: misuse is refused", "[sinkhorn_unbalanced]") {
  Problem const p;
  auto const run = [&](Options const& options) {
    return ot::sinkhorn_unbalanced(p.C, p.a, p.b, options);
  };
  CHECK_REFUSED(run({.rho_a = 1}), "epsilon is not set");
  CHECK_REFUSED(run({.epsilon = 0.1, .rho_a = 0}), "rho_a is 0; it must be positive, or infinite");
  CHECK_REFUSED(run({.epsilon = 0.1, .rho_b = not_a_number}), "rho_b is nan");
  CHECK_REFUSED(run({.epsilon = 0.1}), "a sums to 1.5 and b to 0.7");
  CHECK_REFUSED(
      run({.epsilon = 0.1, .rho_a = 1, .acceleration = ot::Acceleration::over_relaxation}),
      "there is no over-relaxation of unbalanced problems");
  CHECK_REFUSED(ot::sinkhorn_unbalanced(p.C, p.b, p.a, {.epsilon = 0.1, .rho_a = 1}),
                "cost is 12x9 but a has 9 entries");
  Eigen::Matrix<double, -1, -1, Eigen::RowMajor> wrong = p.C;
  wrong(4, 7) = -infinity;
  CHECK_REFUSED(ot::sinkhorn_unbalanced(wrong, p.a, p.b, {.epsilon = 0.1, .rho_a = 1}),
                "cost(4, 7) is -inf");
  CHECK_REFUSED(ot::sinkhorn_unbalanced(p.C, p.a, p.b, {.epsilon = 0.1, .rho_a = 1}, {p.a, p.a}),
                "start has 12 and 12 potentials");
}
