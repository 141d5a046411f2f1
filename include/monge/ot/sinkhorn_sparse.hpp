// SPDX-License-Identifier: MIT
/// @file
/// Entropic transport for a cost that allows few pairs, given as a sparse matrix: absent means
/// forbidden, a stored zero is free.
///
///     Eigen::SparseMatrix<double> C = ...;             // n x m
///     auto r = monge::ot::sinkhorn(C, a, b, {.epsilon = 0.05});
///     Eigen::SparseMatrix<double> P = monge::ot::plan(C, r);
///
/// The problem, the options, the method and the result are those of sinkhorn.hpp; the entropy of a
/// coupling is finite only on the allowed pairs. An iteration costs O(nonzeros + n + m) and takes
/// exponentials only when the potentials have moved by many epsilon since the last ones; memory is
/// 3 numbers per stored entry. `kernel_bytes` has no meaning here.
///
/// Not every pattern can carry every pair of marginals. The status is infeasible if a weight has no
/// partner, if a connected part of the pattern has unequal masses on its two sides, by more than
/// the tolerance, or as soon as the dual value exceeds what any coupling could cost: it grows
/// without bound if no coupling exists. That can take long; then the end is iteration_limit.
///
/// If couplings exist but none is positive on all allowed pairs (a pattern without total support)
/// some potentials tend to infinity and convergence is slow; the marginal error still tends to
/// zero. [SK67] R. Sinkhorn, P. Knopp, Concerning nonnegative matrices and doubly stochastic
/// matrices,
///        Pacific J. Math. 21 (1967), for which patterns the iteration converges.
#pragma once

#include <Eigen/SparseCore>

#include <cmath>
#include <limits>
#include <utility>

#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/detail/sparse_cost.hpp>
#include <monge/ot/detail/sparse_kernel.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_unbalanced.hpp>
#include <monge/ot/sparse_plan.hpp>

namespace monge::ot {

namespace detail {

template <class D>
void as_sparse(Eigen::SparseMatrixBase<D> const&);

/// visit(i, j, p, cost) for the entries of the plan that are not forbidden, column by column.
template <RealScalar S, EntropicSolution R, class Visit>
void for_each_entry(Eigen::SparseMatrix<S> const& cost, R const& r, Visit&& visit) {
  require(cost.rows() == r.f.size() && cost.cols() == r.g.size(), "entropic plan: cost is ",
          Shape{cost.rows(), cost.cols()}, " but the solution has ", r.f.size(), " and ",
          r.g.size(), " potentials; pass the cost that was solved");
  require(r.epsilon > 0, "entropic plan: the solution is empty; run the solver first");
  using Wide = wide_t<S>;
  S const mass =
      S(std::sqrt(r.a.template cast<Wide>().sum()) * std::sqrt(r.b.template cast<Wide>().sum()));
  S const inverse = S(1 / r.epsilon);
  auto const on = [](S weight) { return weight >= std::numeric_limits<S>::min(); };
  for (Index j = 0; j < cost.cols(); ++j) {
    S const v = r.b(j) / mass;
    for (typename Eigen::SparseMatrix<S>::InnerIterator entry(cost, j); entry; ++entry) {
      Index const i = entry.row();
      S const p = on(r.a(i)) && on(v)
                      ? monge::exp(S(((r.f(i) + r.g(j)) - entry.value()) * inverse)) * r.a(i) * v
                      : S(0);
      visit(i, j, p);
    }
  }
}

}  // namespace detail

/// A sparse Eigen expression over float, double or long double.
template <class T>
concept RealSparseExpr = requires(T const& t) { detail::as_sparse(t); } && RealScalar<scalar_t<T>>;

/// Entropic optimal transport for a sparse cost; see the file comment, and sinkhorn.hpp for the
/// arguments and what is refused. The cost is copied once.
template <RealSparseExpr C, VectorLike<C> A, VectorLike<C> B, Observer Watch = Unobserved>
[[nodiscard]] SinkhornResult<scalar_t<C>> sinkhorn(C const& cost, A const& a, B const& b,
                                                   SinkhornOptions const& options,
                                                   Potentials<scalar_t<C>> const& start = {},
                                                   Watch&& observer = {}) {
  using S = scalar_t<C>;
  using Cost = detail::SparseCost<S>;
  Sinkhorn<Cost> const method(Cost(Eigen::SparseMatrix<S>(cost)), monge::detail::as_column(a),
                              monge::detail::as_column(b), options, start);
  return method.result(iterate(method,
                               {options.max_iterations, options.max_seconds, options.observe_every},
                               std::forward<Watch>(observer)));
}

/// Unbalanced entropic transport for a sparse cost; see the file comment, and
/// sinkhorn_unbalanced.hpp for the problem, the arguments and what is refused. Weights without an
/// allowed partner lose their mass if their rho is finite. The cost is copied once; an iteration
/// takes one exponential per stored entry.
template <RealSparseExpr C, VectorLike<C> A, VectorLike<C> B, Observer Watch = Unobserved>
[[nodiscard]] SinkhornUnbalancedResult<scalar_t<C>> sinkhorn_unbalanced(
    C const& cost, A const& a, B const& b, SinkhornUnbalancedOptions const& options,
    Potentials<scalar_t<C>> const& start = {}, Watch&& observer = {}) {
  using S = scalar_t<C>;
  using Cost = detail::SparseCost<S>;
  SinkhornUnbalanced<Cost> const method(Cost(Eigen::SparseMatrix<S>(cost)),
                                        monge::detail::as_column(a), monge::detail::as_column(b),
                                        options, start);
  return method.result(iterate(method,
                               {options.max_iterations, options.max_seconds, options.observe_every},
                               std::forward<Watch>(observer)));
}

/// The coupling of a sparse cost: an entry for every stored one, in O(nonzeros).
template <RealSparseExpr C, EntropicSolution R>
[[nodiscard]] Eigen::SparseMatrix<scalar_t<C>> plan(C const& cost, R const& r) {
  using S = scalar_t<C>;
  Eigen::SparseMatrix<S> P(cost);
  P.makeCompressed();
  Index k = 0;
  detail::for_each_entry(Eigen::SparseMatrix<S>(P), r,
                         [&](Index, Index, S p) { P.valuePtr()[k++] = p; });
  return P;
}

/// The entries P_ij >= threshold * min(a_i, b_j) of the coupling of a sparse cost, in O(nonzeros);
/// as sparse_plan of a dense one.
template <RealSparseExpr C, EntropicSolution R>
[[nodiscard]] SparsePlan<scalar_t<C>> sparse_plan(C const& cost, R const& r, double threshold) {
  using S = scalar_t<C>;
  using Wide = wide_t<S>;
  detail::require(threshold >= 0 && threshold <= 1, "sparse_plan: threshold is ", threshold,
                  "; it is the share of a row or column that matters, between 0 and 1");
  Eigen::SparseMatrix<S> const bound(cost);
  SparsePlan<S> x;
  x.entries.resize(bound.rows(), bound.cols());
  x.left_out_rows = VectorX<Wide>::Zero(bound.rows());
  x.left_out_cols = VectorX<Wide>::Zero(bound.cols());
  Index column = -1;
  detail::for_each_entry(bound, r, [&](Index i, Index j, S p) {
    while (column < j) x.entries.startVec(++column);
    if (p > 0 && (p >= S(threshold) * r.a(i) || p >= S(threshold) * r.b(j))) {
      x.entries.insertBack(i, j) = p;
    } else {
      x.left_out_rows(i) += Wide(p);
      x.left_out_cols(j) += Wide(p);
    }
  });
  x.entries.finalize();
  x.left_out = x.left_out_cols.sum();
  return x;
}

}  // namespace monge::ot
