// SPDX-License-Identifier: MIT
#include <monge/ot/sinkhorn.hpp>

double transport(Eigen::MatrixXd const& C, Eigen::VectorXd const& a, Eigen::VectorXd const& b);
double transport(Eigen::MatrixXd const& C, Eigen::VectorXd const& a, Eigen::VectorXd const& b) {
  return monge::ot::sinkhorn(C, a, b, {.epsilon = 0.05}).transport_cost;
}
