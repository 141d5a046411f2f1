// SPDX-License-Identifier: MIT
/// @file
/// Exact optimal transport along given arcs only: the cost is a sparse matrix, a pair that it does
/// not store is forbidden, a stored zero is free.
///
///     minimise  sum over stored (i, j) of C_ij P_ij   over P >= 0 with row sums a, column sums b
///
/// Method: the network simplex of exact.hpp on the list of stored entries, kept by columns. A pivot
/// costs what it changes of the basis tree; pricing reads the arcs of a few columns, and the whole
/// list a few times in all. Memory O(n + m + nonzeros).
///
/// When not to use it: if most pairs are stored; the dense `exact` prices an arc several times
/// faster.
///
/// Source: as in exact.hpp. An arc into a part of the tree that lacks mass comes before all costs,
/// so that problems which the arcs cannot carry end with as much as they can.
#pragma once

#include <Eigen/SparseCore>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <monge/ot/detail/sparse_simplex.hpp>
#include <monge/ot/exact.hpp>

namespace monge::ot {

namespace detail {

/// The entries of a sparse matrix of either order as a list by columns. Entries of +infinity are
/// left out; NaN and -infinity are refused.
template <RealScalar S, int order, class Position>
ArcList<wide_t<S>> list_arcs(Eigen::SparseMatrix<S, order, Position> const& cost) {
  using Iterator = typename Eigen::SparseMatrix<S, order, Position>::InnerIterator;
  ArcList<wide_t<S>> arcs;
  arcs.first.assign(std::size_t(cost.cols()) + 1, 0);
  for (Index k = 0; k < cost.outerSize(); ++k) {
    for (Iterator x(cost, k); x; ++x) {
      require(x.value() > -std::numeric_limits<S>::infinity(), "exact: cost(", Index(x.row()), ", ",
              Index(x.col()), ") is ", x.value(),
              "; costs must be finite, or +infinity to forbid a pair");
      arcs.first[std::size_t(x.col()) + 1] += std::isfinite(x.value());
    }
  }
  for (std::size_t j = 1; j < arcs.first.size(); ++j) arcs.first[j] += arcs.first[j - 1];
  std::vector<std::size_t> next(arcs.first.begin(), arcs.first.end() - 1);
  arcs.row.resize(arcs.first.back());
  arcs.cost.resize(arcs.first.back());
  for (Index k = 0; k < cost.outerSize(); ++k) {
    for (Iterator x(cost, k); x; ++x) {
      if (!std::isfinite(x.value())) continue;
      std::size_t const place = next[std::size_t(x.col())]++;
      arcs.row[place] = std::int32_t(x.row());
      arcs.cost[place] = x.value();
    }
  }
  return arcs;
}

template <RealScalar S, int order, class Position, class Watch>
ExactResult<S> solve_sparse(Eigen::SparseMatrix<S, order, Position> const& cost, VectorX<S> a,
                            VectorX<S> b, ExactOptions const& options, Potentials<S> const& start,
                            Watch&& observer) {
  Shape const size{cost.rows(), cost.cols()};
  wide_t<S> const mass = balance<S>("exact", size, a, b);
  require(size.rows + size.cols < Index(std::numeric_limits<std::int32_t>::max()),
          "exact: cost is ", size, "; rows and columns together must be fewer than 2^31");
  check_start("exact", size, start);
  SparseExactMethod<S> const method(list_arcs(cost), std::move(a), std::move(b), mass, start);
  auto const [state, status, statistics] =
      iterate(method, {options.max_iterations, options.max_seconds, options.observe_every},
              std::forward<Watch>(observer));
  ExactResult<S> r;
  fill_result(r, state.simplex.tree, state.answer, method.a(), method.b(),
              [&](Mass flow) { return method.weight(flow); });
  r.status = status;
  r.iterations = statistics.iterations;
  r.seconds = statistics.seconds;
  return r;
}

}  // namespace detail

/// The optimal plan between weights a (n) and b (m) along the stored entries of a sparse cost
/// (n x m, either storage order, any sparse expression), with its proof.
///
///     Eigen::SparseMatrix<double> C(n, m);   // stored = allowed, absent = forbidden
///     auto r = monge::ot::exact(C, a, b);
///
/// Options, start, observer, result and statuses are those of the dense `exact`; duals are feasible
/// on the stored entries, and a row or column without any has the potential 0. If the arcs cannot
/// carry the mass the status is `infeasible` and the plan carries as much as they can, at no
/// promised cost: the rows that still have mass, and all that could send to where these send, have
/// more mass than all columns that they reach.
///
/// Cost: O(n + m + nonzeros) memory; time by the number of pivots, some ten per node on random
/// graphs. Throws std::invalid_argument for misuse: sizes, weights as in the dense `exact`, NaN or
/// -infinity among the entries.
template <class D, VectorLike<D> A, VectorLike<D> B, Observer Watch = Unobserved>
  requires RealScalar<scalar_t<D>>
[[nodiscard]] ExactResult<scalar_t<D>> exact(Eigen::SparseMatrixBase<D> const& cost, A const& a,
                                             B const& b, ExactOptions const& options = {},
                                             Potentials<scalar_t<D>> const& start = {},
                                             Watch&& observer = {}) {
  using S = scalar_t<D>;
  monge::detail::require_limits("exact", options.max_iterations, options.max_seconds,
                                options.observe_every);
  VectorX<S> const rows = monge::detail::as_column(a), columns = monge::detail::as_column(b);
  auto const solve = [&](auto const& entries) {
    return monge::detail::certified(
        detail::solve_sparse(entries, rows, columns, options, start, observer));
  };
  using Plain = Eigen::SparseMatrix<S, D::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor,
                                    typename D::StorageIndex>;
  if constexpr (std::same_as<D, Plain>) {
    return solve(cost.derived());
  } else {
    return solve(Plain(cost.derived()));
  }
}

}  // namespace monge::ot
