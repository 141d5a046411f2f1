// SPDX-License-Identifier: MIT
/// @file
/// From slices to an estimate: control variates, standard errors and the derivatives of both, all
/// in numbers of the size of the set of directions. Notation as in sliced_control.hpp.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <optional>

#include <monge/core/types.hpp>
#include <monge/ot/directions.hpp>
#include <monge/ot/sliced_control.hpp>

namespace monge::ot::detail {

/// The mean of (s1 - s2)^2 over the sphere and its derivatives.
struct GaussianSliceMean {
  double mean = 0;
  double standard_error = 0;         // of the mean, 0 if it is exact
  MatrixX<double> slope_x, slope_y;  // d mean / d S1 and d S2, d x d; empty if nobody asks
};

/// What the estimate is made of: clouds of mass 1.
struct Slices {
  bool squared = true;         // p = 2: `w` is of centred clouds, and the means' share is apart
  VectorX<double> w;           // L
  VectorX<double> offset;      // theta . D
  VectorX<double> difference;  // D
  Eigen::Array<double, Eigen::Dynamic, 1> s1, s2;  // empty if nobody asks
  double trace = 0;                                // tr S1 + tr S2, for upper_bound

  [[nodiscard]] double means_share() const {  // E (theta . D)^2
    return difference.squaredNorm() / double(difference.size());
  }
  /// W_p^p of the slices.
  [[nodiscard]] VectorX<double> whole() const {
    if (!squared) return w;
    return w + offset.cwiseAbs2();
  }
};

[[nodiscard]] inline bool is_fitted(SlicedControl control) {
  return control == SlicedControl::lower_bound || control == SlicedControl::upper_bound;
}

/// c - E c of the fitted controls.
inline VectorX<double> deviations(Slices const& slices, SlicedControl control) {
  VectorX<double> c = slices.offset.cwiseAbs2();
  double mean = slices.means_share();
  if (control == SlicedControl::upper_bound) {
    c.array() += slices.s1.square() + slices.s2.square();
    mean += slices.trace / double(slices.difference.size());
  }
  return (c.array() - mean).matrix();
}

/// d Z / d w_l of a fitted control, for alpha is a function of the slices too.
inline VectorX<double> fitted_weights(VectorX<double> const& omega, VectorX<double> const& c) {
  double const mean = omega.dot(c), squares = omega.dot(c.cwiseAbs2()) + 1e-24;
  return (omega.array() * (1 - mean * (c.array() - mean) / squares)).matrix();
}

/// What is averaged with a fixed control.
inline VectorX<double> remaining(Slices const& slices, SlicedControl control) {
  if (control == SlicedControl::none) return slices.whole();
  if (control == SlicedControl::centring) return slices.w;
  return (slices.w.array() - (slices.s1 - slices.s2).square()).matrix();
}

/// The standard error of weights . r from independent blocks, after `fitted` parameters besides the
/// mean; nothing if it cannot be told.
inline std::optional<double> standard_error(Directions const& set, HarmonicFit const& fit,
                                            VectorX<double> const& r, Index fitted) {
  Index const L = set.count(), blocks = set.blocks();
  // The mean is one of the functions of a fit, and the block means have one freedom less.
  Index const spent = fitted + (fit.functions() > 0 ? fit.functions() : 1);
  if (blocks < 2 || L <= spent || blocks <= fitted + 1) return {};
  VectorX<double> const rest = fit.residual(r);
  double sum = 0;
  for (Index first = 0; first < L; first += set.block) {
    Index const width = std::min(set.block, L - first);
    double const part = fit.weights.segment(first, width).dot(rest.segment(first, width));
    sum += part * part;
  }
  double const by_blocks = double(blocks) / double(blocks - 1 - fitted);
  double const by_functions = double(L) / double(L - spent);
  return std::sqrt(sum * std::max(by_blocks, by_functions));
}

/// An estimate of the mean of w and its derivatives: with respect to w_l (`weights`), the means
/// (`shift`, with respect to m1; the opposite for m2) and, halved, the covariances.
struct SlicedEstimate {
  double power = 0;
  std::optional<double> standard_error;
  double coefficient = 0;          // alpha
  double control_mean = 0;         // E c
  VectorX<double> shift;           // d
  MatrixX<double> turn_x, turn_y;  // d x d; empty: 0
};

/// sum_l factors_l theta_l theta_l'.
inline void add_outer_products(MatrixX<double> const& theta, VectorX<double> const& factors,
                               MatrixX<double>& sum) {
  Index const d = theta.rows();
  if (sum.size() == 0) sum.setZero(d, d);
  for (Index l = 0; l < theta.cols(); ++l) {
    for (Index j = 0; j < d; ++j) {
      double const factor = factors(l) * theta(j, l);
      for (Index i = 0; i < d; ++i) sum(i, j) += factor * theta(i, l);
    }
  }
}

/// The estimate with a fixed control; `gaussian` is read for that control only.
inline SlicedEstimate fixed_estimate(Slices const& slices, Directions const& set,
                                     HarmonicFit const& fit, SlicedControl control,
                                     GaussianSliceMean const& gaussian, bool derivatives) {
  Index const d = set.dimension();
  SlicedEstimate z;
  VectorX<double> const r = remaining(slices, control);
  bool const centred = control != SlicedControl::none,
             fitted_s = control == SlicedControl::gaussian;
  z.coefficient = centred ? 1 : 0;
  if (centred) z.control_mean = slices.means_share() + (fitted_s ? gaussian.mean : 0);
  z.power = z.control_mean + fit.weights.dot(r);
  z.standard_error = standard_error(set, fit, r, 0);
  if (fitted_s && z.standard_error) {
    z.standard_error = std::hypot(*z.standard_error, gaussian.standard_error);
  }
  if (!derivatives) return z;
  z.shift.setZero(d);
  if (centred) {
    z.shift = slices.difference * (2 / double(d));
  } else if (slices.squared) {
    for (Index l = 0; l < set.count(); ++l) {
      z.shift += (2 * fit.weights(l) * slices.offset(l)) * set.theta.col(l);
    }
  }
  if (!fitted_s) return z;
  VectorX<double> factors_x(set.count()), factors_y(set.count());
  for (Index l = 0; l < set.count(); ++l) {  // of (s1 - s2)^2 in s1^2 and s2^2
    double const s1 = slices.s1(l), s2 = slices.s2(l);
    factors_x(l) = s1 > 0 ? -2 * fit.weights(l) * (s1 - s2) / s1 : 0;
    factors_y(l) = s2 > 0 ? -2 * fit.weights(l) * (s2 - s1) / s2 : 0;
  }
  z.turn_x = 2 * gaussian.slope_x;
  z.turn_y = 2 * gaussian.slope_y;
  add_outer_products(set.theta, factors_x, z.turn_x);
  add_outer_products(set.theta, factors_y, z.turn_y);
  return z;
}

/// The estimate with a fitted control.
inline SlicedEstimate fitted_estimate(Slices const& slices, Directions const& set,
                                      HarmonicFit const& fit, SlicedControl control,
                                      bool derivatives) {
  Index const d = set.dimension();
  VectorX<double> const& omega = fit.weights;
  VectorX<double> const w = slices.whole(), c = deviations(slices, control);
  double const A = omega.dot(w), mean = omega.dot(c);
  double const squares = omega.dot(c.cwiseAbs2()) + 1e-24;
  SlicedEstimate z;
  z.coefficient = (omega.array() * (w.array() - A) * c.array()).sum() / squares;
  z.control_mean = slices.means_share();
  if (control == SlicedControl::upper_bound) z.control_mean += slices.trace / double(d);
  z.power = A - z.coefficient * mean;
  z.standard_error = standard_error(set, fit, w - z.coefficient * c, 1);
  if (!derivatives) return z;
  // dZ / dc_l = -alpha omega_l - mean d alpha / d c_l.
  VectorX<double> const factors =
      (omega.array() *
       (-z.coefficient - mean * (w.array() - A - 2 * z.coefficient * c.array()) / squares))
          .matrix();
  double const total = factors.sum();
  z.shift = slices.difference * (-2 * total / double(d));
  VectorX<double> of_offset = factors;
  if (slices.squared) of_offset += fitted_weights(omega, c);
  for (Index l = 0; l < set.count(); ++l) {
    z.shift += (2 * of_offset(l) * slices.offset(l)) * set.theta.col(l);
  }
  if (control == SlicedControl::lower_bound) return z;
  add_outer_products(set.theta, 2 * factors, z.turn_x);
  for (Index i = 0; i < d; ++i) z.turn_x(i, i) -= 2 * total / double(d);
  z.turn_y = z.turn_x;
  return z;
}

/// The fixed control with the smallest error. Of eight or more independent blocks it is that with
/// the smallest standard error, else that with the least spread of directions. A control is
/// preferred to a simpler one only if its variance is smaller by more than chance, at about one in
/// forty: a choice that follows the luck of few directions is worse than no choice. Fewer than five
/// cannot choose.
inline SlicedControl best_control(Slices const& slices, Directions const& set,
                                  HarmonicFit const& fit, double cost_of_gaussian) {
  if (set.dimension() == 1 || set.count() < 10) return SlicedControl::none;
  bool const by_blocks = set.blocks() >= 8;
  auto const variance = [&](SlicedControl control) {
    VectorX<double> const r = remaining(slices, control);
    if (by_blocks) {
      if (auto const error = standard_error(set, fit, r, 0)) return *error * *error;
    }
    return fit.residual(r).squaredNorm();
  };
  double const freedom = double((by_blocks ? set.blocks() : set.count()) - 1);
  double const doubt = std::exp(3.7 / std::sqrt(freedom));  // near the quantile of F at 0.95
  double const plain = variance(SlicedControl::none), centred = variance(SlicedControl::centring);
  bool const centre = doubt * centred < plain;
  return doubt * cost_of_gaussian * variance(SlicedControl::gaussian) < (centre ? centred : plain)
             ? SlicedControl::gaussian
             : (centre ? SlicedControl::centring : SlicedControl::none);
}

}  // namespace monge::ot::detail
