// SPDX-License-Identifier: MIT
/// @file
/// Points in the order of a k-d tree, with the boxes of its cells.
///
/// Cells are halved across their longest side until they hold one point; the left half of a cell
/// takes a power of two of its points. So a cell of level k is the k-th power of two times 16
/// consecutive points, counted from the first; only the last cell of a level may be smaller. The
/// tree needs no pointers, and consecutive groups of any power of two are clusters.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include <monge/core/types.hpp>

namespace monge::ot::detail {

template <RealScalar S>
class CloudTree {
 public:
  static constexpr Index leaf = 16;  // points in a cell of level 0

  CloudTree() = default;
  /// points: d x n, sorted here unless they come in the order of a tree.
  explicit CloudTree(MatrixX<S> const& points, bool sorted = false)
      : order_(static_cast<std::size_t>(points.cols())) {
    std::iota(order_.begin(), order_.end(), Index(0));
    if (!sorted) sort(points, 0, points.cols());
    coordinates_.resize(points.cols(), points.rows());
    for (Index i = 0; i < points.cols(); ++i) {
      coordinates_.row(i) = points.col(order_[std::size_t(i)]).transpose();
    }
    make_boxes();
  }

  [[nodiscard]] Index size() const { return coordinates_.rows(); }
  [[nodiscard]] Index dimension() const { return coordinates_.cols(); }
  /// Where the i-th point of the tree was in the points that were given.
  [[nodiscard]] Index origin(Index i) const { return order_[std::size_t(i)]; }
  /// n x d, in the order of the tree: the coordinates of neighbours are neighbours.
  [[nodiscard]] MatrixX<S> const& coordinates() const { return coordinates_; }

  /// Values in the order of the tree, and back.
  [[nodiscard]] VectorX<S> sorted(VectorX<S> const& values) const {
    VectorX<S> result(values.size());
    for (Index i = 0; i < values.size(); ++i) result(i) = values(origin(i));
    return result;
  }
  [[nodiscard]] VectorX<S> restored(VectorX<S> const& values) const {
    VectorX<S> result(values.size());
    for (Index i = 0; i < values.size(); ++i) result(origin(i)) = values(i);
    return result;
  }

  [[nodiscard]] Index cells() const { return boxes_.cols(); }
  [[nodiscard]] Index leaves() const { return (size() + leaf - 1) / leaf; }
  /// The box of a cell: d lower bounds, then d upper ones.
  [[nodiscard]] S const* box(Index cell) const { return boxes_.col(cell).data(); }
  [[nodiscard]] Index root() const { return cells() - 1; }
  [[nodiscard]] int levels() const { return int(offset_.size()) - 1; }
  /// Cells are counted level by level: how many there are in the levels below this one.
  [[nodiscard]] Index cells_below(int level) const {
    return offset_[std::size_t(std::min(level, levels()))];
  }

  /// cell_k <- join over the points of each cell, of any quantity of the points.
  template <class T, class Join>
  void gather(VectorX<S> const& values, T none, VectorX<T>& result, Join&& join) const {
    for (Index i = 0; i < leaves(); ++i) {
      T sum = none;
      for (Index p = i * leaf; p < std::min(size(), (i + 1) * leaf); ++p) {
        sum = join(sum, T(values(p)));
      }
      result(i) = sum;
    }
    for (std::size_t k = 1; k + 1 < offset_.size(); ++k) {
      Index const below = offset_[k - 1], count = offset_[k] - below;
      for (Index i = 0; i < offset_[k + 1] - offset_[k]; ++i) {
        T const left = result(below + 2 * i);
        result(offset_[k] + i) = 2 * i + 1 < count ? join(left, result(below + 2 * i + 1)) : left;
      }
    }
  }
  /// The largest value in each cell.
  void largest(VectorX<S> const& values, VectorX<S>& result) const {
    gather(values, -std::numeric_limits<S>::infinity(), result,
           [](S x, S y) { return x > y ? x : y; });
  }

  /// Goes down from the root: into(cell) says whether a cell is worth a look; visit(first, count)
  /// sees the points of the leaves that are, neighbours first to last.
  template <class Into, class Visit>
  void descend(Into&& into, Visit&& visit) const {
    std::pair<int, Index> stack[64];
    int held = 0;
    stack[held++] = {int(offset_.size()) - 2, 0};
    while (held > 0) {
      auto const [level, index] = stack[--held];
      std::size_t const k = static_cast<std::size_t>(level);
      if (!into(offset_[k] + index)) continue;
      if (level == 0) {
        visit(index * leaf, std::min(leaf, size() - index * leaf));
        continue;
      }
      Index const count = offset_[k] - offset_[k - 1];
      if (2 * index + 1 < count) stack[held++] = {level - 1, 2 * index + 1};
      stack[held++] = {level - 1, 2 * index};
    }
  }

  /// The least of visit(first, count) over all leaves, given bound(cell) below it in each cell:
  /// goes for the lower bound first.
  template <class Bound, class Visit>
  [[nodiscard]] S least(Bound&& bound, Visit&& visit) const {
    struct Open {
      int level;
      Index index;
      S bound;
    } stack[64];
    int held = 0;
    S best = std::numeric_limits<S>::infinity();
    stack[held++] = {int(offset_.size()) - 2, 0, -best};
    while (held > 0) {
      Open const cell = stack[--held];
      if (!(cell.bound < best)) continue;
      if (cell.level == 0) {
        best = std::min(best, visit(cell.index * leaf, std::min(leaf, size() - cell.index * leaf)));
        continue;
      }
      std::size_t const k = static_cast<std::size_t>(cell.level);
      Index const left = 2 * cell.index, below = offset_[k - 1];
      Open near{cell.level - 1, left, bound(below + left)};
      if (left + 1 < offset_[k] - below) {
        Open far{cell.level - 1, left + 1, bound(below + left + 1)};
        if (far.bound < near.bound) std::swap(near, far);
        stack[held++] = far;
      }
      stack[held++] = near;
    }
    return best;
  }

  /// Clusters of `group` consecutive points: their centres (d x clusters), weighted by w, and
  /// their weights, in the order of the tree.
  [[nodiscard]] std::pair<MatrixX<S>, VectorX<S>> clusters(VectorX<S> const& w, Index group) const {
    Index const count = (size() + group - 1) / group;
    MatrixX<S> centres(dimension(), count);
    VectorX<S> weights(count);
    for (Index c = 0; c < count; ++c) {
      Index const first = c * group, n = std::min(group, size() - first);
      weights(c) = S(w.segment(first, n).template cast<wide_t<S>>().sum());
      centres.col(c) =
          coordinates_.middleRows(first, n).transpose() * (w.segment(first, n) / weights(c));
    }
    return {std::move(centres), std::move(weights)};
  }

 private:
  void sort(MatrixX<S> const& points, Index begin, Index end) {
    Index const n = end - begin;
    if (n <= 1) return;
    Index longest = 0;
    S length = -1;
    for (Index k = 0; k < points.rows(); ++k) {
      S low = std::numeric_limits<S>::infinity(), high = -low;
      for (Index i = begin; i < end; ++i) {
        S const x = points(k, origin(i));
        low = std::min(low, x);
        high = std::max(high, x);
      }
      if (high - low > length) length = high - low, longest = k;
    }
    auto const at = [&](Index i) { return order_.begin() + i; };
    Index const half = begin + Index(std::bit_floor(std::size_t(n - 1)));
    std::nth_element(at(begin), at(half), at(end), [&](Index i, Index j) {
      return std::pair(points(longest, i), i) < std::pair(points(longest, j), j);
    });
    sort(points, begin, half);
    sort(points, half, end);
  }

  void make_boxes() {
    offset_.assign(1, 0);
    for (Index count = leaves();; count = (count + 1) / 2) {
      offset_.push_back(offset_.back() + count);
      if (count == 1) break;
    }
    Index const d = dimension();
    boxes_.resize(2 * d, offset_.back());
    VectorX<S> values(offset_.back());
    for (Index k = 0; k < d; ++k) {
      VectorX<S> const x = coordinates_.col(k);
      largest(x, values);
      boxes_.row(d + k) = values.transpose();
      largest(-x, values);
      boxes_.row(k) = -values.transpose();
    }
  }

  std::vector<Index> order_;
  MatrixX<S> coordinates_;     // n x d
  std::vector<Index> offset_;  // the first cell of each level, and their number
  MatrixX<S> boxes_;           // 2 d x cells
};

}  // namespace monge::ot::detail
