// SPDX-License-Identifier: MIT
/// @file
/// Entropic transport on grids: images, volumes, and any product of axes.
///
/// Problem. That of sinkhorn.hpp for a cost that is a sum over axes, C_ij = sum_k C_k(i_k, j_k),
/// such as |x - y|^2 or sum_k |x_k - y_k|^p between the pixels of an image. Histograms are vectors
/// with the first axis fastest, as a column-major Eigen matrix stores an image.
///
/// Method. The kernel of such a cost is a Kronecker product: the soft transforms of Sinkhorn's
/// iteration are formed axis by axis, 2 N (n_1 + ... + n_d) operations for N = n_1 ... n_d points
/// instead of N^2, as matrix products that neither over- nor underflow (detail/grid_kernel.hpp).
/// epsilon is annealed, and steps are combined by Anderson's acceleration with the safeguard of
/// sinkhorn: a point that it proposes must raise the dual by a share of what the step would have
/// gained. The certificate is formed in the same way, from the returned potentials.
///
/// Cost: 2 N (n_1 + ... + n_d) fused products per iteration, O(N^(1 + 1/d)); memory 40 N for the
/// acceleration (2 depth N) and 4 sum n_k^2 for the kernels. A GridCost is a CostOperator too, so
/// that plan, apply, exact_gap and other solvers take it, at their O(N^2); sinkhorn_unbalanced and
/// sinkhorn_barycenter use the fast transforms.
///
/// [SdGP+15] J. Solomon, F. de Goes, G. Peyre, M. Cuturi, A. Butscher, A. Nguyen, T. Du, L. Guibas,
///           Convolutional Wasserstein distances, ACM Trans. Graph. 34 (2015), section 3.
/// Deviation: exact products with the kernel in the log domain, where they blur in the kernel
/// domain, which underflows for small epsilon.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/exp.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/core/simd.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/grid_kernel.hpp>
#include <monge/ot/sinkhorn.hpp>

namespace monge::ot {

/// The cost between two grids, one matrix per axis. Owns them: sum n_k m_k entries.
template <RealScalar S>
class GridCost {
 public:
  using Scalar = S;

  /// axes[k] is n_k x m_k: finite, or +infinity to forbid.
  explicit GridCost(std::vector<MatrixX<S>> axes) : axes_(std::move(axes)) {
    detail::require(!axes_.empty(), "grid_cost: there are no axes; give one matrix per axis");
    for (std::size_t k = 0; k < axes_.size(); ++k) {
      MatrixX<S> const& C = axes_[k];
      detail::require(C.size() > 0, "grid_cost: the matrix of axis ", k, " is ", detail::shape(C),
                      "; it needs at least one row and one column");
      for (Index j = 0; j < C.cols(); ++j) {
        for (Index i = 0; i < C.rows(); ++i) {
          detail::require(C(i, j) > -std::numeric_limits<S>::infinity(), "grid_cost: entry (", i,
                          ", ", j, ") of axis ", k, " is ", C(i, j),
                          "; costs must be finite, or +infinity to forbid a pair");
        }
      }
      rows_ *= C.rows();
      cols_ *= C.cols();
    }
  }

  [[nodiscard]] Index rows() const { return rows_; }
  [[nodiscard]] Index cols() const { return cols_; }
  [[nodiscard]] std::vector<MatrixX<S>> const& axes() const { return axes_; }

  S const* column_segment(Index j, Index first, Index count, S* scratch) const {
    for (Index i = 0; i < count; ++i) scratch[i] = entry(first + i, j);
    return scratch;
  }

 private:
  [[nodiscard]] S entry(Index i, Index j) const {
    S sum = 0;
    for (MatrixX<S> const& C : axes_) {
      sum += C(i % C.rows(), j % C.cols());
      i /= C.rows();
      j /= C.cols();
    }
    return sum;
  }

  std::vector<MatrixX<S>> axes_;
  Index rows_ = 1, cols_ = 1;
};

/// What `grid_cost` makes of sizes.
struct GridCostOptions {
  double p = 2;                      ///< the cost is sum_k |x_k - y_k|^p; > 0
  std::vector<double> spacing = {};  ///< between neighbours, one per axis; empty: 1 (pixels)
};

/// The cost from a grid of the given sizes to itself.
///
///     auto const cost = grid_cost({height, width}, {.spacing = {1.0 / height, 1.0 / width}});
///     auto r = sinkhorn(cost, a, b, {.epsilon = 1e-3});     // a, b: height * width entries
template <RealScalar S = double>
[[nodiscard]] GridCost<S> grid_cost(std::vector<Index> const& sizes,
                                    GridCostOptions const& options = {}) {
  detail::require_positive("grid_cost", "p", options.p);
  detail::require(options.spacing.empty() || options.spacing.size() == sizes.size(),
                  "grid_cost: there are ", sizes.size(), " sizes but ", options.spacing.size(),
                  " spacings; give one per axis, or none");
  std::vector<MatrixX<S>> axes;
  for (std::size_t k = 0; k < sizes.size(); ++k) {
    detail::require(sizes[k] > 0, "grid_cost: axis ", k, " has ", sizes[k],
                    " points; it needs at least one");
    double const spacing = options.spacing.empty() ? 1.0 : options.spacing[k];
    detail::require_positive("grid_cost", "spacing", spacing);
    MatrixX<S> C(sizes[k], sizes[k]);
    for (Index j = 0; j < C.cols(); ++j) {
      for (Index i = 0; i < C.rows(); ++i) {
        double const distance = spacing * double(std::abs(i - j));
        C(i, j) = S(options.p == 2 ? distance * distance : std::pow(distance, options.p));
      }
    }
    axes.push_back(std::move(C));
  }
  return GridCost<S>(std::move(axes));
}

/// The cost between two grids from one matrix per axis, n_k x m_k.
template <RealScalar S>
[[nodiscard]] GridCost<S> grid_cost(std::vector<MatrixX<S>> axes) {
  return GridCost<S>(std::move(axes));
}

namespace detail {

/// The scale of a grid's cost: bounds and means add up over the axes.
template <RealScalar S>
CostScale grid_scale(GridCost<S> const& cost) {
  CostScale scale;
  for (MatrixX<S> const& C : cost.axes()) {
    auto const finite = C.array().isFinite();
    double const allowed = std::max<double>(1, double(finite.count()));
    scale.largest += double(finite.select(C.array().abs(), S(0)).maxCoeff());
    scale.mean += double(finite.select(C.array(), S(0)).template cast<wide_t<S>>().sum()) / allowed;
    scale.forbidden = scale.forbidden || !finite.all();
  }
  return scale;
}

/// The kernels exp(-C / epsilon) of a grid in both directions, and those that measure its cost.
template <RealScalar S>
class GridTransform {
 public:
  GridTransform() = default;
  GridTransform(GridCost<S> const& cost, Blur<S> at, Index batch, Parallel const& parallel)
      : columns_(axes(cost, at, false, -1), batch, parallel),
        rows_(axes(cost, at, true, -1), batch, parallel) {}

  /// out(j) = log sum_i exp(in(i) - C_ij / epsilon).
  void columns(MatrixX<S> const& in, MatrixX<S>& out) { columns_.apply(in, out); }
  /// out(i) = log sum_j exp(in(j) - C_ij / epsilon).
  void rows(MatrixX<S> const& in, MatrixX<S>& out) { rows_.apply(in, out); }

  /// The kernels of `columns`, that of axis k multiplied by C_k - min C_k.
  [[nodiscard]] static GridKernel<S> paying(GridCost<S> const& cost, Blur<S> at, Index k,
                                            Parallel const& parallel) {
    return GridKernel<S>(axes(cost, at, false, k), 1, parallel);
  }

 private:
  [[nodiscard]] static std::vector<AxisKernel<S>> axes(GridCost<S> const& cost, Blur<S> at,
                                                       bool transposed, Index paying) {
    std::vector<AxisKernel<S>> kernels;
    for (MatrixX<S> const& C : cost.axes()) {
      MatrixX<S> logs = -at.inverse * (transposed ? MatrixX<S>(C.transpose()) : C);
      if (Index(kernels.size()) == paying) {
        S const least = C.minCoeff();
        logs.array() += C.array().isFinite().select((C.array() - least).log(), S(0));
      }
      kernels.emplace_back(std::move(logs));
    }
    return kernels;
  }

  GridKernel<S> columns_, rows_;
};

}  // namespace detail

/// Sinkhorn's algorithm on a grid as a value that monge::iterate drives. Owns its cost.
template <RealScalar S>
class SinkhornGrid {
 public:
  using Wide = wide_t<S>;

  /// Everything that changes while it runs. Copy it to keep a checkpoint.
  struct State {
    MatrixX<S> f, g;            // the point of the next iteration, one column
    bool proposed = false;      // f comes from the acceleration and must prove itself
    MatrixX<S> kept_f, kept_g;  // the last point that was accepted, after its step
    Wide value = 0;             // its dual over M
    double error = infinity;    // and marginal error, before the step
    Index level = 0;            // of the annealing; counts down to 0
    Index steps = 0;            // at this level
    Index iterations = 0;
    detail::LeastError least;
    // Workspace.
    MatrixX<S> next, logs_n, logs_m;
    detail::GridTransform<S> transform;
    Index transform_level = -1;
    detail::Anderson<S> anderson;
    // Written by finish.
    detail::EntropicAnswer<S> answer;
  };

  /// Refuses misuse with std::invalid_argument, as sinkhorn() does.
  SinkhornGrid(GridCost<S> cost, VectorX<S> a, VectorX<S> b, SinkhornOptions options,
               Potentials<S> start = {})
      : cost_(std::move(cost)),
        a_(std::move(a)),
        b_(std::move(b)),
        options_(std::move(options)),
        start_(std::move(start)) {
    using detail::require;
    detail::require_limits("sinkhorn", options_.max_iterations, options_.max_seconds,
                           options_.observe_every);
    detail::require_annealing("sinkhorn", options_.annealing);
    require(options_.depth >= 1 && options_.depth <= detail::Anderson<S>::most,
            "sinkhorn: depth is ", options_.depth, "; it must be from 1 to ",
            detail::Anderson<S>::most);
    require(options_.acceleration != Acceleration::over_relaxation,
            "sinkhorn: there is no over-relaxation on grids; use Acceleration::anderson or none");
    mass_ = detail::balance<S>("sinkhorn", detail::shape(cost_), a_, b_);
    w_ = detail::normalised(a_, mass_);
    v_ = detail::normalised(b_, mass_);
    log_w_ = w_.array().log();
    log_v_ = v_.array().log();
    detail::CostScale const scale = detail::grid_scale(cost_);
    detail::Strength const strength =
        detail::strength_at<S>("sinkhorn", scale, options_.epsilon, options_.tolerance);
    epsilon_ = strength.epsilon;
    tolerance_ = strength.tolerance;
    largest_cost_ = scale.largest;
    if (scale.forbidden) {
      highest_entropy_ = detail::entropy_of_couplings(w_, v_);
    }
    detail::check_start("sinkhorn", detail::shape(cost_), start_);
    annealing_ = detail::Annealing<S>(epsilon_, options_.annealing, largest_cost_);
  }

  [[nodiscard]] State init() const {
    State state;
    bool const given = start_.f.size() > 0;
    state.f = given ? MatrixX<S>(start_.f) : MatrixX<S>(MatrixX<S>::Zero(n(), 1));
    state.g = given ? MatrixX<S>(start_.g) : MatrixX<S>(MatrixX<S>::Zero(m(), 1));
    state.kept_f = state.next = state.logs_n = state.f;
    state.kept_g = state.logs_m = state.g;
    state.level = given ? 0 : annealing_.levels;
    if (options_.acceleration == Acceleration::anderson) {
      state.anderson = detail::Anderson<S>(n(), options_.depth);
    }
    return state;
  }

  [[nodiscard]] Advance advance(State& state, Index k) const {
    return monge::detail::advance_by(k, [&] { return iteration(state); });
  }
  [[nodiscard]] double error(State const& state) const { return state.error; }

  /// Measures the plan of the potentials that are returned, and holds it to the tolerance.
  [[nodiscard]] Status finish(State& state, Status status) const {
    bool const converged = status == Status::converged;
    measure(state, converged ? state.f : state.kept_f, converged ? state.g : state.kept_g);
    if (status == Status::infeasible || status == Status::non_finite) return status;
    state.error = state.answer.marginal_error;
    if (converged && !(state.error <= tolerance_)) return Status::precision_limit;
    return status;
  }

  /// The result of a finished run.
  [[nodiscard]] SinkhornResult<S> result(Outcome<State> const& run) const {
    detail::EntropicAnswer<S> const& x = run.state.answer;
    SinkhornResult<S> r;
    r.f = x.f;
    r.g = x.g;
    r.a = a_;
    r.b = b_;
    r.epsilon = epsilon_;
    r.tolerance = tolerance_;
    r.transport_cost = x.transport_cost;
    r.regularised_cost = x.regularised_cost;
    r.dual_value = x.dual_value;
    r.marginal_error = x.marginal_error;
    r.status = run.status;
    r.iterations = run.state.iterations;
    r.seconds = run.statistics.seconds;
    return monge::detail::certified(std::move(r));
  }

 private:
  using V = simd::pack_t<Wide>;
  static constexpr Index width = 256;  // points that are handled at once

  [[nodiscard]] Index n() const { return w_.size(); }
  [[nodiscard]] Index m() const { return v_.size(); }

  Status iteration(State& state) const {
    detail::Blur<S> const at = annealing_.blur(state.level);
    if (state.transform_level != state.level) {
      state.transform = detail::GridTransform<S>(cost_, at, 1, options_.parallel);
      state.transform_level = state.level;
    }
    soft_columns(state, at, state.f, state.g);
    soft_rows(state, at, state.g, state.next);
    ++state.iterations;
    ++state.steps;
    Drift const drift = drift_of(state.f, state.next, at);
    double const error = double(drift.deviation);
    if (error != error || error == infinity) {
      if (!all_have_partners(state)) return Status::infeasible;
    }
    if (state.level == 0 && error <= 0.9 * tolerance_) {
      state.error = error;
      return Status::converged;
    }
    Wide const value = drift.mean + mean_potential(state.g, v_) - at.epsilon * drift.excess;
    if (detail::beyond_couplings(double(value), largest_cost_, double(at.epsilon),
                                 highest_entropy_)) {
      return Status::infeasible;
    }
    if (state.proposed && !acceptable(state, at, value, error)) {
      restart_from_kept(state);
      return Status::running;
    }
    state.value = value;
    state.error = error;
    state.kept_f = state.next;
    state.kept_g = state.g;
    double const goal = std::max(1e-2, tolerance_);
    if (state.level > 0 && (error <= goal || state.steps >= options_.annealing_iterations)) {
      --state.level;
      state.steps = 0;
      restart_from_kept(state);
    } else if (options_.acceleration == Acceleration::anderson) {
      VectorX<S> f = state.f.col(0);
      state.proposed = state.anderson.propose(w_, S(at.epsilon), f, VectorX<S>(state.next.col(0)));
      state.f.col(0) = f;
    } else {
      state.f.swap(state.next);
    }
    return state.level == 0 && stagnates(state) ? Status::precision_limit : Status::running;
  }

  /// g_j = -epsilon log sum_i w_i exp((f_i - C_ij) / epsilon).
  void soft_columns(State& state, detail::Blur<S> at, MatrixX<S> const& f, MatrixX<S>& g) const {
    state.logs_n.col(0) = f.col(0) * at.inverse + log_w_;
    state.transform.columns(state.logs_n, state.logs_m);
    g = S(-at.epsilon) * state.logs_m;
  }
  void soft_rows(State& state, detail::Blur<S> at, MatrixX<S> const& g, MatrixX<S>& f) const {
    state.logs_m.col(0) = g.col(0) * at.inverse + log_v_;
    state.transform.rows(state.logs_m, state.logs_n);
    f = S(-at.epsilon) * state.logs_n;
  }

  [[nodiscard]] bool all_have_partners(State const& state) const {
    S const none = std::numeric_limits<S>::infinity();
    for (Index j = 0; j < m(); ++j) {
      if (v_(j) > 0 && state.g(j) == none) return false;
    }
    for (Index i = 0; i < n(); ++i) {
      if (w_(i) > 0 && state.next(i) == none) return false;
    }
    return true;
  }

  /// The dual must have risen by a share of what Sinkhorn's step would have gained; where rounding
  /// hides this, the error decides.
  [[nodiscard]] bool acceptable(State const& state, detail::Blur<S> at, Wide value,
                                double error) const {
    Wide const rise = value - state.value;
    if (rise >= Wide(0.05) * at.epsilon * Wide(state.error) * Wide(state.error)) return true;
    Wide const noise = 8 * Wide(unit_roundoff<S>) * (std::abs(state.value) + Wide(largest_cost_));
    return rise >= -noise && error <= 2 * state.error;
  }

  void restart_from_kept(State& state) const {
    state.f = state.kept_f;
    state.g = state.kept_g;
    state.proposed = false;
    state.anderson.restart();
  }

  [[nodiscard]] bool stagnates(State& state) const {
    double const scale = largest_cost_ + largest(state.kept_f, w_) + largest(state.kept_g, v_);
    double const floor = double(unit_roundoff<S>) * (1 + scale / epsilon_);
    return state.least.observe(state.error, state.iterations) >= 100 && state.error <= 64 * floor;
  }

  [[nodiscard]] static double largest(MatrixX<S> const& p, VectorX<S> const& weights) {
    double most = 0;
    for (Index i = 0; i < p.rows(); ++i) {
      if (weights(i) > 0) most = std::max(most, double(std::abs(p(i))));
    }
    return most;
  }

  /// What the rows of the plan of f say, f' being its image: with r_i = exp((f_i - f'_i) / epsilon)
  /// - 1, sum w |r|, sum w r and sum w f over the points that have weight.
  struct Drift {
    Wide deviation, excess, mean;
  };
  [[nodiscard]] Drift drift_of(MatrixX<S> const& f, MatrixX<S> const& image,
                               detail::Blur<S> at) const {
    std::array<Wide, width> x, p, weight;
    V deviation{}, excess{}, mean{};
    Wide const inverse = 1 / at.epsilon;
    for (Index begin = 0; begin < n(); begin += width) {
      Index const count = std::min(width, n() - begin);
      for (auto* entries : {&x, &p, &weight})
        std::fill(entries->begin() + count, entries->end(), 0);
      S const *const w = w_.data() + begin, *const here = f.data() + begin,
                     *const there = image.data() + begin;
      for (Index k = 0; k < count; ++k) {
        bool const on = w[k] > 0;
        weight[k] = Wide(w[k]);
        x[k] = on ? Wide(here[k] - there[k]) * inverse : Wide(0);
        p[k] = on ? Wide(here[k]) : Wide(0);
      }
      for (Index k = 0; k < width; k += simd::lanes<Wide>) {
        V const y = simd::load(&x[k]), share = simd::load(&weight[k]);
        V const r = share * detail::expm1_pack<Wide>(y, detail::exp_pack<Wide>(y));
        excess += r;
        deviation += r < V{} ? -r : r;
        mean += share * simd::load(&p[k]);
      }
    }
    return {simd::sum<Wide>(deviation), simd::sum<Wide>(excess), simd::sum<Wide>(mean)};
  }

  [[nodiscard]] static Wide mean_potential(MatrixX<S> const& p, VectorX<S> const& weights) {
    std::array<Wide, width> terms;
    V mean{};
    for (Index begin = 0; begin < p.rows(); begin += width) {
      Index const count = std::min(width, p.rows() - begin);
      std::fill(terms.begin() + count, terms.end(), 0);
      S const *const w = weights.data() + begin, *const q = p.data() + begin;
      for (Index k = 0; k < count; ++k) terms[k] = w[k] > 0 ? Wide(w[k]) * Wide(q[k]) : Wide(0);
      for (Index k = 0; k < width; k += simd::lanes<Wide>) mean += simd::load(&terms[k]);
    }
    return simd::sum<Wide>(mean);
  }

  /// Gauge, potentials of zero weights, both marginals, <C, P> and the values.
  void measure(State& state, MatrixX<S> f, MatrixX<S> g) const {
    detail::Blur<S> const at(epsilon_);
    if (state.transform_level != 0) {
      state.transform = detail::GridTransform<S>(cost_, at, 1, options_.parallel);
      state.transform_level = 0;
    }
    Wide const shift = (mean_potential(g, v_) - mean_potential(f, w_)) / 2;
    f.array() += S(shift);
    g.array() -= S(shift);
    MatrixX<S> soft_f = f, soft_g = g;
    soft_rows(state, at, g, soft_f);
    soft_columns(state, at, f, soft_g);  // leaves log(w) + f / epsilon in logs_n
    detail::EntropicAnswer<S>& x = state.answer;
    Wide deviation = 0, moved = 0, linear = 0, dual = 0;
    auto const side = [&](MatrixX<S>& p, MatrixX<S> const& soft, VectorX<S> const& weights,
                          bool count) {
      for (Index i = 0; i < p.rows(); ++i) {
        if (!(weights(i) > 0)) {
          p(i) = std::isfinite(soft(i)) ? soft(i) : S(0);
          continue;
        }
        Wide const sum = Wide(weights(i)) * std::exp((Wide(p(i)) - Wide(soft(i))) / at.epsilon);
        deviation += std::abs(sum - Wide(weights(i)));
        if (count) moved += sum;
        linear += sum * Wide(p(i));
        dual += Wide(weights(i)) * Wide(p(i));
      }
    };
    side(f, soft_f, w_, false);
    side(g, soft_g, v_, true);
    Wide paid = 0;
    for (std::size_t k = 0; k < cost_.axes().size(); ++k) {
      auto kernel = detail::GridTransform<S>::paying(cost_, at, Index(k), options_.parallel);
      kernel.apply(state.logs_n, state.logs_m);
      for (Index j = 0; j < m(); ++j) {
        if (v_(j) > 0) {
          paid += Wide(v_(j)) * std::exp(Wide(g(j)) / at.epsilon + Wide(state.logs_m(j)));
        }
      }
      paid += moved * Wide(cost_.axes()[k].minCoeff());
    }
    Wide const excess = at.epsilon * (moved - 1);
    x.f = f.col(0);
    x.g = g.col(0);
    x.marginal_error = double(deviation);
    x.transport_cost = mass_ * paid;
    x.regularised_cost = mass_ * (linear - excess);
    x.dual_value = mass_ * (dual - excess);
  }

  GridCost<S> cost_;
  VectorX<S> a_, b_;  // marginals of equal mass
  SinkhornOptions options_;
  Potentials<S> start_;
  Wide mass_ = 0;
  VectorX<S> w_, v_, log_w_, log_v_;  // a/M and b/M; -infinity for zero weights
  double epsilon_ = 0, tolerance_ = 0, largest_cost_ = 0;
  double highest_entropy_ = infinity;  // of a coupling, if pairs are forbidden
  detail::Annealing<S> annealing_;
};

/// Entropic transport on a grid: the problem, the result and the ends of sinkhorn, which this
/// overloads, in O(N^(1 + 1/d)) per iteration. a has one entry per point of the grid of rows, first
/// axis fastest; b of that of columns. kernel_bytes has no meaning here.
///
///     auto const cost = monge::ot::grid_cost({height, width});
///     auto r = monge::ot::sinkhorn(cost, a, b, {.epsilon = 4});      // in pixels squared
template <RealScalar S, VectorLike<GridCost<S>> A, VectorLike<GridCost<S>> B,
          Observer Watch = Unobserved>
[[nodiscard]] SinkhornResult<S> sinkhorn(GridCost<S> const& cost, A const& a, B const& b,
                                         SinkhornOptions const& options,
                                         Potentials<S> const& start = {}, Watch&& observer = {}) {
  SinkhornGrid<S> const method(cost, VectorX<S>(detail::as_column(a)),
                               VectorX<S>(detail::as_column(b)), options, start);
  return method.result(iterate(method,
                               {options.max_iterations, options.max_seconds, options.observe_every},
                               std::forward<Watch>(observer)));
}

}  // namespace monge::ot
