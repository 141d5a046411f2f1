// SPDX-License-Identifier: MIT
/// @file
/// The sliced Wasserstein distance between clouds of points, for any p >= 1:
///
///     SW_p^p = mean over directions theta of W_p^p(theta . X, theta . Y) .
///
/// Method: the mean is taken over a set of directions (directions.hpp); every slice is a problem on
/// the line, which sorting solves (wasserstein_1d.hpp). Control variates (sliced_control.hpp) take
/// away what means and covariances explain. For p = 2 all slices are taken of centred clouds, which
/// is the same in exact arithmetic and keeps digits when clouds are far apart.
///
/// Cost: O(L (d + 1) (n + m)) for L directions: two products and two bucket sorts per direction;
/// memory O(8 to 64 (n + m)), for the projections of a block of directions. With derivatives
/// the sorts carry their permutation and one more product leads back to the points. The gaussian
/// control adds O(d^2 (n + m)) once it is chosen, and what is said in detail/gaussian_slices.hpp.
///
/// When not to use it: as an approximation of the Wasserstein distance itself. It is another
/// metric, smaller than W_p by a factor of about d^(-1/2) and more in high dimensions.
///
/// Source: N. Bonneel, J. Rabin, G. Peyre, H. Pfister, Sliced and Radon Wasserstein barycenters of
/// measures, Journal of Mathematical Imaging and Vision 51 (2015) 22-45.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/random.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/detail/entropic_input.hpp>
#include <monge/ot/detail/gaussian_slices.hpp>
#include <monge/ot/detail/slice.hpp>
#include <monge/ot/detail/sliced_estimate.hpp>
#include <monge/ot/directions.hpp>
#include <monge/ot/sliced_control.hpp>

namespace monge::ot {

/// How much of the answer is computed: each value includes those before it.
enum class SlicedAnswer : unsigned char {
  value,       ///< the distance
  gradient_x,  ///< and its derivative with respect to X
  gradients,   ///< and with respect to Y
};

/// Options of `sliced_wasserstein`.
struct SlicedWassersteinOptions {
  double p = 2;             ///< exponent of the distance; finite, at least 1
  Index projections = 100;  ///< L, the number of directions (gauss takes at most that many)
  DirectionRule directions = DirectionRule::monte_carlo;  ///< how they are made
  SlicedControl control = SlicedControl::automatic;       ///< what is subtracted from the slices
  int harmonics = 0;     ///< even degree of the spherical harmonics that are fitted to what the
                         ///< control leaves; 0: none. See `harmonic_directions`
  Index replicates = 1;  ///< independent copies of the rule, which share the directions: gives
                         ///< rules that come in one block a standard error
  SlicedAnswer answer = SlicedAnswer::value;  ///< what to compute; less is faster
  Parallel parallel = {};                     ///< threads; results do not depend on them
};

/// The answer of `sliced_wasserstein` for clouds in R^d and L directions.
template <RealScalar S>
struct SlicedWassersteinResult {
  wide_t<S> value = 0;  ///< max(power, 0)^(1/p), in units of the points
  wide_t<S> power = 0;  ///< the estimate of SW_p^p; a control variate may take it below zero
  std::optional<double> standard_error;  ///< of `power`; absent if the directions are not random or
                                         ///< come in one block
  MatrixX<S> gradient_x, gradient_y;     ///< derivatives of `power` as it is returned, control and
                                         ///< all: d x n and d x m; empty if nobody asked
  Directions directions;   ///< what was used; its weights include the fit of harmonics
  VectorX<double> slices;  ///< L: W_p^p of each slice
  SlicedControl control = SlicedControl::none;  ///< the one that was used
  double coefficient = 0;                       ///< alpha, of the control
  double control_mean = 0;                      ///< E c, its mean over the sphere
  Status status = Status::not_run;
  double seconds = 0;  ///< wall time

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  /// d value / d power: multiply the gradients by it to differentiate the distance. Infinite at 0.
  [[nodiscard]] double value_slope(double p = 2) const {
    return std::pow(double(value), 1 - p) / p;
  }
  [[nodiscard]] auto numbers() const { return std::tie(value, power, gradient_x, gradient_y); }
};

/// What calls on similar clouds reuse: memory and, as long as sizes and directions stay the same,
/// the order of the projections, so that sorting the clouds of the next step of a flow is cheap. It
/// holds 4 L (n + m) bytes for that. Results do not depend on it. A value; not for two calls at
/// once.
template <RealScalar S>
struct SlicedWorkspace {
  detail::SlicedCloud<S> x, y;
  std::vector<monge::detail::SortScratch<S>> scratch;
  MatrixX<double> theta;  ///< the directions to which the orders belong
};

namespace detail {

template <RealScalar S>
void check_cloud(std::string_view name, Cloud<S> const& X) {
  using monge::detail::require;
  require(X.cols() > 0, "sliced_wasserstein: ", name, " has no points; it needs at least one");
  require(X.rows() > 0, "sliced_wasserstein: ", name,
          " has no rows; points are columns and need at least one coordinate");
}

/// A look at all points is spared if their mean is finite.
template <RealScalar S>
void check_finite(std::string_view name, CentredCloud<S> const& X) {
  if (X.mean.allFinite()) return;
  for (Index k = 0; k < X.size; ++k) {
    for (Index i = 0; i < X.dimension; ++i) {
      S const x = X.points[k * X.stride + i];
      monge::detail::require(std::isfinite(x), "sliced_wasserstein: ", name, "(", i, ", ", k,
                             ") is ", x, "; points must be finite");
    }
  }
}

template <RealScalar S>
void check_clouds(Cloud<S> const& X, Cloud<S> const& Y) {
  check_cloud<S>("X", X);
  check_cloud<S>("Y", Y);
  monge::detail::require(X.rows() == Y.rows(), "sliced_wasserstein: X is ", monge::detail::shape(X),
                         " and Y is ", monge::detail::shape(Y),
                         "; points are columns and need as many rows in both");
  monge::detail::require(X.cols() + Y.cols() < Index(std::numeric_limits<std::int32_t>::max()),
                         "sliced_wasserstein: X has ", X.cols(), " points and Y has ", Y.cols(),
                         "; together they must be fewer than 2^31");
}

/// The time of the moments that the gaussian control needs over that of the slices, from counts.
inline double relative_cost_of_gaussian(double points, double d, double L) {
  constexpr double product = 0.06, sorted_entry = 8;  // nanoseconds, measured
  return 1 + product * points * d * d / (L * points * (product * d + sorted_entry));
}

/// Both weights empty: all equal, of mass 1.
template <RealScalar S>
SlicedWassersteinResult<S> sliced_wasserstein(Cloud<S> const& X, Cloud<S> const& Y, VectorX<S> a,
                                              VectorX<S> b, Directions set,
                                              SlicedWassersteinOptions const& options,
                                              RandomKey key, SlicedWorkspace<S>* kept) {
  using monge::detail::require;
  Deadline const clock(infinity);
  Index const n = X.cols(), m = Y.cols(), d = X.rows(), L = set.count();
  SlicedControl control = options.control;
  bool const squared = options.p == 2;
  require(options.p >= 1 && options.p < infinity, "sliced_wasserstein: p is ", options.p,
          "; it must be finite and at least 1");
  require(L >= 1, "sliced_wasserstein: there are no directions");
  require(set.dimension() == d, "sliced_wasserstein: points have ", d,
          " rows but the directions have ", set.dimension());
  require(set.theta.allFinite(), "sliced_wasserstein: directions must be finite");
  require(set.weights.size() == 0 || set.weights.size() == L, "sliced_wasserstein: there are ", L,
          " directions with ", set.weights.size(), " weights");
  require(squared || (control != SlicedControl::centring && control != SlicedControl::gaussian),
          "sliced_wasserstein: p is ", options.p,
          ", but the controls centring and gaussian are for p = 2; take upper_bound or harmonics");
  HarmonicFit const fit = fit_harmonics("sliced_wasserstein", set, options.harmonics);

  SlicedWorkspace<S> own;
  SlicedWorkspace<S>& work = kept ? *kept : own;
  CentredCloud<S> x(X), y(Y);
  double mass = 1, unit = 0;
  if (a.size() > 0) {
    wide_t<S> const total = balance<S>("sliced_wasserstein", monge::detail::Shape{n, m}, a, b);
    mass = double(total);
    x.masses.resize(std::size_t(n));
    y.masses.resize(std::size_t(m));
    unit = std::ldexp(1.0, integer_masses<S>(a, b, total, x.masses.data(), y.masses.data())) / mass;
    x.weights = a.template cast<double>();
    y.weights = b.template cast<double>();
    x.weights /= x.weights.sum();
    y.weights /= y.weights.sum();
  }
  x.measure_mean();
  y.measure_mean();
  check_finite("X", x);
  check_finite("Y", y);
  VectorX<double> const between = (x.mean + y.mean) / 2;
  SlicedWassersteinResult<S> r;
  SlicedSide<S> const side_x{x, work.x,
                             options.answer != SlicedAnswer::value ? &r.gradient_x : nullptr};
  SlicedSide<S> const side_y{y, work.y,
                             options.answer == SlicedAnswer::gradients ? &r.gradient_y : nullptr};
  bool const slopes = side_x.gradient != nullptr;
  SliceTask task{.p = options.p};
  task.keep_orders = kept != nullptr;
  task.orders_known = kept && work.theta.rows() == d && work.theta.cols() == L &&
                      work.theta == set.theta && work.x.orders.size() == std::size_t(n * L) &&
                      work.y.orders.size() == std::size_t(m * L);
  x.centre(squared ? x.mean : between);
  y.centre(squared ? y.mean : between);

  Slices slices;
  slices.squared = squared;
  slices.difference = x.mean - y.mean;
  slices.offset.resize(L);
  for (Index l = 0; l < L; ++l) slices.offset(l) = set.theta.col(l).dot(slices.difference);
  slices.w.resize(L);
  if (control == SlicedControl::automatic && !squared) control = SlicedControl::none;
  VectorX<double> factors = fit.weights;
  if (control == SlicedControl::upper_bound) {
    slices.trace = x.mean_square() + y.mean_square();
  }
  task.deviations = control == SlicedControl::automatic || control == SlicedControl::gaussian ||
                    control == SlicedControl::upper_bound;
  if (is_fitted(control) && slopes) {
    // alpha takes part in the derivatives, so deviations are needed before the slices.
    if (control == SlicedControl::upper_bound) {
      auto const deviation = [&](CentredCloud<S> const& cloud) {
        MatrixX<double> const C = cloud.covariance(options.parallel);
        Eigen::Array<double, Eigen::Dynamic, 1> s(L);
        for (Index l = 0; l < L; ++l) {
          double sum = 0;
          for (Index j = 0; j < d; ++j) sum += set.theta(j, l) * C.col(j).dot(set.theta.col(l));
          s(l) = std::sqrt(std::max(sum, 0.0));
        }
        return s;
      };
      slices.s1 = deviation(x);
      slices.s2 = deviation(y);
      task.deviations = false;
    }
    factors = fitted_weights(fit.weights, deviations(slices, control));
  }

  Slicer<S>(side_x, side_y, work.scratch, set.theta, unit, task, options.parallel)
      .run(factors, slices.w);
  if (kept) work.theta = set.theta;
  if (task.deviations) {
    slices.s1 = work.x.deviation;
    slices.s2 = work.y.deviation;
  }
  if (control == SlicedControl::automatic) {
    control = best_control(slices, set, fit,
                           relative_cost_of_gaussian(double(n + m), double(d), double(L)));
  }
  GaussianSliceMean gaussian;
  if (control == SlicedControl::gaussian) {
    RandomKey const apart{key.seed, key.stream ^ (std::uint64_t(1) << 63)};
    gaussian = gaussian_slice_mean(x.covariance(options.parallel), y.covariance(options.parallel),
                                   slopes, apart);
  }
  SlicedEstimate const z = is_fitted(control)
                               ? fitted_estimate(slices, set, fit, control, slopes)
                               : fixed_estimate(slices, set, fit, control, gaussian, slopes);

  r.power = wide_t<S>(mass * z.power);
  r.value = std::pow(std::max(r.power, wide_t<S>(0)), wide_t<S>(1 / options.p));
  if (z.standard_error) r.standard_error = mass * *z.standard_error;
  r.control = control;
  r.coefficient = z.coefficient;
  r.control_mean = mass * z.control_mean;
  r.slices = mass * slices.whole();
  if (slopes) finish_gradient(x, z.shift, z.turn_x, mass, options.parallel, r.gradient_x);
  if (side_y.gradient) {
    finish_gradient(y, VectorX<double>(-z.shift), z.turn_y, mass, options.parallel, r.gradient_y);
  }
  if (fit.functions() > 0) set.weights = fit.weights;
  r.directions = std::move(set);
  r.status = Status::converged;
  r.seconds = clock.elapsed();
  return r;
}

/// The key of a random argument.
constexpr RandomKey to_key(RandomKey key) { return key; }
template <RandomGenerator G>
constexpr RandomKey to_key(G& generator) {
  return key_from(generator);
}

inline Directions sliced_directions(SlicedWassersteinOptions const& options, Index d,
                                    RandomKey key) {
  require_rule("sliced_wasserstein", options.directions, d, options.projections,
               options.replicates);
  return directions(options.directions, d, options.projections, key, options.replicates);
}

template <class A, class X>
VectorX<scalar_t<X>> point_weights(std::string_view name, std::string_view points, A const& a,
                                   X const& x) {
  monge::detail::require(a.size() == x.cols() && a.size() > 0, "sliced_wasserstein: ", points,
                         " is ", monge::detail::shape(x), " but ", name, " has ", Index(a.size()),
                         " entries; it needs one per point, that is, per column");
  return monge::detail::as_column(a);
}

}  // namespace detail

/// A RandomKey, or any generator, of which one key is drawn.
template <class R>
concept RandomSource = std::same_as<std::remove_cvref_t<R>, RandomKey> || RandomGenerator<R>;

/// The sliced Wasserstein distance between the columns of X (d x n) of equal weights 1/n and those
/// of Y (d x m) of equal weights 1/m, over random directions.
///
///     auto r = monge::ot::sliced_wasserstein(X, Y, {.projections = 50}, generator);
///     // r.value, r.power, r.standard_error; .answer = SlicedAnswer::gradients: r.gradient_x ...
///
/// `random` is a generator, of which one 64-bit key is drawn, or that RandomKey; its streams from
/// key.stream on make the directions. Converged means that all numbers are finite; powers that
/// overflow end in non_finite: rescale the points. Gradients are those of `power` as it is
/// returned; where it has a kink (p = 1 and equal projections, ties) they are one of the
/// subgradients. Throws std::invalid_argument for p < 1, points that are not finite, rules and
/// controls that do not exist for this d or p.
template <RealMatrixExpr X, MatrixLike<X> Y, RandomSource R>
[[nodiscard]] SlicedWassersteinResult<scalar_t<X>> sliced_wasserstein(
    X const& x, Y const& y, SlicedWassersteinOptions const& options, R&& random,
    SlicedWorkspace<scalar_t<X>>* workspace = nullptr) {
  using S = scalar_t<X>;
  detail::Cloud<S> const X_(x), Y_(y);
  detail::check_clouds<S>(X_, Y_);
  RandomKey const key = detail::to_key(random);
  return monge::detail::certified(detail::sliced_wasserstein<S>(
      X_, Y_, VectorX<S>(), VectorX<S>(), detail::sliced_directions(options, X_.rows(), key),
      options, key, workspace));
}

/// The same for weights a (n) and b (m): nonnegative, with masses that differ by rounding at most,
/// as in wasserstein_1d. `power` is proportional to the mass.
template <RealMatrixExpr X, MatrixLike<X> Y, VectorLike<X> A, VectorLike<X> B, RandomSource R>
[[nodiscard]] SlicedWassersteinResult<scalar_t<X>> sliced_wasserstein(
    X const& x, Y const& y, A const& a, B const& b, SlicedWassersteinOptions const& options,
    R&& random, SlicedWorkspace<scalar_t<X>>* workspace = nullptr) {
  using S = scalar_t<X>;
  detail::Cloud<S> const X_(x), Y_(y);
  detail::check_clouds<S>(X_, Y_);
  RandomKey const key = detail::to_key(random);
  return monge::detail::certified(detail::sliced_wasserstein<S>(
      X_, Y_, detail::point_weights("a", "X", a, x), detail::point_weights("b", "Y", b, y),
      detail::sliced_directions(options, X_.rows(), key), options, key, workspace));
}

/// The same over given directions: `options.projections`, `.directions` and `.replicates` are not
/// read.
template <RealMatrixExpr X, MatrixLike<X> Y>
[[nodiscard]] SlicedWassersteinResult<scalar_t<X>> sliced_wasserstein(
    X const& x, Y const& y, Directions const& set, SlicedWassersteinOptions const& options = {},
    SlicedWorkspace<scalar_t<X>>* workspace = nullptr) {
  using S = scalar_t<X>;
  detail::Cloud<S> const X_(x), Y_(y);
  detail::check_clouds<S>(X_, Y_);
  return monge::detail::certified(detail::sliced_wasserstein<S>(
      X_, Y_, VectorX<S>(), VectorX<S>(), set, options, RandomKey{}, workspace));
}

/// The same for weights a (n) and b (m).
template <RealMatrixExpr X, MatrixLike<X> Y, VectorLike<X> A, VectorLike<X> B>
[[nodiscard]] SlicedWassersteinResult<scalar_t<X>> sliced_wasserstein(
    X const& x, Y const& y, A const& a, B const& b, Directions const& set,
    SlicedWassersteinOptions const& options = {},
    SlicedWorkspace<scalar_t<X>>* workspace = nullptr) {
  using S = scalar_t<X>;
  detail::Cloud<S> const X_(x), Y_(y);
  detail::check_clouds<S>(X_, Y_);
  return monge::detail::certified(detail::sliced_wasserstein<S>(
      X_, Y_, detail::point_weights("a", "X", a, x), detail::point_weights("b", "Y", b, y), set,
      options, RandomKey{}, workspace));
}

}  // namespace monge::ot
