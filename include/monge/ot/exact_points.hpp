// SPDX-License-Identifier: MIT
/// @file
/// Exact transport between many points:
///
///     minimise  sum_ij c(x_i, y_j) P_ij   over P >= 0 with row sums a and column sums b
///
/// for costs that grow with each |x_k - y_k| (squared_euclidean, euclidean, p_norm), in memory that
/// is linear in n + m, with a proof over all n m pairs.
///
/// Method: coarse to fine with column generation. Both point sets are merged, two neighbours at a
/// time, until 64 points are left; each level is solved by the sparse simplex on some 16 arcs per
/// point: the nearest in the reduced cost c(x_i, y_j) - g_j for the potentials of the level above,
/// and those that refine its plan, along which the mass surely can go. A k-d tree whose cells know
/// their largest g_j then finds, for every row, the pairs that violate f_i + g_j <= c(x_i, y_j);
/// they join the arcs, and the finest level goes on until there is none. Since potentials of
/// neighbouring levels are close, that takes two or three rounds and few pivots per point.
///
/// Cost: O(n log n) for a search over all pairs in few dimensions, n m at worst in many; pivots are
/// about 3 n, of O(sqrt n) to O(n) each. See docs/guide/exact_points.md for what was measured.
///
/// When not to use it: in many dimensions, where cells are not small and the tree prunes nothing;
/// `ExactRoad::automatic` leaves these to the simplex on all pairs.
///
/// Source: the multiscale start and the sparse support follow B. Schmitzer, A sparse multiscale
/// algorithm for dense optimal transport, Journal of Mathematical Imaging and Vision 56 (2016)
/// 238-259, and S. Gerber, M. Maggioni, Multiscale strategies for computing optimal transport,
/// Journal of Machine Learning Research 18 (2017) 1-32. Deviations: no shielding condition; the
/// search in a weighted tree proves optimality over all pairs. Merging in halves is ours.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <monge/ot/detail/point_levels.hpp>
#include <monge/ot/exact.hpp>

namespace monge::ot {

namespace detail {

/// The points that carry mass, in cell order.
struct PointOrder {
  std::vector<std::int32_t> active;   ///< the caller's numbers of points with mass, in cell order
  std::vector<std::int32_t> passive;  ///< those of the others
};

template <RealScalar W>
PointOrder order_points(MatrixX<W> const& points, Mass const* mass) {
  PointOrder x;
  std::vector<std::int32_t> carry;
  for (std::int32_t k = 0; k < std::int32_t(points.cols()); ++k) {
    (mass[k] > 0 ? carry : x.passive).push_back(k);
  }
  for (std::int32_t const k : cell_order(columns_at(points, carry))) {
    x.active.push_back(carry[std::size_t(k)]);
  }
  return x;
}

/// min_j c(x, y_j) - w_j for each column x of `points`, over the columns y of `others`.
template <RealScalar W, DifferenceCost F>
VectorX<W> nearest_reduced(F const& c, MatrixX<W> const& points, MatrixX<W> const& others,
                           VectorX<W> const& weight) {
  VectorX<W> least = VectorX<W>::Constant(points.cols(), std::numeric_limits<W>::infinity());
  if (points.cols() == 0 || others.cols() == 0) return least;
  std::vector<std::int32_t> const order = cell_order(others);
  PointTree<W, F> const tree(c, columns_at(others, order));
  TreeWeights<W> const weights = tree.weigh(weight(order));
  for (Index k = 0; k < points.cols(); ++k) {
    Neighbour<W> nearest;
    tree.nearest(weights, points.col(k).data(), 1, std::numeric_limits<W>::infinity(), &nearest);
    least(k) = nearest.reduced;
  }
  return least;
}

/// Solves from coarse to fine and certifies the answer from the points.
template <RealScalar S, DifferenceCost F, class Watch>
ExactResult<S> solve_points(PointCloud<S, F> const& cloud, VectorX<S> a, VectorX<S> b,
                            ExactOptions const& options, ExactStart<S> const& start,
                            Watch&& observer) {
  using W = wide_t<S>;
  Shape const size = shape(cloud);
  W const mass = balance<S>("exact", size, a, b);
  require(size.rows + size.cols < Index(std::numeric_limits<std::int32_t>::max()),
          "exact: cost is ", size, "; rows and columns together must be fewer than 2^31");
  check_start("exact", size, start);
  F const& c = cloud.functor();
  MatrixX<W> const X = cloud.X().template cast<W>(), Y = cloud.Y().template cast<W>();
  std::vector<Mass> masses(std::size_t(size.rows + size.cols));
  int const unit = integer_masses<S>(a, b, mass, masses.data(), masses.data() + size.rows);
  PointOrder const rows = order_points(X, masses.data());
  PointOrder const columns = order_points(Y, masses.data() + size.rows);
  std::vector<Mass> supply;
  for (std::int32_t const i : rows.active) supply.push_back(masses[std::size_t(i)]);
  for (std::int32_t const j : columns.active) {
    supply.push_back(-masses[std::size_t(size.rows + j)]);
  }
  VectorX<W> first;
  if (start.g.size() > 0) first = start.g(columns.active).template cast<W>();
  PointMethod<W, F> const method(c, columns_at(X, rows.active), columns_at(Y, columns.active),
                                 std::move(supply), std::move(first));
  auto [state, status, statistics] =
      iterate(method, {options.max_iterations, options.max_seconds, options.observe_every},
              std::forward<Watch>(observer));

  // The answer in the caller's order.
  VectorX<W> f(size.rows), g(size.cols);
  f(rows.active) = state.row_potential;
  g(columns.active) = state.column_potential;
  g(columns.passive) = nearest_reduced<W>(c, columns_at(Y, columns.passive),
                                          columns_at(X, rows.active), state.row_potential);
  f(rows.passive) = nearest_reduced<W>(c, columns_at(X, rows.passive), Y, g);
  VectorX<W> sums_a = VectorX<W>::Zero(size.rows), sums_b = VectorX<W>::Zero(size.cols);
  W cost = 0, gap = 0;
  std::vector<Eigen::Triplet<S>> entries;
  if (method.has_plan(state)) {
    state.simplex.tree.for_each_flow([&](Arc arc, Mass flow) {
      std::int32_t const i = rows.active[std::size_t(arc.row)],
                         j = columns.active[std::size_t(arc.column)];
      W const weight = std::ldexp(W(flow), unit), price = method.problem().price(arc);
      entries.emplace_back(i, j, S(weight));
      sums_a(i) += weight;
      sums_b(j) += weight;
      cost += weight * price;
      gap += weight * std::max(W(0), price - f(i) - g(j));
    });
  }
  ExactResult<S> r;
  r.plan.resize(size.rows, size.cols);
  r.plan.setFromTriplets(entries.begin(), entries.end());
  r.transport_cost = cost;
  r.f = f.template cast<S>();
  r.g = g.template cast<S>();
  r.marginal_error = double(((sums_a - a.template cast<W>()).cwiseAbs().sum() +
                             (sums_b - b.template cast<W>()).cwiseAbs().sum()) /
                            mass);
  W const roundoff = W(unit_roundoff<S>);
  bool const transported = W(r.marginal_error) <= 8 * W(size.rows + size.cols) * roundoff;
  r.duality_gap = transported ? gap : W(infinity);
  W const scale = std::abs(cost) + a.template cast<W>().dot(f.cwiseAbs()) +
                  b.template cast<W>().dot(g.cwiseAbs());
  if (status == Status::converged && !(r.duality_gap <= 64 * roundoff * scale)) {
    status = Status::precision_limit;
  }
  r.left_a = VectorX<S>::Zero(size.rows);
  r.left_b = VectorX<S>::Zero(size.cols);
  r.a = std::move(a);
  r.b = std::move(b);
  r.status = status;
  r.iterations = statistics.iterations;
  r.seconds = statistics.seconds;
  return r;
}

/// Whether no cost between the points, nor a sum over a path, leaves the range of the scalar.
template <RealScalar S, DifferenceCost F>
bool costs_in_range(PointCloud<S, F> const& cloud) {
  using W = wide_t<S>;
  MatrixX<W> const X = cloud.X().template cast<W>(), Y = cloud.Y().template cast<W>();
  VectorX<W> const extent = X.rowwise().maxCoeff().cwiseMax(Y.rowwise().maxCoeff()) -
                            X.rowwise().minCoeff().cwiseMin(Y.rowwise().minCoeff());
  return std::isfinite(cost_of_difference(cloud.functor(), extent.data(), extent.size()) *
                       W(cloud.rows() + cloud.cols()));
}

/// Whether coarse to fine is the faster road: measured with points in boxes of 2 to 10 dimensions.
inline bool prefers_levels(Index points, Index dimension) {
  return dimension <= 6 && points >= 1000;
}

}  // namespace detail

/// `exact` between points: from coarse to fine if that is the faster road, else on all pairs;
/// `options.road` forces either.
///
///     auto r = monge::ot::exact(monge::ot::point_cloud(X, Y, squared_euclidean{}), a, b);
///
/// Arguments, result, statuses and the meaning of converged are those of the general `exact`.
/// From coarse to fine: costs of float points are evaluated in double. Of a start only g is used,
/// and the finest level is solved at once. Partial transport and extra mass take all pairs. A run
/// that ends before it has reached that level has an empty plan. Iterations are pivots on all
/// levels; the clock is looked at between them, not within a search over all pairs, which takes
/// some microseconds per point. Points so far apart that costs overflow are left to the simplex on
/// all pairs, where they are forbidden.
template <RealScalar S, detail::DifferenceCost F, VectorLike<PointCloud<S, F>> A,
          VectorLike<PointCloud<S, F>> B, Observer Watch = Unobserved>
[[nodiscard]] ExactResult<S> exact(PointCloud<S, F> const& cost, A const& a, B const& b,
                                   ExactOptions const& options = {},
                                   ExactStart<S> const& start = {}, Watch&& observer = {}) {
  bool const all_mass = !options.mass && !options.extra_mass_penalty;
  bool const levels = options.road == ExactRoad::coarse_to_fine ||
                      (options.road == ExactRoad::automatic &&
                       detail::prefers_levels(cost.rows() + cost.cols(), cost.Y().rows()));
  if (!all_mass || !levels || !detail::costs_in_range(cost)) {
    return exact(detail::CostReference<PointCloud<S, F>>(cost), a, b, options, start,
                 std::forward<Watch>(observer));
  }
  detail::require_limits("exact", options.max_iterations, options.max_seconds,
                         options.observe_every);
  return detail::certified(detail::solve_points(cost, detail::as_column(a), detail::as_column(b),
                                                options, start, observer));
}

}  // namespace monge::ot
