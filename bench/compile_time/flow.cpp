// SPDX-License-Identifier: MIT
#include <monge/flow/integrate.hpp>

Eigen::VectorXd decay(Eigen::VectorXd const& x);
Eigen::VectorXd decay(Eigen::VectorXd const& x) {
  return monge::flow::integrate([](double, auto const& y, auto&& dy) { dy = -y; }, x, 0.0, 1.0,
                                monge::flow::dormand_prince5{})
      .x;
}
