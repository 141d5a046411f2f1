// SPDX-License-Identifier: MIT
/// @file
/// Optimal transport between Gaussians, in closed form:
///
///     W2(P, Q)^2 = |m_P - m_Q|^2 + d(A, B)^2,   T(x) = m_Q + T_AB (x - m_P)
///
/// with d and T_AB the Bures-Wasserstein distance and map of the covariances A and B. Any two
/// distributions with these means and covariances are at least as far apart (M. Gelbrich, On a
/// formula for the L2 Wasserstein metric between measures on Euclidean and Hilbert spaces,
/// Mathematische Nachrichten 147 (1990) 185-203), so W2 of the fitted Gaussians is a lower bound.
///
/// Covariances may be singular, except where stated. Cost: O(d^3).
#pragma once

#include <cmath>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/spd/barycenter.hpp>
#include <monge/spd/bures_wasserstein.hpp>

namespace monge::spd {

/// A Gaussian distribution in d dimensions.
template <RealScalar S>
struct Gaussian {
  VectorX<S> mean;        ///< d
  MatrixX<S> covariance;  ///< d x d, symmetric positive semidefinite
};

/// x -> matrix x + offset, on the columns of a d x n matrix.
template <RealScalar S>
struct AffineMap {
  MatrixX<S> matrix;  ///< d x d
  VectorX<S> offset;  ///< d

  template <RealMatrixExpr X>
  [[nodiscard]] MatrixX<S> operator()(X const& points) const {
    monge::detail::require(points.rows() == offset.size(), "AffineMap: the map is of ",
                           offset.size(), " dimensions but the points are ",
                           monge::detail::shape(points));
    MatrixX<S> const from = points;
    MatrixX<S> to = detail::product(matrix, from);
    to.colwise() += offset;
    return to;
  }
};

namespace detail {

template <class S>
void check_gaussian(std::string_view function, Gaussian<S> const& P) {
  using monge::detail::require;
  require(P.mean.size() > 0, function, ": a mean is empty; it needs at least one dimension");
  require(P.mean.allFinite(), function, ": a mean has NaN or infinite entries");
  require(P.covariance.rows() == P.mean.size() && P.covariance.cols() == P.mean.size(), function,
          ": a mean has ", P.mean.size(), " entries but its covariance is ",
          monge::detail::shape(P.covariance));
}
template <class S>
void check_gaussians(std::string_view function, Gaussian<S> const& P, Gaussian<S> const& Q) {
  check_gaussian(function, P);
  check_gaussian(function, Q);
  monge::detail::require(P.mean.size() == Q.mean.size(), function, ": one Gaussian has ",
                         P.mean.size(), " dimensions and the other ", Q.mean.size());
}

}  // namespace detail

/// The mean and covariance (divided by n) of the columns of X (d x n), with weights of any positive
/// sum if given. The covariance is that of the population, not the unbiased estimate.
template <RealMatrixExpr X>
[[nodiscard]] Gaussian<scalar_t<X>> fitted_gaussian(X const& points,
                                                    VectorX<scalar_t<X>> const& weights = {}) {
  using S = scalar_t<X>;
  MatrixX<S> centred = points;
  monge::detail::require(centred.size() > 0 && centred.allFinite(), "fitted_gaussian: the points ",
                         monge::detail::shape(centred),
                         " must be finite, with at least one point and one dimension");
  VectorX<S> const w =
      detail::checked_weights<S>("fitted_gaussian", "points", std::size_t(centred.cols()), weights);
  Gaussian<S> P;
  P.mean = VectorX<S>::Zero(centred.rows());
  for (Index j = 0; j < centred.cols(); ++j) P.mean += w(j) * centred.col(j);
  for (Index j = 0; j < centred.cols(); ++j) {
    centred.col(j) -= P.mean;
    centred.col(j) *= std::sqrt(w(j));
  }
  MatrixX<S> const transposed = centred.transpose();
  P.covariance = detail::product(centred, transposed);
  detail::symmetrise(P.covariance);
  return P;
}

/// The Wasserstein-2 distance W2 (not its square). Accurate near P = Q, as
/// bures_wasserstein_distance is. Throws std::invalid_argument for shapes that do not fit, entries
/// that are not finite and covariances that are not positive semidefinite.
template <RealScalar S>
[[nodiscard]] S wasserstein_distance(Gaussian<S> const& P, Gaussian<S> const& Q) {
  detail::check_gaussians("wasserstein_distance", P, Q);
  return std::hypot((P.mean - Q.mean).norm(),
                    bures_wasserstein_distance(P.covariance, Q.covariance));
}

/// The optimal map from P, whose covariance must be positive definite, to Q.
template <RealScalar S>
[[nodiscard]] AffineMap<S> optimal_map(Gaussian<S> const& P, Gaussian<S> const& Q) {
  detail::check_gaussians("optimal_map", P, Q);
  AffineMap<S> T;
  T.matrix = bures_wasserstein_map(P.covariance, Q.covariance);
  T.offset = Q.mean;
  for (Index j = 0; j < P.mean.size(); ++j) T.offset -= P.mean(j) * T.matrix.col(j);
  return T;
}

/// The Gaussian at time t on the way of least effort from P (0) to Q (1).
template <RealScalar S>
[[nodiscard]] Gaussian<S> displacement(Gaussian<S> const& P, Gaussian<S> const& Q, double t) {
  detail::check_gaussians("displacement", P, Q);
  return {P.mean + S(t) * (Q.mean - P.mean),
          bures_wasserstein{}.geodesic(P.covariance, Q.covariance, t)};
}

/// The answer of `gaussian_barycenter`.
template <RealScalar S>
struct GaussianBarycenterResult {
  Gaussian<S> gaussian;        ///< the barycentre
  double residual = infinity;  ///< of its covariance, see barycenter.hpp
  S variance = 0;              ///< sum_i w_i W2(gaussian, P_i)^2 with weights of sum 1
  double tolerance = 0;        ///< the tolerance that was used
  Status status = Status::not_run;
  Index iterations = 0;
  double seconds = 0;  ///< wall time of the iteration

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const {
    return std::tie(gaussian.mean, gaussian.covariance, residual, variance);
  }
};

/// The Wasserstein barycentre of Gaussians, which is one: the mean of the means and the
/// Bures-Wasserstein barycentre of the covariances. Arguments and ends are those of `barycenter`.
template <RealScalar S, Observer Watch = Unobserved>
[[nodiscard]] GaussianBarycenterResult<S> gaussian_barycenter(
    std::vector<Gaussian<S>> const& gaussians, VectorX<S> const& weights,
    BarycenterOptions const& options = {}, std::optional<MatrixX<S>> const& start = {},
    Watch&& observer = {}) {
  VectorX<S> const w =
      detail::checked_weights<S>("gaussian_barycenter", "Gaussians", gaussians.size(), weights);
  GaussianBarycenterResult<S> result;
  result.gaussian.mean = VectorX<S>::Zero(gaussians[0].mean.size());
  std::vector<MatrixX<S>> covariances;
  for (std::size_t i = 0; i < gaussians.size(); ++i) {
    detail::check_gaussians("gaussian_barycenter", gaussians[0], gaussians[i]);
    result.gaussian.mean += w(Index(i)) * gaussians[i].mean;
    covariances.push_back(gaussians[i].covariance);
  }
  auto inner = barycenter(covariances, w, options, start, std::forward<Watch>(observer));
  result.gaussian.covariance = std::move(inner.matrix);
  result.residual = inner.residual;
  result.variance = inner.variance;
  for (std::size_t i = 0; i < gaussians.size(); ++i) {
    result.variance += w(Index(i)) * (gaussians[i].mean - result.gaussian.mean).squaredNorm();
  }
  result.tolerance = inner.tolerance;
  result.status = inner.status;
  result.iterations = inner.iterations;
  result.seconds = inner.seconds;
  return monge::detail::certified(std::move(result));
}

}  // namespace monge::spd
