// SPDX-License-Identifier: MIT
/// @file
/// Ascent of a positively homogeneous function over the unit sphere that may have kinks: a method
/// for core/iterate.hpp.
///
/// F(theta) has degree p, so that theta' grad F = p F and |tangent gradient| / (p F) is a slope
/// free of units: the tangent of the angle by which the power iteration theta <- grad F / |grad F|
/// would turn. That angle is the first step along the great circle of the search direction; steps
/// that raise F by a fair part of what the slope promises double the next one, others halve it.
///
/// Where F has a kink, as the least of several smooth functions has along its ridges, the gradient
/// does not lead up. The gradient found on the other side of the ridge is then mixed with the
/// direction to their combination of least norm, which points along the ridge or is zero at a
/// maximum.
///
/// Converged means that the next step, by its length and the slope of its direction, would raise F
/// by at most p tolerance F.
///
/// Source: P. Wolfe, A method of conjugate subgradients for minimizing nondifferentiable functions,
/// Mathematical Programming Study 3 (1975) 145-173, with an aggregate of two gradients.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include <monge/core/iterate.hpp>
#include <monge/core/types.hpp>

namespace monge::ot::detail {

/// `slope(theta, gradient) -> F`, gradient in R^d; W is the scalar of both.
template <class W, class Slope>
class SphereAscent {
 public:
  struct State {
    VectorX<W> theta;      // the point
    VectorX<W> gradient;   // of F in R^d there
    VectorX<W> direction;  // tangent, of least norm among what was seen around
    VectorX<W> trial, trial_gradient;
    W value = 0;    // F
    W stretch = 1;  // steps are this many times what the power iteration would turn
    Index evaluations = 0;
    double error = infinity;  // |direction| / (p F)
  };

  SphereAscent(Slope slope, VectorX<W> start, double p, double tolerance)
      : slope_(std::move(slope)), start_(std::move(start)), p_(W(p)), tolerance_(tolerance) {}

  [[nodiscard]] State init() const {
    State s;
    s.theta = s.gradient = s.direction = s.trial = s.trial_gradient = start_ / start_.norm();
    return s;
  }

  [[nodiscard]] Advance advance(State& s, Index k) const {
    if (s.evaluations == 0) {
      s.value = slope_(s.theta, s.gradient);
      s.evaluations = 1;
      s.direction = tangent(s.gradient, s.theta);
      measure(s);
    }
    for (Index steps = 0;; ++steps) {
      if (double(angle(s)) * s.error <= tolerance_) return {Status::converged, steps};
      if (steps == k) return {Status::running, steps};
      step(s);
    }
  }

  [[nodiscard]] double error(State const& s) const { return s.error; }
  [[nodiscard]] Status finish(State&, Status status) const { return status; }

 private:
  static VectorX<W> tangent(VectorX<W> const& v, VectorX<W> const& theta) {
    return v - v.dot(theta) * theta;
  }

  void measure(State& s) const {
    W const scale = p_ * s.value;
    s.error = scale > 0 ? double(s.direction.norm() / scale) : double(s.direction.norm());
    if (!std::isfinite(s.value)) s.error = not_a_number;
  }

  W angle(State const& s) const { return std::min(s.stretch * W(std::atan(s.error)), W(0.8)); }

  void step(State& s) const {
    W const t = angle(s), norm = s.direction.norm();
    s.trial = std::cos(t) * s.theta + (std::sin(t) / norm) * s.direction;
    s.trial /= s.trial.norm();
    W const value = slope_(s.trial, s.trial_gradient);
    ++s.evaluations;
    if (value >= s.value + W(0.1) * t * norm && value > s.value) {
      s.theta.swap(s.trial);
      s.gradient.swap(s.trial_gradient);
      s.value = value;
      s.direction = tangent(s.gradient, s.theta);
      s.stretch = std::min(2 * s.stretch, W(1e6));
    } else {
      // The other gradient, seen from theta, and the shortest vector between both.
      VectorX<W> const other = tangent(s.trial_gradient, s.theta);
      VectorX<W> const way = other - s.direction;
      W const length = way.squaredNorm();
      W const share = length > 0 ? std::clamp(-s.direction.dot(way) / length, W(0), W(1)) : W(0);
      if (t < W(1e-3) && share > 0) {
        W const before = s.direction.norm();
        s.direction += share * way;
        W const now = s.direction.norm();
        s.stretch *= now > 0 ? std::min(before / now, W(4)) / 2 : W(0.5);
      } else {
        s.stretch /= 2;
      }
    }
    measure(s);
  }

  Slope slope_;
  VectorX<W> start_;
  W p_;
  double tolerance_;
};

}  // namespace monge::ot::detail
