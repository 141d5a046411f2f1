// SPDX-License-Identifier: MIT
/// @file
/// The exact problem as the network simplex sees it: checked input, mass in units, minima of the
/// columns, and the arcs to start from.
#pragma once

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include <monge/ot/detail/entropic_problem.hpp>
#include <monge/ot/detail/integer_masses.hpp>
#include <monge/ot/detail/network_simplex.hpp>

namespace monge::ot::detail {

/// An arc with its cost and its reduced cost C_ij - f_i - g_j when it was last looked at.
template <RealScalar W>
struct PricedArc {
  W cost = 0, reduced = 0;
  Arc arc;
};

/// Those of the arcs that close no cycle with the ones before them; rows and columns together are
/// `nodes`.
template <RealScalar W>
std::vector<Arc> spanning_forest(std::vector<PricedArc<W>> const& arcs, Index rows,
                                 std::size_t nodes) {
  std::vector<std::int32_t> leader(nodes);
  std::iota(leader.begin(), leader.end(), 0);
  auto const find = [&](std::int32_t v) {
    while (leader[std::size_t(v)] != v) {
      v = leader[std::size_t(v)] = leader[std::size_t(leader[std::size_t(v)])];
    }
    return v;
  };
  std::vector<Arc> forest;
  for (PricedArc<W> const& x : arcs) {
    std::int32_t const p = find(x.arc.row), q = find(x.arc.column + std::int32_t(rows));
    if (p == q) continue;
    leader[std::size_t(p)] = q;
    forest.push_back(x.arc);
  }
  return forest;
}

/// Costs are read as S; all else is W.
template <CostOperator C>
class ExactProblem {
 public:
  using S = scalar_t<C>;
  using W = wide_t<S>;
  /// Of 8 to 60, measured on points in the plane and random costs, n = 1000 to 5000.
  static constexpr std::size_t arcs_of_column = 32;
  static constexpr W none = std::numeric_limits<W>::infinity();

  C cost;
  VectorX<S> a, b;  // marginals of equal mass
  W mass = 0;
  std::vector<Mass> supply;  // n + m: rows, then columns with the opposite sign

  /// The caller's weights become weights of equal mass.
  ExactProblem(C cost_, VectorX<S> a_, VectorX<S> b_)
      : cost(std::move(cost_)), a(std::move(a_)), b(std::move(b_)) {
    mass = balance<S>("exact", shape(cost), a, b);
    require(n() + m() < Index(std::numeric_limits<std::int32_t>::max()), "exact: cost is ",
            shape(cost), "; rows and columns together must be fewer than 2^31");
    supply.resize(std::size_t(n() + m()));
    unit_ = integer_masses<S>(a, b, mass, supply.data(), supply.data() + n());
    for (Index j = 0; j < m(); ++j) supply[std::size_t(n() + j)] *= -1;
    checked_scale("exact", cost);
  }

  [[nodiscard]] Index n() const { return a.size(); }
  [[nodiscard]] Index m() const { return b.size(); }
  [[nodiscard]] W weight(Mass flow) const { return std::ldexp(W(flow), unit_); }
  [[nodiscard]] bool has_row(Index i) const { return supply[std::size_t(i)] != 0; }
  [[nodiscard]] bool has_column(Index j) const { return supply[std::size_t(n() + j)] != 0; }

  [[nodiscard]] W price(Arc arc) const {
    S scratch;
    return W(*cost.column_segment(arc.column, arc.row, 1, &scratch));
  }

  /// min_i C_ij - f_i.
  [[nodiscard]] W column_minimum(Index j, W const* f, S* scratch) const {
    W low = none;
    for_each_segment(cost, j, scratch, [&](Index first, Index count, S const* c) {
      low = std::min(low, segment_minimum(c, f + first, count));
    });
    return low;
  }
  static W segment_minimum(S const* c, W const* f, Index count) {
    return (ConstArrayMap<S>(c, count).template cast<W>() - ConstArrayMap<W>(f, count)).minCoeff();
  }

  /// f_i = min_j C_ij, g_j = min_i C_ij - f_i, over rows and columns with mass.
  void reduce(VectorX<W>& start) const {
    VectorX<S> scratch(segment_width), least = VectorX<S>::Constant(n(), S(none));
    for (Index j = 0; j < m(); ++j) {
      if (!has_column(j)) continue;
      for_each_segment(cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
        auto part = least.segment(first, count).array();
        part = part.min(ConstArrayMap<S>(c, count));
      });
    }
    for (Index i = 0; i < n(); ++i) start(i) = least(i) < S(none) ? W(least(i)) : W(0);
    for (Index j = 0; j < m(); ++j) {
      W const low = !has_column(j) ? none : column_minimum(j, start.data(), scratch.data());
      start(n() + j) = low < none ? low : W(0);
    }
  }

  static bool before(PricedArc<W> const& x, PricedArc<W> const& y) {
    if (x.reduced != y.reduced) return x.reduced < y.reduced;
    return x.arc.column != y.arc.column ? x.arc.column < y.arc.column : x.arc.row < y.arc.row;
  }

  /// The 4 (n + m) arcs of least reduced cost, in its order.
  [[nodiscard]] std::vector<PricedArc<W>> tightest_arcs(VectorX<W> const& start) const {
    std::size_t const wanted = 4 * std::size_t(n() + m());
    std::vector<PricedArc<W>> arcs;
    arcs.reserve(2 * wanted);
    VectorX<S> scratch(segment_width);
    W limit = none;
    for (Index j = 0; j < m(); ++j) {
      if (!has_column(j)) continue;
      W const g = start(n() + j);
      for_each_segment(cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
        W const* const f = start.data() + first;
        if (!(segment_minimum(c, f, count) - g < limit)) return;
        for (Index i = 0; i < count; ++i) {
          W const reduced = W(c[i]) - f[i] - g;
          if (!(reduced < limit)) continue;
          arcs.push_back({W(c[i]), reduced, {std::int32_t(first + i), std::int32_t(j)}});
          if (arcs.size() == 2 * wanted) {
            std::nth_element(arcs.begin(), arcs.begin() + std::ptrdiff_t(wanted), arcs.end(),
                             before);
            arcs.resize(wanted + 1);
            limit = arcs.back().reduced;
          }
        }
      });
    }
    std::sort(arcs.begin(), arcs.end(), before);
    return arcs;
  }

  /// The arcs of least reduced cost of each column, all in the order of their reduced costs.
  [[nodiscard]] std::vector<PricedArc<W>> tightest_of_columns(VectorX<W> const& start) const {
    constexpr std::size_t wanted = arcs_of_column;
    std::vector<PricedArc<W>> arcs;
    arcs.reserve(8 * supply.size() + wanted * std::size_t(m()));
    VectorX<S> scratch(segment_width);
    for (Index j = 0; j < m(); ++j) {
      if (!has_column(j)) continue;
      W const g = start(n() + j);
      std::size_t const begin = arcs.size();
      for_each_segment(cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
        W const* const f = start.data() + first;
        W limit = arcs.size() - begin < wanted ? none : arcs.back().reduced;
        if (!(segment_minimum(c, f, count) - g < limit)) return;
        for (Index i = 0; i < count; ++i) {
          W const reduced = W(c[i]) - f[i] - g;
          if (!(reduced < limit)) continue;
          if (arcs.size() - begin == wanted) arcs.pop_back();
          arcs.push_back({W(c[i]), reduced, {std::int32_t(first + i), std::int32_t(j)}});
          for (std::size_t k = arcs.size() - 1; k > begin && before(arcs[k], arcs[k - 1]); --k) {
            std::swap(arcs[k], arcs[k - 1]);
          }
          limit = arcs.size() - begin < wanted ? none : arcs.back().reduced;
        }
      });
    }
    std::sort(arcs.begin(), arcs.end(), before);
    return arcs;
  }

  /// Arcs without a cycle, the tightest first.
  [[nodiscard]] std::vector<Arc> spanning_forest(std::vector<PricedArc<W>> const& arcs) const {
    return detail::spanning_forest(arcs, n(), supply.size());
  }

  /// Sends what it can along the tightest arcs, then the rest of each column from the cheapest rows
  /// that are left. Each arc exhausts a row or a column, so there is no cycle.
  [[nodiscard]] std::vector<Arc> greedy_forest(std::vector<PricedArc<W>> const& arcs,
                                               VectorX<W> const& start) const {
    std::vector<Mass> rest = supply;
    VectorX<W> f = start.head(n());
    std::vector<Arc> forest;
    auto const send = [&](Arc arc) {
      Mass& have = rest[std::size_t(arc.row)];
      Mass& want = rest[std::size_t(n() + arc.column)];
      Mass const sent = std::min(have, -want);
      if (sent == 0) return;
      forest.push_back(arc);
      have -= sent;
      want += sent;
      if (have == 0) f(arc.row) = -none;
    };
    for (PricedArc<W> const& x : arcs) send(x.arc);
    VectorX<S> scratch(segment_width);
    for (Index j = 0; j < m(); ++j) {
      while (rest[std::size_t(n() + j)] < 0) {
        Arc best;
        W low = none;
        for_each_segment(cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
          W const least = segment_minimum(c, f.data() + first, count);
          if (!(least < low)) return;
          low = least;
          Index i = 0;
          while (W(c[i]) - f(first + i) != least) ++i;
          best = {std::int32_t(first + i), std::int32_t(j)};
        });
        if (low == none) break;
        send(best);
      }
    }
    return forest;
  }

 private:
  int unit_ = 0;  // the exponent of the unit of mass
};

}  // namespace monge::ot::detail
