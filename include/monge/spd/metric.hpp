// SPDX-License-Identifier: MIT
/// @file
/// What all geometries of positive definite matrices have in common.
///
/// A metric is a value with members of the same names, so that code can take any of them:
///
///     metric.distance(A, B)        the length of the shortest path
///     metric.log(A, B)             the tangent V at A of the geodesic that reaches B at time 1
///     metric.exp(A, V)             where the geodesic with tangent V at A is at time 1
///     metric.geodesic(A, B, t)     the point at time t between A (0) and B (1)
///     metric.transport(A, B, V)    V, tangent at A, parallel transported along the geodesic to B
///     metric.inner(A, U, V)        the inner product of two tangents at A; norm(A, V) its root
///
/// All matrices are n x n and symmetric; fixed-size matrices give fixed-size results. Behind the
/// members stands `metric.chart(A)`, which knows the spectrum of A and answers many questions about
/// one point at the price of one decomposition. Misuse (shapes, NaN, matrices that are not
/// positive) throws std::invalid_argument.
///
/// `power_deformed` pulls any metric back by A -> A^theta.
#pragma once

#include <cmath>
#include <string_view>

#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/spd/functions.hpp>

namespace monge::spd {

namespace detail {

/// The symmetric matrix of an expression, of the size that `like` has.
template <class Matrix, RealMatrixExpr B>
Matrix matching(std::string_view function, Matrix const& like, B const& b) {
  static_assert(std::same_as<scalar_t<B>, typename Matrix::Scalar>,
                "all matrices need the same scalar");
  monge::detail::require(b.rows() == like.rows() && b.cols() == like.cols(), function,
                         ": the first matrix is ", monge::detail::shape(like),
                         " but another one is ", monge::detail::shape(b));
  Matrix X = b;
  check_symmetric(function, X);
  return X;
}

/// The members that every metric has, in terms of Derived::chart_at.
template <class Derived>
class MetricMembers {
 public:
  template <RealMatrixExpr A, RealMatrixExpr B>
  [[nodiscard]] scalar_t<A> distance(A const& a, B const& b) const {
    auto chart = at("distance", a);
    return chart.distance(operand(chart, "distance", b));
  }
  template <RealMatrixExpr A, RealMatrixExpr B>
  [[nodiscard]] square_t<A> log(A const& a, B const& b) const {
    auto chart = at("log", a);
    square_t<A> V = square_t<A>::Zero(a.rows(), a.cols());
    chart.add_log(operand(chart, "log", b), scalar_t<A>(1), V);
    return V;
  }
  template <RealMatrixExpr A, RealMatrixExpr V>
  [[nodiscard]] square_t<A> exp(A const& a, V const& v) const {
    auto chart = at("exp", a);
    square_t<A> const tangent = matching("exp", chart.point(), v);
    square_t<A> B(a.rows(), a.cols());
    chart.exp(tangent, B);
    return B;
  }
  template <RealMatrixExpr A, RealMatrixExpr B>
  [[nodiscard]] square_t<A> geodesic(A const& a, B const& b, double t) const {
    monge::detail::require(std::isfinite(t), "geodesic: t is ", t, "; it must be finite");
    auto chart = at("geodesic", a);
    return chart.geodesic(operand(chart, "geodesic", b), scalar_t<A>(t));
  }
  template <RealMatrixExpr A, RealMatrixExpr B, RealMatrixExpr V>
  [[nodiscard]] square_t<A> transport(A const& a, B const& b, V const& v) const {
    auto chart = at("transport", a);
    square_t<A> const tangent = matching("transport", chart.point(), v);
    return chart.transport(operand(chart, "transport", b), tangent);
  }
  template <RealMatrixExpr A, RealMatrixExpr U, RealMatrixExpr V>
  [[nodiscard]] scalar_t<A> inner(A const& a, U const& u, V const& v) const {
    auto chart = at("inner", a);
    return chart.inner(matching("inner", chart.point(), u), matching("inner", chart.point(), v));
  }
  template <RealMatrixExpr A, RealMatrixExpr V>
  [[nodiscard]] scalar_t<A> norm(A const& a, V const& v) const {
    using std::sqrt;
    return sqrt(inner(a, v, v));
  }
  /// The geometry seen from A.
  template <RealMatrixExpr A>
  [[nodiscard]] auto chart(A const& a) const {
    return at("chart", a);
  }

 private:
  template <class A>
  auto at(std::string_view function, A const& a) const {
    return static_cast<Derived const&>(*this).chart_at(function, checked_symmetric(function, a));
  }
  template <class Chart, class B>
  static auto operand(Chart const& chart, std::string_view function, B const& b) {
    return chart.operand(function, matching(function, chart.point(), b));
  }
};

/// A metric that is another one behind an invertible map of the matrices has `base()`, `to_base`
/// and `from_base`.
template <class Metric>
concept PulledBack = requires(Metric const& metric) { metric.base(); };

}  // namespace detail

/// A metric in the sense of the file comment.
template <class M>
concept Metric = requires(M const& metric, Eigen::MatrixXd const& A) {
  { metric.distance(A, A) } -> std::same_as<double>;
  { metric.log(A, A) } -> std::same_as<Eigen::MatrixXd>;
  { metric.exp(A, A) } -> std::same_as<Eigen::MatrixXd>;
  { metric.geodesic(A, A, 0.5) } -> std::same_as<Eigen::MatrixXd>;
  { metric.transport(A, A, A) } -> std::same_as<Eigen::MatrixXd>;
  { metric.inner(A, A, A) } -> std::same_as<double>;
};

namespace detail {

/// The chart of power_deformed: the base chart at A^theta and the derivative of the power at A.
template <class Matrix, class BaseMetric>
class PowerChart {
  using S = typename Matrix::Scalar;
  using BaseChart =
      decltype(std::declval<BaseMetric const&>().chart_at("", std::declval<Matrix const&>()));

 public:
  struct Operand {
    spectrum_t<Matrix> spectrum;
    typename BaseChart::Operand base;
  };

  PowerChart(std::string_view function, Matrix const& A, BaseMetric const& metric, double theta)
      : theta_(theta),
        point_(A),
        at_(positive(function, A)),
        base_(metric.chart_at(function, evaluate(power_of{theta}, at_))) {}

  [[nodiscard]] Matrix const& point() const { return point_; }
  [[nodiscard]] Operand operand(std::string_view function, Matrix const& B) const {
    spectrum_t<Matrix> spectrum = positive(function, B);
    Matrix const powered = evaluate(power_of{theta_}, spectrum);
    return {std::move(spectrum), base_.operand(function, powered)};
  }
  S distance(Operand const& B) { return base_.distance(B.base) / S(std::abs(theta_)); }
  void add_log(Operand const& B, S weight, Matrix& V) {
    Matrix W = Matrix::Zero(V.rows(), V.cols());
    base_.add_log(B.base, weight, W);
    V += from_base(at_, W);
  }
  void exp(Matrix const& V, Matrix& B) {
    base_.exp(to_base(at_, V), B);
    B = evaluate(power_of{1 / theta_}, positive("exp", B));
  }
  Matrix geodesic(Operand const& B, S t) {
    return evaluate(power_of{1 / theta_}, positive("geodesic", base_.geodesic(B.base, t)));
  }
  Matrix transport(Operand const& B, Matrix const& V) {
    return from_base(B.spectrum, base_.transport(B.base, to_base(at_, V)));
  }
  S inner(Matrix const& U, Matrix const& V) {
    return base_.inner(to_base(at_, U), to_base(at_, V)) / S(theta_ * theta_);
  }

 private:
  static spectrum_t<Matrix> positive(std::string_view function, Matrix const& A) {
    spectrum_t<Matrix> spectrum = positive_spectrum(function, A, 0);
    require_nonsingular(function, spectrum);
    return spectrum;
  }
  Matrix to_base(spectrum_t<Matrix> const& at, Matrix const& V) const {
    return derivative(power_of{theta_}, at, V);
  }
  Matrix from_base(spectrum_t<Matrix> const& at, Matrix const& V) const {
    return inverse_derivative(power_of{theta_}, at, V);
  }

  double theta_;
  Matrix point_;
  spectrum_t<Matrix> at_;
  BaseChart base_;
};

}  // namespace detail

/// The metric whose distance is base.distance(A^theta, B^theta) / |theta|, for positive definite
/// matrices. theta = 1 changes nothing; theta -> 0 tends to log_euclidean, whatever the base is
/// (Z. Thanwerdas, X. Pennec, The geometry of mixed-Euclidean metrics on symmetric positive
/// definite matrices, Differential Geometry and its Applications 81 (2022)).
template <class Base>
class power_deformed : public detail::MetricMembers<power_deformed<Base>> {
 public:
  /// Refuses a theta that is zero or not finite.
  power_deformed(Base base, double theta) : base_(std::move(base)), theta_(theta) {
    monge::detail::require(std::isfinite(theta) && theta != 0, "power_deformed: theta is ", theta,
                           "; it must be finite and not zero");
  }

  [[nodiscard]] Base const& base() const { return base_; }
  [[nodiscard]] double theta() const { return theta_; }
  template <class Matrix>
  [[nodiscard]] Matrix to_base(Matrix const& A) const {
    return power(A, theta_);
  }
  template <class Matrix>
  [[nodiscard]] Matrix from_base(Matrix const& A) const {
    return power(A, 1 / theta_);
  }
  template <class Matrix>
  [[nodiscard]] auto chart_at(std::string_view function, Matrix const& A) const {
    return detail::PowerChart<Matrix, Base>(function, A, base_, theta_);
  }

 private:
  Base base_;
  double theta_;
};

}  // namespace monge::spd
