// SPDX-License-Identifier: MIT
// Transport and optimisers take float, double and long double; integers are refused.
// expect: satisf.*(RealScalar|RealMatrixExpr)
#include <monge/core/types.hpp>

static auto trace(monge::RealMatrixExpr auto const& matrix) { return matrix.trace(); }

int main() {
#ifndef MONGE_BAD
  return int(trace(Eigen::MatrixXf::Ones(2, 2)) + float(trace(Eigen::MatrixXd::Ones(2, 2))));
#else
  return int(trace(Eigen::MatrixXi::Ones(2, 2)));
#endif
}
