// SPDX-License-Identifier: MIT
#include <random>

#include "support/catch.hpp"
#include <monge/optim/objective.hpp>
#include <monge/optim/problems.hpp>

using namespace monge;
using namespace monge::optim::problems;

TEMPLATE_TEST_CASE("the gradients of the problems agree with differences", "", ChainedRosenbrock,
                   ExtendedRosenbrock, Beale, Wood, PowellSingular, HelicalValley, Booth,
                   Himmelblau, McCormick, StyblinskiTang, Quadratic) {
  using X = VectorX<long double>;
  TestType const f;
  STATIC_REQUIRE(optim::DifferentiableObjective<TestType const, X>);
  std::mt19937 random(7);
  std::uniform_real_distribution<double> uniform(-2, 2);
  X const start = f.template start<long double>();
  for (int k = 0; k < 20; ++k) {
    X x = start, g(x.size()), scratch(x.size());
    for (Index i = 0; i < x.size(); ++i) x(i) += uniform(random);
    f(x, g);
    for (Index i = 0; i < x.size(); ++i) {
      long double const h = 1e-6L, middle = x(i);
      x(i) = middle + h;
      long double const up = f(x, scratch);
      x(i) = middle - h;
      long double const down = f(x, scratch);
      x(i) = middle;
      CHECK(std::abs((up - down) / (2 * h) - g(i)) <= 1e-7L * (1 + std::abs(g(i))));
    }
  }
}

TEST_CASE("the published values at the starts and minima") {
  Eigen::Vector2d g2;
  Eigen::Vector3d g3;
  Eigen::Vector4d g4;
  Eigen::VectorXd g(2);
  // Rosenbrock, Beale, Powell singular, helical valley, Wood: More, Garbow and Hillstrom (1981).
  CHECK(std::abs(ChainedRosenbrock{}(ChainedRosenbrock{}.start(), g) - 24.2) < 1e-12);
  CHECK(Beale{}(Beale::start(), g2) == 14.203125);
  CHECK(PowellSingular{}(PowellSingular::start(), g4) == 215);
  CHECK(HelicalValley{}(HelicalValley::start(), g3) == 2500);
  CHECK(Wood{}(Wood::start(), g4) == 19192);
  double const pi = 3.14159265358979323846;
  CHECK(std::abs(McCormick{}(Eigen::Vector2d(0.5 - pi / 3, -0.5 - pi / 3), g2) +
                 std::sqrt(3.0) / 2 + pi / 3) < 1e-14);
  CHECK(g2.norm() < 1e-14);
  double const v = -2.903534027771177;
  CHECK(std::abs(StyblinskiTang{}(Eigen::VectorXd::Constant(2, v).eval(), g) +
                 2 * 39.16616570377142) < 1e-12);
  CHECK(g.norm() < 1e-12);
}
