// SPDX-License-Identifier: MIT
// Mixed precision is refused where it is written.
// expect: satisf.*VectorLike
#include <monge/core/types.hpp>

template <monge::RealMatrixExpr Matrix>
static auto first(Matrix const& matrix, monge::VectorLike<Matrix> auto const& weights) {
  return matrix(0, 0) * weights(0);
}

int main() {
  Eigen::MatrixXd const A = Eigen::MatrixXd::Ones(2, 2);
#ifndef MONGE_BAD
  Eigen::VectorXd const a = Eigen::VectorXd::Ones(2);
#else
  Eigen::VectorXf const a = Eigen::VectorXf::Ones(2);
#endif
  return int(first(A, a));
}
