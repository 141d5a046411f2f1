// SPDX-License-Identifier: MIT
// A vector is a row or a column at compile time; a matrix that has one column at run time is not.
// expect: satisf.*VectorExpr
#include <monge/core/types.hpp>

static monge::Index size(monge::VectorExpr auto const& vector) { return vector.size(); }

int main() {
  Eigen::MatrixXd const A = Eigen::MatrixXd::Ones(3, 1);
#ifndef MONGE_BAD
  return int(size(A.col(0)) + size(A.row(0)));
#else
  return int(size(A));
#endif
}
