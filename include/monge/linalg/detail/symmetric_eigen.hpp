// SPDX-License-Identifier: MIT
/// @file
/// The eigenvalues and eigenvectors of a symmetric matrix: Householder's tridiagonalisation and
/// implicitly shifted QR (G. H. Golub, C. F. Van Loan, Matrix Computations, 4th ed., algorithms
/// 8.3.1 to 8.3.3). Ours because Eigen's solver takes four times as long to compile as all else
/// here together; it is as accurate, u |A|, and allocates nothing.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <monge/core/types.hpp>

namespace monge::linalg::detail {

/// Columns p and q of X turn: x <- cosine x - sine y, y <- sine x + cosine y.
template <class Matrix, class S>
void rotate(Matrix& X, Index p, Index q, S cosine, S sine) {
  S* const x = X.data() + p * X.rows();
  S* const y = X.data() + q * X.rows();
  for (Index i = 0; i < X.rows(); ++i) {
    S const xi = x[i], yi = y[i];
    x[i] = cosine * xi - sine * yi;
    y[i] = sine * xi + cosine * yi;
  }
}

/// A = Q T Q' with T tridiagonal: d its diagonal, e what is beside it (n - 1 entries are used).
/// A is destroyed; w is scratch.
template <class Matrix, class Vector>
void tridiagonalise(Matrix& A, Matrix& Q, Vector& d, Vector& e, Vector& w) {
  using S = typename Matrix::Scalar;
  Index const n = A.rows();
  for (Index k = 0; k + 2 < n; ++k) {
    Index const m = n - k - 1;
    auto v = A.col(k).tail(m);  // the reflector I - beta v v' replaces what it annihilates
    S const length = v.norm();
    d(k) = A(k, k);
    if (!(length * length > std::numeric_limits<S>::min())) {  // A has entries of size 1
      e(k) = 0;
      A(k, k) = 0;
      continue;
    }
    e(k) = v(0) > 0 ? -length : length;
    v(0) -= e(k);
    S const beta = 2 / v.squaredNorm();
    A(k, k) = beta;
    auto p = w.tail(m);
    p.setZero();
    for (Index j = 0; j < m; ++j) p += beta * v(j) * A.col(k + 1 + j).tail(m);
    p -= (beta / 2) * p.dot(v) * v;
    for (Index j = 0; j < m; ++j) A.col(k + 1 + j).tail(m) -= p(j) * v + v(j) * p;
  }
  for (Index k = std::max<Index>(n - 2, 0); k < n; ++k) d(k) = A(k, k);
  if (n > 1) e(n - 2) = A(n - 1, n - 2);
  Q.setIdentity(n, n);
  for (Index k = n - 3; k >= 0; --k) {
    Index const m = n - k - 1;
    auto v = A.col(k).tail(m);
    for (Index j = k + 1; j < n; ++j) {
      auto q = Q.col(j).tail(m);
      q -= A(k, k) * v.dot(q) * v;
    }
  }
}

/// Diagonalises the tridiagonal matrix by rotations, which multiply Q from the right.
template <class Matrix, class Vector>
void diagonalise(Vector& d, Vector& e, Matrix& Q) {
  using S = typename Matrix::Scalar;
  Index high = d.size() - 1;
  Index left = 60 * d.size();  // two steps per eigenvalue are usual
  while (high > 0 && left-- > 0) {
    auto const negligible = [&](Index i) {
      return std::abs(e(i)) <= unit_roundoff<S> * (std::abs(d(i)) + std::abs(d(i + 1)));
    };
    if (negligible(high - 1)) {
      --high;
      continue;
    }
    Index low = high - 1;
    while (low > 0 && !negligible(low - 1)) --low;
    // Wilkinson's shift: the eigenvalue of the last 2 x 2 block that is nearer to its last entry.
    S const half = (d(high - 1) - d(high)) / 2, b = e(high - 1);
    S const shift = d(high) - b * (b / (half + std::copysign(std::hypot(half, b), half)));
    S x = d(low) - shift, z = e(low);
    for (Index k = low; k < high; ++k) {
      S const r = std::hypot(x, z);
      S const c = r > 0 ? x / r : S(1), s = r > 0 ? z / r : S(0);
      if (k > low) e(k - 1) = r;
      S const a = d(k), t = e(k), q = d(k + 1);
      d(k) = c * c * a + 2 * c * s * t + s * s * q;
      d(k + 1) = s * s * a - 2 * c * s * t + c * c * q;
      e(k) = c * s * (q - a) + (c * c - s * s) * t;
      if (k + 1 < high) {
        x = e(k);
        z = s * e(k + 1);
        e(k + 1) *= c;
      }
      rotate(Q, k, k + 1, c, -s);
    }
  }
}

/// The working memory of `symmetric_eigen`.
template <class Vector>
struct EigenWork {
  Vector e, scratch;
};

/// A = Q diag(d) Q' with increasing d. A is destroyed.
template <class Matrix, class Vector>
void symmetric_eigen(Matrix& A, Vector& d, Matrix& Q, EigenWork<Vector>& work) {
  using S = typename Matrix::Scalar;
  Index const n = A.rows();
  d.resize(n);
  work.e.resize(n);
  work.scratch.resize(n);
  S const scale = A.cwiseAbs().maxCoeff();
  if (!(scale > 0)) {
    d.setZero();
    Q.setIdentity(n, n);
    return;
  }
  A /= scale;
  tridiagonalise(A, Q, d, work.e, work.scratch);
  diagonalise(d, work.e, Q);
  d *= scale;
  for (Index k = 0; k < n; ++k) {
    Index least = k;
    for (Index i = k + 1; i < n; ++i) {
      if (d(i) < d(least)) least = i;
    }
    if (least != k) {
      std::swap(d(k), d(least));
      Q.col(k).swap(Q.col(least));
    }
  }
}

}  // namespace monge::linalg::detail
