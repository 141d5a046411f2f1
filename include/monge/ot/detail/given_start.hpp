// SPDX-License-Identifier: MIT
/// @file
/// What a caller gives the simplex to start from.
#pragma once

#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <monge/ot/detail/exact_problem.hpp>

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

}  // namespace detail
}  // namespace monge::ot
