// SPDX-License-Identifier: MIT
/// @file
/// The one place that keeps the promise of Status::converged: every number in the result is finite.
#pragma once

#include <cmath>
#include <concepts>
#include <tuple>
#include <utility>

#include <monge/core/status.hpp>
#include <monge/core/types.hpp>

namespace monge::detail {

template <class T>
bool all_finite(T const& part) {
  if constexpr (std::floating_point<T>) {
    return std::isfinite(part);
  } else if constexpr (std::integral<T>) {
    return true;
  } else {
    return part.allFinite();
  }
}

/// A result lists its numbers in `numbers()`, a std::tie of scalars and Eigen objects. If any of
/// them is not finite, `converged` becomes `non_finite`. Public functions return through this.
template <class Result>
[[nodiscard]] Result certified(Result result) {
  if (result.status == Status::converged) {
    bool const finite = std::apply([](auto const&... parts) { return (all_finite(parts) && ...); },
                                   std::as_const(result).numbers());
    if (!finite) {
      result.status = Status::non_finite;
    }
  }
  return result;
}

}  // namespace monge::detail
