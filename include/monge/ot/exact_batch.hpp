// SPDX-License-Identifier: MIT
/// @file
/// Many small exact transport problems at once: a list of costs, or all pairs of point clouds.
///
/// One exact solve does not gain from threads, many of them do: each problem is a task of its own.
/// Every problem is solved by the very code of `exact`, into its own place, so that no result
/// depends on the number of threads or on its neighbours. Pairs share what can be shared: a worker
/// keeps one cost matrix, of the largest size that it has met, and fills it pair by pair.
///
/// Cost: that of `exact` for each problem. When not to use it: for a few large problems.
#pragma once

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/parallel.hpp>
#include <monge/ot/detail/problem_list.hpp>
#include <monge/ot/exact.hpp>

namespace monge::ot {

/// Options of exact_batch and exact_pairwise.
struct ExactBatchOptions {
  ExactOptions each = {};         ///< of every problem
  double max_seconds = infinity;  ///< wall time of all of them together
  Parallel parallel = {};         ///< threads; the results do not depend on it
};

/// The costs between two lists of measures (N and M).
template <RealScalar S>
struct ExactPairwiseResult {
  MatrixX<wide_t<S>> cost;          ///< N x M: transport_cost + penalty
  MatrixX<wide_t<S>> duality_gap;   ///< N x M: bounds cost - optimum
  Status status = Status::not_run;  ///< converged if all are; else that of the first that is not
  Index iterations = 0;             ///< of all solves
  double seconds = 0;               ///< wall time

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(cost, duality_gap); }
};

namespace detail {

/// The options of a problem of which the whole batch leaves so much time.
inline ExactOptions within(ExactOptions options, Deadline const& deadline) {
  options.max_seconds = std::min(options.max_seconds, deadline.remaining());
  return options;
}

/// Solves the pairs (i, j) of x and y.
template <RealScalar S, class F>
ExactPairwiseResult<S> solve_pairs(Measures<S> const& x, Measures<S> const& y, F const& c,
                                   std::vector<std::pair<Index, Index>> const& pairs,
                                   ExactBatchOptions const& options) {
  Deadline const deadline(options.max_seconds);
  ExactPairwiseResult<S> r;
  r.cost = MatrixX<wide_t<S>>::Zero(Index(x.clouds.size()), Index(y.clouds.size()));
  r.duality_gap = r.cost;
  std::vector<MatrixX<S>> workspace(std::size_t(options.parallel.workers()));
  std::vector<Status> status(pairs.size());
  std::vector<Index> iterations(pairs.size());
  parallel_for(options.parallel, Index(pairs.size()), [&](Index task, int worker) {
    auto const [i, j] = pairs[std::size_t(task)];
    named("exact_pairwise", i, j, [&] {
      PointCloud<S, F> const cloud(x.clouds[std::size_t(i)], y.clouds[std::size_t(j)], c);
      Eigen::Map<MatrixX<S> const> const C = entries_of(cloud, workspace[std::size_t(worker)]);
      ExactResult<S> const one = exact(C, x.weight(std::size_t(i)), y.weight(std::size_t(j)),
                                       within(options.each, deadline));
      r.cost(i, j) = one.transport_cost + one.penalty;
      r.duality_gap(i, j) = one.duality_gap;
      status[std::size_t(task)] = one.status;
      iterations[std::size_t(task)] = one.iterations;
    });
  });
  r.status = Status::converged;
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    if (r.status == Status::converged) r.status = status[k];
    r.iterations += iterations[k];
  }
  r.seconds = deadline.elapsed();
  return r;
}

inline void require_batch(std::string_view function, ExactBatchOptions const& options) {
  require(options.max_seconds >= 0, function, ": max_seconds is ", options.max_seconds,
          "; it must be at least 0");
  require_limits("exact", options.each.max_iterations, options.each.max_seconds,
                 options.each.observe_every);
}

}  // namespace detail

/// exact(costs[k], a[k], b[k]) for every k, in the order of the list.
///
///     auto r = exact_batch(costs, a, b, {.parallel = parallel::threads(8)});   // r[k]
///
/// costs: a list (size() and operator[]) of matrices or cost operators. a, b: lists of as many
/// vectors, or one vector for all problems. Each result is that of `exact`, bit for bit, for any
/// number of threads; look at the status of each. When max_seconds has passed, the problems that
/// are left end with time_limit at once. Throws std::invalid_argument for misuse, naming the first
/// problem at fault.
template <class Costs, class A, class B>
  requires Cost<std::remove_cvref_t<decltype(std::declval<Costs const&>()[0])>>
[[nodiscard]] auto exact_batch(Costs const& costs, A const& a, B const& b,
                               ExactBatchOptions const& options = {}) {
  using S = scalar_t<std::remove_cvref_t<decltype(costs[0])>>;
  Index const count = Index(costs.size());
  detail::require_length("exact_batch", "a", a, count);
  detail::require_length("exact_batch", "b", b, count);
  detail::require_batch("exact_batch", options);
  Deadline const deadline(options.max_seconds);
  std::vector<ExactResult<S>> results{std::size_t(count)};
  detail::parallel_for(options.parallel, count, [&](Index k, int) {
    detail::named("exact_batch", k, -1, [&] {
      results[std::size_t(k)] =
          exact(costs[std::size_t(k)], detail::item_of(a, k), detail::item_of(b, k),
                detail::within(options.each, deadline));
    });
  });
  return results;
}

/// The costs between all measures of one list and all of another.
///
///     auto r = exact_pairwise(X, a, Y, b, squared_euclidean{}, {.parallel = threads});
///     r.cost(i, j);   // between X[i] with weights a[i] and Y[j] with weights b[j]
///
/// X, Y: point clouds, d x n_k, of any sizes; a, b: their weights, or empty for equal weights 1/n.
/// Masses that differ need options.each.extra_mass_penalty or .mass. For p-th powers take the root
/// yourself. Entries of solves that did not converge are what they reached (+infinity in
/// duality_gap where mass is missing), and the status tells. Throws std::invalid_argument for
/// misuse.
template <RealScalar S, class F>
[[nodiscard]] ExactPairwiseResult<S> exact_pairwise(std::vector<MatrixX<S>> const& X,
                                                    std::vector<VectorX<S>> const& a,
                                                    std::vector<MatrixX<S>> const& Y,
                                                    std::vector<VectorX<S>> const& b, F c,
                                                    ExactBatchOptions const& options = {}) {
  detail::require_batch("exact_pairwise", options);
  detail::Measures<S> const x{X, a}, y{Y, b};
  x.check("exact_pairwise", "X");
  y.check("exact_pairwise", "Y");
  std::vector<std::pair<Index, Index>> pairs;
  for (Index i = 0; i < Index(X.size()); ++i) {
    for (Index j = 0; j < Index(Y.size()); ++j) pairs.emplace_back(i, j);
  }
  return detail::certified(detail::solve_pairs(x, y, c, pairs, options));
}

/// The costs between all pairs of one list: symmetric, with a diagonal of zeros that is not solved
/// for, so c must be symmetric and vanish at equal points.
template <RealScalar S, class F>
[[nodiscard]] ExactPairwiseResult<S> exact_pairwise(std::vector<MatrixX<S>> const& X,
                                                    std::vector<VectorX<S>> const& a, F c,
                                                    ExactBatchOptions const& options = {}) {
  detail::require_batch("exact_pairwise", options);
  detail::Measures<S> const x{X, a};
  x.check("exact_pairwise", "X");
  std::vector<std::pair<Index, Index>> pairs;
  for (Index i = 0; i < Index(X.size()); ++i) {
    for (Index j = i + 1; j < Index(X.size()); ++j) pairs.emplace_back(i, j);
  }
  ExactPairwiseResult<S> r = detail::solve_pairs(x, x, c, pairs, options);
  r.cost += MatrixX<wide_t<S>>(r.cost.transpose());
  r.duality_gap += MatrixX<wide_t<S>>(r.duality_gap.transpose());
  return detail::certified(std::move(r));
}

}  // namespace monge::ot
