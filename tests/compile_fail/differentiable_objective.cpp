// SPDX-License-Identifier: MIT
// An objective takes (x, gradient) and returns the value; a function of x alone is refused.
// expect: satisf.*DifferentiableObjective
#include <monge/optim/objective.hpp>

static double value(monge::optim::DifferentiableObjective<Eigen::VectorXd> auto&& objective) {
  Eigen::VectorXd const x = Eigen::VectorXd::Ones(2);
  Eigen::VectorXd gradient(2);
  return objective(x, gradient);
}

int main() {
  auto const bowl = [](auto const& x, auto&& gradient) {
    gradient = 2 * x;
    return x.squaredNorm();
  };
#ifndef MONGE_BAD
  return value(bowl) > 0 ? 0 : 1;
#else
  return value([bowl](Eigen::VectorXd const& x) { return x.squaredNorm(); }) > 0 ? 0 : 1;
#endif
}
