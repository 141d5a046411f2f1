// SPDX-License-Identifier: MIT
/// @file
/// The Sinkhorn divergence: entropic transport without its bias, a smooth distance of measures.
///
/// Definition. With OT(a, b) the optimal regularised_cost of sinkhorn or, for a finite rho, of
/// sinkhorn_unbalanced with rho_a = rho_b = rho, and with m the masses,
///
///     S(a, b) = OT(a, b) - OT(a, a) / 2 - OT(b, b) / 2 + epsilon / 2 (sqrt m_a - sqrt m_b)^2.
///
/// If exp(-C / epsilon) is positive definite (|x - y|^p with p <= 2, the 1-norm), S >= 0 and S = 0
/// only for a = b. Proof: with the potentials of the two self terms in the dual of OT(a, b) the sum
/// is at least epsilon / 2 |A / sqrt m_a - B / sqrt m_b|^2 in the norm of that kernel, where
/// A = a exp(f / epsilon) and B likewise [S19, theorem 4, with our reference]. S lies between the
/// transport cost (epsilon -> 0) and half the squared MMD with the kernel -C (epsilon -> infinity).
///
/// The entropy is relative to a b' / sqrt(m_a m_b) as everywhere in this library, which makes S
/// homogeneous: S(t a, t b) = t S(a, b). [S19] and GeomLoss take a b' itself; then the last term is
/// epsilon / 2 (m_a - m_b)^2. The option product_reference does that. For masses of 1 both agree.
///
/// Method. One solve for the cross term; the self terms by a symmetric iteration with one potential
/// that needs about 16 reads at any epsilon (detail/self_potential.hpp), then certified by the
/// same solver. Values are those of the duals, whose errors are of second order.
///
/// Cost: that of sinkhorn, and for each self term three reads with exponentials and about 14
/// products with the kernel; O((n + m) d) memory and what kernel_bytes allows.
///
/// [GPC18] A. Genevay, G. Peyre, M. Cuturi, Learning generative models with Sinkhorn divergences,
///         AISTATS 2018. [FS19] J. Feydy et al., Interpolating between optimal transport and MMD
///         using Sinkhorn divergences, AISTATS 2019. [S19] T. Sejourne, J. Feydy, F.-X. Vialard,
///         A. Trouve, G. Peyre, Sinkhorn divergences for unbalanced optimal transport, 2019.
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
#include <monge/ot/detail/divergence_parts.hpp>
#include <monge/ot/detail/self_potential.hpp>
#include <monge/ot/position_gradient.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_unbalanced.hpp>

namespace monge::ot {

/// Tunables of sinkhorn_divergence.
struct SinkhornDivergenceOptions {
  /// Entropic strength in units of the cost; > 0, no default (0.05 * mean cost is a good start).
  std::optional<double> epsilon = {};
  /// Price of mass on either side, in units of the cost; > 0, infinite: masses must be equal.
  double rho = infinity;
  /// The entropy is relative to a b', not to a b' / sqrt(m_a m_b); matters only if rho is finite.
  bool product_reference = false;
  /// Bound on the marginal error of each of the three plans. Unset: 1e-9 (float: 1e-5), or the
  /// rounding error of the exponent, u max|C| / epsilon, if that is larger, up to a hundredth.
  std::optional<double> tolerance = {};
  Index max_iterations = 100'000;  ///< of each of the three solves
  double max_seconds = infinity;   ///< wall time of all three
  /// Memory for a stored kernel, of which there is one at a time; 0: the log domain throughout.
  /// Unset: the whole kernel, up to 256 MiB.
  std::optional<double> kernel_bytes = {};
  Parallel parallel = {};  ///< threads; the result does not depend on it
};

/// GeomLoss's `blur` as epsilon: its cost is |x - y|^p / p and its epsilon blur^p. Ours has no
/// 1 / p, so that epsilon, rho and the value are p times those of GeomLoss: 2 blur^2 with
/// squared_euclidean (GeomLoss's default p = 2 has half of it), blur with euclidean (p = 1).
[[nodiscard]] inline double epsilon_of_blur(double blur, double p = 2) {
  detail::require_positive("epsilon_of_blur", "blur", blur);
  detail::require_positive("epsilon_of_blur", "p", p);
  return p * std::pow(blur, p);
}

/// GeomLoss's `reach` as rho: p reach^p, for the reason given at epsilon_of_blur. Infinite stays.
[[nodiscard]] inline double rho_of_reach(double reach, double p = 2) {
  detail::require(reach > 0, "rho_of_reach: reach is ", reach, "; it must be positive");
  detail::require_positive("rho_of_reach", "p", p);
  return p * std::pow(reach, p);
}

/// One of the three transports; an EntropicSolution, so that plan, apply and the like take it.
template <RealScalar S>
struct DivergencePart {
  VectorX<S> f, g;     ///< potentials; equal to the tolerance in self terms
  VectorX<S> a, b;     ///< the weights that were used
  double epsilon = 0;  ///< the entropic strength that was used
  wide_t<S> transport_cost = 0, transported_mass = 0, regularised_cost = 0, dual_value = 0;
  double marginal_error = infinity;
  Status status = Status::not_run;
  Index iterations = 0;

  [[nodiscard]] auto numbers() const {
    return std::tie(f, g, a, b, transport_cost, transported_mass, regularised_cost, dual_value,
                    marginal_error);
  }
};

/// The answer of sinkhorn_divergence.
template <RealScalar S>
struct SinkhornDivergenceResult {
  wide_t<S> value = 0;             ///< S(a, b), from the duals
  DivergencePart<S> cross;         ///< a to b
  DivergencePart<S> self_a;        ///< a to a
  DivergencePart<S> self_b;        ///< b to b
  double rho = infinity;           ///< as given
  bool product_reference = false;  ///< as given
  double tolerance = 0;            ///< the tolerance that was used

  double marginal_error = infinity;  ///< the largest of the three
  Status status = Status::not_run;   ///< the worst of the three
  Index iterations = 0;              ///< of all three
  double seconds = 0;                ///< wall time

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const {
    return std::tuple_cat(std::tie(value, marginal_error), cross.numbers(), self_a.numbers(),
                          self_b.numbers());
  }
};

namespace detail {

inline constexpr std::string_view divergence_name = "sinkhorn_divergence";

/// Checks everything, fills in the tolerance, and solves.
template <CostOperator Cxy, CostOperator Cxx, CostOperator Cyy>
SinkhornDivergenceResult<scalar_t<Cxy>> solve_divergence(
    Cxy const& xy, Cxx const& xx, Cyy const& yy, VectorX<scalar_t<Cxy>> a, VectorX<scalar_t<Cxy>> b,
    SinkhornDivergenceOptions options, SinkhornDivergenceResult<scalar_t<Cxy>> const& start) {
  using S = scalar_t<Cxy>;
  Index const n = xy.rows(), m = xy.cols();
  require(xx.rows() == n && xx.cols() == n && yy.rows() == m && yy.cols() == m, divergence_name,
          ": the costs are ", shape(xy), ", ", shape(xx), " and ", shape(yy),
          "; they need the shapes n x m, n x n and m x m");
  require_limits(divergence_name, options.max_iterations, options.max_seconds);
  require(options.rho > 0, divergence_name, ": rho is ", options.rho,
          "; it must be positive, or infinite");
  if (options.rho == infinity) {
    balance<S>(divergence_name, shape(xy), a, b);
  } else {
    check_sizes(divergence_name, shape(xy), a, b);
    checked_mass<S>(divergence_name, "a", a);
    checked_mass<S>(divergence_name, "b", b);
  }
  Strength const strength =
      checked_strength(divergence_name, xy, options.epsilon, options.tolerance);
  options.tolerance = strength.tolerance;
  if (start.cross.f.size() > 0) {
    require(start.cross.f.size() == n && start.cross.g.size() == m, divergence_name,
            ": the start has ", start.cross.f.size(), " and ", start.cross.g.size(),
            " potentials but the cost is ", shape(xy), "; pass a result for as many points");
    require(start.cross.f.allFinite() && start.cross.g.allFinite() && start.self_a.f.allFinite() &&
                start.self_b.f.allFinite(),
            divergence_name, ": NaN or infinity in the start potentials");
  }
  return Divergence<SinkhornDivergenceResult<S>, SinkhornDivergenceOptions>(std::move(options))
      .solve(xy, xx, yy, a, b, start);
}

/// n equal weights of sum 1.
template <RealScalar S>
VectorX<S> equal_weights(Index n) {
  return VectorX<S>::Constant(n, S(1) / S(std::max<Index>(n, 1)));
}

template <class X, class Y, class F>
concept PointsAndCost = RealMatrixExpr<X> && MatrixLike<Y, X> && !MatrixExpr<F> &&
                        !std::convertible_to<F, SinkhornDivergenceOptions>;

}  // namespace detail

/// The Sinkhorn divergence between the points X (d x n) with weights a (n) and Y (d x m) with
/// weights b (m), for the cost functor c.
///
///     auto r = monge::ot::sinkhorn_divergence(X, Y, squared_euclidean{}, a, b, {.epsilon = 0.05});
///     r.value;
///
/// c: squared_euclidean, euclidean, p_norm, cosine or any symmetric callable on two columns; the
/// costs are not stored. Masses are equal to rounding unless rho is finite. `start`: an earlier
/// result for as many points, whose potentials are gone on from, as in a gradient flow. Converged
/// means that all three plans have a marginal_error <= tolerance; the value may then be below 0 by
/// rounding. Throws std::invalid_argument for misuse.
template <class X, class Y, class F, VectorLike<X> A, VectorLike<X> B>
  requires detail::PointsAndCost<X, Y, F>
[[nodiscard]] SinkhornDivergenceResult<scalar_t<X>> sinkhorn_divergence(
    X const& x, Y const& y, F c, A const& a, B const& b, SinkhornDivergenceOptions const& options,
    SinkhornDivergenceResult<scalar_t<X>> const& start = {}) {
  using S = scalar_t<X>;
  MatrixX<S> const xs = x, ys = y;
  auto const xy = point_cloud(xs, ys, c);
  detail::require(a.size() == xs.cols(), "sinkhorn_divergence: X has ", xs.cols(),
                  " points but a has ", a.size(), " entries; a needs one weight per point");
  detail::require(b.size() == ys.cols(), "sinkhorn_divergence: Y has ", ys.cols(),
                  " points but b has ", b.size(), " entries; b needs one weight per point");
  auto const xx = point_cloud(xs, xs, c), yy = point_cloud(ys, ys, c);
  detail::check_symmetric(detail::divergence_name, "points", xx, 32);
  auto const solve = [&](auto const& between, auto const& first, auto const& second) {
    return detail::solve_divergence(between, first, second, VectorX<S>(detail::as_column(a)),
                                    VectorX<S>(detail::as_column(b)), options, start);
  };
  if constexpr (SegmentCost<F, S>) {
    return solve(xy, xx, yy);
  } else {  // one solver for all functors that are called entry by entry
    using Erased = detail::ErasedCost<S>;
    return solve(Erased(xy), Erased(xx), Erased(yy));
  }
}

/// The same with equal weights, 1 / n and 1 / m.
template <class X, class Y, class F>
  requires detail::PointsAndCost<X, Y, F>
[[nodiscard]] SinkhornDivergenceResult<scalar_t<X>> sinkhorn_divergence(
    X const& x, Y const& y, F c, SinkhornDivergenceOptions const& options,
    SinkhornDivergenceResult<scalar_t<X>> const& start = {}) {
  using S = scalar_t<X>;
  return sinkhorn_divergence(x, y, std::move(c), detail::equal_weights<S>(x.cols()),
                             detail::equal_weights<S>(y.cols()), options, start);
}

/// The same for squared_euclidean.
///
///     double const s = sinkhorn_divergence(X, Y, {.epsilon = 0.05}).value;
template <RealMatrixExpr X, MatrixLike<X> Y>
[[nodiscard]] SinkhornDivergenceResult<scalar_t<X>> sinkhorn_divergence(
    X const& x, Y const& y, SinkhornDivergenceOptions const& options,
    SinkhornDivergenceResult<scalar_t<X>> const& start = {}) {
  return sinkhorn_divergence(x, y, squared_euclidean{}, options, start);
}

/// The same for squared_euclidean and weights.
template <RealMatrixExpr X, MatrixLike<X> Y, VectorLike<X> A, VectorLike<X> B>
[[nodiscard]] SinkhornDivergenceResult<scalar_t<X>> sinkhorn_divergence(
    X const& x, Y const& y, A const& a, B const& b, SinkhornDivergenceOptions const& options,
    SinkhornDivergenceResult<scalar_t<X>> const& start = {}) {
  return sinkhorn_divergence(x, y, squared_euclidean{}, a, b, options, start);
}

/// The same from costs: C_xy (n x m) between the two measures, C_xx (n x n) and C_yy (m x m) within
/// each, symmetric; matrices or cost operators.
template <Cost Cxy, Cost Cxx, Cost Cyy, VectorLike<Cxy> A, VectorLike<Cxy> B>
[[nodiscard]] SinkhornDivergenceResult<scalar_t<Cxy>> sinkhorn_divergence_of_costs(
    Cxy const& xy, Cxx const& xx, Cyy const& yy, A const& a, B const& b,
    SinkhornDivergenceOptions const& options,
    SinkhornDivergenceResult<scalar_t<Cxy>> const& start = {}) {
  using S = scalar_t<Cxy>;
  return detail::with_cost(xy, [&](auto const& between) {
    return detail::with_cost(xx, [&](auto const& first) {
      return detail::with_cost(yy, [&](auto const& second) {
        detail::check_symmetric(detail::divergence_name, "rows", first, first.rows());
        detail::check_symmetric(detail::divergence_name, "columns", second, second.rows());
        return detail::solve_divergence(between, first, second, VectorX<S>(detail::as_column(a)),
                                        VectorX<S>(detail::as_column(b)), options, start);
      });
    });
  });
}

/// The gradient of the divergence with respect to the points, by the envelope theorem (see
/// position_gradient.hpp): d x n and d x m. c is the cost of the solve.
///
///     auto r = sinkhorn_divergence(X, Y, c, a, b, {.epsilon = 0.05});
///     auto gradient = divergence_gradient(X, Y, c, r);
///
/// For a gradient flow of weighted points divide column i by a_i.
template <RealMatrixExpr X, MatrixLike<X> Y, class F>
[[nodiscard]] PositionGradient<scalar_t<X>> divergence_gradient(
    X const& x, Y const& y, F c, SinkhornDivergenceResult<scalar_t<X>> const& r) {
  using S = scalar_t<X>;
  PositionGradient<S> gradient = position_gradient(x, y, c, r.cross);
  PositionGradient<S> const within_x = position_gradient(x, x, c, r.self_a);
  PositionGradient<S> const within_y = position_gradient(y, y, c, r.self_b);
  gradient.X -= (within_x.X + within_x.Y) / S(2);
  gradient.Y -= (within_y.X + within_y.Y) / S(2);
  return gradient;
}

/// The same for squared_euclidean.
template <RealMatrixExpr X, MatrixLike<X> Y>
[[nodiscard]] PositionGradient<scalar_t<X>> divergence_gradient(
    X const& x, Y const& y, SinkhornDivergenceResult<scalar_t<X>> const& r) {
  return divergence_gradient(x, y, squared_euclidean{}, r);
}

/// The derivatives of the divergence with respect to the weights, zero weights included: the first
/// variations, f of the cross term less f of the self term if masses are equal. If rho is infinite
/// they hold along changes that keep the masses equal.
template <RealScalar S>
[[nodiscard]] WeightGradient<S> weight_gradient(SinkhornDivergenceResult<S> const& r) {
  using Wide = wide_t<S>;
  Wide const epsilon = Wide(r.cross.epsilon);
  detail::Price const price{r.rho};
  Wide const m_a = r.cross.a.template cast<Wide>().sum();
  Wide const m_b = r.cross.b.template cast<Wide>().sum();
  // d/da_i of OT(a, b) or OT(a, a) / 2, less what cancels in the sum. Potentials for the reference
  // a b' are those of the parts less half of epsilon log M.
  auto const slope = [&](Wide p, Wide M) {
    if (r.product_reference) p -= epsilon * std::log(M) / 2;
    return price.conjugate(p) - epsilon * price.kept(p);
  };
  Wide const M = std::sqrt(m_a) * std::sqrt(m_b);
  auto const side = [&](VectorX<S> const& p, DivergencePart<S> const& self, Wide own) {
    VectorX<S> gradient(p.size());
    Wide const through_mass =
        r.product_reference
            ? Wide(0)
            : epsilon * (r.cross.transported_mass - self.transported_mass) / (2 * own);
    for (Index i = 0; i < p.size(); ++i) {
      Wide const within = (slope(Wide(self.f(i)), own) + slope(Wide(self.g(i)), own)) / 2;
      gradient(i) = S(slope(Wide(p(i)), M) - within + through_mass);
    }
    return gradient;
  };
  return {side(r.cross.f, r.self_a, m_a), side(r.cross.g, r.self_b, m_b)};
}

}  // namespace monge::ot
