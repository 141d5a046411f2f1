// SPDX-License-Identifier: MIT
/// @file
/// The network simplex as an iterative method: pricing, pivots and the certificate.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include <monge/core/iterate.hpp>
#include <monge/ot/detail/exact_problem.hpp>
#include <monge/ot/sinkhorn.hpp>

namespace monge::ot::detail {

/// What a run of the simplex has at hand. A value: copy it to go on from it later.
template <RealScalar W>
struct ExactState {
  TransportTree<W> tree;
  std::vector<PricedArc<W>> candidates;  ///< arcs that would lower the cost when they were listed
  std::vector<PricedArc<W>> pool;        ///< arcs that were worth a look before: a ring
  std::size_t oldest = 0;                ///< in the pool; replaced next
  std::size_t next = 0;                  ///< in the pool; looked at next
  Index column = 0;                      ///< the next to be searched for candidates
  Index since_refresh = 0;               ///< pivots since the potentials were computed afresh
  bool started = false;
  double worst = infinity;  ///< the largest violation when candidates were last listed

  VectorX<W> f, g;  ///< potentials of the answer, feasible everywhere
  W transport_cost = 0, gap = infinity;
  double marginal_error = infinity;
};

/// One native step is one pivot; the first also makes the start, from the potentials `start` if it
/// has any. Costs are read as S; all else is W.
template <CostOperator C>
class ExactMethod {
 public:
  using S = scalar_t<C>;
  using W = wide_t<S>;

  ExactMethod(C cost, VectorX<S> a, VectorX<S> b, Potentials<S> start)
      : problem_(std::move(cost), std::move(a), std::move(b)), start_(std::move(start)) {
    check_start("exact", shape(problem_.cost), start_);
  }

  [[nodiscard]] ExactProblem<C> const& problem() const { return problem_; }

  [[nodiscard]] ExactState<W> init() const { return {}; }

  Advance advance(ExactState<W>& state, Index k) const {
    if (k > 0) begin(state);
    auto const cost_of = exact_cost();
    for (Index steps = 0; steps < k; ++steps) {
      if (state.since_refresh >= n() + m()) {
        state.tree.refresh(cost_of);
        state.since_refresh = 0;
      }
      if (!choose(state) && !list_candidates(state)) {
        // Nothing is left by potentials that have drifted: ask again by fresh ones.
        if (state.since_refresh == 0) return {Status::converged, steps};
        state.tree.refresh(cost_of);
        state.since_refresh = 0;
        if (!list_candidates(state)) return {Status::converged, steps};
      }
      state.tree.pivot(state.candidates.back().arc, state.candidates.back().reduced);
      state.candidates.pop_back();
      ++state.since_refresh;
    }
    return {Status::running, k};
  }

  /// The largest violation of f_i + g_j <= C_ij among the arcs last listed.
  [[nodiscard]] double error(ExactState<W> const& state) const { return state.worst; }

  /// Feasible potentials, and cost, marginals and gap recomputed from the cost: two reads at most.
  Status finish(ExactState<W>& state, Status status) const {
    begin(state);
    state.tree.refresh(exact_cost());
    state.since_refresh = 0;
    measure_plan(state);
    W const allowed = 8 * W(n() + m()) * W(unit_roundoff<S>);
    make_feasible(state, status == Status::converged && state.marginal_error <= allowed);

    state.gap = 0;
    for_each_flow(state, [&](Arc arc, Mass flow) {
      W const slack = problem_.price(arc) - state.f(arc.row) - state.g(arc.column);
      state.gap += problem_.weight(flow) * std::max(W(0), slack);
    });
    W const size = std::abs(state.transport_cost) +
                   problem_.a.template cast<W>().dot(state.f.cwiseAbs()) +
                   problem_.b.template cast<W>().dot(state.g.cwiseAbs());
    bool const transported = state.marginal_error <= allowed;
    if (!transported) state.gap = infinity;
    if (status != Status::converged) return status;
    if (!transported) return Status::infeasible;
    return state.gap <= 64 * W(unit_roundoff<S>) * size ? status : Status::precision_limit;
  }

  /// Calls visit(arc, flow) for the arcs of the plan.
  template <class Visit>
  void for_each_flow(ExactState<W> const& state, Visit&& visit) const {
    state.tree.for_each_flow(visit);
  }

 private:
  static constexpr W none = ExactProblem<C>::none;

  [[nodiscard]] auto exact_cost() const {
    return [this](Arc arc) { return problem_.price(arc); };
  }

  /// Whether a reduced cost is negative beyond the rounding of its parts.
  static bool violated(W reduced, W cost, W f, W g) {
    return reduced < -32 * unit_roundoff<W> * (std::abs(cost) + std::abs(f) + std::abs(g));
  }

  void begin(ExactState<W>& state) const {
    if (state.started) return;
    state.started = true;
    VectorX<W> start(n() + m());
    bool const warm = start_.f.size() > 0;
    if (warm) {
      start << start_.f.template cast<W>(), start_.g.template cast<W>();
    } else {
      problem_.reduce(start);
    }
    for (Index i = 0; i < n(); ++i) {
      if (!problem_.has_row(i)) start(i) = -none;
    }
    std::vector<PricedArc<W>> tight =
        warm ? problem_.tightest_arcs(start) : problem_.tightest_of_columns(start);
    std::vector<Arc> const forest =
        warm ? problem_.spanning_forest(tight) : problem_.greedy_forest(tight, start);
    state.tree = TransportTree<W>(n(), problem_.supply, forest, std::move(start), exact_cost());
    state.pool = std::move(tight);
    state.pool.reserve(pool_size());
    state.candidates.reserve(candidate_count() + std::size_t(n() / segment_width + 1));
  }

  // Measured on points in the plane and random costs, n = 1000 to 5000.
  [[nodiscard]] std::size_t candidate_count() const {
    return std::size_t(std::clamp<Index>((n() + m()) / 20, 10, 200));
  }

  [[nodiscard]] std::size_t pool_size() const {
    return 8 * std::size_t(n() + m()) + ExactProblem<C>::arcs_of_column * std::size_t(m());
  }

  void remember(ExactState<W>& state, PricedArc<W> const& x) const {
    if (state.pool.size() < pool_size()) {
      state.pool.push_back(x);
      return;
    }
    state.pool[state.oldest] = x;
    state.oldest = state.oldest + 1 < pool_size() ? state.oldest + 1 : 0;
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
  static bool choose(ExactState<W>& state) {
    std::vector<PricedArc<W>>& list = state.candidates;
    std::size_t kept = 0, best = 0;
    Use best_use = Use::none;
    for (PricedArc<W> x : list) {
      Use const found = use(state.tree, x);
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
  void list_from_pool(ExactState<W>& state, std::size_t enough) const {
    std::size_t const size = state.pool.size();
    for (std::size_t seen = 0; seen < size && state.candidates.size() < enough; ++seen) {
      PricedArc<W> x = state.pool[state.next];
      state.next = state.next + 1 < size ? state.next + 1 : 0;
      if (use(state.tree, x) == Use::none) continue;
      state.worst = std::max(state.worst, -double(x.reduced));
      state.candidates.push_back(x);
    }
  }

  /// Lists candidates from the pool or, if it has none, from column after column, from where the
  /// last search ended; then chooses. False if all columns were seen and there are none.
  bool list_candidates(ExactState<W>& state) const {
    TransportTree<W> const& tree = state.tree;
    S scratch[segment_width];
    state.candidates.clear();
    state.worst = 0;
    std::size_t const enough = candidate_count();
    list_from_pool(state, enough);
    if (!state.candidates.empty()) return choose(state);
    for (Index seen = 0; seen < m() && state.candidates.size() < enough; ++seen) {
      Index const j = state.column;
      state.column = j + 1 < m() ? j + 1 : 0;
      if (!problem_.has_column(j)) continue;
      bool const lacks = tree.lacking_parts > 0 && tree.at(int(n() + j)).lacking;
      bool const split = tree.lacking_parts > 0;
      if (lacks && search_column(state, j, tree.surplus.data(), true, scratch)) continue;
      search_column(state, j, split && !lacks ? tree.surplus.data() : tree.potential.data(), false,
                    scratch);
    }
    return choose(state);
  }

  /// Lists the best arc of each segment of column j, in terms of the row potentials f, if it is
  /// violated; any arc with a finite f if it `mends`. True if there is one.
  bool search_column(ExactState<W>& state, Index j, W const* f, bool mends, S* scratch) const {
    W const g = state.tree.potential(n() + j);
    W const limit = mends ? none : W(0);
    bool found = false;
    for_each_segment(problem_.cost, j, scratch, [&](Index first, Index count, S const* c) {
      W const least = problem_.segment_minimum(c, f + first, count);
      if (!(least - g < limit)) return;
      Index i = 0;
      while (W(c[i]) - f[first + i] != least) ++i;
      if (!mends && !violated(least - g, W(c[i]), f[first + i], g)) {
        // Large potentials may hide an arc whose own parts are small.
        for (i = 0; i < count; ++i) {
          if (violated(W(c[i]) - f[first + i] - g, W(c[i]), f[first + i], g)) break;
        }
        if (i == count) return;
      }
      found = true;
      W const reduced = W(c[i]) - f[first + i] - g;
      state.worst = std::max(state.worst, -double(reduced));
      state.candidates.push_back({W(c[i]), reduced, {std::int32_t(first + i), std::int32_t(j)}});
      remember(state, state.candidates.back());
    });
    return found;
  }

  void measure_plan(ExactState<W>& state) const {
    VectorX<W> rows = VectorX<W>::Zero(n()), columns = VectorX<W>::Zero(m());
    state.transport_cost = 0;
    for_each_flow(state, [&](Arc arc, Mass flow) {
      rows(arc.row) += problem_.weight(flow);
      columns(arc.column) += problem_.weight(flow);
      state.transport_cost += problem_.weight(flow) * problem_.price(arc);
    });
    state.marginal_error = double(((rows - problem_.a.template cast<W>()).cwiseAbs().sum() +
                                   (columns - problem_.b.template cast<W>()).cwiseAbs().sum()) /
                                  problem_.mass);
  }

  /// f from the tree, g_j = min_i C_ij - f_i; rows without mass get the largest f that this allows.
  void make_feasible(ExactState<W>& state, bool optimal) const {
    TransportTree<W> const& tree = state.tree;
    VectorX<S> scratch(segment_width);
    state.f = tree.potential.head(n());
    state.g = tree.potential.tail(m());
    if (optimal && tree.lacking_parts > 0) lower_lacking_parts(state, scratch);
    for (Index j = 0; j < m(); ++j) {
      W const low = problem_.column_minimum(j, state.f.data(), scratch.data());
      state.g(j) = low < none ? low : W(0);
    }
    if (state.f.allFinite()) return;
    VectorX<W> least = VectorX<W>::Constant(n(), none);
    for (Index j = 0; j < m(); ++j) {
      for_each_segment(problem_.cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
        auto part = least.segment(first, count).array();
        part = part.min(ConstArrayMap<S>(c, count).template cast<W>() - state.g(j));
      });
    }
    for (Index i = 0; i < n(); ++i) {
      if (state.f(i) == -none) state.f(i) = least(i) < none ? least(i) : W(0);
    }
  }

  /// Artificial arcs that carry no more than rounding left over still part the tree. The potentials
  /// of the lacking parts may fall together; they do until no arc out of them is violated.
  void lower_lacking_parts(ExactState<W>& state, VectorX<S>& scratch) const {
    TransportTree<W> const& tree = state.tree;
    VectorX<W> lacking = state.f;
    for (Index i = 0; i < n(); ++i) {
      if (!tree.at(int(i)).lacking) lacking(i) = -none;
    }
    W fall = 0;
    for (Index j = 0; j < m(); ++j) {
      if (!problem_.has_column(j) || tree.at(int(n() + j)).lacking) continue;
      fall =
          std::max(fall, state.g(j) - problem_.column_minimum(j, lacking.data(), scratch.data()));
    }
    for (Index i = 0; i < n(); ++i) {
      if (tree.at(int(i)).lacking) state.f(i) -= fall;
    }
  }

  [[nodiscard]] Index n() const { return problem_.n(); }
  [[nodiscard]] Index m() const { return problem_.m(); }

  ExactProblem<C> problem_;
  Potentials<S> start_;
};

}  // namespace monge::ot::detail
