// SPDX-License-Identifier: MIT
// Turns the bytes of a fuzzer into numbers, with a share of those that break things.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace monge::fuzz {

/// Ends the program if an invariant does not hold.
inline void check(bool holds, char const* invariant) {
  if (!holds) {
    std::fprintf(stderr, "violated: %s\n", invariant);
    std::abort();
  }
}

/// A queue of bytes; zeros once it is empty.
class Bytes {
 public:
  Bytes(std::uint8_t const* data, std::size_t size) : data_(data), size_(size) {}

  [[nodiscard]] bool empty() const { return size_ == 0; }

  std::uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }

  int below(int limit) { return byte() % limit; }

  /// Any bit pattern.
  double raw() {
    std::uint64_t bits = 0;
    for (int i = 0; i < 8; ++i) bits = bits << 8 | byte();
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

  /// Mostly one of 64 multiples of `unit`, so that ties are common; one time in `rarity` something
  /// special.
  template <class S>
  S number(S unit, int rarity) {
    std::uint8_t const kind = byte();
    if (kind % rarity != rarity - 1) return S(kind % 64) * unit;
    using Limits = std::numeric_limits<S>;
    switch (below(12)) {
      case 0:
        return Limits::infinity();
      case 1:
        return -Limits::infinity();
      case 2:
        return Limits::quiet_NaN();
      case 3:
        return Limits::max();
      case 4:
        return Limits::min();
      case 5:
        return Limits::denorm_min();
      case 6:
        return -S(below(64)) * unit;
      case 7:
        return unit * S(1e12);
      case 8:
        return unit * S(1e-12);
      case 9:
        return S(raw());
      default:
        return S(0);
    }
  }

 private:
  std::uint8_t const* data_;
  std::size_t size_;
};

/// The body of a target that takes problems in double and in float: run.operator()<S>(bytes).
template <class Run>
int in_double_or_float(std::uint8_t const* data, std::size_t size, Run&& run) {
  Bytes bytes(data, size);
  if (bytes.below(2) == 0) {
    run.template operator()<double>(bytes);
  } else {
    run.template operator()<float>(bytes);
  }
  return 0;
}

}  // namespace monge::fuzz

// Each target defines it; libFuzzer and the replay call it.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);
