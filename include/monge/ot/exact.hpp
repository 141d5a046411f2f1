// SPDX-License-Identifier: MIT
/// @file
/// Exact optimal transport, without regularisation:
///
///     minimise <C, P>  over P >= 0 with row sums a and column sums b.
///
/// Method: the primal network simplex. A basis is a spanning tree of rows and columns; a pivot
/// brings in an arc with C_ij < f_i + g_j and drops one of the cycle that it closes. Arcs outside
/// the tree carry nothing and need no memory. Pricing looks first through a pool of a few dozen
/// arcs per column that were worth a look before, at the start the cheapest of each column; only if
/// none of these is left does it search the cost, for the best arc of each piece of a column, found
/// by one vectorised minimum. The best of a list of up to 200 enters. So the cost itself is read a
/// few times only, and a lazy cost is solved in O(n + m) memory.
///
/// Ties and zeros in the weights cannot make it cycle: flows are integers (2^-62 of the mass) and
/// the tree stays strongly feasible. Results do not depend on the run. A square dense problem with
/// equal weights and n <= 1000 is solved as an assignment.
///
/// When not to use it: for a rough answer, or from some ten thousand points on, where sinkhorn
/// followed by exact_gap is cheaper.
///
/// Source: W. H. Cunningham, A network simplex method, Mathematical Programming 11 (1976) 105-116;
/// pricing by candidate lists as in M. D. Grigoriadis, An efficient implementation of the network
/// simplex method, Mathematical Programming Study 26 (1986) 83-111; the pool is close to the list
/// of C. Gottschlich, D. Schuhmacher, The shortlist method for fast computation of the earth
/// mover's distance, PLoS ONE 9 (2014) e110214, but holds the arcs of least reduced cost and takes
/// in what searches of the cost find. The parted big M is ours; see detail/network_simplex.hpp.
#pragma once

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/assignment.hpp>
#include <monge/ot/detail/exact_method.hpp>

namespace monge::ot {

/// How `exact` goes about a cloud of points. Other costs always take all pairs.
enum class ExactRoad : unsigned char {
  automatic,       ///< what is faster for the number of points and their dimension
  all_pairs,       ///< the simplex on the cost as an operator
  coarse_to_fine,  ///< growing point sets and arcs that a tree finds: see exact_points.hpp
};

/// Options of `exact`. There is no tolerance: the answer is exact to rounding.
struct ExactOptions {
  Index max_iterations = std::numeric_limits<Index>::max();  ///< pivots
  double max_seconds = infinity;                             ///< wall time
  Index observe_every = 1000;             ///< stride of the observer in pivots; at least 1
  ExactRoad road = ExactRoad::automatic;  ///< for point clouds
};

/// The answer of `exact` for an n x m cost. To start another solve from here pass `{r.f, r.g}`.
template <RealScalar S>
struct ExactResult {
  Eigen::SparseMatrix<S> plan;   ///< n x m, at most n + m - 1 entries, all positive
  wide_t<S> transport_cost = 0;  ///< <C, plan>
  VectorX<S> f, g;               ///< duals, n and m: f(i) + g(j) <= C(i, j), equal on the plan's
                                 ///< entries at an optimum, both to rounding
  VectorX<S> a, b;               ///< the marginals that were used (rescaled to equal masses)
  wide_t<S> duality_gap = infinity;  ///< sum P (C - f - g) from C at the end: bounds transport_cost
                                     ///< - optimum; infinite while the plan lacks mass
  double marginal_error = infinity;  ///< (|P 1 - a|_1 + |P' 1 - b|_1) / mass
  Status status = Status::not_run;
  Index iterations = 0;  ///< pivots (augmentations if solved as an assignment)
  double seconds = 0;    ///< wall time of the solve

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const {
    return std::tie(transport_cost, f, g, duality_gap, marginal_error);
  }
};

namespace detail {

/// Runs the simplex on one cost.
template <CostOperator C, class Watch>
ExactResult<scalar_t<C>> solve_exact(C cost, VectorX<scalar_t<C>> a, VectorX<scalar_t<C>> b,
                                     ExactOptions const& options,
                                     Potentials<scalar_t<C>> const& start, Watch&& observer) {
  using S = scalar_t<C>;
  ExactMethod<C> const method(std::move(cost), std::move(a), std::move(b), start);
  auto const [state, status, statistics] =
      iterate(method, {options.max_iterations, options.max_seconds, options.observe_every},
              std::forward<Watch>(observer));
  ExactProblem<C> const& problem = method.problem();
  ExactResult<S> r;
  std::vector<Eigen::Triplet<S>> entries;
  method.for_each_flow(state, [&](Arc arc, Mass flow) {
    entries.emplace_back(arc.row, arc.column, S(problem.weight(flow)));
  });
  r.plan.resize(problem.n(), problem.m());
  r.plan.setFromTriplets(entries.begin(), entries.end());
  r.transport_cost = state.transport_cost;
  r.f = state.f.template cast<S>();
  r.g = state.g.template cast<S>();
  r.a = problem.a;
  r.b = problem.b;
  r.duality_gap = state.gap;
  r.marginal_error = state.marginal_error;
  r.status = status;
  r.iterations = statistics.iterations;
  r.seconds = statistics.seconds;
  return r;
}

/// Equal weights on both sides of a square cost: a permutation is optimal.
template <RealScalar S, RealMatrixExpr C, class Watch>
ExactResult<S> solve_as_assignment(C const& cost, VectorX<S> a, VectorX<S> b,
                                   ExactOptions const& options, Watch&& observer) {
  balance<S>("exact", shape(cost), a, b);
  if constexpr (!is_row_major<C>) {
    with_cost(cost, [](auto const& entries) { checked_scale("exact", entries); });
  }
  AssignmentResult<S> const pairs =
      assignment(cost, {options.max_seconds, options.observe_every}, observer);
  ExactResult<S> r;
  r.a = std::move(a);
  r.b = std::move(b);
  r.f = pairs.f;
  r.g = pairs.g;
  std::vector<Eigen::Triplet<S>> entries;
  for (Index i = 0; i < r.a.size(); ++i) {
    Index const j = pairs.row_to_column(i);
    if (j >= 0) entries.emplace_back(int(i), int(j), r.a(i));
  }
  r.plan.resize(r.a.size(), r.b.size());
  r.plan.setFromTriplets(entries.begin(), entries.end());
  double const missing = double(r.a.size()) - double(entries.size());
  r.marginal_error = 2 * missing / double(r.a.size());
  r.transport_cost = wide_t<S>(r.a(0)) * pairs.cost;
  r.duality_gap = wide_t<S>(r.a(0)) * pairs.duality_gap;
  r.status = pairs.status;
  r.iterations = pairs.iterations;
  r.seconds = pairs.seconds;
  return r;
}

}  // namespace detail

/// The optimal plan between weights a (n) and b (m) for the cost C (n x m), with its proof.
///
///     auto r = monge::ot::exact(C, a, b);
///     auto r = monge::ot::exact(monge::ot::point_cloud(X, Y, squared_euclidean{}), a, b);
///
/// C is a matrix expression (a row-major matrix is solved as its transpose, without a copy) or a
/// CostOperator. Entries may be negative; +infinity forbids a pair; NaN and -infinity are refused.
/// Weights are nonnegative and finite; masses that differ by at most 8 (n + m) u relative to their
/// mean are rescaled to it, a larger difference is refused. Zero weights are allowed: their
/// potentials are the largest that are feasible. Weights below 2^-63 of the mass count as zero.
/// `start`: duals near the optimum, such as those of a similar problem, save most pivots.
///
/// Converged means that the marginals hold to 8 (n + m) u of the mass and that duality_gap <=
/// 64 u (|cost| + sum a |f| + sum b |g|), else precision_limit. `infeasible` if the allowed pairs
/// cannot carry the mass: the plan is then what they could, at no promised cost, and marginal_error
/// says what is missing. iteration_limit, time_limit and stopped_by_observer return the plan that
/// was reached; f and g are feasible whatever the status. The observer's error is the largest
/// violation of f_i + g_j <= C_ij among the arcs last listed. Throws std::invalid_argument for
/// misuse.
template <Cost C, VectorLike<C> A, VectorLike<C> B, Observer Watch = Unobserved>
[[nodiscard]] ExactResult<scalar_t<C>> exact(C const& cost, A const& a, B const& b,
                                             ExactOptions const& options = {},
                                             Potentials<scalar_t<C>> const& start = {},
                                             Watch&& observer = {}) {
  using S = scalar_t<C>;
  monge::detail::require_limits("exact", options.max_iterations, options.max_seconds,
                                options.observe_every);
  VectorX<S> const rows = monge::detail::as_column(a), columns = monge::detail::as_column(b);
  if constexpr (CostOperator<C>) {
    return monge::detail::certified(detail::solve_exact(detail::CostReference<C>(cost), rows,
                                                        columns, options, start, observer));
  } else {
    // Above, the simplex is as fast on random costs and 3 times faster on points (n = 5000).
    constexpr Index largest_assignment = 1000;
    bool const uniform = rows.size() <= largest_assignment && rows.size() == cost.rows() &&
                         columns.size() == cost.cols() && rows.size() == columns.size() &&
                         rows.size() > 0 && (rows.array() == rows(0)).all() &&
                         (columns.array() == columns(0)).all();
    if (uniform && options.max_iterations == ExactOptions{}.max_iterations &&
        start.f.size() + start.g.size() == 0) {
      return monge::detail::certified(
          detail::solve_as_assignment<S>(cost, rows, columns, options, observer));
    }
    if constexpr (detail::is_row_major<C>) {
      Eigen::Ref<MatrixX<S> const> const transposed(cost.transpose());
      VectorX<S> balanced_rows = rows, balanced_columns = columns;
      detail::balance<S>("exact", detail::shape(cost), balanced_rows, balanced_columns);
      detail::check_before_transposing<S>("exact", transposed, start);
      ExactResult<S> r = detail::solve_exact(detail::view<S>(transposed), columns, rows, options,
                                             Potentials<S>{start.g, start.f}, observer);
      r.plan = Eigen::SparseMatrix<S>(r.plan.transpose());
      std::swap(r.f, r.g);
      std::swap(r.a, r.b);
      return monge::detail::certified(std::move(r));
    } else {
      Eigen::Ref<MatrixX<S> const> const bound(cost);
      return monge::detail::certified(
          detail::solve_exact(detail::view<S>(bound), rows, columns, options, start, observer));
    }
  }
}

}  // namespace monge::ot

#include <monge/ot/exact_points.hpp>  // the overload for clouds of points
