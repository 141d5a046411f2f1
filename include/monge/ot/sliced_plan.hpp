// SPDX-License-Identifier: MIT
/// @file
/// Transport plans from directions: couplings of two clouds in R^d that are made on lines.
///
/// Along a direction theta the optimal coupling of the projections is in order. Lifted to the
/// points it is a coupling P_theta of the clouds, and costs at least W_p^p:
///
///     min_pivot_sliced    the cheapest P_theta of L directions,  <C, P_theta>, C_ij = |x_i -
///     y_j|^p expected_sliced     their weighted mean, sum_l w_l P_theta_l
///
/// Both are upper bounds of W_p^p that cost O(L (n + m) d) instead of O(n^3). The same sorts give a
/// lower bound: W_p^p(theta) <= W_p^p for every direction and, for each orthonormal basis of
/// directions, sum_k W_p^p(theta_k) <= max(1, d^(1 - p/2)) W_p^p (the norms of R^d compared), so
/// that every call brackets the exact distance.
///
/// Method: project, sort both clouds, walk the staircase of the line's coupling in the points'
/// indices. Points that fall together on a line are coupled in index order, which is one of the
/// optimal couplings there. Memory O((n + m) d); expected_sliced O(L (n + m)).
///
/// When not to use it: where the optimum matters, exact is not much dearer for some thousand
/// points; in high dimension all lines are alike and min_pivot_sliced is hardly better than a
/// random coupling.
///
/// Sources: G. Mahey, L. Chapel, G. Gasso, C. Bonet, N. Courty, Fast optimal transport through
/// sliced generalized Wasserstein geodesics, NeurIPS 2023 (min-SWGG, in
/// the form of the lifted plan); X. Liu et al., Expected sliced transport plans, ICLR 2025 (with
/// their weights by temperature); E. Tanguy, L. Chapel, J. Delon, Sliced transport plans, 2025. The
/// bracket from orthonormal directions is ours.
#pragma once

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/random.hpp>
#include <monge/ot/detail/projected_pair.hpp>
#include <monge/ot/directions.hpp>

namespace monge::ot {

/// Options of `min_pivot_sliced` and `expected_sliced`.
struct SlicedPlanOptions {
  double p = 2;            ///< exponent of the cost |x - y|^p; finite, at least 1
  Index projections = 50;  ///< directions; at least 1
  /// How they are made; full orthogonal blocks give the sharper lower bound.
  DirectionRule directions = DirectionRule::orthogonal;
  /// For expected_sliced, in units of 1 / cost: a direction counts exp(-this * cost) times as much.
  /// 0: its own weight; infinitely large would be min_pivot_sliced. At least 0 and finite.
  double inverse_temperature = 0;
  Parallel parallel = {};  ///< threads; the result does not depend on it
};

/// A coupling made on lines.
template <RealScalar S>
struct SlicedPlanResult {
  Eigen::SparseMatrix<S> plan;     ///< n x m; at most n + m - 1 entries per direction in it
  wide_t<S> value = 0;             ///< (sum P_ij |x_i - y_j|^p)^(1/p) >= W_p
  wide_t<S> power = 0;             ///< sum P_ij |x_i - y_j|^p >= W_p^p
  wide_t<S> lower_power = 0;       ///< <= W_p^p, both to rounding
  VectorX<S> direction;            ///< d: of the cheapest of the lifted plans
  VectorX<wide_t<S>> costs;        ///< L: sum P_ij |x_i - y_j|^p of each direction
  VectorX<wide_t<S>> proportions;  ///< L: share of each direction in the plan
  VectorX<S> a, b;                 ///< the weights that were used (rescaled to equal masses)
  Status status = Status::not_run;
  double seconds = 0;  ///< wall time

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(value, power, lower_power, costs); }
};

namespace detail {

/// |z|^p from |z|^2.
struct NormPower {
  double p;
  template <RealScalar W>
  W operator()(W square) const {
    if (p == 2) return square;
    if (p == 1) return std::sqrt(square);
    return std::pow(square, W(p / 2));
  }
};

/// sum P_ij |x_i - y_j|^p of the coupling along the line.
template <RealScalar S>
wide_t<S> lifted_cost(ProjectedPair<S> const& pair, typename ProjectedPair<S>::Line const& line,
                      NormPower c) {
  using W = wide_t<S>;
  W cost = 0;
  pair.for_each_pair(line, [&](Index i, Index j, W weight) {
    cost += weight * c(W((pair.X().col(i) - pair.Y().col(j)).squaredNorm()));
  });
  return cost;
}

/// Whether columns first .. first + d - 1 are an orthonormal basis.
inline bool is_basis(MatrixX<double> const& theta, Index first) {
  Index const d = theta.rows();
  if (first + d > theta.cols()) return false;
  MatrixX<double> const Q = theta.middleCols(first, d);
  return (Q.transpose() * Q - MatrixX<double>::Identity(d, d)).cwiseAbs().maxCoeff() <= 1e-12;
}

/// The largest lower bound of W_p^p that powers along lines give: one line, or a basis of them.
template <RealScalar W>
W lower_bound(Directions const& set, VectorX<W> const& powers, double p) {
  Index const d = set.dimension();
  W best = powers.maxCoeff();
  // |z|^p >= factor sum_k |z_k|^p, by the inequality of power means for p < 2.
  W const factor = p < 2 ? std::pow(W(d), W(p / 2 - 1)) : W(1);
  if (set.block != d) return best;
  for (Index first = 0; first + d <= set.count(); first += d) {
    if (is_basis(set.theta, first)) best = std::max(best, factor * powers.segment(first, d).sum());
  }
  return best;
}

/// Costs and powers of all directions.
template <RealScalar S>
void sweep(ProjectedPair<S> const& pair, Directions const& set, SlicedPlanOptions const& options,
           SlicedPlanResult<S>& r) {
  Index const L = set.count();
  VectorX<wide_t<S>> powers(L);
  r.costs.resize(L);
  std::vector<typename ProjectedPair<S>::Line> lines(std::size_t(options.parallel.workers()),
                                                     pair.line());
  monge::detail::parallel_for(options.parallel, L, [&](Index l, int worker) {
    auto& line = lines[std::size_t(worker)];
    pair.project(set.theta.col(l).template cast<S>(), line);
    r.costs(l) = lifted_cost(pair, line, NormPower{options.p});
    with_power(options.p, [&](auto c) { powers(l) = pair.power(line, c); });
  });
  r.lower_power = lower_bound(set, powers, options.p);
}

/// The plan that has `proportions` of the directions; those of share 0 are left out.
template <RealScalar S>
void mixed_plan(ProjectedPair<S> const& pair, Directions const& set, SlicedPlanResult<S>& r) {
  using W = wide_t<S>;
  std::vector<Eigen::Triplet<S>> entries;
  auto line = pair.line();
  for (Index l = 0; l < set.count(); ++l) {
    W const share = r.proportions(l);
    if (!(share > 0)) continue;
    pair.project(set.theta.col(l).template cast<S>(), line);
    pair.for_each_pair(line, [&](Index i, Index j, W weight) {
      entries.emplace_back(int(i), int(j), S(share * weight));
    });
  }
  r.plan.resize(pair.n(), pair.m());
  r.plan.setFromTriplets(entries.begin(), entries.end());
  r.power = r.proportions.dot(r.costs);
}

template <RealScalar S>
SlicedPlanResult<S> sliced_plan(std::string_view function, bool cheapest, MatrixX<S> X,
                                MatrixX<S> Y, VectorX<S> a, VectorX<S> b, Directions const& set,
                                SlicedPlanOptions const& options) {
  Deadline const clock(infinity);
  require(options.p >= 1 && options.p < infinity, function, ": p is ", options.p,
          "; it must be finite and at least 1");
  require_nonnegative(function, "inverse_temperature", options.inverse_temperature);
  require(set.count() >= 1, function, ": there are no directions; at least one is needed");
  require(set.theta.rows() == X.rows(), function, ": X is ", shape(X), " but directions are ",
          shape(set.theta), "; they need one row per coordinate");
  require(set.theta.allFinite(), function, ": directions have NaN or infinite entries");
  ProjectedPair<S> const pair(function, std::move(X), std::move(Y), std::move(a), std::move(b));
  SlicedPlanResult<S> r;
  sweep(pair, set, options, r);
  Index best = 0;
  wide_t<S> const least = r.costs.minCoeff(&best);
  r.direction = set.theta.col(best).template cast<S>();
  r.proportions.setZero(set.count());
  if (cheapest) {
    r.proportions(best) = 1;
  } else {
    for (Index l = 0; l < set.count(); ++l) {
      wide_t<S> const above = (r.costs(l) - least) * wide_t<S>(options.inverse_temperature);
      r.proportions(l) = wide_t<S>(set.weight(l)) * std::exp(-above);
    }
    r.proportions /= r.proportions.sum();
  }
  mixed_plan(pair, set, r);
  r.value = std::pow(r.power, wide_t<S>(1 / options.p));
  r.a = pair.a();
  r.b = pair.b();
  r.status = r.costs.allFinite() ? Status::converged : Status::non_finite;
  r.seconds = clock.elapsed();
  return monge::detail::certified(std::move(r));
}

template <RealScalar S>
SlicedPlanResult<S> sliced_plan(std::string_view function, bool cheapest, MatrixX<S> X,
                                MatrixX<S> Y, VectorX<S> a, VectorX<S> b, RandomKey key,
                                SlicedPlanOptions const& options) {
  require_rule(function, options.directions, X.rows(), options.projections, 1);
  Directions const set = directions(options.directions, X.rows(), options.projections, key);
  return sliced_plan<S>(function, cheapest, std::move(X), std::move(Y), std::move(a), std::move(b),
                        set, options);
}

/// What directions come from: a set of them, a key, or a generator that supplies one.
template <class G>
concept DirectionSource = std::same_as<std::remove_cvref_t<G>, Directions> ||
                          std::same_as<std::remove_cvref_t<G>, RandomKey> || RandomGenerator<G>;

inline Directions const& set_or_key(Directions const& set) { return set; }
inline RandomKey set_or_key(RandomKey key) { return key; }
template <RandomGenerator G>
RandomKey set_or_key(G&& generator) {
  return key_from(generator);
}

}  // namespace detail

/// The cheapest of the couplings that L directions make of clouds X (d x n) and Y (d x m) with
/// equal weights: an upper bound of the exact distance, its plan, and a lower bound.
///
///     auto r = monge::ot::min_pivot_sliced(X, Y, {.p = 2, .projections = 200}, generator);
///     r.lower_power <= W_p^p <= r.power;   r.plan is an Eigen::SparseMatrix
///
/// For n = m the plan is a permutation over n. `source` is a random generator, which supplies one
/// key, a RandomKey, or a set of Directions, of which `projections` and `directions` are then
/// ignored. Converged means that all numbers are finite (powers that overflow end in non_finite:
/// rescale the points). Throws std::invalid_argument for p < 1, points that are not finite and
/// other misuse.
template <RealMatrixExpr X, MatrixLike<X> Y, detail::DirectionSource G>
[[nodiscard]] SlicedPlanResult<scalar_t<X>> min_pivot_sliced(X const& x, Y const& y,
                                                             SlicedPlanOptions const& options,
                                                             G&& source) {
  using S = scalar_t<X>;
  return detail::sliced_plan<S>("min_pivot_sliced", true, x, y, VectorX<S>(), VectorX<S>(),
                                detail::set_or_key(source), options);
}

/// The same for weights a (n) and b (m): nonnegative, with masses that differ by rounding at most.
template <RealMatrixExpr X, MatrixLike<X> Y, VectorLike<X> A, VectorLike<X> B,
          detail::DirectionSource G>
[[nodiscard]] SlicedPlanResult<scalar_t<X>> min_pivot_sliced(X const& x, Y const& y, A const& a,
                                                             B const& b,
                                                             SlicedPlanOptions const& options,
                                                             G&& source) {
  using S = scalar_t<X>;
  return detail::sliced_plan<S>("min_pivot_sliced", true, x, y, monge::detail::as_column(a),
                                monge::detail::as_column(b), detail::set_or_key(source), options);
}

/// The mean of the couplings that L directions make of clouds X (d x n) and Y (d x m) with equal
/// weights, by the weights of the directions and `inverse_temperature`.
///
/// Arguments, result and errors are those of `min_pivot_sliced`. As L grows the plan becomes a
/// function of the clouds alone. It spreads the mass of a point over many partners: a smooth
/// coupling for barycentric maps, at a cost well above W_p^p.
template <RealMatrixExpr X, MatrixLike<X> Y, detail::DirectionSource G>
[[nodiscard]] SlicedPlanResult<scalar_t<X>> expected_sliced(X const& x, Y const& y,
                                                            SlicedPlanOptions const& options,
                                                            G&& source) {
  using S = scalar_t<X>;
  return detail::sliced_plan<S>("expected_sliced", false, x, y, VectorX<S>(), VectorX<S>(),
                                detail::set_or_key(source), options);
}

/// The same for weights a (n) and b (m).
template <RealMatrixExpr X, MatrixLike<X> Y, VectorLike<X> A, VectorLike<X> B,
          detail::DirectionSource G>
[[nodiscard]] SlicedPlanResult<scalar_t<X>> expected_sliced(X const& x, Y const& y, A const& a,
                                                            B const& b,
                                                            SlicedPlanOptions const& options,
                                                            G&& source) {
  using S = scalar_t<X>;
  return detail::sliced_plan<S>("expected_sliced", false, x, y, monge::detail::as_column(a),
                                monge::detail::as_column(b), detail::set_or_key(source), options);
}

}  // namespace monge::ot
