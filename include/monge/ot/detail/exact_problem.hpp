// SPDX-License-Identifier: MIT
/// @file
/// The exact problem as the network simplex sees it: checked input, mass in units, and minima of
/// rows and columns.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include <monge/ot/detail/entropic_input.hpp>
#include <monge/ot/detail/integer_masses.hpp>
#include <monge/ot/detail/network_simplex.hpp>

namespace monge::ot::detail {

/// An arc with its cost and its reduced cost C_ij - f_i - g_j when it was last looked at.
template <RealScalar W>
struct PricedArc {
  W cost = 0, reduced = 0;
  Arc arc;
};

/// An arc with its cost.
template <RealScalar W>
struct CostArc {
  W cost = 0;
  Arc arc;
};

/// The order of reduced costs; ties go by column and row.
template <RealScalar W>
bool before(PricedArc<W> const& x, PricedArc<W> const& y) {
  if (x.reduced != y.reduced) return x.reduced < y.reduced;
  return x.arc.column != y.arc.column ? x.arc.column < y.arc.column : x.arc.row < y.arc.row;
}

inline Arc arc_of(Arc const& x) { return x; }
template <RealScalar W>
Arc arc_of(PricedArc<W> const& x) {
  return x.arc;
}

/// Those of the arcs that close no cycle with the ones before them; rows and columns together are
/// `nodes`.
template <class AnyArc>
std::vector<Arc> spanning_forest(std::vector<AnyArc> const& arcs, Index rows, std::size_t nodes) {
  std::vector<std::int32_t> leader(nodes);
  std::iota(leader.begin(), leader.end(), 0);
  auto const find = [&](std::int32_t v) {
    while (leader[std::size_t(v)] != v) {
      v = leader[std::size_t(v)] = leader[std::size_t(leader[std::size_t(v)])];
    }
    return v;
  };
  std::vector<Arc> forest;
  for (AnyArc const& x : arcs) {
    Arc const arc = arc_of(x);
    std::int32_t const p = find(arc.row), q = find(arc.column + std::int32_t(rows));
    if (p == q) continue;
    leader[std::size_t(p)] = q;
    forest.push_back(arc);
  }
  return forest;
}

/// Costs are read as S; all else is W.
template <CostOperator C>
class ExactProblem {
 public:
  using S = scalar_t<C>;
  using W = wide_t<S>;
  static constexpr W none = std::numeric_limits<W>::infinity();

  C cost;
  VectorX<S> a, b;  // marginals of equal mass
  W mass = 0;
  std::vector<Mass> supply;  // n + m: rows, then columns with the opposite sign
  VectorX<S> row_minimum;    // n: over columns with mass; +infinity if nothing is allowed
  W lowest = none;           // of all entries

  /// The caller's weights become weights of equal mass. One read of the cost.
  ExactProblem(C cost_, VectorX<S> a_, VectorX<S> b_)
      : cost(std::move(cost_)), a(std::move(a_)), b(std::move(b_)) {
    mass = balance<S>("exact", shape(cost), a, b);
    require(n() + m() < Index(std::numeric_limits<std::int32_t>::max()), "exact: cost is ",
            shape(cost), "; rows and columns together must be fewer than 2^31");
    supply.resize(std::size_t(n() + m()));
    unit_ = integer_masses<S>(a, b, mass, supply.data(), supply.data() + n());
    for (Index j = 0; j < m(); ++j) supply[std::size_t(n() + j)] *= -1;
    read();
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
  /// The first i with c_i - f_i = `value`, which some i has.
  static Index place_of(W value, S const* c, W const* f, Index count) {
    constexpr Index chunk = 16;
    using Wide = Eigen::Array<W, chunk, 1>;
    using Narrow = Eigen::Array<S, chunk, 1>;
    for (Index i = 0; i + chunk <= count; i += chunk) {
      Wide const x =
          Eigen::Map<Narrow const>(c + i).template cast<W>() - Eigen::Map<Wide const>(f + i);
      if (x.minCoeff() > value) continue;
      Index place = chunk;  // found without a branch: the processor could not foretell it
      for (Index k = chunk; k-- > 0;) place = x(k) == value ? k : place;
      if (place < chunk) return i + place;
    }
    Index i = count - count % chunk;
    while (W(c[i]) - f[i] != value) ++i;
    return i;
  }

  /// Whether arcs that were worth a look are kept, so that the cost is read a few times only.
  /// Reading entries that are stored, up to some hundred rows and columns, is cheaper than that:
  /// measured on points in the plane and random costs, n = 50 to 800.
  [[nodiscard]] bool keeps_pool() const {
    constexpr Index most_entries = Index(1) << 17;
    return !holds_entries<C> || n() * m() > most_entries;
  }

 private:
  void read() {
    VectorX<S> scratch(segment_width);
    row_minimum = VectorX<S>::Constant(n(), S(none));
    // Potentials are sums of up to n + m costs.
    W const largest = std::numeric_limits<W>::max() / W(8 * (n() + m()));
    bool plain = true;
    for (Index j = 0; j < m(); ++j) {
      for_each_segment(cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
        ConstArrayMap<S> const entries(c, count);
        plain = plain && W(entries.abs().sum()) <= largest;  // false for NaN and infinity
        if (has_column(j)) {
          auto part = row_minimum.segment(first, count).array();
          part = part.min(entries);
        } else {
          lowest = std::min(lowest, W(entries.minCoeff()));
        }
      });
    }
    lowest = std::min(lowest, W(row_minimum.minCoeff()));
    if (plain) return;
    double const scale = checked_scale("exact", cost).largest;  // refuses what has no meaning
    require(W(scale) <= largest, "exact: the largest cost is ", scale,
            ", so large that sums overflow; scale the costs, or forbid pairs by +infinity");
  }

  int unit_ = 0;  // the exponent of the unit of mass
};

}  // namespace monge::ot::detail
