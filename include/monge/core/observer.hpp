// SPDX-License-Identifier: MIT
/// @file
/// What a running method tells the caller, and how the caller stops it.
#pragma once

#include <concepts>
#include <type_traits>

#include <monge/core/types.hpp>

namespace monge {

/// A snapshot of a run, given to the observer.
struct Progress {
  Index iteration = 0;      ///< iterations done in this run
  double error = infinity;  ///< the method's own measure of error; infinite before it is known
  double seconds = 0;       ///< wall time of this run
};

/// Any callable on `Progress const&` that returns nothing, or a bool: false stops the run with
/// Status::stopped_by_observer and the partial result.
template <class F>
concept Observer = std::invocable<F&, Progress const&> &&
                   (std::is_void_v<std::invoke_result_t<F&, Progress const&>> ||
                    std::convertible_to<std::invoke_result_t<F&, Progress const&>, bool>);

/// The observer that sees nothing: the default. A run without an observer has no stride to keep.
struct Unobserved {
  void operator()(Progress const&) const {}
};

namespace detail {

/// Calls the observer; true = go on.
template <Observer F>
bool notify(F& observer, Progress const& progress) {
  if constexpr (std::is_void_v<std::invoke_result_t<F&, Progress const&>>) {
    observer(progress);
    return true;
  } else {
    return static_cast<bool>(observer(progress));
  }
}

}  // namespace detail
}  // namespace monge
