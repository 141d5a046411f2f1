// SPDX-License-Identifier: MIT
/// @file
/// How a transport cost between point sets changes when the points move.
///
/// At an optimum the potentials do not matter to first order (the envelope theorem), so for
/// C_ij = c(x_i, y_j) the derivatives of the regularised cost are those of <C, P> with P held
/// fixed:
///
///     d/dx_i = sum_j P_ij d_x c(x_i, y_j),   d/dy_j = sum_i P_ij d_y c(x_i, y_j).
///
/// The same holds for every problem whose objective has C in it linearly, balanced or not: entropic
/// ones, and the exact one where its plan is unique (elsewhere this is a subgradient). With an
/// inexact solution the error is of the order of its marginal_error. The derivatives with respect
/// to the costs are `plan`, those with respect to the weights are the potentials.
///
/// Entropic: one read of the point cloud with n m exponentials, O(n m d); P is not formed. Exact:
/// O(nonzeros of the plan * d).
#pragma once

#include <cmath>
#include <concepts>
#include <utility>

#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/plan.hpp>

namespace monge::ot {

/// A gradient with respect to both point sets.
template <RealScalar S>
struct PositionGradient {
  MatrixX<S> X;  ///< d x n
  MatrixX<S> Y;  ///< d x m
};

/// A cost functor that brings its own derivatives, vectors of the points' dimension: d_x c(x, y)
/// and d_y c(x, y).
template <class F, class S>
concept GradientCost = requires(F const& c, VectorX<S> const& x, VectorX<S>& out) {
  out = c.gradient_x(x, x);
  out = c.gradient_y(x, x);
};

/// The result of an exact solver: a sparse `plan` (n x m), entry by entry.
template <class R>
concept SparsePlanSolution =
    requires(R const& r) { typename std::remove_cvref_t<decltype(r.plan)>::InnerIterator; };

namespace detail {

/// The derivatives of c(x, y) = phi(x - y) for a block of differences, Z (count x d), in place.
/// Where phi has a kink, 0 or a one-sided derivative.
template <RealScalar S>
void differentiate(squared_euclidean const&, Eigen::Ref<MatrixX<S>> Z) {
  Z *= S(2);
}
template <RealScalar S>
void differentiate(euclidean const&, Eigen::Ref<MatrixX<S>> Z) {
  for (Index i = 0; i < Z.rows(); ++i) {
    S const norm = Z.row(i).norm();
    if (norm > 0) Z.row(i) /= norm;
  }
}
template <RealScalar S>
void differentiate(p_norm const& c, Eigen::Ref<MatrixX<S>> Z) {
  if (c.p == 1) {
    Z = Z.cwiseSign();
    return;
  }
  if (c.p == 2) {
    differentiate<S>(euclidean{}, Z);
    return;
  }
  for (Index i = 0; i < Z.rows(); ++i) {
    Index widest = 0;
    S const largest = Z.row(i).cwiseAbs().maxCoeff(&widest);
    if (!(largest > 0)) continue;
    if (c.p == infinity) {
      S const sign = Z(i, widest) > 0 ? S(1) : S(-1);
      Z.row(i).setZero();
      Z(i, widest) = sign;
      continue;
    }
    Z.row(i) /= largest;  // no power overflows
    S const norm = S(std::pow(Z.row(i).array().abs().pow(S(c.p)).sum(), S(1 / c.p)));
    for (Index k = 0; k < Z.cols(); ++k) {
      S const power = std::pow(std::abs(Z(i, k)) / norm, S(c.p - 1));
      Z(i, k) = Z(i, k) > 0 ? power : Z(i, k) < 0 ? -power : S(0);
    }
  }
}

template <class F, class S>
concept DifferentiableDifference =
    requires(F const& c, MatrixX<S>& Z) { differentiate<S>(c, Eigen::Ref<MatrixX<S>>(Z)); };

/// sum_ij p_ij times the derivatives of c(x_i, y_j), for pair weights that come column by column.
template <RealScalar S, class F>
class PairGradient {
  static_assert(
      std::same_as<F, cosine> || DifferentiableDifference<F, S> || GradientCost<F, S>,
      "the cost functor has no derivative: give it gradient_x(x, y) and gradient_y(x, y)");

 public:
  PairGradient(MatrixX<S> X, MatrixX<S> Y, F c) : cost_(std::move(c)), Y_(std::move(Y)) {
    if constexpr (std::same_as<F, cosine>) {
      x_norms_ = X.colwise().norm().transpose();
      y_norms_ = Y_.colwise().norm().transpose();
      X = cost_.prepare(std::move(X));
      Y_ = cost_.prepare(std::move(Y_));
    }
    X_ = std::move(X);
    coordinates_ = X_.transpose();
    along_x_ = MatrixX<S>::Zero(X_.cols(), X_.rows());
    along_y_ = MatrixX<S>::Zero(Y_.rows(), Y_.cols());
    block_.resize(std::min(segment_width, X_.cols()), X_.rows());
  }

  /// The pairs (i, j) with the weights p (n).
  void add(Index j, VectorX<S> const& p) {
    if constexpr (std::same_as<F, cosine>) {
      along_x_.noalias() -= p * Y_.col(j).transpose();
      along_y_.col(j).noalias() -= X_ * p;
    } else if constexpr (DifferentiableDifference<F, S>) {
      for (Index first = 0; first < p.size(); first += segment_width) {
        Index const count = std::min(segment_width, p.size() - first);
        auto Z = block_.topRows(count);
        Z = coordinates_.middleRows(first, count).rowwise() - Y_.col(j).transpose();
        differentiate<S>(cost_, Z);
        Z.array().colwise() *= p.segment(first, count).array();
        along_x_.middleRows(first, count) += Z;
        along_y_.col(j) -= Z.colwise().sum().transpose();
      }
    } else {
      for (Index i = 0; i < p.size(); ++i) {
        if (p(i) != 0) add(i, j, p(i));
      }
    }
  }

  /// The pair (i, j) with the weight p.
  void add(Index i, Index j, S p) {
    if constexpr (std::same_as<F, cosine>) {
      along_x_.row(i) -= p * Y_.col(j).transpose();
      along_y_.col(j) -= p * X_.col(i);
    } else if constexpr (DifferentiableDifference<F, S>) {
      auto Z = block_.topRows(1);
      Z = coordinates_.row(i) - Y_.col(j).transpose();
      differentiate<S>(cost_, Z);
      along_x_.row(i) += p * Z;
      along_y_.col(j) -= p * Z.transpose();
    } else {
      along_x_.row(i) += p * VectorX<S>(cost_.gradient_x(X_.col(i), Y_.col(j))).transpose();
      along_y_.col(j) += p * VectorX<S>(cost_.gradient_y(X_.col(i), Y_.col(j)));
    }
  }

  [[nodiscard]] PositionGradient<S> result() const {
    PositionGradient<S> r{along_x_.transpose(), along_y_};
    if constexpr (std::same_as<F, cosine>) {  // the cost depends on the directions only
      make_tangent(r.X, X_, x_norms_);
      make_tangent(r.Y, Y_, y_norms_);
    }
    return r;
  }

 private:
  /// The derivative of a function of x / |x|, from that with respect to the unit vector.
  static void make_tangent(MatrixX<S>& gradient, MatrixX<S> const& units, VectorX<S> const& norms) {
    for (Index i = 0; i < norms.size(); ++i) {
      if (norms(i) > 0) {
        S const radial = units.col(i).dot(gradient.col(i));
        gradient.col(i) = (gradient.col(i) - radial * units.col(i)) / norms(i);
      } else {
        gradient.col(i).setZero();
      }
    }
  }

  F cost_;
  MatrixX<S> X_, Y_;        // d x n, d x m
  MatrixX<S> coordinates_;  // n x d
  MatrixX<S> along_x_;      // n x d
  MatrixX<S> along_y_;      // d x m
  MatrixX<S> block_;        // at most segment_width x d
  VectorX<S> x_norms_, y_norms_;
};

/// The sum for pair weights columns.column(j, p).
template <RealScalar S, class F, class Columns>
PositionGradient<S> pair_gradient(MatrixX<S> X, MatrixX<S> Y, F c, Columns& columns) {
  VectorX<S> p(X.cols());
  Index const m = Y.cols();
  PairGradient<S, F> sum(std::move(X), std::move(Y), std::move(c));
  for (Index j = 0; j < m; ++j) {
    columns.column(j, p);
    sum.add(j, p);
  }
  return sum.result();
}

}  // namespace detail

/// The gradient of the regularised cost of r with respect to the points, for a problem that was
/// solved with point_cloud(X, Y, c) or cost_matrix(X, Y, c).
///
///     auto r = sinkhorn(point_cloud(X, Y, squared_euclidean{}), a, b, {.epsilon = 0.05});
///     auto gradient = position_gradient(X, Y, squared_euclidean{}, r);   // .X is d x n, .Y d x m
///
/// c: squared_euclidean, euclidean, p_norm, cosine, or a functor with gradient_x(x, y) and
/// gradient_y(x, y). At kinks of c (coinciding points under a norm, say) the derivative is taken as
/// 0, or one-sided. Points without weight have a gradient of 0.
template <RealMatrixExpr X, MatrixLike<X> Y, class F, EntropicSolution R>
[[nodiscard]] PositionGradient<scalar_t<X>> position_gradient(X const& x, Y const& y, F c,
                                                              R const& r) {
  using S = scalar_t<X>;
  return detail::with_plan(point_cloud(x, y, c), r, [&](auto& columns) {
    return detail::pair_gradient<S>(MatrixX<S>(x), MatrixX<S>(y), std::move(c), columns);
  });
}

/// The same of the transport cost of an exact result, r = exact(point_cloud(X, Y, c), a, b) or of
/// its cost matrix.
template <RealMatrixExpr X, MatrixLike<X> Y, class F, SparsePlanSolution R>
[[nodiscard]] PositionGradient<scalar_t<X>> position_gradient(X const& x, Y const& y, F c,
                                                              R const& r) {
  using S = scalar_t<X>;
  detail::require(x.rows() == y.rows() && x.cols() == r.plan.rows() && y.cols() == r.plan.cols(),
                  "position_gradient: X is ", detail::shape(x), " and Y is ", detail::shape(y),
                  " but the plan is ", detail::shape(r.plan),
                  "; pass the points, as columns, that were solved for");
  detail::PairGradient<S, F> sum{MatrixX<S>(x), MatrixX<S>(y), std::move(c)};
  using Plan = std::remove_cvref_t<decltype(r.plan)>;
  for (Index k = 0; k < r.plan.outerSize(); ++k) {
    for (typename Plan::InnerIterator p(r.plan, k); p; ++p) {
      sum.add(p.row(), p.col(), S(p.value()));
    }
  }
  return sum.result();
}

}  // namespace monge::ot
