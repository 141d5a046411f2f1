// SPDX-License-Identifier: MIT
/// @file
/// Entropic optimal transport by a sparsified Newton method on the semi-dual.
///
/// Problem and answer are those of sinkhorn.hpp. Sinkhorn's iteration converges linearly, and
/// slowly when epsilon is small; then the plan is nearly sparse, and so is the Hessian of the dual.
///
/// Method. Let g(f) be the column potentials that make all column sums exact (half an iteration of
/// Sinkhorn). The semi-dual D(f) = <a, f> + <b, g(f)> is concave, with
///
///     dD/df_i = a_i (1 - r_i),   -epsilon d^2D/df^2 = L = sum_j b_j (diag(q_j) - q_j q_j'),
///
/// where q_j is column j of the plan divided by b_j and a_i r_i is the mass of row i. One read of
/// the cost with one exponential per entry yields g, r, D and the entries of q that matter. A step
/// solves
///
///     (L_sparse + diag(dropped) + mu |grad|_1 diag(h)) x = grad,   f <- f + alpha epsilon x
///
/// by preconditioned truncated conjugate gradients; "dropped" is the row mass of the entries that
/// were left out, so the matrix stays positive definite for any pattern [TQ24], and h_i =
/// a_i (r_i - 1) / log r_i makes a heavily damped step a short step of Sinkhorn. Entries of a
/// column are dropped below drop |grad|_1 / n of its mass: the pattern sharpens as the iterates
/// converge, which keeps the convergence quadratic [TQ24]. alpha is at most 1 and such that no
/// exponent moves too far, and is cut until D rises enough; if no alpha helps, a step of Sinkhorn
/// is taken, which always raises D. So the method converges from any start, and each step costs one
/// read of the cost as long as the first alpha is taken. NewtonPolicy names the rules of [TSGY24]
/// and [TQ24] for the choice of entries and the damping.
///
/// epsilon is annealed: from a tenth of the largest cost it is halved after a few steps of
/// Sinkhorn in float, whose kernel is squared as epsilon is halved (detail/rough_read.hpp), and at
/// every level the Newton steps take over once the plan is sparse. Where it is not, steps of
/// Sinkhorn are combined by Anderson's acceleration as in sinkhorn(). Reads of a sparse plan go
/// over its stored entries.
///
/// Cost per step: n m exponentials and O(nnz) per conjugate gradient step; memory O(n + m + nnz)
/// beyond the cost and the kernels, which kernel_bytes bounds. For large epsilon, where the plan is
/// dense, sinkhorn() is a little quicker.
///
/// [TSGY24] X. Tang, M. Shavlovsky, H. Rahmanian, E. Tardini, K. Thekumparampil, T. Xiao, L. Ying,
///          Accelerating Sinkhorn algorithm with sparse Newton iterations, ICLR 2024.
/// [TQ24]   Z. Tang, Y. Qiu, Safe and sparse Newton method for entropic-regularized optimal
///          transport, NeurIPS 2024.
/// Deviations, for all policies: [TSGY24] and [TQ24] linearise both potentials. Here the columns
/// are eliminated exactly: this costs nothing, for the pass that evaluates D does it. Systems are
/// solved on the rows, where [TQ24] factorises the matrix of both potentials. A step of Sinkhorn
/// replaces a Newton step that fails.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/anderson.hpp>
#include <monge/ot/detail/annealing.hpp>
#include <monge/ot/detail/entropic_problem.hpp>
#include <monge/ot/detail/newton_system.hpp>
#include <monge/ot/detail/scaling_kernel.hpp>
#include <monge/ot/detail/sparse_laplacian.hpp>
#include <monge/ot/sinkhorn.hpp>

namespace monge::ot {

/// Which entries of the Hessian a Newton step keeps, and how it is damped.
enum class NewtonPolicy {
  /// Entries above drop * |grad|_1 / n of their column; a shift that starts small and adapts; steps
  /// of bounded length. The fastest and the most robust of the three in our measurements.
  adaptive,
  /// A fixed number of the largest entries, no shift, backtracking by halves [TSGY24]. To the
  /// letter with .warmup_iterations = 20, .annealing = 1.
  sns,
  /// The smallest entries of each column, up to 0.01 |grad|_1 in all, are dropped, unless a row
  /// loses more than twice that; shift mu |grad| with mu = 1 at first [TQ24]. To the letter with
  /// .warmup_iterations = 0, .annealing = 1.
  ssns,
};

/// Tunables of sinkhorn_newton.
struct SinkhornNewtonOptions {
  /// Entropic strength in units of the cost; > 0, no default (0.05 * mean cost is a good start).
  std::optional<double> epsilon = {};
  /// Bound on marginal_error; default as in sinkhorn.
  std::optional<double> tolerance = {};
  Index max_iterations = 2000;    ///< reads of the cost: steps of either kind and trial points
  double max_seconds = infinity;  ///< wall time
  Index observe_every = 1;        ///< stride of the observer, in iterations
  /// Steps of Sinkhorn at each epsilon before Newton's may begin.
  Index warmup_iterations = 4;
  /// epsilon falls by this factor from level to level; 1 starts at the final epsilon.
  double annealing = 0.5;
  /// Entries below drop * |grad|_1 / n of their column are left out of the Hessian (adaptive).
  double drop = 0.1;
  NewtonPolicy policy = NewtonPolicy::adaptive;
  /// Share of the entries of the (n + m) x (n + m) Hessian of both potentials, its diagonal
  /// included, that sns keeps. Unset: 2 / max(n, m), the paper's choice, three entries of the plan
  /// per row.
  std::optional<double> density = {};
  /// Memory for a stored kernel, as in sinkhorn.
  std::optional<double> kernel_bytes = {};
  Parallel parallel = {};  ///< threads; the result does not depend on it
};

/// What one step of sinkhorn_newton did.
struct NewtonRecord {
  double epsilon = 0;          ///< the level
  double marginal_error = 0;   ///< after the step
  Index nonzeros = 0;          ///< entries of the sparse Hessian factor; 0 for a step of Sinkhorn
  Index inner_iterations = 0;  ///< of conjugate gradients
  double step = 0;             ///< alpha; 0 for a step of Sinkhorn
};

/// The answer of sinkhorn_newton: that of sinkhorn with the history of the steps.
template <RealScalar S>
struct SinkhornNewtonResult : SinkhornResult<S> {
  std::vector<NewtonRecord> history;
};

/// The method as a value that monge::iterate drives. Owns its cost and marginals.
template <CostOperator C>
class SinkhornNewton {
 public:
  using S = scalar_t<C>;
  using Wide = wide_t<S>;

  /// Everything that changes while it runs. Copy it to keep a checkpoint.
  struct State {
    // The current point: f, and what a read of the cost made of it.
    VectorX<S> f, g;          // g = g(f); -infinity where a weight is zero
    VectorX<Wide> r;          // n: row mass over a_i
    VectorX<S> sinkhorn;      // n: what a step of Sinkhorn would make of f
    Wide value = 0;           // D(f) / M
    double error = infinity;  // |grad|_1
    bool evaluated = false;   // at the epsilon of the level
    // Where the run stands.
    Index level = 0;       // 0 is the last one; counts down
    Index warm = 0;        // steps of Sinkhorn at this level
    double damping = 0;    // mu
    double radius = 10;    // bound on |x|: how far the exponents may move in a step
    Index rest = 0;        // steps of Sinkhorn to come before the next trial of Newton
    Index patience = 1;    // their number after the next failure
    bool rough = false;    // the last read was one with exponentials in float
    bool settled = false;  // no more of these at the last level
    bool stiff = false;    // conjugate gradients needed the factorisation
    bool dense = false;    // the plan was too dense for the last trial of Newton
    Index iterations = 0;
    detail::LeastError least;
    std::vector<NewtonRecord> history;
    // Scratch.
    VectorX<S> trial, trial_g, next;
    detail::NewtonKernelOf<C> kernel;
    detail::RowSums<S> rows;
    detail::SparseLaplacian<S> laplacian;
    detail::Anderson<S> anderson;
    // Written by finish.
    detail::EntropicAnswer<S> answer;
  };

  SinkhornNewton(C cost, Eigen::Ref<VectorX<S> const> const& a,
                 Eigen::Ref<VectorX<S> const> const& b, SinkhornNewtonOptions options,
                 Potentials<S> start = {})
      : problem_("sinkhorn_newton", std::move(cost), a, b, options.epsilon, options.tolerance),
        options_(std::move(options)),
        start_(std::move(start)),
        annealing_(problem_.epsilon, options_.annealing, problem_.largest_cost),
        rough_(reads_roughly && detail::RoughRead::possible(problem_)) {
    detail::require_limits("sinkhorn_newton", options_.max_iterations, options_.max_seconds,
                           options_.observe_every);
    detail::require(options_.warmup_iterations >= 0, "sinkhorn_newton: warmup_iterations is ",
                    options_.warmup_iterations, "; it must be at least 0");
    detail::require_annealing("sinkhorn_newton", options_.annealing);
    detail::require(options_.drop >= 0 && options_.drop < 1, "sinkhorn_newton: drop is ",
                    options_.drop, "; it must be at least 0 and below 1");
    if (options_.density) {
      detail::require(*options_.density > 0 && *options_.density <= 1,
                      "sinkhorn_newton: density is ", *options_.density,
                      "; it must be above 0 and at most 1");
    }
    detail::check_start("sinkhorn_newton", detail::shape(problem_.cost), start_);
  }

  [[nodiscard]] State init() const {
    State state;
    problem_.begin(start_, state.f, state.g);
    state.trial = state.sinkhorn = state.f;
    state.trial_g = state.g;
    state.r = VectorX<Wide>::Ones(problem_.n());
    state.next = state.f;
    state.kernel = make_newton_kernel(problem_, options_.kernel_bytes);
    state.rows = detail::RowSums<S>(problem_.n(), problem_.m(), options_.parallel.workers());
    state.anderson = detail::Anderson<S>(problem_.n(), 20);
    state.damping = is(NewtonPolicy::adaptive) ? 1e-3 : is(NewtonPolicy::ssns) ? 1.0 : 0.0;
    state.level =
        start_.f.size() > 0 ? 0 : annealing_.levels;  // a start is good for the last epsilon
    return state;
  }

  [[nodiscard]] Advance advance(State& state, Index k) const {
    if (!problem_.feasible) return {Status::infeasible, 0};
    for (Index done = 0; done < k;) {
      Index const before = state.iterations;
      Status const status = step(state);
      done += state.iterations - before;
      if (status != Status::running) return {status, std::min(done, k)};
      if (done >= k) return {Status::running, k};
    }
    return {Status::running, 0};
  }

  [[nodiscard]] double error(State const& state) const { return state.error; }

  /// Rebuilds the plan from the potentials, both marginals included, and holds it to the tolerance.
  [[nodiscard]] Status finish(State& state, Status status) const {
    state.answer = problem_.answer(state.f, state.g, state.rows, options_.parallel);
    if (status == Status::infeasible || status == Status::non_finite) return status;
    if (status == Status::converged && !(state.answer.marginal_error <= problem_.tolerance)) {
      return Status::precision_limit;
    }
    return status;
  }

  /// The result of a finished run.
  [[nodiscard]] SinkhornNewtonResult<S> result(Outcome<State> const& run) const {
    SinkhornNewtonResult<S> r;
    detail::fill_result(r, problem_, run.state.answer);
    r.history = run.state.history;
    r.status = run.status;
    r.iterations = run.state.iterations;
    r.seconds = run.statistics.seconds;
    return detail::certified(std::move(r));
  }

 private:
  static constexpr bool reads_roughly =
      std::same_as<detail::NewtonKernelOf<C>, detail::ScalingKernel<double>>;

  [[nodiscard]] bool is(NewtonPolicy policy) const { return options_.policy == policy; }

  /// The marginal error at which a level hands over to the next.
  [[nodiscard]] double goal(Index level) const {
    return level == 0 ? 0.9 * problem_.tolerance : std::max(0.1, problem_.tolerance);
  }

  /// One step of either kind, or the evaluation that begins a level.
  Status step(State& state) const {
    if (!state.evaluated) {
      evaluate(state, state.f, state.g, newton_is_due(state));
      keep(state);
    } else if (!newton_is_due(state) || !newton(state)) {
      ++state.warm;
      state.rest = std::max<Index>(state.rest - 1, 0);
      if (!accelerated(state)) {
        state.f.swap(state.sinkhorn);
        if (problem_.recentre(state.f, state.g)) state.anderson.restart();
        evaluate(state, state.f, state.g, newton_is_due(state));
        keep(state);
      }
      record(state, 0, 0, 0);
    }
    while (state.error <= goal(state.level) && (state.level == 0 || rows_are_near(state))) {
      if (state.level == 0) {
        if (state.rough) {  // such a read cannot tell
          state.settled = true;
          state.evaluated = false;
          break;
        }
        double const margin = problem_.rounding_floor(state.f, state.g);
        if (state.error + margin <= problem_.tolerance || !state.kernel.distrust()) {
          return Status::converged;
        }
        state.evaluated = false;  // only a read of the cost can tell
        break;
      }
      --state.level;
      state.kernel.anneal(annealing_.blur(state.level + 1), annealing_.blur(state.level));
      state.f.swap(state.sinkhorn);  // a step that costs nothing
      state.warm = 0;
      state.dense = state.stiff = false;
      state.anderson.restart();
      state.evaluated = false;
      state.error = infinity;
    }
    Index const idle = state.least.observe(state.error, state.iterations);
    bool const stuck = state.level == 0 && idle >= 30 &&
                       state.error <= 64 * problem_.rounding_floor(state.f, state.g);
    return stuck ? Status::precision_limit : Status::running;
  }

  /// Whether every row whose weight counts is within a factor e of its mass. A level above the last
  /// also waits for this: where few points have nearly all mass, the error tells of these alone.
  [[nodiscard]] bool rows_are_near(State const& state) const {
    S const inverse = annealing_.blur(state.level).inverse;
    S const light = S(1e-3 * problem_.tolerance / double(problem_.n()));
    for (Index i = 0; i < problem_.n(); ++i) {
      S const log_r = (state.f(i) - state.sinkhorn(i)) * inverse;
      if (problem_.w(i) > light && std::abs(log_r) > 1) return false;
    }
    return true;
  }

  /// Whether the next step may be Newton's: after the warm-up, unless a failure made it wait.
  [[nodiscard]] bool newton_is_due(State const& state) const {
    return state.warm >= options_.warmup_iterations && state.rest == 0;
  }

  /// Beyond this many entries the plan counts as dense, and Sinkhorn's steps are the cheaper ones.
  [[nodiscard]] Index most_nonzeros() const {
    Index const n = problem_.n(), m = problem_.m();
    Index const most = is(NewtonPolicy::adaptive) ? std::max(n * m / 5, 64 * (n + m)) : n * m;
    if constexpr (requires { detail::NewtonKernelOf<C>::most_entries; }) {
      return std::min(most, detail::NewtonKernelOf<C>::most_entries);
    }
    return most;
  }

  /// The share of |grad|_1 / n above which a read gathers entries: those that sparsify() chooses
  /// from.
  [[nodiscard]] double gathered() const {
    return is(NewtonPolicy::adaptive) ? options_.drop : is(NewtonPolicy::ssns) ? 1e-5 : 0.0;
  }

  /// Whether the cost comes with a system of its own: that of clusters of its points.
  [[nodiscard]] bool brings_system() const {
    if constexpr (requires { problem_.cost.system(); }) return problem_.cost.system() != nullptr;
    return false;
  }

  /// Leaves of the gathered entries those that the policy keeps. mass: of the rows, over M.
  void sparsify(State& state, VectorX<S> const& mass) const {
    double const n = double(problem_.n()), m = double(problem_.m());
    if (is(NewtonPolicy::ssns)) {
      state.laplacian.drop_mass(S(0.01 * std::min(state.error, 1.0)), mass);
    } else if (is(NewtonPolicy::sns)) {
      double const density = options_.density.value_or(2 / std::max(n, m));
      double const entries = (density * (n + m) * (n + m) - (n + m)) / 2;
      state.laplacian.keep_largest(std::max<Index>(Index(std::ceil(entries)), 1));
    }
  }

  /// Gathers the entries of the Hessian while a read passes them.
  struct Gather {
    detail::SparseLaplacian<S>& laplacian;
    VectorX<S> const& v;
    S share;

    void operator()(Index chunk, Index j, VectorX<S> const& w, S const* e, S sum) const {
      laplacian.add_column(chunk, w, e, 1 / sum, v(j), share);
    }
    void operator()(Index chunk, Index j, VectorX<S> const& w, std::int32_t const* rows, S const* e,
                    Index count, S sum) const {
      laplacian.add_column(chunk, w, rows, e, count, 1 / sum, v(j), share);
    }
  };

  /// One read: g <- g(f), rows.total <- r, next <- a step of Sinkhorn from f, and the entries of
  /// the Hessian above the threshold, unless they are not wanted or turn out to be too many.
  void evaluate(State& state, VectorX<S> const& f, VectorX<S>& g, bool wanted) const {
    S const share = S(gathered() * std::min(state.error, 1.0) / double(problem_.n()));
    wanted = wanted && !brings_system();
    state.laplacian.clear(state.rows.columns, wanted ? most_nonzeros() : 0);
    // A step of clusters leaves a tenth of the error or so: no need to see what is far below that.
    double const aim =
        std::max(goal(state.level), brings_system() ? 0.03 * std::min(state.error, 1.0) : 0.0);
    detail::Reading<S> const how{annealing_.blur(state.level), problem_.negligible(aim)};
    state.rough = false;
    if (wanted) {
      state.kernel.read(problem_, how, f, g, state.rows, options_.parallel, state.next,
                        Gather{state.laplacian, problem_.v, share});
    } else if (!read_roughly(state, f, g)) {
      state.kernel.read(problem_, how, f, g, state.rows, options_.parallel, state.next);
    }
    ++state.iterations;
  }

  /// A read with exponentials in float, if the warm-up needs no more; returns whether it did.
  bool read_roughly(State& state, VectorX<S> const& f, VectorX<S>& g) const {
    if constexpr (reads_roughly) {
      bool const early = state.level > 0 || (state.error > 1e-2 && !state.settled);
      if (rough_ && state.rest == 0 && early) {
        state.rough = true;
        state.kernel.rough_read(problem_, annealing_.blur(state.level), f, g, state.rows,
                                options_.parallel, state.next);
        return true;
      }
    }
    return false;
  }

  /// Makes the point that was evaluated last, (f, g), the current one.
  void keep(State& state) const {
    state.sinkhorn.swap(state.next);
    state.r = state.rows.total;
    state.value = semi_dual(state.f, state.g);
    state.error = double(problem_.row_error(state.r));
    state.evaluated = true;
  }

  [[nodiscard]] Wide semi_dual(VectorX<S> const& f, VectorX<S> const& g) const {
    return problem_.mean_potential(f, problem_.w) + problem_.mean_potential(g, problem_.v);
  }

  /// How well a Newton system is solved: as the error falls, but no better than the last step of a
  /// level needs.
  [[nodiscard]] double forcing(State const& state) const {
    if (!is(NewtonPolicy::adaptive)) return 1e-8;
    if (brings_system()) return 1e-2;
    return std::clamp(std::max(state.error, 0.1 * goal(state.level) / state.error), 1e-8, 0.1);
  }

  /// A step of Sinkhorn that Anderson's method extends, while the plan is too dense for Newton's;
  /// false if it was not taken because D did not rise by a share of what Sinkhorn's would gain.
  bool accelerated(State& state) const {
    if (!state.dense) return false;
    S const epsilon = S(annealing_.blur(state.level).epsilon);
    state.trial = state.f;
    if (!state.anderson.propose(problem_.w, epsilon, state.trial, state.sinkhorn)) return false;
    state.trial_g = state.g;
    evaluate(state, state.trial, state.trial_g, newton_is_due(state));
    Wide const rise = semi_dual(state.trial, state.trial_g) - state.value;
    if (!(rise >= Wide(0.05) * Wide(epsilon) * Wide(state.error) * Wide(state.error))) {
      bool const closer = rise >= -problem_.dual_noise(state.value) &&
                          double(problem_.row_error(state.rows.total)) <= state.error;
      if (!closer) {
        state.anderson.restart();
        return false;
      }
    }
    state.f.swap(state.trial);
    state.g.swap(state.trial_g);
    keep(state);
    return true;
  }

  /// A Newton step; false if it was not taken because the plan is dense or D did not rise.
  bool newton(State& state) const {
    state.dense = !brings_system() && !state.laplacian.complete();
    if (state.dense) return fail(state);
    if (!brings_system()) state.anderson.restart();
    Index const n = problem_.n();
    detail::Blur<S> const at = annealing_.blur(state.level);

    // Rows of nearly no weight have a say in x by rounding only, and a loud one: their potentials
    // take Sinkhorn's step, and move on with those of their neighbours.
    S const light = S(1e-3 * std::min(state.error, 1.0) / double(n));
    VectorX<S> gradient(n), mass(n), secant(n), from = state.f;
    S reach = 0;  // how far a step of Sinkhorn would move the exponents
    for (Index i = 0; i < n; ++i) {
      S const w = problem_.w(i), r = S(state.r(i));
      if (w <= light) {
        from(i) = state.sinkhorn(i);
        mass(i) = secant(i) = w * r;
        gradient(i) = 0;
        continue;
      }
      S const log_r = (state.f(i) - state.sinkhorn(i)) * at.inverse;
      reach = std::max(reach, std::abs(log_r));
      mass(i) = w * r;
      gradient(i) = S(Wide(w) * (1 - state.r(i)));
      secant(i) = std::abs(log_r) > S(1e-3) ? -gradient(i) / log_r : mass(i);
    }
    Index nonzeros = 0, inner = 0;
    VectorX<S> x;
    if (brings_system()) {
      x = (gradient.array() != 0).select((state.sinkhorn - state.f) * at.inverse, S(0));
      inner = coarse_step(state.f, gradient, forcing(state), x);
    } else {
      sparsify(state, mass);
      nonzeros = state.laplacian.nonzeros();
      state.laplacian.prepare(mass, S(state.damping * std::min(state.error, 1.0)) * secant);
      if (!state.laplacian.diagonal().allFinite()) return fail(state);  // the costs are too large
      auto solved = detail::solve_sparse_newton(state.laplacian, problem_.m(), gradient,
                                                forcing(state), state.stiff);
      inner = solved.iterations;
      x = std::move(solved.x);
    }
    S const length = x.cwiseAbs().maxCoeff();
    if (!std::isfinite(length) || !x.allFinite()) return fail(state);
    Wide const slope = gradient.template cast<Wide>().dot(x.template cast<Wide>());
    if (!(slope > 0)) return fail(state);

    // D must rise by a share of the slope; the noise of D itself is forgiven near the optimum,
    // where the gradient decides.
    Wide const noise = 8 * Wide(unit_roundoff<S>) *
                       (std::abs(state.value) + Wide(problem_.largest_cost)) / at.epsilon;
    double const bound = state.radius * std::max(1.0, double(reach));
    bool const adaptive = is(NewtonPolicy::adaptive);
    if (brings_system() && extended(state, at, noise, from + S(at.epsilon) * x, inner)) return true;
    double alpha = adaptive && length > S(bound) ? bound / double(length) : 1;
    bool const clipped = alpha < 1;
    int const trials = adaptive ? 3 : is(NewtonPolicy::ssns) ? 4 : 20;
    for (int trial = 0; trial < trials; ++trial, alpha /= adaptive ? 4 : 2) {
      state.trial = from + S(at.epsilon * Wide(alpha)) * x;
      state.trial_g = state.g;
      evaluate(state, state.trial, state.trial_g, true);
      Wide const rise = (semi_dual(state.trial, state.trial_g) - state.value) / at.epsilon;
      bool const enough = rise >= 1e-4 * Wide(alpha) * slope;
      bool const closer =
          rise >= -noise && double(problem_.row_error(state.rows.total)) < state.error;
      if (enough || closer) {
        Wide const model = Wide(alpha) * slope * (1 - Wide(alpha) / 2);
        Wide const ratio = model > noise ? rise / model : Wide(1);
        if (ratio < 0.25) state.damping = std::min(4 * state.damping, 64.0);
        if (ratio > 0.75)
          state.damping = std::max(state.damping / 2, std::min(state.damping, 1e-3));
        if (clipped && trial == 0 && ratio > 0.5) state.radius *= 4;
        state.patience = 1;
        state.f.swap(state.trial);
        state.g.swap(state.trial_g);
        keep(state);
        record(state, nonzeros, inner, alpha);
        return true;
      }
      state.radius = std::max(state.radius / 4, 1.0);
    }
    return fail(state);
  }

  /// A step of clusters contracts the error by a factor that does not fall: Anderson's method
  /// combines it with those before. False if there are none, or if D did not rise by it.
  bool extended(State& state, detail::Blur<S> at, Wide noise, VectorX<S> const& image,
                Index inner) const {
    state.trial = state.f;
    if (!state.anderson.propose(problem_.w, S(at.epsilon), state.trial, image)) return false;
    state.trial_g = state.g;
    evaluate(state, state.trial, state.trial_g, true);
    Wide const rise = (semi_dual(state.trial, state.trial_g) - state.value) / at.epsilon;
    bool const better = double(problem_.row_error(state.rows.total)) < state.error;
    if (!(better && rise >= -noise)) {
      state.anderson.restart();
      return false;
    }
    state.f.swap(state.trial);
    state.g.swap(state.trial_g);
    keep(state);
    record(state, 0, inner, 1);
    return true;
  }

  /// A step of Sinkhorn in x is completed by the system of clusters.
  Index coarse_step(VectorX<S> const& f, VectorX<S> const& gradient, double tolerance,
                    VectorX<S>& x) const {
    if constexpr (requires { problem_.cost.system(); }) {
      return problem_.cost.system()->step(problem_.cost, f, gradient, tolerance, options_.parallel,
                                          x);
    }
    return 0;
  }

  /// After a failure Sinkhorn goes on alone, for longer each time.
  bool fail(State& state) const {
    state.damping = std::min(4 * state.damping, 64.0);
    state.rest = state.patience;
    state.patience = std::min<Index>(2 * state.patience, 32);
    return false;
  }

  void record(State& state, Index nonzeros, Index inner, double alpha) const {
    state.history.push_back(
        {double(annealing_.blur(state.level).epsilon), state.error, nonzeros, inner, alpha});
  }

  detail::EntropicProblem<C> problem_;
  SinkhornNewtonOptions options_;
  Potentials<S> start_;
  detail::Annealing<S> annealing_;
  bool rough_;  // reads with exponentials in float serve the warm-up
};

/// Entropic optimal transport as sinkhorn() solves it, by Newton steps: the better choice when
/// epsilon is small against the costs. Arguments, results and ends are those of sinkhorn; the
/// observer sees the marginal error at the current epsilon.
///
///     auto r = monge::ot::sinkhorn_newton(C, a, b, {.epsilon = 1e-3, .tolerance = 1e-12});
template <Cost C, VectorLike<C> A, VectorLike<C> B, Observer Watch = Unobserved>
[[nodiscard]] SinkhornNewtonResult<scalar_t<C>> sinkhorn_newton(
    C const& cost, A const& a, B const& b, SinkhornNewtonOptions const& options,
    Potentials<scalar_t<C>> const& start = {}, Watch&& observer = {}) {
  return detail::solve_entropic(
      "sinkhorn_newton", cost, a, b, start,
      [&](auto const& C_, auto const& a_, auto const& b_, auto const& start_) {
        SinkhornNewton<std::remove_cvref_t<decltype(C_)>> const method(C_, a_, b_, options, start_);
        return method.result(
            iterate(method, {options.max_iterations, options.max_seconds, options.observe_every},
                    std::forward<Watch>(observer)));
      });
}

}  // namespace monge::ot
