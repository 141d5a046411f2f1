// SPDX-License-Identifier: MIT
/// @file
/// The two kernels under everything in this room: a pivoted Cholesky factor and one-sided Jacobi.
///
/// Covariances are often ill-conditioned because their variables have different units. A = D C D
/// with D diagonal and C well-conditioned determines its eigenvalues to a relative error of about
/// u cond(C), however large cond(A) is (J. Demmel, K. Veselic, Jacobi's method is more accurate
/// than QR, SIAM J. Matrix Anal. Appl. 13 (1992) 1204-1245), and the Cholesky factor keeps them,
/// since its error lies within the scales D. Rotations from the right keep them too; a
/// tridiagonalisation of A does not: it errs by u |A|.
///
/// Large problems are first rotated by the eigenvectors of M'M. Any rotation
/// from the right is harmless, so this costs no accuracy, and Jacobi has little left to do.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

#include <monge/core/types.hpp>
#include <monge/linalg/detail/symmetric_eigen.hpp>

namespace monge::spd::detail {

using linalg::detail::EigenWork, linalg::detail::rotate, linalg::detail::symmetric_eigen;

/// The plain square type of an expression: of fixed size if any of its two sizes is fixed.
template <class T>
inline constexpr int fixed_size =
    int(T::RowsAtCompileTime) != Eigen::Dynamic ? int(T::RowsAtCompileTime)
                                                : int(T::ColsAtCompileTime);
template <class T>
using square_t = Eigen::Matrix<scalar_t<T>, fixed_size<T>, fixed_size<T>>;

/// out = X Y. All products of the room are this one, for each kind of product that Eigen has to
/// instantiate costs seconds of compile time; transposes are made first.
template <class Matrix>
void multiply(Matrix const& X, Matrix const& Y, Matrix& out) {
  out.noalias() = X * Y;
}
template <class Matrix>
Matrix product(Matrix const& X, Matrix const& Y) {
  Matrix out(X.rows(), Y.cols());
  multiply(X, Y, out);
  return out;
}

/// X <- (X + X') / 2 in place.
template <class Matrix>
void symmetrise(Matrix& X) {
  for (Index j = 0; j < X.cols(); ++j) {
    for (Index i = j + 1; i < X.rows(); ++i) {
      X(i, j) = X(j, i) = (X(i, j) + X(j, i)) / 2;
    }
  }
}

/// A = L L' for a positive semidefinite A (destroyed): columns of L in the order of the pivots, the
/// rows in place, columns from `rank` on zero. Returns the rank, or -1 if A is not positive
/// semidefinite. A pivot that is rounding error of its own diagonal entry counts as zero.
/// `thresholds` is scratch.
template <class Matrix, class Vector>
Index pivoted_cholesky(Matrix& A, Matrix& L, Vector& thresholds) {
  using S = typename Matrix::Scalar;
  Index const n = A.rows();
  S const noise = S(8 * n) * unit_roundoff<S>;
  S const largest = A.diagonal().cwiseAbs().maxCoeff();
  thresholds = noise * A.diagonal().cwiseAbs();
  auto const open = [&](Index i) { return thresholds(i) >= 0; };  // -1: the row is done
  L.setZero(n, n);
  Index rank = 0;
  for (Index step = 0; step < n; ++step) {
    Index pivot = -1;
    for (Index i = 0; i < n; ++i) {
      if (open(i) && (pivot < 0 || A(i, i) > A(pivot, pivot))) pivot = i;
    }
    bool const counts = A(pivot, pivot) > thresholds(pivot);
    thresholds(pivot) = -1;
    if (counts) {
      S const root = std::sqrt(A(pivot, pivot));
      L(pivot, rank) = root;
      for (Index i = 0; i < n; ++i) {
        if (open(i)) L(i, rank) = A(i, pivot) / root;
      }
      for (Index j = 0; j < n; ++j) {
        if (open(j)) A.col(j) -= L(j, rank) * L.col(rank);
      }
      ++rank;
    } else {
      // What is left of the row must be rounding error: a minor may be as negative as that.
      S const slack = noise * largest;
      if (A(pivot, pivot) < -slack) return -1;
      for (Index i = 0; i < n; ++i) {
        if (!open(i)) continue;
        S const bound = (std::max(A(i, i), S(0)) + slack) * (A(pivot, pivot) + 2 * slack);
        if (A(i, pivot) * A(i, pivot) > bound) return -1;
      }
    }
  }
  return rank;
}

/// Rotates the columns of M (n x r, r <= n) until they are orthogonal to working precision
/// relative to their own lengths: M <- M J with J orthogonal. The columns come out by decreasing
/// length. J starts as it is given and is multiplied too;
/// `squares` is scratch.
template <class Matrix, class Vector>
void orthogonalise_columns(Matrix& M, Index r, Matrix& J, Vector& squares) {
  using S = typename Matrix::Scalar;
  S const tolerance = std::sqrt(S(M.rows())) * unit_roundoff<S>;
  squares.setZero(M.cols());
  constexpr int most_sweeps = 40;  // convergence is quadratic; ten are rarely needed
  for (int sweep = 0; sweep < most_sweeps; ++sweep) {
    bool rotated = false;
    for (Index j = 0; j < r; ++j) squares(j) = M.col(j).squaredNorm();
    for (Index p = 0; p + 1 < r; ++p) {
      Index longest = p;
      for (Index q = p + 1; q < r; ++q) {
        if (squares(q) > squares(longest)) longest = q;
      }
      if (longest != p) {
        M.col(p).swap(M.col(longest));
        J.col(p).swap(J.col(longest));
        std::swap(squares(p), squares(longest));
      }
      for (Index q = p + 1; q < r; ++q) {
        S const product = M.col(p).dot(M.col(q));
        if (!(std::abs(product) > tolerance * std::sqrt(squares(p)) * std::sqrt(squares(q)))) {
          continue;
        }
        rotated = true;
        S const zeta = (squares(q) - squares(p)) / (2 * product);
        S const t = (zeta >= 0 ? S(1) : S(-1)) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
        S const cosine = 1 / std::sqrt(1 + t * t), sine = cosine * t;
        rotate(M, p, q, cosine, sine);
        rotate(J, p, q, cosine, sine);
        squares(p) -= t * product;
        squares(q) += t * product;
      }
    }
    if (!rotated) break;
  }
}

/// From this size on the eigenvectors of M'M are a good start for Jacobi's rotations.
inline constexpr int preconditioned_size = 12;

/// The working memory of `singular_values`, so that repeated calls allocate nothing.
template <class Matrix>
struct SvdWork {
  Matrix gram, product;
  Eigen::Matrix<typename Matrix::Scalar, Matrix::RowsAtCompileTime, 1> values;
  EigenWork<Eigen::Matrix<typename Matrix::Scalar, Matrix::RowsAtCompileTime, 1>> eigen;
};

/// M = Q diag(c) J', all n x n; only the first r columns of M may differ from zero. M is replaced
/// by Q, orthogonal (columns without length are completed); c decreases.
template <class Matrix, class Vector>
void singular_values(Matrix& M, Index r, Vector& c, Matrix& J, SvdWork<Matrix>& work) {
  using S = typename Matrix::Scalar;
  Index const n = M.rows();
  S const scale = M.cwiseAbs().maxCoeff();
  c.setZero(n);
  J.setIdentity(n, n);
  if (scale > 0) {
    M /= scale;  // squares of lengths neither overflow nor, where it matters, underflow
    if constexpr (Matrix::RowsAtCompileTime == Eigen::Dynamic ||
                  int(Matrix::RowsAtCompileTime) >= preconditioned_size) {
      if (r >= preconditioned_size && r == n) {
        work.product = M.transpose();
        multiply(work.product, M, work.gram);
        symmetric_eigen(work.gram, work.values, J, work.eigen);
        for (Index j = 0; j < n / 2; ++j) J.col(j).swap(J.col(n - 1 - j));  // longest column first
        multiply(M, J, work.product);
        M.swap(work.product);
      }
    }
    orthogonalise_columns(M, r, J, work.values);
  }
  Index full = 0;
  for (; full < r; ++full) {
    S const length = M.col(full).norm();
    if (!(length * length > std::numeric_limits<S>::min())) break;
    c(full) = length * scale;
    M.col(full) /= length;
  }
  for (Index k = full; k < n; ++k) {  // complete by the unit vector that is covered least
    Index least = 0;
    for (Index i = 1; i < n; ++i) {
      if (M.row(i).head(k).squaredNorm() < M.row(least).head(k).squaredNorm()) least = i;
    }
    M.col(k).setZero();
    M(least, k) = 1;
    for (int twice = 0; twice < 2; ++twice) {
      for (Index j = 0; j < k; ++j) {
        M.col(k) -= M.col(j).dot(M.col(k)) * M.col(j);
      }
    }
    M.col(k).normalize();
  }
}

/// The working memory of `positive_eigen`.
template <class Matrix>
struct PositiveWork {
  Matrix J;
  SvdWork<Matrix> svd;
};

/// A = U diag(values) U' with increasing values, for a positive semidefinite A (destroyed). False
/// if A is not.
template <class Matrix, class Vector>
bool positive_eigen(Matrix& A, Vector& values, Matrix& U, PositiveWork<Matrix>& work) {
  Index const n = A.rows(), rank = pivoted_cholesky(A, U, work.svd.values);
  if (rank < 0) return false;
  singular_values(U, rank, values, work.J, work.svd);
  for (Index j = 0; j < n / 2; ++j) {
    U.col(j).swap(U.col(n - 1 - j));
    std::swap(values(j), values(n - 1 - j));
  }
  values = values.cwiseAbs2();
  return true;
}

}  // namespace monge::spd::detail
