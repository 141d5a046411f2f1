// SPDX-License-Identifier: MIT
/// @file
/// Costs between all pairs, as a matrix or as an operator.
///
/// A cost between points is a functor c(x, y), see ground_cost.hpp. `cost_matrix(X, Y, c)`
/// evaluates it on all pairs of columns into an n x m matrix; `point_cloud(X, Y, c)` is the lazy
/// operator with the same entries, which keeps the points, O((n + m) d), and recomputes entries
/// when they are asked for.
///
/// Solvers take any Eigen matrix, or any CostOperator:
///
///     using Scalar = ...;                       // float, double or long double
///     Index rows() const;  Index cols() const;
///     // Entries first..first+count-1 of column j: a pointer to existing storage, or `scratch`
///     // (room for `count` entries) filled and returned.
///     Scalar const* column_segment(Index j, Index first, Index count, Scalar* scratch) const;
///
/// Entries may be negative; +infinity forbids a pair; -infinity and NaN are refused by the solvers.
#pragma once

#include <algorithm>
#include <concepts>
#include <utility>

#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/ot/detail/point_tile.hpp>
#include <monge/ot/ground_cost.hpp>

namespace monge::ot {

/// An n x m cost that hands out pieces of its columns. See the file comment.
template <class C>
concept CostOperator = requires { requires RealScalar<scalar_t<C>>; } &&
                       requires(C const& cost, Index k, scalar_t<C>* scratch) {
                         { cost.rows() } -> std::convertible_to<Index>;
                         { cost.cols() } -> std::convertible_to<Index>;
                         {
                           cost.column_segment(k, k, k, scratch)
                         } -> std::same_as<scalar_t<C> const*>;
                       };

/// What solvers take as a cost: a dense matrix expression or a CostOperator.
template <class C>
concept Cost = RealMatrixExpr<C> || CostOperator<C>;

/// A CostOperator that fills blocks of columns faster than one column at a time: entries first..
/// first+count-1 of the columns j..j+columns-1 into out(i, c) = out[c * stride + i]. It is asked
/// for blocks if prefers_blocks() says so.
template <class C>
concept BlockCost = CostOperator<C> && requires(C const& cost, Index k, scalar_t<C>* out) {
  { cost.prefers_blocks() } -> std::convertible_to<bool>;
  cost.block(k, k, k, k, out, k);
};

namespace detail {

using namespace monge::detail;  // require, shape, parallel_for, ...

}  // namespace detail

/// The lazy n x m cost between the columns of X (d x n) and Y (d x m): entry (i, j) is
/// c(x_i, y_j). Owns its points, so that it may be stored and built from temporaries. Each pass
/// over it costs n m evaluations of c, O(n m d) for the costs above; memory is O((n + m) d).
template <RealScalar S, class F>
class PointCloud {
 public:
  using Scalar = S;

  /// X, Y: finite, of equal dimension, at least one point each; otherwise std::invalid_argument.
  PointCloud(MatrixX<S> X, MatrixX<S> Y, F c) : cost_(std::move(c)) {
    using detail::require, detail::shape;
    require(X.rows() == Y.rows(), "point cost: X has ", X.rows(), " coordinates and Y has ",
            Y.rows(), "; points are columns of equal dimension");
    require(X.size() > 0 && Y.size() > 0, "point cost: X is ", shape(X), " and Y is ", shape(Y),
            "; both need at least one point");
    require(X.allFinite() && Y.allFinite(), "point cost: NaN or infinity in ",
            X.allFinite() ? "Y" : "X", "; remove those points first");
    n_ = X.cols();
    if constexpr (detail::TileCost<F, S>) {
      if (X.rows() > most_direct) {
        panels_ = detail::PointPanels<S>(cost_.prepare(std::move(X)));
        y_ = cost_.prepare(std::move(Y));
        return;
      }
    }
    if constexpr (fills_segments) {
      x_ = cost_.prepare(std::move(X)).transpose();
      y_ = cost_.prepare(std::move(Y));
    } else {
      x_ = std::move(X);
      y_ = std::move(Y);
    }
  }

  [[nodiscard]] Index rows() const { return n_; }
  [[nodiscard]] Index cols() const { return y_.cols(); }

  /// The points as columns, d x n and d x m (as the cost prepared them).
  [[nodiscard]] MatrixX<S> X() const {
    if (prefers_blocks()) return panels_.points();
    if constexpr (fills_segments) {
      return x_.transpose();
    } else {
      return x_;
    }
  }
  [[nodiscard]] MatrixX<S> const& Y() const { return y_; }
  /// The cost between two points.
  [[nodiscard]] F const& functor() const { return cost_; }

  S const* column_segment(Index j, Index first, Index count, S* scratch) const {
    if (prefers_blocks()) {
      block(j, 1, first, count, scratch, count);
    } else if constexpr (fills_segments) {
      cost_.segment(x_.data() + first, x_.rows(), y_.col(j).data(), y_.rows(), count, scratch);
    } else {
      for (Index i = 0; i < count; ++i) {
        scratch[i] = static_cast<S>(cost_(x_.col(first + i), y_.col(j)));
      }
    }
    return scratch;
  }

  /// See BlockCost: costs that are a function of squared distances or inner products, of points
  /// with more than a few coordinates.
  [[nodiscard]] bool prefers_blocks() const { return panels_.size() > 0; }
  void block(Index j, Index columns, Index first, Index count, S* out, Index stride) const {
    if constexpr (detail::TileCost<F, S>) {
      panels_.template block<F::sum>(y_.col(j).data(), columns, first, count, out, stride);
      for (Index c = 0; c < columns; ++c) cost_.finish(out + c * stride, count);
    }
  }

 private:
  static constexpr bool fills_segments = SegmentCost<F, S>;
  static constexpr Index most_direct = 4;  // coordinates; beyond these tiles are faster

  F cost_;
  Index n_ = 0;
  MatrixX<S>
      x_;  // n x d if the cost fills segments (coordinates contiguous over points), else d x n
  detail::PointPanels<S> panels_;  // the same points if blocks are faster; x_ is then empty
  MatrixX<S> y_;                   // d x m
};

/// The lazy cost between two point sets. c is one of the functors above or any callable on two
/// columns: `point_cloud(X, Y, [](auto const& x, auto const& y) { return ...; })`.
template <RealMatrixExpr X, MatrixLike<X> Y, class F>
[[nodiscard]] PointCloud<scalar_t<X>, F> point_cloud(X const& x, Y const& y, F c) {
  return {MatrixX<scalar_t<X>>(x), MatrixX<scalar_t<X>>(y), std::move(c)};
}

/// The n x m matrix of costs between the columns of X (d x n) and Y (d x m). The same numbers as
/// point_cloud(X, Y, c). Misuse as there.
template <RealMatrixExpr X, MatrixLike<X> Y, class F>
[[nodiscard]] MatrixX<scalar_t<X>> cost_matrix(X const& x, Y const& y, F c) {
  using S = scalar_t<X>;
  constexpr Index tile = 512;  // a tile and its coordinates stay in the first-level cache
  PointCloud<S, F> const cloud = point_cloud(x, y, std::move(c));
  MatrixX<S> cost(cloud.rows(), cloud.cols());
  if (cloud.prefers_blocks()) {
    constexpr Index columns = 32;  // they and the points of a panel stay in the first-level cache
    for (Index j = 0; j < cost.cols(); j += columns) {
      cloud.block(j, std::min(columns, cost.cols() - j), 0, cost.rows(), cost.col(j).data(),
                  cost.rows());
    }
    return cost;
  }
  for (Index first = 0; first < cost.rows(); first += tile) {
    Index const count = std::min(tile, cost.rows() - first);
    for (Index j = 0; j < cost.cols(); ++j) {
      cloud.column_segment(j, first, count, cost.col(j).data() + first);
    }
  }
  return cost;
}

/// A lazy cost given entry by entry: c(i, j).
template <RealScalar S, std::invocable<Index, Index> F>
class IndexCost {
 public:
  using Scalar = S;

  IndexCost(Index rows, Index cols, F c) : rows_(rows), cols_(cols), cost_(std::move(c)) {}

  [[nodiscard]] Index rows() const { return rows_; }
  [[nodiscard]] Index cols() const { return cols_; }

  S const* column_segment(Index j, Index first, Index count, S* scratch) const {
    for (Index i = 0; i < count; ++i) {
      scratch[i] = static_cast<S>(cost_(first + i, j));
    }
    return scratch;
  }

 private:
  Index rows_, cols_;
  F cost_;
};

/// `index_cost(n, m, [&](Index i, Index j) { return ...; })`: the scalar is what c returns.
template <std::invocable<Index, Index> F>
[[nodiscard]] auto index_cost(Index rows, Index cols, F c) {
  return IndexCost<std::remove_cvref_t<std::invoke_result_t<F&, Index, Index>>, F>(rows, cols,
                                                                                   std::move(c));
}

/// A dense cost that does not own its entries: column-major with a stride between columns. What the
/// solvers make of a matrix argument; valid as long as the matrix is.
template <RealScalar S>
class DenseCostView {
 public:
  using Scalar = S;

  DenseCostView(S const* data, Index rows, Index cols, Index stride)
      : data_(data), rows_(rows), cols_(cols), stride_(stride) {}

  [[nodiscard]] Index rows() const { return rows_; }
  [[nodiscard]] Index cols() const { return cols_; }

  S const* column_segment(Index j, Index first, Index /*count*/, S* /*scratch*/) const {
    return data_ + j * stride_ + first;
  }

 private:
  S const* data_;
  Index rows_, cols_, stride_;
};

/// A dense cost that owns its entries: for step objects, which outlive the call that made them.
template <RealScalar S>
class DenseCost {
 public:
  using Scalar = S;

  explicit DenseCost(MatrixX<S> entries) : entries_(std::move(entries)) {}

  [[nodiscard]] Index rows() const { return entries_.rows(); }
  [[nodiscard]] Index cols() const { return entries_.cols(); }

  S const* column_segment(Index j, Index first, Index /*count*/, S* /*scratch*/) const {
    return entries_.data() + j * entries_.rows() + first;
  }

 private:
  MatrixX<S> entries_;
};

namespace detail {

template <RealScalar S>
DenseCostView<S> view(Eigen::Ref<MatrixX<S> const> const& cost) {
  return {cost.data(), cost.rows(), cost.cols(), cost.outerStride()};
}

/// A CostOperator that borrows another: lets one call solve without a copy of an owning cost.
template <CostOperator C>
class CostReference {
 public:
  using Scalar = scalar_t<C>;

  explicit CostReference(C const& cost) : cost_(&cost) {}
  [[nodiscard]] C const& borrowed() const { return *cost_; }

  [[nodiscard]] Index rows() const { return cost_->rows(); }
  [[nodiscard]] Index cols() const { return cost_->cols(); }

  Scalar const* column_segment(Index j, Index first, Index count, Scalar* scratch) const {
    return cost_->column_segment(j, first, count, scratch);
  }

  [[nodiscard]] bool prefers_blocks() const
    requires BlockCost<C>
  {
    return cost_->prefers_blocks();
  }
  void block(Index j, Index columns, Index first, Index count, Scalar* out, Index stride) const
    requires BlockCost<C>
  {
    cost_->block(j, columns, first, count, out, stride);
  }

 private:
  C const* cost_;
};

/// Whether a cost keeps n m entries in memory.
template <class C>
inline constexpr bool holds_entries = false;
template <RealScalar S>
inline constexpr bool holds_entries<DenseCost<S>> = true;
template <RealScalar S>
inline constexpr bool holds_entries<DenseCostView<S>> = true;
template <CostOperator C>
inline constexpr bool holds_entries<CostReference<C>> = holds_entries<C>;

/// A matrix argument whose rows are contiguous: solvers work on its transpose.
template <class C>
inline constexpr bool is_row_major = [] {
  if constexpr (MatrixExpr<C>) {
    return bool(C::IsRowMajor);
  } else {
    return false;
  }
}();

/// body(operator): a CostOperator is passed on, a matrix is bound once (blocks, maps and
/// column-major matrices without a copy, everything else evaluated once).
template <Cost C, class Body>
decltype(auto) with_cost(C const& cost, Body&& body) {
  if constexpr (CostOperator<C>) {
    return body(cost);
  } else {
    Eigen::Ref<MatrixX<scalar_t<C>> const> const bound(cost);
    return body(view<scalar_t<C>>(bound));
  }
}

}  // namespace detail
}  // namespace monge::ot
