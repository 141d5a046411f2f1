// SPDX-License-Identifier: MIT
/// @file
/// The network simplex on a list of arcs: pricing and pivots.
///
/// The basis and its pivots are those of detail/network_simplex.hpp. Pricing passes over the
/// columns in blocks of some sqrt(arcs) arcs, from where it ended, and takes the best arc of the
/// first block that has one of use. (A list of candidates, which serves the dense simplex well,
/// needs three to ten times as many pivots here.)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <monge/ot/detail/exact_problem.hpp>

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

  /// The cost of an arc, +infinity if the list does not have it.
  [[nodiscard]] W price(Arc arc) const {
    auto const from = row.begin() + std::ptrdiff_t(begin(arc.column));
    auto const to = row.begin() + std::ptrdiff_t(end(arc.column));
    auto const place = std::lower_bound(from, to, arc.row);
    if (place == to || *place != arc.row) return std::numeric_limits<W>::infinity();
    return cost[std::size_t(place - row.begin())];
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

}  // namespace monge::ot::detail
