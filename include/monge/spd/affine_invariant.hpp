// SPDX-License-Identifier: MIT
/// @file
/// The affine-invariant geometry of positive definite matrices:
///
///     <U, V>_A = tr(A^-1 U A^-1 V),   d(A, B) = |log(A^-1/2 B A^-1/2)|
///
/// Unchanged by congruences A -> N A N' and by inversion; singular matrices are infinitely far.
///
/// Method. Any F with F F' = A serves as the root of A. With F^-1 G for a Cholesky factor G of B,
/// its singular values s and F^-1 B F'^-1 = J diag(s^2) J': log_A B = F J diag(2 log s) J'F', and
/// so on; s has small relative errors, however far B is. Where B is close to A, s^2 - 1 is taken
/// from F^-1 (B - A) F'^-1 instead, so that small distances are relatively accurate too.
///
/// Cost: O(n^3), two decompositions per pair.
///
/// Source: X. Pennec, P. Fillard, N. Ayache, A Riemannian framework for tensor computing,
/// International Journal of Computer Vision 66 (2006) 41-66. R. Bhatia, Positive Definite Matrices,
/// Princeton 2007, chapter 6.
#pragma once

#include <cmath>
#include <string_view>

#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/spd/functions.hpp>
#include <monge/spd/metric.hpp>

namespace monge::spd {

namespace detail {

/// The affine-invariant geometry seen from A = F F', F = U diag(sqrt l). "Inside" means F^-1 X
/// F'^-1.
template <class Matrix>
class AffineChart {
  using S = typename Matrix::Scalar;
  using Vector = Eigen::Matrix<S, Matrix::RowsAtCompileTime, 1>;

 public:
  struct Operand {
    Matrix B, G;  // B = G G'
  };

  AffineChart(std::string_view function, Matrix const& A)
      : a_(A), at_(positive_spectrum(function, A, 0)) {
    require_nonsingular(function, at_);
    finish_move();
  }

  /// Goes to another point, without allocations; if A is not positive, all answers are NaN.
  void move_to(Matrix const& A) {
    a_ = A;
    half_ = A;
    bool const positive = positive_eigen(half_, at_.values, at_.vectors, work_);
    if (!positive || !(at_.values(0) > 0)) at_.values.setConstant(S(not_a_number));
    finish_move();
  }

  [[nodiscard]] Matrix const& point() const { return a_; }
  [[nodiscard]] spectrum_t<Matrix> const& spectrum() const { return at_; }
  [[nodiscard]] Operand operand(std::string_view function, Matrix const& B) const {
    Operand result{B, B};
    Matrix scratch = B;
    Vector thresholds;
    Index const rank = pivoted_cholesky(scratch, result.G, thresholds);
    monge::detail::require(rank == B.rows(), function,
                           ": a matrix is not positive definite (to rounding)");
    return result;
  }

  S distance(Operand const& B) {
    compare(B);
    return logs_.norm();
  }
  void add_log(Operand const& B, S weight, Matrix& V) {
    compare(B);
    S const reach = logs_.maxCoeff() - logs_.minCoeff();
    curvature_ += weight * (reach > S(1e-4) ? reach / 2 / std::tanh(reach / 2) : S(1));
    inner_ = J_;
    for (Index j = 0; j < inner_.cols(); ++j) inner_.col(j) *= weight * logs_(j);
    half_ = J_.transpose();
    multiply(inner_, half_, other_);
    outside(other_);
    V += other_;
  }
  void exp(Matrix const& V, Matrix& B) {
    inside(V, inner_);
    symmetric_eigen(inner_, logs_, J_, work_.svd.eigen);
    power_outside(S(1), B);
  }
  Matrix geodesic(Operand const& B, S t) {
    compare(B);
    Matrix result(a_.rows(), a_.cols());
    power_outside(t, result);
    return result;
  }
  S inner(Matrix const& V, Matrix const& W) {
    inside(V, inner_);
    inside(W, other_);
    return inner_.cwiseProduct(other_).sum();
  }
  /// E V E' with E = (B A^-1)^1/2 = F (F^-1 B F'^-1)^1/2 F^-1.
  Matrix transport(Operand const& B, Matrix const& V) {
    compare(B);
    Matrix const root = rebuilt(J_, Vector((logs_ / 2).array().exp()));
    inside(V, inner_);
    other_ = product(root, product(inner_, root));
    outside(other_);
    return other_;
  }

  // What barycentres ask. The Hessian of half the mean square distance lies between 1 and the mean
  // of (r/2) coth(r/2), r being the range of the logs (derived from the derivative of log in
  // functions.hpp), so 2 / (1 + mean) is the best fixed step, as in D. A. Bini, B. Iannazzo,
  // Computing the Karcher mean of symmetric positive definite matrices, Linear Algebra and its
  // Applications 438 (2013) 1700-1710.
  void begin_mean() { curvature_ = 0; }
  [[nodiscard]] S mean_step() const { return 2 / (1 + curvature_); }
  [[nodiscard]] S scale() const { return 1; }
  S tangent_norm(Matrix const& V) {
    inside(V, inner_);
    return inner_.norm();
  }
  [[nodiscard]] S rounding_floor() const {
    S const largest = at_.values(at_.values.size() - 1), least = at_.values(0);
    return S(at_.values.size()) * unit_roundoff<S> * largest / least;
  }

 private:
  void finish_move() {
    Index const n = a_.rows();
    root_ = at_.values.cwiseSqrt();
    transposed_ = at_.vectors.transpose();
    half_.resize(n, n);
    inner_.resize(n, n);
    other_.resize(n, n);
    J_.resize(n, n);
  }
  /// logs = log of the eigenvalues of F^-1 B F'^-1, J their vectors.
  void compare(Operand const& B) {
    other_ = B.B;
    other_ -= a_;
    inside(other_, inner_);
    if (inner_.norm() < S(0.5)) {
      symmetrise(inner_);
      symmetric_eigen(inner_, logs_, J_, work_.svd.eigen);
      for (Index i = 0; i < logs_.size(); ++i) logs_(i) = std::log1p(logs_(i));
      return;
    }
    multiply(transposed_, B.G, J_);
    for (Index j = 0; j < J_.cols(); ++j) J_.col(j).array() /= root_.array();
    singular_values(J_, J_.cols(), logs_, work_.J, work_.svd);
    for (Index i = 0; i < logs_.size(); ++i) logs_(i) = 2 * std::log(logs_(i));
  }
  /// out = F^-1 V F'^-1
  void inside(Matrix const& V, Matrix& out) {
    multiply(transposed_, V, half_);
    multiply(half_, at_.vectors, out);
    for_each_entry(out, [&](S& x, Index i, Index j) { x /= root_(i) * root_(j); });
  }
  /// X <- F X F'
  void outside(Matrix& X) {
    for_each_entry(X, [&](S& x, Index i, Index j) { x *= root_(i) * root_(j); });
    multiply(at_.vectors, X, half_);
    multiply(half_, transposed_, X);
    symmetrise(X);
  }
  /// B = F J diag(exp(t logs)) J' F', as a square.
  void power_outside(S t, Matrix& B) {
    for (Index j = 0; j < J_.cols(); ++j) {
      J_.col(j).array() *= root_.array() * std::exp(t / 2 * logs_(j));
    }
    multiply(at_.vectors, J_, inner_);
    half_ = inner_.transpose();
    multiply(inner_, half_, B);
    symmetrise(B);
  }

  Matrix a_;
  spectrum_t<Matrix> at_;
  Vector root_, logs_;
  Matrix transposed_, half_, inner_, other_, J_;
  S curvature_ = 0;
  PositiveWork<Matrix> work_;
};

}  // namespace detail

/// The affine-invariant metric of positive definite matrices. See metric.hpp for the members.
class affine_invariant : public detail::MetricMembers<affine_invariant> {
 public:
  template <class Matrix>
  [[nodiscard]] auto chart_at(std::string_view function, Matrix const& A) const {
    return detail::AffineChart<Matrix>(function, A);
  }
};

}  // namespace monge::spd
