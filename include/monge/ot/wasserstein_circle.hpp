// SPDX-License-Identifier: MIT
/// @file
/// Transport on a circle: the p-th Wasserstein distance between weighted points on a circle of
/// given circumference, for any p >= 1,
///
///     W_p^p = min over couplings P of sum_ij P_ij d(x_i, y_j)^p,   d(x, y) = min_k |x - y + k T| .
///
/// Method: an optimal coupling is the monotone one on the line that covers the circle, shifted by
/// some mass s; its cost is convex and piecewise linear in s, and the least kink is found exactly
/// (detail/circle_coupling.hpp). Potentials follow along the staircase of the coupling. They must
/// close after one turn: where steps of both samples meet, they can be carried over in two ways,
/// one of which ends too high and the other too low by the slopes of the cost to the right and left
/// of s, and a mixture of the two closes and is feasible.
///
/// Cost: O((n + m) log(n + m)) in practice, for p > 1 some ten walks over both samples besides
/// sorting; memory O(n + m). Weights are integers of 2^-62 of the mass, so marginals are met
/// exactly.
///
/// When not to use it: p < 1 (the cost is concave). For points in an arc of half the circle
/// wasserstein_1d gives the same with less work.
///
/// Source: J. Delon, J. Salomon, A. Sobolevski, Fast transport optimization for Monge costs on the
/// circle, SIAM Journal on Applied Mathematics 70 (2010) 2239-2258, Theorem 2.1 (monotone couplings
/// and their shift); the exact search, the potentials and their closing are ours. The closed form
/// for the uniform law: C. Bonet, P. Berg, N. Courty, F. Septier, L. Drumetz, M.-T. Pham, Spherical
/// sliced-Wasserstein, ICLR 2023, Proposition 1, written here as a sum of variances.
#pragma once

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/detail/circle_coupling.hpp>
#include <monge/ot/wasserstein_1d.hpp>

namespace monge::ot {

/// Options of `wasserstein_circle`.
struct WassersteinCircleOptions {
  double p = 2;       ///< exponent of the distance; finite, at least 1
  double period = 1;  ///< circumference in units of the points: 1 for turns, 2 pi for angles
  Answer1d answer = Answer1d::everything;  ///< what to compute; less is faster
};

/// The answer of `wasserstein_circle` for n and m points. What was not asked for is empty.
template <RealScalar S>
struct WassersteinCircleResult {
  wide_t<S> value = 0;                ///< W_p, in units of the points
  wide_t<S> power = 0;                ///< W_p^p: the transport cost
  VectorX<S> gradient_x, gradient_y;  ///< derivatives of `power`, n and m; at a kink (equal points,
                                      ///< p = 1, opposite points) one of the subgradients
  Eigen::SparseMatrix<S> plan;        ///< n x m, at most n + m entries, all positive
  VectorX<S> f, g;                   ///< duals, n and m: f(i) + g(j) <= d(x_i, y_j)^p, equal on the
                                     ///< plan's entries, both to rounding; <a, f> = <b, g>
  VectorX<S> a, b;                   ///< the weights that were used (rescaled to equal masses)
  wide_t<S> duality_gap = infinity;  ///< sum P |c - f - g|, recomputed from the results: bounds
                                     ///< power - optimum
  double marginal_error = infinity;  ///< (|P 1 - a|_1 + |P' 1 - b|_1) / mass, from the plan
  Status status = Status::not_run;
  double seconds = 0;  ///< wall time

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const {
    return std::tie(value, power, gradient_x, gradient_y, f, g);
  }
};

/// W_2 between points on a circle and its uniform law.
template <RealScalar S>
struct CircleToUniform {
  wide_t<S> value = 0;  ///< W_2, in units of the points
  wide_t<S> power = 0;  ///< W_2^2
  VectorX<S> gradient;  ///< of `power` with respect to the points, n
  Status status = Status::not_run;

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(value, power, gradient); }
};

namespace detail {

/// Into [0, period), exactly where the points are there already.
template <RealScalar S>
void wrap(VectorX<S>& x, S period) {
  for (S& point : x) {
    if (point >= 0 && point < period) continue;
    point = std::fmod(point, period);
    if (point < 0) point += period;
    if (point >= period) point = 0;  // a negative point that vanishes beside the period
  }
}

/// Points and masses without those that carry nothing.
template <RealScalar S>
void drop_empty(SortedSample<S>& sample) {
  std::size_t kept = 0;
  for (std::size_t k = 0; k < sample.masses.size(); ++k) {
    if (sample.masses[k] == 0) continue;
    sample.points(Index(kept)) = sample.points(Index(k));
    sample.masses[kept++] = sample.masses[k];
  }
  if (sample.masses.empty() || kept == sample.masses.size()) return;
  sample.masses.resize(kept);
  sample.points.conservativeResize(Index(kept));
}

/// The point of least position that has mass comes first; those before it go to the end.
template <RealScalar S>
void begin_with_mass(SortedSample<S>& sample, S period) {
  auto const first =
      std::find_if(sample.masses.begin(), sample.masses.end(), [](Mass mass) { return mass > 0; });
  if (first == sample.masses.begin() || first == sample.masses.end()) return;
  Index const k = first - sample.masses.begin();
  sample.points.head(k).array() += period;
  std::rotate(sample.points.data(), sample.points.data() + k, sample.points.data() + sample.size());
  std::rotate(sample.order.begin(), sample.order.begin() + k, sample.order.end());
  std::rotate(sample.masses.begin(), first, sample.masses.end());
}

/// Two sorted samples on the circle, the shift of their coupling and what one unit of mass weighs.
template <RealScalar S>
struct CircleProblem {
  SortedSample<S> x, y;
  S period = 1;
  double unit = 1;
  Mass total = 0;

  /// One turn along the staircase of the coupling with shift s, points without mass included:
  /// cell(i, j, mass) where it stands, then down(i, j) for the way to i + 1 or right(i, j) for the
  /// way to j + 1, until both samples are back at their start. Indices of y run from the start on
  /// and may exceed m. `right_first`: the way taken where steps of both samples meet.
  template <class Cell, class Down, class Right>
  void walk(Mass s, bool right_first, Cell&& cell, Down&& down, Right&& right) const {
    x.with_masses([&](auto a) {
      y.with_masses([&](auto b) {
        Index const n = x.size(), m = y.size();
        Index j = 0;
        Mass left_b = circle_start(m, b, total, s, j);
        Index const turn = j + m;
        Index i = 0;
        Mass left_a = a(0);
        while (i < n || j < turn) {
          Mass const mass = i < n ? std::min(left_a, left_b) : 0;
          if (i < n) cell(i, j, mass);
          left_a -= mass;
          left_b -= mass;
          if (left_b > 0 || j == turn || (left_a == 0 && !right_first && i < n)) {
            down(i++, j);
            left_a = a(i == n ? 0 : i);
          } else {
            right(i, j++);
            left_b = b((j + m) % m);
          }
        }
      });
    });
  }
};

/// Potentials carried along one way, and by how much g misses its start after a turn.
template <class W>
struct CirclePotentials {
  VectorX<W> f, g;
  W miss = 0;
};

template <RealScalar S, class Power>
CirclePotentials<wide_t<S>> carry_potentials(CircleProblem<S> const& problem, S const* lifted,
                                             Mass shift, bool right_first, Power c) {
  using W = wide_t<S>;
  auto const& [x, y, period, unit, total] = problem;
  Index const n = x.size(), m = y.size();
  CirclePotentials<W> p{VectorX<W>(n), VectorX<W>(m)};
  auto const at = [&](Index i) { return i < n ? W(x.points(i)) : W(x.points(0)) + W(period); };
  CompensatedSum<W> row(0), column(0);
  Index start = 0;
  bool begun = false;
  problem.walk(
      shift, right_first,
      [&](Index i, Index j, Mass) {
        if (!begun) {
          begun = true;
          start = j;
          column = CompensatedSum<W>(c(at(i) - W(lifted[j])));
        }
        p.f(i) = row.value();
        if (j < start + m) p.g((j + m) % m) = column.value();
      },
      [&](Index i, Index j) { row.add(c.rise(at(i) - W(lifted[j]), at(i + 1) - at(i))); },
      [&](Index i, Index j) {
        column.add(c.rise(at(i) - W(lifted[j]), W(lifted[j]) - W(lifted[j + 1])));
        if (i == n && j + 1 < start + m) p.g((j + 1 + m) % m) = column.value();
      });
  p.miss = column.value() - p.g((start + m) % m);
  return p;
}

/// The mixture that closes, with <a, f> = <b, g>, in the caller's order.
template <RealScalar S, class Power>
void circle_potentials(CircleProblem<S> const& problem, S const* lifted, Mass shift, Power c,
                       WassersteinCircleResult<S>& r) {
  using W = wide_t<S>;
  auto const high = carry_potentials(problem, lifted, shift, true, c);
  auto const low = carry_potentials(problem, lifted, shift, false, c);
  W const span = high.miss - low.miss;
  W const share = span > 0 ? std::clamp(-low.miss / span, W(0), W(1)) : W(0.5);
  auto const& [x, y, period, unit, total] = problem;
  r.f.resize(x.size());
  r.g.resize(y.size());
  VectorX<W> const f = share * high.f + (1 - share) * low.f;
  VectorX<W> const g = share * high.g + (1 - share) * low.g;
  CompensatedSum<W> mean;
  for (Index i = 0; i < x.size(); ++i) mean.add(-f(i) * W(r.a(x.order[std::size_t(i)])));
  for (Index j = 0; j < y.size(); ++j) mean.add(g(j) * W(r.b(y.order[std::size_t(j)])));
  W const move = mean.value() / (2 * r.a.template cast<W>().sum());
  for (Index i = 0; i < x.size(); ++i) r.f(x.order[std::size_t(i)]) = S(f(i) + move);
  for (Index j = 0; j < y.size(); ++j) r.g(y.order[std::size_t(j)]) = S(g(j) - move);
}

/// d^p by a cost functor on the line.
template <class Power, class W>
struct CirclePower {
  Power c;
  W period;
  W operator()(W z) const { return c(std::remainder(z, period)); }
};

template <RealScalar S, class Power>
void solve_circle(CircleProblem<S>& problem, VectorX<S> const& x, VectorX<S> const& y,
                  Answer1d answer, double p, Power c, WassersteinCircleResult<S>& r) {
  using W = wide_t<S>;
  CircleScratch<S> scratch;
  Index const n = problem.x.size(), m = problem.y.size();
  CircleMinimum<S> minimum;
  if (problem.x.masses.empty()) {
    minimum = circle_uniform(problem.x.points.data(), n, problem.y.points.data(), m, problem.period,
                             c, scratch);
  } else {
    auto const search = [&](SortedSample<S> const& u, SortedSample<S> const& v) {
      return circle_coupled(u.points.data(), u.size(), SortedMasses{u.masses.data()},
                            v.points.data(), v.size(), SortedMasses{v.masses.data()}, problem.total,
                            problem.unit, problem.period, c, scratch);
    };
    auto const has_empty = [](SortedSample<S> const& sample) {
      return std::find(sample.masses.begin(), sample.masses.end(), 0) != sample.masses.end();
    };
    if (has_empty(problem.x) || has_empty(problem.y)) {
      SortedSample<S> u = problem.x, v = problem.y;
      drop_empty(u);
      drop_empty(v);
      minimum = search(u, v);
    } else {
      minimum = search(problem.x, problem.y);
    }
  }
  r.power = minimum.power;
  r.value = std::pow(r.power, W(1 / p));
  r.status = std::isfinite(r.value) ? Status::converged : Status::non_finite;
  if (answer == Answer1d::value) return;

  begin_with_mass(problem.x, problem.period);
  S const* const lifted = scratch.lift(problem.y.points.data(), m, problem.period);
  bool const planned = answer == Answer1d::everything;
  std::vector<Eigen::Triplet<S>> entries;
  r.gradient_x.setZero(n);
  r.gradient_y.setZero(m);
  problem.walk(
      minimum.shift, true,
      [&](Index i, Index j, Mass mass) {
        if (mass == 0) return;
        Index const row = problem.x.order[std::size_t(i)];
        Index const column = problem.y.order[std::size_t((j + m) % m)];
        W const carried = W(mass) * W(problem.unit);
        W const slope = carried * c.slope(W(problem.x.points(i)) - W(lifted[j]));
        r.gradient_x(row) += S(slope);
        r.gradient_y(column) -= S(slope);
        if (planned) entries.emplace_back(int(row), int(column), S(carried));
      },
      [](Index, Index) {}, [](Index, Index) {});
  if (!planned) return;
  r.plan.resize(n, m);
  r.plan.setFromTriplets(entries.begin(), entries.end());
  circle_potentials(problem, lifted, minimum.shift, c, r);
  CirclePower<Power, W> const cost{c, W(problem.period)};
  Status const certified = certify_line(x, y, cost, r);
  if (r.status == Status::converged) r.status = certified;
}

/// Both weights empty: all equal, of mass 1.
template <RealScalar S>
WassersteinCircleResult<S> wasserstein_circle(VectorX<S> x, VectorX<S> y, VectorX<S> a,
                                              VectorX<S> b,
                                              WassersteinCircleOptions const& options) {
  Deadline const clock(infinity);
  Index const n = x.size(), m = y.size();
  require(options.p >= 1 && options.p < infinity, "wasserstein_circle: p is ", options.p,
          "; it must be finite and at least 1, for costs of other exponents are not convex");
  require_positive("wasserstein_circle", "period", options.period);
  check_points("wasserstein_circle", "x", x);
  check_points("wasserstein_circle", "y", y);
  require(n + m < Index(std::numeric_limits<std::int32_t>::max()), "wasserstein_circle: x has ", n,
          " points and y has ", m, "; together they must be fewer than 2^31");
  WassersteinCircleResult<S> r;
  CircleProblem<S> problem;
  problem.period = S(options.period);
  wrap(x, problem.period);
  wrap(y, problem.period);
  bool const equal = a.size() == 0 && b.size() == 0;
  bool const keep = options.answer == Answer1d::everything;
  bool const with_order = !equal || options.answer != Answer1d::value;
  SortScratch<S> scratch;
  problem.x = sorted_sample(x, with_order, keep, scratch);
  problem.y = sorted_sample(y, with_order, keep, scratch);
  if (equal) {
    problem.x.each = n == m ? 1 : m;
    problem.y.each = n == m ? 1 : n;
    problem.total = n * problem.x.each;
    problem.unit = 1 / double(problem.total);
    if (with_order) {
      r.a.setConstant(n, S(1) / S(n));
      r.b.setConstant(m, S(1) / S(m));
    }
  } else {
    wide_t<S> const mass = balance<S>("wasserstein_circle", Shape{n, m}, a, b);
    problem.unit = set_masses(problem.x, problem.y, a, b, mass);
    for (Mass const part : problem.x.masses) problem.total += part;
    r.a = std::move(a);
    r.b = std::move(b);
  }
  with_power(options.p,
             [&](auto c) { solve_circle(problem, x, y, options.answer, options.p, c, r); });
  r.seconds = clock.elapsed();
  return r;
}

/// Sorted by position, with the variance of the positions against those of the uniform law.
template <RealScalar S>
CircleToUniform<S> circle_to_uniform(VectorX<S> x, VectorX<S> a, double period) {
  using W = wide_t<S>;
  require_positive("wasserstein_circle_to_uniform", "period", period);
  check_points("wasserstein_circle_to_uniform", "x", x);
  W mass = 0;
  for (Index k = 0; k < a.size(); ++k) {
    require(a(k) >= 0 && std::isfinite(a(k)), "wasserstein_circle_to_uniform: a(", k, ") is ", a(k),
            "; weights must be at least 0 and finite");
    mass += W(a(k));
  }
  require(a.size() == 0 || mass > 0,
          "wasserstein_circle_to_uniform: the weights a sum to 0; some must be positive");
  wrap(x, S(period));
  SortScratch<S> scratch;
  SortedSample<S> const sample = sorted_sample(x, true, false, scratch);
  Index const n = sample.size();
  CircleToUniform<S> r;
  VectorX<W> deviation(n), share(n);
  W before = 0, mean = 0;
  for (Index k = 0; k < n; ++k) {
    share(k) = a.size() == 0 ? 1 / W(n) : W(a(sample.order[std::size_t(k)])) / mass;
    deviation(k) = W(sample.points(k)) - W(period) * (before + share(k) / 2);
    mean += share(k) * deviation(k);
    before += share(k);
  }
  r.gradient.resize(n);
  for (Index k = 0; k < n; ++k) {
    W const off = deviation(k) - mean, width = W(period) * share(k);
    r.power += share(k) * (off * off + width * width / 12);
    r.gradient(sample.order[std::size_t(k)]) = S(2 * share(k) * off);
  }
  r.value = std::sqrt(r.power);
  r.status = Status::converged;
  return r;
}

}  // namespace detail

/// The p-th Wasserstein distance between points x (n) of equal weights 1/n and y (m) of equal
/// weights 1/m on a circle.
///
///     auto r = monge::ot::wasserstein_circle(x, y, {.p = 2, .period = 1});  // r.value, r.plan ...
///
/// Points are finite, in any order, and stand for their remainders modulo the period. Converged
/// means that every number is finite and, if everything was asked for, that the plan meets its
/// marginals to 8 (n + m) u of the mass and that duality_gap <= 64 u (|cost| + sum a |f| +
/// sum b |g|), else precision_limit; powers that overflow end in non_finite. Throws
/// std::invalid_argument for p < 1, a period that is not positive, and other misuse.
template <RealVectorExpr X, VectorLike<X> Y>
[[nodiscard]] WassersteinCircleResult<scalar_t<X>> wasserstein_circle(
    X const& x, Y const& y, WassersteinCircleOptions const& options = {}) {
  using S = scalar_t<X>;
  return monge::detail::certified(
      detail::wasserstein_circle<S>(monge::detail::as_column(x), monge::detail::as_column(y),
                                    VectorX<S>(), VectorX<S>(), options));
}

/// The same for weights a (n) and b (m): nonnegative, with masses that differ by rounding at most,
/// 8 (n + m) u of their mean, to which they are rescaled; a larger difference is refused. A weight
/// below 2^-63 of the mass counts as zero. Points without mass have feasible potentials too.
template <RealVectorExpr X, VectorLike<X> Y, VectorLike<X> A, VectorLike<X> B>
[[nodiscard]] WassersteinCircleResult<scalar_t<X>> wasserstein_circle(
    X const& x, Y const& y, A const& a, B const& b, WassersteinCircleOptions const& options = {}) {
  using S = scalar_t<X>;
  detail::check_weight_counts("wasserstein_circle", x.size(), a.size(), y.size(), b.size());
  return monge::detail::certified(detail::wasserstein_circle<S>(
      monge::detail::as_column(x), monge::detail::as_column(y), monge::detail::as_column(a),
      monge::detail::as_column(b), options));
}

/// W_2 between points x (n) of equal weights on a circle and its uniform law, in closed form, with
/// its gradient: O(n) besides sorting. Throws std::invalid_argument for misuse.
template <RealVectorExpr X>
[[nodiscard]] CircleToUniform<scalar_t<X>> wasserstein_circle_to_uniform(X const& x,
                                                                         double period = 1) {
  using S = scalar_t<X>;
  return monge::detail::certified(
      detail::circle_to_uniform<S>(monge::detail::as_column(x), VectorX<S>(), period));
}

/// The same for weights a (n), nonnegative, of any positive sum, by which they are divided.
template <RealVectorExpr X, VectorLike<X> A>
[[nodiscard]] CircleToUniform<scalar_t<X>> wasserstein_circle_to_uniform(X const& x, A const& a,
                                                                         double period = 1) {
  using S = scalar_t<X>;
  monge::detail::require(a.size() == x.size(), "wasserstein_circle_to_uniform: x has ",
                         Index(x.size()), " points but a has ", Index(a.size()),
                         " entries; a needs one entry per point");
  return monge::detail::certified(detail::circle_to_uniform<S>(
      monge::detail::as_column(x), monge::detail::as_column(a), period));
}

}  // namespace monge::ot
