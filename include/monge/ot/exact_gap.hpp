// SPDX-License-Identifier: MIT
/// @file
/// A certificate for the unregularised problem from any entropic solution.
///
/// The plan, rounded to a true coupling, costs at least as much as the optimum; the c-transformed
/// potentials are feasible for the dual and give at most as much. So the optimum of
/// min <C, P> lies between `lower` and `upper`, whatever epsilon was and however far the entropic
/// solver came. The gap vanishes with epsilon, not with the tolerance.
///
/// The plan is not formed: rounding [AWR17, see rounding.hpp] needs its marginals, two scalings and
/// a rank-one term. Three reads of the cost with exponentials and three without; O(n + m) memory.
#pragma once

#include <algorithm>

#include <monge/ot/c_transform.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/rounding.hpp>

namespace monge::ot {

/// Bounds of the unregularised optimum.
template <RealScalar S>
struct ExactGap {
  wide_t<S> upper = infinity;   ///< <C, round(P)>; infinite if rounding had to use a forbidden pair
  wide_t<S> lower = -infinity;  ///< <a, f> + <b, g> of the c-transformed potentials
  wide_t<S> gap = infinity;     ///< upper - lower >= 0 up to rounding
};

/// The certified gap of a solution for the cost that was solved.
template <Cost C, EntropicSolution R>
[[nodiscard]] ExactGap<scalar_t<C>> exact_gap(C const& cost, R const& r) {
  using S = scalar_t<C>;
  using Wide = wide_t<S>;
  Index const n = r.f.size(), m = r.g.size();
  VectorX<Wide> const a = r.a.template cast<Wide>(), b = r.b.template cast<Wide>();
  ExactGap<S> x;

  // Primal: row scaling, column scaling, then the rank-one rest.
  x.upper = detail::with_plan(cost, r, [&](auto& columns) {
    VectorX<Wide> row_sums = VectorX<Wide>::Zero(n);
    VectorX<S> p(n);
    for (Index j = 0; j < m; ++j) {
      columns.column(j, p);
      row_sums += p.template cast<Wide>();
    }
    VectorX<Wide> const row_scale = detail::shrink_factors<Wide>(a, row_sums);
    VectorX<Wide> missing_rows = a, missing_cols(m);
    Wide paid = 0;
    for (Index j = 0; j < m; ++j) {
      Wide sum = 0, cost_of_column = 0;
      columns.segments(j, [&](Index first, Index count, S const* entries, S const* c) {
        for (Index i = 0; i < count; ++i) {
          Wide const scaled = row_scale(first + i) * Wide(entries[i]);
          p(first + i) = entries[i];
          sum += scaled;
          cost_of_column += entries[i] > 0 ? scaled * Wide(c[i]) : Wide(0);
        }
      });
      Wide const scale = sum > b(j) ? b(j) / sum : Wide(1);
      paid += scale * cost_of_column;
      missing_cols(j) = std::max(Wide(0), b(j) - scale * sum);
      missing_rows.array() -= scale * row_scale.array() * p.template cast<Wide>().array();
    }
    missing_rows = missing_rows.cwiseMax(Wide(0));
    Wide const missing = missing_cols.sum();
    if (missing > 0) {
      for (Index j = 0; j < m; ++j) {
        if (!(missing_cols(j) > 0)) continue;
        columns.segments(j, [&](Index first, Index count, S const*, S const* c) {
          for (Index i = 0; i < count; ++i) {
            Wide const mass = missing_rows(first + i) * (missing_cols(j) / missing);
            paid += mass > 0 ? mass * Wide(c[i]) : Wide(0);
          }
        });
      }
    }
    return paid;
  });

  // Dual: f and then g as large as the partners with mass allow.
  VectorX<S> g = r.g;
  for (Index j = 0; j < m; ++j) {
    if (!(r.b(j) > 0)) g(j) = -std::numeric_limits<S>::infinity();
  }
  VectorX<S> f = c_transform_rows(cost, g);
  for (Index i = 0; i < n; ++i) {
    if (!(r.a(i) > 0)) f(i) = -std::numeric_limits<S>::infinity();
  }
  g = c_transform_columns(cost, f);
  x.lower = 0;
  for (Index i = 0; i < n; ++i) {
    if (a(i) > 0) x.lower += a(i) * Wide(f(i));
  }
  for (Index j = 0; j < m; ++j) {
    if (b(j) > 0) x.lower += b(j) * Wide(g(j));
  }
  x.gap = x.upper - x.lower;
  return x;
}

}  // namespace monge::ot
