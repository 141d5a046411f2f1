// SPDX-License-Identifier: MIT
#include <cmath>

#include "support/catch.hpp"
#include <monge/flow/integrate.hpp>

namespace flow = monge::flow;
using monge::Status;

namespace {

using Vector1 = Eigen::Matrix<double, 1, 1>;

flow::IntegrateOptions within(double tolerance) {
  return {.relative_tolerance = tolerance, .absolute_tolerance = tolerance};
}

}  // namespace

// Hull, Enright, Fellen, Sedgwick, Comparing numerical methods for ordinary differential equations,
// SIAM Journal on Numerical Analysis 9 (1972) 603-637: t from 0 to 20. The values at the end were
// computed in quadruple precision by extrapolation.
TEST_CASE("the DETEST problems end where they should", "[flow]") {
  auto const end = [](auto const& field, auto const& x0) {
    auto const r = flow::integrate(field, x0, 0, 20, flow::dormand_prince5{}, within(1e-10));
    REQUIRE(r.status == Status::converged);
    return r.x;
  };
  auto const near = [](double value, double wanted) {
    CAPTURE(value, wanted);
    CHECK(std::abs(value - wanted) < 1e-8 * (1 + std::abs(wanted)));
  };
  // A1 to A4: scalar equations
  near(end([](double, auto const& y, auto& dy) { dy = -y; }, Vector1(1))(0),
       2.061153622438557828e-9);
  near(end([](double, auto const& y, auto& dy) { dy(0) = -y(0) * y(0) * y(0) / 2; }, Vector1(1))(0),
       0.21821789023599238127);
  near(end([](double t, auto const& y, auto& dy) { dy(0) = y(0) * std::cos(t); }, Vector1(1))(0),
       2.4916502718504145235);
  near(end([](double, auto const& y, auto& dy) { dy(0) = y(0) / 4 * (1 - y(0) / 20); },
           Vector1(1))(0),
       17.730166481314839849);
  // B1: two conflicting populations
  Eigen::Vector2d const b1 =
      end([](double, auto const& y,
             auto& dy) { dy << 2 * (y(0) - y(0) * y(1)), -(y(1) - y(0) * y(1)); },
          Eigen::Vector2d(1, 3));
  near(b1(0), 0.67618760085766066073);
  near(b1(1), 0.18608160996400298008);
  // B2: a linear chemical reaction
  Eigen::Vector3d const b2 =
      end([](double, auto const& y,
             auto& dy) { dy << -y(0) + y(1), y(0) - 2 * y(1) + y(2), y(1) - y(2); },
          Eigen::Vector3d(2, 0, 1));
  near(b2(0), 1.0000000010305768112);
  near(b2(1), 1);
  near(b2(2), 0.99999999896942318878);
  // C1: a radioactive decay chain of ten
  Eigen::VectorXd const c1 = end(
      [](double, Eigen::VectorXd const& y, Eigen::VectorXd& dy) {
        dy(0) = -y(0);
        dy.segment(1, 8) = y.head(8) - y.segment(1, 8);
        dy(9) = y(8);
      },
      Eigen::VectorXd::Unit(10, 0));
  near(c1(9), 0.9979127409508649812);
  near(c1.sum(), 1);
}

// Arenstorf (1963), in the form of Hairer, Norsett, Wanner I, (0.1): a periodic orbit of the
// restricted three-body problem that passes close to the moon.
TEMPLATE_TEST_CASE("the Arenstorf orbit closes", "[flow]", flow::dormand_prince5,
                   flow::tsitouras5) {
  auto const field = [](double, Eigen::Vector4d const& x, Eigen::Vector4d& dx) {
    constexpr double moon = 0.012277471, earth = 1 - moon;
    double const a = std::pow(std::hypot(x(0) + moon, x(1)), 3);
    double const b = std::pow(std::hypot(x(0) - earth, x(1)), 3);
    dx << x(2), x(3), x(0) + 2 * x(3) - earth * (x(0) + moon) / a - moon * (x(0) - earth) / b,
        x(1) - 2 * x(2) - earth * x(1) / a - moon * x(1) / b;
  };
  Eigen::Vector4d const x0(0.994, 0, 0, -2.00158510637908252240537862224);
  auto const r =
      flow::integrate(field, x0, 0, 17.0652165601579625588917206249, TestType{}, within(1e-12));
  CHECK(r.status == Status::converged);
  CHECK(std::hypot(r.x(0) - x0(0), r.x(1) - x0(1)) < 1e-5);
  CHECK(r.accepted < 3000);
}
