// SPDX-License-Identifier: MIT
/// @file
/// The Bures-Wasserstein geometry seen from one point. The formulas are in bures_wasserstein.hpp.
#pragma once

#include <cmath>
#include <string_view>

#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/spd/functions.hpp>

namespace monge::spd {

namespace detail {

/// The other matrix of a pair, B = G G'; the columns of G from `rank` on are zero.
template <class Matrix>
struct Factored {
  Matrix B, G;
  Index rank = 0;

  Factored() = default;
  Factored(std::string_view function, Matrix const& matrix) : B(matrix), G(matrix) {
    Matrix scratch = matrix;
    Eigen::Matrix<typename Matrix::Scalar, Matrix::RowsAtCompileTime, 1> thresholds;
    rank = pivoted_cholesky(scratch, G, thresholds);
    monge::detail::require(rank >= 0, function,
                           ": a matrix is not positive semidefinite, beyond rounding error");
  }
};

/// The Bures-Wasserstein geometry seen from A. After `align` D and P are those of the file comment,
/// in the basis U of A.
template <class Matrix>
class BuresChart {
  using S = typename Matrix::Scalar;
  using Vector = Eigen::Matrix<S, Matrix::RowsAtCompileTime, 1>;

 public:
  using Operand = Factored<Matrix>;

  BuresChart(std::string_view function, Matrix const& A, Index transport_steps = 32)
      : transport_steps_(transport_steps), a_(A), at_(positive_spectrum(function, A, 0)) {
    finish_move();
  }

  /// Goes to another point, without allocations; if A is not positive, all answers are NaN.
  void move_to(Matrix const& A) {
    a_ = A;
    half_ = A;
    bool const positive = positive_eigen(half_, at_.values, at_.vectors, positive_work_);
    if (!positive) at_.values.setConstant(S(not_a_number));
    finish_move();
  }

  [[nodiscard]] Matrix const& point() const { return a_; }
  [[nodiscard]] spectrum_t<Matrix> const& spectrum() const { return at_; }
  [[nodiscard]] Operand operand(std::string_view function, Matrix const& B) const {
    return {function, B};
  }

  S distance(Operand const& B) {
    align(B);
    return D_.norm();
  }
  /// In the basis U: H with (I + H) A (I + H) = B, and P diag(c) P' = (A^1/2 B A^1/2)^1/2.
  void compare(Operand const& B, Matrix& H, Matrix& P, Vector& c) {
    displacement_inside(B);
    H = inner_;
    P = P_;
    c = c_;
  }
  /// V += weight log_A(B)
  void add_log(Operand const& B, S weight, Matrix& V) {
    align(B);
    // S0 = -D P' diag(sqrt l) and its transpose, in the basis U.
    half_ = P_.transpose();
    multiply(D_, half_, inner_);
    for (Index j = 0; j < inner_.cols(); ++j) inner_.col(j) *= -weight * root_(j);
    for (Index j = 0; j < inner_.cols(); ++j) {
      for (Index i = 0; i <= j; ++i) inner_(i, j) = inner_(j, i) = inner_(i, j) + inner_(j, i);
    }
    add_outside(inner_, V);
  }
  /// B = (I + L) A (I + L) with L A + A L = V: a square of a factor, so never indefinite.
  void exp(Matrix const& V, Matrix& B) {
    require_nonsingular("exp", at_);
    lyapunov_inside(V, inner_);
    inner_.diagonal().array() += S(1);
    for (Index j = 0; j < inner_.cols(); ++j) inner_.col(j) *= root_(j);
    square_outside(inner_, B);
  }
  Matrix geodesic(Operand const& B, S t) {
    align(B);
    for (Index j = 0; j < inner_.cols(); ++j) {
      inner_.col(j) = root_.cwiseProduct(P_.col(j)) - t * D_.col(j);
    }
    Matrix result(a_.rows(), a_.cols());
    square_outside(inner_, result);
    return result;
  }
  S inner(Matrix const& V, Matrix const& W) {
    require_nonsingular("inner", at_);
    lyapunov_inside(V, inner_);
    Matrix const inside = to_basis(at_.vectors, W);
    return inner_.cwiseProduct(inside).sum() / 2;
  }
  /// T with T A T = B: the optimal map between the centred Gaussians is x -> T x.
  Matrix map(Operand const& B) {
    Matrix T = displacement(B);
    T.diagonal().array() += S(1);
    return T;
  }
  Matrix transport(Operand const& B, Matrix const& V) {
    require_nonsingular("transport", at_);
    if (is_multiple_of_identity(a_)) return scaled_outside(Factored<Matrix>(B), V, a_(0, 0), false);
    if (is_multiple_of_identity(B.B)) return scaled_outside(B, V, B.B(0, 0), true);
    return transport_by_steps(displacement(B), V);
  }

  // What barycentres ask: sum w log over many operands, the step along it, and the size of A.
  void begin_mean() {}
  [[nodiscard]] S mean_step() const { return 1; }
  [[nodiscard]] S scale() const { return std::sqrt(at_.values.sum()); }
  S tangent_norm(Matrix const& V) {
    lyapunov_inside(V, inner_);
    S sum = 0;  // tr(L A L)
    for (Index j = 0; j < inner_.cols(); ++j) sum += at_.values(j) * inner_.col(j).squaredNorm();
    return std::sqrt(sum);
  }
  /// u |A| in an entry of the mean of logs is this much of the norm above.
  [[nodiscard]] S rounding_floor() const {
    S const largest = at_.values(at_.values.size() - 1), least = at_.values(0);
    return S(at_.values.size()) * unit_roundoff<S> * std::sqrt(largest / least);
  }

 private:
  void finish_move() {
    Index const n = a_.rows();
    root_ = at_.values.cwiseSqrt();
    transposed_ = at_.vectors.transpose();
    half_.resize(n, n);
    inner_.resize(n, n);
    D_.resize(n, n);
    P_.resize(n, n);
    Q_.resize(n, n);
  }

  void align(Operand const& B) {
    Index const n = a_.rows();
    multiply(transposed_, B.G, inner_);  // U'G
    P_ = inner_;
    for (Index j = 0; j < n; ++j) P_.col(j).array() *= root_.array();
    singular_values(P_, B.rank, c_, Q_, svd_work_);
    half_ = B.B;
    half_ -= a_;
    S const apart = half_.norm();
    S const least = at_.values.minCoeff() + c_.minCoeff();
    if (!(least > apart)) {  // somewhere differences are needed: D = diag(sqrt l) P - U'G Q
      multiply(inner_, Q_, D_);
      for (Index j = 0; j < n; ++j) D_.col(j) = root_.cwiseProduct(P_.col(j)) - D_.col(j);
    }
    // quotients: -(U'V U diag(sqrt l) P)_ij / (l_i + c_j)
    multiply(transposed_, half_, inner_);
    multiply(inner_, at_.vectors, half_);
    for (Index j = 0; j < n; ++j) half_.col(j) *= root_(j);
    multiply(half_, P_, inner_);
    for (Index j = 0; j < n; ++j) {
      for (Index i = 0; i < n; ++i) {
        S const sum = at_.values(i) + c_(j);
        if (sum > apart) D_(i, j) = -inner_(i, j) / sum;
      }
    }
  }
  /// inner = U'HU with (I + H) A (I + H) = B.
  void displacement_inside(Operand const& B) {
    require_nonsingular("map", at_);
    align(B);
    half_ = P_.transpose();
    multiply(D_, half_, inner_);
    for (Index j = 0; j < inner_.cols(); ++j) inner_.col(j) /= -root_(j);
    symmetrise(inner_);
  }
  Matrix displacement(Operand const& B) {
    displacement_inside(B);
    return symmetric_from_basis(at_.vectors, inner_);
  }
  /// out = U'LU where L A + A L = V.
  void lyapunov_inside(Matrix const& V, Matrix& out) {
    multiply(transposed_, V, half_);
    multiply(half_, at_.vectors, out);
    for_each_entry(out, [&](S& x, Index i, Index j) { x /= at_.values(i) + at_.values(j); });
  }
  /// V += U X U'
  void add_outside(Matrix const& X, Matrix& V) {
    multiply(at_.vectors, X, half_);
    multiply(half_, transposed_, D_);
    symmetrise(D_);
    V += D_;
  }
  /// B = (U K)(U K)'
  void square_outside(Matrix const& K, Matrix& B) {
    multiply(at_.vectors, K, half_);
    D_ = half_.transpose();
    multiply(half_, D_, B);
    symmetrise(B);
  }

  static bool is_multiple_of_identity(Matrix const& X) {
    S const size = X(0, 0);
    return (X - size * Matrix::Identity(X.rows(), X.cols())).cwiseAbs().maxCoeff() <=
           4 * unit_roundoff<S> * std::abs(size);
  }
  /// Between s I and B, which commute: entries in the basis of the other matrix (B, or A when
  /// coming down from it) scale by sqrt((b_i + b_j) / 2 s) or its inverse.
  Matrix scaled_outside(Operand const& B, Matrix const& V, S size, bool down) {
    spectrum_t<Matrix> const b = down ? at_ : positive_spectrum("transport", B.B, 0);
    Matrix X = to_basis(b.vectors, V);
    for_each_entry(X, [&](S& x, Index i, Index j) {
      S const ratio = std::sqrt((b.values(i) + b.values(j)) / (2 * size));
      x = down ? x / ratio : x * ratio;
    });
    return symmetric_from_basis(b.vectors, X);
  }
  /// Any other pair. Along A_t = (I + t H) A (I + t H) write V = K A_t + A_t K. The lift of V to
  /// factors, K F_t, is horizontal; it is parallel if its derivative is vertical, F_t times a skew
  /// matrix. With G = H (I + t H)^-1 that is K' = -K G + Z, where in the basis of A_t, with
  /// eigenvalues a, Z_ij = a_i / (a_i + a_j) (K G - G K)_ij. Integrated by the classical
  /// Runge-Kutta method; the error falls like transport_steps^-4.
  Matrix transport_by_steps(Matrix const& H, Matrix const& V) {
    Index const n = a_.rows();
    S const step = S(1) / S(transport_steps_);
    Matrix const identity = Matrix::Identity(n, n);
    auto const slope = [&](S t, Matrix const& K) {
      Matrix const shift = identity + t * H;
      Matrix const middle = product(shift, product(a_, shift));
      spectrum_t<Matrix> const a = positive_spectrum("transport", middle, 0);
      Matrix const inverse = evaluate(power_of{-1}, positive_spectrum("transport", shift, 0));
      Matrix const G = product(H, inverse);
      Matrix const KG = product(K, G);
      Matrix const skew = KG - KG.transpose();
      Matrix Z = to_basis(a.vectors, skew);
      for_each_entry(
          Z, [&](S& z, Index i, Index j) { z *= a.values(i) / (a.values(i) + a.values(j)); });
      Matrix result = from_basis(a.vectors, Z) - KG;
      symmetrise(result);
      return result;
    };
    lyapunov_inside(V, inner_);
    Matrix K = from_basis(at_.vectors, inner_);
    for (Index k = 0; k < transport_steps_; ++k) {
      S const t = S(k) * step;
      Matrix const k1 = slope(t, K), k2 = slope(t + step / 2, K + step / 2 * k1);
      Matrix const k3 = slope(t + step / 2, K + step / 2 * k2), k4 = slope(t + step, K + step * k3);
      K += step / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
    }
    Matrix const shift = identity + H;
    Matrix const KB = product(K, product(shift, product(a_, shift)));
    return KB + KB.transpose();
  }

  Index transport_steps_;
  Matrix a_;
  spectrum_t<Matrix> at_;
  Vector root_, c_;
  Matrix transposed_, half_, inner_, D_, P_, Q_;
  SvdWork<Matrix> svd_work_;
  PositiveWork<Matrix> positive_work_;
};

}  // namespace detail

}  // namespace monge::spd
