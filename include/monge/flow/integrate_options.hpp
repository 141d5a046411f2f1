// SPDX-License-Identifier: MIT
/// @file
/// The tunables of `integrate`, and what is refused.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <vector>

#include <monge/core/require.hpp>
#include <monge/flow/step_control.hpp>

namespace monge::flow {

/// Tunables of `integrate`. Times and steps are in units of t; write fields by name.
struct IntegrateOptions {
  double relative_tolerance = 1e-6;         ///< of the local error per step; 0 = absolute alone
  double absolute_tolerance = 1e-6;         ///< in units of the state; positive
  std::optional<double> step = {};          ///< unset: adaptive; set: fixed, the last one shorter
  std::optional<double> initial_step = {};  ///< unset: a heuristic that costs one evaluation
  double min_step = 0;                      ///< below it: Status::step_too_small
  double max_step = infinity;               ///< for events that a long adaptive step would miss
  Index max_steps = 1'000'000;              ///< attempted steps
  double max_seconds = infinity;            ///< wall time
  std::vector<double> save_at = {};         ///< times between t0 and t1, in that order
  Index observe_every = 1;                  ///< stride of the observer in attempted steps
  StepControl control = {};                 ///< how the step adapts
};

namespace detail {

/// "integrate: <name> is <value>; <rule>"
inline void require_number(bool ok, std::string_view name, double value, std::string_view rule) {
  monge::detail::require(ok, "integrate: ", name, " is ", value, "; ", rule);
}

inline void require_control(StepControl const& pid) {
  require_number(pid.safety > 0 && pid.safety <= 1, "control.safety", pid.safety,
                 "it must be in (0, 1]");
  double const sum = pid.integral + pid.proportional + pid.derivative;
  require_number(sum > 0 && sum < infinity, "control.integral + proportional + derivative", sum,
                 "it must be positive and finite, or the step would grow with the error");
  require_number(pid.most_growth >= 1 && pid.most_growth < infinity, "control.most_growth",
                 pid.most_growth, "it must be at least 1 and finite");
  require_number(pid.most_shrink > 0 && pid.most_shrink <= 0.9, "control.most_shrink",
                 pid.most_shrink, "it must be in (0, 0.9]");
  require_number(pid.steady_growth >= 1 && pid.steady_growth <= pid.most_growth,
                 "control.steady_growth", pid.steady_growth,
                 "it must be at least 1 and at most most_growth");
}

inline void require_save_at(std::vector<double> const& times, double t0, double t1) {
  double before = t0;
  for (double t : times) {
    require_number(t >= std::min(t0, t1) && t <= std::max(t0, t1), "a time in save_at", t,
                   "it must lie between t0 and t1");
    require_number(t0 <= t1 ? t >= before : t <= before, "a time in save_at", t,
                   "it comes after a later one; sort save_at in the direction from t0 to t1");
    before = t;
  }
}

/// `adaptive`: does the method estimate its error?
inline void require_options(IntegrateOptions const& options, bool adaptive, double t0, double t1) {
  require_number(std::isfinite(t0), "t0", t0, "it must be finite");
  require_number(std::isfinite(t1), "t1", t1, "it must be finite");
  require_number(std::isfinite(t1 - t0), "t1 - t0", t1 - t0, "it must be finite; rescale the time");
  if (options.step) {
    require_number(*options.step > 0 && *options.step < infinity, "step", *options.step,
                   "it must be positive and finite, also backward in time");
  } else {
    monge::detail::require(
        adaptive,
        "integrate: this method has no error estimate to adapt its step by; set options.step, or "
        "use a method that has one, such as dormand_prince5");
  }
  auto const positive = [](double value) { return value > 0 && value < infinity; };
  require_number(options.relative_tolerance >= 0 && options.relative_tolerance < infinity,
                 "relative_tolerance", options.relative_tolerance,
                 "it must be at least 0 and finite");
  require_number(positive(options.absolute_tolerance), "absolute_tolerance",
                 options.absolute_tolerance,
                 "it must be positive and finite, because entries may pass through 0");
  if (options.initial_step) {
    require_number(positive(*options.initial_step), "initial_step", *options.initial_step,
                   "it must be positive and finite, also backward in time");
  }
  require_number(options.min_step >= 0 && options.min_step < infinity, "min_step", options.min_step,
                 "it must be at least 0 and finite");
  require_number(options.max_step > 0 && options.max_step >= options.min_step, "max_step",
                 options.max_step, "it must be positive and at least min_step");
  require_number(options.max_steps >= 0, "max_steps", double(options.max_steps),
                 "it must be at least 0");
  require_number(options.max_seconds >= 0, "max_seconds", options.max_seconds,
                 "it must be at least 0");
  require_number(options.observe_every >= 1, "observe_every", double(options.observe_every),
                 "it must be at least 1");
  require_control(options.control);
  require_save_at(options.save_at, t0, t1);
}

}  // namespace detail
}  // namespace monge::flow
