// SPDX-License-Identifier: MIT
/// @file
/// Gradient descent, momentum and Adam, as update rules that are values.
///
/// A rule is a plain set of numbers. What it remembers between steps is its Memory, a copyable
/// value that `start` makes and `step` changes together with x:
///
///     gradient_descent   x+ = x - r g
///     momentum           m+ = b m + g;  x+ = x - r m+            (heavy ball)
///                                       x+ = x - r (g + b m+)    (Nesterov)
///     adam               m+ = b1 m + (1 - b1) g,  v+ = b2 v + (1 - b2) g^2,
///                        x+ = x - r (m+ / (1 - b1^t) / (sqrt(v+ / (1 - b2^t)) + e) + w x)
///
/// r is the rate; t counts steps from 1. The division by 1 - b^t takes out the start from zero, so
/// that the first step of Adam is r in every coordinate that has a gradient.
///
/// Two ways to use one. `minimize(f, x0, adam{.rate = 0.01})` runs it to a criterion. By hand,
/// where gradients come from anywhere and the rate may follow a schedule:
///
///     auto memory = rule.start(x);
///     for (...) { rule.rate = ...; rule.step(x, gradient, memory); }
///
/// One step is one pass over x, g and the memory, in blocks that stay in the first-level cache; it
/// allocates nothing. Memory is 0, 1 or 2 times x.
///
/// When not to use them: smooth functions whose gradient is exact, where lbfgs takes far fewer
/// evaluations and needs no rate. They are for noisy gradients, for particles that follow a flow,
/// and for steps so cheap that a line search is not worth it.
///
/// Sources: B. T. Polyak, Some methods of speeding up the convergence of iteration methods, USSR
/// Comp. Math. Math. Phys. 4 (1964), with m = -(x+ - x) / r; Y. Nesterov (1983), in the variables
/// of I. Sutskever et al., ICML 2013, looked at from the point where the gradient is taken;
/// D. P. Kingma, J. Ba, Adam, ICLR 2015, Algorithm 1; I. Loshchilov, F. Hutter, Decoupled weight
/// decay, ICLR 2019, Algorithm 2 with the rate as schedule.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include <monge/optim/minimize.hpp>

namespace monge::optim {

/// A rule that moves x along a gradient: `memory = rule.start(x)`, then `rule.step(x, g, memory)`
/// as often as wanted; `rule.require_valid("caller")` refuses numbers that make no sense.
template <class R, class X>
concept UpdateRule =
    Variable<X> && std::copyable<R> && requires(R const& rule, X& x, X const& gradient) {
      { rule.start(x) } -> std::semiregular;
      rule.require_valid(std::string_view());
      requires requires(decltype(rule.start(x))& memory) { rule.step(x, gradient, memory); };
    };

template <class R, class F, Variable X>
class FirstOrderStepper;

/// x+ = x - rate g.
struct gradient_descent {
  double rate = 0.01;  ///< step length in units of x / g; below 2 / curvature to be stable

  /// Nothing to remember.
  struct Memory {};

  template <Variable X>
  [[nodiscard]] Memory start(X const&) const {
    return {};
  }
  template <Variable X>
  void step(X& x, X const& gradient, Memory&) const {
    x -= typename X::Scalar(rate) * gradient;
  }
  void require_valid(std::string_view function) const {
    monge::detail::require_positive(function, "rate", rate);
  }
  /// The method as an IterativeMethod for `minimize`; `objective` must outlive it.
  template <class F, Variable X>
    requires DifferentiableObjective<F, X>
  [[nodiscard]] FirstOrderStepper<gradient_descent, F, X> stepper(
      F& objective, X const& x0, MinimizeOptions const& options = {}) const;
};

namespace detail {

/// body(first, count) over the entries of a variable, a few kilobytes at a time.
template <class Body>
void for_each_block(Index size, Body&& body) {
  constexpr Index block = 512;
  for (Index first = 0; first < size; first += block) body(first, std::min(block, size - first));
}

/// A part of the entries of a variable as an array.
template <Variable X>
auto part(X& x, Index first, Index count) {
  return Eigen::Map<Eigen::Array<typename X::Scalar, Eigen::Dynamic, 1>>(x.data() + first, count);
}
template <Variable X>
auto part(X const& x, Index first, Index count) {
  using Entries = Eigen::Array<typename X::Scalar, Eigen::Dynamic, 1>;
  return Eigen::Map<Entries const>(x.data() + first, count);
}

}  // namespace detail

/// The heavy ball, or Nesterov's method. The memory is the sum of b^k times the gradient k steps
/// ago, so a steady gradient moves x by rate / (1 - decay) times it.
struct momentum {
  double rate = 0.01;     ///< as of gradient_descent
  double decay = 0.9;     ///< b, the share of the memory that is kept; 0 <= decay < 1
  bool nesterov = false;  ///< looks ahead along the memory before it takes the gradient

  template <Variable X>
  struct Memory {
    X velocity;  ///< m
  };

  template <Variable X>
  [[nodiscard]] Memory<X> start(X const& x) const {
    return {X::Zero(x.rows(), x.cols())};
  }
  template <Variable X>
  void step(X& x, X const& gradient, Memory<X>& memory) const {
    using S = typename X::Scalar;
    S const b = S(decay), r = S(rate);
    detail::for_each_block(x.size(), [&](Index first, Index count) {
      auto const g = detail::part(gradient, first, count);
      auto m = detail::part(memory.velocity, first, count);
      auto to = detail::part(x, first, count);
      m = b * m + g;
      if (nesterov) {
        to -= r * (g + b * m);
      } else {
        to -= r * m;
      }
    });
  }
  void require_valid(std::string_view function) const {
    monge::detail::require_positive(function, "rate", rate);
    monge::detail::require(decay >= 0 && decay < 1, function, ": decay is ", decay,
                           "; it must be at least 0 and below 1");
  }
  /// The method as an IterativeMethod for `minimize`; `objective` must outlive it.
  template <class F, Variable X>
    requires DifferentiableObjective<F, X>
  [[nodiscard]] FirstOrderStepper<momentum, F, X> stepper(
      F& objective, X const& x0, MinimizeOptions const& options = {}) const;
};

/// Adam, and AdamW if weight_decay is positive.
struct adam {
  double rate = 1e-3;           ///< the largest step of a coordinate, about; in units of x
  double decay = 0.9;           ///< b1 of the mean of the gradients; 0 <= b1 < 1
  double decay_square = 0.999;  ///< b2 of the mean of their squares; 0 <= b2 < 1
  double epsilon = 1e-8;        ///< e, in units of g: what counts as no gradient; at least 0
  double weight_decay = 0;  ///< w: x shrinks by rate w per step, beside the gradient; at least 0

  template <Variable X>
  struct Memory {
    X mean, square;   ///< m and v, not yet corrected
    Index steps = 0;  ///< t
  };

  template <Variable X>
  [[nodiscard]] Memory<X> start(X const& x) const {
    return {X::Zero(x.rows(), x.cols()), X::Zero(x.rows(), x.cols()), 0};
  }
  /// A coordinate without any gradient so far does not move, also for epsilon = 0.
  template <Variable X>
  void step(X& x, X const& gradient, Memory<X>& memory) const {
    using S = typename X::Scalar;
    double const t = double(++memory.steps);
    double const corrected = -std::expm1(t * std::log(decay));  // 1 - b1^t, also for b1 = 0
    double const corrected_square = -std::expm1(t * std::log(decay_square));
    // Both corrections as factors: r m / c1 / (sqrt(v / c2) + e) = s m / (sqrt(v) + e sqrt(c2)).
    S const scale = S(rate * std::sqrt(corrected_square) / corrected);
    S const floor = std::max(S(epsilon * std::sqrt(corrected_square)),
                             std::numeric_limits<S>::min());  // 0 / 0 is no step
    S const b1 = S(decay), b2 = S(decay_square), kept = S(1 - rate * weight_decay);
    S const c1 = S(1 - decay), c2 = S(1 - decay_square);
    detail::for_each_block(x.size(), [&](Index first, Index count) {
      auto const g = detail::part(gradient, first, count);
      auto m = detail::part(memory.mean, first, count);
      auto v = detail::part(memory.square, first, count);
      auto to = detail::part(x, first, count);
      m = b1 * m + c1 * g;
      v = b2 * v + c2 * g.square();
      to = kept * to - scale * m / (v.sqrt() + floor);
    });
  }
  void require_valid(std::string_view function) const {
    using monge::detail::require;
    monge::detail::require_positive(function, "rate", rate);
    require(decay >= 0 && decay < 1, function, ": decay is ", decay,
            "; it must be at least 0 and below 1");
    require(decay_square >= 0 && decay_square < 1, function, ": decay_square is ", decay_square,
            "; it must be at least 0 and below 1");
    monge::detail::require_nonnegative(function, "epsilon", epsilon);
    monge::detail::require_nonnegative(function, "weight_decay", weight_decay);
  }
  /// The method as an IterativeMethod for `minimize`; `objective` must outlive it.
  template <class F, Variable X>
    requires DifferentiableObjective<F, X>
  [[nodiscard]] FirstOrderStepper<adam, F, X> stepper(F& objective, X const& x0,
                                                      MinimizeOptions const& options = {}) const;
};

/// All that a run of an update rule knows; a copy is a checkpoint.
template <class R, Variable X>
struct FirstOrderState {
  using Scalar = typename X::Scalar;
  using Memory = decltype(std::declval<R const&>().start(std::declval<X const&>()));

  X x, gradient;  ///< the current point
  Scalar value = std::numeric_limits<Scalar>::infinity();
  Scalar gradient_norm = std::numeric_limits<Scalar>::infinity();  ///< max_i |g_i|
  Memory memory;
  Index evaluations = 0;
  Index unchanged = 0;    ///< steps in a row that changed neither value nor gradient norm
  X best, best_gradient;  ///< the lowest point before the current one
  Scalar best_value = std::numeric_limits<Scalar>::infinity();
  Scalar start_value = std::numeric_limits<Scalar>::infinity();
};

/// An update rule as an IterativeMethod: one native step is one update and one evaluation.
///
/// It ends as `minimize` says, and converges to no value above that of the start; precision_limit
/// means that ten steps in a row changed neither value nor gradient norm in a single bit.
template <class R, class F, Variable X>
class FirstOrderStepper {
  using S = typename X::Scalar;

 public:
  using State = FirstOrderState<R, X>;

  FirstOrderStepper(F& objective, X const& x0, R const& rule, MinimizeOptions const& options)
      : objective_(&objective),
        x0_(x0),
        rule_(rule),
        max_evaluations_(options.max_evaluations),
        tolerance_(detail::gradient_tolerance<S>(options)),
        typical_value_(S(options.typical_value)) {}

  /// The start, not yet evaluated.
  [[nodiscard]] State init() const {
    State s;
    s.x = s.gradient = s.best = s.best_gradient = x0_;
    s.memory = rule_.start(x0_);
    return s;
  }

  [[nodiscard]] Advance advance(State& s, Index k) const {
    if (s.evaluations == 0) {
      if (!look(s)) return {Status::non_finite, 0};
      s.start_value = s.value;
    }
    for (Index steps = 0;; ++steps) {
      if (meets_tolerance(s)) return {Status::converged, steps};
      if (s.unchanged >= patience) return {Status::precision_limit, steps};
      if (steps == k) return {Status::running, steps};
      if (s.evaluations >= max_evaluations_) return {Status::evaluation_limit, steps};
      if (Status const status = step(s); status != Status::running) return {status, steps + 1};
    }
  }

  /// max_i |g_i| / max(typical_value, |f|), what the tolerance is compared with.
  [[nodiscard]] double error(State const& s) const {
    return static_cast<double>(s.gradient_norm / std::max(typical_value_, std::abs(s.value)));
  }

  [[nodiscard]] Status finish(State&, Status status) const { return status; }

  /// The point that meets the tolerance, else the lowest of the run, with value and gradient.
  [[nodiscard]] MinimizeResult<X> result(State s) const {
    MinimizeResult<X> r;
    bool const earlier =
        std::isfinite(s.best_value) && !(s.value <= s.best_value) && !meets_tolerance(s);
    r.x = std::move(earlier ? s.best : s.x);
    r.gradient = std::move(earlier ? s.best_gradient : s.gradient);
    r.value = earlier ? s.best_value : s.value;
    r.gradient_norm = r.gradient.cwiseAbs().maxCoeff();
    r.evaluations = s.evaluations;
    return r;
  }

 private:
  static constexpr Index patience = 10;

  /// A run that climbs may meet a criterion relative to |f| at values that are merely huge.
  bool meets_tolerance(State const& s) const {
    return s.value <= s.start_value &&
           s.gradient_norm <= tolerance_ * std::max(typical_value_, std::abs(s.value));
  }

  /// Evaluates at x; false if anything there is not finite.
  bool look(State& s) const {
    S const value = s.value, norm = s.gradient_norm;
    s.value = detail::evaluate(*objective_, s.x, s.gradient);
    ++s.evaluations;
    bool const finite = std::isfinite(s.value) && s.gradient.allFinite();
    s.gradient_norm =
        finite ? s.gradient.cwiseAbs().maxCoeff() : std::numeric_limits<S>::quiet_NaN();
    s.unchanged = s.value == value && s.gradient_norm == norm ? s.unchanged + 1 : 0;
    return finite;
  }

  Status step(State& s) const {
    if (s.value < s.best_value) {
      s.best = s.x;
      s.best_gradient = s.gradient;
      s.best_value = s.value;
    }
    rule_.step(s.x, s.gradient, s.memory);
    bool const finite = look(s);
    S const floor =
        -std::max(typical_value_, std::abs(s.start_value)) / (unit_roundoff<S> * unit_roundoff<S>);
    if (s.value < floor) {  // back to the last point before the fall, which is finite
      s.x.swap(s.best);
      s.gradient.swap(s.best_gradient);
      s.value = s.best_value;
      s.gradient_norm = s.gradient.cwiseAbs().maxCoeff();
      return Status::unbounded;
    }
    return finite ? Status::running : Status::non_finite;
  }

  F* objective_;
  X x0_;
  R rule_;
  Index max_evaluations_;
  S tolerance_, typical_value_;
};

namespace detail {

template <class R, class F, Variable X>
FirstOrderStepper<R, F, X> first_order_stepper(R const& rule, F& objective, X const& x0,
                                               MinimizeOptions const& options) {
  require_problem(x0, options);
  rule.require_valid("minimize");
  return {objective, x0, rule, options};
}

}  // namespace detail

template <class F, Variable X>
  requires DifferentiableObjective<F, X>
FirstOrderStepper<gradient_descent, F, X> gradient_descent::stepper(
    F& objective, X const& x0, MinimizeOptions const& options) const {
  return detail::first_order_stepper(*this, objective, x0, options);
}

template <class F, Variable X>
  requires DifferentiableObjective<F, X>
FirstOrderStepper<momentum, F, X> momentum::stepper(F& objective, X const& x0,
                                                    MinimizeOptions const& options) const {
  return detail::first_order_stepper(*this, objective, x0, options);
}

template <class F, Variable X>
  requires DifferentiableObjective<F, X>
FirstOrderStepper<adam, F, X> adam::stepper(F& objective, X const& x0,
                                            MinimizeOptions const& options) const {
  return detail::first_order_stepper(*this, objective, x0, options);
}

}  // namespace monge::optim
