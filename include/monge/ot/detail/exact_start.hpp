// SPDX-License-Identifier: MIT
/// @file
/// What the network simplex starts from: the arcs that are worth a look first, and a forest of them
/// that carries the mass. Reads of the cost are cut where a deadline asks for it and go on from
/// there.
#pragma once

#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include <monge/core/iterate.hpp>
#include <monge/ot/detail/exact_problem.hpp>
#include <monge/ot/detail/rough_plan.hpp>

namespace monge::ot {

/// Where `exact` starts: potentials near the optimum (n and m), a plan near it (n x m), or both.
/// What is empty is not given. `{r.f, r.g}`, `{.plan = r.plan}` and `{r.f, r.g, r.plan}` take up an
/// earlier result. The plan need not have the marginals of the problem: its largest entries that
/// form no cycle are taken, and mass that they cannot carry finds its way anew.
template <RealScalar S>
struct ExactStart {
  VectorX<S> f = {}, g = {};
  Eigen::SparseMatrix<S> plan = {};
};

namespace detail {

template <RealScalar S>
void check_plan(std::string_view function, Shape cost, Eigen::SparseMatrix<S> const& plan) {
  if (plan.size() == 0) return;
  require(plan.rows() == cost.rows && plan.cols() == cost.cols, function,
          ": the plan to start from is ", shape(plan), " but the cost is ", cost);
  for (Index j = 0; j < plan.outerSize(); ++j) {
    for (typename Eigen::SparseMatrix<S>::InnerIterator x(plan, j); x; ++x) {
      require(x.value() >= 0 && std::isfinite(x.value()), function, ": the plan to start from has ",
              x.value(), " at (", x.row(), ", ", j, "); entries must be nonnegative and finite");
    }
  }
}

/// The arcs of a plan that may carry mass, the largest first: between rows and columns that have
/// mass, at a finite price(arc).
template <RealScalar W, RealScalar S, class HasRow, class HasColumn, class Price>
std::vector<PricedArc<W>> plan_arcs(Eigen::SparseMatrix<S> const& plan, HasRow const& has_row,
                                    HasColumn const& has_column, Price const& price) {
  std::vector<PricedArc<W>> arcs;
  for (Index j = 0; j < plan.outerSize(); ++j) {
    for (typename Eigen::SparseMatrix<S>::InnerIterator x(plan, j); x; ++x) {
      if (!(x.value() > 0) || !has_row(x.row()) || !has_column(j)) continue;
      Arc const arc{std::int32_t(x.row()), std::int32_t(j)};
      W const cost = price(arc);
      if (std::isfinite(cost)) arcs.push_back({cost, -W(x.value()), arc});
    }
  }
  std::sort(arcs.begin(), arcs.end(), before<W>);
  return arcs;
}

/// An arc with its cost.
template <RealScalar W>
struct CostArc {
  W cost = 0;
  Arc arc;
};

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
template <RealScalar W>
struct StartProgress {
  enum class Stage { read, fill, done };
  Stage stage = Stage::read;
  bool greedy = false;              // no rough plan
  Index column = 0;                 // the next to be read
  VectorX<W> potential;             // n + m
  std::vector<PricedArc<W>> tight;  // to build the forest from
  W limit = 0;                      // what an arc must be below to be kept
  std::vector<Mass> rest;           // n + m: mass without a way yet
  VectorX<W> open;                  // n: f of rows with a rest, else -infinity
  std::vector<Arc> forest;
};

/// Makes the start of one problem.
template <CostOperator C>
class StartMaker {
 public:
  using S = scalar_t<C>;
  using W = wide_t<S>;
  using Progress = StartProgress<W>;
  using Stage = typename Progress::Stage;

  StartMaker(ExactProblem<C> const& problem, ExactStart<S> const& given)
      : problem_(problem), given_(given) {}

  /// Arcs of each column that are kept for pricing. Of 6 to 60, measured on points in the plane and
  /// random costs, n = 100 to 5000.
  static Index arcs_of_column(Index n, Index m) {
    return std::min(n, std::max(std::clamp<Index>(n / 12, 16, 32), 2 * n / m));
  }

  /// Whether a small problem starts from a rough plan.
  [[nodiscard]] bool rough() const { return !warm() && !problem_.keeps_pool(); }

  /// Goes on; false if the deadline passed before the forest is complete.
  bool advance(Progress& p, std::vector<CostArc<W>>& pool, Deadline const& deadline) const {
    if (p.potential.size() == 0) begin(p);
    if (warm()) {
      if (p.stage == Stage::read && !read_for_warm(p, deadline)) return false;
      if (p.stage == Stage::fill) {
        if (problem_.keeps_pool()) {
          for (PricedArc<W> const& x : p.tight) pool.push_back({x.cost, x.arc});
        }
        std::vector<PricedArc<W>> arcs = plan_arcs<W>(
            given_.plan, [this](Index i) { return problem_.has_row(i); },
            [this](Index j) { return problem_.has_column(j); },
            [this](Arc arc) { return problem_.price(arc); });
        arcs.insert(arcs.end(), p.tight.begin(), p.tight.end());
        p.forest = spanning_forest(arcs, n(), problem_.supply.size());
      }
    } else {
      bool const fresh = p.stage == Stage::read && p.column == 0;
      if (rough() && fresh && !p.greedy && take_rough_plan(p)) p.stage = Stage::done;
      if (p.stage == Stage::read && !read_columns(p, pool, deadline)) return false;
      if (p.stage == Stage::fill && !fill(p, deadline)) return false;
    }
    p.stage = Stage::done;
    return true;
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

  struct Near {
    W reduced;
    std::int32_t row;
    bool operator<(Near const& y) const {
      return reduced != y.reduced ? reduced < y.reduced : row < y.row;
    }
  };

  /// g_j = min_i C_ij - f_i and the arcs of least reduced cost of each column: all of them, rank by
  /// rank, for the pool, and a few to begin with; without a pool the least of each.
  bool read_columns(Progress& p, std::vector<CostArc<W>>& pool, Deadline const& deadline) const {
    constexpr std::size_t few = 4;
    Index const wanted = problem_.keeps_pool() ? arcs_of_column(n(), m()) : 0;
    VectorX<S> scratch(segment_width);
    VectorX<W> reduced(wanted > 0 ? n() : 0);
    std::vector<Near> near;
    near.reserve(std::size_t(reduced.size()));
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
      W low = none;
      Index row = 0;
      for_each_segment(problem_.cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
        W const* const f = p.potential.data() + first;
        W const least = problem_.segment_minimum(c, f, count);
        if (wanted > 0) {
          reduced.segment(first, count).array() =
              ConstArrayMap<S>(c, count).template cast<W>() - ConstArrayMap<W>(f, count);
        } else if (least < low) {
          row = first + problem_.place_of(least, c, f, count);
        }
        low = std::min(low, least);
      });
      if (!(low < none)) continue;
      p.potential(n() + j) = low;
      if (wanted == 0) {
        Arc const arc{std::int32_t(row), std::int32_t(j)};
        p.tight.push_back({problem_.price(arc), 0, arc});
        continue;
      }
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
    p.stage = Stage::fill;
    p.column = 0;
    return true;
  }

  /// The `wanted` least of `reduced` (all that are finite if there are fewer) in their order.
  /// `width` is how far above `low` they were found for the column before.
  static void nearest(VectorX<W> const& reduced, W low, std::size_t wanted, W& width,
                      std::vector<Near>& near) {
    W const highest = std::numeric_limits<W>::max();
    for (W guess = width;; guess *= 4) {
      W limit = std::min(low + guess, highest);
      near.clear();
      for (Index i = 0; i < reduced.size(); ++i) {
        if (reduced(i) <= limit) near.push_back({reduced(i), std::int32_t(i)});
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

  /// A forest from a rough plan, where that is cheap; false if it comes to nothing.
  bool take_rough_plan(Progress& p) const {
    RoughPlan<C> const plan(problem_, p.potential);
    p.forest = spanning_forest(plan.arcs(), n(), problem_.supply.size());
    return !p.forest.empty();
  }

  /// Sends what it can along the tightest arcs, then the rest of each column from the cheapest rows
  /// that are left. Each arc exhausts a row or a column, so there is no cycle.
  bool fill(Progress& p, Deadline const& deadline) const {
    auto const send = [&](Arc arc) {
      Mass& have = p.rest[std::size_t(arc.row)];
      Mass& want = p.rest[std::size_t(n() + arc.column)];
      Mass const sent = std::min(have, -want);
      if (sent == 0) return;
      p.forest.push_back(arc);
      have -= sent;
      want += sent;
      if (have == 0) p.open(arc.row) = -none;
    };
    if (p.rest.empty()) {
      p.rest = problem_.supply;
      p.open = p.potential.head(n());
      for (PricedArc<W> const& x : p.tight) send(x.arc);
    }
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
        send(best);
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
    p.stage = Stage::fill;
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

}  // namespace detail
}  // namespace monge::ot
