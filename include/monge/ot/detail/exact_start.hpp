// SPDX-License-Identifier: MIT
/// @file
/// What the network simplex starts from: the arcs that are worth a look first, and a forest of them
/// that carries the mass. Without a start from outside,
///
///     f from a merged problem (coarse_costs.hpp), or f_i = min_j C_ij,
///     g_j = min_i C_ij - f_i and the arcs of least C_ij - f_i - g_j of each column: the pool,
///     a rough entropic plan on the pool (rough_plan.hpp), cut down to the marginals,
///     what is missing along its arcs, the tightest arcs, the cheapest arcs,
///     and a crossover from this plan to a forest (crossover.hpp).
///
/// A small problem has its rough plan on all pairs, whose largest entries are the forest; what that
/// cannot carry some pivots do. Reads of the cost are cut where a deadline asks for it and go on
/// from there.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <monge/core/iterate.hpp>
#include <monge/ot/detail/coarse_costs.hpp>
#include <monge/ot/detail/crossover.hpp>
#include <monge/ot/detail/exact_problem.hpp>
#include <monge/ot/detail/given_start.hpp>
#include <monge/ot/detail/rough_plan.hpp>

namespace monge::ot::detail {

/// Says once in a while whether a deadline has passed: asking for every column would cost more than
/// a short column.
class Patience {
 public:
  Patience(Deadline const& deadline, Index entries_of_column)
      : deadline_(deadline), entries_(entries_of_column) {}

  /// To be called before each column; never true before the first, so that a run makes headway.
  bool ends() {
    bool const ask = read_ >= Index(1) << 16;
    read_ = ask ? entries_ : read_ + entries_;
    return ask && deadline_.passed();
  }

 private:
  Deadline const& deadline_;
  Index entries_, read_ = 0;
};

/// How far a start has come. A value, so that it can be taken up again.
template <RealScalar S>
struct StartProgress {
  using W = wide_t<S>;
  enum class Stage { merge, read, fill, done };
  Stage stage = Stage::merge;
  bool greedy = false;               // no rough plan of a small problem
  std::vector<CoarseRun<S>> coarse;  // none or one
  Index column = 0;                  // the next to be read
  VectorX<W> potential;              // n + m
  std::vector<PricedArc<W>> tight;   // the first to send mass along
  W limit = 0;                       // what an arc must be below to be kept
  std::vector<Mass> rest;            // n + m: mass without a way yet
  VectorX<W> open;                   // n: f of rows with a rest, else -infinity
  std::vector<LoadedArc<W>> plan;
  std::vector<Arc> forest;
};

/// Makes the start of one problem.
template <CostOperator C>
class StartMaker {
 public:
  using S = scalar_t<C>;
  using W = wide_t<S>;
  using Progress = StartProgress<S>;
  using Stage = typename Progress::Stage;

  StartMaker(ExactProblem<C> const& problem, ExactStart<S> const& given)
      : problem_(problem), given_(given) {}

  /// Arcs of each column that are kept for pricing. Of 6 to 60, measured on points in the plane and
  /// random costs, n = 100 to 5000.
  static Index arcs_of_column(Index n, Index m) {
    return std::min(n, std::max(std::clamp<Index>(n / 12, 16, 32), 2 * n / m));
  }

  /// Whether the forest may lack mass that has a way.
  [[nodiscard]] bool may_lack(Progress const& p) const {
    return !warm() && !problem_.keeps_pool() && !p.greedy;
  }

  /// Goes on; false if the deadline passed before the forest is complete.
  bool advance(Progress& p, std::vector<CostArc<W>>& pool, Deadline const& deadline) const {
    if (p.potential.size() == 0) begin(p);
    return warm() ? advance_warm(p, pool, deadline) : advance_cold(p, pool, deadline);
  }

 private:
  static constexpr W none = ExactProblem<C>::none;

  [[nodiscard]] Index n() const { return problem_.n(); }
  [[nodiscard]] Index m() const { return problem_.m(); }
  [[nodiscard]] bool warm() const { return given_.f.size() > 0 || given_.plan.size() > 0; }

  void begin(Progress& p) const {
    p.potential.resize(n() + m());
    if (given_.f.size() > 0) {
      p.potential << given_.f.template cast<W>(), given_.g.template cast<W>();
    } else {
      p.potential.setZero();
      for (Index i = 0; i < n(); ++i) {
        if (problem_.row_minimum(i) < S(none)) p.potential(i) = W(problem_.row_minimum(i));
      }
    }
    for (Index i = 0; i < n(); ++i) {
      if (!problem_.has_row(i)) p.potential(i) = -none;
    }
  }

  bool advance_warm(Progress& p, std::vector<CostArc<W>>& pool, Deadline const& deadline) const {
    if (!read_for_warm(p, deadline)) return false;
    if (problem_.keeps_pool()) {
      for (PricedArc<W> const& x : p.tight) pool.push_back({x.cost, x.arc});
    }
    std::vector<PricedArc<W>> arcs = plan_arcs<W>(
        given_.plan, [this](Index i) { return problem_.has_row(i); },
        [this](Index j) { return problem_.has_column(j); },
        [this](Arc arc) { return problem_.price(arc); });
    arcs.insert(arcs.end(), p.tight.begin(), p.tight.end());
    p.forest = spanning_forest(arcs, n(), problem_.supply.size());
    p.stage = Stage::done;
    return true;
  }

  /// Of a small problem the largest shares of a rough plan. Else potentials from a merged problem,
  /// a pool around them, and a rough plan on the pool, made feasible and a basis.
  bool advance_cold(Progress& p, std::vector<CostArc<W>>& pool, Deadline const& deadline) const {
    if (may_lack(p)) {
      RoughStart<C> rough(problem_, p.potential);
      p.forest = spanning_forest(rough.of_pairs(), n(), problem_.supply.size());
      p.stage = Stage::done;
      return true;
    }
    if (p.stage == Stage::merge && !take_up_coarse(p, deadline)) return false;
    if (p.stage == Stage::read) {
      std::vector<Share> shares;
      if (problem_.keeps_pool()) {
        if (!read_columns(p, pool, deadline)) return false;
        shares = RoughStart<C>(problem_, p.potential).of_pool(pool);
      }
      begin_plan(p, std::move(shares));
      p.stage = Stage::fill;
      p.column = 0;
    }
    if (p.stage == Stage::fill && !fill(p, deadline)) return false;
    Crossover<W> crossover(n(), problem_.supply.size());
    for (LoadedArc<W> const& x : p.plan) crossover.add(x);
    p.forest = crossover.forest();
    p.stage = Stage::done;
    return true;
  }

  /// f from a run on the merged problem, if there is one. The run's own start merges again.
  bool take_up_coarse(Progress& p, Deadline const& deadline) const {
    p.stage = Stage::read;
    if constexpr (holds_entries<C>) {
      if (!problem_.keeps_pool()) return true;
      if (p.coarse.empty()) {
        auto costs = CoarseCosts<S>::of(problem_);
        if (!costs) return true;
        p.coarse.push_back({std::move(costs)});
      }
      p.stage = Stage::merge;
      auto& [costs, state] = p.coarse.front();
      Index constexpr all = std::numeric_limits<Index>::max();
      Status const status = costs->solver().advance(state, all, deadline).status;
      if (status == Status::time_limit) return false;
      if (state.tree.lacking_parts == 0) {
        VectorX<W> const f = costs->row_potential(state.tree.potential.tail(costs->columns()));
        for (Index i = 0; i < n(); ++i) {
          if (problem_.has_row(i) && std::isfinite(f(i))) p.potential(i) = f(i);
        }
      }
      p.coarse.clear();
      p.stage = Stage::read;
    }
    return true;
  }

  struct Near {
    W reduced;
    std::int32_t row;
    bool operator<(Near const& y) const {
      return reduced != y.reduced ? reduced < y.reduced : row < y.row;
    }
  };

  /// g_j = min_i C_ij - f_i and the arcs of least reduced cost of each column: all of them, rank by
  /// rank, for the pool, and a few to send mass along.
  bool read_columns(Progress& p, std::vector<CostArc<W>>& pool, Deadline const& deadline) const {
    constexpr std::size_t few = 4;
    Index const wanted = arcs_of_column(n(), m());
    VectorX<S> scratch(segment_width);
    VectorX<W> reduced(n());
    std::vector<Near> near;
    near.reserve(std::size_t(n()));
    Patience patience(deadline, n());
    if (p.column == 0) {
      pool.assign(std::size_t(wanted * m()), {none, {}});
      p.tight.reserve(few * std::size_t(m()));
      p.limit = none;
    }
    for (; p.column < m(); ++p.column) {
      if (patience.ends()) return false;
      Index const j = p.column;
      if (!problem_.has_column(j)) continue;
      for_each_segment(problem_.cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
        reduced.segment(first, count).array() = ConstArrayMap<S>(c, count).template cast<W>() -
                                                ConstArrayMap<W>(p.potential.data() + first, count);
      });
      W const low = reduced.minCoeff();
      if (!(low < none)) continue;
      p.potential(n() + j) = low;
      nearest(reduced, low, std::size_t(wanted), p.limit, near);
      for (std::size_t k = 0; k < near.size(); ++k) {
        Arc const arc{near[k].row, std::int32_t(j)};
        W const cost = problem_.price(arc);
        pool[k * std::size_t(m()) + std::size_t(j)] = {cost, arc};
        if (k < few) p.tight.push_back({cost, near[k].reduced - low, arc});
      }
    }
    std::erase_if(pool, [](CostArc<W> const& x) { return x.cost == none; });
    std::sort(p.tight.begin(), p.tight.end(), before<W>);
    return true;
  }

  /// The `wanted` least of `reduced` (all that are finite if there are fewer) in their order.
  /// `width` is how far above `low` they were found for the column before.
  static void nearest(VectorX<W> const& reduced, W low, std::size_t wanted, W& width,
                      std::vector<Near>& near) {
    constexpr Index chunk = 16;
    W const highest = std::numeric_limits<W>::max();
    for (W guess = width;; guess *= 4) {
      W limit = std::min(low + guess, highest);
      near.clear();
      for (Index first = 0; first < reduced.size(); first += chunk) {
        Index const count = std::min(chunk, reduced.size() - first);
        bool const any =
            count == chunk ? reduced.template segment<chunk>(first).minCoeff() <= limit : true;
        for (Index i = first; any && i < first + count; ++i) {
          if (reduced(i) <= limit) near.push_back({reduced(i), std::int32_t(i)});
        }
      }
      if (near.size() >= wanted || limit == highest) break;
      if (!(guess > 0)) guess = highest;
    }
    if (near.size() > wanted) {
      std::nth_element(near.begin(), near.begin() + std::ptrdiff_t(wanted), near.end());
      near.resize(wanted);
    }
    std::sort(near.begin(), near.end());
    width = W(1.2) * (near.back().reduced - low);
  }

  /// Sends what it can, but at most `most`, along an arc.
  void send(Progress& p, Arc arc, Mass most) const {
    Mass& have = p.rest[std::size_t(arc.row)];
    Mass& want = p.rest[std::size_t(n() + arc.column)];
    Mass const sent = std::min({have, -want, most});
    if (sent <= 0) return;
    p.plan.push_back({arc, sent, problem_.price(arc)});
    have -= sent;
    want += sent;
  }

  /// The shares, as far as the weights allow, and what is left along the same arcs and the
  /// tightest.
  void begin_plan(Progress& p, std::vector<Share> shares) const {
    constexpr Mass all = std::numeric_limits<Mass>::max();
    // Ties leave many shares of the same size; a basis has n + m - 1 arcs.
    if (shares.size() > 2 * problem_.supply.size()) shares.resize(2 * problem_.supply.size());
    p.rest = problem_.supply;
    double total = 0;
    for (Index i = 0; i < n(); ++i) total += double(p.rest[std::size_t(i)]);
    double const unit = total / double(n());
    for (Share const& x : shares) send(p, x.arc, Mass(std::min(double(x.share) * unit, total)));
    for (Share const& x : shares) send(p, x.arc, all);
    for (PricedArc<W> const& x : p.tight) send(p, x.arc, all);
    p.open = VectorX<W>::Constant(n(), -none);
    for (Index i = 0; i < n(); ++i) {
      if (p.rest[std::size_t(i)] > 0) p.open(i) = p.potential(i);
    }
  }

  /// Sends the rest of each column from the cheapest rows that are left.
  bool fill(Progress& p, Deadline const& deadline) const {
    VectorX<S> scratch(segment_width);
    Patience patience(deadline, n());
    for (; p.column < m(); ++p.column) {
      Index const j = p.column;
      while (p.rest[std::size_t(n() + j)] < 0) {
        if (patience.ends()) return false;
        Arc best;
        W low = none;
        for_each_segment(
            problem_.cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
              W const least = problem_.segment_minimum(c, p.open.data() + first, count);
              if (!(least < low)) return;
              low = least;
              Index const i = problem_.place_of(least, c, p.open.data() + first, count);
              best = {std::int32_t(first + i), std::int32_t(j)};
            });
        if (low == none) break;
        send(p, best, std::numeric_limits<Mass>::max());
        if (p.rest[std::size_t(best.row)] == 0) p.open(best.row) = -none;
      }
    }
    return true;
  }

  /// The 4 (n + m) arcs of least reduced cost. Where no potentials are given, g_j = min_i C_ij -
  /// f_i.
  bool read_for_warm(Progress& p, Deadline const& deadline) const {
    std::size_t const wanted = 4 * std::size_t(n() + m());
    VectorX<S> scratch(segment_width);
    Patience patience(deadline, n());
    if (p.column == 0) {
      p.tight.reserve(2 * wanted);
      p.limit = none;
    }
    for (; p.column < m(); ++p.column) {
      if (patience.ends()) return false;
      Index const j = p.column;
      if (!problem_.has_column(j)) continue;
      if (given_.f.size() == 0) {
        W const low = problem_.column_minimum(j, p.potential.data(), scratch.data());
        p.potential(n() + j) = low < none ? low : W(0);
      }
      W const g = p.potential(n() + j);
      for_each_segment(problem_.cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
        W const* const f = p.potential.data() + first;
        if (!(problem_.segment_minimum(c, f, count) - g < p.limit)) return;
        for (Index i = 0; i < count; ++i) {
          W const reduced = W(c[i]) - f[i] - g;
          if (!(reduced < p.limit)) continue;
          p.tight.push_back({W(c[i]), reduced, {std::int32_t(first + i), std::int32_t(j)}});
          if (p.tight.size() == 2 * wanted) {
            std::nth_element(p.tight.begin(), p.tight.begin() + std::ptrdiff_t(wanted),
                             p.tight.end(), before<W>);
            p.tight.resize(wanted + 1);
            p.limit = p.tight.back().reduced;
          }
        }
      });
    }
    std::sort(p.tight.begin(), p.tight.end(), before<W>);
    return true;
  }

  ExactProblem<C> const& problem_;
  ExactStart<S> const& given_;
};

/// The north-west corner rule: a plan without a look at the cost but for forbidden pairs. For runs
/// that end before their start is made.
template <CostOperator C>
std::vector<Arc> corner_forest(ExactProblem<C> const& problem) {
  std::vector<Mass> rest = problem.supply;
  std::vector<Arc> forest;
  Index i = 0, j = 0;
  while (i < problem.n() && j < problem.m()) {
    Mass& have = rest[std::size_t(i)];
    Mass& want = rest[std::size_t(problem.n() + j)];
    Mass const sent = std::min(have, -want);
    Arc const arc{std::int32_t(i), std::int32_t(j)};
    if (sent > 0 && problem.price(arc) < ExactProblem<C>::none) forest.push_back(arc);
    have -= sent;
    want += sent;
    (have == 0 ? i : j) += 1;
  }
  return forest;
}

}  // namespace monge::ot::detail
