// SPDX-License-Identifier: MIT
/// @file
/// The two maps of a batch normalisation layer in each geometry, with their adjoints: `centre`
/// takes matrices to tangents at the identity, by log at the mean B and transport; `place` takes
/// tangents from the identity to the bias W and along the geodesic there.
///
///     geometry             centre                                        place
///     affine_invariant     V = log(B^-1/2 X B^-1/2)                      W^1/2 exp(V) W^1/2
///     log_euclidean        V = log X - log B                             exp(log W + V)
///     bures_wasserstein    V = g(B) o H,  (I + H) B (I + H) = X          A W A,  A = I + V / g(W)
///
/// with (g(B) o H)_ij = (2 (b_i + b_j))^1/2 H_ij in the basis of B, and V / g(W) likewise: log, exp
/// and the transport between the identity and another point in one factor each.
///
/// The adjoint of `centre` goes through the mean if asked to. B solves F(B, X) = 0, so a gradient
/// at B becomes one at the X_i by a solve with the adjoint of dF/dB (implicit function theorem).
/// In both curved geometries that operator, in coordinates scaled by B^1/2, is a mean of Hadamard
/// products in the bases of the single matrices, symmetric and positive, so that conjugate
/// gradients serve: with c c' / (c + c') for bures_wasserstein (c^2 the eigenvalues of
/// B^1/2 X B^1/2) and (x/2) coth(x/2), x = log(e / e'), for affine_invariant (e those of
/// B^-1/2 X B^-1/2).
#pragma once

#include <cmath>
#include <vector>

#include <monge/core/types.hpp>
#include <monge/linalg/conjugate_gradient.hpp>
#include <monge/spd/affine_invariant.hpp>
#include <monge/spd/bures_wasserstein.hpp>
#include <monge/spd/functions.hpp>

namespace monge::spd::detail {

/// What `centre` leaves for its adjoint. basis, values and inside are in the basis of B.
template <class S>
struct Centred {
  Spectrum<S> mean;                  ///< of B
  std::vector<MatrixX<S>> tangents;  ///< V
  std::vector<MatrixX<S>> basis;
  std::vector<VectorX<S>> values;
  std::vector<MatrixX<S>> inside;
};

/// U (f o U' X U) U': the entry (i, j) in the basis is multiplied by f(i, j).
template <class Matrix, class F>
Matrix scaled_in_basis(Matrix const& U, Matrix const& X, F const& f) {
  Matrix inner = to_basis(U, X);
  for_each_entry(inner, [&](auto& x, Index i, Index j) { x *= f(i, j); });
  return from_basis(U, inner);
}

/// diag(d) X diag(d)
template <class Matrix, class Vector>
Matrix scaled_both(Vector const& d, Matrix const& X) {
  Matrix result = X;
  for_each_entry(result, [&](auto& x, Index i, Index j) { x *= d(i) * d(j); });
  return result;
}

/// The gradient at A (diagonal, eigenvalues a) of <G, k(A) o X>, where (k(A) o X)_ij = k(a_i, a_j)
/// X_ij in the basis of A for a symmetric k, and `slope(x, y, z)` = (k(x, z) - k(y, z)) / (x - y).
template <class Matrix, class Vector, class Slope>
Matrix kernel_gradient(Vector const& a, Matrix const& G, Matrix const& X, Slope const& slope) {
  Index const n = a.size();
  Matrix half(n, n);
  for (Index l = 0; l < n; ++l) {
    for (Index j = 0; j < n; ++j) {
      typename Matrix::Scalar sum = 0;
      for (Index k = 0; k < n; ++k) sum += G(j, k) * X(l, k) * slope(a(j), a(l), a(k));
      half(j, l) = sum;
    }
  }
  Matrix result = half + half.transpose();
  return result;
}

/// Solves (sum_i w K_i) y = b, where K_i multiplies by kernel(values_i) in basis_i, w = 1 / count;
/// `inverse(j, k)` approximates the inverse where K is diagonal.
template <class S, class Kernel, class Inverse>
MatrixX<S> solve_mean(Centred<S> const& c, MatrixX<S> const& b, Kernel const& kernel,
                      Inverse const& inverse, Status& status) {
  Index const n = b.rows();
  S const weight = 1 / S(c.basis.size());
  auto const apply = [&](VectorX<S> const& p, VectorX<S>& y) {
    MatrixX<S> const P = Eigen::Map<MatrixX<S> const>(p.data(), n, n);
    MatrixX<S> sum = MatrixX<S>::Zero(n, n);
    for (std::size_t i = 0; i < c.basis.size(); ++i) {
      VectorX<S> const& l = c.values[i];
      sum += weight *
             scaled_in_basis(c.basis[i], P, [&](Index j, Index k) { return kernel(l(j), l(k)); });
    }
    y = Eigen::Map<VectorX<S> const>(sum.data(), n * n);
  };
  auto const precondition = [&](VectorX<S> const& r, VectorX<S>& z) {
    z = r;
    for (Index k = 0; k < n; ++k) {
      for (Index j = 0; j < n; ++j) z(k * n + j) *= inverse(j, k);
    }
  };
  VectorX<S> const right = Eigen::Map<VectorX<S> const>(b.data(), n * n);
  auto const solution = linalg::conjugate_gradient(
      linalg::preconditioned(apply, precondition), right,
      {.relative_tolerance = 1e3 * double(unit_roundoff<S>), .max_iterations = 500});
  status = solution.status;
  MatrixX<S> y = Eigen::Map<MatrixX<S> const>(solution.x.data(), n, n);
  symmetrise(y);
  return y;
}

/// |x|.
struct absolute {
  template <class S>
  static S value(S x) {
    return std::abs(x);
  }
  template <class S>
  static S divided_difference(S x, S y) {
    return x * y > 0 || x == y ? (x >= 0 ? S(1) : S(-1)) : (std::abs(x) - std::abs(y)) / (x - y);
  }
};

/// bures_wasserstein. inside: H; values, basis: c and P with P diag(c) P' = (B^1/2 X B^1/2)^1/2.
template <class S>
struct BuresMaps {
  using Matrix = MatrixX<S>;
  static constexpr double norm_at_identity = 0.25;  ///< <V, V>_I = this |V|^2

  static void centre(std::vector<Matrix> const& X, Matrix const& B, Centred<S>& c) {
    BuresChart<Matrix> chart("batch normalisation", B);
    c.mean = chart.spectrum();
    VectorX<S> const& b = c.mean.values;
    for (std::size_t i = 0; i < X.size(); ++i) {
      chart.compare(chart.operand("batch normalisation", X[i]), c.inside[i], c.basis[i],
                    c.values[i]);
      Matrix V = c.inside[i];
      for_each_entry(V, [&](S& x, Index j, Index k) { x *= std::sqrt(2 * (b(j) + b(k))); });
      c.tangents[i] = symmetric_from_basis(c.mean.vectors, V);
    }
  }

  static Status centre_adjoint(Centred<S> const& c, std::vector<Matrix> const& gradients,
                               bool through_mean, std::vector<Matrix>& out) {
    VectorX<S> const& b = c.mean.values;
    VectorX<S> const root = b.cwiseSqrt(), inverse_root = root.cwiseInverse();
    Matrix const& U = c.mean.vectors;
    Matrix mean_gradient = Matrix::Zero(b.size(), b.size());
    std::vector<Matrix> inside(gradients.size());
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      Matrix const G = to_basis(U, gradients[i]);
      Matrix tau = G;  // B^-1/2 (g o G) B^-1/2
      for_each_entry(tau, [&](S& x, Index j, Index k) {
        x *= std::sqrt(2 * (b(j) + b(k))) * inverse_root(j) * inverse_root(k);
      });
      inside[i] = scaled_both(root, lyapunov(c, i, tau));
      if (through_mean) {
        Matrix T = c.inside[i];
        T.diagonal().array() += S(1);
        mean_gradient += kernel_gradient(b, G, c.inside[i], [](S x, S y, S z) {
          return 2 / (std::sqrt(2 * (x + z)) + std::sqrt(2 * (y + z)));
        });
        mean_gradient -= product(T, product(inside[i], T));
      }
    }
    Status status = Status::converged;
    if (through_mean) {
      symmetrise(mean_gradient);
      Matrix const y = solve_mean(
          c, scaled_both(root, mean_gradient), [](S x, S z) { return x * z / (x + z); },
          [&](Index j, Index k) { return (b(j) + b(k)) / (b(j) * b(k)); }, status);
      for (std::size_t i = 0; i < inside.size(); ++i) {
        inside[i] += scaled_both(root, lyapunov(c, i, y)) / S(inside.size());
      }
    }
    for (std::size_t i = 0; i < inside.size(); ++i) {
      out[i] = symmetric_from_basis(U, inside[i]);
    }
    return status;
  }

  /// log at the identity of exp at the identity, 2 |I + V / 2| - 2 I: V where exp is injective.
  static Matrix folded(Matrix const& V, std::vector<Spectrum<S>>& folds) {
    Matrix const I = Matrix::Identity(V.rows(), V.cols());
    folds.push_back(spectrum(Matrix(I + V / 2)));
    return 2 * evaluate(absolute{}, folds.back()) - 2 * I;
  }

  /// Y = A W A with A = I + V / g(W); true if A is positive definite, where log undoes this.
  static bool place(Spectrum<S> const& W, Matrix const& V, Matrix& Y) {
    Matrix A = step(W, V);
    Matrix root = A;
    for (Index k = 0; k < A.cols(); ++k) root.col(k) *= std::sqrt(W.values(k));
    Matrix const outside = product(W.vectors, root), transposed = outside.transpose();
    Y = product(outside, transposed);
    symmetrise(Y);
    VectorX<S> values;
    EigenWork<VectorX<S>> work;
    symmetric_eigen(A, values, root, work);
    return values(0) > 0;
  }
  /// `gradient` is that at Y; returns that at V and adds that at W.
  static Matrix place_adjoint(Spectrum<S> const& W, Matrix const& V, Matrix const& gradient,
                              Matrix& bias) {
    VectorX<S> const& w = W.values;
    Matrix const G = to_basis(W.vectors, gradient), A = step(W, V);
    Matrix const GA = product(G, A);
    Matrix L = GA;
    for (Index k = 0; k < L.cols(); ++k) L.col(k) *= w(k);
    L = (L + L.transpose()).eval();
    Matrix at_w = product(A, GA);
    at_w += kernel_gradient(w, L, to_basis(W.vectors, V), [](S x, S y, S z) {
      S const a = std::sqrt(2 * (x + z)), c = std::sqrt(2 * (y + z));
      return -2 / (a * c * (a + c));
    });
    bias += from_basis(W.vectors, at_w);
    for_each_entry(L, [&](S& x, Index j, Index k) { x /= std::sqrt(2 * (w(j) + w(k))); });
    return symmetric_from_basis(W.vectors, L);
  }

 private:
  static Matrix lyapunov(Centred<S> const& c, std::size_t i, Matrix const& X) {
    VectorX<S> const& l = c.values[i];
    return scaled_in_basis(c.basis[i], X, [&](Index j, Index k) { return 1 / (l(j) + l(k)); });
  }
  static Matrix step(Spectrum<S> const& W, Matrix const& V) {
    Matrix A = to_basis(W.vectors, V);
    for_each_entry(
        A, [&](S& x, Index j, Index k) { x /= std::sqrt(2 * (W.values(j) + W.values(k))); });
    A.diagonal().array() += S(1);
    return A;
  }
};

/// affine_invariant. values, basis: the eigenvalues e and vectors E of B^-1/2 X B^-1/2 in the basis
/// of B; inside: X in that basis.
template <class S>
struct AffineMaps {
  using Matrix = MatrixX<S>;
  static constexpr double norm_at_identity = 1;

  static void centre(std::vector<Matrix> const& X, Matrix const& B, Centred<S>& c) {
    c.mean = positive_spectrum("batch normalisation", B, 0);
    require_nonsingular("batch normalisation", c.mean);
    VectorX<S> const inverse_root = c.mean.values.cwiseSqrt().cwiseInverse();
    for (std::size_t i = 0; i < X.size(); ++i) {
      c.inside[i] = to_basis(c.mean.vectors, X[i]);
      symmetrise(c.inside[i]);
      Spectrum<S> s =
          positive_spectrum("batch normalisation", scaled_both(inverse_root, c.inside[i]), 0);
      require_nonsingular("batch normalisation", s);
      c.tangents[i] = symmetric_from_basis(c.mean.vectors, evaluate(logarithm{}, s));
      c.values[i] = std::move(s.values);
      c.basis[i] = std::move(s.vectors);
    }
  }

  static Status centre_adjoint(Centred<S> const& c, std::vector<Matrix> const& gradients,
                               bool through_mean, std::vector<Matrix>& out) {
    VectorX<S> const& b = c.mean.values;
    VectorX<S> const root = b.cwiseSqrt(), inverse_root = root.cwiseInverse();
    Matrix const& U = c.mean.vectors;
    Matrix mean_gradient = Matrix::Zero(b.size(), b.size());
    std::vector<Matrix> inside(gradients.size());
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      inside[i] = through_log(c, i, to_basis(U, gradients[i]));
      if (through_mean) {  // of N X N, with N = B^-1/2
        Matrix half = c.inside[i];
        for (Index k = 0; k < half.cols(); ++k) half.col(k) *= inverse_root(k);
        half = product(half, inside[i]);
        mean_gradient += half + half.transpose();
      }
    }
    Status status = Status::converged;
    if (through_mean) {
      for_each_entry(mean_gradient, [&](S& x, Index j, Index k) {
        x *= inverse_square_root::divided_difference(b(j), b(k));
      });
      symmetrise(mean_gradient);
      auto const spread = [](S x, S z) {
        S const half = (std::log(x) - std::log(z)) / 2;
        return std::abs(half) > S(1e-4) ? half / std::tanh(half) : S(1);
      };
      Matrix const y = solve_mean(
          c, scaled_both(root, mean_gradient), spread, [](Index, Index) { return S(1); }, status);
      for (std::size_t i = 0; i < inside.size(); ++i) {
        inside[i] += through_log(c, i, y) / S(inside.size());
      }
    }
    for (std::size_t i = 0; i < inside.size(); ++i) {
      out[i] = symmetric_from_basis(U, scaled_both(inverse_root, inside[i]));
    }
    return status;
  }

  static Matrix folded(Matrix const& V, std::vector<Spectrum<S>>&) { return V; }

  static bool place(Spectrum<S> const& W, Matrix const& V, Matrix& Y) {
    Matrix const root = evaluate(square_root{}, W);
    Spectrum<S> s = spectrum(V);
    for (Index i = 0; i < s.values.size(); ++i) s.vectors.col(i) *= std::exp(s.values(i) / 2);
    Matrix const half = product(root, s.vectors), transposed = half.transpose();
    Y = product(half, transposed);
    symmetrise(Y);
    return true;
  }
  static Matrix place_adjoint(Spectrum<S> const& W, Matrix const& V, Matrix const& gradient,
                              Matrix& bias) {
    Matrix const root = evaluate(square_root{}, W);
    Spectrum<S> const s = spectrum(V);
    Matrix const half = product(gradient, product(root, evaluate(exponential{}, s)));
    bias += derivative(square_root{}, W, Matrix(half + half.transpose()));
    return derivative(exponential{}, s, product(root, product(gradient, root)));
  }

 private:
  static Matrix through_log(Centred<S> const& c, std::size_t i, Matrix const& X) {
    VectorX<S> const& l = c.values[i];
    return scaled_in_basis(
        c.basis[i], X, [&](Index j, Index k) { return logarithm::divided_difference(l(j), l(k)); });
  }
};

/// log_euclidean. values, basis: the spectra of X.
template <class S>
struct LogMaps {
  using Matrix = MatrixX<S>;
  static constexpr double norm_at_identity = 1;

  static void centre(std::vector<Matrix> const& X, Matrix const& B, Centred<S>& c) {
    c.mean = positive_spectrum("batch normalisation", B, 0);
    require_nonsingular("batch normalisation", c.mean);
    Matrix const mean = evaluate(logarithm{}, c.mean);
    for (std::size_t i = 0; i < X.size(); ++i) {
      Spectrum<S> s = positive_spectrum("batch normalisation", X[i], 0);
      require_nonsingular("batch normalisation", s);
      c.tangents[i] = evaluate(logarithm{}, s) - mean;
      c.values[i] = std::move(s.values);
      c.basis[i] = std::move(s.vectors);
    }
  }

  static Status centre_adjoint(Centred<S> const& c, std::vector<Matrix> const& gradients,
                               bool through_mean, std::vector<Matrix>& out) {
    Matrix mean = Matrix::Zero(gradients[0].rows(), gradients[0].cols());
    for (Matrix const& G : gradients) mean += G / S(gradients.size());
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      Spectrum<S> const s{c.values[i], c.basis[i]};
      out[i] =
          derivative(logarithm{}, s, through_mean ? Matrix(gradients[i] - mean) : gradients[i]);
    }
    return Status::converged;
  }

  static Matrix folded(Matrix const& V, std::vector<Spectrum<S>>&) { return V; }

  static bool place(Spectrum<S> const& W, Matrix const& V, Matrix& Y) {
    Y = evaluate(exponential{}, spectrum(Matrix(evaluate(logarithm{}, W) + V)));
    return true;
  }
  static Matrix place_adjoint(Spectrum<S> const& W, Matrix const& V, Matrix const& gradient,
                              Matrix& bias) {
    Spectrum<S> const s = spectrum(Matrix(evaluate(logarithm{}, W) + V));
    Matrix const result = derivative(exponential{}, s, gradient);
    bias += derivative(logarithm{}, W, result);
    return result;
  }
};

}  // namespace monge::spd::detail
