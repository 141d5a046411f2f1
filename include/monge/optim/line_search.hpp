// SPDX-License-Identifier: MIT
/// @file
/// A line search for the strong Wolfe conditions, as a machine on scalars.
///
/// Along a descent direction d from x let phi(t) = f(x + t d), phi'(t) = g(x + t d)'d. A step t is
/// accepted if
///
///     phi(t) <= phi(0) + c1 t phi'(0)      sufficient decrease
///     |phi'(t)| <= c2 |phi'(0)|            curvature
///
/// The machine asks for one (phi, phi') at a time, so that it holds no vectors and no callback:
///
///     search.begin(phi0, slope0, first_step, noise);
///     do { evaluate at search.step(); } while (search.observe(phi, slope) == Verdict::evaluate);
///
/// It keeps an interval between `low`, the best step so far with sufficient decrease, and `high`,
/// with acceptable steps between them (Nocedal and Wright, Numerical Optimization, 2nd ed.,
/// Algorithms 3.5 and 3.6, in one loop), and takes the minimiser of a cubic or a parabola through
/// the ends, chosen as in More and Thuente (1994), Section 4.
///
/// Three deviations. Where phi is NaN or infinite the interval ends there and the step shrinks.
/// Where phi cannot tell points apart, |phi(t) - phi(0)| <= noise, the slopes alone decide, as in
/// the approximate Wolfe conditions of Hager and Zhang (2005), eq. (4.1); without this a search
/// within rounding of the minimum fails although the gradient still improves. And while phi falls
/// along a ray the step grows ever faster, so that a function without a lower bound is recognised
/// in a dozen evaluations.
#pragma once

#include <algorithm>
#include <cmath>

#include <monge/core/types.hpp>

namespace monge::optim {

/// What a line search says about the point that it was shown.
enum class Verdict : unsigned char {
  evaluate,         ///< not yet: evaluate at the new `step()`
  strong_wolfe,     ///< accepted: both conditions hold
  within_rounding,  ///< accepted: the curvature condition holds, the value is equal to rounding
  exhausted,        ///< no acceptable step within the evaluations allowed or the interval left
};

/// Strong Wolfe line search over scalars S. Deterministic, copyable, O(1) per call.
template <RealScalar S>
class WolfeSearch {
 public:
  /// The value and the slope at a step.
  struct Point {
    S step = 0, value = 0, slope = 0;
  };

  WolfeSearch() = default;
  WolfeSearch(double sufficient_decrease, double curvature, Index max_evaluations)
      : c1_(S(sufficient_decrease)), c2_(S(curvature)), allowed_(max_evaluations) {}

  /// Starts along a new direction. `value` and `slope` < 0 belong to step 0; values that differ
  /// from `value` by at most `noise` count as equal to it.
  void begin(S value, S slope, S first_step, S noise) {
    origin_ = low_ = {0, value, slope};
    high_ = {infinite(), value, slope};
    step_ = first_step;
    noise_ = noise;
    width_ = older_width_ = infinite();
    evaluations_ = 0;
    growth_ = 4;
    bracketed_ = high_known_ = saw_non_finite_ = false;
  }

  /// The step to evaluate next, or the one accepted.
  [[nodiscard]] S step() const { return step_; }
  /// True if a value or slope since `begin` was NaN or infinite.
  [[nodiscard]] bool saw_non_finite() const { return saw_non_finite_; }
  /// Evaluations since `begin`.
  [[nodiscard]] Index evaluations() const { return evaluations_; }

  /// Takes phi and phi' at `step()`. On `evaluate` there is a new `step()`.
  [[nodiscard]] Verdict observe(S value, S slope) {
    ++evaluations_;
    Point const here{step_, value, slope};
    if (!std::isfinite(value) || !std::isfinite(slope)) {
      saw_non_finite_ = bracketed_ = true;
      high_ = here;
      high_known_ = false;
      return propose(low_.step + (here.step - low_.step) * S(0.25));
    }
    bool const flat = std::abs(value - origin_.value) <= noise_;
    bool const decreases = value <= origin_.value + c1_ * here.step * origin_.slope;
    if ((decreases || flat) && std::abs(slope) <= -c2_ * origin_.slope) {
      return decreases ? Verdict::strong_wolfe : Verdict::within_rounding;
    }
    S const trial = (decreases && value <= low_.value) || flat ? improve(here) : cut(here);
    return propose(trial);
  }

 private:
  static S infinite() { return std::numeric_limits<S>::infinity(); }

  /// The step overshot: it is too high, and ends the interval. Returns the next trial.
  S cut(Point const& here) {
    S const parabola = value_parabola(low_, here), cubic = cubic_minimiser(low_, here);
    high_ = here;
    bracketed_ = high_known_ = true;
    return std::abs(cubic - low_.step) < std::abs(parabola - low_.step)
               ? cubic
               : S(0.5) * (cubic + parabola);
  }

  /// The step is the best so far and becomes `low`. Returns the next trial.
  S improve(Point const& here) {
    Point const before = low_;
    low_ = here;
    bool const turned = here.slope * (here.step - before.step) > 0;
    if (turned) {  // a minimum lies between the two
      high_ = before;
      bracketed_ = high_known_ = true;
      S const secant = slope_secant(before, here), cubic = cubic_minimiser(before, here);
      if (std::abs(before.value - here.value) <= noise_) return secant;
      return std::abs(cubic - here.step) >= std::abs(secant - here.step) ? cubic : secant;
    }
    if (bracketed_) {  // still falling towards high
      return high_known_ ? cubic_minimiser(low_, high_) : S(0.5) * (low_.step + high_.step);
    }
    S const smallest = here.step + S(1.1) * (here.step - before.step);
    S const largest = here.step + growth_ * (here.step - before.step);
    S const ahead = extrapolate(before, here);
    if (ahead > largest) growth_ = std::min(growth_ * growth_, S(1e8));
    return std::min(std::max(ahead, smallest), largest);
  }

  /// Where the cubic through both points ahead of `here` has its minimum; infinite if nowhere.
  static S extrapolate(Point const& before, Point const& here) {
    S const cubic = cubic_minimiser(before, here);
    if (cubic > here.step) {
      return cubic;
    }
    S const secant = slope_secant(before, here);
    return secant > here.step ? secant : infinite();
  }

  /// Safeguards the trial: inside the interval, which must shrink by a third in two rounds.
  Verdict propose(S trial) {
    if (bracketed_) {
      S const length = std::abs(high_.step - low_.step);
      S const inner = S(0.01) * (high_.step - low_.step);
      S const near = low_.step + inner, far = high_.step - inner;
      bool const inside = std::isfinite(trial);
      if (!inside || length > S(0.66) * older_width_) {
        trial = low_.step + S(0.5) * (high_.step - low_.step);
      } else {
        trial = std::min(std::max(trial, std::min(near, far)), std::max(near, far));
      }
      older_width_ = width_;
      width_ = length;
      S const resolution = unit_roundoff<S> * std::max(low_.step, high_.step);
      if (length <= resolution) {
        return Verdict::exhausted;
      }
    }
    if (evaluations_ >= allowed_ || !std::isfinite(trial) || !(trial > 0)) {
      return Verdict::exhausted;
    }
    step_ = trial;
    return Verdict::evaluate;
  }

  /// The minimiser of the parabola with a's value and slope and b's value.
  static S value_parabola(Point const& a, Point const& b) {
    S const length = b.step - a.step;
    return a.step + S(0.5) * a.slope * length * length / (a.value - b.value + a.slope * length);
  }

  /// Where the line through both slopes crosses zero.
  static S slope_secant(Point const& a, Point const& b) {
    return a.step - a.slope * (b.step - a.step) / (b.slope - a.slope);
  }

  /// The local minimiser of the cubic with the values and slopes of a and b (Nocedal and Wright,
  /// eq. (3.59)); NaN if it has none.
  static S cubic_minimiser(Point const& a, Point const& b) {
    S const length = b.step - a.step;
    S const theta = a.slope + b.slope - 3 * (b.value - a.value) / length;
    S const scale = std::max({std::abs(theta), std::abs(a.slope), std::abs(b.slope)});
    S const inner = (theta / scale) * (theta / scale) - (a.slope / scale) * (b.slope / scale);
    S const root = std::copysign(scale * std::sqrt(inner), length);
    return b.step - length * (b.slope + root - theta) / (b.slope - a.slope + 2 * root);
  }

  S c1_ = S(1e-4), c2_ = S(0.9);
  Index allowed_ = 20, evaluations_ = 0;
  Point origin_, low_, high_;
  S step_ = 0, noise_ = 0, width_ = 0, older_width_ = 0, growth_ = 4;
  bool bracketed_ = false;   ///< high_.step is an end of the interval
  bool high_known_ = false;  ///< high_ has a finite value and slope
  bool saw_non_finite_ = false;
};

}  // namespace monge::optim
