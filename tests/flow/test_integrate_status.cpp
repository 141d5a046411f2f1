// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include <monge/flow/integrate.hpp>

namespace flow = monge::flow;
using monge::Index;
using monge::Status;

namespace {

auto const spin = [](double, auto const& x, auto&& dx) { dx << x(1), -x(0); };
auto const decay = [](double, auto const& x, auto& dx) { dx = -x; };
auto const pendulum = [](double, auto const& x, auto& dx) {
  dx(0) = x(1);
  dx(1) = -std::sin(x(0));
};
using Vector1 = Eigen::Matrix<double, 1, 1>;

flow::IntegrateOptions within(double tolerance) {
  return {.relative_tolerance = tolerance, .absolute_tolerance = tolerance};
}

}  // namespace

TEMPLATE_TEST_CASE("NaN from the field ends at the last finite state", "[flow]", Eigen::Vector2d,
                   Eigen::VectorXd) {
  auto const breaks = [](double t, auto const& x, auto& dx) {
    dx = -x;
    if (t > 0.5) dx(1) = monge::not_a_number;
  };
  TestType const x0 = Eigen::Vector2d(1, 2);
  auto const check = [&](auto method, flow::IntegrateOptions options, double reach) {
    options.save_at = {0.1, 0.9};
    auto const r = flow::integrate(breaks, x0, 0, 1, method, options);
    CHECK(r.status == Status::non_finite);
    CHECK(r.t <= 0.5);
    CHECK(r.t >= reach);
    CHECK((r.x - std::exp(-r.t) * x0).norm() < 1e-4);
    CHECK(r.saved.size() == 1);
  };
  check(flow::dormand_prince5{}, {}, 0.5 - 1e-12);
  check(flow::bogacki_shampine3{}, {}, 0.5 - 1e-12);
  check(flow::heun{}, {}, 0.5 - 1e-12);
  check(flow::rk4{}, {.step = 0.02}, 0.45);
  check(flow::dormand_prince5{}, {.step = 0.02}, 0.45);
}

TEST_CASE("NaN at the start ends at the start", "[flow]") {
  auto const broken = [](double, auto const&, auto& dx) { dx.setConstant(monge::not_a_number); };
  for (auto const& options : {flow::IntegrateOptions{}, flow::IntegrateOptions{.step = 0.1}}) {
    auto const r =
        flow::integrate(broken, Eigen::Vector2d(1, 2), 0, 1, flow::dormand_prince5{}, options);
    CHECK(r.status == Status::non_finite);
    CHECK(r.t == 0);
    CHECK(r.x == Eigen::Vector2d(1, 2));
    CHECK(r.iterations == 1);
  }
}

TEST_CASE("NaN at a trial stage is answered by a smaller step", "[flow]") {
  auto const fragile = [](double, auto const& x, auto& dx) {
    dx = -50 * x;
    if (x(0) < 0) dx(0) = monge::not_a_number;
  };
  auto const r =
      flow::integrate(fragile, Vector1(1), 0, 0.2, flow::dormand_prince5{}, {.initial_step = 0.2});
  CHECK(r.status == Status::converged);
  CHECK(r.rejected > 0);
  CHECK(std::abs(r.x(0) - std::exp(-10)) < 1e-5);
}

TEST_CASE("an overflow is not taken for a small error", "[flow]") {
  // x' = x^2 grows past the largest number at t = 1.
  auto const explodes = [](double, auto const& x, auto& dx) { dx = x.cwiseProduct(x); };
  auto const adaptive = flow::integrate(explodes, Vector1(1), 0, 2);
  CHECK(adaptive.status == Status::step_too_small);
  CHECK(std::abs(adaptive.t - 1) < 1e-6);
  CHECK(std::isfinite(adaptive.x(0)));
  auto const fixed = flow::integrate(explodes, Vector1(1), 0, 2, flow::rk4{}, {.step = 0.01});
  CHECK(fixed.status == Status::non_finite);
  CHECK(std::isfinite(fixed.x(0)));
  CHECK(fixed.t < 2);
}

TEMPLATE_TEST_CASE("no state beyond the largest number is accepted", "[flow]", flow::heun,
                   flow::dormand_prince5) {
  // The estimate of the error is 0 all along, and the scale of an infinite state is infinite.
  auto const steep = [](double, auto const&, auto& dx) { dx.setConstant(1e308); };
  auto const check = [&](auto const& x0) {
    auto const r = flow::integrate(steep, x0, 0, 10, TestType{});
    CHECK(r.status == Status::non_finite);
    CHECK(r.x.allFinite());
    CHECK(std::abs(r.t - 1.797) < 1e-3);
  };
  check(Vector1(0));
  check(Eigen::VectorXd::Zero(16).eval());  // whole blocks
  check(Eigen::VectorXd::Zero(5).eval());   // a tail alone
}

TEST_CASE("the smallest and the largest step are kept", "[flow]") {
  auto const r = flow::integrate(pendulum, Eigen::Vector2d(3, 0), 0, 10, flow::dormand_prince5{},
                                 {.max_step = 0.01});
  CHECK(r.status == Status::converged);
  CHECK(r.accepted >= 1000);
  auto const s =
      flow::integrate(pendulum, Eigen::Vector2d(3, 0), 0, 10, flow::dormand_prince5{},
                      {.relative_tolerance = 1e-12, .absolute_tolerance = 1e-12, .min_step = 0.1});
  CHECK(s.status == Status::step_too_small);
  CHECK(s.t < 10);
}

TEMPLATE_TEST_CASE("a tolerance below the rounding of the state is not claimed", "[flow]", float,
                   double) {
  Eigen::Matrix<TestType, 1, 1> const x0(TestType(1));
  double const u = double(monge::unit_roundoff<TestType>);
  auto const r = flow::integrate(decay, x0, 0, 1, flow::dormand_prince5{}, within(u / 100));
  CHECK(r.status == Status::precision_limit);
  CHECK(r.t == 1);
}

TEST_CASE("limits and the observer leave a partial result", "[flow]") {
  Eigen::Vector2d const x0(1, 0);
  auto const check = [&](auto const& r, Status status) {
    CHECK(r.status == status);
    CHECK(r.t < 100);
    CHECK((r.x - Eigen::Vector2d(std::cos(r.t), -std::sin(r.t))).norm() < 1e-3);
  };
  auto const short_run =
      flow::integrate(spin, x0, 0, 100, flow::dormand_prince5{}, {.max_steps = 7});
  check(short_run, Status::iteration_limit);
  CHECK(short_run.iterations == 7);
  check(flow::integrate(spin, x0, 0, 100, flow::dormand_prince5{}, {.max_seconds = 0}),
        Status::time_limit);

  std::vector<Index> seen;
  auto const stopped = flow::integrate(spin, x0, 0, 100, flow::dormand_prince5{},
                                       {.observe_every = 4}, [&](monge::Progress const& progress) {
                                         seen.push_back(progress.iteration);
                                         CHECK(progress.error < 10);
                                         return progress.iteration < 12;
                                       });
  check(stopped, Status::stopped_by_observer);
  CHECK(seen == std::vector<Index>{4, 8, 12});
  CHECK(stopped.iterations == 12);

  // A result is a start: the rest of the run from where it stopped.
  auto const rest = flow::integrate(spin, short_run.x, short_run.t, 6, flow::dormand_prince5{},
                                    {.initial_step = std::abs(short_run.next_step)});
  CHECK(rest.status == Status::converged);
  CHECK((rest.x - Eigen::Vector2d(std::cos(6), -std::sin(6))).norm() < 1e-4);
}
