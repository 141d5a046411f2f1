// SPDX-License-Identifier: MIT
/// @file
/// Entropic barycentres of histograms on a fixed support, blurred or debiased.
///
/// Problem. For histograms a_1 ... a_k of equal mass and weights lambda of sum 1,
///
///     blurred:   minimise over b  sum_k lambda_k min { <C, P> + epsilon KL(P | 1 1') },
///                                 P 1 = a_k, P' 1 = b,
///     debiased:  minimise over b  sum_k lambda_k S(a_k, b),   S of sinkhorn_divergence.hpp.
///
/// The first is the classical one [BCCNP15], whose entropy is relative to the counting measure. It
/// blurs: normal distributions of variance s^2 on the line, under |x - y|^2, have the barycentre of
/// variance s^2 + epsilon / 2. The second has none of this bias [JCG20]: the variance is s^2, and
/// the barycentre of one histogram is that histogram.
///
/// Method. With P_k = diag(u_k) K diag(v_k), K = exp(-C / epsilon), iterate [BCCNP15, prop. 2;
/// JCG20, algorithm 1]
///
///     b = d o prod_k (K' u_k)^lambda_k,   v_k = b / K' u_k,   u_k = a_k / K v_k,
///     d = 1, or debiased: d <- sqrt(d o b / K d).
///
/// All is kept as logarithms, and products with K are those of detail/grid_kernel.hpp, for all k at
/// once: no epsilon over- or underflows, and a grid costs O(N^(1 + 1/d)). epsilon is annealed.
/// Columns are exact after v_k, so that the error of the rows, known before u_k is updated, is the
/// marginal error; debiased, that of the symmetric plan of d, which makes b too, is added.
///
/// At the last level steps of (f, d) are combined by Anderson's acceleration; a point that it
/// proposes and whose error is above twice the least one is given up for the step itself.
///
/// Cost: 2 k (debiased: 2 k + 1) products with K per iteration; memory 6 n k, and 20 n k for the
/// acceleration. The number of iterations grows like max|C| / epsilon. Debiasing inverts a blur,
/// and where the answer has no mass b only falls to zero in the long run, more slowly the nearer a
/// point is to the support: docs/guide/sinkhorn_barycenter.md has figures. Ask for 1e-4 to 1e-6,
/// unless epsilon is of the size of the grid's spacing squared.
///
/// [BCCNP15] J.-D. Benamou, G. Carlier, M. Cuturi, L. Nenna, G. Peyre, Iterative Bregman
///           projections for regularized transportation problems, SIAM J. Sci. Comput. 37 (2015).
/// [JCG20] H. Janati, M. Cuturi, A. Gramfort, Debiased Sinkhorn barycenters, ICML 2020.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/detail/anderson.hpp>
#include <monge/ot/detail/annealing.hpp>
#include <monge/ot/detail/entropic_input.hpp>
#include <monge/ot/grid.hpp>

namespace monge::ot {

/// Tunables of sinkhorn_barycenter.
struct SinkhornBarycenterOptions {
  /// Entropic strength in units of the cost; > 0, no default (0.05 * mean cost is a good start).
  std::optional<double> epsilon = {};
  bool debiased = false;  ///< without the blur; needs a symmetric cost, and many more iterations
  /// Bound on marginal_error. Unset: 1e-9 (float: 1e-5), or the rounding error of the exponent,
  /// u max|C| / epsilon, if that is larger, up to a hundredth.
  std::optional<double> tolerance = {};
  Index max_iterations = 100'000;  ///< over all levels
  double max_seconds = infinity;   ///< wall time
  Index observe_every = 10;        ///< stride of the observer, in iterations
  /// epsilon falls by this factor from level to level, from a tenth of the largest cost; 1 starts
  /// at the final epsilon.
  double annealing = 0.25;
  Acceleration acceleration = Acceleration::anderson;  ///< or none; there is no over-relaxation
  Parallel parallel = {};  ///< threads; the result does not depend on it
};

/// The answer of sinkhorn_barycenter. The plan from a_k is (a_k b' / M) o exp((f_k + g_k - C) /
/// epsilon) with M the mass, as in every entropic solution.
template <RealScalar S>
struct SinkhornBarycenterResult {
  VectorX<S> barycenter;             ///< b (m)
  MatrixX<S> f;                      ///< n x k: potentials of the histograms
  MatrixX<S> g;                      ///< m x k: potentials of the barycentre
  double epsilon = 0;                ///< the entropic strength that was used
  double tolerance = 0;              ///< the tolerance that was used
  double marginal_error = infinity;  ///< the largest over the plans, relative to the mass

  Status status = Status::not_run;
  Index iterations = 0;
  double seconds = 0;

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(barycenter, f, g, marginal_error); }
};

/// The method as a value that monge::iterate drives. Owns its cost and histograms.
template <RealScalar S>
class SinkhornBarycenter {
 public:
  using Wide = wide_t<S>;

  /// Everything that changes while it runs. Copy it to keep a checkpoint.
  struct State {
    MatrixX<S> f;       // n x k: u_k = a_k exp(f_k / epsilon)
    MatrixX<S> phi;     // m x k: log K' u
    MatrixX<S> psi;     // n x k: log K v
    MatrixX<S> log_b;   // m x 1
    MatrixX<S> d;       // m x 1: epsilon log d
    MatrixX<S> log_kd;  // m x 1
    double error = infinity;
    Index level = 0;  // of the annealing; counts down to 0
    Index steps = 0;  // at this level
    Index iterations = 0;
    monge::detail::LeastError least;
    bool proposed = false;      // (f, d) come from the acceleration and must prove themselves
    MatrixX<S> kept_f, kept_d;  // the step from the last point that was accepted
    double best = infinity;     // error at this level
    // Workspace.
    detail::Anderson<S> anderson;
    VectorX<S> point, image, shares;  // f and d, one after the other
    MatrixX<S> logs_n, logs_m, logs_d;
    detail::GridTransform<S> transform, transform_d;
    Index transform_level = -1;
  };

  SinkhornBarycenter(GridCost<S> cost, MatrixX<S> A, VectorX<S> weights,
                     SinkhornBarycenterOptions options)
      : cost_(std::move(cost)),
        A_(std::move(A)),
        weights_(std::move(weights)),
        options_(std::move(options)) {
    using detail::require;
    constexpr std::string_view name = "sinkhorn_barycenter";
    detail::require_limits(name, options_.max_iterations, options_.max_seconds,
                           options_.observe_every);
    detail::require_annealing(name, options_.annealing);
    require(options_.acceleration != Acceleration::over_relaxation, name,
            ": there is no over-relaxation here; use Acceleration::anderson or none");
    require(A_.cols() > 0 && A_.rows() == cost_.rows(), name, ": cost is ", detail::shape(cost_),
            " but the histograms are ", detail::shape(A_),
            "; they are columns with one entry per row of the cost");
    require(weights_.size() == A_.cols(), name, ": there are ", A_.cols(), " histograms but ",
            weights_.size(), " weights");
    Wide const sum = detail::checked_mass<S>(name, "weights", weights_);
    weights_ /= S(sum);
    Wide const bound = 16 * Wide(A_.rows()) * Wide(unit_roundoff<S>);
    for (Index k = 0; k < A_.cols(); ++k) {
      Wide const mass = detail::checked_mass<S>(name, "a", VectorX<S>(A_.col(k)));
      if (k == 0) mass_ = mass;
      require(std::abs(mass - mass_) <= bound * mass_, name, ": histogram 0 sums to ", mass_,
              " and histogram ", k, " to ", mass, "; rescale them to equal masses");
      A_.col(k) = detail::normalised(VectorX<S>(A_.col(k)), mass);
    }
    log_a_ = A_.array().log();
    if (options_.debiased) check_symmetric();
    detail::CostScale const scale = detail::grid_scale(cost_);
    require(options_.epsilon.has_value(), name,
            ": epsilon is not set; it is in units of the cost, and 0.05 * mean cost = ",
            0.05 * scale.mean, " is a good start");
    epsilon_ = *options_.epsilon;
    detail::require_positive(name, "epsilon", epsilon_);
    if (options_.tolerance) detail::require_nonnegative(name, "tolerance", *options_.tolerance);
    S const inverse = detail::Blur<S>(epsilon_).inverse;
    require(inverse > 0 && std::isfinite(inverse), name, ": epsilon is ", epsilon_,
            "; its inverse leaves the range of the scalar: rescale the cost");
    rounding_ = double(unit_roundoff<S>) * (1 + scale.largest / epsilon_);
    tolerance_ = options_.tolerance.value_or(detail::default_tolerance<S>(rounding_));
    annealing_ = detail::Annealing<S>(epsilon_, options_.annealing, scale.largest);
  }

  [[nodiscard]] State init() const {
    State state;
    Index const n = A_.rows(), m = cost_.cols(), k = A_.cols();
    state.f = state.psi = state.logs_n = MatrixX<S>::Zero(n, k);
    state.phi = state.logs_m = MatrixX<S>::Zero(m, k);
    state.log_b = state.d = state.log_kd = state.logs_d = MatrixX<S>::Zero(m, 1);
    state.kept_f = state.f;
    state.kept_d = state.d;
    state.level = annealing_.levels;
    if (options_.acceleration == Acceleration::anderson) {
      Index const size = n * k + (options_.debiased ? m : 0);
      state.anderson = detail::Anderson<S>(size, depth);
      state.point = state.image = state.shares = VectorX<S>::Zero(size);
      Eigen::Map<MatrixX<S>>(state.shares.data(), n, k) = A_ * weights_.asDiagonal();
    }
    return state;
  }

  [[nodiscard]] Advance advance(State& state, Index k) const {
    return monge::detail::advance_by(k, [&] { return iteration(state); });
  }
  [[nodiscard]] double error(State const& state) const { return state.error; }

  /// Measures b and the potentials once more, as they are returned.
  [[nodiscard]] Status finish(State& state, Status status) const {
    if (status == Status::infeasible || status == Status::non_finite) return status;
    state.level = 0;
    if (status != Status::converged && state.proposed) return_to_kept(state);
    half(state);
    state.error = measure(state, epsilon_);
    if (status == Status::converged && !(state.error <= tolerance_)) {
      return Status::precision_limit;
    }
    return status;
  }

  [[nodiscard]] SinkhornBarycenterResult<S> result(Outcome<State> const& run) const {
    SinkhornBarycenterResult<S> r;
    r.barycenter = S(mass_) * run.state.log_b.col(0).array().exp().matrix();
    r.f = run.state.f;
    r.g = S(-epsilon_) * run.state.phi;
    r.epsilon = epsilon_;
    r.tolerance = tolerance_;
    r.marginal_error = run.state.error;
    r.status = run.status;
    r.iterations = run.state.iterations;
    r.seconds = run.statistics.seconds;
    return monge::detail::certified(std::move(r));
  }

 private:
  static constexpr Index depth = 10;  // of the acceleration; 5 and 20 take about as many steps

  Status iteration(State& state) const {
    Wide const epsilon = annealing_.blur(state.level).epsilon;
    half(state);
    ++state.iterations;
    ++state.steps;
    state.error = measure(state, epsilon);
    if (state.proposed && !(state.error <= 2 * state.best)) {
      return_to_kept(state);
      return Status::running;
    }
    if (!(state.error < infinity)) return Status::infeasible;  // no allowed pair somewhere
    if (state.level == 0 && state.error <= 0.9 * tolerance_) return Status::converged;
    state.best = std::min(state.best, state.error);
    bool const accelerated = state.level == 0 && options_.acceleration == Acceleration::anderson;
    if (accelerated) gather(state, state.point);
    state.f = S(-epsilon) * state.psi;
    if (options_.debiased) {
      // log d <- (log d + log b - log K d) / 2
      state.d = S(0.5) * (state.d + S(epsilon) * (state.log_b - state.log_kd));
    }
    if (accelerated) propose(state, S(epsilon));
    if (state.level > 0 && (state.steps >= 10 || state.error <= std::max(1e-2, tolerance_))) {
      --state.level;
      state.steps = 0;
      state.best = infinity;
    }
    bool const stuck = state.level == 0 &&
                       state.least.observe(state.error, state.iterations) >= 200 &&
                       state.error <= 256 * rounding_;
    return stuck ? Status::precision_limit : Status::running;
  }

  /// (f, d) <- the accelerated point after `point`, whose image they are. Steps are weighed by the
  /// masses that they move.
  void propose(State& state, S epsilon) const {
    gather(state, state.image);
    state.kept_f = state.f;
    state.kept_d = state.d;
    if (options_.debiased) state.shares.tail(state.d.size()) = state.log_b.col(0).array().exp();
    state.proposed = state.anderson.propose(state.shares, epsilon, state.point, state.image);
    if (!state.proposed) return;
    // Points without mass stay with the step.
    state.point = (state.shares.array() > S(0)).select(state.point, state.image);
    state.f = state.point.head(state.f.size()).reshaped(state.f.rows(), state.f.cols());
    if (options_.debiased) state.d = state.point.tail(state.d.size());
  }

  void gather(State const& state, VectorX<S>& to) const {
    to.head(state.f.size()) = state.f.reshaped();
    if (options_.debiased) to.tail(state.d.size()) = state.d;
  }

  void return_to_kept(State& state) const {
    state.f = state.kept_f;
    state.d = state.kept_d;
    state.proposed = false;
    state.anderson.restart();
  }

  /// phi, b, and psi from f and d.
  void half(State& state) const {
    if (state.transform_level != state.level) {
      detail::Blur<S> const at = annealing_.blur(state.level);
      state.transform = detail::GridTransform<S>(cost_, at, A_.cols(), options_.parallel);
      if (options_.debiased) {
        state.transform_d = detail::GridTransform<S>(cost_, at, 1, options_.parallel);
      }
      state.transform_level = state.level;
    }
    S const inverse = annealing_.blur(state.level).inverse;
    state.logs_n = inverse * state.f + log_a_;
    state.transform.columns(state.logs_n, state.phi);
    state.log_b.setZero();
    for (Index k = 0; k < A_.cols(); ++k) {
      if (weights_(k) > 0) state.log_b += weights_(k) * state.phi.col(k);
    }
    if (options_.debiased) {
      state.logs_d = inverse * state.d;
      state.log_b += state.logs_d;
      state.transform_d.columns(state.logs_d, state.log_kd);
    }
    state.logs_m = -state.phi;
    state.logs_m.colwise() += state.log_b.col(0);
    state.transform.rows(state.logs_m, state.psi);
  }

  /// The largest error of the rows, and that of the symmetric plan of d.
  [[nodiscard]] double measure(State const& state, Wide epsilon) const {
    Wide worst = 0;
    for (Index k = 0; k < A_.cols(); ++k) {
      Wide sum = 0;
      for (Index i = 0; i < A_.rows(); ++i) {
        if (!(A_(i, k) > 0)) continue;
        sum += Wide(A_(i, k)) *
               std::abs(std::expm1(Wide(state.f(i, k)) / epsilon + Wide(state.psi(i, k))));
      }
      worst = std::isfinite(sum) ? std::max(worst, sum) : Wide(infinity);
    }
    if (!options_.debiased) return double(worst);
    Wide sum = 0;
    for (Index j = 0; j < state.log_b.rows(); ++j) {
      Wide const b = std::exp(Wide(state.log_b(j)));
      sum += std::abs(std::exp(Wide(state.d(j)) / epsilon + Wide(state.log_kd(j))) - b);
    }
    return double(std::isfinite(sum) ? worst + sum : Wide(infinity));
  }

  void check_symmetric() const {
    for (std::size_t axis = 0; axis < cost_.axes().size(); ++axis) {
      MatrixX<S> const& C = cost_.axes()[axis];
      detail::require(C.rows() == C.cols(), "sinkhorn_barycenter: the cost of axis ", axis, " is ",
                      detail::shape(C), "; a debiased barycentre needs a square, symmetric cost");
      for (Index j = 0; j < C.cols(); ++j) {
        for (Index i = 0; i < j; ++i) {
          detail::require(C(i, j) == C(j, i) || std::abs(C(i, j) - C(j, i)) <=
                                                    64 * unit_roundoff<S> * std::abs(C(i, j)),
                          "sinkhorn_barycenter: the cost of axis ", axis, " is ", C(i, j), " at (",
                          i, ", ", j, ") and ", C(j, i),
                          " at its mirror image; a debiased barycentre needs a symmetric cost");
        }
      }
    }
  }

  GridCost<S> cost_;
  MatrixX<S> A_, log_a_;  // n x k, columns of mass 1
  VectorX<S> weights_;    // k, of sum 1
  SinkhornBarycenterOptions options_;
  Wide mass_ = 0;
  double epsilon_ = 0, tolerance_ = 0, rounding_ = 0;
  detail::Annealing<S> annealing_;
};

/// The entropic barycentre of the columns of A (n x k), nonnegative and of equal mass, with the
/// given weights (k, nonnegative; only their ratios matter), for a GridCost, or a matrix C (n x m)
/// that holds the costs from the points of the histograms to those of the barycentre.
///
///     auto r = monge::ot::sinkhorn_barycenter(A, grid_cost({64, 64}), w, {.epsilon = 4});
///     r.barycenter;
///
/// Converged means that marginal_error <= tolerance for the returned potentials and barycentre.
/// Other ends: infeasible (a point without an allowed pair), precision_limit, iteration_limit,
/// time_limit, stopped_by_observer. Throws std::invalid_argument for misuse.
template <RealMatrixExpr A, class C, VectorLike<A> W, Observer Watch = Unobserved>
  requires MatrixLike<C, A> || std::same_as<C, GridCost<scalar_t<A>>>
[[nodiscard]] SinkhornBarycenterResult<scalar_t<A>> sinkhorn_barycenter(
    A const& histograms, C const& cost, W const& weights, SinkhornBarycenterOptions const& options,
    Watch&& observer = {}) {
  using S = scalar_t<A>;
  auto const solve = [&](GridCost<S> const& grid) {
    SinkhornBarycenter<S> const method(grid, MatrixX<S>(histograms),
                                       VectorX<S>(detail::as_column(weights)), options);
    return method.result(
        iterate(method, {options.max_iterations, options.max_seconds, options.observe_every},
                std::forward<Watch>(observer)));
  };
  if constexpr (std::same_as<C, GridCost<S>>) {
    return solve(cost);
  } else {
    return solve(GridCost<S>(std::vector<MatrixX<S>>{MatrixX<S>(cost)}));
  }
}

/// The same with equal weights.
template <RealMatrixExpr A, class C>
  requires MatrixLike<C, A> || std::same_as<C, GridCost<scalar_t<A>>>
[[nodiscard]] SinkhornBarycenterResult<scalar_t<A>> sinkhorn_barycenter(
    A const& histograms, C const& cost, SinkhornBarycenterOptions const& options) {
  using S = scalar_t<A>;
  return sinkhorn_barycenter(histograms, cost, VectorX<S>(VectorX<S>::Ones(histograms.cols())),
                             options);
}

}  // namespace monge::ot
