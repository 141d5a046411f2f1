// SPDX-License-Identifier: MIT
/// @file
/// The max-sliced Wasserstein distance: the direction along which two clouds differ most,
///
///     max over unit vectors theta of W_p(theta' X, theta' Y),    any p >= 1.
///
/// The function has many local maxima and, as the least cost over couplings, kinks. Method: a sweep
/// over L directions and that of the means; the best of them climb (detail/sphere_ascent.hpp); from
/// a summit the leading direction of its coupling (below) is tried as a new start. For d = 2 the
/// sweep is a fine grid of angles and its peaks are polished by golden sections. d = 1 has only one
/// direction.
///
/// Whatever the search finds is a lower bound of the maximum and so of W_p. The couplings found
/// give an upper bound: for any coupling P of the clouds
///
///     max_theta W_2^2(theta) <= max_theta sum P_ij (theta'(x_i - y_j))^2 = lambda_max(M_P),
///     M_P = sum P_ij (x_i - y_j)(x_i - y_j)',
///
/// for p > 2 with weights |x_i - y_j|^(p-2) in M_P, for p < 2 by W_p <= W_2 at equal mass. If the
/// best direction is the leading eigenvector of its own M_P, both bounds meet and the maximum is
/// proven (p = 2), as for clouds that differ mainly along one line.
///
/// Cost: an evaluation O((n + m) d); L of them for the sweep, some tens per climb; O((n + m) d^2)
/// for each M_P and O(d^3) for its eigenvalues.
///
/// Source: I. Deshpande et al., Max-sliced Wasserstein distance and its use for GANs, CVPR 2019;
/// the bound by M_P is the step from max-min to min-max of F.-P. Paty, M. Cuturi, Subspace robust
/// Wasserstein distances, ICML 2019, with one dimension. The climb over kinks is ours.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/parallel.hpp>
#include <monge/linalg/detail/symmetric_eigen.hpp>
#include <monge/ot/detail/projected_pair.hpp>
#include <monge/ot/detail/sphere_ascent.hpp>
#include <monge/ot/directions.hpp>

namespace monge::ot {

/// Options of `max_sliced_wasserstein`.
struct MaxSlicedOptions {
  double p = 2;  ///< exponent of the distance; finite, at least 1
  Index projections =
      100;           ///< directions of the sweep; at least 1 (the grid of d = 2 has 180 more)
  Index starts = 4;  ///< the best directions of the sweep that climb; at least 1
  /// A climb ends when its next step would raise the power by at most this, relative to p times the
  /// power: about the square of an angle where the power is smooth; in radians in d = 2. Positive.
  double tolerance = 1e-7;
  Index max_iterations = 1000;    ///< steps of a climb; at least 1
  double max_seconds = infinity;  ///< wall time
  Parallel parallel = {};         ///< threads; the result does not depend on it
};

/// The answer of `max_sliced_wasserstein`.
template <RealScalar S>
struct MaxSlicedResult {
  wide_t<S> value = 0;        ///< W_p along `direction`: at most the maximum, to rounding
  wide_t<S> power = 0;        ///< its p-th power
  wide_t<S> upper_power = 0;  ///< at least the maximum of the power, to rounding
  VectorX<S> direction;       ///< d: of unit length; its sign is arbitrary
  MatrixX<S> gradient_x;      ///< d x n: derivative of `power` with respect to X at this direction,
                              ///< which is that of the maximum where it is unique
  MatrixX<S> gradient_y;      ///< d x m
  VectorX<S> a, b;            ///< the weights that were used (rescaled to equal masses)
  double slope = infinity;  ///< of the power per radian at `direction`, relative to p times it; not
                            ///< near 0 on a kink
  Status status = Status::not_run;
  Index iterations = 0;   ///< steps of all climbs
  Index evaluations = 0;  ///< directions that were looked at
  double seconds = 0;     ///< wall time

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const {
    return std::tie(value, power, upper_power, direction, gradient_x, gradient_y);
  }
};

namespace detail {

/// The powers along directions, and how to search among them.
template <RealScalar S>
class MaxSliced {
 public:
  using W = wide_t<S>;
  using Line = typename ProjectedPair<S>::Line;

  /// A place that a climb reached.
  struct Summit {
    VectorX<W> theta;
    W power = -1;
    double slope = infinity;
    Status status = Status::not_run;
    Index iterations = 0, evaluations = 0;
  };

  MaxSliced(ProjectedPair<S> pair, MaxSlicedOptions const& options)
      : pair_(std::move(pair)), options_(options), deadline_(options.max_seconds) {}

  [[nodiscard]] MaxSlicedResult<S> solve(RandomKey key) const {
    MaxSlicedResult<S> r;
    Directions const sweep = candidates(key);
    VectorX<W> powers(sweep.count());
    std::vector<Line> lines(std::size_t(options_.parallel.workers()), pair_.line());
    monge::detail::parallel_for(options_.parallel, sweep.count(), [&](Index l, int worker) {
      powers(l) = power(sweep.theta.col(l).template cast<W>(), lines[std::size_t(worker)]);
    });
    r.evaluations = sweep.count();
    std::vector<Index> const best = start_indices(powers);
    std::vector<Summit> summits(best.size());
    monge::detail::parallel_for(options_.parallel, Index(best.size()), [&](Index k, int worker) {
      Index const l = best[std::size_t(k)];
      VectorX<W> const start = sweep.theta.col(l).template cast<W>();
      Line& line = lines[std::size_t(worker)];
      summits[std::size_t(k)] =
          pair_.d() == 2 ? polish(start, grid_width(), line) : climb(start, line);
    });
    Summit top = summits.front();
    for (Summit const& s : summits) {
      if (s.power > top.power) top = s;
      r.iterations += s.iterations;
      r.evaluations += s.evaluations;
    }
    W upper = W(infinity);
    for (Summit const& s : summits) {
      VectorX<W> leading;
      upper = std::min(upper, bound(s.theta, lines.front(), leading));
    }
    leap(top, upper, r, lines.front());
    fill(top, upper, r, lines.front());
    return r;
  }

 private:
  [[nodiscard]] double grid_width() const {
    return std::numbers::pi / double(options_.projections + 180);
  }

  /// The directions of the sweep; the last is that of the means, if they differ.
  [[nodiscard]] Directions candidates(RandomKey key) const {
    Index const d = pair_.d();
    Directions set = d == 2 ? gauss_directions(2, options_.projections + 180)
                            : directions(DirectionRule::orthogonal, d, options_.projections, key);
    VectorX<double> const between =
        (pair_.X() * pair_.a() / S(pair_.mass()) - pair_.Y() * pair_.b() / S(pair_.mass()))
            .template cast<double>();
    double const norm = between.norm();
    if (d > 2 && norm > 0 && std::isfinite(norm)) {
      set.theta.conservativeResize(d, set.count() + 1);
      set.theta.col(set.count() - 1) = between / norm;
    }
    return set;
  }

  /// The best places of the sweep, best first; for d = 2 its peaks.
  [[nodiscard]] std::vector<Index> start_indices(VectorX<W> const& powers) const {
    Index const L = powers.size();
    std::vector<Index> order;
    for (Index l = 0; l < L; ++l) {
      bool const peak = pair_.d() != 2 ||
                        (powers(l) >= powers((l + 1) % L) && powers(l) >= powers((l + L - 1) % L));
      if (peak) order.push_back(l);
    }
    if (order.empty()) order.push_back(0);  // powers that are not numbers
    std::stable_sort(order.begin(), order.end(),
                     [&](Index k, Index l) { return powers(k) > powers(l); });
    Index const kept = pair_.d() == 1 ? 1 : std::min(options_.starts, Index(order.size()));
    order.resize(std::size_t(kept));
    return order;
  }

  W power(VectorX<W> const& theta, Line& line) const {
    pair_.project(theta.template cast<S>(), line);
    W result = 0;
    with_power(options_.p, [&](auto c) { result = pair_.power(line, c); });
    return result;
  }

  W slope(VectorX<W> const& theta, VectorX<W>& gradient, Line& line) const {
    W const value = power(theta, line);
    with_power(options_.p, [&](auto c) { gradient = pair_.slope(line, c); });
    return value;
  }

  [[nodiscard]] Summit climb(VectorX<W> const& start, Line& line) const {
    auto const oracle = [this, &line](VectorX<W> const& theta, VectorX<W>& gradient) {
      return slope(theta, gradient, line);
    };
    SphereAscent<W, decltype(oracle)> const ascent(oracle, start, options_.p, options_.tolerance);
    auto outcome = iterate(ascent, {options_.max_iterations, deadline_.remaining()});
    return {outcome.state.theta, outcome.state.value,           outcome.state.error,
            outcome.status,      outcome.statistics.iterations, outcome.state.evaluations};
  }

  /// d = 2: the largest power within `width` of the angle of start, by golden sections.
  [[nodiscard]] Summit polish(VectorX<W> const& start, double width, Line& line) const {
    auto const at = [&](W angle) {
      return (VectorX<W>(2) << std::cos(angle), std::sin(angle)).finished();
    };
    W const middle = std::atan2(start(1), start(0)), ratio = W(1 / std::numbers::phi);
    W low = middle - W(width), high = middle + W(width);
    W left = high - ratio * (high - low), right = low + ratio * (high - low);
    W at_left = power(at(left), line), at_right = power(at(right), line);
    Summit s{start, power(start, line), 0, Status::converged, 0, 3};
    W best = middle;
    auto const keep = [&](W angle, W value) {
      if (!(value > s.power)) return;
      s.power = value;
      best = angle;
    };
    keep(left, at_left);
    keep(right, at_right);
    while (high - low > W(options_.tolerance) + 4 * unit_roundoff<W>) {
      if (s.iterations == options_.max_iterations) {
        s.status = Status::iteration_limit;
        break;
      }
      if (at_left > at_right) {
        high = std::exchange(right, left);
        at_right = at_left;
        left = high - ratio * (high - low);
        keep(left, at_left = power(at(left), line));
      } else {
        low = std::exchange(left, right);
        at_left = at_right;
        right = low + ratio * (high - low);
        keep(right, at_right = power(at(right), line));
      }
      ++s.iterations;
      ++s.evaluations;
    }
    s.theta = at(best);
    return s;
  }

  /// Upper bound of the maximum by the coupling along theta; and the leading direction of its M_P.
  W bound(VectorX<W> const& theta, Line& line, VectorX<W>& leading) const {
    W const here = power(theta, line);
    if (pair_.d() == 1 || !std::isfinite(here)) {
      leading = theta;
      return here;
    }
    MatrixX<W> M = MatrixX<W>::Zero(pair_.d(), pair_.d());
    VectorX<W> z(pair_.d());
    W const p = W(options_.p);
    pair_.for_each_pair(line, [&](Index i, Index j, W weight) {
      z = (pair_.X().col(i) - pair_.Y().col(j)).template cast<W>();
      W const longer = p > 2 ? W(std::pow(z.norm(), p - 2)) : W(1);
      M.template selfadjointView<Eigen::Lower>().rankUpdate(z, weight * longer);
    });
    if (!M.allFinite()) return W(infinity);
    M.template triangularView<Eigen::StrictlyUpper>() = M.transpose();
    MatrixX<W> vectors;
    VectorX<W> values;
    linalg::detail::EigenWork<VectorX<W>> work;
    linalg::detail::symmetric_eigen(M, values, vectors, work);
    leading = vectors.col(pair_.d() - 1);
    W const largest = std::max(values(pair_.d() - 1), W(0));
    if (p >= 2) return largest;
    W const mass = W(pair_.mass());
    return mass * std::pow(largest / mass, p / 2);
  }

  /// Starts again from the leading direction of the summit's coupling while that leads higher.
  void leap(Summit& top, W& upper, MaxSlicedResult<S>& r, Line& line) const {
    for (int tries = 0; tries < 5 && pair_.d() > 2 && !deadline_.passed(); ++tries) {
      VectorX<W> leading;
      upper = std::min(upper, bound(top.theta, line, leading));
      if (!std::isfinite(upper) || upper <= top.power * (1 + W(1e-9))) return;
      Summit const next = climb(leading, line);
      r.iterations += next.iterations;
      r.evaluations += next.evaluations;
      if (!(next.power > top.power)) return;
      top = next;
    }
  }

  void fill(Summit const& top, W upper, MaxSlicedResult<S>& r, Line& line) const {
    r.direction = top.theta.template cast<S>();
    VectorX<W> gradient;
    r.power = slope(top.theta, gradient, line);
    r.value = std::pow(r.power, W(1 / options_.p));
    r.upper_power = upper;  // not raised to the power: a bound below it would be a fault to see
    r.gradient_x = r.direction * line.x.transpose();
    r.gradient_y = r.direction * line.y.transpose();
    r.a = pair_.a();
    r.b = pair_.b();
    W const radial = gradient.dot(top.theta);
    VectorX<W> const tangent = gradient - radial * top.theta;
    r.slope = radial > 0 ? double(tangent.norm() / radial) : double(tangent.norm());
    r.status = std::isfinite(r.power) ? top.status : Status::non_finite;
    r.seconds = deadline_.elapsed();
  }

  ProjectedPair<S> pair_;
  MaxSlicedOptions options_;
  Deadline deadline_;
};

template <RealScalar S>
MaxSlicedResult<S> max_sliced_wasserstein(MatrixX<S> X, MatrixX<S> Y, VectorX<S> a, VectorX<S> b,
                                          MaxSlicedOptions const& options, RandomKey key) {
  constexpr std::string_view function = "max_sliced_wasserstein";
  require(options.p >= 1 && options.p < infinity, function, ": p is ", options.p,
          "; it must be finite and at least 1");
  require(options.projections >= 1, function, ": projections is ", options.projections,
          "; it must be at least 1");
  require(options.starts >= 1, function, ": starts is ", options.starts,
          "; at least one direction must climb");
  require(options.max_iterations >= 1, function, ": max_iterations is ", options.max_iterations,
          "; it must be at least 1");
  require_positive(function, "tolerance", options.tolerance);
  require_limits(function, options.max_iterations, options.max_seconds);
  MaxSliced<S> const search(
      ProjectedPair<S>(function, std::move(X), std::move(Y), std::move(a), std::move(b)), options);
  return monge::detail::certified(search.solve(key));
}

}  // namespace detail

namespace detail {

/// A key, or a generator that supplies one.
template <class G>
concept KeySource = std::same_as<std::remove_cvref_t<G>, RandomKey> || RandomGenerator<G>;

template <KeySource G>
RandomKey key_of(G&& source) {
  if constexpr (RandomGenerator<G>) {
    return key_from(source);
  } else {
    return source;
  }
}

}  // namespace detail

/// The largest W_p along a direction between clouds X (d x n) and Y (d x m) of equal weights, as
/// far as a search finds it, with a bound of what it may have missed.
///
///     auto r = monge::ot::max_sliced_wasserstein(X, Y, {.p = 2}, generator);
///     r.value <= max_theta W_p(theta) <= r.upper_power^(1/p);   r.direction, r.gradient_x ...
///
/// The generator supplies one key, for the sweep; a RandomKey will do as well. Converged means that
/// the climb to the best direction met its tolerance or ended on a kink of the function, not that
/// no other direction is better: upper_power says how much better one could be. iteration_limit and
/// time_limit return the best direction so far. Throws std::invalid_argument for p < 1, points that
/// are not finite and other misuse.
template <RealMatrixExpr X, MatrixLike<X> Y, detail::KeySource G>
[[nodiscard]] MaxSlicedResult<scalar_t<X>> max_sliced_wasserstein(X const& x, Y const& y,
                                                                  MaxSlicedOptions const& options,
                                                                  G&& generator) {
  using S = scalar_t<X>;
  return detail::max_sliced_wasserstein<S>(x, y, VectorX<S>(), VectorX<S>(), options,
                                           detail::key_of(generator));
}

/// The same for weights a (n) and b (m): nonnegative, with masses that differ by rounding at most.
template <RealMatrixExpr X, MatrixLike<X> Y, VectorLike<X> A, VectorLike<X> B, detail::KeySource G>
[[nodiscard]] MaxSlicedResult<scalar_t<X>> max_sliced_wasserstein(X const& x, Y const& y,
                                                                  A const& a, B const& b,
                                                                  MaxSlicedOptions const& options,
                                                                  G&& generator) {
  using S = scalar_t<X>;
  return detail::max_sliced_wasserstein<S>(x, y, monge::detail::as_column(a),
                                           monge::detail::as_column(b), options,
                                           detail::key_of(generator));
}

}  // namespace monge::ot
