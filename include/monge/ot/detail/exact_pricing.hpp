// SPDX-License-Identifier: MIT
/// @file
/// Which arc enters the basis of the exact solver: candidates, the pool, and searches of the cost.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <monge/ot/detail/exact_start.hpp>

namespace monge::ot::detail {

/// The arcs at hand. A value.
template <RealScalar W>
struct PricingState {
  std::vector<PricedArc<W>> candidates;  // arcs that would lower the cost when they were listed
  std::vector<CostArc<W>> pool;          // arcs that were worth a look before: a ring
  std::size_t oldest = 0;                // in the pool; replaced next
  std::size_t next = 0;                  // in the pool; looked at next
  Index column = 0;                      // the next to be searched for candidates
  Index searched = 0;                    // columns, of a search that a deadline cut
  double worst = infinity;               // the largest violation when candidates were last listed
};

/// What a look for candidates came to.
enum class Found { some, nothing, interrupted };

/// The rule for the entering arc. Costs are read as S; all else is W.
template <CostOperator C>
class Pricing {
 public:
  using S = scalar_t<C>;
  using W = wide_t<S>;
  using State = PricingState<W>;

  explicit Pricing(ExactProblem<C> const& problem) : problem_(problem) {}

  void reserve(State& p) const {
    if (problem_.keeps_pool()) p.pool.reserve(pool_size());
    p.candidates.reserve(candidate_count() + std::size_t(n() / segment_width + 1));
  }

  /// Moves the best arc to the end of the candidates, from new ones if none of the old is left.
  Found choose(State& p, TransportTree<W> const& tree, Deadline const& deadline) const {
    if (p.searched == 0) {
      if (choose_listed(p, tree)) return Found::some;
      p.candidates.clear();
      p.worst = 0;
      list_from_pool(p, tree);
    }
    if (p.searched > 0 || p.candidates.empty()) {
      if (!search(p, tree, deadline)) return Found::interrupted;
    }
    return choose_listed(p, tree) ? Found::some : Found::nothing;
  }

 private:
  static constexpr W none = ExactProblem<C>::none;

  [[nodiscard]] Index n() const { return problem_.n(); }
  [[nodiscard]] Index m() const { return problem_.m(); }

  // Measured on points in the plane and random costs, n = 50 to 5000.
  [[nodiscard]] std::size_t candidate_count() const {
    return std::size_t(std::clamp<Index>((n() + m()) / 20, problem_.keeps_pool() ? 10 : 15, 200));
  }
  [[nodiscard]] std::size_t pool_size() const {
    return std::size_t(8 * (n() + m()) + StartMaker<C>::arcs_of_column(n(), m()) * m());
  }

  /// Whether a reduced cost is negative beyond the rounding of its parts.
  static bool violated(W reduced, W cost, W f, W g) {
    return reduced < -32 * unit_roundoff<W> * (std::abs(cost) + std::abs(f) + std::abs(g));
  }

  enum class Use { none, lowers_cost, mends };

  /// Prices an arc afresh. An arc into a part of the tree that lacks mass mends, whatever it costs.
  static Use use(TransportTree<W> const& tree, PricedArc<W>& x) {
    int const tail = x.arc.row, head = x.arc.column + tree.rows();
    W const f = tree.potential(tail), g = tree.potential(head);
    x.reduced = x.cost - f - g;
    if (tree.lacking_parts > 0 && tree.at(tail).lacking != tree.at(head).lacking) {
      return tree.at(head).lacking ? Use::mends : Use::none;
    }
    return violated(x.reduced, x.cost, f, g) ? Use::lowers_cost : Use::none;
  }

  /// Prices the candidates afresh, drops those that have become useless, and moves the best to the
  /// end. False if none is left.
  static bool choose_listed(State& p, TransportTree<W> const& tree) {
    std::vector<PricedArc<W>>& list = p.candidates;
    std::size_t kept = 0, best = 0;
    Use best_use = Use::none;
    for (PricedArc<W> x : list) {
      Use const found = use(tree, x);
      if (found == Use::none) continue;
      list[kept] = x;
      if (found > best_use || (found == best_use && x.reduced < list[best].reduced)) {
        best = kept;
        best_use = found;
      }
      ++kept;
    }
    list.resize(kept);
    if (kept > 0) std::swap(list[best], list.back());
    return kept > 0;
  }

  /// Looks through the pool, from where the last look ended, for enough candidates.
  void list_from_pool(State& p, TransportTree<W> const& tree) const {
    std::size_t const first = p.next;
    if (list_range(p, tree, first, p.pool.size())) return;
    if (list_range(p, tree, 0, first)) return;
    p.next = first;
  }

  /// The same from `begin` to `end`; true if there are enough.
  bool list_range(State& p, TransportTree<W> const& tree, std::size_t begin,
                  std::size_t end) const {
    std::size_t const enough = candidate_count();
    W const* const f = tree.potential.data();
    W const* const g = f + n();
    bool const split = tree.lacking_parts > 0;
    for (std::size_t k = begin; k < end; ++k) {
      auto const& [cost, arc] = p.pool[k];
      W const reduced = cost - f[arc.row] - g[arc.column];
      if (reduced >= 0 && !split) continue;  // nearly all end here
      PricedArc<W> x{cost, reduced, arc};
      if (use(tree, x) == Use::none) continue;
      p.worst = std::max(p.worst, -double(x.reduced));
      p.candidates.push_back(x);
      if (p.candidates.size() < enough) continue;
      p.next = k + 1;
      return true;
    }
    return false;
  }

  /// Lists candidates from column after column, from where the last search ended, until there are
  /// enough or all columns were seen. False if the deadline passed.
  bool search(State& p, TransportTree<W> const& tree, Deadline const& deadline) const {
    S scratch[segment_width];
    std::size_t const enough = candidate_count();
    bool const split = tree.lacking_parts > 0;
    Patience patience(deadline, n());
    for (; p.searched < m() && p.candidates.size() < enough; ++p.searched) {
      if (patience.ends()) return false;
      Index const j = p.column;
      p.column = j + 1 < m() ? j + 1 : 0;
      if (!problem_.has_column(j)) continue;
      bool const lacks = split && tree.at(int(n() + j)).lacking;
      if (lacks && search_column(p, tree, j, tree.surplus.data(), true, scratch)) continue;
      W const* const f = split && !lacks ? tree.surplus.data() : tree.potential.data();
      search_column(p, tree, j, f, false, scratch);
    }
    p.searched = 0;
    return true;
  }

  /// Lists the best arc of each segment of column j, in terms of the row potentials f, if it is
  /// violated; any arc with a finite f if it `mends`. True if there is one.
  bool search_column(State& p, TransportTree<W> const& tree, Index j, W const* f, bool mends,
                     S* scratch) const {
    W const g = tree.potential(n() + j);
    // A violated arc has reduced < -64 u |g|, since |C| + |f| >= |C - f| = |reduced + g|. This
    // passes over the arcs of the tree, whose reduced cost is rounding.
    W const limit = mends ? none : -48 * unit_roundoff<W> * std::abs(g);
    bool found = false;
    for_each_segment(problem_.cost, j, scratch, [&](Index first, Index count, S const* c) {
      W const least = problem_.segment_minimum(c, f + first, count);
      if (!(least - g < limit)) return;
      Index i = problem_.place_of(least, c, f + first, count);
      if (!mends && !violated(least - g, W(c[i]), f[first + i], g)) {
        // Large potentials may hide an arc whose own parts are small.
        for (i = 0; i < count; ++i) {
          if (violated(W(c[i]) - f[first + i] - g, W(c[i]), f[first + i], g)) break;
        }
        if (i == count) return;
      }
      found = true;
      W const reduced = W(c[i]) - f[first + i] - g;
      Arc const arc{std::int32_t(first + i), std::int32_t(j)};
      p.worst = std::max(p.worst, -double(reduced));
      p.candidates.push_back({W(c[i]), reduced, arc});
      remember(p, {W(c[i]), arc});
    });
    return found;
  }

  void remember(State& p, CostArc<W> const& x) const {
    if (!problem_.keeps_pool()) return;
    if (p.pool.size() < pool_size()) {
      p.pool.push_back(x);
      return;
    }
    p.pool[p.oldest] = x;
    p.oldest = p.oldest + 1 < pool_size() ? p.oldest + 1 : 0;
  }

  ExactProblem<C> const& problem_;
};

}  // namespace monge::ot::detail
