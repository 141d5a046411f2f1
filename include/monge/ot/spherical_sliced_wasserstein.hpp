// SPDX-License-Identifier: MIT
/// @file
/// Sliced Wasserstein distances between clouds on the sphere S^{d-1}, over random great circles:
///
///     SSW_p^p = mean over planes U of W_p^p(P^U X, P^U Y),     P^U x = U'x / |U'x|,
///
/// where U is d x 2 with orthonormal columns, so that P^U x is the point of a circle nearest to x,
/// and W_p is transport on that circle. The circle has circumference 1, so distances are in turns:
/// times 2 pi they are angles.
///
///     spherical_sliced_wasserstein             any p >= 1, between two clouds
///     spherical_sliced_wasserstein_to_uniform  p = 2, to the uniform law of the sphere, which
///     every
///                                              P^U maps to that of the circle: closed form
///     linear_spherical_sliced_wasserstein      p = 2, between the embeddings of linear circular
///                                              transport; no search on the circle
///
/// Method: wasserstein_circle on the angles; the linear distance couples both samples on the circle
/// in order with the shift that the difference of their means tells, and integrates exactly along
/// that walk.
///
/// On S^2 (d = 3) planes are given by their normals, so every rule of directions.hpp serves; the
/// sphere S^1 (d = 2) has only one plane.
///
/// Cost: per circle O((n + m) d) and the search on the circle, some ten walks over both samples for
/// p = 2; none for the other two.
///
/// Sources: C. Bonet, P. Berg, N. Courty, F. Septier, L. Drumetz, M.-T. Pham, Spherical
/// sliced-Wasserstein, ICLR 2023; X. Liu et al., Linear spherical sliced optimal transport, ICLR
/// 2025, on R. D. Martin et al., LCOT: Linear circular optimal transport, ICLR 2024. Deviation: the
/// integral over the circle in the linear distance is exact, not a mean over a grid.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/random.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/detail/sphere_cloud.hpp>
#include <monge/ot/directions.hpp>
#include <monge/ot/wasserstein_circle.hpp>

namespace monge::ot {

/// Options of the sliced distances on the sphere.
struct SphericalSlicedOptions {
  double p = 2;            ///< exponent; finite, at least 1; the other two distances need 2
  Index projections = 50;  ///< great circles; at least 1
  /// How the normals of their planes are made on S^2; in other dimensions monte_carlo only.
  DirectionRule directions = DirectionRule::monte_carlo;
  bool gradients = false;  ///< derivatives too; not of the linear distance
  Parallel parallel = {};  ///< threads; the result does not depend on it
};

/// Planes through the origin of R^d: columns 2 l and 2 l + 1 are an orthonormal basis of plane l.
struct GreatCircles {
  MatrixX<double> basis;    ///< d x 2L
  VectorX<double> weights;  ///< L: positive, of sum 1; empty: all equal
  bool independent = true;  ///< a standard error means something

  [[nodiscard]] Index dimension() const { return basis.rows(); }
  [[nodiscard]] Index count() const { return basis.cols() / 2; }
  [[nodiscard]] double weight(Index l) const {
    return weights.size() > 0 ? weights(l) : 1 / double(count());
  }
};

/// The answer of the sliced distances on the sphere.
template <RealScalar S>
struct SphericalSlicedResult {
  wide_t<S> value = 0;                   ///< power^(1/p), in turns
  wide_t<S> power = 0;                   ///< mean of W_p^p over the circles
  std::optional<double> standard_error;  ///< of `power`; absent for one circle and rules
  MatrixX<S> gradient_x, gradient_y;  ///< derivatives of `power`, d x n and d x m, tangent to the
                                      ///< sphere; empty if not asked for
  VectorX<double> slices;             ///< L: W_p^p on each circle
  GreatCircles circles;               ///< the circles that were used
  Status status = Status::not_run;
  double seconds = 0;  ///< wall time

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(value, power, gradient_x, gradient_y); }
};

namespace detail {

/// An orthonormal basis of the plane across a unit vector of R^3.
inline Eigen::Matrix<double, 3, 2> across(Eigen::Vector3d const& normal) {
  Eigen::Matrix<double, 3, 2> basis;
  Index k = 0;
  normal.cwiseAbs().minCoeff(&k);
  Index const i = (k + 1) % 3, j = (k + 2) % 3;
  double const length = std::hypot(normal(i), normal(j));
  basis.col(0)(k) = 0;
  basis.col(0)(i) = normal(j) / length;
  basis.col(0)(j) = -normal(i) / length;
  for (Index c = 0; c < 3; ++c) {  // the cross product of the normal and the first
    Index const p = (c + 1) % 3, q = (c + 2) % 3;
    basis(c, 1) = normal(p) * basis(q, 0) - normal(q) * basis(p, 0);
  }
  return basis;
}

}  // namespace detail

/// `count` random planes in R^d: their normals by a rule for d = 3; for other d monte_carlo, two
/// orthonormalised normal deviates. A function of the key.
[[nodiscard]] inline GreatCircles great_circles(Index d, Index count, RandomKey key,
                                                DirectionRule rule = DirectionRule::monte_carlo) {
  using monge::detail::require;
  require(d >= 2, "great_circles: d is ", d, "; a sphere with circles needs at least 2");
  require(count >= 1, "great_circles: count is ", count, "; it must be at least 1");
  GreatCircles set;
  if (d == 2) {
    set.basis.setIdentity(2, 2);
    set.independent = false;
    return set;
  }
  if (d == 3) {
    Directions const normals = directions(rule, 3, count, key);
    set.basis.resize(3, 2 * normals.count());
    set.weights = normals.weights;
    set.independent = normals.block == 1;
    for (Index l = 0; l < normals.count(); ++l) {
      auto const basis = detail::across(normals.theta.col(l));
      set.basis.col(2 * l) = basis.col(0);
      set.basis.col(2 * l + 1) = basis.col(1);
    }
    return set;
  }
  require(rule == DirectionRule::monte_carlo, "great_circles: d is ", d,
          " but planes are made by rules only for d = 3; take monte_carlo");
  set.basis.resize(d, 2 * count);
  random::fill_normal(set.basis, key);
  for (Index l = 0; l < count; ++l) detail::orthonormalise(set.basis.middleCols(2 * l, 2));
  return set;
}

namespace detail {

enum class SphereDistance : unsigned char { circle, linear, to_uniform };

template <RealScalar S>
class SphereSlicer {
 public:
  SphereSlicer(std::string_view function, SphereDistance distance, SphereCloud<S> x,
               SphereCloud<S> y, SphericalSlicedOptions const& options)
      : distance_(distance), x_(std::move(x)), y_(std::move(y)), options_(options) {
    require(options.p >= 1 && options.p < infinity, function, ": p is ", options.p,
            "; it must be finite and at least 1");
    require(distance == SphereDistance::circle || options.p == 2, function, ": p is ", options.p,
            "; this distance exists for p = 2 only");
    require(distance != SphereDistance::linear || !options.gradients, function,
            ": gradients are not available; take spherical_sliced_wasserstein");
    require_on_sphere(function, "X", x_);
    if (distance == SphereDistance::to_uniform) {
      require(x_.weights.size() == 0 || x_.weights.size() == x_.size(), function, ": X has ",
              x_.size(), " points but a has ", x_.weights.size(),
              " entries; a needs one entry per point");
      return;
    }
    require(x_.points.rows() == y_.points.rows(), function, ": X is ", shape(x_.points),
            " and Y is ", shape(y_.points),
            "; points are columns, so both need the same number of rows");
    require_on_sphere(function, "Y", y_);
    if (x_.weights.size() + y_.weights.size() == 0) return;
    check_weight_counts(function, x_.size(), x_.weights.size(), y_.size(), y_.weights.size());
    balance<S>(function, Shape{x_.size(), y_.size()}, x_.weights, y_.weights);
  }

  [[nodiscard]] Index dimension() const { return x_.points.rows(); }

  [[nodiscard]] SphericalSlicedResult<S> run(GreatCircles circles) const {
    Deadline const clock(infinity);
    SphericalSlicedResult<S> r;
    r.circles = std::move(circles);
    Index const L = r.circles.count(), d = dimension();
    r.slices.resize(L);
    // Derivatives are added by chunks of circles, so that they do not depend on the threads.
    monge::detail::Chunks const chunks(L, 1, 16);
    std::vector<MatrixX<S>> parts_x(std::size_t(options_.gradients ? chunks.count : 0)),
        parts_y(parts_x.size());
    monge::detail::parallel_for(options_.parallel, chunks.count, [&](Index chunk, int) {
      MatrixX<S> unused_x, unused_y;
      MatrixX<S>& gradient_x = options_.gradients ? parts_x[std::size_t(chunk)] : unused_x;
      MatrixX<S>& gradient_y = options_.gradients ? parts_y[std::size_t(chunk)] : unused_y;
      if (options_.gradients) {
        gradient_x.setZero(d, x_.size());
        gradient_y.setZero(d, y_.size());
      }
      for (Index l = chunks.begin(chunk); l < chunks.end(chunk); ++l) {
        MatrixX<S> const plane = r.circles.basis.middleCols(2 * l, 2).template cast<S>();
        r.slices(l) = slice(plane, r.circles.weight(l), gradient_x, gradient_y);
      }
    });
    double power = 0;
    for (Index l = 0; l < L; ++l) power += r.circles.weight(l) * r.slices(l);
    r.power = wide_t<S>(power);
    r.value = std::pow(r.power, wide_t<S>(1 / options_.p));
    if (r.circles.independent && L > 1) {
      double const variance = (r.slices.array() - power).square().sum() / double(L - 1);
      r.standard_error = std::sqrt(variance / double(L));
    }
    if (options_.gradients) {
      r.gradient_x.setZero(d, x_.size());
      r.gradient_y.setZero(d, y_.size());
      for (MatrixX<S> const& part : parts_x) r.gradient_x += part;
      for (MatrixX<S> const& part : parts_y) r.gradient_y += part;
    }
    r.status = Status::converged;
    r.seconds = clock.elapsed();
    return monge::detail::certified(std::move(r));
  }

 private:
  double slice(MatrixX<S> const& plane, double weight, MatrixX<S>& gradient_x,
               MatrixX<S>& gradient_y) const {
    MatrixX<S> in_x, in_y;
    VectorX<S> turns_x, turns_y;
    x_.project(plane, in_x, turns_x);
    if (distance_ == SphereDistance::to_uniform) {
      auto const r = circle_to_uniform<S>(turns_x, x_.weights, 1);
      if (options_.gradients) x_.pull_back(plane, in_x, r.gradient, weight, gradient_x);
      return double(r.power);
    }
    y_.project(plane, in_y, turns_y);
    if (distance_ == SphereDistance::linear) {
      return double(
          linear_circular_power<S>(std::move(turns_x), std::move(turns_y), x_.weights, y_.weights));
    }
    auto const r = wasserstein_circle<S>(
        std::move(turns_x), std::move(turns_y), x_.weights, y_.weights,
        {.p = options_.p,
         .period = 1,
         .answer = options_.gradients ? Answer1d::gradients : Answer1d::value});
    if (options_.gradients) {
      x_.pull_back(plane, in_x, r.gradient_x, weight, gradient_x);
      y_.pull_back(plane, in_y, r.gradient_y, weight, gradient_y);
    }
    return double(r.power);
  }

  SphereDistance distance_;
  SphereCloud<S> x_, y_;
  SphericalSlicedOptions options_;
};

/// What circles come from: a set of them, a key, or a generator that supplies one.
template <class G>
concept CircleSource = std::same_as<std::remove_cvref_t<G>, GreatCircles> ||
                       std::same_as<std::remove_cvref_t<G>, RandomKey> || RandomGenerator<G>;

template <CircleSource G>
GreatCircles circles_from(std::string_view function, G&& source, Index d,
                          SphericalSlicedOptions const& options) {
  if constexpr (std::same_as<std::remove_cvref_t<G>, GreatCircles>) {
    require(source.dimension() == d && source.count() >= 1 && source.basis.cols() % 2 == 0,
            function, ": points have ", d, " rows but the circles are ", shape(source.basis),
            "; they need two columns each and as many rows as the points");
    return source;
  } else if constexpr (std::same_as<std::remove_cvref_t<G>, RandomKey>) {
    require(d >= 2, function, ": points have ", d, " rows; a sphere with circles needs at least 2");
    require(options.projections >= 1, function, ": projections is ", options.projections,
            "; it must be at least 1");
    return great_circles(d, options.projections, source, options.directions);
  } else {
    return circles_from(function, key_from(source), d, options);
  }
}

template <RealScalar S, class G>
SphericalSlicedResult<S> spherical_sliced(std::string_view function, SphereDistance distance,
                                          SphereCloud<S> x, SphereCloud<S> y,
                                          SphericalSlicedOptions const& options, G&& source) {
  SphereSlicer<S> const slicer(function, distance, std::move(x), std::move(y), options);
  return slicer.run(circles_from(function, source, slicer.dimension(), options));
}

}  // namespace detail

/// The spherical sliced Wasserstein distance between unit columns of X (d x n) and Y (d x m) of
/// equal weights, over random great circles.
///
///     auto r = monge::ot::spherical_sliced_wasserstein(X, Y, {.projections = 100}, generator);
///
/// `source`: a generator, of which one key is drawn, a RandomKey, or GreatCircles. Converged means
/// that all numbers are finite. Throws std::invalid_argument for points whose norm differs from 1
/// by more than 1e-4 and other misuse.
template <RealMatrixExpr X, MatrixLike<X> Y, detail::CircleSource G>
[[nodiscard]] SphericalSlicedResult<scalar_t<X>> spherical_sliced_wasserstein(
    X const& x, Y const& y, SphericalSlicedOptions const& options, G&& source) {
  using S = scalar_t<X>;
  return detail::spherical_sliced<S>("spherical_sliced_wasserstein", detail::SphereDistance::circle,
                                     {x, {}}, {y, {}}, options, source);
}

/// The same for weights a (n) and b (m): nonnegative, with masses that differ by rounding at most.
template <RealMatrixExpr X, MatrixLike<X> Y, VectorLike<X> A, VectorLike<X> B,
          detail::CircleSource G>
[[nodiscard]] SphericalSlicedResult<scalar_t<X>> spherical_sliced_wasserstein(
    X const& x, Y const& y, A const& a, B const& b, SphericalSlicedOptions const& options,
    G&& source) {
  using S = scalar_t<X>;
  return detail::spherical_sliced<S>("spherical_sliced_wasserstein", detail::SphereDistance::circle,
                                     {x, monge::detail::as_column(a)},
                                     {y, monge::detail::as_column(b)}, options, source);
}

/// The same between X and the uniform law of the sphere, for p = 2, in closed form on each circle.
template <RealMatrixExpr X, detail::CircleSource G>
[[nodiscard]] SphericalSlicedResult<scalar_t<X>> spherical_sliced_wasserstein_to_uniform(
    X const& x, SphericalSlicedOptions const& options, G&& source) {
  using S = scalar_t<X>;
  return detail::spherical_sliced<S>("spherical_sliced_wasserstein_to_uniform",
                                     detail::SphereDistance::to_uniform, {x, {}}, {}, options,
                                     source);
}

/// The same for weights a (n) of any positive sum, by which they are divided.
template <RealMatrixExpr X, VectorLike<X> A, detail::CircleSource G>
[[nodiscard]] SphericalSlicedResult<scalar_t<X>> spherical_sliced_wasserstein_to_uniform(
    X const& x, A const& a, SphericalSlicedOptions const& options, G&& source) {
  using S = scalar_t<X>;
  return detail::spherical_sliced<S>("spherical_sliced_wasserstein_to_uniform",
                                     detail::SphereDistance::to_uniform,
                                     {x, monge::detail::as_column(a)}, {}, options, source);
}

/// The linear spherical sliced distance for p = 2: on each circle the distance between the
/// embeddings x -> F^-1(x - mean + 1/2) - x of linear circular transport to the uniform law. Never
/// below the spherical sliced distance over the same circles, for its coupling is one of those.
template <RealMatrixExpr X, MatrixLike<X> Y, detail::CircleSource G>
[[nodiscard]] SphericalSlicedResult<scalar_t<X>> linear_spherical_sliced_wasserstein(
    X const& x, Y const& y, SphericalSlicedOptions const& options, G&& source) {
  using S = scalar_t<X>;
  return detail::spherical_sliced<S>("linear_spherical_sliced_wasserstein",
                                     detail::SphereDistance::linear, {x, {}}, {y, {}}, options,
                                     source);
}

/// The same for weights a (n) and b (m).
template <RealMatrixExpr X, MatrixLike<X> Y, VectorLike<X> A, VectorLike<X> B,
          detail::CircleSource G>
[[nodiscard]] SphericalSlicedResult<scalar_t<X>> linear_spherical_sliced_wasserstein(
    X const& x, Y const& y, A const& a, B const& b, SphericalSlicedOptions const& options,
    G&& source) {
  using S = scalar_t<X>;
  return detail::spherical_sliced<S>(
      "linear_spherical_sliced_wasserstein", detail::SphereDistance::linear,
      {x, monge::detail::as_column(a)}, {y, monge::detail::as_column(b)}, options, source);
}

}  // namespace monge::ot
