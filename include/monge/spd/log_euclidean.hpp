// SPDX-License-Identifier: MIT
/// @file
/// The log-Euclidean geometry of positive definite matrices: that of their logarithms,
///
///     d(A, B) = |log A - log B|,   <U, V>_A = <Dlog_A U, Dlog_A V>
///
/// Flat, so that everything is in closed form. Distances err by u |log A|. Cost: O(n^3).
///
/// Source: V. Arsigny, P. Fillard, X. Pennec, N. Ayache, Geometric means in a novel vector space
/// structure on symmetric positive-definite matrices, SIAM J. Matrix Anal. Appl. 29 (2007) 328-347.
#pragma once

#include <cmath>
#include <string_view>

#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/spd/functions.hpp>
#include <monge/spd/metric.hpp>

namespace monge::spd {

namespace detail {

/// The log-Euclidean geometry seen from A.
template <class Matrix>
class LogChart {
  using S = typename Matrix::Scalar;

 public:
  struct Operand {
    Matrix log;
    spectrum_t<Matrix> spectrum;
  };

  LogChart(std::string_view function, Matrix const& A) : a_(A), at_(operand(function, A)) {}

  void move_to(Matrix const& A) {
    a_ = A;
    at_ = operand("log_euclidean", A);
  }

  [[nodiscard]] Matrix const& point() const { return a_; }
  [[nodiscard]] Operand operand(std::string_view function, Matrix const& B) const {
    spectrum_t<Matrix> spectrum = positive_spectrum(function, B, 0);
    require_nonsingular(function, spectrum);
    return {evaluate(logarithm{}, spectrum), std::move(spectrum)};
  }

  [[nodiscard]] S distance(Operand const& B) const { return (B.log - at_.log).norm(); }
  void add_log(Operand const& B, S weight, Matrix& V) const {
    V += weight * lifted(at_.spectrum, B.log - at_.log);
  }
  void exp(Matrix const& V, Matrix& B) const {
    B = exponential_of(at_.log + derivative(logarithm{}, at_.spectrum, V));
  }
  [[nodiscard]] Matrix geodesic(Operand const& B, S t) const {
    return exponential_of((1 - t) * at_.log + t * B.log);
  }
  [[nodiscard]] Matrix transport(Operand const& B, Matrix const& V) const {
    return lifted(B.spectrum, derivative(logarithm{}, at_.spectrum, V));
  }
  [[nodiscard]] S inner(Matrix const& V, Matrix const& W) const {
    return derivative(logarithm{}, at_.spectrum, V)
        .cwiseProduct(derivative(logarithm{}, at_.spectrum, W))
        .sum();
  }

  // What barycentres ask.
  void begin_mean() {}
  [[nodiscard]] S mean_step() const { return 1; }
  [[nodiscard]] S scale() const { return 1; }
  [[nodiscard]] S tangent_norm(Matrix const& V) const {
    return derivative(logarithm{}, at_.spectrum, V).norm();
  }
  [[nodiscard]] S rounding_floor() const {
    S const largest = at_.spectrum.values(at_.spectrum.values.size() - 1);
    return S(at_.spectrum.values.size()) * unit_roundoff<S> * largest / at_.spectrum.values(0);
  }

 private:
  /// The V with Dlog V = X.
  static Matrix lifted(spectrum_t<Matrix> const& at, Matrix const& X) {
    return inverse_derivative(logarithm{}, at, X);
  }
  static Matrix exponential_of(Matrix const& X) { return evaluate(exponential{}, spectrum(X)); }

  Matrix a_;
  Operand at_;
};

}  // namespace detail

/// The log-Euclidean metric of positive definite matrices. See metric.hpp for the members.
class log_euclidean : public detail::MetricMembers<log_euclidean> {
 public:
  template <class Matrix>
  [[nodiscard]] auto chart_at(std::string_view function, Matrix const& A) const {
    return detail::LogChart<Matrix>(function, A);
  }
};

}  // namespace monge::spd
