// SPDX-License-Identifier: MIT
/// @file
/// Control variates for the mean over directions: what a sliced distance can subtract from its
/// slices because the mean of it over the sphere is known.
///
/// Write w(theta) for W_p^p between the projections, m1, m2, S1, S2 for means and covariances of
/// the clouds, D = m1 - m2 and s_i = sqrt(theta' S_i theta). Directions theta_l with weights
/// omega_l estimate the mean of w by A = sum omega_l w_l. A control c with known mean E c makes of
/// it
///
///     Z = A - alpha sum_l omega_l (c_l - E c) .
///
///     control       c                                  E c                    alpha        for
///     centring      (theta . D)^2                      |D|^2 / d              1            p = 2
///     gaussian      (theta . D)^2 + (s1 - s2)^2        |D|^2 / d + E(s1-s2)^2 1            p = 2
///     lower_bound   (theta . D)^2                      |D|^2 / d              fitted       any p
///     upper_bound   (theta . D)^2 + s1^2 + s2^2        (|D|^2 + tr S1 + tr S2) / d  fitted any p
///
/// With alpha = 1 the estimate is unbiased if the directions are. `centring` is the distance
/// between centred clouds plus its exact share of the means; `gaussian` also takes away the
/// distance between the normal distributions of the projections' means and variances, a lower bound
/// of w that is attained by Gaussians: for them one direction gives the exact answer. Its mean
/// comes from detail/gaussian_slices.hpp.
///
/// lower_bound and upper_bound are those of [NH24], with their alpha = sum omega (w - A)(c - E c) /
/// (sum omega (c - E c)^2 + 1e-24) from the same directions, which makes a bias of order 1 / L.
///
/// `harmonic_weights` is spherical harmonics [LDP24]: the estimate is what a least squares fit of
/// even harmonics up to some degree says about the mean. This is a linear function of the slices:
/// the rule with least norm of all that are exact for polynomials of that degree. It depends on the
/// directions only, composes with every control above and can be used for many pairs of clouds. Its
/// bias is zero for such polynomials and of order 1 / L for others.
///
/// [NH24]  K. Nguyen, N. Ho, Sliced Wasserstein estimation with control variates, ICLR 2024.
/// [LDP24] R. Leluc, A. Dieuleveut, F. Portier, J. Segers, A. Zhuman, Sliced-Wasserstein estimation
///         with spherical harmonics as control variates, ICML 2024. Deviation: they take the Lasso
///         if there are fewer directions than harmonics; we refuse.
#pragma once

#include <cmath>
#include <string_view>
#include <vector>

#include <monge/core/require.hpp>
#include <monge/ot/directions.hpp>

namespace monge::ot {

/// What a sliced distance subtracts from its slices; see the table of this file.
enum class SlicedControl : unsigned char {
  automatic,    ///< p = 2 and at least ten directions: none, centring or gaussian, the first that
                ///< no other beats by more than chance in the same time; else none
  none,         ///< the plain mean
  centring,     ///< the exact share of the means
  gaussian,     ///< the exact share of means and covariances
  lower_bound,  ///< of [NH24]
  upper_bound,  ///< of [NH24]
};

namespace detail {

/// The number of monomials of degree `degree` in d variables; infinite if there are very many.
inline double count_monomials(Index d, int degree) {
  double count = 1;
  for (int k = 1; k <= degree; ++k) count = count * double(d - 1 + k) / double(k);
  return std::round(count);
}

/// A fit of all even polynomials of a degree to functions of directions.
struct HarmonicFit {
  VectorX<double> weights;  // L: the mean of the fit is weights . w
  MatrixX<double> basis;    // L x functions, orthonormal columns; empty: nothing is fitted
  VectorX<double> roots;    // L: square roots of the weights before

  [[nodiscard]] Index functions() const { return basis.cols(); }

  /// What the fit of w leaves.
  [[nodiscard]] VectorX<double> residual(VectorX<double> const& w) const {
    if (functions() == 0) return (w.array() - weights.dot(w)).matrix();
    VectorX<double> rest = w.cwiseProduct(roots);
    for (int pass = 0; pass < 2; ++pass) {
      for (Index j = 0; j < functions(); ++j) rest -= basis.col(j).dot(rest) * basis.col(j);
    }
    return rest.cwiseQuotient(roots);
  }
};

/// Fits homogeneous monomials of an even degree, which on the sphere span all even polynomials up
/// to it.
inline HarmonicFit fit_harmonics(std::string_view function, Directions const& set, int degree) {
  using monge::detail::require;
  Index const d = set.dimension(), L = set.count();
  HarmonicFit fit;
  fit.weights.resize(L);
  for (Index l = 0; l < L; ++l) fit.weights(l) = set.weight(l);
  require(degree >= 0 && degree % 2 == 0 && degree <= 40, function, ": harmonics is ", degree,
          "; it must be an even degree from 0 to 40");
  if (degree == 0) return fit;
  double const functions = count_monomials(d, degree);
  require(functions < double(L), function, ": harmonics is ", degree, ", which in d = ", d,
          " means ", functions, " functions, but there are ", L,
          " directions; take more directions or a lower degree");
  require(fit.weights.minCoeff() > 0, function,
          ": harmonics needs directions of positive weight; these are fitted already");
  fit.roots = fit.weights.cwiseSqrt();
  fit.basis.resize(L, Index(functions));
  VectorX<double> means(fit.basis.cols());
  std::vector<int> exponents(std::size_t(d), 0);
  exponents[0] = degree;
  double scale = 1;  // E theta^exponents = prod (exponent - 1)!! / (d (d + 2) ... )
  for (int k = 0; k < degree; k += 2) scale *= double(d + k);
  for (Index column = 0; column < fit.basis.cols(); ++column) {
    double mean = 1;
    fit.basis.col(column) = fit.roots;
    for (Index i = 0; i < d; ++i) {
      int const exponent = exponents[std::size_t(i)];
      if (exponent % 2) mean = 0;
      for (int k = exponent - 1; k > 1; k -= 2) mean *= double(k);
      for (int k = 0; k < exponent; ++k) {
        fit.basis.col(column).array() *= set.theta.row(i).transpose().array();
      }
    }
    means(column) = mean / scale;
    // The next exponents: one is taken from the last of the leading ones, all behind it gather.
    Index last = d - 2;
    while (last >= 0 && exponents[std::size_t(last)] == 0) --last;
    if (last < 0) continue;
    int const tail = exponents[std::size_t(d - 1)];
    --exponents[std::size_t(last)];
    exponents[std::size_t(d - 1)] = 0;
    exponents[std::size_t(last + 1)] = tail + 1;
  }
  // W^(1/2) Phi = Q R and R' x = means on the way: the rule is W^(1/2) Q x.
  VectorX<double> x(fit.basis.cols());
  for (Index j = 0; j < fit.basis.cols(); ++j) {
    double const before = fit.basis.col(j).norm();
    double sum = means(j);
    for (int pass = 0; pass < 2; ++pass) {
      for (Index k = 0; k < j; ++k) {
        double const r = fit.basis.col(k).dot(fit.basis.col(j));
        fit.basis.col(j) -= r * fit.basis.col(k);
        sum -= r * x(k);
      }
    }
    double const norm = fit.basis.col(j).norm();
    require(norm > 1e-10 * before, function, ": harmonics is ", degree, " but the ", L,
            " directions do not determine polynomials of that degree; take a lower one");
    fit.basis.col(j) /= norm;
    x(j) = sum / norm;
  }
  fit.weights.setZero();
  for (Index j = 0; j < fit.basis.cols(); ++j) fit.weights += x(j) * fit.basis.col(j);
  fit.weights = fit.weights.cwiseProduct(fit.roots);
  return fit;
}

}  // namespace detail

/// The directions with the weights of a fit of even spherical harmonics up to `degree`: exact for
/// polynomials of that degree, and of all such weights nearest to those before. They can be
/// negative, and depend on nothing but the directions: reuse them for many pairs of clouds. Needs
/// more directions than the C(d + degree - 1, degree) functions, better twice as many. Cost: O(L
/// functions^2).
[[nodiscard]] inline Directions harmonic_directions(Directions set, int degree) {
  monge::detail::require(set.count() > 0, "harmonic_directions: there are no directions");
  set.weights = detail::fit_harmonics("harmonic_directions", set, degree).weights;
  return set;
}

}  // namespace monge::ot
