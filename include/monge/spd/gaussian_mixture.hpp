// SPDX-License-Identifier: MIT
/// @file
/// Optimal transport between Gaussian mixtures along mixtures:
///
///     MW2(P, Q)^2 = min over couplings w of the weights of  sum_kl w_kl W2(P_k, Q_l)^2
///
/// that is, Wasserstein-2 with couplings restricted to Gaussian mixtures. A discrete problem of K x
/// L, whatever the dimension. MW2 is a metric on mixtures. W2 <= MW2 <=
/// W2 + 2 (s_P + s_Q) with s_P = (sum_k a_k tr A_k)^1/2, the distance of P from its means alone.
///
/// The discrete problem is solved by whatever the caller passes, since this room knows nothing of
/// the solvers of another:
///
///     auto r = monge::spd::mixture_transport(P, Q, [](auto const& C, auto const& a, auto const& b)
///     {
///       return monge::ot::exact(C, a, b);
///     });
///
/// Cost: K L distances, O(K L d^3), and the discrete problem.
///
/// [DD20] J. Delon, A. Desolneux, A Wasserstein-type distance in the space of Gaussian mixture
/// models, SIAM J. Imaging Sciences 13 (2020) 936-970, sections 4 and 6.3.
#pragma once

#include <cmath>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/require.hpp>
#include <monge/core/status.hpp>
#include <monge/core/types.hpp>
#include <monge/spd/gaussian.hpp>

namespace monge::spd {

/// A mixture of K Gaussians in d dimensions.
template <RealScalar S>
struct GaussianMixture {
  VectorX<S> weights;                   ///< K, at least 0, of sum 1
  std::vector<Gaussian<S>> components;  ///< K
};

/// The answer of `mixture_transport`.
template <RealScalar S>
struct MixtureTransportResult {
  S distance = 0;                   ///< MW2, the square root of <cost, plan>
  MatrixX<S> cost;                  ///< K x L: squared W2 distances of the components
  MatrixX<S> plan;                  ///< K x L: how much of component k goes to component l
  Status status = Status::not_run;  ///< the solver's

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(distance, cost, plan); }
};

namespace detail {

template <class S>
void check_mixture(std::string_view function, GaussianMixture<S> const& P) {
  using monge::detail::require;
  require(!P.components.empty() && Index(P.components.size()) == P.weights.size(), function,
          ": a mixture has ", P.components.size(), " components and ", P.weights.size(),
          " weights; it needs at least one component and a weight for each");
  S const total = P.weights.sum();
  require(P.weights.allFinite() && P.weights.minCoeff() >= 0 &&
              std::abs(total - 1) <= S(8 * (P.weights.size() + 1)) * unit_roundoff<S>,
          function, ": the weights of a mixture must be at least 0 and of sum 1; their sum is ",
          total);
  for (auto const& component : P.components) {
    check_gaussians(function, P.components[0], component);
  }
}

}  // namespace detail

/// MW2 between P and Q. `solver(C, a, b)` returns a result with the members `plan` (K x L, dense or
/// sparse) and `status`, as monge::ot::exact does; C, a and b are dense. Throws
/// std::invalid_argument for shapes that do not fit and for what is not a mixture.
template <RealScalar S, class Solver>
[[nodiscard]] MixtureTransportResult<S> mixture_transport(GaussianMixture<S> const& P,
                                                          GaussianMixture<S> const& Q,
                                                          Solver&& solver) {
  detail::check_mixture("mixture_transport", P);
  detail::check_mixture("mixture_transport", Q);
  Index const n = P.weights.size(), m = Q.weights.size();
  MixtureTransportResult<S> result;
  result.cost.resize(n, m);
  for (Index l = 0; l < m; ++l) {
    for (Index k = 0; k < n; ++k) {
      S const d = wasserstein_distance(P.components[std::size_t(k)], Q.components[std::size_t(l)]);
      result.cost(k, l) = d * d;
    }
  }
  auto const coupling =
      std::forward<Solver>(solver)(std::as_const(result.cost), P.weights, Q.weights);
  monge::detail::require(coupling.plan.rows() == n && coupling.plan.cols() == m,
                         "mixture_transport: the mixtures have ", n, " and ", m,
                         " components but the solver's plan is ",
                         monge::detail::shape(coupling.plan));
  result.plan = MatrixX<S>(coupling.plan);
  result.status = coupling.status;
  result.distance = std::sqrt(std::max(result.cost.cwiseProduct(result.plan).sum(), S(0)));
  return monge::detail::certified(std::move(result));
}

/// The mixture at time t on the way of least effort from P (0) to Q (1): one component for each
/// positive entry of the plan.
template <RealScalar S>
[[nodiscard]] GaussianMixture<S> displacement(GaussianMixture<S> const& P,
                                              GaussianMixture<S> const& Q,
                                              MixtureTransportResult<S> const& transport,
                                              double t) {
  std::vector<S> weights;
  GaussianMixture<S> between;
  for (Index l = 0; l < transport.plan.cols(); ++l) {
    for (Index k = 0; k < transport.plan.rows(); ++k) {
      if (!(transport.plan(k, l) > 0)) continue;
      weights.push_back(transport.plan(k, l));
      between.components.push_back(
          displacement(P.components[std::size_t(k)], Q.components[std::size_t(l)], t));
    }
  }
  between.weights = Eigen::Map<VectorX<S> const>(weights.data(), Index(weights.size()));
  between.weights /= between.weights.sum();
  return between;
}

/// The mean of where a point of P goes, given the point (x, d x n columns):
///
///     T(x) = sum_kl w_kl p_k(x) T_kl(x) / sum_k a_k p_k(x)     [DD20, section 6.3]
///
/// with p_k the density of component k, whose covariance must be positive definite where a_k > 0.
/// It is the optimal map for single Gaussians, and carries P to Q only roughly otherwise.
template <RealScalar S, RealMatrixExpr X>
[[nodiscard]] MatrixX<S> mixture_map(GaussianMixture<S> const& P, GaussianMixture<S> const& Q,
                                     MixtureTransportResult<S> const& transport, X const& x) {
  detail::check_mixture("mixture_map", P);
  detail::check_mixture("mixture_map", Q);
  MatrixX<S> const points = x;
  Index const d = P.components[0].mean.size(), n = P.weights.size(), m = Q.weights.size();
  monge::detail::require(points.rows() == d, "mixture_map: the mixtures are of ", d,
                         " dimensions but the points are ", monge::detail::shape(points));
  monge::detail::require(transport.plan.rows() == n && transport.plan.cols() == m,
                         "mixture_map: the mixtures have ", n, " and ", m,
                         " components but the plan is ", monge::detail::shape(transport.plan));
  // log(a_k p_k(x)) up to a constant, and each point's largest, so that nothing underflows.
  MatrixX<S> logs = MatrixX<S>::Constant(n, points.cols(), -std::numeric_limits<S>::infinity());
  for (Index k = 0; k < n; ++k) {
    if (!(P.weights(k) > 0)) continue;
    auto const& component = P.components[std::size_t(k)];
    spectrum_t<MatrixX<S>> const s = detail::positive_spectrum(
        "mixture_map", detail::checked_symmetric("mixture_map", component.covariance), 0);
    detail::require_nonsingular("mixture_map", s);
    MatrixX<S> centred = points;
    centred.colwise() -= component.mean;
    MatrixX<S> const transposed = s.vectors.transpose();
    MatrixX<S> const inside = detail::product(transposed, centred);
    S const level = std::log(P.weights(k)) - s.values.array().log().sum() / 2;
    for (Index j = 0; j < points.cols(); ++j) {
      S distance = 0;
      for (Index i = 0; i < d; ++i) distance += inside(i, j) * inside(i, j) / s.values(i);
      logs(k, j) = level - distance / 2;
    }
  }
  VectorX<S> total = VectorX<S>::Zero(points.cols());
  for (Index j = 0; j < points.cols(); ++j) {
    S const largest = logs.col(j).maxCoeff();
    for (Index k = 0; k < n; ++k) logs(k, j) = std::exp(logs(k, j) - largest);
    total(j) = logs.col(j).sum();
  }
  MatrixX<S> mapped = MatrixX<S>::Zero(d, points.cols());
  for (Index l = 0; l < m; ++l) {
    for (Index k = 0; k < n; ++k) {
      if (!(transport.plan(k, l) > 0) || !(P.weights(k) > 0)) continue;
      MatrixX<S> const moved =
          optimal_map(P.components[std::size_t(k)], Q.components[std::size_t(l)])(points);
      S const share = transport.plan(k, l) / P.weights(k);
      for (Index j = 0; j < points.cols(); ++j) {
        mapped.col(j) += share * logs(k, j) / total(j) * moved.col(j);
      }
    }
  }
  return mapped;
}

}  // namespace monge::spd
