// SPDX-License-Identifier: MIT
// A velocity field writes into its third argument; one that returns the velocity is refused.
// expect: satisf.*VelocityField
#include <monge/flow/velocity_field.hpp>

static void evaluate(monge::flow::VelocityField<Eigen::VectorXd> auto&& field) {
  Eigen::VectorXd const x = Eigen::VectorXd::Ones(2);
  Eigen::VectorXd dx(2);
  field(0.0, x, dx);
}

int main() {
  evaluate([](double, auto const& x, auto&& dx) { dx = -x; });
  evaluate([](double, Eigen::VectorXd const& x, Eigen::VectorXd& dx) { dx = -x; });
#ifdef MONGE_BAD
  evaluate([](double, Eigen::VectorXd const& x) -> Eigen::VectorXd { return -x; });
#endif
}
