// SPDX-License-Identifier: MIT
// Oracles: flows whose solution is known in closed form, exact transport in one step, and the
// symmetries of particles.
#include "support/eigen_checks.hpp"
//
#include <cmath>
#include <functional>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/flow/gradient_flow.hpp>
#include <monge/ot/directions.hpp>
#include <monge/ot/wasserstein_1d.hpp>

namespace {

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using flow::gradient_flow;
using optim::adam;
using optim::gradient_descent;
using optim::momentum;

using Loss = std::function<double(MatrixXd const&, MatrixXd&)>;
using RandomLoss = std::function<double(MatrixXd const&, MatrixXd&, RandomKey)>;
static_assert(optim::StochasticObjective<RandomLoss, MatrixXd>);
static_assert(!optim::StochasticObjective<Loss, MatrixXd>);
static_assert(
    IterativeMethod<flow::detail::GradientFlow<flow::detail::FixedLoss<Loss>, adam, double>>);

/// mean |x|^2 / 2: all particles move to the origin with speed |x|.
Loss const potential = [](MatrixXd const& X, MatrixXd& G) {
  double const n = double(X.cols());
  G = X / n;
  return X.squaredNorm() / (2 * n);
};

/// W_2^2 / 2 on the line to fixed points.
Loss line_transport(VectorXd y) {
  return [y](MatrixXd const& X, MatrixXd& G) {
    auto const r = ot::wasserstein_1d(X.row(0), y, {.answer = ot::Answer1d::gradients});
    G = r.gradient_x.transpose() / 2;
    return r.power / 2;
  };
}

/// An estimate of SW_2^2 with ten fresh directions.
RandomLoss sliced(MatrixXd Y) {
  return [Y](MatrixXd const& X, MatrixXd& G, RandomKey key) {
    Index const L = 10;
    auto const set = ot::directions(ot::DirectionRule::monte_carlo, X.rows(), L, key);
    G.setZero(X.rows(), X.cols());
    double value = 0;
    for (Index l = 0; l < L; ++l) {
      VectorXd const theta = set.theta.col(l);
      VectorXd const x = X.transpose() * theta, y = Y.transpose() * theta;
      auto const r = ot::wasserstein_1d(x, y, {.answer = ot::Answer1d::gradients});
      G += theta * r.gradient_x.transpose() / double(L);
      value += r.power / double(L);
    }
    return value;
  };
}

MatrixXd const X0 = support::points(2, 17, 1), target = 0.5 * support::points(2, 17, 2);

}  // namespace

TEST_CASE("explicit Euler on a quadratic potential is the power of its factor") {
  auto const r = gradient_flow(X0, potential, gradient_descent{.rate = 0.1}, {.steps = 40});
  CHECK(r.status == Status::converged);
  CHECK(r.iterations == 40);
  CHECK(r.evaluations == 41);
  CHECK((r.X - std::pow(0.9, 40) * X0).norm() <= 1e-14);
  CHECK(r.values.size() == 41);
  for (Index k = 0; k <= 40; ++k) {
    REQUIRE(std::abs(r.values(k) / (std::pow(0.81, double(k)) * r.values(0)) - 1) <= 1e-12);
  }
  CHECK(r.value == r.values(40));
  CHECK(std::abs(r.speed - r.X.norm() / std::sqrt(17.0)) <= 1e-14);
}

TEST_CASE("the flow converges to its continuous solution with order one in the rate") {
  double last = 0;
  for (Index steps : {50, 100, 200}) {
    auto const r =
        gradient_flow(X0, potential, gradient_descent{.rate = 1 / double(steps)}, {.steps = steps});
    double const error = (r.X - std::exp(-1.0) * X0).norm();
    if (last > 0) CHECK(std::abs(last / error - 2) <= 0.05);
    last = error;
  }
}

TEST_CASE("mean field means that the number of particles does not matter") {
  MatrixXd twice(2, 34);
  twice << X0, X0;
  auto const once = gradient_flow(X0, potential, momentum{.rate = 0.05}, {.steps = 30});
  auto const both = gradient_flow(twice, potential, momentum{.rate = 0.05}, {.steps = 30});
  CHECK((both.X.leftCols(17) - once.X).norm() <= 1e-14);
  auto const plain = gradient_flow(X0, potential, gradient_descent{.rate = 1.7},
                                   {.steps = 3, .mean_field = false});
  CHECK((plain.X - std::pow(0.9, 3) * X0).norm() <= 1e-14);
}

TEST_CASE("half of the squared distance leads to the target along straight lines in one unit") {
  VectorXd const y = support::points(1, 9, 4).row(0);
  MatrixXd const start = support::points(1, 9, 5);
  auto const r = gradient_flow(start, line_transport(y), gradient_descent{.rate = 1}, {.steps = 1});
  CHECK(r.value <= 1e-30);
  auto const half =
      gradient_flow(start, line_transport(y), gradient_descent{.rate = 0.5}, {.steps = 1});
  CHECK(std::abs(half.value - half.values(0) / 4) <= 1e-15);  // a quarter of W^2 is left
}

TEST_CASE("a random flow is a function of its start and its key") {
  RandomLoss const loss = sliced(target);
  gradient_descent const rule{.rate = 0.5};
  auto const r = gradient_flow(X0, loss, rule, {.steps = 60}, Philox(1));
  CHECK(r.values(60) < 0.01 * r.values(0));
  CHECK(gradient_flow(X0, loss, rule, {.steps = 60, .observe_every = 7}, Philox(1),
                      [](Progress const&) {})
            .X == r.X);
  CHECK(gradient_flow(X0, loss, rule, {.steps = 60}, Philox(2)).X != r.X);
  // Every step has its own directions.
  RandomLoss const seed = [](MatrixXd const& X, MatrixXd& G, RandomKey key) {
    G.setZero(X.rows(), X.cols());
    G(0, 0) = 1;
    return double(key.seed);
  };
  auto const seeds = gradient_flow(X0, seed, rule, {.steps = 5}, Philox(3));
  for (Index i = 1; i <= 5; ++i) CHECK(seeds.values(i) != seeds.values(i - 1));
}

TEST_CASE("a flow moves with its cloud, and particles have no names") {
  VectorXd const shift = Eigen::Vector2d(3, -2);
  momentum const rule{.rate = 0.1, .decay = 0.5};
  auto const r = gradient_flow(X0, sliced(target), rule, {.steps = 20}, Philox(1));
  auto const moved = gradient_flow(X0.colwise() + shift, sliced(target.colwise() + shift), rule,
                                   {.steps = 20}, Philox(1));
  CHECK(((r.X.colwise() + shift) - moved.X).norm() <= 1e-12);
  auto const turned =
      gradient_flow(X0.rowwise().reverse(), sliced(target), rule, {.steps = 20}, Philox(1));
  CHECK((turned.X.rowwise().reverse() - r.X).norm() <= 1e-13);
}

TEST_CASE("saved particles, limits, the observer and a flow at rest") {
  auto const r =
      gradient_flow(X0, potential, gradient_descent{.rate = 0.1}, {.steps = 10, .save_every = 4});
  REQUIRE(r.saved.size() == 3);
  CHECK(r.saved[0] == X0);
  CHECK((r.saved[2] - std::pow(0.9, 8) * X0).norm() <= 1e-15);
  auto const stopped = gradient_flow(X0, potential, adam{}, {.steps = 100, .observe_every = 5},
                                     [](Progress const& p) { return p.iteration < 15; });
  CHECK(stopped.status == Status::stopped_by_observer);
  CHECK(stopped.iterations == 15);
  CHECK(stopped.values.size() == 16);
  auto const rest = gradient_flow(MatrixXd::Zero(2, 3), potential, gradient_descent{});
  CHECK(rest.status == Status::converged);
  CHECK(rest.iterations == 0);
  auto const slow =
      gradient_flow(X0, potential, gradient_descent{.rate = 0.5}, {.stationary = 1e-3});
  CHECK(slow.status == Status::converged);
  CHECK(slow.speed <= 1e-3);
  CHECK(slow.iterations < 15);
  CHECK(gradient_flow(X0, potential, adam{}, {.max_seconds = 0}).status == Status::time_limit);
  CHECK(gradient_flow(X0, potential, adam{}, {.steps = 0}).X == X0);
}

TEST_CASE("a checkpoint goes on with the same bits and steps allocate nothing") {
  Loss loss = potential;
  flow::detail::GradientFlow<flow::detail::FixedLoss<Loss>, adam, double> const method(
      {&loss}, X0, adam{.rate = 0.01}, {.steps = 100});
  auto state = method.init();
  (void)method.advance(state, 10);
  auto copy = state;
  (void)method.advance(copy, 13);
  (void)method.advance(copy, 27);
  // The copy of a vector has no reserve; the state itself has.
  CHECK(test::allocations([&] { (void)method.advance(state, 40); }) == 0);
  CHECK(copy.X == state.X);
  CHECK(copy.values == state.values);
}

TEST_CASE("float particles, fixed sizes and other storage") {
  Eigen::Matrix<float, 2, 17, Eigen::RowMajor> const start = X0.cast<float>();
  auto const loss = [](auto const& X, auto& G) {
    G = X / float(X.cols());
    return 0.5f * X.squaredNorm() / float(X.cols());
  };
  auto const r = gradient_flow(start, loss, gradient_descent{.rate = 0.1}, {.steps = 40});
  CHECK((r.X.cast<double>() - std::pow(0.9, 40) * X0).norm() <= 1e-6);
}

TEST_CASE("a flow that breaks says so, and misuse is refused") {
  auto const r = gradient_flow(X0, potential, gradient_descent{.rate = 1e200}, {.steps = 100});
  CHECK(r.status == Status::non_finite);
  CHECK(r.iterations < 4);
  MatrixXd spoilt = X0;
  spoilt(0, 3) = not_a_number;
  CHECK_REFUSED(gradient_flow(spoilt, potential, adam{}), "gradient_flow: X0 has NaN");
  CHECK_REFUSED(gradient_flow(MatrixXd(2, 0), potential, adam{}), "gradient_flow: X0 is 2x0");
  CHECK_REFUSED(gradient_flow(X0, potential, adam{.rate = 0}), "gradient_flow: rate is 0");
  CHECK_REFUSED(gradient_flow(X0, potential, adam{}, {.steps = -1}), "steps is -1");
  CHECK_REFUSED(gradient_flow(X0, potential, adam{}, {.stationary = -1}), "stationary is -1");
  CHECK_REFUSED(gradient_flow(X0, potential, adam{}, {.save_every = -1}), "save_every is -1");
  Loss const wrong = [](MatrixXd const&, MatrixXd& G) {
    G = MatrixXd::Zero(1, 1);
    return 0.0;
  };
  CHECK_REFUSED(gradient_flow(X0, wrong, adam{}), "X is 2x17 but the loss wrote a gradient of 1x1");
}
