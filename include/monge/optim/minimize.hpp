// SPDX-License-Identifier: MIT
/// @file
/// The front door of smooth unconstrained minimisation: options, result and `minimize`.
///
///     minimise f(x),  x any dense Eigen vector or matrix
///
///     auto r = minimize(objective, x0, lbfgs{}, {.gradient_tolerance = 1e-8});
///
/// The third argument chooses the method and holds its hyper-parameters; its `stepper` is the
/// IterativeMethod that runs, which a caller can also drive by hand.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/optim/objective.hpp>

namespace monge::optim {

/// When a minimisation ends.
///
/// The criterion of convergence is  max_i |g_i| <= gradient_tolerance * max(typical_value, |f(x)|).
/// It is relative for large values and absolute for small ones (Gill, Murray and Wright, Practical
/// Optimization, Section 8.2, use 1 + |f|). It does not depend on the start, so that a warm start
/// that satisfies it ends after one evaluation.
struct MinimizeOptions {
  /// At least 0. Unset: the larger of 1e-6 and the square root of the unit roundoff: 1e-6 in
  /// double and 3.5e-4 in float. What rounding leaves out of reach, 0 included, ends in
  /// Status::precision_limit at the best point.
  std::optional<double> gradient_tolerance = {};
  double typical_value = 1;      ///< the size of f that counts as one, in units of f; positive
  Index max_iterations = 10000;  ///< steps of the method
  Index max_evaluations = std::numeric_limits<Index>::max();  ///< calls of the objective
  double max_seconds = infinity;                              ///< wall time
  Index observe_every = 1;  ///< stride of the observer in iterations
};

/// The answer of a minimisation and how it came about. Whatever the status, x is the best finite
/// point seen (the start, if that is the only one) and value and gradient belong to it.
template <Variable X>
struct MinimizeResult {
  using Scalar = typename X::Scalar;

  X x;
  Scalar value = 0;          ///< f(x)
  X gradient;                ///< of f at x
  Scalar gradient_norm = 0;  ///< max_i |g_i|
  Status status = Status::not_run;
  Index iterations = 0;
  Index evaluations = 0;  ///< calls of the objective, each a value and a gradient
  double seconds = 0;

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(x, value, gradient, gradient_norm); }
};

namespace detail {

/// The gradient tolerance that unset options mean for scalar S.
template <RealScalar S>
S gradient_tolerance(MinimizeOptions const& options) {
  return S(options.gradient_tolerance.value_or(
      std::max(1e-6, std::sqrt(static_cast<double>(unit_roundoff<S>)))));
}

template <Variable X>
void require_problem(X const& x0, MinimizeOptions const& options) {
  using monge::detail::require;
  require(x0.size() > 0, "minimize: x0 is ", monge::detail::shape(x0),
          "; there must be at least one variable");
  require(x0.allFinite(), "minimize: x0 has NaN or infinite entries; start from a finite point");
  monge::detail::require_nonnegative("minimize", "gradient_tolerance",
                                     options.gradient_tolerance.value_or(0));
  monge::detail::require_positive("minimize", "typical_value", options.typical_value);
  require(options.max_evaluations >= 1, "minimize: max_evaluations is ", options.max_evaluations,
          "; it must be at least 1, the start is evaluated");
  monge::detail::require_limits("minimize", options.max_iterations, options.max_seconds,
                                options.observe_every);
}

/// Calls the objective, which must leave the gradient in the shape of x.
template <class F, Variable X>
  requires DifferentiableObjective<F, X>
typename X::Scalar evaluate(F& objective, X const& x, X& gradient) {
  auto const value = static_cast<typename X::Scalar>(objective(x, gradient));
  monge::detail::require(gradient.rows() == x.rows() && gradient.cols() == x.cols(),
                         "minimize: x is ", monge::detail::shape(x),
                         " but the objective wrote a gradient of ", monge::detail::shape(gradient),
                         "; it must have the shape of x");
  return value;
}

}  // namespace detail

/// Hyper-parameters of a method that minimises F over X: `stepper(objective, x0, options)` makes
/// an IterativeMethod whose `result(state)` is a MinimizeResult.
template <class M, class F, class X>
concept Minimizer = DifferentiableObjective<F, X> &&
                    requires(M const& method, F& objective, X const& x0, MinimizeOptions options) {
                      { method.stepper(objective, x0, options) } -> IterativeMethod;
                    };

/// Minimises `objective` from x0 (n entries, any dense shape).
///
/// @param objective  DifferentiableObjective, see optim/objective.hpp.
/// @param x0  Finite start; any Eigen expression, evaluated once.
/// @param method  Which method, with its hyper-parameters: `lbfgs{}`.
/// @param observer  Sees Progress, its `error` being max_i |g_i| / max(typical_value, |f|), and
///   may stop the run.
/// @return The best point with its value, gradient and the reason of the end. Statuses: converged,
///   precision_limit, unbounded (f fell below -max(typical_value, |f(x0)|) / u^2 or is -infinity),
///   non_finite (f(x0) is not finite, or NaN blocks every step), line_search_failed (usually a
///   wrong gradient), and the limits of `options`.
/// @throws std::invalid_argument if x0 is empty or not finite, an option is out of its range, or
///   the objective changes the shape of the gradient. Exceptions of the objective pass through.
template <class F, RealMatrixExpr X0, class M, Observer Watch = Unobserved>
  requires Minimizer<M, std::remove_reference_t<F>, typename X0::PlainObject>
[[nodiscard]] MinimizeResult<typename X0::PlainObject> minimize(F&& objective, X0 const& x0,
                                                                M const& method,
                                                                MinimizeOptions const& options = {},
                                                                Watch&& observer = {}) {
  typename X0::PlainObject const start = x0;
  auto const stepper = method.stepper(objective, start, options);
  auto outcome =
      iterate(stepper, Limits{options.max_iterations, options.max_seconds, options.observe_every},
              std::forward<Watch>(observer));
  auto result = stepper.result(std::move(outcome.state));
  result.status = outcome.status;
  result.iterations = outcome.statistics.iterations;
  result.seconds = outcome.statistics.seconds;
  return monge::detail::certified(std::move(result));
}

}  // namespace monge::optim
