// SPDX-License-Identifier: MIT
/// @file
/// The network simplex on a list of arcs: pricing, pivots and the certificate.
///
/// The basis and its pivots are those of detail/network_simplex.hpp. Pricing passes over the
/// columns in blocks of some sqrt(arcs) arcs, from where it ended, and takes the best arc of the
/// first block that has one of use. (A list of candidates, which serves the dense simplex well,
/// needs three to ten times as many pivots here.)
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <monge/core/iterate.hpp>
#include <monge/ot/detail/exact_answer.hpp>
#include <monge/ot/detail/exact_problem.hpp>
#include <monge/ot/sinkhorn.hpp>

namespace monge::ot::detail {

/// Arcs with their costs, those of one column side by side in the order of their rows.
template <RealScalar W>
struct ArcList {
  std::vector<std::size_t> first{0};  ///< columns + 1: where the arcs of each column begin
  std::vector<std::int32_t> row;
  std::vector<W> cost;

  [[nodiscard]] Index columns() const { return Index(first.size()) - 1; }
  [[nodiscard]] std::size_t begin(Index j) const { return first[std::size_t(j)]; }
  [[nodiscard]] std::size_t end(Index j) const { return first[std::size_t(j) + 1]; }

  /// The arc number k, which belongs to column j.
  [[nodiscard]] PricedArc<W> priced(std::size_t k, Index j, W f, W g) const {
    return {cost[k], cost[k] - f - g, {row[k], std::int32_t(j)}};
  }

  /// The cost of an arc of the list.
  [[nodiscard]] W price(Arc arc) const {
    auto const from = row.begin() + std::ptrdiff_t(begin(arc.column));
    auto const to = row.begin() + std::ptrdiff_t(end(arc.column));
    return cost[std::size_t(std::lower_bound(from, to, arc.row) - row.begin())];
  }
};

/// Whether a reduced cost is negative beyond the rounding of its parts.
template <RealScalar W>
bool is_violated(W reduced, W cost, W f, W g) {
  return reduced < -32 * unit_roundoff<W> * (std::abs(cost) + std::abs(f) + std::abs(g));
}

/// What a run of the simplex on a list has at hand.
template <RealScalar W>
struct SparseSimplexState {
  TransportTree<W> tree;
  Index column = 0;         ///< the next to be priced
  Index since_refresh = 0;  ///< pivots since the potentials were computed afresh
  double worst = infinity;  ///< the largest violation of the last columns that were priced
};

/// Pivots of the simplex on a list of arcs.
template <RealScalar W>
class SparseSimplex {
 public:
  SparseSimplex(ArcList<W> const& arcs, std::vector<Mass> const& supply)
      : arcs_(arcs), supply_(supply) {}

  /// At most k pivots; fewer only if the tree is optimal for the list.
  Index advance(SparseSimplexState<W>& state, Index k) const {
    auto const refresh = [&] {
      state.tree.refresh([this](Arc arc) { return arcs_.price(arc); });
      state.since_refresh = 0;
    };
    for (Index steps = 0; steps < k; ++steps) {
      if (state.since_refresh >= Index(supply_.size())) refresh();
      Candidate best = find(state);
      if (best.use == Use::none) {
        // Nothing is left by potentials that have drifted: ask again by fresh ones.
        if (state.since_refresh == 0) return steps;
        refresh();
        best = find(state);
        if (best.use == Use::none) return steps;
      }
      state.tree.pivot(best.arc.arc, best.arc.reduced);
      ++state.since_refresh;
    }
    return k;
  }

 private:
  /// What an arc is good for. An arc into a part of the tree that lacks mass mends, whatever it
  /// costs; an arc out of one is of no use.
  enum class Use { none, lowers_cost, mends };

  struct Candidate {
    Use use = Use::none;
    PricedArc<W> arc;

    [[nodiscard]] bool better_than(Candidate const& other) const {
      return use > other.use || (use == other.use && arc.reduced < other.arc.reduced);
    }
  };

  /// Arcs that are priced for one pivot. Of 0.5 to 8 sqrt(arcs), measured on random graphs of 10 to
  /// 200 arcs per node.
  [[nodiscard]] std::size_t block_size() const {
    return std::max<std::size_t>(10, std::size_t(3 * std::sqrt(double(arcs_.row.size()))));
  }

  /// The best arc of the next columns that together hold a block; further blocks if it has none of
  /// use. Use::none if there is none at all.
  Candidate find(SparseSimplexState<W>& state) const {
    Index const m = arcs_.columns();
    std::size_t const block = block_size();
    Candidate best;
    for (Index seen = 0; seen < m && best.use == Use::none;) {
      for (std::size_t priced = 0; seen < m && priced < block; ++seen) {
        Index const j = state.column;
        state.column = j + 1 < m ? j + 1 : 0;
        if (supply_[std::size_t(state.tree.rows() + j)] == 0) continue;
        priced += arcs_.end(j) - arcs_.begin(j);
        Candidate const found = best_of_column(state.tree, j);
        if (found.better_than(best)) best = found;
      }
    }
    state.worst = best.use == Use::none ? 0 : std::max(0.0, -double(best.arc.reduced));
    return best;
  }

  /// The best arc of column j. Rows of lacking parts have the surplus -infinity.
  Candidate best_of_column(TransportTree<W> const& tree, Index j) const {
    bool const split = tree.lacking_parts > 0;
    if (split && tree.at(int(tree.rows() + j)).lacking) {
      std::size_t const best = nearest_row(tree.surplus.data(), j, none).second;
      if (best < arcs_.end(j)) {
        W const f = tree.surplus(arcs_.row[best]);
        return {Use::mends, arcs_.priced(best, j, f, tree.potential(tree.rows() + j))};
      }
    }
    bool const apart = split && !tree.at(int(tree.rows() + j)).lacking;
    return violated_arc(apart ? tree.surplus.data() : tree.potential.data(), j,
                        tree.potential(tree.rows() + j));
  }

  /// The least C_ij - f_i below `limit` and its arc, or the end of the column.
  [[nodiscard]] std::pair<W, std::size_t> nearest_row(W const* f, Index j, W limit) const {
    std::size_t best = arcs_.end(j);
    for (std::size_t k = arcs_.begin(j); k < arcs_.end(j); ++k) {
      W const reach = arcs_.cost[k] - f[arcs_.row[k]];
      best = reach < limit ? k : best;
      limit = reach < limit ? reach : limit;
    }
    return {limit, best};
  }

  [[nodiscard]] Candidate violated_arc(W const* f, Index j, W g) const {
    std::size_t const end = arcs_.end(j), best = nearest_row(f, j, g).second;
    if (best == end) return {};
    auto const found = [&](std::size_t k) -> Candidate {
      W const of_row = f[arcs_.row[k]];
      PricedArc<W> const x = arcs_.priced(k, j, of_row, g);
      return {is_violated(x.reduced, x.cost, of_row, g) ? Use::lowers_cost : Use::none, x};
    };
    Candidate const nearest = found(best);
    if (nearest.use != Use::none) return nearest;
    // Large potentials may hide an arc whose own parts are small.
    for (std::size_t k = arcs_.begin(j); k < end; ++k) {
      Candidate const other = found(k);
      if (other.use != Use::none) return other;
    }
    return {};
  }

  static constexpr W none = std::numeric_limits<W>::infinity();

  ArcList<W> const& arcs_;
  std::vector<Mass> const& supply_;
};

/// What a run of `exact` on a sparse cost has at hand. A value: copy it to go on from it later.
template <RealScalar W>
struct SparseExactState {
  SparseSimplexState<W> simplex;
  bool started = false;

  ExactAnswer<W> answer;  ///< written by finish
};

/// `exact` on the allowed pairs of a sparse cost as an iterative method. One native step is one
/// pivot; the first also makes the start.
template <RealScalar S>
class SparseExactMethod {
 public:
  using W = wide_t<S>;

  /// arcs: without rows or columns that the weights do not have.
  SparseExactMethod(ArcList<W> arcs, VectorX<S> a, VectorX<S> b, W mass, Potentials<S> start)
      : arcs_(std::move(arcs)), a_(std::move(a)), b_(std::move(b)), mass_(mass) {
    start_ = std::move(start);
    supply_.resize(std::size_t(n() + m()));
    unit_ = integer_masses<S>(a_, b_, mass_, supply_.data(), supply_.data() + n());
    for (Index j = 0; j < m(); ++j) supply_[std::size_t(n() + j)] *= -1;
  }

  [[nodiscard]] VectorX<S> const& a() const { return a_; }
  [[nodiscard]] VectorX<S> const& b() const { return b_; }
  [[nodiscard]] W weight(Mass flow) const { return std::ldexp(W(flow), unit_); }

  [[nodiscard]] SparseExactState<W> init() const { return {}; }

  Advance advance(SparseExactState<W>& state, Index k) const {
    if (k > 0) begin(state);
    Index const steps = SparseSimplex<W>(arcs_, supply_).advance(state.simplex, k);
    return {steps < k ? Status::converged : Status::running, steps};
  }

  /// The largest violation of f_i + g_j <= C_ij among the arcs last listed.
  [[nodiscard]] double error(SparseExactState<W> const& state) const { return state.simplex.worst; }

  /// Feasible potentials, and cost, marginals and gap recomputed from the cost.
  Status finish(SparseExactState<W>& state, Status status) const {
    begin(state);
    state.simplex.tree.refresh([this](Arc arc) { return arcs_.price(arc); });
    state.simplex.since_refresh = 0;
    ExactAnswer<W> x;
    auto const price = [this](Arc arc) { return arcs_.price(arc); };
    auto const carried = [this](Mass flow) { return weight(flow); };
    measure_plan(state.simplex.tree, a_, b_, mass_, price, carried, x);
    make_feasible(state.simplex.tree, status == Status::converged && x.transported, x);
    measure_gap(state.simplex.tree, a_, b_, price, carried, x);
    state.answer = std::move(x);
    if (status != Status::converged) return status;
    if (!state.answer.transported) return Status::infeasible;
    return state.answer.tight ? status : Status::precision_limit;
  }

 private:
  static constexpr W none = std::numeric_limits<W>::infinity();

  [[nodiscard]] Index n() const { return a_.size(); }
  [[nodiscard]] Index m() const { return b_.size(); }
  [[nodiscard]] bool has_row(Index i) const { return supply_[std::size_t(i)] != 0; }
  [[nodiscard]] bool has_column(Index j) const { return supply_[std::size_t(n() + j)] != 0; }

  void begin(SparseExactState<W>& state) const {
    if (state.started) return;
    state.started = true;
    VectorX<W> start(n() + m());
    bool const warm = start_.f.size() > 0;
    if (warm) {
      start << start_.f.template cast<W>(), start_.g.template cast<W>();
    } else {
      reduce(start);
    }
    for (Index i = 0; i < n(); ++i) {
      if (!has_row(i)) start(i) = -none;
    }
    std::vector<Arc> const forest = warm ? tightest_forest(start) : tight_forest(start);
    state.simplex.tree = TransportTree<W>(n(), supply_, forest, std::move(start),
                                          [this](Arc arc) { return arcs_.price(arc); });
  }

  /// f_i = min_j C_ij, g_j = min_i C_ij - f_i, over rows and columns with mass.
  void reduce(VectorX<W>& start) const {
    start.setConstant(none);
    for (Index j = 0; j < m(); ++j) {
      if (!has_column(j)) continue;
      for (std::size_t k = arcs_.begin(j); k < arcs_.end(j); ++k) {
        W& f = start(arcs_.row[k]);
        f = std::min(f, arcs_.cost[k]);
      }
    }
    for (Index i = 0; i < n(); ++i) {
      if (start(i) == none) start(i) = 0;
    }
    for (Index j = 0; j < m(); ++j) {
      W const low = has_column(j) ? column_minimum(j, start) : none;
      start(n() + j) = low < none ? low : W(0);
    }
  }

  /// min_i C_ij - f_i over the arcs of column j; rows whose f is -infinity take no part.
  [[nodiscard]] W column_minimum(Index j, VectorX<W> const& f) const {
    W low = none;
    for (std::size_t k = arcs_.begin(j); k < arcs_.end(j); ++k) {
      low = std::min(low, arcs_.cost[k] - f(arcs_.row[k]));
    }
    return low;
  }

  /// Arcs without a cycle among the 4 (n + m) of least reduced cost, the tightest first.
  [[nodiscard]] std::vector<Arc> tightest_forest(VectorX<W> const& start) const {
    std::vector<PricedArc<W>> arcs;
    arcs.reserve(arcs_.row.size());
    for (Index j = 0; j < m(); ++j) {
      if (!has_column(j)) continue;
      for (std::size_t k = arcs_.begin(j); k < arcs_.end(j); ++k) {
        W const f = start(arcs_.row[k]);
        if (f > -none) arcs.push_back(arcs_.priced(k, j, f, start(n() + j)));
      }
    }
    std::size_t const wanted = 4 * supply_.size();
    if (arcs.size() > wanted) {
      std::nth_element(arcs.begin(), arcs.begin() + std::ptrdiff_t(wanted), arcs.end(), before<W>);
      arcs.resize(wanted);
    }
    std::sort(arcs.begin(), arcs.end(), before<W>);
    return spanning_forest<W>(arcs, n(), supply_.size());
  }

  /// Sends what it can along tight arcs. Each exhausts a row or a column, so there is no cycle.
  /// (What is left hangs from the root: pivots serve it better than the next best arcs would.)
  [[nodiscard]] std::vector<Arc> tight_forest(VectorX<W> const& start) const {
    std::vector<Mass> rest = supply_;
    std::vector<Arc> forest;
    for (Index j = 0; j < m(); ++j) {
      Mass& want = rest[std::size_t(n() + j)];
      for (std::size_t k = arcs_.begin(j); k < arcs_.end(j) && want < 0; ++k) {
        Mass& have = rest[std::size_t(arcs_.row[k])];
        if (have == 0 || arcs_.cost[k] - start(arcs_.row[k]) > start(n() + j)) continue;
        Mass const sent = std::min(have, -want);
        have -= sent;
        want += sent;
        forest.push_back({arcs_.row[k], std::int32_t(j)});
      }
    }
    return forest;
  }

  /// f from the tree, g_j = min_i C_ij - f_i; rows without mass get the largest f that this allows.
  void make_feasible(TransportTree<W> const& tree, bool optimal, ExactAnswer<W>& x) const {
    x.f = tree.potential.head(n());
    x.g = tree.potential.tail(m());
    if (optimal && tree.lacking_parts > 0) lower_lacking_parts(tree, x);
    VectorX<W> least = VectorX<W>::Constant(n(), none);
    for (Index j = 0; j < m(); ++j) {
      W const low = column_minimum(j, x.f);
      x.g(j) = low < none ? low : W(0);
      for (std::size_t k = arcs_.begin(j); k < arcs_.end(j); ++k) {
        W& f = least(arcs_.row[k]);
        f = std::min(f, arcs_.cost[k] - x.g(j));
      }
    }
    for (Index i = 0; i < n(); ++i) {
      if (x.f(i) == -none) x.f(i) = least(i) < none ? least(i) : W(0);
    }
  }

  /// Artificial arcs that carry no more than rounding left over still part the tree. The potentials
  /// of the lacking parts fall together until no arc out of them is violated.
  void lower_lacking_parts(TransportTree<W> const& tree, ExactAnswer<W>& x) const {
    W fall = 0;
    for (Index j = 0; j < m(); ++j) {
      if (!has_column(j) || tree.at(int(n() + j)).lacking) continue;
      for (std::size_t k = arcs_.begin(j); k < arcs_.end(j); ++k) {
        if (!tree.at(arcs_.row[k]).lacking) continue;
        fall = std::max(fall, x.g(j) + x.f(arcs_.row[k]) - arcs_.cost[k]);
      }
    }
    for (Index i = 0; i < n(); ++i) {
      if (tree.at(int(i)).lacking) x.f(i) -= fall;
    }
  }

  ArcList<W> arcs_;
  VectorX<S> a_, b_;
  W mass_;
  std::vector<Mass> supply_;  // n + m: rows, then columns with the opposite sign
  int unit_ = 0;              // the exponent of the unit of mass
  Potentials<S> start_;
};

}  // namespace monge::ot::detail
