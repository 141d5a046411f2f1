// SPDX-License-Identifier: MIT
// Oracles: closed forms on quadratic functions, the recursions of the papers written out again in
// long double, and what scaling and shape must not change.
#include "support/eigen_checks.hpp"
//
#include <cmath>
#include <functional>
#include <string_view>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/optim/first_order.hpp>

namespace {

using namespace monge;
using namespace monge::optim;
using Eigen::MatrixXd;
using Eigen::VectorXd;

using Objective = std::function<double(VectorXd const&, VectorXd&)>;
static_assert(DifferentiableObjective<Objective, VectorXd>);
static_assert(Minimizer<gradient_descent, Objective, VectorXd>);
static_assert(Minimizer<momentum, Objective, VectorXd>);
static_assert(Minimizer<adam, Objective, VectorXd>);
static_assert(IterativeMethod<FirstOrderStepper<adam, Objective, VectorXd>>);
static_assert(UpdateRule<adam, MatrixX<float>> && UpdateRule<momentum, VectorXd>);

/// The least that an update rule is: half of the gradient, and nothing remembered.
struct Halving {
  int start(VectorXd const&) const { return 0; }
  void step(VectorXd& x, VectorXd const& g, int&) const { x -= 0.5 * g; }
  void require_valid(std::string_view) const {}
};
static_assert(UpdateRule<Halving, VectorXd>);
struct Nothing {};
static_assert(!UpdateRule<Nothing, VectorXd>);

/// sum_i curvature_i x_i^2 / 2.
Objective quadratic(VectorXd curvature) {
  return [curvature](VectorXd const& x, VectorXd& g) {
    g = curvature.cwiseProduct(x);
    return 0.5 * g.dot(x);
  };
}

/// A gradient that depends on x in no simple way, and on the step.
VectorXd wave(VectorXd const& x, int t) {
  return (3 * x.array() + 0.7 * t).sin() + 0.1 * x.array();
}

template <class Rule>
VectorXd run(Rule const& rule, VectorXd x, int steps) {
  auto memory = rule.start(x);
  for (int t = 0; t < steps; ++t) rule.step(x, wave(x, t), memory);
  return x;
}

VectorXd const start = support::points(1500, 1, 7).col(0);  // longer than a block

}  // namespace

TEST_CASE("gradient descent contracts a quadratic by 1 - rate times curvature") {
  VectorXd const curvature = Eigen::Vector3d(1, 4, 9);
  VectorXd x = Eigen::Vector3d(1, -2, 3);
  gradient_descent const rule{.rate = 0.15};
  auto memory = rule.start(x);
  for (int k = 0; k < 20; ++k) rule.step(x, VectorXd(curvature.cwiseProduct(x)), memory);
  VectorXd const exact = (1 - 0.15 * curvature.array()).pow(20) * Eigen::Array3d(1, -2, 3);
  CHECK((x - exact).norm() <= 1e-14);
}

TEST_CASE("the heavy ball obeys the recursion of two points") {
  // x_{k+1} = x_k - r g(x_k) + b (x_k - x_{k-1})
  double const r = 0.05, b = 0.8;
  VectorXd before = start, now = start;
  for (int t = 0; t < 25; ++t) {
    VectorXd const next = now - r * wave(now, t) + b * (now - before);
    before = now;
    now = next;
  }
  CHECK((run(momentum{.rate = r, .decay = b}, start, 25) - now).norm() <= 1e-13 * now.norm());
  CHECK(run(momentum{.rate = r, .decay = 0}, start, 25) ==
        run(gradient_descent{.rate = r}, start, 25));
}

TEST_CASE("Nesterov's method obeys the recursion of the point and its look ahead") {
  // v+ = b v - r g(z + b v), z+ = z + v+; ours is the look-ahead point z + b v.
  double const r = 0.05, b = 0.8;
  VectorXd z = start, v = VectorXd::Zero(start.size());
  for (int t = 0; t < 25; ++t) {
    v = (b * v - r * wave(z + b * v, t)).eval();
    z += v;
  }
  VectorXd const ahead = z + b * v;
  VectorXd const ours = run(momentum{.rate = r, .decay = b, .nesterov = true}, start, 25);
  CHECK((ours - ahead).norm() <= 1e-13 * ahead.norm());
}

TEST_CASE("the best heavy ball contracts like the square root of the condition") {
  double const condition = 100, root = std::sqrt(condition);
  double const decay = std::pow((root - 1) / (root + 1), 2);
  momentum const rule{.rate = std::pow(2 / (root + 1), 2), .decay = decay};
  VectorXd const curvature = VectorXd::LinSpaced(20, 1, condition);
  VectorXd x = VectorXd::Ones(20);
  auto memory = rule.start(x);
  double early = 0;
  for (int k = 0; k < 200; ++k) {
    if (k == 100) early = x.norm();
    rule.step(x, VectorXd(curvature.cwiseProduct(x)), memory);
  }
  // All modes rotate with modulus sqrt(decay); those at both ends gain a factor of k.
  double const rate = std::pow(x.norm() / early, 1.0 / 100);
  CHECK(rate >= std::sqrt(decay));
  CHECK(rate <= std::sqrt(decay) * 1.012);
  // Gradient descent with its best rate needs (condition + 1) / 2 times as many steps.
  CHECK(x.norm() < 1e-6);
}

TEST_CASE("Adam is Algorithm 1 of the paper") {
  using Wide = Eigen::Array<long double, Eigen::Dynamic, 1>;
  for (auto [b1, b2, e, w] : {std::array{0.9, 0.999, 1e-8, 0.0}, std::array{0.5, 0.9, 1e-2, 0.3},
                              std::array{0.0, 0.0, 1e-3, 0.0}}) {
    CAPTURE(b1, b2);
    adam const rule{.rate = 0.01, .decay = b1, .decay_square = b2, .epsilon = e, .weight_decay = w};
    VectorXd x = start;
    auto memory = rule.start(x);
    Wide y = start.cast<long double>(), m = Wide::Zero(y.size()), v = m;
    for (int t = 1; t <= 40; ++t) {
      VectorXd const g = wave(x, t);
      Wide const h = g.cast<long double>();
      rule.step(x, g, memory);
      m = (long double)(b1)*m + (1 - (long double)(b1)) * h;
      v = (long double)(b2)*v + (1 - (long double)(b2)) * h * h;
      Wide const mean = m / (1 - std::pow((long double)(b1), (long double)(t)));
      Wide const square = v / (1 - std::pow((long double)(b2), (long double)(t)));
      y -= 0.01L * (mean / (square.sqrt() + (long double)(e)) + (long double)(w)*y);
      REQUIRE((x.cast<long double>().array() - y).abs().maxCoeff() <= 1e-15 * t);
    }
    CHECK(memory.steps == 40);
  }
}

TEST_CASE("Adam's steps have the length of the rate, whatever the scale of the gradient") {
  adam const rule{.rate = 0.25, .epsilon = 0};
  VectorXd x = VectorXd::Zero(5), g = VectorXd::Zero(5);
  g << 1e-12, -3, 0, 1e9, -1e-3;
  VectorXd const sign = g.cwiseSign();
  auto memory = rule.start(x);
  for (int t = 1; t <= 10; ++t) {  // a steady gradient gives steady steps
    rule.step(x, g, memory);
    REQUIRE((x + 0.25 * t * sign).norm() <= 1e-14 * t);
  }
  CHECK(x(2) == 0);
  // Powers of two change no bit.
  VectorXd y = start, z = start;
  auto memory_y = rule.start(y), memory_z = rule.start(z);
  for (int t = 0; t < 20; ++t) {
    VectorXd const h = wave(y, t);
    rule.step(y, h, memory_y);
    rule.step(z, VectorXd(0x1p-40 * h), memory_z);
  }
  CHECK(y == z);
}

TEST_CASE("decoupled weight decay shrinks x beside the gradient") {
  adam const rule{.rate = 0.1, .weight_decay = 0.5};
  VectorXd x = start;
  auto memory = rule.start(x);
  for (int t = 0; t < 10; ++t) rule.step(x, VectorXd(VectorXd::Zero(x.size())), memory);
  CHECK((x - std::pow(0.95, 10) * start).norm() <= 1e-14 * start.norm());
}

TEMPLATE_TEST_CASE("the shape of a variable and its storage change no bit", "", float, double,
                   long double) {
  using S = TestType;
  using RowMajor = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  auto const all_rules = [](auto&& body) {
    body(gradient_descent{.rate = 0.05});
    body(momentum{.rate = 0.05, .nesterov = true});
    body(adam{.rate = 0.05, .weight_decay = 0.1});
  };
  all_rules([](auto const& rule) {
    MatrixX<S> X = support::points<S>(4, 6, 3);
    RowMajor R = X;
    VectorX<S> x = X.reshaped();
    Eigen::Matrix<S, 4, 6> F = X;
    auto memory_X = rule.start(X);
    auto memory_R = rule.start(R);
    auto memory_x = rule.start(x);
    auto memory_F = rule.start(F);
    for (int t = 0; t < 5; ++t) {
      MatrixX<S> const G = (S(2) * X.array()).sin();
      RowMajor const G_rows = G;
      rule.step(X, G, memory_X);
      rule.step(R, G_rows, memory_R);
      rule.step(x, VectorX<S>(G.reshaped()), memory_x);
      rule.step(F, Eigen::Matrix<S, 4, 6>(G), memory_F);
    }
    S const u = 64 * unit_roundoff<S>;
    CHECK((X - R).cwiseAbs().maxCoeff() <= u);
    CHECK((X.reshaped() - x).cwiseAbs().maxCoeff() <= u);
    CHECK((X - F).cwiseAbs().maxCoeff() <= u);
  });
}

TEST_CASE("steps and iterations allocate nothing") {
  Objective f = quadratic(VectorXd::LinSpaced(600, 1, 10));
  VectorXd const x0 = start.head(600);
  auto const count = [&](auto const& rule) {
    auto const stepper = rule.stepper(f, x0, {});
    auto state = stepper.init();
    (void)stepper.advance(state, 1);
    return test::allocations([&] { (void)stepper.advance(state, 5); });
  };
  CHECK(count(gradient_descent{}) == 0);
  CHECK(count(momentum{}) == 0);
  CHECK(count(momentum{.nesterov = true}) == 0);
  CHECK(count(adam{}) == 0);
}

TEST_CASE("minimize runs every rule to its criterion") {
  VectorXd const curvature = VectorXd::LinSpaced(10, 1, 20), x0 = start.head(10);
  Objective f = quadratic(curvature);
  auto const check = [&](auto const& rule) {
    auto const r = minimize(f, x0, rule);
    CHECK(r.status == Status::converged);
    CHECK(r.gradient_norm <= 1e-6);
    CHECK(r.x.norm() <= 1e-5);
    CHECK(r.evaluations == r.iterations + 1);
    auto const again = minimize(f, r.x, rule);  // there already
    CHECK(again.iterations == 0);
    CHECK(again.evaluations == 1);
  };
  check(gradient_descent{.rate = 0.05});
  check(momentum{.rate = 0.02});
  check(momentum{.rate = 0.02, .nesterov = true});
  check(adam{.rate = 0.002});
}

TEST_CASE("a checkpoint goes on with the same bits") {
  Objective f = quadratic(VectorXd::LinSpaced(10, 1, 20));
  VectorXd const x0 = start.head(10);
  auto const stepper = adam{.rate = 0.01}.stepper(f, x0, {});
  auto state = stepper.init();
  (void)stepper.advance(state, 13);
  auto checkpoint = state;
  (void)stepper.advance(state, 30);
  (void)stepper.advance(checkpoint, 7);
  (void)stepper.advance(checkpoint, 23);
  CHECK(state.x == checkpoint.x);
  CHECK(state.value == checkpoint.value);
  auto const whole = iterate(stepper, {.max_iterations = 43});
  CHECK(whole.state.x == state.x);
}

TEST_CASE("runs that go wrong end with the best point and the reason") {
  VectorXd const x0 = VectorXd::Ones(3);
  Objective f = quadratic(VectorXd::Ones(3));
  SECTION("too long a rate") {
    auto const r = minimize(f, x0, gradient_descent{.rate = 2.5}, {.max_iterations = 10000});
    CHECK(r.status == Status::non_finite);
    CHECK(r.x == x0);
    CHECK(r.value == 1.5);
    CHECK(r.gradient == x0);
  }
  SECTION("a rate that overshoots once") {
    auto const r = minimize(f, x0, momentum{.rate = 0.5, .decay = 0.9}, {.max_iterations = 5});
    CHECK(r.status == Status::iteration_limit);
    VectorXd g(3);
    CHECK(r.value == f(r.x, g));
    CHECK(g == r.gradient);
    CHECK(r.value < 1.5);
  }
  SECTION("no minimum") {
    Objective cliff = [](VectorXd const& x, VectorXd& g) {
      g = -x.array().exp();
      return g.sum();
    };
    CHECK(minimize(cliff, x0, gradient_descent{}).status == Status::unbounded);
  }
  SECTION("not a number at the start") {
    Objective nothing = [](VectorXd const& x, VectorXd& g) {
      g = x;
      return not_a_number;
    };
    auto const r = minimize(nothing, x0, adam{});
    CHECK(r.status == Status::non_finite);
    CHECK(r.x == x0);
  }
  SECTION("a tolerance that rounding hides") {
    Objective hidden = [](VectorXd const& x, VectorXd& g) {
      g = x.array() - 1 / 3.0;
      return 0.5 * g.squaredNorm();
    };
    auto const r = minimize(hidden, x0, gradient_descent{.rate = 0.3}, {.gradient_tolerance = 0});
    CHECK((r.status == Status::precision_limit || r.gradient_norm == 0));
    CHECK((r.x.array() - 1 / 3.0).abs().maxCoeff() <= 1e-15);
  }
  SECTION("limits and the observer") {
    CHECK(minimize(f, x0, adam{}, {.max_evaluations = 7}).evaluations == 7);
    CHECK(minimize(f, x0, adam{}, {.max_evaluations = 7}).status == Status::evaluation_limit);
    auto const r = minimize(f, x0, adam{}, {}, [](Progress const& p) { return p.iteration < 4; });
    CHECK(r.status == Status::stopped_by_observer);
    CHECK(r.iterations == 4);
  }
}

TEST_CASE("rules refuse numbers that make no sense") {
  Objective f = quadratic(VectorXd::Ones(3));
  VectorXd const x0 = VectorXd::Ones(3);
  CHECK_REFUSED(minimize(f, x0, gradient_descent{.rate = 0}), "minimize: rate is 0");
  CHECK_REFUSED(minimize(f, x0, momentum{.decay = 1}), "minimize: decay is 1");
  CHECK_REFUSED(minimize(f, x0, momentum{.rate = not_a_number}), "rate is nan");
  CHECK_REFUSED(minimize(f, x0, adam{.rate = -1}), "rate is -1");
  CHECK_REFUSED(minimize(f, x0, adam{.decay = -0.1}), "decay is -0.1");
  CHECK_REFUSED(minimize(f, x0, adam{.decay_square = 1}), "decay_square is 1");
  CHECK_REFUSED(minimize(f, x0, adam{.epsilon = -1}), "epsilon is -1");
  CHECK_REFUSED(minimize(f, x0, adam{.weight_decay = infinity}), "weight_decay is inf");
  CHECK_REFUSED(minimize(f, VectorXd(), adam{}), "minimize: x0 is 0x1");
}
