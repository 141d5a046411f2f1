// SPDX-License-Identifier: MIT
// Orthogonal matrices without Eigen's QR, which takes seconds to compile per scalar type.
#pragma once

#include <Eigen/Core>

namespace support {

/// The columns of a square matrix of full rank made orthonormal, one after the other: Gram-Schmidt,
/// each column twice (Kahan and Parlett: twice is enough), so orthogonal to rounding.
template <class S>
Eigen::Matrix<S, -1, -1> orthonormal(Eigen::Matrix<S, -1, -1> Q) {
  for (Eigen::Index j = 0; j < Q.cols(); ++j) {
    for (int pass = 0; pass < 2; ++pass) {
      for (Eigen::Index i = 0; i < j; ++i) Q.col(j) -= Q.col(i).dot(Q.col(j)) * Q.col(i);
    }
    Q.col(j) /= Q.col(j).norm();
  }
  return Q;
}

}  // namespace support
