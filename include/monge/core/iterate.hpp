// SPDX-License-Identifier: MIT
/// @file
/// The one loop of the library.
///
/// An iterative method is a value with four members on a copyable State:
///
///     State   init() const;
///     Advance advance(State&, Index k) const;   // at most k native steps; k = 0 only looks
///     double  error(State const&) const;        // cached, O(1); infinite before it is known
///     Status  finish(State&, Status) const;     // certifies, and may lower the status
///
/// `iterate` is the only driver. It runs bursts of steps that double until a burst takes about a
/// millisecond, so that clock, limits and the check for NaN cost nothing per step (polling after
/// each step tripled the cost of a small Runge-Kutta step when it was tried). With an observer the
/// bursts also end at every multiple of `observe_every`. Because State is a value, stepping by
/// hand, checkpoints and bit-exact resumption need no code: copy the State and go on from it.
///
/// A method that runs iterative solves inside its steps takes a third argument in `advance`, a
/// Deadline, and hands `deadline.remaining()` down as the `max_seconds` of the nested solve.
#pragma once

#include <chrono>
#include <concepts>
#include <utility>

#include <monge/core/observer.hpp>
#include <monge/core/status.hpp>
#include <monge/core/types.hpp>

namespace monge {

/// What a burst of steps came to: `running` = go on.
struct Advance {
  Status status = Status::running;
  Index steps = 0;  ///< native steps taken, at most the number asked for
};

/// Where a run ends at the latest, and how often it is watched.
struct Limits {
  Index max_iterations = 1000;    ///< native steps of this run
  double max_seconds = infinity;  ///< wall time of this run
  Index observe_every = 1;        ///< stride of the observer in iterations; at least 1
};

/// What a run cost. Evaluations are counted by the methods that have something to count.
struct Statistics {
  Index iterations = 0;   ///< native steps
  Index evaluations = 0;  ///< calls of the user's function
  double seconds = 0;     ///< wall time
};

/// The moment at which a run must end.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Deadline(double seconds) : start_(Clock::now()), seconds_(seconds) {}

  [[nodiscard]] double elapsed() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }
  [[nodiscard]] double remaining() const {
    double const left = seconds_ - elapsed();
    return left > 0 ? left : 0;
  }
  [[nodiscard]] bool passed() const { return elapsed() >= seconds_; }

 private:
  Clock::time_point start_;
  double seconds_;
};

namespace detail {

template <class Method>
using state_t = std::remove_cvref_t<decltype(std::declval<Method const&>().init())>;

template <class Method>
concept TakesDeadline =
    requires(Method const& method, state_t<Method>& state, Index k, Deadline const& deadline) {
      { method.advance(state, k, deadline) } -> std::same_as<Advance>;
    };

/// `advance` of a method that has nothing to do between steps: step() until it says stop.
template <class Step>
Advance advance_by(Index k, Step&& step) {
  for (Index taken = 0; taken < k; ++taken) {
    Status const status = step();
    if (status != Status::running) return {status, taken + 1};
  }
  return {Status::running, k};
}

/// Tells when an error has ceased to fall.
struct LeastError {
  double error = infinity;
  Index iteration = 0;

  /// Takes a new error in; returns how many iterations ago the least one was.
  Index observe(double now, Index at) {
    if (now < error) {
      error = now;
      iteration = at;
    }
    return at - iteration;
  }
};

}  // namespace detail

/// A method that `iterate` can drive. See the file comment for the meaning of the members.
template <class Method>
concept IterativeMethod =
    requires(Method const& method) { method.init(); } && std::copyable<detail::state_t<Method>> &&
    requires(Method const& method, detail::state_t<Method>& state,
             detail::state_t<Method> const& seen, Index k, Status status) {
      { method.error(seen) } -> std::convertible_to<double>;
      { method.finish(state, status) } -> std::same_as<Status>;
    } &&
    (detail::TakesDeadline<Method> ||
     requires(Method const& method, detail::state_t<Method>& state, Index k) {
       { method.advance(state, k) } -> std::same_as<Advance>;
     });

/// The end of a run: the last State, how it ended, what it cost.
template <class State>
struct Outcome {
  State state;
  Status status = Status::not_run;
  Statistics statistics;
};

/// Advances `state` until the method is done, a limit is reached, a NaN appears or the observer
/// says stop; then lets the method certify. The observer sees every `observe_every`-th iteration
/// and the last one. Never throws by itself; exceptions of user callbacks pass through.
template <IterativeMethod Method, Observer Watch = Unobserved>
[[nodiscard]] Outcome<detail::state_t<Method>> iterate(Method const& method,
                                                       detail::state_t<Method> state,
                                                       Limits const& limits,
                                                       Watch&& observer = {}) {
  constexpr bool observed = !std::same_as<std::remove_cvref_t<Watch>, Unobserved>;
  constexpr double burst_seconds = 1e-3;
  Deadline const deadline(limits.max_seconds);
  Index const stride = limits.observe_every > 0 ? limits.observe_every : 1;

  Index done = 0, burst = 1, seen = 0;
  double now = 0;
  Status status = Status::running;
  while (status == Status::running) {
    Index k = std::min(burst, limits.max_iterations - done);
    if constexpr (observed) {
      k = std::min(k, stride - done % stride);
    }
    Advance result;
    if constexpr (detail::TakesDeadline<Method>) {
      result = method.advance(state, k, deadline);
    } else {
      result = method.advance(state, k);
    }
    eigen_assert((result.status != Status::running || result.steps > 0 || k == 0) &&
                 "advance() must take a step or say why not");
    done += result.steps;
    status = result.status;

    double const before = now;
    now = deadline.elapsed();
    double const error = method.error(state);
    if (error != error) {
      status = Status::non_finite;
    }
    if constexpr (observed) {
      if (status == Status::running && done % stride == 0 && done > seen) {
        seen = done;
        if (!detail::notify(observer, {done, error, now})) {
          status = Status::stopped_by_observer;
        }
      }
    }
    if (status == Status::running) {
      if (done >= limits.max_iterations) {
        status = Status::iteration_limit;
      } else if (now >= limits.max_seconds) {
        status = Status::time_limit;
      }
    }
    if (now - before < 0.5 * burst_seconds && result.steps >= burst) {
      burst *= 2;
    } else if (now - before > 2 * burst_seconds && burst > 1) {
      burst /= 2;
    }
  }
  status = method.finish(state, status);
  if constexpr (observed) {
    if (done > seen) {
      detail::notify(observer, {done, method.error(state), deadline.elapsed()});
    }
  }
  return {std::move(state), status, {done, 0, deadline.elapsed()}};
}

/// The same from the method's own start.
template <IterativeMethod Method, Observer Watch = Unobserved>
[[nodiscard]] Outcome<detail::state_t<Method>> iterate(Method const& method, Limits const& limits,
                                                       Watch&& observer = {}) {
  return iterate(method, method.init(), limits, std::forward<Watch>(observer));
}

}  // namespace monge
