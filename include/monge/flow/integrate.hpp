// SPDX-License-Identifier: MIT
/// @file
/// integrate: the flow of a velocity field,
///
///     dx/dt = v(t, x),   x(t0) = x0,   wanted: x(t1).
///
/// Explicit Runge-Kutta methods with adaptive or fixed steps, forward or backward in time, on any
/// Eigen shape. See runge_kutta.hpp for the step and its cost, runge_kutta_methods.hpp for the
/// choice of method. Not for stiff problems: there the steps shrink to what stability allows, and
/// `rejected` and `evaluations` grow out of proportion.
#pragma once

#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/flow/runge_kutta.hpp>

namespace monge::flow {

/// What `integrate` returns. X is the plain type of x0.
template <class X>
struct IntegrateResult {
  X x;           ///< the last accepted state; x(t1) if converged
  double t = 0;  ///< its time
  Status status = Status::not_run;
  std::vector<X> saved;   ///< states at the first saved.size() times of save_at
  Index accepted = 0;     ///< steps that were kept
  Index rejected = 0;     ///< steps that were repeated with a smaller size
  Index evaluations = 0;  ///< calls of the field
  Index iterations = 0;   ///< attempted steps
  double next_step = 0;   ///< signed step to go on with, by |next_step| as `initial_step`
  double seconds = 0;     ///< wall time

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(x, t); }
};

/// Follows `field` from x0 at time t0 to time t1, which may be earlier than t0 or equal to it.
///
/// @param field     callable (double t, X const& x, X& dx) that writes v(t, x) into dx
/// @param x0        the start, any Eigen matrix expression, evaluated once: a vector, or a d x n
///                  batch with one point per column, which then share their steps
/// @param method    a tableau; its order has to suit the tolerance
/// @param options   tolerances or a fixed step, times to save at, limits
/// @param observer  sees Progress every `observe_every` attempted steps; false stops. Its `error`
///                  is the scaled local error of the last attempt, infinite for fixed steps
///
/// `converged`: adaptive: t1 is reached and the scaled local error of every accepted step is at
/// most 1 (the global error is not promised: it also depends on how the flow spreads). Fixed step:
/// t1 is reached and the result finite. Any other status comes with the last accepted finite state
/// and its time: `non_finite` if the field has NaN there or in every small step from there,
/// `step_too_small`, `precision_limit` for tolerances below the rounding of the state, limits, or
/// the observer. Coefficients and time are double, also for wider scalars.
///
/// The derivative of the result by parameters of the field comes from automatic differentiation
/// scalars in x0; steps are then chosen by the values alone.
///
/// Throws std::invalid_argument on misuse; exceptions of the field and the observer pass through.
template <class F, MatrixExpr Start, Tableau Method = dormand_prince5, Observer Watch = Unobserved>
  requires VelocityField<F, typename Start::PlainObject>
[[nodiscard]] IntegrateResult<typename Start::PlainObject> integrate(
    F&& field, Start const& x0, double t0, double t1, Method method = {},
    IntegrateOptions const& options = {}, Watch&& observer = {}) {
  using X = typename Start::PlainObject;
  RungeKutta<Method, X, std::remove_reference_t<F>> const stepper(method, field, X(x0), t0, t1,
                                                                  options);
  Limits const limits{options.max_steps, options.max_seconds, options.observe_every};
  auto run = iterate(stepper, limits, observer);
  auto& state = run.state;
  state.saved.resize(static_cast<std::size_t>(state.saved_count));
  return monge::detail::certified(IntegrateResult<X>{
      .x = std::move(state.x),
      .t = state.t,
      .status = run.status,
      .saved = std::move(state.saved),
      .accepted = state.accepted,
      .rejected = state.rejected,
      .evaluations = state.evaluations,
      .iterations = run.statistics.iterations,
      .next_step = state.next_step,
      .seconds = run.statistics.seconds,
  });
}

}  // namespace monge::flow
