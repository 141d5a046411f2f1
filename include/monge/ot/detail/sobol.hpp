// SPDX-License-Identifier: MIT
/// @file
/// Sobol's points in up to 32 dimensions, with random linear scrambling and a digital shift.
///
/// Point l is the sum over GF(2) of the direction numbers v_k of those k whose bit is set in l, so
/// a point does not depend on how many there are. The first 2^k points are a digital net. With the
/// scrambling every point is uniform on the cube, nets stay nets, and for smooth integrands the
/// error of 2^k points is of order 2^(-3k/2), against 2^(-k/2) of Monte Carlo.
///
/// [JK08] S. Joe, F. Y. Kuo, Constructing Sobol sequences with better two-dimensional projections,
///        SIAM J. Sci. Comput. 30 (2008): the polynomials and initial numbers below.
/// [Ma98] J. Matousek, On the L2-discrepancy for anchored boxes, J. Complexity 14 (1998): the
///        scrambling by a random lower triangular matrix.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include <monge/core/random.hpp>

namespace monge::ot::detail {

/// A primitive polynomial over GF(2), highest power first, and the odd numbers that start its
/// recurrence, as many as its degree.
struct SobolSeed {
  std::uint32_t polynomial;
  std::uint32_t start[7];
};

/// [JK08], dimensions 2 to 32.
inline constexpr SobolSeed sobol_seeds[] = {
    {3, {1}},
    {7, {1, 3}},
    {11, {1, 3, 1}},
    {13, {1, 1, 1}},
    {19, {1, 1, 3, 3}},
    {25, {1, 3, 5, 13}},
    {37, {1, 1, 5, 5, 17}},
    {41, {1, 1, 5, 5, 5}},
    {47, {1, 1, 7, 11, 19}},
    {55, {1, 1, 5, 1, 1}},
    {59, {1, 1, 1, 3, 11}},
    {61, {1, 3, 5, 5, 31}},
    {67, {1, 3, 3, 9, 7, 49}},
    {91, {1, 1, 1, 15, 21, 21}},
    {97, {1, 3, 1, 13, 27, 49}},
    {103, {1, 1, 1, 15, 7, 5}},
    {109, {1, 3, 1, 15, 13, 25}},
    {115, {1, 1, 5, 5, 19, 61}},
    {131, {1, 3, 7, 11, 23, 15, 103}},
    {137, {1, 3, 7, 13, 13, 15, 69}},
    {143, {1, 1, 3, 13, 7, 35, 63}},
    {145, {1, 3, 5, 9, 1, 25, 53}},
    {157, {1, 3, 1, 13, 9, 35, 107}},
    {167, {1, 3, 1, 5, 27, 61, 31}},
    {171, {1, 1, 5, 11, 19, 41, 61}},
    {185, {1, 3, 5, 3, 3, 13, 69}},
    {191, {1, 1, 7, 13, 1, 19, 1}},
    {193, {1, 3, 7, 5, 13, 19, 59}},
    {203, {1, 1, 3, 9, 25, 29, 41}},
    {211, {1, 3, 5, 13, 23, 1, 55}},
    {213, {1, 3, 7, 3, 13, 59, 17}},
};

inline constexpr Index sobol_dimensions = 32;

/// The direction numbers of one dimension as fractions of 2^32.
struct SobolColumn {
  std::uint32_t direction[32] = {};

  explicit SobolColumn(Index dimension) {
    if (dimension == 0) {
      for (int k = 0; k < 32; ++k) direction[k] = 0x80000000u >> k;
      return;
    }
    SobolSeed const& seed = sobol_seeds[dimension - 1];
    int const degree = std::bit_width(seed.polynomial) - 1;
    for (int k = 0; k < 32; ++k) {
      if (k < degree) {
        direction[k] = seed.start[k] << (31 - k);
        continue;
      }
      std::uint32_t v = direction[k - degree] ^ (direction[k - degree] >> degree);
      for (int i = 1; i < degree; ++i) {
        if (seed.polynomial >> (degree - i) & 1) v ^= direction[k - i];
      }
      direction[k] = v;
    }
  }

  /// Bit i of every number becomes a random sum of the bits above it, plus itself.
  void scramble(RandomKey key, std::uint64_t first_word) {
    std::uint32_t rows[32];
    for (int i = 0; i < 32; ++i) {  // row i sees bit 31 - i and random ones of those above
      auto const word = std::uint32_t(random::word(key, first_word + std::uint64_t(i)));
      std::uint32_t const above = i == 0 ? 0u : ~0u << (32 - i);
      rows[i] = (word & above) | 0x80000000u >> i;
    }
    for (std::uint32_t& v : direction) {
      std::uint32_t mixed = 0;
      for (int i = 0; i < 32; ++i) {
        mixed |= std::uint32_t(std::popcount(rows[i] & v) & 1) << (31 - i);
      }
      v = mixed;
    }
  }

  [[nodiscard]] std::uint32_t point(std::uint32_t l) const {
    std::uint32_t x = 0;
    for (; l != 0; l &= l - 1) x ^= direction[std::countr_zero(l)];
    return x;
  }
};

/// Scrambled points in (0, 1)^d as columns; uses 33 words of the key per dimension.
inline MatrixX<double> scrambled_sobol(Index d, Index count, RandomKey key) {
  MatrixX<double> points(d, count);
  for (Index i = 0; i < d; ++i) {
    std::uint64_t const first_word = 33 * std::uint64_t(i);
    SobolColumn column(i);
    column.scramble(key, first_word);
    auto const shift = std::uint32_t(random::word(key, first_word + 32));
    for (Index l = 0; l < count; ++l) {
      points(i, l) = (double(column.point(std::uint32_t(l)) ^ shift) + 0.5) * 0x1p-32;
    }
  }
  return points;
}

}  // namespace monge::ot::detail
