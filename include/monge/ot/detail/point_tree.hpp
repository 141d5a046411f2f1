// SPDX-License-Identifier: MIT
/// @file
/// Weighted nearest neighbours: the smallest c(x, y_j) - w_j over the points y_j of a k-d tree, for
/// costs that grow with each |x_k - y_k|.
///
/// The points are put in an order in which every aligned block of leaf * 2^h points is a cell, so
/// the tree has no pointers: it is an array of boxes and largest weights for each height h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include <monge/core/types.hpp>
#include <monge/ot/cost.hpp>

namespace monge::ot::detail {

/// c(x, y) for x - y = z (d entries), for the costs that grow with each |z_k|.
template <RealScalar W>
W cost_of_difference(squared_euclidean const&, W const* z, Index d) {
  W sum = 0;
  for (Index k = 0; k < d; ++k) sum += z[k] * z[k];
  return sum;
}
template <RealScalar W>
W cost_of_difference(euclidean const&, W const* z, Index d) {
  return std::sqrt(cost_of_difference(squared_euclidean{}, z, d));
}
template <RealScalar W>
W cost_of_difference(p_norm const& c, W const* z, Index d) {
  if (c.p == 2) return cost_of_difference(euclidean{}, z, d);
  W sum = 0;
  for (Index k = 0; k < d; ++k) {
    W const size = std::abs(z[k]);
    if (c.p == infinity) {
      sum = std::max(sum, size);
    } else {
      sum += c.p == 1 ? size : std::pow(size, W(c.p));
    }
  }
  return c.p == 1 || c.p == infinity ? sum : std::pow(sum, W(1 / c.p));
}

/// The costs that a tree of points can search.
template <class F>
concept DifferenceCost = requires(F const& c, double const* z, Index d) {
  { cost_of_difference(c, z, d) } -> std::same_as<double>;
};

inline constexpr Index tree_leaf = 16;  ///< points of a leaf; of 8 to 32, measured in the plane

/// The order of the points (columns of a d x n matrix) in which aligned blocks of leaf * 2^h are
/// cells. Cells are halved across their longest side. O(n log n).
template <RealScalar W>
std::vector<std::int32_t> cell_order(MatrixX<W> const& points, Index leaf = tree_leaf) {
  std::vector<std::int32_t> order(std::size_t(points.cols()));
  std::iota(order.begin(), order.end(), 0);
  auto const halve = [&](auto const& self, std::size_t first, std::size_t end) -> void {
    std::size_t left = std::size_t(leaf);
    if (end - first <= left) return;
    while (2 * left < end - first) left *= 2;
    VectorX<W> low = points.col(order[first]), high = low;
    for (std::size_t k = first; k < end; ++k) {
      low = low.cwiseMin(points.col(order[k]));
      high = high.cwiseMax(points.col(order[k]));
    }
    Index side = 0;
    (high - low).maxCoeff(&side);
    auto const at = [&](std::size_t k) { return order.begin() + std::ptrdiff_t(k); };
    std::nth_element(at(first), at(first + left), at(end), [&](std::int32_t p, std::int32_t q) {
      return points(side, p) != points(side, q) ? points(side, p) < points(side, q) : p < q;
    });
    self(self, first, first + left);
    self(self, first + left, end);
  };
  halve(halve, 0, order.size());
  return order;
}

/// The columns of a matrix that a list names, in its order.
template <RealScalar W>
MatrixX<W> columns_at(MatrixX<W> const& matrix, std::vector<std::int32_t> const& which) {
  MatrixX<W> chosen(matrix.rows(), Index(which.size()));
  for (std::size_t k = 0; k < which.size(); ++k) chosen.col(Index(k)) = matrix.col(which[k]);
  return chosen;
}

/// A point of the tree that a query found.
template <RealScalar W>
struct Neighbour {
  W reduced = 0;  ///< c(x, y_j) - w_j
  W cost = 0;     ///< c(x, y_j)
  std::int32_t index = -1;
};

/// A weight for each point of a tree, and the largest in each of its cells.
template <RealScalar W>
struct TreeWeights {
  VectorX<W> weight, largest;
};

/// Points in cell order.
template <RealScalar W, DifferenceCost F>
class PointTree {
 public:
  /// points: d x n, in the order of `cell_order`.
  PointTree(F c, MatrixX<W> const& points) : cost_(std::move(c)), points_(points.transpose()) {
    Index cells = 0;
    for (Index blocks = (size() + tree_leaf - 1) / tree_leaf;; blocks = (blocks + 1) / 2) {
      heights_.push_back({cells, blocks});
      cells += blocks;
      if (blocks == 1) break;
    }
    low_.resize(dimension(), cells);
    high_.resize(dimension(), cells);
    for (std::size_t h = 0; h < heights_.size(); ++h) {
      for (Index t = 0; t < heights_[h].blocks; ++t) bound(h, t);
    }
  }

  [[nodiscard]] Index size() const { return points_.rows(); }
  [[nodiscard]] Index dimension() const { return points_.cols(); }
  /// c(x, y_j).
  [[nodiscard]] W cost(W const* x, Index j) const {
    W result;
    cost_.segment(points_.data() + j, size(), x, dimension(), 1, &result);
    return result;
  }

  /// O(n).
  [[nodiscard]] TreeWeights<W> weigh(VectorX<W> weight) const {
    TreeWeights<W> w{std::move(weight), VectorX<W>(low_.cols())};
    for (Index t = 0; t < heights_[0].blocks; ++t) {
      Index const first = t * tree_leaf;
      w.largest(t) = w.weight.segment(first, std::min(tree_leaf, size() - first)).maxCoeff();
    }
    for (std::size_t h = 1; h < heights_.size(); ++h) {
      for (Index t = 0; t < heights_[h].blocks; ++t) {
        auto const [left, right] = children(h, t);
        w.largest(cell(h, t)) = std::max(w.largest(left), w.largest(right));
      }
    }
    return w;
  }

  /// The `most` points of least c(x, y_j) - w_j below `limit`, in rising order; returns how many.
  /// `found` has room for them.
  Index nearest(TreeWeights<W> const& w, W const* x, Index most, W limit,
                Neighbour<W>* found) const {
    struct Cell {
      W bound;
      std::int32_t height, number;
    };
    Cell stack[128];  // two per height
    int top = 0;
    Index count = 0;
    stack[top++] = {-std::numeric_limits<W>::infinity(), int(heights_.size()) - 1, 0};
    while (top > 0) {
      Cell const at = stack[--top];
      if (!(at.bound < limit)) continue;
      if (at.height == 0) {
        search_leaf(w, x, at.number, most, count, limit, found);
        continue;
      }
      auto const [left, right] = children(std::size_t(at.height), at.number);
      std::int32_t const height = at.height - 1, number = 2 * at.number;
      Cell const nearer{lower_bound(w, x, left), height, number};
      Cell const farther{lower_bound(w, x, right), height, number + 1};
      bool const swapped = farther.bound < nearer.bound;
      if (left != right) stack[top++] = swapped ? nearer : farther;
      stack[top++] = swapped && left != right ? farther : nearer;
    }
    return count;
  }

 private:
  struct Height {
    Index first, blocks;
  };
  static constexpr Index most_dimensions = 16;  // of a bound; more give a weaker one

  [[nodiscard]] Index cell(std::size_t h, Index t) const { return heights_[h].first + t; }

  /// The two cells below a cell of height h > 0, or twice the only one.
  [[nodiscard]] std::pair<Index, Index> children(std::size_t h, Index t) const {
    Index const left = cell(h - 1, 2 * t);
    return {left, 2 * t + 1 < heights_[h - 1].blocks ? left + 1 : left};
  }

  void bound(std::size_t h, Index t) {
    Index const to = cell(h, t);
    if (h == 0) {
      Index const first = t * tree_leaf, count = std::min(tree_leaf, size() - first);
      low_.col(to) = points_.middleRows(first, count).colwise().minCoeff().transpose();
      high_.col(to) = points_.middleRows(first, count).colwise().maxCoeff().transpose();
    } else {
      auto const [left, right] = children(h, t);
      low_.col(to) = low_.col(left).cwiseMin(low_.col(right));
      high_.col(to) = high_.col(left).cwiseMax(high_.col(right));
    }
  }

  /// A lower bound of c(x, y_j) - w_j in a cell, to rounding.
  [[nodiscard]] W lower_bound(TreeWeights<W> const& w, W const* x, Index cell) const {
    Index const d = std::min(dimension(), most_dimensions);
    W gap[most_dimensions];
    W const *const low = low_.col(cell).data(), *const high = high_.col(cell).data();
    for (Index k = 0; k < d; ++k) gap[k] = std::max(W(0), std::max(low[k] - x[k], x[k] - high[k]));
    return cost_of_difference(cost_, gap, d) - w.largest(cell);
  }

  void search_leaf(TreeWeights<W> const& w, W const* x, Index leaf, Index most, Index& count,
                   W& limit, Neighbour<W>* found) const {
    Index const first = leaf * tree_leaf, width = std::min(tree_leaf, size() - first);
    W cost[tree_leaf];
    cost_.segment(points_.data() + first, size(), x, dimension(), width, cost);
    for (Index k = 0; k < width; ++k) {
      W const reduced = cost[k] - w.weight(first + k);
      if (!(reduced < limit)) continue;
      Index place = count < most ? count++ : most - 1;
      for (; place > 0 && reduced < found[place - 1].reduced; --place)
        found[place] = found[place - 1];
      found[place] = {reduced, cost[k], std::int32_t(first + k)};
      if (count == most) limit = std::min(limit, found[most - 1].reduced);
    }
  }

  F cost_;
  MatrixX<W> points_;  // n x d
  std::vector<Height> heights_;
  MatrixX<W> low_, high_;  // d x cells: the box of each
};

}  // namespace monge::ot::detail
