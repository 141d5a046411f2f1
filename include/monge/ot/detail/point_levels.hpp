// SPDX-License-Identifier: MIT
/// @file
/// Transport between points from coarse to fine: the method behind exact_points.hpp.
///
/// A level holds both point sets with blocks of 2^h points of the cell order as one point each, at
/// their centre, with their mass; the finest is the problem itself. On each level the simplex runs
/// on few arcs, from the potentials of the level above; then every row asks the tree for arcs that
/// violate f_i + g_j <= c(x_i, y_j), and what is found joins the arcs. The finest level repeats
/// this until nothing is found, which is a proof over all pairs.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/iterate.hpp>
#include <monge/ot/detail/exact_problem.hpp>
#include <monge/ot/detail/point_tree.hpp>
#include <monge/ot/detail/sparse_simplex.hpp>

namespace monge::ot::detail {

/// Both point sets at one resolution.
template <RealScalar W, DifferenceCost F>
struct PointLevel {
  Index rows_of_parent = 1,
        columns_of_parent = 1;  ///< points that one of the level above stands for
  MatrixX<W> X, Y;              ///< d x n, d x m
  std::vector<Mass> supply;     ///< n + m, negative for columns
  PointTree<W, F> x, y;

  PointLevel(F const& c, MatrixX<W> X_, MatrixX<W> Y_, std::vector<Mass> supply_)
      : X(std::move(X_)), Y(std::move(Y_)), supply(std::move(supply_)), x(c, X), y(c, Y) {}

  [[nodiscard]] Index n() const { return X.cols(); }
  [[nodiscard]] Index m() const { return Y.cols(); }
  [[nodiscard]] W price(Arc arc) const { return y.cost(X.col(arc.row).data(), arc.column); }
};

/// Neighbouring points of the cell order, `block` at a time, as one: mean points and sums of mass.
template <RealScalar W>
MatrixX<W> merge_blocks(MatrixX<W> const& points, Mass const* mass, Index block, Mass* sums) {
  Index const n = points.cols(), count = (n + block - 1) / block;
  MatrixX<W> means = MatrixX<W>::Zero(points.rows(), count);
  for (Index t = 0; t < count; ++t) {
    Index const first = t * block, end = std::min(n, first + block);
    W total = 0;
    sums[t] = 0;
    for (Index k = first; k < end; ++k) {
      means.col(t) += W(mass[k]) * points.col(k);
      total += W(mass[k]);
      sums[t] += mass[k];
    }
    means.col(t) /= total;
  }
  return means;
}

/// What a run has at hand. A value: copy it to go on from it later.
template <RealScalar W>
struct PointState {
  std::size_t level = 0;  ///< counted from the finest, 0
  bool begun = false;     ///< the level has its arcs and its tree
  Index rounds = 0;       ///< searches for violated arcs on this level
  ArcList<W> arcs;
  SparseSimplexState<W> simplex;
  std::vector<Arc> support;  ///< of the plan one level up
  VectorX<W> f;              ///< of the rows one level up

  // Written by finish: the answer for the points in cell order. Not read by any step.
  VectorX<W> row_potential, column_potential;
};

/// One native step is one pivot; levels begin and arcs are searched for between pivots.
template <RealScalar W, DifferenceCost F>
class PointMethod {
 public:
  /// X, Y: points with mass in cell order. supply: n + m, negative for columns. start: empty, or
  /// potentials of the columns from which the finest level is solved at once. plan: arcs to come
  /// first in its basis; if they join all points, they give the potentials too.
  PointMethod(F const& c, MatrixX<W> X, MatrixX<W> Y, std::vector<Mass> supply, VectorX<W> start,
              std::vector<PricedArc<W>> plan)
      : start_(std::move(start)), plan_(std::move(plan)) {
    levels_.emplace_back(c, std::move(X), std::move(Y), std::move(supply));
    for (PricedArc<W>& x : plan_) x.cost = problem().price(x.arc);
    if (start_.size() == 0) start_ = potential_of_plan();
    while (start_.size() == 0 && std::max(levels_.back().n(), levels_.back().m()) > coarsest) {
      PointLevel<W, F>& fine = levels_.back();
      fine.rows_of_parent = fine.n() > coarsest ? 2 : 1;
      fine.columns_of_parent = fine.m() > coarsest ? 2 : 1;
      Index const n = fine.n(), rows = (n + fine.rows_of_parent - 1) / fine.rows_of_parent;
      Index const columns = (fine.m() + fine.columns_of_parent - 1) / fine.columns_of_parent;
      std::vector<Mass> sums(std::size_t(rows + columns));
      MatrixX<W> P = merge_blocks(fine.X, fine.supply.data(), fine.rows_of_parent, sums.data());
      MatrixX<W> Q =
          merge_blocks(fine.Y, fine.supply.data() + n, fine.columns_of_parent, sums.data() + rows);
      levels_.emplace_back(c, std::move(P), std::move(Q), std::move(sums));
    }
  }

  [[nodiscard]] PointLevel<W, F> const& problem() const { return levels_.front(); }

  [[nodiscard]] PointState<W> init() const {
    PointState<W> state;
    state.level = levels_.size() - 1;
    return state;
  }

  Advance advance(PointState<W>& state, Index k) const {
    Index steps = 0;
    while (steps < k) {
      if (!state.begun) begin_level(state);
      PointLevel<W, F> const& level = levels_[state.level];
      SparseSimplex<W> const simplex(state.arcs, level.supply);
      steps += simplex.advance(state.simplex, k - steps);
      if (steps == k) break;
      bool const coarse = state.level > 0;
      if (!(coarse && state.rounds > 0) && add_violated_arcs(state)) {
        ++state.rounds;
        continue;
      }
      if (!coarse) return {Status::converged, steps};
      state.support.clear();
      state.simplex.tree.for_each_flow([&](Arc arc, Mass) { state.support.push_back(arc); });
      state.f = state.simplex.tree.potential.head(level.n());
      state.begun = false;
      state.rounds = 0;
      --state.level;
    }
    return {Status::running, steps};
  }

  /// The largest violation of f_i + g_j <= c_ij among the arcs last priced.
  [[nodiscard]] double error(PointState<W> const& state) const { return state.simplex.worst; }

  /// Whether the state has a plan for the points themselves.
  [[nodiscard]] static bool has_plan(PointState<W> const& state) {
    return state.level == 0 && state.begun;
  }

  /// Potentials that are feasible for all pairs: g of the tree or of the level reached, and the
  /// largest f for it. O(n log n).
  void finish(PointState<W>& state) const {
    PointLevel<W, F> const& level = problem();
    if (has_plan(state)) {
      state.simplex.tree.refresh([&](Arc arc) { return state.arcs.price(arc); });
      state.simplex.since_refresh = 0;
      state.column_potential = state.simplex.tree.potential.tail(level.m());
    } else {
      state.column_potential = first_potential(state, 0);
    }
    TreeWeights<W> const weights = level.y.weigh(state.column_potential);
    state.row_potential.resize(level.n());
    for (Index i = 0; i < level.n(); ++i) {
      Neighbour<W> nearest;
      level.y.nearest(weights, level.X.col(i).data(), 1, none, &nearest);
      state.row_potential(i) = nearest.reduced;
    }
  }

 private:
  static constexpr W none = std::numeric_limits<W>::infinity();
  static constexpr Index coarsest = 64;  // points of each set, with all their arcs
  // Measured on points in the plane and in space, of 4 to 16 and 0 to 8.
  static constexpr Index arcs_of_row = 12, arcs_of_column = 4, arcs_of_violated_row = 6;

  /// g by the costs of the plan's arcs if these join all points and can carry the mass, else empty.
  [[nodiscard]] VectorX<W> potential_of_plan() const {
    PointLevel<W, F> const& level = problem();
    std::vector<Arc> const forest = spanning_forest(plan_, level.n(), level.supply.size());
    if (forest.size() + 1 < level.supply.size()) return {};
    TransportTree<W> const tree(level.n(), level.supply, forest,
                                VectorX<W>::Zero(level.n() + level.m()),
                                [&](Arc arc) { return level.price(arc); });
    Index tops = 0;
    tree.for_each_below(tree.root(), [&](int v) { tops += tree.at(v).parent == tree.root(); });
    if (tops > 1) return {};
    return tree.potential.tail(level.m());
  }

  /// g on a level: the c-transform of the potentials f one level above the state's.
  [[nodiscard]] VectorX<W> first_potential(PointState<W> const& state, std::size_t to) const {
    PointLevel<W, F> const& level = levels_[to];
    if (start_.size() > 0) return start_;
    if (state.f.size() == 0) return VectorX<W>::Zero(level.m());
    PointLevel<W, F> const& above = levels_[state.level + 1];
    TreeWeights<W> const weights = above.x.weigh(state.f);
    VectorX<W> g(level.m());
    for (Index j = 0; j < level.m(); ++j) {
      Neighbour<W> nearest;
      above.x.nearest(weights, level.Y.col(j).data(), 1, none, &nearest);
      g(j) = nearest.reduced;
    }
    return g;
  }

  /// Chooses the arcs of a level and makes its first tree from the tightest of them.
  void begin_level(PointState<W>& state) const {
    PointLevel<W, F> const& level = levels_[state.level];
    Index const n = level.n(), m = level.m();
    VectorX<W> potential(n + m);
    potential.tail(m) = first_potential(state, state.level);
    VectorX<W> const g = potential.tail(m);
    Neighbour<W> found[arcs_of_row];
    std::vector<PricedArc<W>> arcs;
    arcs.reserve(std::size_t((arcs_of_row + 2) * n + arcs_of_column * m));
    TreeWeights<W> const of_columns = level.y.weigh(g);
    for (Index i = 0; i < n; ++i) {
      Index const count =
          level.y.nearest(of_columns, level.X.col(i).data(), arcs_of_row, none, found);
      potential(i) = found[0].reduced;
      for (Index k = 0; k < count; ++k) arcs.push_back(arc_to(i, found[k]));
    }
    TreeWeights<W> const of_rows = level.x.weigh(potential.head(n));
    for (Index j = 0; j < m; ++j) {
      Index const count =
          level.x.nearest(of_rows, level.Y.col(j).data(), arcs_of_column, none, found);
      for (Index k = 0; k < count; ++k) {
        arcs.push_back({found[k].cost, 0, {found[k].index, std::int32_t(j)}});
      }
    }
    add_arcs_that_carry(state, arcs);
    if (state.level == 0) arcs.insert(arcs.end(), plan_.begin(), plan_.end());
    state.arcs = ArcList<W>{std::vector<std::size_t>(std::size_t(m) + 1, 0), {}, {}};
    join(state.arcs, arcs);
    for (PricedArc<W>& x : arcs) {
      x.reduced = x.cost - potential(x.arc.row) - potential(n + x.arc.column);
    }
    std::sort(arcs.begin(), arcs.end(), before<W>);
    if (state.level == 0) arcs.insert(arcs.begin(), plan_.begin(), plan_.end());
    std::vector<Arc> const forest = spanning_forest(arcs, n, level.supply.size());
    state.simplex = {};
    state.simplex.tree = TransportTree<W>(n, level.supply, forest, std::move(potential),
                                          [&](Arc arc) { return state.arcs.price(arc); });
    state.begun = true;
  }

  static PricedArc<W> arc_to(Index row, Neighbour<W> const& to) {
    return {to.cost, 0, {std::int32_t(row), to.index}};
  }

  /// Arcs along which all mass can go: those between the points that arcs of the last plan stand
  /// for; without one, all arcs of a small level, else a staircase through both cell orders.
  void add_arcs_that_carry(PointState<W> const& state, std::vector<PricedArc<W>>& arcs) const {
    PointLevel<W, F> const& level = levels_[state.level];
    std::int32_t const n = std::int32_t(level.n()), m = std::int32_t(level.m());
    auto const put = [&](std::int32_t i, std::int32_t j) {
      arcs.push_back({level.price({i, j}), 0, {i, j}});
    };
    std::int32_t const p = std::int32_t(level.rows_of_parent),
                       q = std::int32_t(level.columns_of_parent);
    for (Arc const above : state.support) {
      for (std::int32_t i = p * above.row; i < std::min(n, p * above.row + p); ++i) {
        for (std::int32_t j = q * above.column; j < std::min(m, q * above.column + q); ++j) {
          put(i, j);
        }
      }
    }
    if (!state.support.empty()) return;
    if (std::max(n, m) <= std::int32_t(coarsest)) {
      for (std::int32_t i = 0; i < n; ++i) {
        for (std::int32_t j = 0; j < m; ++j) put(i, j);
      }
      return;
    }
    Mass have = level.supply[0], want = -level.supply[std::size_t(n)];
    for (std::int32_t i = 0, j = 0; i < n && j < m;) {
      put(i, j);
      Mass const sent = std::min(have, want);
      have -= sent;
      want -= sent;
      if (have == 0 && ++i < n) have = level.supply[std::size_t(i)];
      if (want == 0 && ++j < m) want = -level.supply[std::size_t(n + j)];
    }
  }

  /// Searches all pairs for arcs that violate the tree's potentials. False if there is none.
  bool add_violated_arcs(PointState<W>& state) const {
    PointLevel<W, F> const& level = levels_[state.level];
    VectorX<W> const& potential = state.simplex.tree.potential;
    TreeWeights<W> const weights = level.y.weigh(potential.tail(level.m()));
    Neighbour<W> found[arcs_of_violated_row];
    std::vector<PricedArc<W>> arcs;
    W worst = 0;
    for (Index i = 0; i < level.n(); ++i) {
      W const f = potential(i), limit = f - 32 * unit_roundoff<W> * std::abs(f);
      Index const count =
          level.y.nearest(weights, level.X.col(i).data(), arcs_of_violated_row, limit, found);
      for (Index k = 0; k < count; ++k) {
        W const reduced = found[k].reduced - f, g = potential(level.n() + found[k].index);
        if (!is_violated(reduced, found[k].cost, f, g)) continue;
        worst = std::max(worst, -reduced);
        arcs.push_back(arc_to(i, found[k]));
      }
    }
    state.simplex.worst = double(worst);
    std::size_t const before = state.arcs.row.size();
    join(state.arcs, arcs);
    return state.arcs.row.size() > before;
  }

  /// Sorts `fresh` by columns and adds what the list does not have.
  static void join(ArcList<W>& list, std::vector<PricedArc<W>>& fresh) {
    auto const place = [](PricedArc<W> const& x) { return std::pair(x.arc.column, x.arc.row); };
    std::sort(fresh.begin(), fresh.end(),
              [&](auto const& x, auto const& y) { return place(x) < place(y); });
    fresh.erase(std::unique(fresh.begin(), fresh.end(),
                            [&](auto const& x, auto const& y) { return place(x) == place(y); }),
                fresh.end());
    if (fresh.empty()) return;
    ArcList<W> all;
    all.first.reserve(list.first.size());
    all.row.reserve(list.row.size() + fresh.size());
    all.cost.reserve(list.row.size() + fresh.size());
    auto next = fresh.begin();
    for (Index j = 0; j < list.columns(); ++j) {
      std::size_t k = list.begin(j);
      while (k < list.end(j) || (next != fresh.end() && next->arc.column == j)) {
        bool const is_fresh = next != fresh.end() && next->arc.column == j;
        bool const old = k < list.end(j) && !(is_fresh && next->arc.row < list.row[k]);
        if (old && is_fresh && next->arc.row == list.row[k]) ++next;
        all.row.push_back(old ? list.row[k] : next->arc.row);
        all.cost.push_back(old ? list.cost[k] : next->cost);
        old ? void(++k) : void(++next);
      }
      all.first.push_back(all.row.size());
    }
    list = std::move(all);
  }

  std::vector<PointLevel<W, F>> levels_;  // the finest first
  VectorX<W> start_;                      // m or empty
  std::vector<PricedArc<W>> plan_;        // to come first on the finest level
};

}  // namespace monge::ot::detail
