// SPDX-License-Identifier: MIT
/// @file
/// Random numbers that are functions of what they are for.
///
/// A deviate is a pure function of a RandomKey (seed, stream) and an index: nothing is consumed, so
/// a sample's noise does not depend on the batch that it is in, on the order of the loop or on the
/// number of threads, and any part of a run can be drawn again. The words come from Philox 4x32-10
/// (detail/philox.hpp), the deviates from our own arithmetic (detail/deviates.hpp): words, uniform
/// deviates and choices are the same on every machine; normal deviates are the same up to the last
/// bit or two, which depend on whether the compiler fuses products with sums.
///
///     random::normal<double>(key, i)                   // one deviate
///     random::fill_normal(X, key, first);              // X(i, j) has index first + j rows + i
///     random::index(key, i, n);                        // below n
///     random::choose(key, k, n);                       // k of n without repetition
///
/// A function that needs randomness takes a generator (any UniformRandomBitGenerator: `Philox`,
/// `std::mt19937_64`...), draws one 64-bit seed from it by `key_from`, and numbers its streams
/// under it: {seed, 0}, {seed, 1}...
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <monge/core/detail/deviates.hpp>
#include <monge/core/detail/philox.hpp>
#include <monge/core/require.hpp>
#include <monge/core/types.hpp>

namespace monge {

/// Names a sequence of 2^64 words. Sequences of different keys are independent for all practical
/// purposes: neighbouring seeds and streams are as good as distant ones.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;

  constexpr bool operator==(RandomKey const&) const = default;
};

/// What the standard library calls a uniform random bit generator.
template <class G>
concept RandomGenerator =
    std::invocable<G&> && std::unsigned_integral<std::invoke_result_t<G&>> && requires {
      { std::remove_cvref_t<G>::min() } -> std::same_as<std::invoke_result_t<G&>>;
      { std::remove_cvref_t<G>::max() } -> std::same_as<std::invoke_result_t<G&>>;
    };

/// A generator of 64-bit words for code that consumes them in order, such as std::shuffle and the
/// standard distributions: word `position` of the sequence of a key. A small value: copies go on
/// from the same place. A call costs half a Philox block.
class Philox {
 public:
  using result_type = std::uint64_t;

  constexpr explicit Philox(std::uint64_t seed = 0, std::uint64_t stream = 0)
      : Philox(RandomKey{seed, stream}) {}
  constexpr explicit Philox(RandomKey key) : key_(key) {}

  [[nodiscard]] static constexpr result_type min() { return 0; }
  [[nodiscard]] static constexpr result_type max() { return ~result_type(0); }

  constexpr result_type operator()() {
    if (position_++ % 2 == 1) {
      return next_;
    }
    detail::PhiloxPair const pair =
        detail::philox_pair(key_.seed, key_.stream, (position_ - 1) / 2);
    next_ = pair.word[1];
    return pair.word[0];
  }

  /// The word with this index, wherever the generator stands.
  [[nodiscard]] constexpr result_type at(std::uint64_t index) const {
    return detail::philox_pair(key_.seed, key_.stream, index / 2).word[index % 2];
  }
  /// Goes on as after `count` calls, in constant time.
  constexpr void discard(std::uint64_t count) { seek(position_ + count); }
  /// Goes on from the word with this index.
  constexpr void seek(std::uint64_t index) {
    position_ = index;
    next_ = index % 2 == 1 ? at(index) : 0;
  }
  [[nodiscard]] constexpr std::uint64_t position() const { return position_; }
  [[nodiscard]] constexpr RandomKey key() const { return key_; }

  constexpr bool operator==(Philox const& other) const {
    return key_ == other.key_ && position_ == other.position_;
  }

 private:
  RandomKey key_;
  std::uint64_t position_ = 0;
  std::uint64_t next_ = 0;  // the word at position_, if that is odd
};

/// Draws 64 random bits from a generator of any width: the seed of a new key, with stream 0. A
/// generator of 64-bit words is called once. If the range of the generator is no power of two,
/// draws beyond the largest multiple of one are rejected.
template <RandomGenerator G>
[[nodiscard]] constexpr RandomKey key_from(G&& generator) {
  using Generator = std::remove_cvref_t<G>;
  constexpr std::uint64_t range = std::uint64_t(Generator::max()) - Generator::min();
  static_assert(range > 0, "the generator has only one value");
  if constexpr (range == ~std::uint64_t(0)) {
    return {static_cast<std::uint64_t>(generator()), 0};
  } else {
    constexpr int width = std::bit_width(range + 1) - 1;  // whole bits in one draw
    constexpr std::uint64_t values = (range + 1) >> width << width;
    std::uint64_t seed = 0;
    for (int bits = 0; bits < 64; bits += width) {
      std::uint64_t draw = 0;
      do {
        draw = std::uint64_t(generator()) - Generator::min();
      } while (draw >= values);
      // The last draw may have more bits than are missing: the shift drops its surplus.
      seed |= (draw & ((std::uint64_t(1) << width) - 1)) << bits;
    }
    return {seed, 0};
  }
}

namespace random {

/// Word `index` of the sequence of a key: 64 random bits. Philox(key) yields them in order.
[[nodiscard]] constexpr std::uint64_t word(RandomKey key, std::uint64_t index) {
  return Philox(key).at(index);
}

/// A uniform deviate in the open interval (0, 1), symmetric about 1/2, with 52 random bits in
/// double, 23 in float and 63 in long double.
template <RealScalar S>
[[nodiscard]] constexpr S uniform(RandomKey key, std::uint64_t index) {
  return detail::uniform_from<S>(word(key, index));
}

/// A standard normal deviate, made of the same bits as `uniform` of the same index and increasing
/// in it. Symmetric; |x| < 8.3 in double and float, 9.1 in long double.
template <RealScalar S>
[[nodiscard]] S normal(RandomKey key, std::uint64_t index) {
  return detail::normal_from<S>(word(key, index));
}

}  // namespace random

namespace detail {

/// What a fill can write to: a matrix, block or map that owns or refers to writable entries.
template <class Out>
concept WritableEntries = RealMatrixExpr<Out> && requires(Out& out) {
  { out.data() } -> std::same_as<scalar_t<Out>*>;
  { out.rowStride() } -> std::convertible_to<Index>;
  { out.colStride() } -> std::convertible_to<Index>;
};

/// out(i, j) = the deviate with index first + j rows + i, tile by tile.
template <class S, class Tile>
void fill(S* out, Index rows, Index cols, Index row_stride, Index col_stride, RandomKey key,
          std::uint64_t first, Tile const& tile) {
  if (row_stride == 1 && col_stride == rows) {  // contiguous: one long column
    rows *= cols;
    cols = 1;
  }
  std::uint64_t words[tile_words];
  S values[tile_words];
  std::uint64_t block = first / 2;
  Index used = static_cast<Index>(first % 2);  // tiles begin with a whole block
  Index i = 0, j = 0;
  Index left = rows * cols;
  while (left > 0) {
    for (int k = 0; k < tile_words; k += 2 * philox_lanes) {
      philox_words(key.seed, key.stream, block + std::uint64_t(k / 2), words + k);
    }
    block += tile_words / 2;
    tile(words, values);
    while (used < tile_words && left > 0) {
      Index const run = std::min(rows - i, tile_words - used);
      S* const to = out + i * row_stride + j * col_stride;
      for (Index k = 0; k < run; ++k) {
        to[k * row_stride] = values[used + k];
      }
      used += run;
      left -= run;
      i += run;
      if (i == rows) {
        i = 0;
        ++j;
      }
    }
    used = 0;
  }
}

/// k different numbers below n by the algorithm of Fisher and Yates, of whose array only the first
/// k entries and those that were exchanged with them are held.
class SparseShuffle {
 public:
  SparseShuffle(Index k, Index n)
      : slots_(std::bit_ceil(2 * static_cast<std::size_t>(std::min(k, n - k)) + 1)) {}

  /// Puts `value` at `place` and returns what was there; at first every place holds its own number.
  Index exchange(Index place, Index value) {
    std::size_t const mask = slots_.size() - 1;
    // Fibonacci hashing spreads neighbouring places; at most half of the slots are ever taken.
    std::size_t s =
        static_cast<std::size_t>(std::uint64_t(place) * 0x9E3779B97F4A7C15u >> 16) & mask;
    while (slots_[s].place != place && slots_[s].place >= 0) {
      s = (s + 1) & mask;
    }
    Index const old = slots_[s].place == place ? slots_[s].value : place;
    slots_[s] = {place, value};
    return old;
  }

 private:
  struct Slot {
    Index place = -1, value = -1;
  };
  std::vector<Slot> slots_;
};

}  // namespace detail

namespace random {

/// Fills a d x n matrix, block or map with uniform deviates in (0, 1): entry (i, j) is
/// `uniform<S>(key, first + j d + i)`, bit for bit, whatever the storage. So column j of a batch
/// that begins with sample s is drawn by first = s d. The last index must be below 2^64. Allocates
/// nothing.
template <class Out>
  requires detail::WritableEntries<Out>
void fill_uniform(Out&& out, RandomKey key, std::uint64_t first = 0) {
  using S = scalar_t<Out>;
  detail::fill<S>(out.data(), out.rows(), out.cols(), out.rowStride(), out.colStride(), key, first,
                  [](std::uint64_t const* words, S* to) { detail::uniform_tile<S>(words, to); });
}

/// The same with standard normal deviates: entry (i, j) is `normal<S>(key, first + j d + i)`.
template <class Out>
  requires detail::WritableEntries<Out>
void fill_normal(Out&& out, RandomKey key, std::uint64_t first = 0) {
  using S = scalar_t<Out>;
  detail::fill<S>(out.data(), out.rows(), out.cols(), out.rowStride(), out.colStride(), key, first,
                  [](std::uint64_t const* words, S* to) { detail::normal_tile<S>(words, to); });
}

/// A number in 0 .. n - 1: the upper half of the 128-bit product of n and word i. The probability
/// of each differs from 1/n by less than 2^-64. Refuses n < 1.
[[nodiscard]] constexpr Index index(RandomKey key, std::uint64_t i, Index n) {
  if (n < 1) {
    detail::misuse("random::index: n is ", n, "; it must be at least 1");
  }
  std::uint64_t const w = word(key, i), m = static_cast<std::uint64_t>(n);
  std::uint64_t const w0 = w & 0xFFFFFFFFu, w1 = w >> 32, m0 = m & 0xFFFFFFFFu, m1 = m >> 32;
  std::uint64_t const middle = w1 * m0 + (w0 * m0 >> 32), other = w0 * m1 + (middle & 0xFFFFFFFFu);
  return static_cast<Index>(w1 * m1 + (middle >> 32) + (other >> 32));
}

/// k different numbers of 0 .. n - 1 in random order: a sample without replacement. All ordered
/// choices are equally likely, as far as `index` is. Uses words 0 .. k - 1 of the key; O(k) time
/// and memory, and the first entries do not depend on k. Refuses k > n.
[[nodiscard]] inline VectorX<Index> choose(RandomKey key, Index k, Index n) {
  detail::require(k >= 0 && k <= n, "random::choose: k is ", k, " and n is ", n,
                  "; k different numbers below n need 0 <= k <= n");
  VectorX<Index> chosen(k);
  for (Index i = 0; i < k; ++i) {
    chosen[i] = i;
  }
  detail::SparseShuffle rest(k, n);
  for (Index i = 0; i < k; ++i) {
    Index const place = i + index(key, static_cast<std::uint64_t>(i), n - i);
    if (place < k) {
      std::swap(chosen[i], chosen[place]);
    } else {
      chosen[i] = rest.exchange(place, chosen[i]);
    }
  }
  return chosen;
}

/// The numbers 0 .. n - 1 in random order, that is choose(key, n, n).
[[nodiscard]] inline VectorX<Index> permutation(RandomKey key, Index n) {
  return choose(key, n, n);
}

}  // namespace random
}  // namespace monge
