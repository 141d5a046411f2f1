// SPDX-License-Identifier: MIT
// Deterministic random problems, from a generator that the library does not ship.
#pragma once

#include <Eigen/Core>

#include <cstdint>
#include <random>

namespace support {

/// Uniform numbers in (0, 1), the same on every platform.
class Uniform {
 public:
  explicit Uniform(std::uint64_t seed) : generator_(seed) {}
  double operator()() { return (double(generator_() >> 11) + 0.5) * 0x1p-53; }

 private:
  std::mt19937_64 generator_;
};

/// d x n points, uniform in (-1, 1)^d.
template <class S = double>
Eigen::Matrix<S, -1, -1> points(Eigen::Index d, Eigen::Index n, std::uint64_t seed) {
  Uniform uniform(seed);
  Eigen::Matrix<S, -1, -1> X(d, n);
  for (Eigen::Index j = 0; j < n; ++j) {
    for (Eigen::Index i = 0; i < d; ++i) {
      X(i, j) = S(2 * uniform() - 1);
    }
  }
  return X;
}

/// n x m numbers, uniform in (low, high).
template <class S = double>
Eigen::Matrix<S, -1, -1> matrix(Eigen::Index n, Eigen::Index m, std::uint64_t seed, double low = 0,
                                double high = 1) {
  Eigen::Matrix<S, -1, -1> C = points<S>(n, m, seed);
  C.array() = S(low) + (C.array() + S(1)) * (S(high - low) / S(2));
  return C;
}

/// n positive weights of sum 1.
template <class S = double>
Eigen::Matrix<S, -1, 1> weights(Eigen::Index n, std::uint64_t seed) {
  Eigen::Matrix<S, -1, 1> w = matrix<S>(n, 1, seed, 0.1, 1.0).col(0);
  return w / w.sum();
}

/// n equal weights of sum 1.
template <class S = double>
Eigen::Matrix<S, -1, 1> uniform_weights(Eigen::Index n) {
  return Eigen::Matrix<S, -1, 1>::Constant(n, S(1) / S(n));
}

}  // namespace support
