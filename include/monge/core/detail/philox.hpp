// SPDX-License-Identifier: MIT
/// @file
/// Philox 4x32-10, the counter-based generator of J. K. Salmon, M. A. Moraes, R. O. Dror and
/// D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11, section 3.3: a bijection of
/// 128-bit counters for every 64-bit key, made of ten rounds of two 32 x 32 -> 64 bit products.
/// Their tests found no defect in it (BigCrush, any key, any order of the counters).
#pragma once

#include <cstdint>

namespace monge::detail {

/// A counter, or the 128 random bits that Philox makes of it.
struct PhiloxBlock {
  std::uint32_t word[4];

  constexpr bool operator==(PhiloxBlock const&) const = default;
};

// Table 2 of the paper: the multipliers M0 and M1 and the steps of the key from round to round.
inline constexpr std::uint32_t philox_multiplier[2] = {0xD2511F53, 0xCD9E8D57};
inline constexpr std::uint32_t philox_step[2] = {0x9E3779B9, 0xBB67AE85};
inline constexpr int philox_rounds = 10;

/// The block of a counter under the key (key0, key1).
constexpr PhiloxBlock philox(PhiloxBlock counter, std::uint32_t key0, std::uint32_t key1) {
  auto [c0, c1, c2, c3] = counter.word;
  for (int r = 0; r < philox_rounds; ++r) {
    std::uint64_t const p = std::uint64_t(philox_multiplier[0]) * c0;
    std::uint64_t const q = std::uint64_t(philox_multiplier[1]) * c2;
    c0 = std::uint32_t(q >> 32) ^ c1 ^ key0;
    c1 = std::uint32_t(q);
    c2 = std::uint32_t(p >> 32) ^ c3 ^ key1;
    c3 = std::uint32_t(p);
    key0 += philox_step[0];
    key1 += philox_step[1];
  }
  return {{c0, c1, c2, c3}};
}

/// The same as 64-bit words: word 2 b + h of a stream is half h of the block with the counter
/// (b, stream), low 32 bits first.
struct PhiloxPair {
  std::uint64_t word[2];
};
constexpr PhiloxPair philox_pair(std::uint64_t seed, std::uint64_t stream, std::uint64_t block) {
  PhiloxBlock const b = philox({{std::uint32_t(block), std::uint32_t(block >> 32),
                                 std::uint32_t(stream), std::uint32_t(stream >> 32)}},
                               std::uint32_t(seed), std::uint32_t(seed >> 32));
  return {{b.word[0] | std::uint64_t(b.word[1]) << 32, b.word[2] | std::uint64_t(b.word[3]) << 32}};
}

/// Blocks that are computed side by side: 32 is the width at which GCC 12 and Clang 19 vectorise
/// the rounds at -O2 and at -O3 (GCC unrolls shorter loops at -O3 before it looks at them).
inline constexpr int philox_lanes = 32;

/// Writes the words of the blocks block .. block + philox_lanes - 1, two for each.
inline void philox_words(std::uint64_t seed, std::uint64_t stream, std::uint64_t block,
                         std::uint64_t* words) {
  constexpr int n = philox_lanes;
  std::uint32_t c0[n], c1[n], c2[n], c3[n];
  for (int l = 0; l < n; ++l) {
    std::uint64_t const b = block + std::uint64_t(l);
    c0[l] = std::uint32_t(b);
    c1[l] = std::uint32_t(b >> 32);
    c2[l] = std::uint32_t(stream);
    c3[l] = std::uint32_t(stream >> 32);
  }
  std::uint32_t key0 = std::uint32_t(seed), key1 = std::uint32_t(seed >> 32);
  for (int r = 0; r < philox_rounds; ++r) {
    for (int l = 0; l < n; ++l) {
      std::uint64_t const p = std::uint64_t(philox_multiplier[0]) * c0[l];
      std::uint64_t const q = std::uint64_t(philox_multiplier[1]) * c2[l];
      c0[l] = std::uint32_t(q >> 32) ^ c1[l] ^ key0;
      c1[l] = std::uint32_t(q);
      c2[l] = std::uint32_t(p >> 32) ^ c3[l] ^ key1;
      c3[l] = std::uint32_t(p);
    }
    key0 += philox_step[0];
    key1 += philox_step[1];
  }
  for (int l = 0; l < n; ++l) {
    words[2 * l] = c0[l] | std::uint64_t(c1[l]) << 32;
    words[2 * l + 1] = c2[l] | std::uint64_t(c3[l]) << 32;
  }
}

}  // namespace monge::detail
