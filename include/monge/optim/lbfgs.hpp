// SPDX-License-Identifier: MIT
/// @file
/// Limited-memory BFGS.
///
///     x+ = x - t H g,   t by a strong Wolfe line search,   g the gradient at x
///
/// H, an approximation of the inverse Hessian, is never formed: it is gamma I, with
/// gamma = s'y / y'y of the newest pair, updated by the last m pairs s = x+ - x, y = g+ - g.
/// Values as well as gradients shape it (second deviation below).
///
/// One iteration costs one evaluation (rarely more) and 4 m n multiplications; memory is
/// (2 m + 7) n. The method for smooth functions of 2 to millions of variables. Not for noisy or
/// kinked functions (the line search will say so), nor for bounds; with a Hessian at hand, Newton's
/// method takes fewer steps.
///
/// Source: Liu and Nocedal (1989), in the form of Nocedal and Wright, Numerical Optimization,
/// 2nd ed., Algorithms 7.4 and 7.5. Deviations:
/// - The two loops run on coefficients. H g lies in the span of g, s_i and y_i, so the recursion
///   needs inner products only. S'g and Y'g are one pass over the pairs; S'y and Y'y of the newest
///   pair are their differences between two iterations, as in Byrd, Nocedal and Schnabel (1994),
///   Section 3; the sum of the pairs is the second pass. The loops on vectors make 2 m dependent
///   passes instead.
/// - The curvature along s, s'y in the BFGS formula, is corrected by the values at both ends to
///   t s'y, t = 6 (f - f+ + s'g+) / s'y - 2, the second derivative at x+ of the cubic through them
///   (Biggs 1973); t = 1 on quadratics. With rho = 1 / s'y and V = I - rho y s' the update is
///   H+ = V'H V + rho s s' / t, and gamma = s'y / (t y'y). t is kept in [0.01, 100]. Measured over
///   chained Rosenbrock functions of 2 to 1000 variables: 4 % fewer evaluations.
/// - A pair without positive curvature to working precision, s'y <= u |s| |y|, is skipped.
/// - A search that fails is repeated once along -g before the run ends.
#pragma once

#include <utility>

#include <monge/optim/detail/pair_history.hpp>
#include <monge/optim/line_search.hpp>
#include <monge/optim/minimize.hpp>

namespace monge::optim {

/// All that a run of L-BFGS knows. Copy it to keep a checkpoint; going on from the copy gives the
/// same bits.
template <Variable X>
struct LbfgsState {
  using Scalar = typename X::Scalar;

  X x, gradient;  ///< the current point
  Scalar value = std::numeric_limits<Scalar>::infinity();
  Scalar gradient_norm = std::numeric_limits<Scalar>::infinity();  ///< max_i |g_i|
  Verdict verdict = Verdict::evaluate;  ///< how the step to x was accepted
  Index evaluations = 0;

  X direction, trial, trial_gradient;  ///< the search under way
  X best, best_gradient;               ///< the lowest point that was not accepted,
  Scalar best_value = std::numeric_limits<Scalar>::infinity();  ///< if below `value`
  Scalar best_slope = 0, best_step = 0;
  Scalar slope = 0;                                            ///< gradient' direction
  Scalar decrement = std::numeric_limits<Scalar>::infinity();  ///< last g'Hg
  Scalar start_value = 0;
  Scalar lowest_value = std::numeric_limits<Scalar>::infinity();
  Scalar lowest_gradient_norm = std::numeric_limits<Scalar>::infinity();
  Scalar step_length = 0;  ///< |s| of the last step
  Index stalled = 0;       ///< steps in a row that lowered neither value nor gradient norm
  bool searching = false;
  WolfeSearch<Scalar> search;
  detail::PairHistory<X> history;
};

template <class F, Variable X>
class LbfgsStepper;

/// The hyper-parameters of L-BFGS.
struct lbfgs {
  Index history = 8;                  ///< pairs kept, m; at least 1
  double sufficient_decrease = 1e-4;  ///< c1 of the line search
  double curvature = 0.9;             ///< c2 of the line search; 0 < c1 < c2 < 1
  Index search_evaluations = 30;      ///< evaluations after which a search gives up

  /// The method as a value with init, advance, error and finish; `objective` must outlive it.
  template <class F, Variable X>
    requires DifferentiableObjective<F, X>
  [[nodiscard]] LbfgsStepper<F, X> stepper(F& objective, X const& x0,
                                           MinimizeOptions const& options = {}) const;
};

/// L-BFGS as an IterativeMethod: one native step is one accepted point.
template <class F, Variable X>
class LbfgsStepper {
  using S = typename X::Scalar;

 public:
  using State = LbfgsState<X>;

  LbfgsStepper(F& objective, X const& x0, lbfgs const& parameters, MinimizeOptions const& options)
      : objective_(&objective),
        x0_(x0),
        parameters_(parameters),
        max_evaluations_(options.max_evaluations),
        tolerance_(detail::gradient_tolerance<S>(options)),
        typical_value_(S(options.typical_value)) {}

  /// The start, not yet evaluated.
  [[nodiscard]] State init() const {
    State s;
    s.x = s.gradient = s.direction = s.trial = s.trial_gradient = s.best = s.best_gradient = x0_;
    s.search = WolfeSearch<S>(parameters_.sufficient_decrease, parameters_.curvature,
                              parameters_.search_evaluations);
    s.history = detail::PairHistory<X>(x0_.size(), parameters_.history);
    return s;
  }

  [[nodiscard]] Advance advance(State& s, Index k) const {
    if (s.evaluations == 0 && !evaluate_start(s)) {
      return {Status::non_finite, 0};
    }
    for (Index steps = 0;; ++steps) {
      if (meets_tolerance(s)) return {Status::converged, steps};
      if (s.stalled >= patience) return {Status::precision_limit, steps};
      if (steps == k) return {Status::running, steps};
      if (Status const status = step(s); status != Status::running) return {status, steps};
    }
  }

  /// max_i |g_i| / max(typical_value, |f|), what the tolerance is compared with.
  [[nodiscard]] double error(State const& s) const {
    return static_cast<double>(s.gradient_norm / scale(s));
  }

  [[nodiscard]] Status finish(State&, Status status) const { return status; }

  /// The point that meets the tolerance, else the best of the run, with value and gradient.
  [[nodiscard]] MinimizeResult<X> result(State s) const {
    MinimizeResult<X> r;
    bool const other = s.best_value < s.value && !meets_tolerance(s);
    r.x = std::move(other ? s.best : s.x);
    r.gradient = std::move(other ? s.best_gradient : s.gradient);
    r.value = other ? s.best_value : s.value;
    r.gradient_norm = detail::entries(r.gradient).cwiseAbs().maxCoeff();
    r.evaluations = s.evaluations;
    return r;
  }

 private:
  static constexpr Index patience = 10;  // steps without progress before rounding is to blame
  static constexpr S rounding = 4 * unit_roundoff<S>;  // relative error of a value

  S scale(State const& s) const { return std::max(typical_value_, std::abs(s.value)); }

  bool meets_tolerance(State const& s) const { return s.gradient_norm <= tolerance_ * scale(s); }

  bool evaluate_start(State& s) const {
    s.value = detail::evaluate(*objective_, s.x, s.gradient);
    s.evaluations = 1;
    s.start_value = s.lowest_value = s.value;
    s.gradient_norm = detail::entries(s.gradient).cwiseAbs().maxCoeff();
    s.lowest_gradient_norm = s.gradient_norm;
    bool const finite = std::isfinite(s.value) && s.gradient.allFinite();
    if (!finite) s.gradient_norm = std::numeric_limits<S>::quiet_NaN();
    return finite;
  }

  /// One accepted point, or the reason why there is none.
  Status step(State& s) const {
    S const floor =
        -std::max(typical_value_, std::abs(s.start_value)) / (unit_roundoff<S> * unit_roundoff<S>);
    for (;;) {
      if (!s.searching) begin_search(s);
      if (s.evaluations >= max_evaluations_) return Status::evaluation_limit;
      S const step = s.search.step();
      detail::entries(s.trial) = detail::entries(s.x) + step * detail::entries(s.direction);
      S const value = detail::evaluate(*objective_, s.trial, s.trial_gradient);
      ++s.evaluations;
      S const slope = detail::entries(s.trial_gradient).dot(detail::entries(s.direction));
      s.verdict = s.search.observe(value, slope);
      if (s.verdict == Verdict::strong_wolfe || s.verdict == Verdict::within_rounding) {
        accept(s, value, slope, step);
        return Status::running;
      }
      keep_if_best(s, value, slope, step);
      if (value < floor) return Status::unbounded;
      if (s.verdict == Verdict::exhausted) {
        s.searching = false;
        if (s.best_value < s.value) {  // some decrease is better than none
          s.trial.swap(s.best);
          s.trial_gradient.swap(s.best_gradient);
          accept(s, s.best_value, s.best_slope, s.best_step);
          return Status::running;
        }
        if (s.history.size() == 0) return why_failed(s);
        s.history.clear();
      }
    }
  }

  /// Direction, slope and first step. Falls back to -g if rounding spoilt the descent.
  void begin_search(State& s) const {
    S first = 1;
    if (s.history.size() > 0) {
      s.history.direction(s.gradient, s.direction);
      s.slope = detail::entries(s.gradient).dot(detail::entries(s.direction));
      s.decrement = -s.slope;
      if (!(s.slope < 0)) s.history.clear();
    }
    if (s.history.size() == 0) {
      s.direction = -s.gradient;
      s.slope = -s.gradient.squaredNorm();
      first = (s.step_length > 0 ? s.step_length : S(1)) / std::sqrt(-s.slope);
    }
    S const noise = std::max(s.lowest_value - s.value + rounding * std::abs(s.value), S(0));
    s.search.begin(s.value, s.slope, first, noise);
    s.searching = true;
  }

  /// Moves to the trial point with its value and slope along the direction.
  void accept(State& s, S value, S slope, S step) const {
    S const noise = rounding * (std::abs(s.value) + std::abs(value));
    s.history.push(s.x, s.trial, s.gradient, s.trial_gradient, s.value - value, step * slope,
                   noise);
    s.step_length = step * s.direction.norm();
    s.x.swap(s.trial);
    s.gradient.swap(s.trial_gradient);
    s.value = value;
    s.gradient_norm = detail::entries(s.gradient).cwiseAbs().maxCoeff();
    bool const progress = value < s.lowest_value || s.gradient_norm < s.lowest_gradient_norm;
    s.stalled = progress ? 0 : s.stalled + 1;
    s.lowest_value = std::min(s.lowest_value, value);
    s.lowest_gradient_norm = std::min(s.lowest_gradient_norm, s.gradient_norm);
    if (!(s.best_value < value)) s.best_value = std::numeric_limits<S>::infinity();
    s.searching = false;
  }

  void keep_if_best(State& s, S value, S slope, S step) const {
    if (std::isfinite(value) && std::isfinite(slope) && value < std::min(s.value, s.best_value)) {
      s.best.swap(s.trial);
      s.best_gradient.swap(s.trial_gradient);
      s.best_value = value;
      s.best_slope = slope;
      s.best_step = step;
    }
  }

  /// No step along -g: NaN around x, values that no longer change, or a gradient that lies.
  Status why_failed(State const& s) const {
    if (s.search.saw_non_finite()) return Status::non_finite;
    S const size = std::max({std::abs(s.value), std::abs(s.start_value), typical_value_});
    return s.decrement <= 1000 * rounding * size ? Status::precision_limit
                                                 : Status::line_search_failed;
  }

  F* objective_;
  X x0_;
  lbfgs parameters_;
  Index max_evaluations_;
  S tolerance_, typical_value_;
};

template <class F, Variable X>
  requires DifferentiableObjective<F, X>
LbfgsStepper<F, X> lbfgs::stepper(F& objective, X const& x0, MinimizeOptions const& options) const {
  using monge::detail::require;
  detail::require_problem(x0, options);
  require(history >= 1, "lbfgs: history is ", history, "; at least one pair must be kept");
  require(history <= detail::PairHistory<X>::longest, "lbfgs: history is ", history,
          " but fixed-size variables keep at most ", detail::PairHistory<X>::longest,
          " pairs; use a dynamic vector for more");
  require(sufficient_decrease > 0 && sufficient_decrease < curvature && curvature < 1,
          "lbfgs: sufficient_decrease is ", sufficient_decrease, " and curvature is ", curvature,
          "; 0 < sufficient_decrease < curvature < 1 is needed for a step to exist");
  require(search_evaluations >= 1, "lbfgs: search_evaluations is ", search_evaluations,
          "; it must be at least 1");
  return {objective, x0, *this, options};
}

}  // namespace monge::optim
