// SPDX-License-Identifier: MIT
/// @file
/// The mean over the sphere of the squared Wasserstein distance between slices of two centred
/// Gaussians, E (s1 - s2)^2 with s_i^2 = theta' S_i theta, and its derivatives.
///
/// With tau_i = tr S_i / d and S_i = tau_i C_i,
///
///     E (s1 - s2)^2 = (sqrt tau_1 - sqrt tau_2)^2 + 2 sqrt(tau_1 tau_2) H,
///     H = E h(theta' C_1 theta, theta' C_2 theta),   h(a, b) = (sqrt a - sqrt b)^2 / 2,
///
/// and H is what has no closed form. It is an integral of positive terms twice over. First,
///
///     h(a, b) = 1 / (2 pi) int_-1^1 (a - b)^2 sqrt(1 - x^2) / ((1 + x) a + (1 - x) b) dx,
///
/// since int_0^pi sin^2 / (u + v cos) = pi (u - sqrt(u^2 - v^2)) / v^2. Second, the mean of a ratio
/// of quadratic forms: for z standard normal, E_theta = E_z / d for functions of degree 2, and 1 /
/// q = int_0^infinity exp(-t q) dt leads to moments of the Gaussian of covariance M = (I + 2 t
/// Q)^-1, Q = (1 + x) C_1 + (1 - x) C_2, D = C_1 - C_2:
///
///     E_z (z'Dz)^2 / z'Qz = int_0^infinity det(M)^(1/2) [ (tr MD)^2 + 2 tr MDMD ] dt .
///
/// Both integrals are trapezoidal sums after a change of variable that makes them converge
/// geometrically: x = cos(phi) while s1 / s2 varies little over the sphere, x = tanh(v) else, even
/// if covariances are singular; t = exp(w). Because every term is positive and of second order in
/// D, H has a relative error of about 1e-9 and vanishes exactly for proportional covariances. In
/// the same way, with an extra factor that cancels nothing,
///
///     E (1 - s2' / s1') theta theta' / 2 = dH / dC_1,
///     (1 - sqrt(b / a)) / 2 = 1 / (2 pi) int_-1^1 (a - b) (1 + x) / Q / sqrt(1 - x^2) dx .
///
/// Cost: for d up to 32 some 15 to 120 diagonalisations, O(d^3) each, by Jacobi rotations that
/// start from the eigenvectors of the last node. Above, the mean of h over 1024 orthogonal
/// directions of their own: unbiased, O(d^2) each, and it says its standard error.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include <monge/core/random.hpp>
#include <monge/ot/detail/centred_cloud.hpp>
#include <monge/ot/detail/sliced_estimate.hpp>
#include <monge/ot/directions.hpp>

namespace monge::ot::detail {

/// The integrals above for two scaled covariances (d x d, d >= 2).
class ShapeDistance {
 public:
  double value = 0;                  ///< H
  MatrixX<double> slope_x, slope_y;  ///< dH / dC_1 and dH / dC_2

  ShapeDistance(MatrixX<double> const& C1, MatrixX<double> const& C2, bool slopes)
      : d_(C1.rows()), slopes_(slopes) {
    if (slopes) {
      slope_x.setZero(d_, d_);
      slope_y.setZero(d_, d_);
    }
    if ((C1 - C2).norm() <= 1e-15 * double(d_) * C1.norm()) return;
    start_ = {C1, C2, MatrixX<double>(), MatrixX<double>()};
    if (slopes) start_.V = MatrixX<double>::Identity(d_, d_);
    if (!by_angle()) by_logarithm();
    value /= double(d_);
    if (slopes) {
      slope_x /= double(d_);
      slope_y /= double(d_);
    }
  }

 private:
  /// C_1 and C_2 in a basis V, and Q, which is diagonal in it.
  struct Basis {
    MatrixX<double> A, B, V, Q;
  };

  /// x = cos(pi k / N), k = 1 .. N - 1: N doubles until the sum settles. It converges like
  /// rho^(-2N), rho = (s1 + s2) / |s1 - s2|, so that the last difference squared is left; false if
  /// it does not.
  bool by_angle() {
    double before = 0, last = 0;
    MatrixX<double> const zero = slope_x;
    for (int N = 8; N <= 32; N *= 2) {
      Basis basis = start_;
      double sum = 0;
      for (int k = N == 8 ? 0 : 1; k <= N; k += N == 8 ? 1 : 2) {
        bool const end = k == 0 || k == N;
        if (end && !slopes_) continue;
        double const half = std::numbers::pi * k / (2 * N);
        double const up = 2 * std::pow(std::cos(half), 2), down = 2 * std::pow(std::sin(half), 2);
        // 1 / (2 pi) dphi sin^2, and without the square of the sine for slopes.
        sum += node(basis, up, down, up * down, end ? 0.5 * up : up, end ? 0.5 * down : down);
      }
      value += sum;
      double const now = value / N;
      double const change = std::abs(now - last);
      // The second condition tells geometric from algebraic convergence.
      if (N > 8 && change < 1e-9 * now) {
        return finish(N);
      }
      if (N > 16 && change < 2e-5 * now && change < 0.02 * before) return finish(N);
      before = change;
      last = now;
    }
    value = 0;
    slope_x = slope_y = zero;
    return false;
  }
  bool finish(int N) {
    value /= 2 * N;
    if (slopes_) {
      slope_x /= 2 * N;
      slope_y /= 2 * N;
    }
    return true;
  }

  /// x = tanh(v) from v = 0 to both sides until nothing is added.
  void by_logarithm() {
    constexpr double h = 0.4;  // poles at distance pi / 2: exp(-pi^2 / h) = 2e-11
    for (int side : {1, -1}) {
      Basis basis = start_;
      for (int k = side > 0 ? 0 : 1; k < 75; ++k) {
        double const v = side * h * k, e = std::exp(-2 * std::abs(v));
        double const small = 2 * e / (1 + e), large = 2 / (1 + e);
        double const up = v >= 0 ? large : small, down = v >= 0 ? small : large;
        // dx = (1 - x^2) dv, (1 + x)(1 - x) = up down.
        double const root = std::sqrt(up * down), factor = h / (2 * std::numbers::pi);
        double const part = node(basis, up, down, factor * up * down * root, factor * root * up,
                                 factor * root * down);
        value += part;
        double const left = slopes_ ? root * large : 0;
        if (k > 8 && part < 1e-11 * value && left < 1e-10) break;
      }
    }
  }

  /// One node: returns factor E_z (z'Dz)^2 / z'Qz for Q = up C_1 + down C_2 and adds to the slopes.
  double node(Basis& basis, double up, double down, double factor, double factor_x,
              double factor_y) {
    basis.Q = up * basis.A + down * basis.B;
    diagonalise(basis);
    VectorX<double> const lambda = basis.Q.diagonal().cwiseMax(0.0);
    double const largest = lambda.maxCoeff();
    double smallest = largest;
    for (double const l : lambda) {
      if (l > 1e-18 * largest) smallest = std::min(smallest, l);
    }
    MatrixX<double> const delta = basis.A - basis.B;
    MatrixX<double> squares = delta.cwiseAbs2();
    constexpr double h = 0.6;  // poles at distance pi: d-fold, still exp(-2.1 pi / h) = 2e-10
    // Terms grow like t at first and fall like t^-2 or faster in the end.
    double const begin = -std::log(2 * largest) - 23, end = -std::log(2 * smallest) + 13;
    double sum = 0;
    VectorX<double> m(d_), row(d_);
    MatrixX<double> weights;
    if (slopes_) weights.setZero(d_, d_);
    double const step = std::exp(h);
    double t = std::exp(begin);
    for (double w = begin; w < end; w += h, t *= step) {
      double determinant = 1, trace = 0;
      for (Index i = 0; i < d_; ++i) {
        m(i) = 1 / (1 + 2 * t * lambda(i));
        determinant *= m(i);
        trace += m(i) * delta(i, i);
      }
      double const scale = h * t * std::sqrt(determinant);
      double pairs = 0;
      for (Index j = 0; j < d_; ++j) {
        double part = 0;
        for (Index i = 0; i < d_; ++i) part += squares(i, j) * m(i);
        pairs += part * m(j);
      }
      double const term = scale * (trace * trace + 2 * pairs);
      sum += term;
      if (slopes_) {  // E (z'Dz) z z' = tr(MD) M + 2 MDM
        for (Index j = 0; j < d_; ++j) {
          for (Index i = 0; i < d_; ++i) weights(i, j) += 2 * scale * m(i) * delta(i, j) * m(j);
          weights(j, j) += scale * trace * m(j);
        }
      } else if (term < 1e-13 * sum && 2 * t * smallest > 1) {
        break;
      }
    }
    if (slopes_) add_turned(basis.V, weights, factor_x, factor_y);
    return factor * sum;
  }

  /// Adds V W V' times the factors to the slopes.
  void add_turned(MatrixX<double> const& V, MatrixX<double> const& W, double factor_x,
                  double factor_y) {
    MatrixX<double> half = MatrixX<double>::Zero(d_, d_);  // V W
    for (Index j = 0; j < d_; ++j) {
      for (Index k = 0; k < d_; ++k) half.col(j) += W(k, j) * V.col(k);
    }
    for (Index k = 0; k < d_; ++k) {
      for (Index j = 0; j < d_; ++j) {
        slope_x.col(j) += (factor_x * V(j, k)) * half.col(k);
        slope_y.col(j) += (-factor_y * V(j, k)) * half.col(k);
      }
    }
  }

  /// Jacobi rotations until Q is diagonal, applied to all that is in the basis.
  static void diagonalise(Basis& basis) {
    constexpr double u = std::numeric_limits<double>::epsilon();
    MatrixX<double>& Q = basis.Q;
    Index const d = Q.rows();
    for (int sweep = 0; sweep < 40; ++sweep) {
      bool rotated = false;
      for (Index q = 1; q < d; ++q) {
        for (Index p = 0; p < q; ++p) {
          double const off = Q(p, q);
          if (std::abs(off) <= u * std::sqrt(std::abs(Q(p, p) * Q(q, q))) ||
              std::abs(off) < 1e-280) {
            continue;
          }
          rotated = true;
          double const ratio = (Q(q, q) - Q(p, p)) / (2 * off);
          double const tangent =
              std::copysign(1.0, ratio) / (std::abs(ratio) + std::sqrt(1 + ratio * ratio));
          double const c = 1 / std::sqrt(1 + tangent * tangent), s = tangent * c;
          turn(Q, p, q, c, s, true);
          turn(basis.A, p, q, c, s, true);
          turn(basis.B, p, q, c, s, true);
          if (basis.V.size() > 0) turn(basis.V, p, q, c, s, false);
          Q(p, q) = Q(q, p) = 0;
        }
      }
      if (!rotated) return;
    }
  }
  /// Columns, and rows if both sides are wanted, p and q by the rotation.
  static void turn(MatrixX<double>& X, Index p, Index q, double c, double s, bool both) {
    for (Index i = 0; i < X.rows(); ++i) {
      double const x = X(i, p), y = X(i, q);
      X(i, p) = c * x - s * y;
      X(i, q) = s * x + c * y;
    }
    if (!both) return;
    for (Index i = 0; i < X.cols(); ++i) {
      double const x = X(p, i), y = X(q, i);
      X(p, i) = c * x - s * y;
      X(q, i) = s * x + c * y;
    }
  }

  Index d_;
  bool slopes_;
  Basis start_;
};

/// Dimensions up to which the integrals are cheaper than directions of the same accuracy.
inline constexpr Index exact_gaussian_dimensions = 32;
inline constexpr Index gaussian_directions = 1024;

/// H and its derivatives from random directions; returns the standard error of H.
inline double sampled_shape_distance(MatrixX<double> const& C1, MatrixX<double> const& C2,
                                     RandomKey key, double& value, MatrixX<double>* slope_x,
                                     MatrixX<double>* slope_y) {
  Index const d = C1.rows();
  Index const blocks = (gaussian_directions + d - 1) / d, L = blocks * d;
  Directions const set = orthogonal(d, L, key);
  MatrixX<double> forms(L, 2);
  for (int i : {0, 1}) {
    MatrixX<double> const& C = i == 0 ? C1 : C2;
    CentredCloud<double> columns(C);
    columns.mean.setZero(d);
    columns.centre(columns.mean);
    VectorX<double> image(columns.row() * d);
    for (Index first = 0; first < L; first += d) {
      columns.project(set.theta.col(first).data(), d, 0, columns.panels(), image.data());
      for (Index l = 0; l < d; ++l) {
        forms(first + l, i) =
            std::max(0.0, set.theta.col(first + l).dot(image.segment(l * columns.row(), d)));
      }
    }
  }
  VectorX<double> means = VectorX<double>::Zero(blocks);
  VectorX<double> factors_x(L), factors_y(L);
  for (Index l = 0; l < L; ++l) {
    double const a = forms(l, 0), b = forms(l, 1);
    means(l / d) += std::pow(std::sqrt(a) - std::sqrt(b), 2) / (2 * double(d));
    factors_x(l) = a > 0 ? (1 - std::sqrt(b / a)) / (2 * double(L)) : 0;
    factors_y(l) = b > 0 ? (1 - std::sqrt(a / b)) / (2 * double(L)) : 0;
  }
  value = means.mean();
  if (slope_x) {
    add_outer_products(set.theta, factors_x, *slope_x);
    add_outer_products(set.theta, factors_y, *slope_y);
  }
  return (means.array() - value).matrix().norm() / std::sqrt(double(blocks) * double(blocks - 1));
}

/// E (s1 - s2)^2 for covariances S1 and S2 (d x d, positive semidefinite).
inline GaussianSliceMean gaussian_slice_mean(MatrixX<double> const& S1, MatrixX<double> const& S2,
                                             bool slopes, RandomKey key) {
  Index const d = S1.rows();
  double const t1 = S1.trace() / double(d), t2 = S2.trace() / double(d);
  double const r1 = std::sqrt(std::max(t1, 0.0)), r2 = std::sqrt(std::max(t2, 0.0));
  GaussianSliceMean g;
  g.mean = (r1 - r2) * (r1 - r2);
  MatrixX<double> const identity = MatrixX<double>::Identity(d, d) / double(d);
  if (slopes) {
    g.slope_x = (r1 > 0 ? 1 - r2 / r1 : 0) * identity;
    g.slope_y = (r2 > 0 ? 1 - r1 / r2 : 0) * identity;
  }
  if (d == 1 || !(r1 > 0) || !(r2 > 0)) return g;
  MatrixX<double> const C1 = S1 / t1, C2 = S2 / t2;
  double H = 0;
  MatrixX<double> slope_x, slope_y;
  if (d <= exact_gaussian_dimensions) {
    ShapeDistance distance(C1, C2, slopes);
    H = distance.value;
    slope_x.swap(distance.slope_x);
    slope_y.swap(distance.slope_y);
  } else {
    g.standard_error = 2 * r1 * r2 *
                       sampled_shape_distance(C1, C2, key, H, slopes ? &slope_x : nullptr,
                                              slopes ? &slope_y : nullptr);
  }
  g.mean += 2 * r1 * r2 * H;
  if (slopes) {  // d E (s1 - s2)^2 / dS1 = E (1 - s2 / s1) theta theta'
    g.slope_x += (2 * r2 / r1) * slope_x;
    g.slope_y += (2 * r1 / r2) * slope_y;
  }
  return g;
}

}  // namespace monge::ot::detail
