// SPDX-License-Identifier: MIT
#define EIGEN_RUNTIME_NO_MALLOC
#include <cmath>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include <monge/flow/runge_kutta.hpp>

namespace flow = monge::flow;
using monge::Index;
using monge::Status;

namespace {

auto const lorenz = [](double, auto const& x, auto& dx) {
  dx(0) = 10 * (x(1) - x(0));
  dx(1) = x(0) * (28 - x(2)) - x(1);
  dx(2) = x(0) * x(1) - 8.0 / 3.0 * x(2);
};

template <class Stepper>
Index run(Stepper const& stepper, typename Stepper::State& state, Index burst) {
  Index steps = 0;
  for (;;) {
    monge::Advance const advance = stepper.advance(state, burst);
    steps += advance.steps;
    if (advance.status != Status::running) {
      REQUIRE(advance.status == Status::converged);
      return steps;
    }
  }
}

}  // namespace

TEST_CASE("the stepper is an iterative method", "[flow]") {
  using Small = flow::RungeKutta<flow::dormand_prince5, Eigen::Vector3d, decltype(lorenz)>;
  using Large = flow::RungeKutta<flow::rk4, Eigen::MatrixXd, decltype(lorenz)>;
  STATIC_REQUIRE(monge::IterativeMethod<Small>);
  STATIC_REQUIRE(monge::IterativeMethod<Large>);
}

TEMPLATE_TEST_CASE("resuming from a copied state is the uninterrupted run, bit for bit", "[flow]",
                   Eigen::Vector3d, Eigen::VectorXd) {
  TestType const x0 = Eigen::Vector3d(1, 0, 0);
  for (bool adaptive : {true, false}) {
    flow::IntegrateOptions options{.save_at = {1.03, 4.5, 9.99}};
    if (!adaptive) options.step = 0.0137;
    flow::RungeKutta stepper(flow::dormand_prince5{}, lorenz, x0, 0, 10, options);
    auto whole = stepper.init();
    run(stepper, whole, 1000000);

    auto part = stepper.init();
    auto const advance = stepper.advance(part, 100);
    REQUIRE(advance.status == Status::running);
    REQUIRE(advance.steps == 100);
    auto resumed = part;
    part = stepper.init();  // the copy stands alone
    run(stepper, resumed, 7);

    CHECK(resumed.t == 10);
    CHECK(resumed.x == whole.x);
    CHECK(resumed.accepted == whole.accepted);
    CHECK(resumed.rejected == whole.rejected);
    CHECK(resumed.evaluations == whole.evaluations);
    REQUIRE(resumed.saved_count == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(resumed.saved[i] == whole.saved[i]);
  }
}

TEST_CASE("advance with no steps only looks", "[flow]") {
  Eigen::Vector3d const x0(1, 0, 0);
  flow::RungeKutta stepper(flow::dormand_prince5{}, lorenz, x0, 0, 1);
  auto state = stepper.init();
  CHECK(stepper.advance(state, 0).status == Status::running);
  CHECK(state.accepted == 0);
  CHECK(stepper.error(state) == monge::infinity);
  run(stepper, state, 10);
  CHECK(stepper.advance(state, 0).status == Status::converged);
  CHECK(stepper.advance(state, 5).steps == 0);
  CHECK(stepper.error(state) <= 1);
}

TEMPLATE_TEST_CASE("steps allocate nothing", "[flow]", flow::heun, flow::bogacki_shampine3,
                   flow::dormand_prince5) {
  auto const count = [](auto const& x0, flow::IntegrateOptions const& options) {
    flow::RungeKutta stepper(TestType{}, lorenz, x0, 0, 1, options);
    auto state = stepper.init();
    long const calls = monge::test::allocations([&] {
      while (stepper.advance(state, 3).status == Status::running) {
      }
    });
    REQUIRE(state.t == 1);
    REQUIRE(state.accepted > 10);
    REQUIRE(state.saved_count == Index(options.save_at.size()));
    return calls;
  };
  Eigen::Vector3d const fixed(1, 0, 0);
  Eigen::VectorXd const dynamic = fixed;
  for (auto const& options : {flow::IntegrateOptions{}, flow::IntegrateOptions{.step = 0.01},
                              flow::IntegrateOptions{.save_at = {0.123, 0.5, 1}},
                              flow::IntegrateOptions{.step = 0.01, .save_at = {0.123, 0.5, 1}}}) {
    CHECK(count(fixed, options) == 0);
    CHECK(count(dynamic, options) == 0);
  }
}

TEST_CASE("a fixed-size problem allocates nothing at all", "[flow]") {
  Eigen::Vector3d const x0(1, 0, 0);
  Eigen::Vector3d x = x0;
  CHECK(monge::test::allocations([&] {
          flow::RungeKutta stepper(flow::dormand_prince5{}, lorenz, x0, 0, 1);
          auto state = stepper.init();
          static_cast<void>(stepper.advance(state, 1000));
          x = state.x;
        }) == 0);
  CHECK(x.allFinite());
}

TEMPLATE_TEST_CASE("a run goes on after the field threw", "[flow]", flow::heun,
                   flow::dormand_prince5) {
  int fuse = -1;  // calls until it throws; negative: never
  auto const fragile = [&](double t, auto const& x, auto& dx) {
    if (--fuse == 0) throw 1;
    lorenz(t, x, dx);
  };
  Eigen::Vector3d const x0(1, 0, 0);
  flow::RungeKutta stepper(TestType{}, fragile, x0, 0, 1);
  auto whole = stepper.init(), broken = whole;
  run(stepper, whole, 1000);
  // Burn out at every call of one step in turn, and at the first of the next.
  for (int calls = 1; calls <= TestType::stages + 1; ++calls) {
    fuse = 40 + calls;
    CHECK_THROWS_AS(run(stepper, broken, 1), int);
    fuse = -1;
    auto repaired = broken;
    run(stepper, repaired, 1000);
    CHECK(repaired.x == whole.x);
  }
}

TEST_CASE("time does not drift over a million steps", "[flow]") {
  auto const clock = [](double, auto const&, auto& dx) { dx(0) = 0; };
  Eigen::Matrix<double, 1, 1> const x0(0);
  flow::RungeKutta stepper(flow::euler{}, clock, x0, 0, 1e5 + 1, {.step = 0.1});
  auto state = stepper.init();
  REQUIRE(stepper.advance(state, 1000000).steps == 1000000);
  // 0.1 is not a double: the exact sum of a million copies of the nearest one, rounded.
  CHECK(std::abs(state.t - static_cast<double>(1000000.0L * static_cast<long double>(0.1))) <=
        1.5e-11);  // one rounding of t itself; a plain sum is off by 1.3e-6
}

TEST_CASE("a step is accepted exactly if its scaled error is at most 1", "[flow]") {
  Eigen::Vector3d const x0(1, 0, 0);
  flow::RungeKutta stepper(flow::dormand_prince5{}, lorenz, x0, 0, 10);
  auto state = stepper.init();
  Status status = Status::running;
  while (status == Status::running) {
    auto const before = state;
    status = stepper.advance(state, 1).status;
    bool const kept = state.accepted > before.accepted;
    REQUIRE(kept == (stepper.error(state) <= 1));
    REQUIRE((state.t > before.t) == kept);
    if (!kept) REQUIRE(state.x == before.x);
  }
  CHECK(status == Status::converged);
  CHECK(state.rejected > 0);
}

TEST_CASE("evaluations are what the method promises", "[flow]") {
  long calls = 0;
  auto const counted = [&](double t, auto const& x, auto& dx) {
    ++calls;
    lorenz(t, x, dx);
  };
  Eigen::Vector3d const x0(1, 0, 0);
  flow::RungeKutta adaptive(flow::dormand_prince5{}, counted, x0, 0, 5);
  auto state = adaptive.init();
  run(adaptive, state, 1000000);
  CHECK(state.evaluations == calls);
  CHECK(state.rejected > 0);
  CHECK(calls == 2 + 6 * (state.accepted + state.rejected));  // two of them to start

  calls = 0;
  // A field that turns suddenly, so that rejections follow accepted steps.
  auto const kinked = [&](double t, auto const& x, auto& dx) {
    ++calls;
    dx = (t < 0.5 ? -1 : -100) * x;
  };
  flow::RungeKutta simple(flow::heun{}, kinked, x0, 0, 1, {.initial_step = 1e-3});
  auto unshared = simple.init();
  run(simple, unshared, 1000000);
  CHECK(unshared.evaluations == calls);
  CHECK(unshared.rejected > 0);
  // The first stage once per accepted step, the second one at every attempt.
  CHECK(calls == unshared.accepted + (unshared.accepted + unshared.rejected));

  calls = 0;
  flow::RungeKutta fixed(flow::dormand_prince5{}, counted, x0, 0, 5, {.step = 0.01});
  state = fixed.init();
  run(fixed, state, 1000000);
  CHECK(state.evaluations == calls);
  CHECK(calls == 6 * 500);

  calls = 0;
  flow::RungeKutta classical(flow::rk4{}, counted, x0, 0, 5, {.step = 0.01, .save_at = {2.005}});
  auto other = classical.init();
  run(classical, other, 1000000);
  CHECK(other.evaluations == calls);
  CHECK(calls == 4 * 500);  // the derivative that the interpolant needs is the next first stage
}
