// SPDX-License-Identifier: MIT
/// @file
/// Entropic optimal transport by Sinkhorn's algorithm in the log domain.
///
/// Problem. With M = sqrt(sum a * sum b) and Q = a b' / M,
///
///     minimise  <C, P> + epsilon KL(P | Q)   over  P >= 0,  P 1 = a,  P' 1 = b,
///     KL(P | Q) = sum_ij P log(P / Q) - P + Q.
///
/// The solution is P_ij = Q_ij exp((f_i + g_j - C_ij) / epsilon). epsilon is in units of C.
///
/// Method. Block ascent on the dual <a, f> + <b, g> - epsilon (sum P - sum Q): g makes the column
/// sums right, then f the row sums. Both updates share one read of the cost and one exponential per
/// entry: while column j is in the cache its sum s_j = sum_i (a_i/M) e_ij is formed,
/// g_j <- g_j - epsilon log s_j, and e_ij / s_j is added to the row sums. The current potentials
/// serve as the shift that a log-sum-exp needs; a column or row whose sum leaves the trusted range
/// is redone with its true maximum, so that no epsilon overflows or underflows.
///
/// The marginal error of (f, new g) is known before f is updated, at no cost: the column sums are
/// exact and row i has mass a_i r_i, where f_i <- f_i - epsilon log r_i is the update that follows.
///
/// Cost: n m exponentials per iteration, O(n m); memory O(n + m) beyond the cost. The number of
/// iterations grows like max|C| / epsilon: for very small epsilon prefer an exact solver.
///
/// [SK67] R. Sinkhorn, P. Knopp, Concerning nonnegative matrices and doubly stochastic matrices,
///        Pacific J. Math. 21 (1967). [Cu13] M. Cuturi, Sinkhorn distances, NeurIPS 2013.
/// [PC19] G. Peyre, M. Cuturi, Computational optimal transport, 2019, section 4.4 (log domain).
/// Deviation: [PC19] weighs the entropy by the counting measure; here it is relative to Q, so that
/// potentials do not depend on how finely the same measure is sampled.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/entropic_pass.hpp>
#include <monge/ot/detail/entropic_problem.hpp>

namespace monge::ot {

/// Tunables of sinkhorn.
struct SinkhornOptions {
  /// Entropic strength in units of the cost; > 0. It has no default, for none fits most problems;
  /// 0.05 * mean cost is a good start.
  std::optional<double> epsilon = {};
  /// Bound on marginal_error, which is relative to the mass. Unset: 1e-9 (float: 1e-5), or the
  /// rounding error of the exponent, u max|C| / epsilon, if that is larger.
  std::optional<double> tolerance = {};
  Index max_iterations = 100'000;  ///< full updates (both potentials)
  double max_seconds = infinity;   ///< wall time
  Index observe_every = 10;        ///< stride of the observer, in iterations
  Parallel parallel = {};          ///< threads; the result does not depend on it
};

/// Dual potentials, n and m. As a start either both are empty or both have the full size; only
/// their differences matter.
template <RealScalar S>
struct Potentials {
  VectorX<S> f, g;
};

/// The answer of sinkhorn. The coupling itself is P_ij = (a_i b_j / M) exp((f_i + g_j - C_ij) /
/// epsilon) and is not formed: see plan.hpp. To start another solve from here pass `{r.f, r.g}`.
template <RealScalar S>
struct SinkhornResult {
  VectorX<S> f;          ///< n: row potentials in units of C, with <a, f> = <b, g>
  VectorX<S> g;          ///< m: column potentials
  VectorX<S> a;          ///< n: row marginals that were used (rescaled to equal masses)
  VectorX<S> b;          ///< m: column marginals
  double epsilon = 0;    ///< the entropic strength that was used
  double tolerance = 0;  ///< the tolerance that was used

  wide_t<S> transport_cost = 0;      ///< <C, P>
  wide_t<S> regularised_cost = 0;    ///< <C, P> + epsilon KL(P | Q)
  wide_t<S> dual_value = 0;          ///< <a, f> + <b, g> - epsilon (sum P - sum Q)
  double marginal_error = infinity;  ///< (|P 1 - a|_1 + |P' 1 - b|_1) / M of the potentials above

  Status status = Status::not_run;
  Index iterations = 0;  ///< full updates, those before a resume included
  double seconds = 0;    ///< wall time of this run

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const {
    return std::tie(f, g, a, b, transport_cost, regularised_cost, dual_value, marginal_error);
  }
};

/// Sinkhorn's algorithm as a value that monge::iterate drives: for stepping by hand, checkpoints
/// and resumption. Owns its cost and marginals.
template <CostOperator C>
class Sinkhorn {
 public:
  using S = scalar_t<C>;
  using Wide = wide_t<S>;

  /// Everything that changes while it runs. Copy it to keep a checkpoint.
  struct State {
    // Updated by every iteration. f_i = -infinity where a_i = 0, and likewise g.
    VectorX<S> f, g;
    double error = infinity;  // marginal error of (f before its update, g): free, see above
    Index iterations = 0;
    // Updated when the error reaches a new minimum.
    double least_error = infinity;
    Index least_iteration = 0;
    // Scratch of an iteration.
    VectorX<S> next_f;
    detail::RowSums<S> rows;
    // Written by finish.
    detail::EntropicAnswer<S> answer;
  };

  /// Refuses misuse with std::invalid_argument, as sinkhorn() does.
  Sinkhorn(C cost, Eigen::Ref<VectorX<S> const> const& a, Eigen::Ref<VectorX<S> const> const& b,
           SinkhornOptions options, Potentials<S> start = {})
      : problem_("sinkhorn", std::move(cost), a, b, options.epsilon, options.tolerance),
        options_(std::move(options)),
        start_(std::move(start)) {
    detail::require_limits("sinkhorn", options_.max_iterations, options_.max_seconds);
    detail::require(options_.observe_every > 0, "sinkhorn: observe_every is ",
                    options_.observe_every, "; it must be at least 1");
    detail::check_start("sinkhorn", problem_, start_);
  }

  [[nodiscard]] State init() const {
    State state;
    problem_.begin(start_, state.f, state.g);
    state.rows = detail::RowSums<S>(problem_.n(), problem_.m(), options_.parallel.workers());
    state.next_f = state.f;
    return state;
  }

  [[nodiscard]] Advance advance(State& state, Index k) const {
    if (!problem_.feasible) return {Status::infeasible, 0};
    for (Index step = 0; step < k; ++step) {
      Status const status = iteration(state);
      if (status != Status::running) return {status, step + 1};
    }
    return {Status::running, k};
  }

  [[nodiscard]] double error(State const& state) const { return state.error; }

  /// Rebuilds the plan from the potentials, both marginals included, and holds it to the tolerance.
  [[nodiscard]] Status finish(State& state, Status status) const {
    state.answer = problem_.answer(state.f, state.g, state.rows, options_.parallel);
    if (status == Status::infeasible || status == Status::non_finite) return status;
    state.error = state.answer.marginal_error;
    if (status == Status::converged && !(state.error <= problem_.tolerance)) {
      return Status::precision_limit;
    }
    return status;
  }

  /// The result of a finished run.
  [[nodiscard]] SinkhornResult<S> result(Outcome<State> const& run) const {
    SinkhornResult<S> r;
    detail::fill_result(r, problem_, run.state.answer);
    r.status = run.status;
    r.iterations = run.state.iterations;
    r.seconds = run.statistics.seconds;
    return detail::certified(std::move(r));
  }

 private:
  /// One full update. Ends with `converged` before f is touched if (f, new g) is good enough, so
  /// that the error that was measured belongs to the potentials that are kept.
  Status iteration(State& state) const {
    detail::RowSums<S>& rows = state.rows;
    rows.accumulate(options_.parallel, [&](Index j, int worker, S* e) {
      if (!(problem_.v(j) > 0)) return S(0);
      Wide const s = problem_.update_column(problem_.blur, state.f, state.g(j), j, e,
                                            rows.scratch.col(worker).data());
      return S(problem_.v(j) / s);  // turns e into the entries with the new g_j
    });
    ++state.iterations;
    problem_.update_rows(problem_.blur, state.f, state.g, rows, options_.parallel, state.next_f);
    state.error = double(problem_.row_error(rows.total));
    // A tenth of the tolerance is left to the rounding of the certificate.
    if (state.error <= 0.9 * problem_.tolerance) return Status::converged;
    state.f.swap(state.next_f);
    problem_.recentre(state.f, state.g);
    return stagnates(state) ? Status::precision_limit : Status::running;
  }

  /// The error sits at the rounding floor and has not reached a new minimum for 100 iterations.
  bool stagnates(State& state) const {
    if (state.error < state.least_error) {
      state.least_error = state.error;
      state.least_iteration = state.iterations;
    }
    return state.iterations - state.least_iteration >= 100 &&
           state.error <= 64 * problem_.rounding_floor(state.f, state.g);
  }

  detail::EntropicProblem<C> problem_;
  SinkhornOptions options_;
  Potentials<S> start_;
};

namespace detail {

/// What the public functions of all entropic solvers do with their arguments: a row-major matrix is
/// solved as its transpose, any other matrix is bound once, an operator is borrowed. `solve(cost,
/// a, b, start)` returns the result.
template <Cost C, VectorLike<C> A, VectorLike<C> B, class Solve>
auto solve_entropic(std::string_view function, C const& cost, A const& a, B const& b,
                    Potentials<scalar_t<C>> const& start, Solve&& solve) {
  using S = scalar_t<C>;
  Eigen::Ref<VectorX<S> const> const rows(as_column(a)), cols(as_column(b));
  if constexpr (is_row_major<C>) {
    Eigen::Ref<MatrixX<S> const> const transposed(cost.transpose());
    check_before_transposing<S>(function, transposed, rows, cols, start);
    auto r = solve(view<S>(transposed), cols, rows, Potentials<S>{start.g, start.f});
    std::swap(r.f, r.g);
    std::swap(r.a, r.b);
    return r;
  } else if constexpr (CostOperator<C>) {
    return solve(CostReference<C>(cost), rows, cols, start);
  } else {
    Eigen::Ref<MatrixX<S> const> const bound(cost);
    return solve(view<S>(bound), rows, cols, start);
  }
}

}  // namespace detail

/// Entropic optimal transport between weights a (n) and b (m) for the cost C (n x m).
///
///     auto r = monge::ot::sinkhorn(C, a, b, {.epsilon = 0.05, .tolerance = 1e-9});
///
/// C is a matrix expression (a row-major matrix is solved as its transpose, without a copy) or a
/// CostOperator such as point_cloud(X, Y, c). Weights are nonnegative and finite; zero weights are
/// allowed (their potentials are the soft c-transforms; 0 if no allowed partner has mass), weights
/// below the normal range count as zero. Masses that differ by at most 8 (n + m) u relative to
/// their mean are rescaled to it; a larger difference is refused. Entries of C may be negative;
/// +infinity forbids a pair.
///
/// Converged means that marginal_error <= tolerance for the plan rebuilt from the returned
/// potentials. Other ends: infeasible (a weight without an allowed partner), precision_limit,
/// iteration_limit, time_limit, stopped_by_observer, non_finite (an exponent overflowed: the costs
/// are near the largest number). Throws std::invalid_argument for misuse. The observer sees the
/// marginal error.
template <Cost C, VectorLike<C> A, VectorLike<C> B, Observer Watch = Unobserved>
[[nodiscard]] SinkhornResult<scalar_t<C>> sinkhorn(C const& cost, A const& a, B const& b,
                                                   SinkhornOptions const& options,
                                                   Potentials<scalar_t<C>> const& start = {},
                                                   Watch&& observer = {}) {
  return detail::solve_entropic(
      "sinkhorn", cost, a, b, start,
      [&](auto const& C_, auto const& a_, auto const& b_, auto const& start_) {
        Sinkhorn<std::remove_cvref_t<decltype(C_)>> const method(C_, a_, b_, options, start_);
        return method.result(
            iterate(method, {options.max_iterations, options.max_seconds, options.observe_every},
                    std::forward<Watch>(observer)));
      });
}

}  // namespace monge::ot
