// SPDX-License-Identifier: MIT
/// @file
/// Clouds on the unit sphere, their projections to great circles and back, and the linear distance
/// on a circle: the kernels behind spherical_sliced_wasserstein.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <numbers>
#include <string_view>

#include <monge/core/require.hpp>
#include <monge/ot/wasserstein_circle.hpp>

namespace monge::ot::detail {

/// Points on the sphere and where they fall on a circle.
template <RealScalar S>
struct SphereCloud {
  MatrixX<S> points;   // d x n
  VectorX<S> weights;  // empty: all equal

  [[nodiscard]] Index size() const { return points.cols(); }

  /// Angles (n) in turns, and both coordinates in the plane (n x 2).
  void project(MatrixX<S> const& plane, MatrixX<S>& coordinates, VectorX<S>& turns) const {
    coordinates.noalias() = points.transpose() * plane;
    turns.resize(size());
    constexpr S turn = S(1) / (2 * std::numbers::pi_v<S>);
    for (Index k = 0; k < size(); ++k) {
      turns(k) = turn * std::atan2(coordinates(k, 1), coordinates(k, 0));
    }
  }

  /// gradient += d (weight power) / d points, for slopes (n) with respect to the angles; a point
  /// that falls into the centre has none.
  void pull_back(MatrixX<S> const& plane, MatrixX<S>& coordinates, VectorX<S> const& slopes,
                 double weight, MatrixX<S>& gradient) const {
    constexpr S turn = S(1) / (2 * std::numbers::pi_v<S>);
    for (Index k = 0; k < size(); ++k) {
      S const x = coordinates(k, 0), y = coordinates(k, 1), square = x * x + y * y;
      S const factor = square > 0 ? S(weight) * turn * slopes(k) / square : S(0);
      coordinates(k, 0) = -factor * y;
      coordinates(k, 1) = factor * x;
    }
    gradient.noalias() += plane * coordinates.transpose();
  }
};

template <RealScalar S>
void require_on_sphere(std::string_view function, std::string_view name,
                       SphereCloud<S> const& cloud) {
  require(cloud.size() > 0, function, ": ", name, " has no points; it needs at least one");
  for (Index k = 0; k < cloud.size(); ++k) {
    double const norm = double(cloud.points.col(k).norm());
    require(std::abs(norm - 1) <= 1e-4, function, ": column ", k, " of ", name, " has norm ", norm,
            "; points must lie on the unit sphere, divide them by their norms");
  }
}

/// sum over the coupling in order on the circle whose shift is the difference of the means, of
/// squared distances on the circle. Masses are those of `wasserstein_circle`.
template <RealScalar S>
wide_t<S> linear_circular_power(VectorX<S> x, VectorX<S> y, VectorX<S> const& a,
                                VectorX<S> const& b) {
  using W = wide_t<S>;
  wrap(x, S(1));
  wrap(y, S(1));
  SortScratch<S> scratch;
  SortedSample<S> u = sorted_sample(x, true, false, scratch),
                  v = sorted_sample(y, true, false, scratch);
  Index const n = u.size(), m = v.size();
  W mass = 1;
  double unit = 1 / (double(n) * double(m));
  if (a.size() == 0) {
    // The shift is no multiple of 1 / (n m), so masses are counted in smaller units.
    int const finer = 60 - std::ilogb(double(n) * double(m));
    u.masses.assign(std::size_t(n), Mass(m) << finer);
    v.masses.assign(std::size_t(m), Mass(n) << finer);
    unit = std::ldexp(unit, -finer);
  } else {
    mass = a.template cast<W>().sum();
    unit = set_masses(u, v, a, b, mass);
    drop_empty(u);
    drop_empty(v);
  }
  Mass total = 0;
  W mean = 0;  // of x minus that of y, times the mass
  for (Index k = 0; k < u.size(); ++k) {
    total += u.masses[std::size_t(k)];
    mean += W(u.points(k)) * W(u.masses[std::size_t(k)]) * W(unit);
  }
  for (Index k = 0; k < v.size(); ++k) {
    mean -= W(v.points(k)) * W(v.masses[std::size_t(k)]) * W(unit);
  }
  Mass const shift = Mass(std::llrint(mean / W(unit)));
  CircleScratch<S> circle;
  S const* const lifted = circle.lift(v.points.data(), v.size(), S(1));
  W power = 0;
  for_each_circle_cell(u.size(), SortedMasses{u.masses.data()}, v.size(),
                       SortedMasses{v.masses.data()}, total, shift,
                       [&](Index i, Index j, Mass part, Mass, bool, bool) {
                         W gap = W(u.points(i)) - W(lifted[j]);
                         gap -= std::floor(gap + W(0.5));  // on the circle
                         power += W(part) * gap * gap;
                       });
  return power * W(unit);
}

}  // namespace monge::ot::detail
