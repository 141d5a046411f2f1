// SPDX-License-Identifier: MIT
/// @file
/// Functions of symmetric matrices, their derivatives, and linear matrix equations.
///
///     f(A) = U diag(f(l)) U'   for  A = U diag(l) U'
///
/// The derivative in the direction E is U (f[l_i, l_j] o U' E U) U' with the divided differences
/// f[x, y] = (f(x) - f(y)) / (x - y), f[x, x] = f'(x) (Ju. L. Daleckii, S. G. Krein 1951; see
/// N. J. Higham, Functions of Matrices, SIAM 2008, theorem 3.11). Each function has its own formula
/// for f[x, y] that does not cancel, so that close and equal eigenvalues need no special case. The
/// derivative is its own adjoint: if G is the gradient of a loss at f(A), then derivative(f, A, G)
/// is its gradient at A.
///
/// Positive matrices. `positive_spectrum` works on the Cholesky factor: its error is a relative
/// perturbation of size u within the scales of the diagonal, A + dA with |dA_ij| <= c n u
/// sqrt(A_ii A_jj). So if A is ill-conditioned because its variables have different units, even the
/// smallest eigenvalues keep all their digits; in any case the error is at most that of rounding
/// the entries of A. What is meant by "positive" is explicit: a negative eigenvalue within
/// rounding (8 n u max A_ii) is zero, one below that is refused; `floor` raises all eigenvalues
/// that are smaller than floor * max l to that. Functions that have no value at zero refuse
/// singular matrices unless there is a floor.
///
/// Cost: O(n^3), about 10 n^3 to 25 n^3 operations for a spectrum; memory a few n^2.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <string_view>

#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/spd/detail/jacobi.hpp>

namespace monge::spd {

/// A = vectors diag(values) vectors', values increasing. N is the size if it is known.
template <RealScalar S, int N = Eigen::Dynamic>
struct Spectrum {
  using Vector = Eigen::Matrix<S, N, 1>;
  using Matrix = Eigen::Matrix<S, N, N>;

  Vector values;   ///< n
  Matrix vectors;  ///< n x n, orthogonal
};

/// The type of the spectrum of an expression.
template <class A>
using spectrum_t = Spectrum<scalar_t<A>, detail::fixed_size<std::remove_cvref_t<A>>>;

/// sqrt(x), x >= 0.
struct square_root {
  template <class S>
  static S value(S x) {
    return std::sqrt(x);
  }
  template <class S>
  static S divided_difference(S x, S y) {
    return 1 / (std::sqrt(x) + std::sqrt(y));
  }
};

/// 1 / sqrt(x), x > 0.
struct inverse_square_root {
  template <class S>
  static S value(S x) {
    return 1 / std::sqrt(x);
  }
  template <class S>
  static S divided_difference(S x, S y) {
    S const a = std::sqrt(x), b = std::sqrt(y);
    return -1 / (a * b * (a + b));
  }
};

/// log(x), x > 0.
struct logarithm {
  template <class S>
  static S value(S x) {
    return std::log(x);
  }
  template <class S>
  static S divided_difference(S x, S y) {
    S const r = (x - y) / y;
    return r == 0 ? 1 / y : std::log1p(r) / (x - y);
  }
};

/// exp(x).
struct exponential {
  template <class S>
  static S value(S x) {
    return std::exp(x);
  }
  template <class S>
  static S divided_difference(S x, S y) {
    S const high = std::max(x, y), gap = std::abs(x - y);
    return std::exp(high) * (gap == 0 ? S(1) : -std::expm1(-gap) / gap);
  }
};

/// x^exponent; x >= 0 if the exponent is positive, else x > 0.
struct power_of {
  double exponent = 1;

  template <class S>
  S value(S x) const {
    return exponent == 1 ? x : std::pow(x, S(exponent));
  }
  template <class S>
  S divided_difference(S x, S y) const {
    S const p = S(exponent), high = std::max(x, y), r = (std::min(x, y) - high) / high;
    if (!(high > 0)) return p == 1 ? S(1) : p * std::pow(high, p - 1);
    S const quotient = r == 0 ? p : std::expm1(p * std::log1p(r)) / r;
    return std::pow(high, p - 1) * quotient;
  }
};

namespace detail {

/// Refuses what is not square, empty, not finite or not symmetric; keeps the symmetric part.
template <class Matrix>
void check_symmetric(std::string_view function, Matrix& X) {
  using S = typename Matrix::Scalar;
  using monge::detail::require;
  require(X.rows() == X.cols() && X.rows() > 0, function, ": the matrix is ",
          monge::detail::shape(X), "; it must be square with at least one row");
  require(X.allFinite(), function, ": the matrix has NaN or infinite entries");
  S largest = 0, off = 0;
  for (Index j = 0; j < X.cols(); ++j) {
    for (Index i = j; i < X.rows(); ++i) {
      largest = std::max(largest, std::abs(X(i, j)));
      off = std::max(off, std::abs(X(i, j) - X(j, i)));
    }
  }
  require(off <= std::sqrt(unit_roundoff<S>) * largest, function,
          ": the matrix is not symmetric, entries differ by ", off,
          "; pass (A + A') / 2 if it is meant to be");
  symmetrise(X);
}
template <RealMatrixExpr A>
square_t<A> checked_symmetric(std::string_view function, A const& matrix) {
  square_t<A> X;
  if constexpr (A::RowsAtCompileTime == A::ColsAtCompileTime) {
    X = matrix;
  } else {
    MatrixX<scalar_t<A>> const bound = matrix;
    monge::detail::require(bound.rows() == bound.cols(), function, ": the matrix is ",
                           monge::detail::shape(bound),
                           "; it must be square with at least one row");
    X = bound;
  }
  check_symmetric(function, X);
  return X;
}

template <class S>
void require_floor(std::string_view function, S floor) {
  monge::detail::require(floor >= 0 && floor < 1, function, ": floor is ", floor,
                         "; it is relative to the largest eigenvalue and must be in [0, 1)");
}

/// The spectrum of a symmetric matrix that is positive semidefinite up to rounding, or refusal.
template <class Matrix>
spectrum_t<Matrix> positive_spectrum(std::string_view function, Matrix A, double floor) {
  using S = typename Matrix::Scalar;
  require_floor(function, floor);
  Index const n = A.rows();
  spectrum_t<Matrix> spectrum;
  PositiveWork<Matrix> work;
  bool const positive = positive_eigen(A, spectrum.values, spectrum.vectors, work);
  monge::detail::require(positive, function,
                         ": the matrix is not positive semidefinite, beyond rounding error");
  spectrum.values = spectrum.values.cwiseMax(S(floor) * spectrum.values(n - 1));
  return spectrum;
}

template <class S, int N>
void require_nonsingular(std::string_view function, Spectrum<S, N> const& spectrum,
                         std::string_view remedy = "it must be positive definite") {
  monge::detail::require(spectrum.values(0) > 0, function,
                         ": the matrix is singular (its smallest eigenvalue is zero to rounding); ",
                         remedy);
}
inline constexpr std::string_view raise_it = "pass a floor such as 1e-12 to raise it";

}  // namespace detail

/// The spectrum of any symmetric matrix; errors are of the order u |A|. Throws
/// std::invalid_argument if A is not square, finite and symmetric up to sqrt(u) max |A_ij|; the
/// symmetric part is used.
template <RealMatrixExpr A>
[[nodiscard]] spectrum_t<A> spectrum(A const& matrix) {
  detail::square_t<A> X = detail::checked_symmetric("spectrum", matrix);
  spectrum_t<A> result;
  detail::EigenWork<typename spectrum_t<A>::Vector> work;
  result.vectors.resize(X.rows(), X.cols());
  detail::symmetric_eigen(X, result.values, result.vectors, work);
  return result;
}

/// The spectrum of a positive semidefinite matrix, with the accuracy and the treatment of small and
/// negative eigenvalues that the file comment states. `floor` is relative to the largest one.
template <RealMatrixExpr A>
[[nodiscard]] spectrum_t<A> positive_spectrum(A const& matrix, double floor = 0) {
  return detail::positive_spectrum("positive_spectrum",
                                   detail::checked_symmetric("positive_spectrum", matrix), floor);
}

namespace detail {

/// U diag(values) U'
template <class Matrix, class Vector>
Matrix rebuilt(Matrix const& U, Vector const& values) {
  Matrix scaled = U;
  for (Index j = 0; j < U.cols(); ++j) scaled.col(j) *= values(j);
  Matrix const transposed = U.transpose();
  Matrix result = product(scaled, transposed);
  symmetrise(result);
  return result;
}
/// U' X U
template <class Matrix>
Matrix to_basis(Matrix const& U, Matrix const& X) {
  Matrix const transposed = U.transpose(), half = product(X, U);
  return product(transposed, half);
}
/// U X U'
template <class Matrix>
Matrix from_basis(Matrix const& U, Matrix const& X) {
  Matrix const transposed = U.transpose(), half = product(U, X);
  return product(half, transposed);
}
/// The same for a symmetric X, kept symmetric.
template <class Matrix>
Matrix symmetric_from_basis(Matrix const& U, Matrix const& X) {
  Matrix result = from_basis(U, X);
  symmetrise(result);
  return result;
}
/// change(X_ij, i, j) for all entries.
template <class Matrix, class Change>
void for_each_entry(Matrix& X, Change const& change) {
  for (Index j = 0; j < X.cols(); ++j) {
    for (Index i = 0; i < X.rows(); ++i) change(X(i, j), i, j);
  }
}

/// E with derivative(f, A, E) = V.
template <class F, class S, int N>
Eigen::Matrix<S, N, N> inverse_derivative(F const& f, Spectrum<S, N> const& A,
                                          Eigen::Matrix<S, N, N> const& V) {
  Eigen::Matrix<S, N, N> inner = to_basis(A.vectors, V);
  for_each_entry(
      inner, [&](S& x, Index i, Index j) { x /= f.divided_difference(A.values(i), A.values(j)); });
  return symmetric_from_basis(A.vectors, inner);
}

}  // namespace detail

/// f(A) = U diag(f(l)) U' for one of the functions above, or anything with the same two members.
template <class F, RealScalar S, int N>
[[nodiscard]] Eigen::Matrix<S, N, N> evaluate(F const& f, Spectrum<S, N> const& A) {
  typename Spectrum<S, N>::Vector values = A.values;
  for (Index i = 0; i < values.size(); ++i) values(i) = f.value(values(i));
  return detail::rebuilt(A.vectors, values);
}

/// The derivative of f at A in the direction E (n x n, symmetric), which is also its adjoint.
template <class F, RealScalar S, int N, RealMatrixExpr E>
[[nodiscard]] Eigen::Matrix<S, N, N> derivative(F const& f, Spectrum<S, N> const& A, E const& e) {
  monge::detail::require(e.rows() == A.vectors.rows() && e.cols() == A.vectors.rows(),
                         "derivative: the matrix is ", monge::detail::shape(A.vectors),
                         " but the direction is ", monge::detail::shape(e));
  using Matrix = Eigen::Matrix<S, N, N>;
  Matrix inner = detail::to_basis(A.vectors, Matrix(e));
  detail::for_each_entry(
      inner, [&](S& x, Index i, Index j) { x *= f.divided_difference(A.values(i), A.values(j)); });
  return detail::symmetric_from_basis(A.vectors, inner);
}

/// The square root of a positive semidefinite matrix.
template <RealMatrixExpr A>
[[nodiscard]] detail::square_t<A> sqrt(A const& matrix, double floor = 0) {
  return evaluate(square_root{}, detail::positive_spectrum(
                                     "sqrt", detail::checked_symmetric("sqrt", matrix), floor));
}

/// The inverse of the square root of a positive definite matrix.
template <RealMatrixExpr A>
[[nodiscard]] detail::square_t<A> inverse_sqrt(A const& matrix, double floor = 0) {
  spectrum_t<A> const s = detail::positive_spectrum(
      "inverse_sqrt", detail::checked_symmetric("inverse_sqrt", matrix), floor);
  detail::require_nonsingular("inverse_sqrt", s, detail::raise_it);
  return evaluate(inverse_square_root{}, s);
}

/// The logarithm of a positive definite matrix.
template <RealMatrixExpr A>
[[nodiscard]] detail::square_t<A> log(A const& matrix, double floor = 0) {
  spectrum_t<A> const s =
      detail::positive_spectrum("log", detail::checked_symmetric("log", matrix), floor);
  detail::require_nonsingular("log", s, detail::raise_it);
  return evaluate(logarithm{}, s);
}

/// The exponential of a symmetric matrix.
template <RealMatrixExpr A>
[[nodiscard]] detail::square_t<A> exp(A const& matrix) {
  return evaluate(exponential{}, spectrum(matrix));
}

/// A to any real power; positive definite if the exponent is negative or zero, else semidefinite.
template <RealMatrixExpr A>
[[nodiscard]] detail::square_t<A> power(A const& matrix, double exponent, double floor = 0) {
  monge::detail::require(std::isfinite(exponent), "power: the exponent is ", exponent);
  spectrum_t<A> const s =
      detail::positive_spectrum("power", detail::checked_symmetric("power", matrix), floor);
  if (exponent <= 0) detail::require_nonsingular("power", s, detail::raise_it);
  return evaluate(power_of{exponent}, s);
}

/// Solves A X + X B = C for positive semidefinite A and B (given by their spectra) of which the
/// smallest eigenvalues do not add up to zero. C is n x m for A n x n and B m x m.
template <RealScalar S, int N, RealMatrixExpr C>
[[nodiscard]] Eigen::Matrix<S, N, N> sylvester(Spectrum<S, N> const& A, Spectrum<S, N> const& B,
                                               C const& c) {
  monge::detail::require(c.rows() == A.vectors.rows() && c.cols() == B.vectors.rows(),
                         "sylvester: A is ", monge::detail::shape(A.vectors), " and B is ",
                         monge::detail::shape(B.vectors), " but C is ", monge::detail::shape(c));
  monge::detail::require(A.values(0) + B.values(0) > 0,
                         "sylvester: the smallest eigenvalues of A and B add up to ",
                         A.values(0) + B.values(0), "; their sum must be positive");
  using Matrix = Eigen::Matrix<S, N, N>;
  Matrix const left = A.vectors.transpose(), right = B.vectors.transpose(), middle = c;
  Matrix work = detail::product(left, middle);
  Matrix X = detail::product(work, B.vectors);
  detail::for_each_entry(X, [&](S& x, Index i, Index j) { x /= A.values(i) + B.values(j); });
  detail::multiply(A.vectors, X, work);
  return detail::product(work, right);
}

/// Solves A X + X A = C for a positive definite A and a symmetric C.
template <RealMatrixExpr A, RealMatrixExpr C>
[[nodiscard]] detail::square_t<A> lyapunov(A const& matrix, C const& c) {
  spectrum_t<A> const s =
      detail::positive_spectrum("lyapunov", detail::checked_symmetric("lyapunov", matrix), 0);
  detail::require_nonsingular("lyapunov", s);
  detail::square_t<A> X = sylvester(s, s, c);
  detail::symmetrise(X);
  return X;
}

}  // namespace monge::spd
