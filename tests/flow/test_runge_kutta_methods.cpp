// SPDX-License-Identifier: MIT
#include <cmath>

#include "support/catch.hpp"
#include <monge/flow/integrate.hpp>

namespace flow = monge::flow;

namespace {

// The slope of log error over log step, by least squares.
template <class Error>
double observed_order(Error const& error, double h, int halvings) {
  double sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (int i = 0; i < halvings; ++i, h /= 2) {
    double const x = std::log(h), y = std::log(error(h));
    sx += x, sy += y, sxx += x * x, sxy += x * y;
  }
  return (halvings * sxy - sx * sy) / (halvings * sxx - sx * sx);
}

// The planar two-body problem with eccentricity e, seen from a frame that drifts with velocity t,
// so that the field depends on time. Its closed form goes through Kepler's equation.
constexpr double e = 0.5;
auto const field = [](double t, Eigen::Vector4d const& x, Eigen::Vector4d& dx) {
  double const px = x(0) - t * t / 2, r = std::hypot(px, x(1)), r3 = r * r * r;
  dx << x(2) + t, x(3), -px / r3, -x(1) / r3;
};
Eigen::Vector4d exact(double t) {
  double E = t + e;  // eccentric anomaly: E - e sin E = t + (that of the start)
  double const mean = t + 1 - e * std::sin(1.0);
  for (int i = 0; i < 30; ++i) E -= (E - e * std::sin(E) - mean) / (1 - e * std::cos(E));
  double const s = std::sqrt(1 - e * e), rate = 1 / (1 - e * std::cos(E));
  return {std::cos(E) - e + t * t / 2, s * std::sin(E), -std::sin(E) * rate,
          s * std::cos(E) * rate};
}
Eigen::Vector4d const start = exact(0);

}  // namespace

TEMPLATE_TEST_CASE("the error falls with the declared order", "[flow]", flow::euler, flow::heun,
                   flow::rk4, flow::bogacki_shampine3, flow::dormand_prince5, flow::tsitouras5) {
  auto const error = [](double h) {
    auto const r = flow::integrate(field, start, 0, 1, TestType{}, {.step = h});
    return (r.x - exact(1)).norm();
  };
  // High orders reach rounding sooner.
  bool const high = TestType::order == 5;
  double const order = observed_order(error, 0.02, high ? 3 : 5);
  CAPTURE(order);
  CHECK(std::abs(order - TestType::order) < 0.15);
}

TEMPLATE_TEST_CASE("saved states inside a step keep the order of the interpolant", "[flow]",
                   flow::heun, flow::rk4, flow::bogacki_shampine3, flow::dormand_prince5,
                   flow::tsitouras5) {
  // The local error at a fixed fraction of one step is of order min(order, interpolant) + 1.
  auto const error = [](double h) {
    auto const r =
        flow::integrate(field, start, 0, h, TestType{}, {.step = h, .save_at = {0.4 * h}});
    return (r.saved.at(0) - exact(0.4 * h)).norm();
  };
  int interpolant = 3;
  if constexpr (flow::InterpolatingTableau<TestType>) interpolant = TestType::interpolant_order;
  double const order = observed_order(error, 0.02, 4);
  CAPTURE(order);
  CHECK(std::abs(order - (std::min(interpolant, TestType::order) + 1)) < 0.15);
}

TEMPLATE_TEST_CASE("polynomials up to the order are integrated exactly", "[flow]", flow::euler,
                   flow::heun, flow::rk4, flow::bogacki_shampine3, flow::dormand_prince5,
                   flow::tsitouras5) {
  int const p = TestType::order;
  auto const monomial = [p](double t, auto const&, auto& dx) { dx(0) = std::pow(t, p - 1); };
  Eigen::Matrix<double, 1, 1> const one(1);
  auto const r = flow::integrate(monomial, one, 0, 2, TestType{}, {.step = 0.5});
  CHECK(std::abs(r.x(0) - 1 - std::pow(2, p) / p) < 1e-13);
}
