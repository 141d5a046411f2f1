// SPDX-License-Identifier: MIT
/// @file
/// Entropic transport between measures whose masses differ, or whose mass need not all be moved.
///
/// Problem. With M = sqrt(sum a * sum b) and Q = a b' / M,
///
///     minimise  <C, P> + epsilon KL(P | Q) + rho_a KL(P 1 | a) + rho_b KL(P' 1 | b)  over  P >= 0.
///
/// An infinite rho makes its marginal a constraint, so that two infinite ones are the problem of
/// sinkhorn.hpp. rho is in units of C: mass is destroyed rather than moved where moving it costs
/// more than about rho_a + rho_b. Values are homogeneous: scaling a and b scales them and the plan.
///
/// Method. P_ij = Q_ij exp((f_i + g_j - C_ij) / epsilon) for the maximiser of the concave dual
///
///     rho_a <a, 1 - exp(-f / rho_a)> + rho_b <b, 1 - exp(-g / rho_b)> - epsilon (sum P - sum Q).
///
/// With s_i = -epsilon log sum_j (b_j / M) exp((g_j - C_ij) / epsilon) the best f for a given g is
/// rho_a / (rho_a + epsilon) s. Alternating these is slow when rho is large: the total mass settles
/// last. So each half step maximises over f and over a common translation of the other side at
/// once, f = rho_a / (rho_a + epsilon) (s + k) and g - k, which has the closed form
///
///     k = rho_b (rho_a + epsilon) / (rho_a + rho_b + epsilon)
///           log( <a, exp(-s / (rho_a + epsilon))> / <b, exp(-g / rho_b)> )
///
/// and is the translation-invariant iteration of [SVP22]. Both half steps share one read of the
/// cost. epsilon is annealed, and the last ten steps are combined by Anderson's acceleration, as in
/// sinkhorn: a point that it proposes must raise the dual by a share of what the step would have
/// gained, otherwise plain steps go on from the last one that did.
///
/// Cost: n m exponentials per iteration; for a GridCost the N (n_1 + ... + n_d) products of
/// grid.hpp, for a sparse cost (sinkhorn_sparse.hpp) one exponential per stored entry. O(n + m)
/// memory beyond the cost, 20 n of it for the acceleration. Plain steps grow like (rho_a + rho_b) /
/// epsilon at most, and no faster than those of sinkhorn; accelerated ones are about their square
/// root.
///
/// [SVP22] T. Sejourne, F.-X. Vialard, G. Peyre, Faster unbalanced optimal transport: translation
///         invariant Sinkhorn and 1-D Frank-Wolfe, AISTATS 2022, section 3.
/// [CPSV18] L. Chizat, G. Peyre, B. Schmitzer, F.-X. Vialard, Scaling algorithms for unbalanced
///         optimal transport problems, Mathematics of Computation 87 (2018).
/// Deviation: the entropy is relative to a b' / M; [SVP22] has a b' without M.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/anderson.hpp>
#include <monge/ot/detail/annealing.hpp>
#include <monge/ot/detail/grid_soft_transform.hpp>
#include <monge/ot/detail/soft_transform.hpp>
#include <monge/ot/detail/unbalanced_problem.hpp>
#include <monge/ot/grid.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/weight_gradient.hpp>

namespace monge::ot {

/// Tunables of sinkhorn_unbalanced.
struct SinkhornUnbalancedOptions {
  /// Entropic strength in units of the cost; > 0, no default (0.05 * mean cost is a good start).
  std::optional<double> epsilon = {};
  double rho_a = infinity;  ///< price of a's mass, in units of the cost; > 0, infinite: P 1 = a
  double rho_b = infinity;  ///< price of b's mass, likewise
  /// Bound on marginal_error. Unset: 1e-9 (float: 1e-5), or the rounding error of the exponent,
  /// u max|C| / epsilon, if that is larger, up to a hundredth.
  std::optional<double> tolerance = {};
  Index max_iterations = 100'000;  ///< full updates, over all levels
  double max_seconds = infinity;   ///< wall time
  Index observe_every = 10;        ///< stride of the observer, in iterations
  /// epsilon falls by this factor from level to level, from a tenth of the largest cost; 1 starts
  /// at the final epsilon. A run from given potentials always does.
  double annealing = 0.25;
  /// Whether the last steps are combined; there is no over-relaxation here.
  Acceleration acceleration = Acceleration::anderson;
  Parallel parallel = {};  ///< threads; the result does not depend on it
};

/// The answer of sinkhorn_unbalanced; an EntropicSolution, so that plan, apply, sparse_plan and
/// position_gradient take it.
template <RealScalar S>
struct SinkhornUnbalancedResult {
  VectorX<S> f;             ///< n: row potentials in units of C
  VectorX<S> g;             ///< m: column potentials
  VectorX<S> a;             ///< n: the weights, as given (if both rho are infinite, balanced)
  VectorX<S> b;             ///< m
  VectorX<S> rows;          ///< n: P 1, the mass that leaves each point
  VectorX<S> cols;          ///< m: P' 1, the mass that arrives
  double epsilon = 0;       ///< the entropic strength that was used
  double rho_a = infinity;  ///< as given
  double rho_b = infinity;  ///< as given
  double tolerance = 0;     ///< the tolerance that was used

  wide_t<S> transport_cost = 0;    ///< <C, P>
  wide_t<S> transported_mass = 0;  ///< sum P
  wide_t<S> regularised_cost = 0;  ///< the objective at P; above the optimum if both rho are finite
  wide_t<S> dual_value = 0;        ///< of f and g; never above the optimum
  /// |P 1 - a exp(-f / rho_a)|_1 + |P' 1 - b exp(-g / rho_b)|_1 over sum P: 0 at the optimum, and
  /// what sinkhorn calls by this name if both rho are infinite.
  double marginal_error = infinity;

  Status status = Status::not_run;
  Index iterations = 0;
  double seconds = 0;

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const {
    return std::tie(f, g, a, b, rows, cols, transport_cost, transported_mass, regularised_cost,
                    dual_value, marginal_error);
  }
};

/// The method as a value that monge::iterate drives. Owns its cost and weights.
template <CostOperator C>
class SinkhornUnbalanced {
 public:
  using S = scalar_t<C>;
  using Wide = wide_t<S>;
  using Transform = typename detail::SoftTransformFor<C>::type;

  /// Everything that changes while it runs. Copy it to keep a checkpoint.
  struct State {
    VectorX<S> f;               // the point of the next iteration; -infinity: takes no part
    bool proposed = false;      // it comes from the acceleration and must prove itself
    VectorX<S> kept_f, kept_g;  // the last point that was accepted, after its step: f best for g
    Wide value = 0;             // its dual over M
    double error = infinity;    // and marginal error, free, before the step
    Index level = 0;            // of the annealing; counts down to 0
    Index steps = 0;            // at this level
    Index iterations = 0;
    detail::LeastError least;
    // Workspace.
    VectorX<S> g, soft_f, soft_g, next_g, on;
    typename Transform::Workspace space;
    detail::Anderson<S> anderson;
    // Written by finish.
    detail::UnbalancedAnswer<S> answer;
  };

  SinkhornUnbalanced(C cost, Eigen::Ref<VectorX<S> const> const& a,
                     Eigen::Ref<VectorX<S> const> const& b, SinkhornUnbalancedOptions options,
                     Potentials<S> start = {})
      : transform_(std::move(cost), options.parallel),
        problem_("sinkhorn_unbalanced", transform_, a, b, options),
        options_(std::move(options)),
        start_(std::move(start)),
        annealing_(problem_.epsilon, options_.annealing, problem_.largest_cost) {
    detail::require_limits("sinkhorn_unbalanced", options_.max_iterations, options_.max_seconds,
                           options_.observe_every);
    detail::require_annealing("sinkhorn_unbalanced", options_.annealing);
    detail::check_start("sinkhorn_unbalanced", problem_.cost, start_);
    detail::require(options_.acceleration != Acceleration::over_relaxation,
                    "sinkhorn_unbalanced: there is no over-relaxation of unbalanced problems; use "
                    "Acceleration::anderson or none");
  }

  [[nodiscard]] State init() const {
    State state;
    bool const given = start_.f.size() > 0;
    state.f = given ? start_.f : VectorX<S>(VectorX<S>::Zero(problem_.n()));
    state.g = given ? start_.g : VectorX<S>(VectorX<S>::Zero(problem_.m()));
    state.soft_f = state.on = state.f;
    state.soft_g = state.next_g = state.g;
    problem_.switch_off(state.f);
    state.kept_f = state.f;
    state.kept_g = state.g;
    state.space = transform_.workspace();
    if (options_.acceleration == Acceleration::anderson) {
      state.anderson = detail::Anderson<S>(problem_.n(), 10);
    }
    state.level = given ? 0 : annealing_.levels;
    return state;
  }

  [[nodiscard]] Advance advance(State& state, Index k) const {
    if (!problem_.feasible) return {Status::infeasible, 0};
    return detail::advance_by(k, [&] { return iteration(state); });
  }

  [[nodiscard]] double error(State const& state) const { return state.error; }

  /// Rebuilds the plan from the potentials and measures it.
  [[nodiscard]] Status finish(State& state, Status status) const {
    bool const converged = status == Status::converged;
    state.answer = problem_.answer(transform_, converged ? state.f : state.kept_f,
                                   converged ? state.g : state.kept_g, state.space);
    if (status == Status::infeasible || status == Status::non_finite) return status;
    state.error = state.answer.marginal_error;
    if (converged && !(state.error <= problem_.tolerance)) return Status::precision_limit;
    return status;
  }

  /// The result of a finished run.
  [[nodiscard]] SinkhornUnbalancedResult<S> result(Outcome<State> const& run) const {
    detail::UnbalancedAnswer<S> const& x = run.state.answer;
    SinkhornUnbalancedResult<S> r;
    r.f = x.f;
    r.g = x.g;
    r.a = problem_.a;
    r.b = problem_.b;
    r.rows = x.rows;
    r.cols = x.cols;
    r.epsilon = problem_.epsilon;
    r.rho_a = options_.rho_a;
    r.rho_b = options_.rho_b;
    r.tolerance = problem_.tolerance;
    r.transport_cost = x.transport_cost;
    r.transported_mass = x.transported_mass;
    r.regularised_cost = x.regularised_cost;
    r.dual_value = x.dual_value;
    r.marginal_error = x.marginal_error;
    r.status = run.status;
    r.iterations = run.state.iterations;
    r.seconds = run.statistics.seconds;
    return detail::certified(std::move(r));
  }

 private:
  /// Both half steps in one read. The columns become best for f, and f moves along with them by a
  /// translation; the error is that of the rows there, before their step.
  Status iteration(State& state) const {
    detail::Blur<S> const at = annealing_.blur(state.level);
    Wide const epsilon = at.epsilon;
    detail::Price const &a = problem_.price_a, &b = problem_.price_b;
    S const damping = S(b.damping(epsilon));
    transform_.both(at, state.f, problem_.w, problem_.v, state.space, state.soft_g, state.next_g,
                    state.soft_f, [&](S t) { return damping * t; });
    ++state.iterations;
    ++state.steps;
    if (!problem_.has_partners(state.soft_g, state.soft_f)) return Status::infeasible;
    // The columns, with a translation of the rows.
    Wide const up =
        detail::translation(epsilon, b, problem_.v, state.soft_g, a, problem_.w, state.f);
    state.g = state.next_g;
    state.g.array() += damping * S(up);
    state.soft_f.array() -= damping * S(up);
    state.f.array() -= S(up);
    detail::UnbalancedRows const now = problem_.row_error(epsilon, state.f, state.soft_f, state.g);
    if (state.level == 0 && now.error <= 0.9 * problem_.tolerance) {
      state.error = now.error;
      return Status::converged;
    }
    if (detail::beyond_couplings(now.value, problem_.largest_cost, double(epsilon),
                                 problem_.highest_entropy)) {
      return Status::infeasible;
    }
    if (state.proposed && !acceptable(state, epsilon, now)) {
      restart_from_kept(state);
      return Status::running;
    }
    state.value = now.value;
    state.error = now.error;
    // The rows, with a translation of the columns.
    Wide const down =
        detail::translation(epsilon, a, problem_.w, state.soft_f, b, problem_.v, state.g);
    state.kept_f = S(a.damping(epsilon)) * (state.soft_f.array() + S(down)).matrix();
    problem_.switch_off(state.kept_f);
    state.kept_g = state.g.array() - S(down);
    if (state.level > 0 &&
        (state.steps >= 4 || state.error <= std::max(1e-2, problem_.tolerance))) {
      --state.level;
      state.steps = 0;
      restart_from_kept(state);
    } else {
      propose(state, S(epsilon));
    }
    return state.level == 0 && stagnates(state) ? Status::precision_limit : Status::running;
  }

  /// The dual must have risen by a share of what the step would have gained. Where rounding hides
  /// this, the error decides.
  [[nodiscard]] bool acceptable(State const& state, Wide epsilon,
                                detail::UnbalancedRows const& now) const {
    Wide const rise = now.value - state.value;
    Wide const gain = epsilon * problem_.price_a.damping(epsilon) * Wide(now.moved) *
                      Wide(state.error) * Wide(state.error);
    if (rise >= Wide(0.05) * gain && rise > 0) return true;
    Wide const noise = 8 * Wide(unit_roundoff<S>) * (std::abs(state.value) + problem_.scale());
    return rise >= -noise && now.error <= 2 * state.error;
  }

  /// The next point at this level.
  void propose(State& state, S epsilon) const {
    if (options_.acceleration != Acceleration::anderson) {
      restart_from_kept(state);
      return;
    }
    for (Index i = 0; i < problem_.n(); ++i) {
      bool const on = std::isfinite(state.f(i)) && std::isfinite(state.kept_f(i));
      state.on(i) = on ? problem_.w(i) : S(0);
      if (!on) state.f(i) = state.kept_f(i);
    }
    state.proposed = state.anderson.propose(state.on, epsilon, state.f, state.kept_f);
  }

  /// Goes on by plain steps from the last point that was accepted.
  void restart_from_kept(State& state) const {
    state.f = state.kept_f;
    state.proposed = false;
    state.anderson.restart();
  }

  /// The error sits at the rounding floor and has not reached a new minimum for 100 iterations.
  bool stagnates(State& state) const {
    return state.least.observe(state.error, state.iterations) >= 100 &&
           state.error <= 64 * problem_.rounding_floor(state.kept_f, state.kept_g);
  }

  Transform transform_;
  detail::UnbalancedProblem<S> problem_;
  SinkhornUnbalancedOptions options_;
  Potentials<S> start_;
  detail::Annealing<S> annealing_;
};

/// Unbalanced entropic transport between weights a (n) and b (m) for the cost C (n x m).
///
///     auto r = monge::ot::sinkhorn_unbalanced(C, a, b, {.epsilon = 0.05, .rho_a = 1, .rho_b = 1});
///
/// C, a and b as in sinkhorn; the masses of a and b may differ unless both rho are infinite. Rows
/// and columns whose pairs are all forbidden lose their mass if their rho is finite. Converged
/// means that marginal_error <= tolerance for the plan rebuilt from the returned potentials. Other
/// ends as in sinkhorn. The observer sees the marginal error.
template <Cost C, VectorLike<C> A, VectorLike<C> B, Observer Watch = Unobserved>
[[nodiscard]] SinkhornUnbalancedResult<scalar_t<C>> sinkhorn_unbalanced(
    C const& cost, A const& a, B const& b, SinkhornUnbalancedOptions const& options,
    Potentials<scalar_t<C>> const& start = {}, Watch&& observer = {}) {
  using S = scalar_t<C>;
  return detail::solve_entropic(
      "sinkhorn_unbalanced", cost, a, b, start,
      [&](detail::Shape shape, VectorX<S>& rows, VectorX<S>& cols) {
        detail::check_unbalanced<S>("sinkhorn_unbalanced", shape, rows, cols, options.rho_a,
                                    options.rho_b);
      },
      [&](auto const& C_, auto const& a_, auto const& b_, auto const& start_, bool transposed) {
        SinkhornUnbalancedOptions chosen = options;
        if (transposed) std::swap(chosen.rho_a, chosen.rho_b);
        SinkhornUnbalanced<std::remove_cvref_t<decltype(C_)>> const method(C_, a_, b_, chosen,
                                                                           start_);
        auto r = method.result(
            iterate(method, {chosen.max_iterations, chosen.max_seconds, chosen.observe_every},
                    std::forward<Watch>(observer)));
        if (transposed) {
          std::swap(r.rows, r.cols);
          std::swap(r.rho_a, r.rho_b);
        }
        return r;
      });
}

/// The same on a grid, with the separable transforms of grid.hpp. The cost is copied.
///
///     auto const cost = monge::ot::grid_cost({height, width});        // in pixels squared
///     auto r = monge::ot::sinkhorn_unbalanced(cost, a, b, {.epsilon = 4, .rho_a = 50, .rho_b =
///     50});
template <RealScalar S, VectorLike<GridCost<S>> A, VectorLike<GridCost<S>> B,
          Observer Watch = Unobserved>
[[nodiscard]] SinkhornUnbalancedResult<S> sinkhorn_unbalanced(
    GridCost<S> const& cost, A const& a, B const& b, SinkhornUnbalancedOptions const& options,
    Potentials<S> const& start = {}, Watch&& observer = {}) {
  SinkhornUnbalanced<GridCost<S>> const method(cost, detail::as_column(a), detail::as_column(b),
                                               options, start);
  return method.result(iterate(method,
                               {options.max_iterations, options.max_seconds, options.observe_every},
                               std::forward<Watch>(observer)));
}

/// The derivatives of regularised_cost with respect to a and b, zero weights included. If both rho
/// are infinite they hold along changes that keep the masses equal.
template <RealScalar S>
[[nodiscard]] WeightGradient<S> weight_gradient(SinkhornUnbalancedResult<S> const& r) {
  using Wide = wide_t<S>;
  Wide const epsilon = Wide(r.epsilon), mass = r.transported_mass;
  Wide const mass_a = r.a.template cast<Wide>().sum(), mass_b = r.b.template cast<Wide>().sum();
  Wide const mean = std::sqrt(mass_a) * std::sqrt(mass_b);
  // d/da_i of the dual, in which Q = a b' / M depends on a as well.
  auto const side = [&](VectorX<S> const& p, double rho, Wide own) {
    VectorX<S> gradient(p.size());
    detail::Price const price{rho};
    for (Index i = 0; i < p.size(); ++i) {
      gradient(i) = S(price.conjugate(Wide(p(i))) -
                      epsilon * (price.kept(Wide(p(i))) - (mean + mass) / (2 * own)));
    }
    return gradient;
  };
  return {side(r.f, r.rho_a, mass_a), side(r.g, r.rho_b, mass_b)};
}

}  // namespace monge::ot
