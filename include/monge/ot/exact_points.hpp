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

/// Where the points of one side are.
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

}  // namespace detail

/// The road from coarse to fine as a value that monge::iterate drives, as Exact is for all pairs.
/// One native step is one pivot, of any level; levels begin and arcs are searched for between
/// pivots. Owns its points and marginals; it is the balanced problem, without the options for
/// unequal masses.
///
///     ot::ExactPoints const method(point_cloud(X, Y, squared_euclidean{}), a, b);
///     auto r = method.result(iterate(method, limits));
template <RealScalar S, detail::DifferenceCost F>
class ExactPoints {
 public:
  using W = wide_t<S>;

  /// Everything that changes while it runs. Copy it to keep a checkpoint.
  struct State {
    detail::PointState<W> levels;
    Index iterations = 0;           // pivots
    detail::ExactAnswer<W> answer;  // written by finish
  };

  /// Refuses misuse with std::invalid_argument, as exact() does. O(n log n).
  ExactPoints(PointCloud<S, F> const& cloud, VectorX<S> a, VectorX<S> b,
              ExactStart<S> const& start = {})
      : c_(cloud.functor()),
        a_(std::move(a)),
        b_(std::move(b)),
        mass_(checked(detail::shape(cloud), a_, b_, start)),
        X_(cloud.X().template cast<W>()),
        Y_(cloud.Y().template cast<W>()),
        masses_(std::size_t(n() + m())),
        unit_(detail::integer_masses<S>(a_, b_, mass_, masses_.data(), masses_.data() + n())),
        rows_(detail::order_points(X_, masses_.data())),
        columns_(detail::order_points(Y_, masses_.data() + n())),
        method_(c_, detail::columns_at(X_, rows_.active), detail::columns_at(Y_, columns_.active),
                supply(), first_g(start), first_arcs(start)) {}

  [[nodiscard]] State init() const { return {method_.init(), 0, {}}; }

  Advance advance(State& state, Index k) const {
    Advance const done = method_.advance(state.levels, k);
    state.iterations += done.steps;
    return done;
  }

  /// The largest violation of f_i + g_j <= c_ij among the arcs last priced.
  [[nodiscard]] double error(State const& state) const { return method_.error(state.levels); }

  /// Potentials that are feasible for all pairs, and cost, marginals and gap recomputed from the
  /// points. O(n log n).
  Status finish(State& state, Status status) const {
    method_.finish(state.levels);
    detail::ExactAnswer<W> x;
    detail::measure_plan(carried(state), a_, b_, mass_, price(), x);
    x.f.resize(a_.size());
    x.g.resize(b_.size());
    x.f(rows_.active) = state.levels.row_potential;
    x.g(columns_.active) = state.levels.column_potential;
    x.g(columns_.passive) =
        detail::nearest_reduced<W>(c_, detail::columns_at(Y_, columns_.passive),
                                   method_.problem().X, state.levels.row_potential);
    x.f(rows_.passive) =
        detail::nearest_reduced<W>(c_, detail::columns_at(X_, rows_.passive), Y_, x.g);
    detail::measure_gap(carried(state), a_, b_, price(), x);
    state.answer = std::move(x);
    return detail::judged(status, state.answer);
  }

  /// The result of a finished run.
  [[nodiscard]] ExactResult<S> result(Outcome<State> const& run) const {
    return detail::result_of(run, carried(run.state), a_, b_);
  }

 private:
  static W checked(detail::Shape size, VectorX<S>& a, VectorX<S>& b, ExactStart<S> const& start) {
    W const mass = detail::balance<S>("exact", size, a, b);
    require(size.rows + size.cols < Index(std::numeric_limits<std::int32_t>::max()),
            "exact: cost is ", size, "; rows and columns together must be fewer than 2^31");
    detail::check_start("exact", size, start);
    detail::check_plan("exact", size, start.plan);
    return mass;
  }

  [[nodiscard]] Index n() const { return a_.size(); }
  [[nodiscard]] Index m() const { return b_.size(); }

  /// Of the points with mass, in cell order; negative for columns.
  [[nodiscard]] std::vector<detail::Mass> supply() const {
    std::vector<detail::Mass> active;
    for (std::int32_t const i : rows_.active) active.push_back(masses_[std::size_t(i)]);
    for (std::int32_t const j : columns_.active) {
      active.push_back(-masses_[std::size_t(n() + j)]);
    }
    return active;
  }

  [[nodiscard]] VectorX<W> first_g(ExactStart<S> const& start) const {
    if (start.g.size() == 0) return {};
    return start.g(columns_.active).template cast<W>();
  }

  /// The arcs of the plan to start from, in cell order, the largest first.
  [[nodiscard]] std::vector<detail::PricedArc<W>> first_arcs(ExactStart<S> const& start) const {
    std::vector<std::int32_t> place(masses_.size());
    for (std::size_t k = 0; k < rows_.active.size(); ++k) {
      place[std::size_t(rows_.active[k])] = std::int32_t(k);
    }
    for (std::size_t k = 0; k < columns_.active.size(); ++k) {
      place[std::size_t(n() + columns_.active[k])] = std::int32_t(k);
    }
    auto arcs = detail::plan_arcs<W>(
        start.plan, [this](Index i) { return masses_[std::size_t(i)] > 0; },
        [this](Index j) { return masses_[std::size_t(n() + j)] > 0; },
        [](detail::Arc) { return W(0); });  // the levels know the prices
    for (detail::PricedArc<W>& x : arcs) {
      x.arc = {place[std::size_t(x.arc.row)], place[std::size_t(n() + x.arc.column)]};
    }
    return arcs;
  }

  /// The price of an arc in the caller's order.
  [[nodiscard]] auto price() const {
    return [this](detail::Arc arc) {
      W result;
      c_.segment(Y_.col(arc.column).data(), 1, X_.col(arc.row).data(), X_.rows(), 1, &result);
      return result;
    };
  }

  /// The entries of the plan in the caller's order; none before the finest level.
  [[nodiscard]] auto carried(State const& state) const {
    return [this, &state](auto&& visit) {
      if (!method_.has_plan(state.levels)) return;
      state.levels.simplex.tree.for_each_flow([&](detail::Arc arc, detail::Mass flow) {
        visit(detail::Arc{rows_.active[std::size_t(arc.row)],
                          columns_.active[std::size_t(arc.column)]},
              std::ldexp(W(flow), unit_));
      });
    };
  }

  F c_;
  VectorX<S> a_, b_;
  W mass_;
  MatrixX<W> X_, Y_;                  // d x n, d x m
  std::vector<detail::Mass> masses_;  // n + m
  int unit_;                          // the exponent of the unit of mass
  detail::PointOrder rows_, columns_;
  detail::PointMethod<W, F> method_;
};

namespace detail {

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
/// From coarse to fine: costs of float points are evaluated in double. From a start with
/// potentials, of which g is used, or with a plan whose arcs join all points, the finest level is
/// solved at once; the arcs of any plan come first in its basis. Partial transport and extra mass
/// take all pairs. A run that ends before it has reached that level has an empty plan. Iterations
/// are pivots on all levels; the clock is looked at between them, not within a search over all
/// pairs, which takes some microseconds per point. Points so far apart that costs overflow are left
/// to the simplex on all pairs, where they are forbidden.
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
  ExactPoints<S, F> const method(cost, detail::as_column(a), detail::as_column(b), start);
  return method.result(iterate(method,
                               {options.max_iterations, options.max_seconds, options.observe_every},
                               std::forward<Watch>(observer)));
}

}  // namespace monge::ot
