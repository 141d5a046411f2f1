// SPDX-License-Identifier: MIT
/// @file
/// A problem with a stored cost in which alike rows, and alike columns, are merged by fours:
///
///     C'_IJ = sum_{i in I, j in J} a_i b_j C_ij / (a_I b_J),    a_I = sum_{i in I} a_i,
///
/// the problem restricted to plans that are products within each pair of blocks. Its potentials are
/// close to those of the whole if the cost has a geometry, which the matrix itself tells: the costs
/// to a few columns are coordinates of a row, and rows that are neighbours by these must be alike
/// in other columns, too. What the finer problem takes up is f_i = min_J sum_j b_j C_ij / b_J -
/// g'_J.
///
/// Source: as exact_points.hpp, from coarse to fine, without points; the merged costs are ours.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include <monge/ot/detail/exact_problem.hpp>
#include <monge/ot/detail/point_tree.hpp>

namespace monge::ot {

template <CostOperator C>
class Exact;

namespace detail {

template <CostOperator C>
class AugmentedCost;

/// Which block of four each row, or column, is in.
struct Blocks {
  std::vector<std::int32_t> order;  ///< rows, block by block
  Index width = 1;                  ///< rows of a block; fewer in the last

  [[nodiscard]] Index count() const { return (Index(order.size()) + width - 1) / width; }
};

/// The merged problem. Immutable.
template <RealScalar S>
class CoarseCosts {
 public:
  using W = wide_t<S>;
  using Solver = Exact<AugmentedCost<DenseCostView<S>>>;

  /// Null if the cost shows no geometry. Two reads of the cost.
  template <CostOperator C>
  static std::shared_ptr<CoarseCosts const> of(ExactProblem<C> const& problem) {
    Blocks const rows = blocks(landmarks_of_rows(problem));
    if (!alike(problem, rows.order)) return nullptr;
    return std::make_shared<CoarseCosts const>(problem, rows,
                                               blocks(landmarks_of_columns(problem)));
  }

  template <CostOperator C>
  CoarseCosts(ExactProblem<C> const& problem, Blocks const& rows, Blocks const& columns)
      : a_(VectorX<S>::Zero(rows.count())),
        b_(VectorX<S>::Zero(columns.count())),
        cost_(MatrixX<S>::Zero(rows.count(), columns.count())),
        halfway_(MatrixX<S>::Zero(problem.n(), columns.count())) {
    std::vector<std::int32_t> const& of_row = rows.order;
    for (Index k = 0; k < problem.n(); ++k) a_(k / rows.width) += problem.a(of_row[std::size_t(k)]);
    for (Index k = 0; k < problem.m(); ++k) {
      b_(k / columns.width) += problem.b(columns.order[std::size_t(k)]);
    }
    VectorX<S> scratch(segment_width);
    for (Index k = 0; k < problem.m(); ++k) {
      Index const j = columns.order[std::size_t(k)], J = k / columns.width;
      S const share = problem.b(j) / b_(J);
      if (!(share > 0)) continue;
      for_each_segment(problem.cost, j, scratch.data(), [&](Index first, Index n, S const* c) {
        halfway_.col(J).segment(first, n) += share * Eigen::Map<VectorX<S> const>(c, n);
      });
    }
    for (Index J = 0; J < cost_.cols(); ++J) {
      for (Index k = 0; k < problem.n(); ++k) {
        Index const i = of_row[std::size_t(k)], I = k / rows.width;
        S const share = problem.a(i) / a_(I);
        if (share > 0) cost_(I, J) += share * halfway_(i, J);
      }
    }
    solver_ = std::make_unique<Solver const>(
        AugmentedCost<DenseCostView<S>>(view<S>(Eigen::Ref<MatrixX<S> const>(cost_))), a_, b_);
  }

  [[nodiscard]] Solver const& solver() const { return *solver_; }
  [[nodiscard]] Index columns() const { return b_.size(); }

  /// f of the finer rows from g of the merged columns, rounded to few digits, so that costs that
  /// are integers are still calculated with exactly.
  [[nodiscard]] VectorX<W> row_potential(VectorX<W> const& g) const {
    W const highest = std::numeric_limits<W>::infinity();
    VectorX<W> f = VectorX<W>::Constant(halfway_.rows(), highest);
    for (Index J = 0; J < g.size(); ++J) {
      if (!(b_(J) > 0)) continue;
      f = f.array().min(halfway_.col(J).array().template cast<W>() - g(J));
    }
    W largest = 0;
    for (W const x : f) {
      if (x < highest) largest = std::max(largest, std::abs(x));
    }
    if (!(largest > 0)) return f;
    W const unit = std::ldexp(W(1), std::ilogb(largest) - 20);
    return (f.array() / unit).round() * unit;
  }

 private:
  static constexpr Index landmarks = 8, few = 256;

  /// Costs to the landmarks: 8 x n and 8 x m.
  template <CostOperator C>
  static MatrixX<W> landmarks_of_rows(ExactProblem<C> const& problem) {
    MatrixX<W> x(landmarks, problem.n());
    VectorX<S> scratch(segment_width);
    for (Index l = 0; l < landmarks; ++l) {
      Index const j = (2 * l + 1) * problem.m() / (2 * landmarks);
      for_each_segment(problem.cost, j, scratch.data(), [&](Index first, Index n, S const* c) {
        x.row(l).segment(first, n) = ConstArrayMap<S>(c, n).template cast<W>().matrix().transpose();
      });
    }
    return x;
  }
  template <CostOperator C>
  static MatrixX<W> landmarks_of_columns(ExactProblem<C> const& problem) {
    MatrixX<W> y(landmarks, problem.m());
    for (Index j = 0; j < problem.m(); ++j) {
      for (Index l = 0; l < landmarks; ++l) {
        Index const i = (2 * l + 1) * problem.n() / (2 * landmarks);
        y(l, j) = problem.price({std::int32_t(i), std::int32_t(j)});
      }
    }
    return y;
  }

  /// Neighbours by fours; a side of few rows stays as it is.
  static Blocks blocks(MatrixX<W> const& coordinates) {
    Index const width = coordinates.cols() < few ? 1 : 4;
    return {cell_order(coordinates, width), width};
  }

  /// Whether neighbouring rows differ by less than 2/5 of what others do: 0.03 to 0.36 for 400 and
  /// more points in the plane and in space, 0.9 to 1 in 50 dimensions and for random costs.
  template <CostOperator C>
  static bool alike(ExactProblem<C> const& problem, std::vector<std::int32_t> const& order) {
    constexpr Index pairs = 64, columns = 16;
    Index const n = problem.n();
    W near = 0, far = 0;
    for (Index p = 0; p < pairs; ++p) {
      Index const k = p * (n - 1) / pairs;
      auto const row = [&](Index place) { return order[std::size_t(place % n)]; };
      for (Index l = 0; l < columns; ++l) {
        auto const j = std::int32_t((3 * l + 1) * problem.m() / (3 * columns));
        W const c = problem.price({row(k), j});
        near += std::abs(c - problem.price({row(k + 1), j}));
        far += std::abs(c - problem.price({row(k + n / 2), j}));
      }
    }
    return near < W(0.4) * far;  // false if a difference is not a number
  }

  VectorX<S> a_, b_;
  MatrixX<S> cost_, halfway_;  // halfway_: n x M, columns merged
  std::unique_ptr<Solver const> solver_;
};

/// A run on the merged problem. A value.
template <RealScalar S>
struct CoarseRun {
  std::shared_ptr<CoarseCosts<S> const> costs;
  typename CoarseCosts<S>::Solver::State state = {};
};

}  // namespace detail
}  // namespace monge::ot
