// SPDX-License-Identifier: MIT
/// @file
/// Packs: the widest vectors of the target, through the vector extensions of GCC and Clang. On any
/// other compiler, and for long double, a pack is one scalar and the same code still works.
///
/// Kernels that are written in packs are vectorised at -O2 as well as at -O3, and their last,
/// partial pack runs through the same instructions as all others, so that no entry depends on its
/// position. Arithmetic, comparison and `mask ? a : b` work on packs and scalars alike.
#pragma once

#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <monge/core/types.hpp>

namespace monge::simd {

/// The width of a pack in bytes.
#if defined(__AVX512F__)
inline constexpr int register_bytes = 64;
#elif defined(__AVX__)
inline constexpr int register_bytes = 32;
#else
inline constexpr int register_bytes = 16;
#endif

/// The signed integer of the same width as S.
template <class S>
using bits_t = std::conditional_t<sizeof(S) == 4, std::int32_t, std::int64_t>;

/// The unsigned one, for sums that may wrap.
template <class S>
using word_t = std::make_unsigned_t<bits_t<S>>;

namespace detail {

template <class S>
struct PackOf {
  using type = S;
};
#if defined(__GNUC__)
template <class S>
  requires std::same_as<S, float> || std::same_as<S, double> ||
           (std::integral<S> && (sizeof(S) == 4 || sizeof(S) == 8))
struct PackOf<S> {
  typedef S type __attribute__((vector_size(register_bytes)));
};
#endif

}  // namespace detail

/// A register full of S.
template <class S>
using pack_t = typename detail::PackOf<S>::type;

/// The number of scalars in a pack.
template <class S>
inline constexpr int lanes = sizeof(pack_t<S>) / sizeof(S);

/// The least multiple of a pack that holds so many scalars.
template <RealScalar S>
[[nodiscard]] constexpr Index whole_packs(Index count) {
  return (count + lanes<S> - 1) / lanes<S> * lanes<S>;
}

/// Reads a pack from any address.
template <class S>
pack_t<S> load(S const* from) {
  pack_t<S> pack;
  std::memcpy(&pack, from, sizeof pack);
  return pack;
}

/// Holds a pack in a register: compilers that take operands from memory would otherwise read what a
/// loop uses four times four times.
template <class V>
void hold([[maybe_unused]] V& pack) {
#if defined(__GNUC__) && defined(__AVX512F__)
  if constexpr (sizeof(V) == register_bytes && !std::is_arithmetic_v<V>) asm("" : "+v"(pack));
#elif defined(__GNUC__) && defined(__SSE2__)
  if constexpr (sizeof(V) == register_bytes && !std::is_arithmetic_v<V>) asm("" : "+x"(pack));
#endif
}

namespace detail {

/// Swaps the off-diagonal parts of the 2 h x 2 h blocks of which the square of packs consists.
template <int h, class V, int... k>
void swap_parts(V* rows, std::integer_sequence<int, k...>) {
  constexpr int n = int(sizeof...(k));
  auto const swap = [rows](auto first) {
    constexpr int i = decltype(first)::value;
    if constexpr (i / h % 2 == 0) {
      V const upper = rows[i], lower = rows[i + h];
      rows[i] = __builtin_shufflevector(upper, lower, (k / h % 2 == 0 ? k : n + k - h)...);
      rows[i + h] = __builtin_shufflevector(upper, lower, (k / h % 2 == 0 ? k + h : n + k)...);
    }
  };
  (swap(std::integral_constant<int, k>{}), ...);
}

}  // namespace detail

/// Transposes a square of packs.
template <class S>
void transpose([[maybe_unused]] pack_t<S> (&rows)[lanes<S>]) {
#if defined(__GNUC__)
  constexpr auto all = std::make_integer_sequence<int, lanes<S>>{};
  if constexpr (lanes<S> >= 2) detail::swap_parts<1>(rows, all);
  if constexpr (lanes<S> >= 4) detail::swap_parts<2>(rows, all);
  if constexpr (lanes<S> >= 8) detail::swap_parts<4>(rows, all);
  if constexpr (lanes<S> >= 16) detail::swap_parts<8>(rows, all);
#endif
}

/// A pack of floats from the packs of doubles part(0), part(1), ... that hold its lanes in order.
template <class Part>
pack_t<float> narrow(Part&& part) {
#if defined(__GNUC__)
  typedef float Half __attribute__((vector_size(register_bytes / 2)));
  Half const low = __builtin_convertvector(part(0), Half);
  Half const high = __builtin_convertvector(part(1), Half);
#if defined(__AVX512F__)
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif defined(__AVX__)
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
#else
  return __builtin_shufflevector(low, high, 0, 1, 2, 3);
#endif
#else
  return float(part(0));
#endif
}

/// Asks for the cache line of an address that is read soon; any address will do.
template <class S>
void prefetch([[maybe_unused]] S const* address) {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#endif
}

/// Reads the first `count` < lanes entries and fills the rest.
template <class S>
pack_t<S> load_part(S const* from, Index count, S fill) {
  S entries[lanes<S>];
  for (int k = 0; k < lanes<S>; ++k) {
    entries[k] = k < count ? from[k] : fill;
  }
  return load<S>(entries);
}

/// Writes all lanes.
template <class S>
void store(S* to, pack_t<S> const& pack) {
  std::memcpy(to, &pack, sizeof pack);
}

/// Writes the first `count` lanes.
template <class S>
void store_part(S* to, pack_t<S> const& pack, Index count) {
  std::memcpy(to, &pack, static_cast<std::size_t>(count) * sizeof(S));
}

/// Every lane = value.
template <class S>
pack_t<S> broadcast(S value) {
  return pack_t<S>{} + value;
}

/// The sum of the lanes, always in the same order.
template <class S>
S sum(pack_t<S> const& pack) {
  S entries[lanes<S>];
  store<S>(entries, pack);
  for (int width = lanes<S> / 2; width > 0; width /= 2) {
    for (int k = 0; k < width; ++k) {
      entries[k] += entries[k + width];
    }
  }
  return entries[0];
}

/// Whether any lane exceeds the bound.
template <class S>
bool any_above(pack_t<S> const& pack, S bound) {
  auto const above = pack > bound;  // all bits of a lane are set or none
  if constexpr (lanes<S> == 1) {
    return bool(above);
  } else {
    std::uint64_t words[sizeof(above) / 8], any = 0;
    std::memcpy(words, &above, sizeof(above));
    for (std::uint64_t const word : words) any |= word;
    return any != 0;
  }
}

}  // namespace monge::simd
