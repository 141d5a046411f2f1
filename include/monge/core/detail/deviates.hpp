// SPDX-License-Identifier: MIT
/// @file
/// From 64 random bits to a uniform or a normal deviate: pure functions of the word.
///
/// Uniform: the leading bits of the word name one of 2^b equal cells of (0, 1), and the deviate is
/// its midpoint, with b = 52 (double), 23 (float) or 63 (long double): so it is exact, never 0 or
/// 1, and the complement of the word gives exactly 1 - u.
///
/// Normal: the inverse of the normal distribution function at u, M. J. Wichura, "Algorithm AS 241:
/// the percentage points of the normal distribution", Applied Statistics 37 (1988), PPND16. The
/// relative error of the rational functions is about 1e-16 (paper, section 2). With q = u - 1/2:
///
///     |q| <= 0.425           x = q A(t) / B(t),  t = 0.425^2 - q^2
///     else, r <= 5           x = C(t) / D(t),    t = r - 1.6,   r = sqrt(-log(1/2 - |q|))
///     else                   x = E(t) / F(t),    t = r - 5
///
/// and the sign of q. Working on q instead of u makes the deviate odd: the complement of the word
/// gives exactly -x. Deviation from the paper: the logarithm is our own, so that scalar and
/// vectorised code agree and no library function decides the last bits. The same word gives the
/// same deviate in every precision, up to rounding: float rounds the double one, and long double
/// takes its 63 bits and corrects the double one by a Newton step.
#pragma once

#include <Eigen/Core>

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>

namespace monge::detail {

template <std::floating_point S>
inline constexpr int uniform_bits =
    std::numeric_limits<S>::digits - 1 < 63 ? std::numeric_limits<S>::digits - 1 : 63;

/// The uniform deviate of a word.
template <std::floating_point S>
[[nodiscard]] constexpr S uniform_from(std::uint64_t word) {
  constexpr int bits = uniform_bits<S>;
  // The leading bits become the fraction of a number in [1, 2); a conversion of 64-bit integers
  // would not vectorise below AVX-512. Both differences are exact.
  if constexpr (std::same_as<S, double> && bits == 52) {
    return std::bit_cast<double>(0x3FF0000000000000u | word >> 12) - (1 - 0x1p-53);
  } else if constexpr (std::same_as<S, float> && bits == 23) {
    return std::bit_cast<float>(0x3F800000u | std::uint32_t(word >> 41)) - (1 - 0x1p-24f);
  } else {
    return (S(word >> (64 - bits)) + S(0.5)) / S(std::uint64_t(1) << bits);
  }
}

/// c[0] + c[1] x + ... + c[7] x^7, written out so that it is vectorised at -O2.
constexpr double polynomial(double const (&c)[8], double x) {
  double const high = ((c[7] * x + c[6]) * x + c[5]) * x + c[4];
  return (((high * x + c[3]) * x + c[2]) * x + c[1]) * x + c[0];
}

// The tables of PPND16, in the paper's letters and order.
inline constexpr double wichura_a[8] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                                        1.9715909503065514427e+3, 1.3731693765509461125e+4,
                                        4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                        3.3430575583588128105e+4, 2.5090809287301226727e+3};
inline constexpr double wichura_b[8] = {1.0,
                                        4.2313330701600911252e+1,
                                        6.8718700749205790830e+2,
                                        5.3941960214247511077e+3,
                                        2.1213794301586595867e+4,
                                        3.9307895800092710610e+4,
                                        2.8729085735721942674e+4,
                                        5.2264952788528545610e+3};
inline constexpr double wichura_c[8] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                        5.76949722146069140550e0,  3.64784832476320460504e0,
                                        1.27045825245236838258e0,  2.41780725177450611770e-1,
                                        2.27238449892691845833e-2, 7.74545014278341407640e-4};
inline constexpr double wichura_d[8] = {1.0,
                                        2.05319162663775882187e0,
                                        1.67638483018380384940e0,
                                        6.89767334985100004550e-1,
                                        1.48103976427480074590e-1,
                                        1.51986665636164571966e-2,
                                        5.47593808499534494600e-4,
                                        1.05075007164441684324e-9};
inline constexpr double wichura_e[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                        1.78482653991729133580e0,  2.96560571828504891230e-1,
                                        2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                        2.71155556874348757815e-5, 2.01033439929228813265e-7};
inline constexpr double wichura_f[8] = {1.0,
                                        5.99832206555887937690e-1,
                                        1.36929880922735805310e-1,
                                        1.48753612908506148525e-2,
                                        7.86869131145613259100e-4,
                                        1.84631831751005468180e-5,
                                        1.42151175831644588870e-7,
                                        2.04426310338993978564e-15};
inline constexpr double normal_centre = 0.425;
inline constexpr double normal_far = 5;

/// The quantile at 1/2 + q for |q| <= 0.425 (beyond that: some finite number).
constexpr double normal_at_centre(double q) {
  double const t = normal_centre * normal_centre - q * q;
  double const inside = t > 0 ? t : 0;
  return q * (polynomial(wichura_a, inside) / polynomial(wichura_b, inside));
}

/// The quantiles at 1 - p in terms of r = sqrt(-log p), 1.6 <= r <= 5 and 5 <= r.
constexpr double normal_at_tail(double r) {
  return polynomial(wichura_c, r - 1.6) / polynomial(wichura_d, r - 1.6);
}
constexpr double normal_at_far_tail(double r) {
  return polynomial(wichura_e, r - normal_far) / polynomial(wichura_f, r - normal_far);
}

/// -log(p) for a positive normal number below 1/2, to about 2 units in the last place: p = 2^k m
/// with m in [sqrt(1/2), sqrt(2)), and log m = 2 artanh(s) with s = (m - 1)/(m + 1), whose series
/// is cut where s^22 / 23 < 1e-18.
constexpr double minus_log(double p) {
  constexpr std::uint64_t half_root = 0x3FE6A09E667F3BCD;  // the bits of sqrt(1/2)
  std::uint64_t const shifted = std::bit_cast<std::uint64_t>(p) + (0x3FF0000000000000u - half_root);
  double const m = std::bit_cast<double>((shifted & 0x000FFFFFFFFFFFFFu) + half_root);
  // The exponent as a double without a conversion of integers: 2^52 + e has e as its last bits.
  double const k = std::bit_cast<double>(0x4330000000000000u | shifted >> 52) - (0x1p52 + 1023);
  double const s = (m - 1) / (m + 1), z = s * s;
  double sum = 1.0 / 21;
  sum = sum * z + 1.0 / 19;
  sum = sum * z + 1.0 / 17;
  sum = sum * z + 1.0 / 15;
  sum = sum * z + 1.0 / 13;
  sum = sum * z + 1.0 / 11;
  sum = sum * z + 1.0 / 9;
  sum = sum * z + 1.0 / 7;
  sum = sum * z + 1.0 / 5;
  sum = sum * z + 1.0 / 3;
  sum = sum * z + 1.0;
  return -0.693147180559945309417 * k - 2 * s * sum;
}

/// The quantile of the standard normal distribution at 1/2 + q, given its distance p = 1/2 - |q|
/// from the nearer end, in double.
inline double normal_quantile(double q, double p) {
  if (std::abs(q) <= normal_centre) {
    return normal_at_centre(q);
  }
  double const r = std::sqrt(minus_log(p));
  return std::copysign(r <= normal_far ? normal_at_tail(r) : normal_at_far_tail(r), q);
}

/// The normal deviate of a word.
template <std::floating_point S>
[[nodiscard]] S normal_from(std::uint64_t word) {
  if constexpr (std::numeric_limits<S>::digits <= 53) {
    double const q = uniform_from<double>(word) - 0.5;
    return static_cast<S>(normal_quantile(q, 0.5 - std::abs(q)));
  } else {
    constexpr S root_half = S(0.707106781186547524400844362104849039L);
    constexpr S root_two_pi = S(2.506628274631000502415765284811045253L);
    S const q = uniform_from<S>(word) - S(0.5), p = S(0.5) - std::abs(q);
    S const x = normal_quantile(static_cast<double>(q), static_cast<double>(p));
    S const y = std::abs(x);
    // The residual is taken from the side on which it keeps its digits.
    S const residual =
        y < 1 ? std::abs(q) - std::erf(y * root_half) / 2 : std::erfc(y * root_half) / 2 - p;
    return std::copysign(y + residual * root_two_pi * std::exp(y * y / 2), q);
  }
}

/// Words per tile of the bulk functions: large enough to fill vectors with tail values, small
/// enough for the first-level cache.
inline constexpr int tile_words = 256;

/// out[i] = uniform_from<S>(words[i]) for one tile.
template <std::floating_point S>
void uniform_tile(std::uint64_t const* words, S* out) {
  for (int i = 0; i < tile_words; ++i) {
    out[i] = uniform_from<S>(words[i]);
  }
}

/// out[i] = normal_from<S>(words[i]) for one tile, bit for bit. All entries take the formula of the
/// centre; the 15 % that lie in the tails are then gathered, so that their logarithms and quotients
/// are vectorised too.
template <std::floating_point S>
void normal_tile(std::uint64_t const* words, S* out) {
  if constexpr (std::numeric_limits<S>::digits > 53) {
    for (int i = 0; i < tile_words; ++i) {
      out[i] = normal_from<S>(words[i]);
    }
  } else {
    constexpr int width = 16;  // tail values computed side by side
    double q[tile_words], tail[tile_words + width];
    int where[tile_words + 1];
    for (int i = 0; i < tile_words; ++i) {
      q[i] = uniform_from<double>(words[i]) - 0.5;
    }
    for (int i = 0; i < tile_words; ++i) {
      out[i] = static_cast<S>(normal_at_centre(q[i]));
    }
    int tails = 0;
    for (int i = 0; i < tile_words; ++i) {
      where[tails] = i;
      tails += std::abs(q[i]) > normal_centre;
    }
    for (int k = 0; k < tails; ++k) {
      tail[k] = 0.5 - std::abs(q[where[k]]);
    }
    for (int k = tails; k < tails + width; ++k) {
      tail[k] = 0.05;
    }
    for (int begin = 0; begin < tails; begin += width) {
      double r[width];
      for (int l = 0; l < width; ++l) {
        r[l] = minus_log(tail[begin + l]);
      }
      Eigen::Map<Eigen::Array<double, width, 1>> root(r);
      root = root.sqrt();
      for (int l = 0; l < width; ++l) {
        tail[begin + l] = normal_at_tail(r[l]);
      }
      for (int l = 0; l < width; ++l) {
        if (r[l] > normal_far) [[unlikely]] {
          tail[begin + l] = normal_at_far_tail(r[l]);
        }
      }
    }
    for (int k = 0; k < tails; ++k) {
      out[where[k]] = static_cast<S>(std::copysign(tail[k], q[where[k]]));
    }
  }
}

}  // namespace monge::detail
