// SPDX-License-Identifier: MIT
/// @file
/// The Bures-Wasserstein geometry of covariances: the Wasserstein-2 geometry of centred Gaussians.
///
///     d(A, B)^2 = tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2 = min over orthogonal Q of |F - G Q|^2
///     for any factors F F' = A, G G' = B
///
/// Method. The difference of the traces loses half of the digits where A and B are close, so it is
/// not formed. With A = U diag(l) U', F = U diag(sqrt l), G a pivoted Cholesky factor of B and the
/// singular values F'G = P diag(c) Q', the optimal alignment leaves D = F P - G Q, and all answers
/// are products with D: d = |D|, log = -(D P'F' + F P D'), geodesics (F P - t D)(F P - t D)'. From
/// D'F P being symmetric follows, with V = B - A formed first, where close entries subtract
/// exactly,
///
///     (U'D)_ij = -(U'V F P)_ij / (l_i + c_j).
///
/// This quotient has an error relative to V and is what is taken where l_i + c_j > |V|; entries
/// with smaller denominators are subtracted from each other. So the distance of close matrices is
/// relatively accurate, that of distant and singular ones is as accurate as its definition allows.
///
/// Covariances may be singular for distance, log and geodesic; exp, inner and transport need a
/// positive definite point, as does the transport map from A.
///
/// Cost: O(n^3), two decompositions per pair. d is the W2 distance of Gaussians with equal means.
///
/// Sources: R. Bhatia, T. Jain, Y. Lim, On the Bures-Wasserstein distance between positive definite
/// matrices, Expositiones Mathematicae 37 (2019) 165-191 (distance, geodesic, exp, log). The
/// alignment without cancellation and the transport equation below are derived here.
#pragma once

#include <string_view>

#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/spd/detail/bures_chart.hpp>
#include <monge/spd/functions.hpp>
#include <monge/spd/metric.hpp>

namespace monge::spd {

/// The Bures-Wasserstein metric: <U, V>_A = tr(L U) / 2 with L A + A L = V. See metric.hpp for the
/// members. exp stays injective while I + L is positive definite. Transport between a multiple of
/// the identity and any matrix is in closed form; between others, for which none is known, it is
/// integrated in `transport_steps` steps of order four.
class bures_wasserstein : public detail::MetricMembers<bures_wasserstein> {
 public:
  explicit bures_wasserstein(Index transport_steps = 32) : transport_steps_(transport_steps) {
    monge::detail::require(transport_steps >= 1, "bures_wasserstein: transport_steps is ",
                           transport_steps, "; it must be at least 1");
  }
  template <class Matrix>
  [[nodiscard]] auto chart_at(std::string_view function, Matrix const& A) const {
    return detail::BuresChart<Matrix>(function, A, transport_steps_);
  }

 private:
  Index transport_steps_;
};

/// The Bures-Wasserstein distance of two covariances (n x n, positive semidefinite, may be
/// singular): the Wasserstein-2 distance between centred Gaussians, in units of a standard
/// deviation.
///
///     double d = monge::spd::bures_wasserstein_distance(A, B);
///
/// Accurate to a few u |A|^1/2, and relatively accurate where the eigenvalues of A exceed |B - A|.
/// Throws std::invalid_argument for shapes that differ, entries that are not finite, and matrices
/// that are not symmetric or have a negative eigenvalue beyond rounding.
template <RealMatrixExpr A, RealMatrixExpr B>
[[nodiscard]] scalar_t<A> bures_wasserstein_distance(A const& a, B const& b) {
  return bures_wasserstein{}.distance(a, b);
}

/// The optimal map between the centred Gaussians: the positive semidefinite T with T A T = B, for
/// a positive definite A.
template <RealMatrixExpr A, RealMatrixExpr B>
[[nodiscard]] detail::square_t<A> bures_wasserstein_map(A const& a, B const& b) {
  using Matrix = detail::square_t<A>;
  Matrix const first = detail::checked_symmetric("bures_wasserstein_map", a);
  detail::BuresChart<Matrix> chart("bures_wasserstein_map", first);
  return chart.map(
      chart.operand("bures_wasserstein_map", detail::matching("bures_wasserstein_map", first, b)));
}

}  // namespace monge::spd
