// SPDX-License-Identifier: MIT
/// @file
/// The one outcome type of the library.
#pragma once

#include <string_view>

namespace monge {

/// How a computation ended. `converged` implies that every number of the result is finite and that
/// the stated tolerance holds; it is the only value that promises an answer. All other results
/// still hold the best that was reached.
enum class Status : unsigned char {
  converged = 0,
  running,              ///< not finished: more steps may be taken
  not_run,              ///< nothing was computed yet
  iteration_limit,      ///< `max_iterations` reached first
  evaluation_limit,     ///< `max_evaluations` reached first
  time_limit,           ///< `max_seconds` passed first
  stopped_by_observer,  ///< the observer returned false
  precision_limit,      ///< rounding error stops progress above the tolerance
  infeasible,           ///< the constraints cannot be met
  unbounded,            ///< the objective falls without limit
  non_finite,           ///< NaN or infinity appeared in the computation
  step_too_small,       ///< the adaptive step shrank to the resolution of the variable
  line_search_failed,   ///< no acceptable step along the search direction
  breakdown,            ///< the operator lacks a property that the method needs
};

/// What happened and what to try next, as one sentence. Starts with the name of the status.
[[nodiscard]] constexpr std::string_view message(Status status) {
  switch (status) {
    case Status::converged:
      return "converged";
    case Status::running:
      return "running: not finished; take more steps";
    case Status::not_run:
      return "not run: nothing was computed; call the solver first";
    case Status::iteration_limit:
      return "iteration limit: max_iterations reached before the tolerance; raise it, loosen the "
             "tolerance, or start from a better point (this result is one)";
    case Status::evaluation_limit:
      return "evaluation limit: max_evaluations reached before the tolerance; raise it, loosen the "
             "tolerance, or start from a better point (this result is one)";
    case Status::time_limit:
      return "time limit: max_seconds passed before the tolerance; raise it, or resume from this "
             "result";
    case Status::stopped_by_observer:
      return "stopped by observer: the observer returned false; the result holds what was reached";
    case Status::precision_limit:
      return "precision limit: rounding error stops progress above the tolerance; loosen the "
             "tolerance, rescale the problem, or use a wider scalar";
    case Status::infeasible:
      return "infeasible: the constraints cannot be met; look for rows or columns with mass and "
             "without an allowed pair";
    case Status::unbounded:
      return "unbounded: the objective falls without limit; check its sign, or add a bound or a "
             "regulariser";
    case Status::non_finite:
      return "non-finite: NaN or infinity appeared; check the function at the returned point, or "
             "take smaller steps";
    case Status::step_too_small:
      return "step too small: the adaptive step shrank to the resolution of the variable; the "
             "problem may be stiff or singular there: loosen the tolerances or stop before it";
    case Status::line_search_failed:
      return "line search failed: no acceptable step along the search direction; check the "
             "gradient "
             "against differences, or loosen the tolerance if the value has stopped changing";
    case Status::breakdown:
      return "breakdown: the operator lacks a property that the method needs; check that it is "
             "symmetric and positive (semi)definite";
  }
  return "unknown status";
}

}  // namespace monge
