// SPDX-License-Identifier: MIT
#include <monge/optim/lbfgs.hpp>
#include <monge/optim/minimize.hpp>

double bowl(Eigen::VectorXd const& start);
double bowl(Eigen::VectorXd const& start) {
  return monge::optim::minimize(
             [](auto const& x, auto&& g) {
               g = 2 * x;
               return x.squaredNorm();
             },
             start, monge::optim::lbfgs{})
      .value;
}
