// SPDX-License-Identifier: MIT
/// @file
/// Bounds of f_i + g_j - c(x_i, y_j) over pairs of tree cells.
///
/// With the largest potentials of both cells and the least cost between their boxes the bound is
/// off by the variation of the potentials within a cell, the slope times the width, which for small
/// cells is far more than epsilon. For c = |x - y|^2 the small cells therefore have linear models,
/// f <= height + <slope, x - centre>. With D the difference of the centres, p and q the slopes and
/// h and k the half widths of two cells
///
///     f + g - c <= heights - |D|^2 + <|p - 2 D|, h> + <|q + 2 D|, k>,
///
/// for the rest of the cost, -|dx - dy|^2, is negative. Where the plan has its mass p = 2 D = -q up
/// to the width, so that the bound is off by its square. Any slope makes a valid bound; here it is
/// that of the least squares fit in a leaf, and the mean of the children above.
#pragma once

#include <Eigen/Cholesky>

#include <algorithm>
#include <cmath>
#include <limits>

#include <monge/core/types.hpp>
#include <monge/ot/detail/cloud_tree.hpp>

namespace monge::ot::detail {

/// Models of potentials on the cells of a tree, with the geometry that they need. d at most `most`.
template <RealScalar S, Index most>
class CellBounds {
 public:
  using Tree = CloudTree<S>;

  CellBounds() = default;
  explicit CellBounds(Tree const& tree)
      : tops_(tree.cells()),
        centre_(tree.dimension(), tree.cells_below(linear_levels)),
        half_(tree.dimension(), centre_.cols()),
        slope_(tree.dimension(), centre_.cols()),
        height_(centre_.cols()),
        inverse_(tree.dimension(), tree.dimension() * tree.leaves()) {
    Index const d = tree.dimension();
    for (Index cell = 0; cell < centre_.cols(); ++cell) {
      for (Index k = 0; k < d; ++k) {
        S const low = tree.box(cell)[k], high = tree.box(cell)[d + k];
        centre_(k, cell) = low + (high - low) / 2;
        // Both differences are rounded; so is the centre.
        half_(k, cell) = std::max(high - centre_(k, cell), centre_(k, cell) - low);
      }
    }
    for (Index leaf = 0; leaf < tree.leaves(); ++leaf) {
      MatrixX<S> const x = offsets(tree, leaf);
      MatrixX<S> covariance = x.transpose() * x;
      S const trace = covariance.trace();
      covariance.diagonal().array() += trace > 0 ? S(1e-5) * trace : S(1);
      inverse_.middleCols(leaf * d, d) =
          Eigen::LLT<MatrixX<S>>(covariance).solve(MatrixX<S>::Identity(d, d));
    }
  }

  /// The models of potentials given in the order of the tree.
  void fit(Tree const& tree, VectorX<S> const& f) {
    tree.largest(f, tops_);
    for (Index leaf = 0; leaf < tree.leaves(); ++leaf) fit_leaf(tree, leaf, f);
    for (int level = 1; level < linear_levels && level < tree.levels(); ++level) {
      Index const first = tree.cells_below(level), below = tree.cells_below(level - 1);
      Index const points = Tree::leaf << level;
      for (Index cell = first; cell < tree.cells_below(level + 1); ++cell) {
        Index const left = below + 2 * (cell - first), right = std::min(left + 1, first - 1);
        slope_.col(cell) = (slope_.col(left) + slope_.col(right)) / 2;
        height_(cell) = highest(tree, cell, (cell - first) * points, points, f);
      }
    }
  }
  void fit_leaf(Tree const& tree, Index leaf, VectorX<S> const& f) {
    Index const first = leaf * Tree::leaf, n = std::min(Tree::leaf, tree.size() - first);
    Index const d = tree.dimension();
    S mean[most] = {}, moment[most] = {}, level = 0;
    auto const& x = tree.coordinates();
    for (Index i = first; i < first + n; ++i) {
      level += f(i);
      for (Index k = 0; k < d; ++k) mean[k] += x(i, k);
    }
    level /= S(n);
    for (Index k = 0; k < d; ++k) mean[k] /= S(n);
    for (Index i = first; i < first + n; ++i) {
      for (Index k = 0; k < d; ++k) moment[k] += (x(i, k) - mean[k]) * (f(i) - level);
    }
    for (Index k = 0; k < d; ++k) {
      S sum = 0;
      for (Index l = 0; l < d; ++l) sum += inverse_(k, leaf * d + l) * moment[l];
      slope_(k, leaf) = sum;
    }
    height_(leaf) = highest(tree, leaf, first, n, f);
  }

  /// The largest potential of every cell.
  [[nodiscard]] VectorX<S> const& tops() const { return tops_; }
  /// The slopes of a cell with a linear model, d.
  [[nodiscard]] S const* slope(Index cell) const { return slope_.col(cell).data(); }
  /// Whether a cell has a linear model.
  [[nodiscard]] bool linear(Index cell) const { return cell < centre_.cols(); }

  /// The bound for a cell of these and one of the other side, both linear.
  [[nodiscard]] S bound(Index cell, CellBounds const& other, Index other_cell) const {
    Index const d = centre_.rows();
    S const *x = centre_.data() + cell * d, *y = other.centre_.data() + other_cell * d;
    S const *p = slope_.data() + cell * d, *q = other.slope_.data() + other_cell * d;
    S const *h = half_.data() + cell * d, *k = other.half_.data() + other_cell * d;
    S result = height_(cell) + other.height_(other_cell);
    for (Index c = 0; c < d; ++c) {
      S const D = x[c] - y[c];
      result += (std::abs(p[c] - 2 * D) * h[c] + std::abs(q[c] + 2 * D) * k[c]) -
                D * D * (1 - 32 * unit_roundoff<S>);
    }
    return result;
  }

 private:
  static constexpr int linear_levels = 5;

  /// Points of a leaf from their mean, n x d.
  static MatrixX<S> offsets(Tree const& tree, Index leaf) {
    Index const first = leaf * Tree::leaf, n = std::min(Tree::leaf, tree.size() - first);
    MatrixX<S> x = tree.coordinates().middleRows(first, n);
    VectorX<S> const mean = x.colwise().mean().transpose();
    x.rowwise() -= mean.transpose();
    return x;
  }

  [[nodiscard]] S highest(Tree const& tree, Index cell, Index first, Index count,
                          VectorX<S> const& f) const {
    S most_above = -std::numeric_limits<S>::infinity();
    auto const& x = tree.coordinates();
    for (Index i = first; i < std::min(tree.size(), first + count); ++i) {
      S above = f(i);
      for (Index k = 0; k < x.cols(); ++k) above -= slope_(k, cell) * (x(i, k) - centre_(k, cell));
      most_above = above > most_above ? above : most_above;
    }
    return most_above;
  }

  VectorX<S> tops_;           // of all cells
  MatrixX<S> centre_, half_;  // d x cells with a linear model
  MatrixX<S> slope_;          // likewise
  VectorX<S> height_;         // likewise
  MatrixX<S> inverse_;        // d x d of each leaf: of the second moments
};

}  // namespace monge::ot::detail
