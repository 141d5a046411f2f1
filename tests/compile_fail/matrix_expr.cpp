// SPDX-License-Identifier: MIT
// A matrix expression is anything of MatrixBase; an array or a number is not.
// expect: satisf.*MatrixExpr
#include <monge/core/types.hpp>

static monge::Index rows(monge::MatrixExpr auto const& matrix) { return matrix.rows(); }

int main() {
  Eigen::MatrixXd const A = Eigen::MatrixXd::Ones(2, 3);
#ifndef MONGE_BAD
  return int(rows(A) + rows(A.transpose() * A) + rows(A.block(0, 0, 1, 1)) +
             rows(A.array().matrix()));
#else
  return int(rows(A.array()));
#endif
}
