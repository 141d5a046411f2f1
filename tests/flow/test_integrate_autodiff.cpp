// SPDX-License-Identifier: MIT
#include <Eigen/Core>
#include <unsupported/Eigen/AutoDiff>

#include <cmath>

#include "support/catch.hpp"
#include <monge/flow/integrate.hpp>

namespace flow = monge::flow;
using monge::Status;

namespace {

flow::IntegrateOptions within(double tolerance) {
  return {.relative_tolerance = tolerance, .absolute_tolerance = tolerance};
}

}  // namespace

TEST_CASE("derivatives by a parameter flow through", "[flow]") {
  using AD = Eigen::AutoDiffScalar<Eigen::Vector2d>;
  using X = Eigen::Matrix<AD, 2, 1>;
  AD const rate(0.7, 2, 0);  // the first independent variable; the second one is the start
  auto const field = [&](double, X const& x, X& dx) {
    dx(0) = -rate * x(0);
    dx(1) = x(0);
  };
  X x0;
  x0(0) = AD(1.5, 2, 1);
  x0(1) = AD(0.0);
  double const p = 0.7, t = 2, e = std::exp(-p * t);
  auto const check = [&](X const& x, double tolerance) {
    CHECK(std::abs(x(0).value() - 1.5 * e) < tolerance);
    CHECK(std::abs(x(0).derivatives()(0) + 1.5 * t * e) < tolerance);
    CHECK(std::abs(x(0).derivatives()(1) - e) < tolerance);
    CHECK(std::abs(x(1).derivatives()(0) - 1.5 * (t * e / p - (1 - e) / (p * p))) < tolerance);
    CHECK(std::abs(x(1).derivatives()(1) - (1 - e) / p) < tolerance);
  };
  auto const adaptive = flow::integrate(field, x0, 0, t, flow::dormand_prince5{}, within(1e-10));
  CHECK(adaptive.status == Status::converged);
  check(adaptive.x, 1e-8);
  auto const fixed = flow::integrate(field, x0, 0, t, flow::rk4{}, {.step = 0.01});
  CHECK(fixed.status == Status::converged);
  check(fixed.x, 1e-8);

  // The steps are those of the values alone.
  auto const values =
      flow::integrate([&](double, auto const& x, auto& dx) { dx << -p * x(0), x(0); },
                      Eigen::Vector2d(1.5, 0), 0, t, flow::dormand_prince5{}, within(1e-10));
  CHECK(values.accepted == adaptive.accepted);
}

TEST_CASE("derivatives of run-time length flow through", "[flow]") {
  using AD = Eigen::AutoDiffScalar<Eigen::VectorXd>;
  using X = Eigen::Matrix<AD, Eigen::Dynamic, 1>;
  AD const rate(0.7, 1, 0);
  auto const field = [&](double, X const& x, X& dx) { dx(0) = -rate * x(0); };
  X x0(1);
  x0(0) = AD(1.5);  // no derivatives yet
  for (auto const& options : {within(1e-9), flow::IntegrateOptions{.step = 0.01}}) {
    auto const r = flow::integrate(field, x0, 0, 2, flow::dormand_prince5{}, options);
    REQUIRE(r.status == Status::converged);
    CHECK(std::abs(r.x(0).derivatives()(0) + 3 * std::exp(-1.4)) < 1e-7);
  }
}
