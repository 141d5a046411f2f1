// SPDX-License-Identifier: MIT
/// @file
/// The barycentre of positive definite matrices, in any metric of the room:
///
///     minimise  sum_i w_i d(B, X_i)^2  over B
///
/// Method. B <- exp_B(s sum_i w_i log_B X_i) until that sum, half the negative gradient, vanishes.
/// - bures_wasserstein: s = 1, which is the fixed-point iteration of [AE16]; the objective falls in
///   every step and the limit is the only minimum. Starts at (sum_i w_i X_i^1/2)^2, which is the
///   answer for matrices that commute. X_i may be singular as long as one is not.
/// - affine_invariant: the Karcher flow, with the step of [BI13] that fits the spread of the data.
/// - log_euclidean: exp(sum_i w_i log X_i), where it starts.
/// - generalised_bures_wasserstein and power_deformed: in the base metric, and back.
///
/// The residual is certified at the matrix that is returned: |sum_i w_i log_B X_i|_B, divided by
/// (tr B)^1/2 in the Bures-Wasserstein metrics, so that it never depends on units. B then
/// satisfies the equation of a barycentre to `residual`; its distance from the exact one is about
/// residual / (1 - r) with r the rate of convergence. Eight random 6 x 6 matrices with condition
/// number 1e3 take 27 iterations to 1e-9 in the Bures-Wasserstein metric, with 1e9 they take 105.
///
/// Cost per iteration: one decomposition per matrix, O(m n^3); memory O(m n^2). Nothing is
/// allocated inside an iteration (log_euclidean, which needs none, excepted).
///
/// [AE16] P. C. Alvarez-Esteban, E. del Barrio, J. A. Cuesta-Albertos, C. Matran, A fixed-point
///        approach to barycenters in Wasserstein space, J. Math. Anal. Appl. 441 (2016) 744-762,
///        section 4. [BI13] D. A. Bini, B. Iannazzo, Computing the Karcher mean of symmetric
///        positive definite matrices, Linear Algebra Appl. 438 (2013) 1700-1710.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/spd/affine_invariant.hpp>
#include <monge/spd/bures_wasserstein.hpp>
#include <monge/spd/log_euclidean.hpp>

namespace monge::spd {

/// Options of `barycenter`.
struct BarycenterOptions {
  /// Bound on the residual. Unset: 1e-9 (float: 1e-5), or the rounding error of the residual if
  /// that is larger, at most 1e-6 (float: 1e-3).
  std::optional<double> tolerance = {};
  Index max_iterations = 1000;    ///< updates of B
  double max_seconds = infinity;  ///< wall time
  Index observe_every = 1;        ///< stride of the observer in iterations; at least 1
};

/// The answer of `barycenter`.
template <class Matrix>
struct BarycenterResult {
  using Scalar = typename Matrix::Scalar;

  Matrix matrix;  ///< n x n, the barycentre
  double residual =
      infinity;          ///< of the equation of a barycentre at `matrix`; see the file comment
  Scalar variance = 0;   ///< sum_i w_i d(matrix, X_i)^2 with weights of sum 1
  double tolerance = 0;  ///< the tolerance that was used
  Status status = Status::not_run;
  Index iterations = 0;  ///< updates of B
  double seconds = 0;    ///< wall time of the iteration

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(matrix, residual, variance); }
};

/// A container of n x n matrices: std::vector<MatrixXd>, std::array<Matrix3d, 5>, ...
template <class C>
concept MatrixSequence = requires(C const& matrices) {
  { matrices.size() } -> std::convertible_to<std::size_t>;
  { matrices[0] } -> RealMatrixExpr;
};

namespace detail {

template <class C>
using element_t = std::remove_cvref_t<decltype(std::declval<C const&>()[0])>;

/// Weights of sum 1; equal ones for an empty vector.
template <class S>
VectorX<S> checked_weights(std::string_view function, std::string_view what, std::size_t count,
                           VectorX<S> weights) {
  using monge::detail::require;
  require(count > 0, function, ": there are no ", what, "; it needs at least one");
  if (weights.size() == 0) return VectorX<S>::Constant(Index(count), 1 / S(count));
  require(weights.size() == Index(count), function, ": there are ", count, " ", what, " but ",
          weights.size(), " weights; each needs one");
  require(weights.allFinite() && weights.minCoeff() >= 0 && weights.sum() > 0, function,
          ": weights must be finite, at least 0 and not all zero");
  return weights / weights.sum();
}

/// Where to start: the power mean that is exact for matrices that commute.
template <class Matrix, class F, class Inverse>
Matrix quasi_arithmetic_mean(std::vector<Matrix> const& matrices,
                             VectorX<typename Matrix::Scalar> const& weights, F const& f,
                             Inverse const& inverse) {
  Matrix sum = Matrix::Zero(matrices[0].rows(), matrices[0].cols());
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    if (!(weights(Index(i)) > 0)) continue;
    spectrum_t<Matrix> const s = positive_spectrum("barycenter", matrices[i], 0);
    if (!std::isfinite(f.value(s.values(0)))) require_nonsingular("barycenter", s);
    sum += weights(Index(i)) * evaluate(f, s);
  }
  return inverse(sum);
}

/// The descent as a value that monge::iterate drives.
template <class Matrix, class M>
class BarycenterMethod {
 public:
  using S = typename Matrix::Scalar;
  using Chart = decltype(std::declval<M const&>().chart_at("", std::declval<Matrix const&>()));

  struct State {
    Chart chart;     // the geometry seen from B
    Matrix tangent;  // the mean of log_B X_i
    Matrix next;
    double error = infinity;
    double least_error = infinity;
    Index since_least = 0;
  };

  BarycenterMethod(std::vector<Matrix> const& matrices, VectorX<S> const& weights, M const& metric,
                   Matrix const& start, BarycenterOptions const& options)
      : weights_(weights), start_(metric.chart_at("barycenter", start)) {
    bool definite = false;
    for (Matrix const& X : matrices) {
      operands_.push_back(start_.operand("barycenter", X));
      if constexpr (requires { operands_[0].rank; }) {
        bool const counts = weights(Index(operands_.size()) - 1) > 0;
        definite = definite || (counts && operands_.back().rank == X.rows());
      } else {
        definite = true;
      }
    }
    monge::detail::require(definite,
                           "barycenter: all matrices are singular; one with a positive weight must "
                           "be positive definite");
    constexpr bool narrow = unit_roundoff<S> > S(1e-10);
    double const floor = 10 * double(start_.rounding_floor());
    tolerance_ =
        options.tolerance.value_or(std::clamp(floor, narrow ? 1e-5 : 1e-9, narrow ? 1e-3 : 1e-6));
  }

  [[nodiscard]] double tolerance() const { return tolerance_; }

  [[nodiscard]] State init() const {
    Index const n = start_.point().rows();
    State state{start_, Matrix::Zero(n, n), Matrix::Zero(n, n)};
    measure(state);
    return state;
  }
  [[nodiscard]] Advance advance(State& state, Index k) const {
    for (Index step = 0; step < k; ++step) {
      Status const now = judge(state);
      if (now != Status::running) return {now, step};
      state.tangent *= state.chart.mean_step();
      state.chart.exp(state.tangent, state.next);
      state.chart.move_to(state.next);
      measure(state);
    }
    return {judge(state), k};
  }
  [[nodiscard]] double error(State const& state) const { return state.error; }
  /// `error` is the residual of the very matrix that is returned.
  [[nodiscard]] Status finish(State&, Status status) const { return status; }

  [[nodiscard]] S variance(State& state) const {
    S sum = 0;
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      S const d = state.chart.distance(operands_[i]);
      sum += weights_(Index(i)) * d * d;
    }
    return sum;
  }

 private:
  void measure(State& state) const {
    state.tangent.setZero();
    state.chart.begin_mean();
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      if (weights_(Index(i)) > 0) {
        state.chart.add_log(operands_[i], weights_(Index(i)), state.tangent);
      }
    }
    state.error = double(state.chart.tangent_norm(state.tangent) / state.chart.scale());
    ++state.since_least;
    if (state.error < state.least_error) {
      state.least_error = state.error;
      state.since_least = 0;
    }
  }
  [[nodiscard]] Status judge(State const& state) const {
    if (state.error != state.error) return Status::non_finite;
    if (state.error <= tolerance_) return Status::converged;
    bool const at_floor = state.error <= 1e3 * double(state.chart.rounding_floor());
    return at_floor && state.since_least >= 10 ? Status::precision_limit : Status::running;
  }

  std::vector<typename Chart::Operand> operands_;
  VectorX<S> weights_;
  Chart start_;
  double tolerance_ = 0;
};

template <class Matrix, class M, class Watch>
BarycenterResult<Matrix> solve_barycenter(std::vector<Matrix> matrices,
                                          VectorX<typename Matrix::Scalar> const& weights,
                                          M const& metric, BarycenterOptions const& options,
                                          std::optional<Matrix> start, Watch&& observer) {
  if constexpr (PulledBack<M>) {
    for (Matrix& X : matrices) X = metric.to_base(X);
    if (start) start = metric.to_base(*start);
    BarycenterResult<Matrix> result =
        solve_barycenter(std::move(matrices), weights, metric.base(), options, start, observer);
    result.matrix = metric.from_base(result.matrix);
    if constexpr (requires { metric.theta(); }) {
      auto const theta = typename Matrix::Scalar(metric.theta());
      result.variance /= theta * theta;
    }
    return result;
  } else {
    if (!start) {
      if constexpr (std::same_as<M, bures_wasserstein>) {
        start = quasi_arithmetic_mean(matrices, weights, square_root{},
                                      [](Matrix const& X) { return product(X, X); });
        symmetrise(*start);
      } else {
        start = quasi_arithmetic_mean(matrices, weights, logarithm{}, [](Matrix const& X) {
          return evaluate(exponential{}, spectrum(X));
        });
      }
    }
    BarycenterMethod<Matrix, M> const method(matrices, weights, metric, *start, options);
    auto [state, status, statistics] =
        iterate(method, {options.max_iterations, options.max_seconds, options.observe_every},
                std::forward<Watch>(observer));
    BarycenterResult<Matrix> result;
    result.matrix = state.chart.point();
    result.residual = state.error;
    result.variance = method.variance(state);
    result.tolerance = method.tolerance();
    result.status = status;
    result.iterations = statistics.iterations;
    result.seconds = statistics.seconds;
    return result;
  }
}

}  // namespace detail

/// The barycentre of m matrices (n x n, symmetric positive definite; in the Bures-Wasserstein
/// metrics they may be singular as long as one with positive weight is not).
///
///     auto r = monge::spd::barycenter(matrices, weights);                          // Wasserstein
///     auto r = monge::spd::barycenter(matrices, weights, spd::affine_invariant{}, {.tolerance =
///     1e-6});
///
/// Weights are m nonnegative numbers and are scaled to sum 1; an empty vector means equal weights.
/// `start` is where the iteration begins, such as the last barycentre of data that change slowly.
/// Converged means residual <= tolerance. Other ends: iteration_limit, time_limit,
/// stopped_by_observer, precision_limit (rounding holds the residual above the tolerance),
/// non_finite. The observer sees the residual. Throws std::invalid_argument for misuse.
template <MatrixSequence C, RealVectorExpr W, Metric M, Observer Watch = Unobserved>
[[nodiscard]] auto barycenter(
    C const& matrices, W const& weights, M const& metric, BarycenterOptions const& options = {},
    std::optional<detail::square_t<detail::element_t<C>>> const& start = {}, Watch&& observer = {})
    -> BarycenterResult<detail::square_t<detail::element_t<C>>> {
  using Matrix = detail::square_t<detail::element_t<C>>;
  using S = typename Matrix::Scalar;
  monge::detail::require_limits("barycenter", options.max_iterations, options.max_seconds,
                                options.observe_every);
  monge::detail::require_nonnegative("barycenter", "tolerance", options.tolerance.value_or(0));
  VectorX<S> const w = detail::checked_weights<S>("barycenter", "matrices", matrices.size(),
                                                  VectorX<S>(monge::detail::as_column(weights)));
  std::vector<Matrix> data;
  for (std::size_t i = 0; i < std::size_t(matrices.size()); ++i) {
    data.push_back(i == 0 ? detail::checked_symmetric("barycenter", matrices[i])
                          : detail::matching("barycenter", data[0], matrices[i]));
  }
  std::optional<Matrix> first = start;
  if (first) first = detail::matching("barycenter", data[0], *start);
  return monge::detail::certified(detail::solve_barycenter(
      std::move(data), w, metric, options, std::move(first), std::forward<Watch>(observer)));
}

/// The same in the Bures-Wasserstein metric: the covariance of the Wasserstein barycentre of
/// centred Gaussians.
template <MatrixSequence C, RealVectorExpr W, Observer Watch = Unobserved>
[[nodiscard]] auto barycenter(
    C const& matrices, W const& weights, BarycenterOptions const& options = {},
    std::optional<detail::square_t<detail::element_t<C>>> const& start = {}, Watch&& observer = {})
    -> BarycenterResult<detail::square_t<detail::element_t<C>>> {
  return barycenter(matrices, weights, bures_wasserstein{}, options, start,
                    std::forward<Watch>(observer));
}

}  // namespace monge::spd
