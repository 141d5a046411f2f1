// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include <monge/flow/step_control.hpp>

using monge::flow::StepControl;
using monge::flow::detail::rough_exp2;
using monge::flow::detail::rough_log2;
using monge::flow::detail::StepMemory;

TEST_CASE("the controller's logarithm and power are good to four digits", "[flow]") {
  for (double x = 1e-30; x < 1e30; x *= 1.0137) {
    REQUIRE(std::abs(rough_log2(x) - std::log2(x)) < 1.3e-4);
  }
  for (double y = -50; y < 50; y += 0.0137) {
    REQUIRE(std::abs(rough_exp2(y) / std::exp2(y) - 1) < 1.3e-4);
  }
}

TEST_CASE("the integral controller aims at the tolerance of the next step", "[flow]") {
  for (double error : {0.9, 0.1, 3e-3}) {
    StepMemory memory;
    double const factor = memory.accept({}, 5, error * error);
    CHECK(std::abs(factor / (0.9 * std::pow(error, -0.2)) - 1) < 1e-3);
  }
  StepMemory memory;
  CHECK(std::abs(memory.reject({}, 5, 100) / (0.9 * std::pow(10, -0.2)) - 1) < 1e-3);
}

TEST_CASE("the PID controller weighs the last three errors", "[flow]") {
  StepControl const pid{.integral = 0.5, .proportional = 0.3, .derivative = 0.1};
  StepMemory memory;
  memory.accept(pid, 5, std::pow(0.5, 2));
  memory.accept(pid, 5, std::pow(0.3, 2));
  double const factor = memory.accept(pid, 5, std::pow(0.8, 2));
  double const wanted =
      0.9 * std::pow(0.8, -0.9 / 5) * std::pow(0.3, 0.5 / 5) * std::pow(0.5, -0.1 / 5);
  CHECK(std::abs(factor / wanted - 1) < 1e-3);
}

TEST_CASE("factors stay between their limits", "[flow]") {
  StepMemory memory;
  CHECK(memory.accept({}, 5, 0) == 10);
  CHECK(memory.reject({}, 5, 1e300) == 0.2);
  CHECK(memory.reject({}, 5, std::numeric_limits<double>::quiet_NaN()) == 0.2);
  CHECK(memory.reject({}, 5, std::numeric_limits<double>::infinity()) == 0.2);
  CHECK(memory.reject({.safety = 1}, 5, 1 + 1e-12) == 0.9);
}

TEST_CASE("the step after a rejected one does not grow", "[flow]") {
  StepMemory memory;
  memory.reject({}, 5, 4);
  CHECK(memory.accept({}, 5, 1e-8) == 1);
  CHECK(memory.accept({}, 5, 1e-8) > 1);
}
