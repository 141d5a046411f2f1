// SPDX-License-Identifier: MIT
/// @file
/// Epsilon scaling: a ladder of entropic strengths that ends at the one that was asked for.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include <monge/core/require.hpp>
#include <monge/ot/detail/entropic_problem.hpp>

namespace monge::ot::detail {

/// Level k has epsilon / factor^k; level 0 is the last. The first one is about a tenth of the
/// largest cost, where plans are dense and potentials are found in a few steps.
template <RealScalar S>
struct Annealing {
  double epsilon = 1, factor = 1;
  Index levels = 0;  // above the last one

  Annealing() = default;
  Annealing(double epsilon_, double factor_, double largest_cost)
      : epsilon(epsilon_), factor(factor_) {
    double const first = std::min(0.1 * largest_cost, std::numeric_limits<double>::max());
    if (factor > 0 && factor < 1 && first > epsilon) {
      // The quotient of the two may be infinite.
      levels = Index(std::ceil((std::log(first) - std::log(epsilon)) / -std::log(factor)));
    }
  }

  [[nodiscard]] Blur<S> blur(Index level) const {
    return Blur<S>(epsilon * std::pow(factor, -double(level)));
  }
};

inline void require_annealing(std::string_view function, double factor) {
  require(factor > 0 && factor <= 1, function, ": annealing is ", factor,
          "; it must be above 0 and at most 1");
}

}  // namespace monge::ot::detail
