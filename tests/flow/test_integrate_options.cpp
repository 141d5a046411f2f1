// SPDX-License-Identifier: MIT
#include <stdexcept>
#include <vector>

#include "support/catch.hpp"
#include "support/throws.hpp"
#include <monge/flow/integrate.hpp>

namespace flow = monge::flow;

namespace {

auto const decay = [](double, auto const& x, auto& dx) { dx = -x; };

auto with(flow::IntegrateOptions const& options, double t0 = 0, double t1 = 1) {
  return flow::integrate(decay, Eigen::Vector2d(1, 2), t0, t1, flow::dormand_prince5{}, options);
}

}  // namespace

TEST_CASE("tolerances and steps that mean nothing are refused", "[flow]") {
  double const nan = monge::not_a_number, infinite = monge::infinity;
  CHECK_REFUSED(with({.relative_tolerance = -1e-6}), "integrate: relative_tolerance is -1e-06");
  CHECK_REFUSED(with({.relative_tolerance = nan}), "relative_tolerance is nan");
  CHECK_REFUSED(with({.absolute_tolerance = 0}), "absolute_tolerance is 0; it must be positive");
  CHECK_REFUSED(with({.absolute_tolerance = infinite}), "absolute_tolerance is inf");
  CHECK_REFUSED(with({.step = 0.0}), "step is 0; it must be positive");
  CHECK_REFUSED(with({.step = -0.1}, 1, 0), "step is -0.1; it must be positive");
  CHECK_REFUSED(with({.initial_step = nan}), "initial_step is nan");
  CHECK_REFUSED(with({.min_step = -1}), "min_step is -1");
  CHECK_REFUSED(with({.max_step = 0}), "max_step is 0");
  CHECK_REFUSED(with({.min_step = 1, .max_step = 0.5}), "at least min_step");
  CHECK_REFUSED(with({.max_steps = -1}), "max_steps is -1");
  CHECK_REFUSED(with({.max_seconds = nan}), "max_seconds is nan");
  CHECK_REFUSED(with({.observe_every = 0}), "observe_every is 0");
}

TEST_CASE("a controller that cannot work is refused", "[flow]") {
  CHECK_REFUSED(with({.control = {.safety = 1.5}}), "control.safety is 1.5");
  CHECK_REFUSED(with({.control = {.integral = 0}}), "the step would grow with the error");
  CHECK_REFUSED(with({.control = {.most_growth = 0.5}}), "control.most_growth is 0.5");
  CHECK_REFUSED(with({.control = {.most_shrink = 1}}), "control.most_shrink is 1");
  CHECK_REFUSED(with({.control = {.steady_growth = 0.9}}), "control.steady_growth is 0.9");
}

TEST_CASE("times have to be finite, and save_at inside and in order", "[flow]") {
  CHECK_REFUSED(with({}, 0, monge::infinity), "t1 is inf; it must be finite");
  CHECK_REFUSED(with({}, monge::not_a_number, 0), "t0 is nan; it must be finite");
  CHECK_REFUSED(with({}, -1e308, 1e308), "rescale the time");
  CHECK_REFUSED(with({.save_at = {0.5, 1.5}}), "1.5; it must lie between t0 and t1");
  CHECK_REFUSED(with({.save_at = {-0.1}}), "it must lie between t0 and t1");
  CHECK_REFUSED(with({.save_at = {monge::not_a_number}}), "it must lie between t0 and t1");
  CHECK_REFUSED(with({.save_at = {0.5, 0.2}}), "sort save_at in the direction from t0 to t1");
  CHECK_REFUSED(with({.save_at = {0.2, 0.5}}, 1, 0), "sort save_at in the direction");
}

TEST_CASE("a start that is empty or not finite is refused", "[flow]") {
  auto const from = [](auto const& x0) { return flow::integrate(decay, x0, 0, 1); };
  CHECK_REFUSED(from(Eigen::VectorXd()), "the start x0 is 0x1; it needs at least one entry");
  CHECK_REFUSED(from(Eigen::MatrixXd(2, 0)), "the start x0 is 2x0");
  CHECK_REFUSED(from(Eigen::Vector2d(1, monge::not_a_number)), "x0 has NaN or infinite entries");
  CHECK_REFUSED(from(Eigen::Vector2f(1, float(monge::infinity))), "NaN or infinite");
}

TEST_CASE("a method without an error estimate needs a step", "[flow]") {
  CHECK_REFUSED(flow::integrate(decay, Eigen::Vector2d(1, 2), 0, 1, flow::rk4{}),
                "set options.step, or use a method that has one, such as dormand_prince5");
}

TEST_CASE("a field that changes the shape of dx is refused", "[flow]") {
  auto const field = [](double, auto const&, Eigen::VectorXd& dx) {
    dx = Eigen::VectorXd::Ones(3);
  };
  CHECK_REFUSED(flow::integrate(field, Eigen::VectorXd::Ones(2), 0, 1),
                "the field wrote 3x1 for a state of 2x1; dx must keep the shape of x");
}

TEST_CASE("exceptions of the field pass through", "[flow]") {
  auto const field = [](double t, auto const& x, auto& dx) {
    if (t > 0.5) throw std::runtime_error("too late");
    dx = -x;
  };
  CHECK_THROWS_AS(flow::integrate(field, Eigen::Vector2d(1, 2), 0, 1), std::runtime_error);
}
