// SPDX-License-Identifier: MIT
/// @file
/// The generalised Bures-Wasserstein geometry, in which a positive definite matrix M sets the
/// scale and the directions that count:
///
///     d_M(A, B)^2 = tr M^-1 A + tr M^-1 B - 2 tr (A M^-1 B M^-1)^1/2,
///     <U, V>_A = tr(L U) / 2 with A L M + M L A = U
///
/// It is bures_wasserstein of M^-1/2 A M^-1/2, and computed so. Cost: that of bures_wasserstein and
/// two congruences.
///
/// Source: A. Han, B. Mishra, P. Jawanpuria, J. Gao, Learning with symmetric positive definite
/// matrices via generalized Bures-Wasserstein geometry, GSI 2023.
#pragma once

#include <string_view>

#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/spd/bures_wasserstein.hpp>

namespace monge::spd {

namespace detail {

/// The chart of a metric that is Bures-Wasserstein behind a congruence X -> N^-1 X N'^-1.
template <class Matrix>
class CongruentChart {
  using S = typename Matrix::Scalar;

 public:
  struct Operand : BuresChart<Matrix>::Operand {};

  CongruentChart(std::string_view function, Matrix const& A, Matrix const& N, Matrix const& inverse,
                 Index steps)
      : point_(A), N_(N), inverse_(inverse), base_(function, apply(inverse, A), steps) {}

  [[nodiscard]] static Matrix apply(Matrix const& N, Matrix const& X) {
    Matrix const transposed = N.transpose();
    Matrix result = product(product(N, X), transposed);
    symmetrise(result);
    return result;
  }

  [[nodiscard]] Matrix const& point() const { return point_; }
  [[nodiscard]] Operand operand(std::string_view function, Matrix const& B) const {
    return {base_.operand(function, apply(inverse_, B))};
  }
  S distance(Operand const& B) { return base_.distance(B); }
  void add_log(Operand const& B, S weight, Matrix& V) {
    Matrix W = Matrix::Zero(V.rows(), V.cols());
    base_.add_log(B, weight, W);
    V += apply(N_, W);
  }
  void exp(Matrix const& V, Matrix& B) {
    base_.exp(apply(inverse_, V), B);
    B = apply(N_, B);
  }
  Matrix geodesic(Operand const& B, S t) { return apply(N_, base_.geodesic(B, t)); }
  Matrix transport(Operand const& B, Matrix const& V) {
    return apply(N_, base_.transport(B, apply(inverse_, V)));
  }
  S inner(Matrix const& U, Matrix const& V) {
    return base_.inner(apply(inverse_, U), apply(inverse_, V));
  }

 private:
  Matrix point_, N_, inverse_;
  BuresChart<Matrix> base_;
};

}  // namespace detail

/// The generalised Bures-Wasserstein metric: d_M(A, B) is the Bures-Wasserstein distance of
/// M^-1/2 A M^-1/2 and M^-1/2 B M^-1/2. M = I gives bures_wasserstein; M = A makes the inner
/// product at A a quarter of that of affine_invariant. `Matrix` is the plain type of M.
template <class Matrix>
class generalised_bures_wasserstein
    : public detail::MetricMembers<generalised_bures_wasserstein<Matrix>> {
 public:
  /// M is n x n, symmetric positive definite, else refused.
  explicit generalised_bures_wasserstein(Matrix const& M, Index transport_steps = 32)
      : base_(transport_steps), transport_steps_(transport_steps) {
    spectrum_t<Matrix> const s = positive_spectrum(M);
    detail::require_nonsingular("generalised_bures_wasserstein", s);
    root_ = evaluate(square_root{}, s);
    inverse_root_ = evaluate(inverse_square_root{}, s);
  }

  [[nodiscard]] bures_wasserstein const& base() const { return base_; }
  [[nodiscard]] Matrix to_base(Matrix const& A) const {
    return detail::CongruentChart<Matrix>::apply(inverse_root_, A);
  }
  [[nodiscard]] Matrix from_base(Matrix const& A) const {
    return detail::CongruentChart<Matrix>::apply(root_, A);
  }
  [[nodiscard]] auto chart_at(std::string_view function, Matrix const& A) const {
    monge::detail::require(A.rows() == root_.rows(), function, ": the metric's M is ",
                           monge::detail::shape(root_), " but a matrix is ",
                           monge::detail::shape(A));
    return detail::CongruentChart<Matrix>(function, A, root_, inverse_root_, transport_steps_);
  }

 private:
  bures_wasserstein base_;
  Index transport_steps_;
  Matrix root_, inverse_root_;
};

}  // namespace monge::spd
