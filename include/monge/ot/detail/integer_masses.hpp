// SPDX-License-Identifier: MIT
/// @file
/// Mass as integers, so that flows and walks along weights are exact: ties are ties.
#pragma once

#include <cmath>
#include <cstdint>

#include <monge/core/types.hpp>

namespace monge::ot::detail {

using Mass = std::int64_t;

/// Counts mass `mass` in units of 2^exponent, of which it has about 2^61 to 2^62.
template <RealScalar W>
struct MassUnit {
  int exponent;
  W first, second;  // two powers of two, since one alone can overflow

  explicit MassUnit(W mass)
      : exponent(std::ilogb(mass) - 61),
        first(std::ldexp(W(1), -exponent / 2)),
        second(std::ldexp(W(1), -exponent - -exponent / 2)) {}
  /// Half a unit rounds to the nearest.
  [[nodiscard]] Mass operator()(W weight) const { return Mass(weight * first * second + W(0.5)); }
};

/// Weights a (n) and b (m), as integers of equal sums, at most 2^62 each, in units of 2^unit if the
/// mass is `mass`; returns the exponent `unit`. What rounding leaves goes to the largest.
template <RealScalar S>
int integer_masses(VectorX<S> const& a, VectorX<S> const& b, wide_t<S> mass, Mass* counts_a,
                   Mass* counts_b) {
  using W = wide_t<S>;
  MassUnit<W> const unit(mass);
  auto const count = [&](VectorX<S> const& weights, Mass* counts) {
    W const factor = mass / weights.template cast<W>().sum();
    Mass total = 0;
    for (Index k = 0; k < weights.size(); ++k) {
      counts[k] = unit(W(weights(k)) * factor);
      total += counts[k];
    }
    return total;
  };
  Mass const rest = count(a, counts_a) - count(b, counts_b);
  Index largest = 0;
  (rest < 0 ? a : b).maxCoeff(&largest);
  (rest < 0 ? counts_a : counts_b)[largest] += std::abs(rest);
  return unit.exponent;
}

}  // namespace monge::ot::detail
