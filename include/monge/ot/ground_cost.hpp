// SPDX-License-Identifier: MIT
/// @file
/// Ground costs: functors c(x, y) of two points, given as columns.
///
/// Any callable on two columns will do. These fill a piece of a column of the cost at once
/// (SegmentCost), and those that are a function of a squared distance or an inner product let
/// blocks of it be made like matrix products (detail/point_tile.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <utility>

#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/ot/detail/point_tile.hpp>

namespace monge::ot {

/// A cost functor that fills a piece of a column at once: out_i = c(x_i, y) for `count` points,
/// given by coordinates, x_i(k) = coordinates[k * stride + i]. `prepare` is applied to both point
/// sets (d x n) once.
template <class F, class S>
concept SegmentCost = requires(F const& c, S const* in, S* out, Index k, MatrixX<S> points) {
  c.segment(in, k, in, k, k, out);
  { c.prepare(std::move(points)) } -> std::convertible_to<MatrixX<S>>;
};

namespace detail {

template <class S>
using ConstArrayMap = Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1> const>;
template <class S>
using ArrayMap = Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1>>;

/// out = join(out, term(x(k) - y(k))) over the coordinates k, starting from term of the first.
template <class S, class Term, class Join>
void accumulate(S const* coordinates, Index stride, S const* y, Index d, Index count, S* out,
                Term term, Join join) {
  ArrayMap<S> result(out, count);
  result = term(ConstArrayMap<S>(coordinates, count) - y[0]);
  for (Index k = 1; k < d; ++k) {
    result = join(result, term(ConstArrayMap<S>(coordinates + k * stride, count) - y[k]));
  }
}

struct KeepPoints {
  template <class S>
  MatrixX<S> prepare(MatrixX<S> points) const {
    return points;
  }
};

inline constexpr auto add = [](auto const& a, auto const& b) { return a + b; };

/// A SegmentCost that is a function of one sum over the coordinates: cost.finish(out, count) makes
/// costs of the sums.
template <class F, class S>
concept TileCost = SegmentCost<F, S> && requires(F const& c, S* out, Index k) {
  { F::sum } -> std::convertible_to<TileSum>;
  c.finish(out, k);
};

}  // namespace detail

/// c(x, y) = |x - y|^2, without a half (libraries that use |x - y|^2 / 2 have half our cost and
/// therefore half our epsilon).
struct squared_euclidean : detail::KeepPoints {
  static constexpr detail::TileSum sum = detail::TileSum::squares;

  template <VectorExpr X, VectorLike<X> Y>
  scalar_t<X> operator()(X const& x, Y const& y) const {
    return (x - y).squaredNorm();
  }
  template <RealScalar S>
  void segment(S const* coordinates, Index stride, S const* y, Index d, Index count, S* out) const {
    detail::accumulate(
        coordinates, stride, y, d, count, out, [](auto const& z) { return z.square(); },
        detail::add);
  }
  template <RealScalar S>
  void finish(S*, Index) const {}
};

/// c(x, y) = |x - y|.
struct euclidean : detail::KeepPoints {
  static constexpr detail::TileSum sum = detail::TileSum::squares;

  template <VectorExpr X, VectorLike<X> Y>
  scalar_t<X> operator()(X const& x, Y const& y) const {
    return (x - y).norm();
  }
  template <RealScalar S>
  void segment(S const* coordinates, Index stride, S const* y, Index d, Index count, S* out) const {
    squared_euclidean{}.segment(coordinates, stride, y, d, count, out);
    finish(out, count);
  }
  template <RealScalar S>
  void finish(S* out, Index count) const {
    detail::ArrayMap<S> result(out, count);
    result = result.sqrt();
  }
};

/// c(x, y) = (sum_k |x_k - y_k|^p)^(1/p), p >= 1; p = infinity is the largest difference.
struct p_norm {
  double p = 1;

  template <VectorExpr X, VectorLike<X> Y>
  scalar_t<X> operator()(X const& x, Y const& y) const {
    using S = scalar_t<X>;
    if (p == infinity) return (x - y).cwiseAbs().maxCoeff();
    if (p == 1) return (x - y).cwiseAbs().sum();
    if (p == 2) return (x - y).norm();
    return std::pow((x - y).array().abs().pow(S(p)).sum(), S(1 / p));
  }
  template <RealScalar S>
  void segment(S const* coordinates, Index stride, S const* y, Index d, Index count, S* out) const {
    detail::ArrayMap<S> result(out, count);
    auto const absolute = [](auto const& z) { return z.abs(); };
    if (p == infinity) {
      detail::accumulate(coordinates, stride, y, d, count, out, absolute,
                         [](auto const& a, auto const& b) { return a.max(b); });
    } else if (p == 1) {
      detail::accumulate(coordinates, stride, y, d, count, out, absolute, detail::add);
    } else if (p == 2) {
      euclidean{}.segment(coordinates, stride, y, d, count, out);
    } else {
      detail::accumulate(
          coordinates, stride, y, d, count, out,
          [q = S(p)](auto const& z) { return z.abs().pow(q); }, detail::add);
      result = result.pow(S(1 / p));
    }
  }
  template <class S>
  MatrixX<S> prepare(MatrixX<S> points) const {
    monge::detail::require(p >= 1, "p_norm: p is ", p, "; it must be at least 1");
    return points;
  }
};

/// c(x, y) = 1 - <x, y> / (|x| |y|), between 0 and 2; 1 if either point is the origin.
struct cosine {
  static constexpr detail::TileSum sum = detail::TileSum::products;

  template <VectorExpr X, VectorLike<X> Y>
  scalar_t<X> operator()(X const& x, Y const& y) const {
    using S = scalar_t<X>;
    S const norms = x.norm() * y.norm();
    return norms > 0 ? std::max(S(0), 1 - x.dot(y) / norms) : S(1);
  }
  template <RealScalar S>
  void segment(S const* coordinates, Index stride, S const* y, Index d, Index count, S* out) const {
    detail::ArrayMap<S> result(out, count);
    result = y[0] * detail::ConstArrayMap<S>(coordinates, count);
    for (Index k = 1; k < d; ++k) {
      result += y[k] * detail::ConstArrayMap<S>(coordinates + k * stride, count);
    }
    finish(out, count);
  }
  template <RealScalar S>
  void finish(S* out, Index count) const {
    detail::ArrayMap<S> result(out, count);
    result = (S(1) - result).max(S(0));
  }
  /// Unit vectors; the origin stays.
  template <class S>
  MatrixX<S> prepare(MatrixX<S> points) const {
    for (Index j = 0; j < points.cols(); ++j) {
      S const norm = points.col(j).norm();
      if (norm > 0) points.col(j) /= norm;
    }
    return points;
  }
};

}  // namespace monge::ot
