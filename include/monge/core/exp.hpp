// SPDX-License-Identifier: MIT
/// @file
/// The library's own vectorised exponential.
///
/// At most 2 units in the last place over the whole range, exactly 1 at 0, zero where the result
/// would fall below the normal range (so that no subnormal number ever enters a kernel and slows it
/// down by two orders of magnitude), infinity above the range, NaN for NaN, and the same value
/// whether an entry sits in a full pack or in the tail.
///
/// Method: x = k ln 2 + r with |r| <= ln(2)/2 by the shift trick, ln 2 in two parts (Cody and
/// Waite), a minimax polynomial q with exp(r) = 1 + r + r^2 q(r), and k added to the exponent bits.
/// The polynomials come from tools/exp_coefficients.py (weighted Remez, relative error 7.7e-18 in
/// double and 3.1e-9 in float).
#pragma once

#include <bit>
#include <cmath>

#include <monge/core/simd.hpp>
#include <monge/core/types.hpp>

namespace monge {
namespace detail {

template <class S>
struct ExpConstants;

template <>
struct ExpConstants<double> {
  static constexpr double shift = 0x1.8p52;  // adding it rounds to an integer in the low bits
  static constexpr int mantissa_bits = 52;
  static constexpr double log2_e = 0x1.71547652b82fep+0;
  static constexpr double ln2_high = 0x1.62e42fefa3800p-1;  // 11 trailing zeros: k * it is exact
  static constexpr double ln2_low = 0x1.ef35793c76730p-45;
  static constexpr double lowest =
      -708.39641853226408;  // exp(lowest) is the smallest normal number
  static constexpr double highest = 709.78271289338397;
  static constexpr double q[] = {
      0x1.0000000000009p-1,  0x1.5555555555558p-3,  0x1.55555555503f7p-5,  0x1.111111110f815p-7,
      0x1.6c16c185fd51dp-10, 0x1.a01a01b004a9cp-13, 0x1.a01993c03b1fdp-16, 0x1.71ddf6c75bef1p-19,
      0x1.28b404f70fd4cp-22, 0x1.af6308814f755p-26};
  /// q(r) by even and odd parts: half the latency of one Horner chain.
  template <class V>
  static V polynomial(V r, V r2) {
    V const even = (((q[8] * r2 + q[6]) * r2 + q[4]) * r2 + q[2]) * r2 + q[0];
    V const odd = (((q[9] * r2 + q[7]) * r2 + q[5]) * r2 + q[3]) * r2 + q[1];
    return even + odd * r;
  }
};

template <>
struct ExpConstants<float> {
  static constexpr float shift = 0x1.8p23F;
  static constexpr int mantissa_bits = 23;
  static constexpr float log2_e = 0x1.715476p+0F;
  static constexpr float ln2_high = 0.693145751953125F;  // 9 trailing zeros
  static constexpr float ln2_low = 1.4286068203094173e-6F;
  static constexpr float lowest = -87.3365402F;
  static constexpr float highest = 88.7228317F;
  static constexpr float q[] = {0.4999999345166932F, 0.16666520689251868F, 0.041668387368100676F,
                                0.008368709894723306F, 0.0013814613114645246F};
  template <class V>
  static V polynomial(V r, V r2) {
    V const even = (q[4] * r2 + q[2]) * r2 + q[0];
    V const odd = q[3] * r2 + q[1];
    return even + odd * r;
  }
};

/// exp of every lane of a pack (or of a scalar, where packs are scalars).
template <class S>
inline simd::pack_t<S> exp_pack(simd::pack_t<S> const& x) {
  using V = simd::pack_t<S>;
  if constexpr (std::same_as<S, float> || std::same_as<S, double>) {
    using Bits = simd::pack_t<simd::word_t<S>>;
    using K = ExpConstants<S>;
    V const shifted = x * K::log2_e + K::shift;
    V const k = shifted - K::shift;
    V const r = (x - k * K::ln2_high) - k * K::ln2_low;
    V const r2 = r * r;
    V const p = S(1) + (r + r2 * K::polynomial(r, r2));
    // The low bits of `shifted` hold k in two's complement; the shift leaves just those.
    Bits const scaled = std::bit_cast<Bits>(p) + (std::bit_cast<Bits>(shifted) << K::mantissa_bits);
    V y = std::bit_cast<V>(scaled);
    V const zero = simd::broadcast<S>(0);
    V const inf = simd::broadcast<S>(std::numeric_limits<S>::infinity());
    y = x < K::lowest ? zero : y;
    y = x > K::highest ? inf : y;
    return x != x ? x : y;
  } else {
    S const y = std::exp(x);
    return y < std::numeric_limits<S>::min() ? S(0) : y;
  }
}

/// exp(x) - 1 of every lane for e = exp(x), to a few units in the last place: near 0 by what exp
/// adds to 1 there.
template <RealScalar S>
simd::pack_t<S> expm1_pack(simd::pack_t<S> const& x, simd::pack_t<S> const& e) {
  if constexpr (std::same_as<S, float> || std::same_as<S, double>) {
    simd::pack_t<S> const x2 = x * x;
    simd::pack_t<S> const near = x + x2 * ExpConstants<S>::polynomial(x, x2);
    return x2 < S(0.1) ? near : e - S(1);
  } else {
    return std::expm1(x);
  }
}

}  // namespace detail

/// y_k = exp(x_k) for k < count; y may be x. Cost on AVX2: about 0.6 ns per double.
template <RealScalar S>
void exp(S const* x, S* y, Index count) {
  constexpr Index step = simd::lanes<S>;
  Index k = 0;
  for (; k + step <= count; k += step) {
    simd::store<S>(y + k, detail::exp_pack<S>(simd::load<S>(x + k)));
  }
  if (k < count) {
    simd::store_part<S>(y + k, detail::exp_pack<S>(simd::load_part<S>(x + k, count - k, S(0))),
                        count - k);
  }
}

/// exp of one number, bit for bit the same as in an array.
template <RealScalar S>
[[nodiscard]] S exp(S x) {
  S y;
  exp(&x, &y, 1);
  return y;
}

}  // namespace monge
