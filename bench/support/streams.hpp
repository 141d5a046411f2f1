// SPDX-License-Identifier: MIT
// The streams of uniform numbers that bench/peers makes as well, so that peers get equal problems.
#pragma once

#include <cstdint>

#include <monge/core/types.hpp>

namespace bench {

using monge::Index;

/// Lehmer's generator, 48271 times the state modulo 2^31 - 1, over the modulus.
class Lehmer {
 public:
  explicit Lehmer(std::uint64_t seed) : state_(seed) {}

  double next() {
    state_ = state_ * 48271 % 2147483647;
    return double(state_) / 2147483647;
  }
  /// The next numbers, column by column.
  monge::MatrixX<double> matrix(Index rows, Index columns) {
    monge::MatrixX<double> numbers(rows, columns);
    for (double& x : numbers.reshaped()) x = next();
    return numbers;
  }

 private:
  std::uint64_t state_;
};

inline monge::MatrixX<double> uniform(Index rows, Index columns, std::uint64_t seed) {
  return Lehmer(seed).matrix(rows, columns);
}
inline monge::VectorX<double> uniform(Index n, std::uint64_t seed) {
  return Lehmer(seed).matrix(n, 1);
}

/// Words of splitmix64, their upper 53 bits.
inline monge::MatrixX<double> splitmix(Index rows, Index columns, std::uint64_t seed) {
  monge::MatrixX<double> numbers(rows, columns);
  for (Index k = 0; k < numbers.size(); ++k) {
    std::uint64_t z = seed + std::uint64_t(k + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    numbers.data()[k] = double(z >> 11) * 0x1p-53;
  }
  return numbers;
}

}  // namespace bench
