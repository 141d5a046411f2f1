// SPDX-License-Identifier: MIT
// Random symmetric positive definite matrices with a known spectrum.
#pragma once

#include <Eigen/Core>

#include <cmath>

#include "support/orthogonal.hpp"
#include "support/problems.hpp"

namespace support {

/// A random orthogonal n x n matrix.
template <class S = double>
Eigen::Matrix<S, -1, -1> rotation(Eigen::Index n, std::uint64_t seed) {
  return orthonormal<S>(points<S>(n, n, seed));
}

/// Eigenvalues from 1 down to 1 / condition in equal ratios, in random directions.
template <class S = double>
Eigen::Matrix<S, -1, -1> covariance(Eigen::Index n, std::uint64_t seed, double condition = 10) {
  Eigen::Matrix<S, -1, -1> const U = rotation<S>(n, seed);
  Eigen::Matrix<S, -1, 1> l(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    l(i) = S(n > 1 ? std::pow(condition, -double(i) / double(n - 1)) : 1.0);
  }
  Eigen::Matrix<S, -1, -1> const A = U * l.asDiagonal() * U.transpose();
  return (A + A.transpose()) / S(2);
}

/// Well-conditioned correlations of variables whose units span `ratio`: its condition number is
/// about ratio^2, and yet its eigenvalues are determined to rounding.
template <class S = double>
Eigen::Matrix<S, -1, -1> scaled_covariance(Eigen::Index n, std::uint64_t seed, double ratio) {
  Eigen::Matrix<S, -1, -1> A = covariance<S>(n, seed, 4);
  Eigen::Matrix<S, -1, 1> units(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    units(i) = S(std::exp2(-std::round(std::log2(ratio) * double(i) / double(n - 1))));
  }
  return units.asDiagonal() * A * units.asDiagonal();
}

/// A symmetric matrix with entries in (-1, 1).
template <class S = double>
Eigen::Matrix<S, -1, -1> symmetric(Eigen::Index n, std::uint64_t seed) {
  Eigen::Matrix<S, -1, -1> const X = points<S>(n, n, seed);
  return (X + X.transpose()) / S(2);
}

}  // namespace support
