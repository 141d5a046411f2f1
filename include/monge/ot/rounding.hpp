// SPDX-License-Identifier: MIT
/// @file
/// Rounding of a near-coupling to one that has exactly the wanted marginals.
///
/// [AWR17] J. Altschuler, J. Weed, P. Rigollet, Near-linear time approximation algorithms for
/// optimal transport via Sinkhorn iteration, NeurIPS 2017, Algorithm 2: scale down the rows that
/// carry too much, then the columns, and add the rank-one plan err_a err_b' / |err_a|_1 of what is
/// missing. The result is within 2 (|P 1 - a|_1 + |P' 1 - b|_1) of P in the L1 norm (Lemma 7).
/// Its entries stay nonnegative. O(n m).
#pragma once

#include <algorithm>

#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/ot/detail/entropic_problem.hpp>

namespace monge::ot {
namespace detail {

/// min(wanted / present, 1), and 1 where nothing is present.
template <RealScalar S>
VectorX<S> shrink_factors(VectorX<S> const& wanted, VectorX<S> const& present) {
  VectorX<S> factors(wanted.size());
  for (Index i = 0; i < wanted.size(); ++i) {
    factors(i) = present(i) > wanted(i) ? wanted(i) / present(i) : S(1);
  }
  return factors;
}

}  // namespace detail

/// A coupling of a (n) and b (m) near P (n x m, nonnegative). The marginals are met to rounding:
/// |P 1 - a|_1 + |P' 1 - b|_1 <= a few (n + m) u of the mass. Weights as in sinkhorn; negative or
/// non-finite entries of P are misuse. Mass may be placed on any pair, forbidden ones included, if
/// P does not already meet the marginals.
template <RealMatrixExpr P, VectorLike<P> A, VectorLike<P> B>
[[nodiscard]] MatrixX<scalar_t<P>> round_to_coupling(P const& near, A const& a, B const& b) {
  using S = scalar_t<P>;
  MatrixX<S> plan = near;
  VectorX<S> rows = detail::as_column(a), cols = detail::as_column(b);
  detail::balance<S>("round_to_coupling", detail::shape(plan), rows, cols);
  detail::require(plan.allFinite() && plan.minCoeff() >= 0,
                  "round_to_coupling: the plan has a negative or non-finite entry");

  plan = detail::shrink_factors<S>(rows, plan.rowwise().sum()).asDiagonal() * plan;
  plan = plan * detail::shrink_factors<S>(cols, plan.colwise().sum().transpose()).asDiagonal();
  VectorX<S> const missing_rows = (rows - plan.rowwise().sum()).cwiseMax(S(0));
  VectorX<S> const missing_cols = (cols - plan.colwise().sum().transpose()).cwiseMax(S(0));
  S const missing = missing_cols.sum();
  if (missing > 0) {
    plan.noalias() += missing_rows * (missing_cols / missing).transpose();
  }
  return plan;
}

}  // namespace monge::ot
