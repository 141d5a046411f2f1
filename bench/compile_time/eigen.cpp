// SPDX-License-Identifier: MIT
// The yardstick: what a translation unit costs that uses Eigen for one product.
#include <Eigen/Dense>

Eigen::MatrixXd product(Eigen::MatrixXd const& A, Eigen::MatrixXd const& B);
Eigen::MatrixXd product(Eigen::MatrixXd const& A, Eigen::MatrixXd const& B) { return A * B; }
