// SPDX-License-Identifier: MIT
/// @file
/// Entropic optimal transport by Sinkhorn's algorithm, safe at every epsilon.
///
/// Problem. With M = sqrt(sum a * sum b) and Q = a b' / M,
///
///     minimise  <C, P> + epsilon KL(P | Q)   over  P >= 0,  P 1 = a,  P' 1 = b,
///     KL(P | Q) = sum_ij P log(P / Q) - P + Q.
///
/// The solution is P_ij = Q_ij exp((f_i + g_j - C_ij) / epsilon). epsilon is in units of C.
///
/// Method. Block ascent on the dual <a, f> + <b, g> - epsilon (sum P - sum Q): g makes the column
/// sums right, then f the row sums. Both updates share one read: while column j is in the cache its
/// sum s_j = sum_i (a_i/M) e_ij is formed, g_j <- g_j - epsilon log s_j, and e_ij / s_j is added to
/// the row sums. A read is one of the cost, with one exponential per entry, or one of a stored
/// kernel without any (detail/scaling_kernel.hpp); the switch needs no choice and leaves no epsilon
/// that overflows or underflows. epsilon is annealed, and the last steps are combined by Anderson's
/// acceleration; a point that it proposes must raise the dual by a share of what Sinkhorn's own
/// step would have gained, otherwise plain steps go on. So the method converges like the plain one
/// from any start, in about the square root of its iterations.
///
/// The marginal error of (f, new g) is known before f is updated, at no cost: the column sums are
/// exact and row i has mass a_i r_i, where f_i <- f_i - epsilon log r_i is the update that follows.
///
/// Cost: O(n m) per iteration; memory for the kernel, n m or what kernel_bytes allows, and 40 (n +
/// m) for the acceleration. For very small epsilon prefer sinkhorn_newton or an exact solver.
///
/// [SK67] R. Sinkhorn, P. Knopp, Concerning nonnegative matrices and doubly stochastic matrices,
///        Pacific J. Math. 21 (1967). [Cu13] M. Cuturi, Sinkhorn distances, NeurIPS 2013.
/// [An65] D. G. Anderson, Iterative procedures for nonlinear integral equations, J. ACM 12 (1965).
/// [Sc19] B. Schmitzer, Stabilized sparse scaling algorithms, SIAM J. Sci. Comput. 41 (2019).
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
#include <monge/ot/detail/anderson.hpp>
#include <monge/ot/detail/annealing.hpp>
#include <monge/ot/detail/entropic_problem.hpp>
#include <monge/ot/detail/relaxation.hpp>
#include <monge/ot/detail/scaling_kernel.hpp>

namespace monge::ot {

/// What is made of Sinkhorn's steps.
enum class Acceleration {
  none,             ///< plain alternating scaling
  over_relaxation,  ///< both updates go beyond the exact potential; the factor adapts
  anderson,         ///< the last few steps are combined
};

/// In what a stored kernel is kept.
enum class KernelPrecision {
  full,    ///< the scalar of the problem
  single,  ///< float: a read fetches half as much
};

/// Tunables of sinkhorn.
struct SinkhornOptions {
  /// Entropic strength in units of the cost; > 0. It has no default, for none fits most problems;
  /// 0.05 * mean cost is a good start.
  std::optional<double> epsilon = {};
  /// Bound on marginal_error, which is relative to the mass. Unset: 1e-9 (float: 1e-5), or the
  /// rounding error of the exponent, u max|C| / epsilon, if that is larger, up to a hundredth.
  std::optional<double> tolerance = {};
  Index max_iterations = 100'000;  ///< full updates (both potentials), over all levels
  double max_seconds = infinity;   ///< wall time
  Index observe_every = 10;        ///< stride of the observer, in iterations
  Acceleration acceleration = Acceleration::anderson;
  Index depth = 20;  ///< steps that Anderson's acceleration combines, 1 to 24
  /// epsilon falls by this factor from level to level, from a tenth of the largest cost; 1 starts
  /// at the final epsilon. A run from given potentials always does.
  double annealing = 0.25;
  Index annealing_iterations = 4;  ///< at most, at each level before the last
  /// Memory for a stored kernel; 0 works in the log domain throughout. Unset: the size of a dense
  /// cost, 64 MiB for a lazy one.
  std::optional<double> kernel_bytes = {};
  /// `single` stores a dense kernel in float for problems in double; scalings and potentials stay
  /// in double. It is the same as changing every cost by 6e-8 epsilon, and takes a third to a half
  /// off the time of an iteration. Results are what `full` promises: with a tolerance below 3e-6
  /// the last iterations use a kernel in double. Other scalars, compressed kernels, and weights
  /// below 1e-20 of the mass keep their precision.
  KernelPrecision kernel_precision = KernelPrecision::full;
  Parallel parallel = {};  ///< threads; the result does not depend on it
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
    // The point of the next iteration; g is what the last one made of it. f_i = -infinity where
    // a_i = 0, and likewise g.
    VectorX<S> f, g;
    bool proposed = false;  // f comes from the acceleration and must prove itself
    // The last point that was accepted, after its step of Sinkhorn.
    VectorX<S> kept_f, kept_g;
    Wide value = 0;           // its dual over M
    double error = infinity;  // and marginal error, free, before the step
    Index level = 0;          // of the annealing; counts down to 0
    Index steps = 0;          // at this level
    Index iterations = 0;
    detail::LeastError least;
    // Workspace.
    VectorX<S> next;    // f after a step of Sinkhorn
    VectorX<S> before;  // g before the read
    detail::RowSums<S> rows;
    detail::KernelOf<C> kernel;
    detail::Anderson<S> anderson;
    detail::Relaxation relaxation;
    // Written by finish.
    detail::EntropicAnswer<S> answer;
  };

  /// Refuses misuse with std::invalid_argument, as sinkhorn() does.
  Sinkhorn(C cost, Eigen::Ref<VectorX<S> const> const& a, Eigen::Ref<VectorX<S> const> const& b,
           SinkhornOptions options, Potentials<S> start = {})
      : problem_("sinkhorn", std::move(cost), a, b, options.epsilon, options.tolerance),
        options_(std::move(options)),
        start_(std::move(start)),
        annealing_(problem_.epsilon, options_.annealing, problem_.largest_cost) {
    detail::require_limits("sinkhorn", options_.max_iterations, options_.max_seconds,
                           options_.observe_every);
    detail::require(options_.depth >= 1 && options_.depth <= detail::Anderson<S>::most,
                    "sinkhorn: depth is ", options_.depth, "; it must be from 1 to ",
                    detail::Anderson<S>::most);
    detail::require_annealing("sinkhorn", options_.annealing);
    detail::require(options_.annealing_iterations >= 1, "sinkhorn: annealing_iterations is ",
                    options_.annealing_iterations, "; it must be at least 1");
    detail::check_start("sinkhorn", detail::shape(problem_.cost), start_);
  }

  [[nodiscard]] State init() const {
    State state;
    problem_.begin(start_, state.f, state.g);
    state.next = state.kept_f = state.f;
    state.before = state.kept_g = state.g;
    state.rows = detail::RowSums<S>(problem_.n(), problem_.m(), options_.parallel.workers(),
                                    detail::in_blocks(problem_.cost));
    state.kernel = make_kernel(problem_, options_.kernel_bytes);
    if constexpr (requires { state.kernel.store_single(problem_); }) {
      if (options_.kernel_precision == KernelPrecision::single) state.kernel.store_single(problem_);
    }
    if (options_.acceleration == Acceleration::anderson) {
      state.anderson = detail::Anderson<S>(problem_.n(), options_.depth);
    }
    state.level = start_.f.size() > 0 ? 0 : annealing_.levels;
    return state;
  }

  [[nodiscard]] Advance advance(State& state, Index k) const {
    if (!problem_.feasible) return {Status::infeasible, 0};
    return detail::advance_by(k, [&] { return iteration(state); });
  }

  [[nodiscard]] double error(State const& state) const { return state.error; }

  /// Rebuilds the plan from the potentials, both marginals included, and holds it to the tolerance.
  [[nodiscard]] Status finish(State& state, Status status) const {
    bool const converged = status == Status::converged;
    state.answer =
        problem_.answer(converged ? state.f : state.kept_f, converged ? state.g : state.kept_g,
                        state.rows, options_.parallel);
    if (status == Status::infeasible || status == Status::non_finite) return status;
    state.error = state.answer.marginal_error;
    if (converged && !(state.error <= problem_.tolerance)) return Status::precision_limit;
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
  /// One full update at the current level.
  Status iteration(State& state) const {
    detail::Blur<S> const at = annealing_.blur(state.level);
    state.before = state.g;
    S const relaxation = state.kernel.read(
        problem_, {at, problem_.negligible(goal(state.level)), S(state.relaxation.factor)}, state.f,
        state.g, state.rows, options_.parallel, state.next);
    ++state.iterations;
    ++state.steps;
    double const error =
        double(problem_.row_error(state.rows.total)) + double(column_error(state, at, relaxation));
    if (too_coarse(state, error)) return Status::running;  // only a finer kernel can tell
    // Ends before f is touched, so that the error that was measured belongs to what is kept. A
    // tenth of the tolerance is left to the rounding of the certificate.
    if (state.level == 0 && error <= goal(0)) {
      if (problem_.near_rounding(state.f, state.g) && state.kernel.distrust()) {
        return Status::running;  // only a read of the cost can tell
      }
      state.error = error;
      return Status::converged;
    }
    Wide const value = dual_value(state, at);
    if (problem_.beyond_couplings(value, at)) return Status::infeasible;
    if (state.proposed && !acceptable(state, at, value, error)) {
      restart_from_kept(state);
      return Status::running;
    }
    state.value = value;
    state.error = error;
    state.kept_f = state.next;
    state.kept_g = state.g;
    bool const moved = problem_.recentre(state.kept_f, state.kept_g);
    if (state.level > 0 &&
        (error <= goal(state.level) || state.steps >= options_.annealing_iterations)) {
      --state.level;
      state.steps = 0;
      state.kernel.anneal(at, annealing_.blur(state.level));
      restart_from_kept(state);
    } else if (moved) {
      restart_from_kept(state);
    } else {
      propose(state, at);
    }
    return state.level == 0 && stagnates(state) ? Status::precision_limit : Status::running;
  }

  /// Whether the error is at the level of the rounding of a stored kernel, which was dropped then.
  bool too_coarse(State& state, double error) const {
    if constexpr (requires { state.kernel.sharpen(error, error); }) {
      return state.level == 0 && state.kernel.sharpen(error, problem_.tolerance);
    } else {
      return false;
    }
  }

  /// The marginal error at which a level ends.
  [[nodiscard]] double goal(Index level) const {
    return level == 0 ? 0.9 * problem_.tolerance : std::max(1e-2, problem_.tolerance);
  }

  /// sum_j v_j |column sum - 1|: zero unless g was relaxed.
  [[nodiscard]] Wide column_error(State const& state, detail::Blur<S> at, S relaxation) const {
    if (relaxation == 1) return 0;
    Wide const beyond = Wide(relaxation - 1) / Wide(relaxation) / at.epsilon;
    Wide sum = 0;
    for (Index j = 0; j < problem_.m(); ++j) {
      if (!(problem_.v(j) > 0)) continue;
      sum +=
          Wide(problem_.v(j)) * std::abs(std::expm1(beyond * Wide(state.g(j) - state.before(j))));
    }
    return sum;
  }

  /// The dual over M at (f, g): the mass of the plan is that of its rows.
  [[nodiscard]] Wide dual_value(State const& state, detail::Blur<S> at) const {
    return problem_.mean_potential(state.f, problem_.w) +
           problem_.mean_potential(state.g, problem_.v) -
           at.epsilon * problem_.excess_mass(state.rows.total);
  }

  /// The dual must have risen by a share of what Sinkhorn's step would have gained, at least
  /// epsilon error^2 / 2 by Pinsker's inequality. Where rounding hides this, the error decides.
  [[nodiscard]] bool acceptable(State const& state, detail::Blur<S> at, Wide value,
                                double error) const {
    Wide const rise = value - state.value;
    if (rise >= Wide(0.05) * at.epsilon * Wide(state.error) * Wide(state.error)) return true;
    return rise >= -problem_.dual_noise(state.value) && error <= 2 * state.error;
  }

  /// The next point at this level.
  void propose(State& state, detail::Blur<S> at) const {
    switch (options_.acceleration) {
      case Acceleration::none:
        state.f.swap(state.next);
        break;
      case Acceleration::over_relaxation:
        state.relaxation.observe(state.error);
        state.proposed = state.relaxation.factor > 1;
        for (Index i = 0; i < problem_.n(); ++i) {
          if (!(problem_.w(i) > 0)) continue;
          state.f(i) += S(state.relaxation.factor) * (state.next(i) - state.f(i));
        }
        break;
      case Acceleration::anderson:
        state.proposed = state.anderson.propose(problem_.w, S(at.epsilon), state.f, state.next);
        break;
    }
  }

  /// Goes on by plain steps from the last point that was accepted.
  void restart_from_kept(State& state) const {
    state.f = state.kept_f;
    state.g = state.kept_g;
    state.proposed = false;
    state.anderson.restart();
    state.relaxation.restart();
  }

  /// The error sits at the rounding floor and has not reached a new minimum for 100 iterations.
  bool stagnates(State& state) const {
    return state.least.observe(state.error, state.iterations) >= 100 &&
           state.error <= 64 * problem_.rounding_floor(state.kept_f, state.kept_g);
  }

  detail::EntropicProblem<C> problem_;
  SinkhornOptions options_;
  Potentials<S> start_;
  detail::Annealing<S> annealing_;
};

namespace detail {

/// What the public functions of all entropic solvers do with their arguments: a row-major matrix is
/// solved as its transpose, any other matrix is bound once, an operator is borrowed.
/// `check(shape, a, b)` refuses weights and may change them; `solve(cost, a, b, start, transposed)`
/// returns the result.
template <Cost C, VectorLike<C> A, VectorLike<C> B, class Check, class Solve>
auto solve_entropic(std::string_view function, C const& cost, A const& a, B const& b,
                    Potentials<scalar_t<C>> const& start, Check&& check, Solve&& solve) {
  using S = scalar_t<C>;
  Eigen::Ref<VectorX<S> const> const rows(as_column(a)), cols(as_column(b));
  if constexpr (is_row_major<C>) {
    Eigen::Ref<MatrixX<S> const> const transposed(cost.transpose());
    VectorX<S> checked_rows = rows, checked_cols = cols;
    check(Shape{transposed.cols(), transposed.rows()}, checked_rows, checked_cols);
    check_before_transposing<S>(function, transposed, start);
    auto r = solve(view<S>(transposed), cols, rows, Potentials<S>{start.g, start.f}, true);
    std::swap(r.f, r.g);
    std::swap(r.a, r.b);
    return r;
  } else if constexpr (CostOperator<C>) {
    return solve(CostReference<C>(cost), rows, cols, start, false);
  } else {
    Eigen::Ref<MatrixX<S> const> const bound(cost);
    return solve(view<S>(bound), rows, cols, start, false);
  }
}

/// The same for solvers of the balanced problem, which is its own transpose.
template <Cost C, VectorLike<C> A, VectorLike<C> B, class Solve>
auto solve_entropic(std::string_view function, C const& cost, A const& a, B const& b,
                    Potentials<scalar_t<C>> const& start, Solve&& solve) {
  using S = scalar_t<C>;
  return solve_entropic(
      function, cost, a, b, start,
      [&](Shape shape, VectorX<S>& rows, VectorX<S>& cols) {
        balance<S>(function, shape, rows, cols);
      },
      [&](auto const& C_, auto const& a_, auto const& b_, auto const& start_, bool) {
        return solve(C_, a_, b_, start_);
      });
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
