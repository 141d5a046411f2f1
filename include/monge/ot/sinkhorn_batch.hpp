// SPDX-License-Identifier: MIT
/// @file
/// Many small entropic problems at once: the couplings of minibatches.
///
///     auto r = monge::ot::sinkhorn_batch(costs, a, b, {.epsilon = 0.05});   // r[k]
///
/// Each problem, its certificate and its answer are those of sinkhorn.hpp. What differs is the way
/// there, which suits problems whose kernel fits into the cache (detail/small_sinkhorn.hpp): steps
/// of Sinkhorn that take no exponential and no logarithm, Newton steps on the semi-dual whose
/// systems are solved in single precision, by conjugate gradients or, where epsilon is so small
/// that these would take longer, by a factorisation that loses no digits; memory that serves one
/// problem after the other. Vectors run along the rows of one problem, not across problems: side by
/// side four or eight kernels leave the first level of the cache, and problems of different
/// difficulty wait for each other.
///
/// What does not come to its end in this way goes on as sinkhorn_newton, or as sinkhorn if pairs
/// are forbidden, from the potentials that were reached; problems of more than 7e4 entries (3e4 for
/// the smallest epsilon) are these from the start.
///
/// No result depends on the number of threads or on the rest of the batch.
///
/// Cost: O(n m) per iteration, and at most O(min(n, m)^2 max(n, m)) per Newton step. When not to
/// use it: for a few large problems.
///
/// Deviation from [TQ24] Z. Tang, Y. Qiu, Safe and sparse Newton method for entropic-regularized
/// optimal transport, NeurIPS 2024, beyond those of sinkhorn_newton.hpp: nothing is sparsified.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/parallel.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/problem_list.hpp>
#include <monge/ot/detail/small_sinkhorn.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_newton.hpp>

namespace monge::ot {

/// Tunables of sinkhorn_batch.
struct SinkhornBatchOptions {
  /// Entropic strength of every problem, in units of the cost; > 0, no default (0.05 * mean cost is
  /// a good start).
  std::optional<double> epsilon = {};
  /// Bound on every marginal_error; default as in sinkhorn.
  std::optional<double> tolerance = {};
  Index max_iterations = 100'000;  ///< of each problem
  double max_seconds = infinity;   ///< wall time of all of them together
  Parallel parallel = {};          ///< threads over problems; the results do not depend on it
};

namespace detail {

/// Up to 7e4 entries a kernel stays near in the cache; where epsilon is so small that Newton
/// systems are factorised, up to 3e4. Measured: at 256 x 256 and epsilon 1e-3 of the largest cost
/// this way takes half the time of the others, at 1e-4 a little more than they. share: epsilon over
/// that cost.
inline constexpr double always_in_cache = 3e4;
inline bool fits_cache(Index n, Index m, double share) {
  return double(n) * double(m) <= (share >= 3e-4 ? 7e4 : always_in_cache);
}

/// What a thread keeps from problem to problem.
template <RealScalar S>
class BatchWorker {
 public:
  MatrixX<S> entries;  // of a lazy cost

  SinkhornResult<S> solve(Eigen::Ref<MatrixX<S> const> const& cost, VectorX<S> a, VectorX<S> b,
                          SinkhornBatchOptions const& options, Deadline const& deadline) {
    double const start = deadline.elapsed();
    Problem const problem("sinkhorn", view<S>(cost), std::move(a), std::move(b), options.epsilon,
                          options.tolerance);
    SinkhornResult<S> r;
    bool const in_cache =
        fits_cache(problem.n(), problem.m(), problem.epsilon / problem.largest_cost);
    if (in_cache) r = attempt(problem, {}, options.max_iterations, deadline);
    if (!in_cache || r.status == Status::running) r = goes_on(problem, r, options, deadline);
    r.seconds = deadline.elapsed() - start;
    return certified(std::move(r));
  }

  /// One problem in the cache, whatever its size. running: another method is to go on from f and g.
  SinkhornResult<S> attempt(std::string_view function, Eigen::Ref<MatrixX<S> const> const& cost,
                            VectorX<S> a, VectorX<S> b, SinkhornBatchOptions const& options,
                            Potentials<S> const& start) {
    Deadline const deadline(options.max_seconds);
    Problem const problem(function, view<S>(cost), std::move(a), std::move(b), options.epsilon,
                          options.tolerance);
    check_start(function, shape(problem.cost), start);
    SinkhornResult<S> r = attempt(problem, start, options.max_iterations, deadline);
    r.seconds = deadline.elapsed();
    return r.status == Status::running ? r : certified(std::move(r));
  }

 private:
  using Problem = EntropicProblem<DenseCostView<S>>;

  SinkhornResult<S> attempt(Problem const& problem, Potentials<S> const& start,
                            Index max_iterations, Deadline const& deadline) {
    Index const n = problem.n(), m = problem.m();
    VectorX<S> f, g;
    problem.begin(Potentials<S>{}, f, g);
    Status status = Status::infeasible;
    if (problem.feasible) {
      SmallProblem<S> reduced = reduce(problem);
      if (start.f.size() > 0) reduced.f = reduce(start);
      status = solver_.solve(reduced, max_iterations, deadline);
      expand(transposed_ ? solver_.g() : solver_.f(), f);
      expand(transposed_ ? solver_.f() : solver_.g(), g);
    }
    if (rows_.total.size() != n || rows_.columns.size != m) rows_ = RowSums<S>(n, m, 1);
    SinkhornResult<S> r;
    if (status != Status::running) {
      fill_result(r, problem, problem.answer(f, g, rows_, {}));
      if (status == Status::converged && !(r.marginal_error <= r.tolerance)) {
        status = Status::running;
      }
    }
    if (status == Status::running) {
      r.f = usable(f);
      r.g = usable(g);
    }
    r.status = status;
    r.iterations = problem.feasible ? solver_.iterations() : 0;
    return r;
  }

  /// Finite potentials to go on from: zero where a point took no part, or everywhere if one is
  /// lost.
  static VectorX<S> usable(VectorX<S> p) {
    bool const lost = p.array().isNaN().any();
    for (S& value : p) value = !lost && std::isfinite(value) ? value : S(0);
    return p;
  }

  /// The problem without its zero weights, its smaller side being the rows.
  SmallProblem<S> reduce(Problem const& problem) {
    DenseCostView<S> const& cost = problem.cost;
    Index const n = problem.n(), m = problem.m();
    positive(problem.w, kept_rows_, w_);
    positive(problem.v, kept_cols_, v_);
    Index const rows = w_.size(), cols = v_.size();
    transposed_ = rows > cols;
    SmallProblem<S> reduced;
    reduced.epsilon = problem.epsilon;
    reduced.tolerance = problem.tolerance;
    reduced.largest_cost = problem.largest_cost;
    reduced.n = std::min(rows, cols);
    reduced.m = std::max(rows, cols);
    reduced.w = transposed_ ? v_.data() : w_.data();
    reduced.v = transposed_ ? w_.data() : v_.data();
    if (!transposed_ && rows == n && cols == m) {
      reduced.cost = cost.column_segment(0, 0, n, nullptr);
      reduced.stride = m > 1 ? cost.column_segment(1, 0, n, nullptr) - reduced.cost : n;
      return reduced;
    }
    if (reduced_.size() < rows * cols) reduced_.resize(rows, cols);
    reduced.cost = reduced_.data();
    reduced.stride = reduced.n;
    for (Index j = 0; j < cols; ++j) {
      S const* const c = cost.column_segment(kept_cols_[std::size_t(j)], 0, n, nullptr);
      for (Index i = 0; i < rows; ++i) {
        Index const at = transposed_ ? i * cols + j : j * rows + i;
        reduced_.data()[at] = c[kept_rows_[std::size_t(i)]];
      }
    }
    return reduced;
  }

  /// The potentials of a start on the side of the rows.
  S const* reduce(Potentials<S> const& start) {
    std::vector<Index> const& kept = transposed_ ? kept_cols_ : kept_rows_;
    VectorX<S> const& from = transposed_ ? start.g : start.f;
    start_.resize(Index(kept.size()));
    for (Index i = 0; i < start_.size(); ++i) start_(i) = from(kept[std::size_t(i)]);
    return start_.data();
  }

  static void positive(VectorX<S> const& weights, std::vector<Index>& kept, VectorX<S>& values) {
    kept.clear();
    for (Index i = 0; i < weights.size(); ++i) {
      if (weights(i) > 0) kept.push_back(i);
    }
    values.resize(Index(kept.size()));
    for (Index i = 0; i < values.size(); ++i) values(i) = weights(kept[std::size_t(i)]);
  }

  /// Potentials of the reduced problem into their places; the others stay switched off.
  static void expand(VectorX<S> const& from, VectorX<S>& to) {
    Index next = 0;
    for (S& value : to) {
      if (value == 0) value = from(next++);
    }
  }

  /// The methods for problems of any size, from the potentials that an attempt left, if there was
  /// one.
  SinkhornResult<S> goes_on(Problem const& problem, SinkhornResult<S> const& attempted,
                            SinkhornBatchOptions const& options, Deadline const& deadline) {
    Potentials<S> const start{attempted.f, attempted.g};
    bool const cold = start.f.size() == 0;
    Index const spent = attempted.iterations;
    bool const forbidden = problem.highest_entropy < infinity;
    bool const dense = cold && problem.epsilon >= 1e-3 * problem.largest_cost;
    SinkhornResult<S> r;
    auto const limits = [&](auto& x) {
      x.epsilon = problem.epsilon;
      x.tolerance = problem.tolerance;
      x.max_iterations = std::max<Index>(options.max_iterations - spent, 0);
      x.max_seconds = deadline.remaining();
    };
    if (forbidden || dense) {
      SinkhornOptions x;
      limits(x);
      r = sinkhorn(problem.cost, problem.a, problem.b, x, start);
    } else {
      SinkhornNewtonOptions x;
      limits(x);
      r = sinkhorn_newton(problem.cost, problem.a, problem.b, x, start);
    }
    r.iterations += spent;
    return r;
  }

  SmallSinkhorn<S> solver_;
  RowSums<S> rows_;
  MatrixX<S> reduced_;
  bool transposed_ = false;
  std::vector<Index> kept_rows_, kept_cols_;
  VectorX<S> w_, v_, start_;
};

/// solve(worker, k) for every problem.
template <RealScalar S, class Solve>
std::vector<SinkhornResult<S>> solve_batch(Index count, SinkhornBatchOptions const& options,
                                           Solve&& solve) {
  require_limits("sinkhorn_batch", options.max_iterations, options.max_seconds);
  std::vector<SinkhornResult<S>> results{std::size_t(count)};
  std::vector<BatchWorker<S>> workers(std::size_t(options.parallel.workers()));
  parallel_for(options.parallel, count, [&](Index k, int worker) {
    named("sinkhorn_batch", k, -1,
          [&] { results[std::size_t(k)] = solve(workers[std::size_t(worker)], k); });
  });
  return results;
}

}  // namespace detail

/// Entropic optimal transport for every cost of a list, in its order.
///
///     auto r = sinkhorn_batch(costs, a, b, {.epsilon = 0.05, .parallel = parallel::threads(8)});
///     MatrixXd P = plan(costs[k], r[k]);
///
/// costs: a list (size() and operator[]) of matrices or cost operators, of any shapes. a, b: lists
/// of as many vectors, or one vector for all problems. Each result is what sinkhorn would return,
/// to the tolerance, and the same bits for any number of threads and whatever else is in the batch;
/// look at the status of each. `iterations` counts the reads of the kernel that moved the
/// potentials. When max_seconds has passed, the problems that are left end with time_limit at once.
/// Throws std::invalid_argument for misuse, naming the first problem at fault.
template <class Costs, class A, class B>
  requires Cost<std::remove_cvref_t<decltype(std::declval<Costs const&>()[0])>>
[[nodiscard]] auto sinkhorn_batch(Costs const& costs, A const& a, B const& b,
                                  SinkhornBatchOptions const& options) {
  using C = std::remove_cvref_t<decltype(costs[0])>;
  using S = scalar_t<C>;
  Index const count = Index(costs.size());
  detail::require_length("sinkhorn_batch", "a", a, count);
  detail::require_length("sinkhorn_batch", "b", b, count);
  Deadline const deadline(options.max_seconds);
  return detail::solve_batch<S>(count, options, [&](detail::BatchWorker<S>& worker, Index k) {
    auto const solve = [&](Eigen::Ref<MatrixX<S> const> const& entries) {
      return worker.solve(entries, VectorX<S>(detail::as_column(detail::item_of(a, k))),
                          VectorX<S>(detail::as_column(detail::item_of(b, k))), options, deadline);
    };
    if constexpr (CostOperator<C>) {
      return solve(detail::entries_of(costs[std::size_t(k)], worker.entries));
    } else {
      return solve(costs[std::size_t(k)]);
    }
  });
}

/// The same between the clouds X[k] and Y[k] with weights a[k] and b[k].
///
///     auto r = sinkhorn_batch(X, {}, Y, {}, squared_euclidean{}, {.epsilon = 0.05});
///     MatrixXd T = barycentric_map(point_cloud(X[k], Y[k], c), r[k], Y[k]);
///
/// X, Y: point clouds, d x n_k, of any sizes, as many of one as of the other; a, b: their weights,
/// or empty for equal weights 1/n_k. A thread keeps one cost matrix.
template <RealScalar S, class F>
[[nodiscard]] std::vector<SinkhornResult<S>> sinkhorn_batch(std::vector<MatrixX<S>> const& X,
                                                            std::vector<VectorX<S>> const& a,
                                                            std::vector<MatrixX<S>> const& Y,
                                                            std::vector<VectorX<S>> const& b, F c,
                                                            SinkhornBatchOptions const& options) {
  detail::Measures<S> const x{X, a}, y{Y, b};
  x.check("sinkhorn_batch", "X");
  y.check("sinkhorn_batch", "Y");
  detail::require(X.size() == Y.size(), "sinkhorn_batch: X are ", X.size(), " clouds and Y ",
                  Y.size(), "; cloud k of one is coupled with cloud k of the other");
  Deadline const deadline(options.max_seconds);
  return detail::solve_batch<S>(
      Index(X.size()), options, [&](detail::BatchWorker<S>& worker, Index k) {
        auto const at = std::size_t(k);
        PointCloud<S, F> const cloud(X[at], Y[at], c);
        return worker.solve(detail::entries_of(cloud, worker.entries), x.weight(at), y.weight(at),
                            options, deadline);
      });
}

}  // namespace monge::ot
