// SPDX-License-Identifier: MIT
/// @file
/// The map that an entropic coupling induces, inside and outside the sample.
///
///     T(x) = sum_j y_j p_j(x),   p_j(x) = b_j exp((g_j - c(x, y_j)) / epsilon) / (sum over j).
///
/// At a sample point x_i this is the barycentric projection sum_j P_ij y_j / sum_j P_ij of the
/// coupling, for which f is not needed; at any other x it is its canonical extension, the entropic
/// map of [PNW21] A.-A. Pooladian, J. Niles-Weed, Entropic estimation of optimal transport maps,
/// 2021, eq. (3). So one function serves both: pass the cost between the points to be mapped and
/// the target sample.
///
/// Cost: k m exponentials for k points, two evaluations of each cost; O(m + k d) memory. Points are
/// independent: with threads they are shared out in blocks of 512, with the same result.
#pragma once

#include <algorithm>
#include <limits>

#include <monge/core/parallel.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/entropic_pass.hpp>
#include <monge/ot/plan.hpp>

namespace monge::ot {
namespace detail {

/// The block of points first..first+count-1 (count <= segment_width) mapped into `mapped`
/// (d x count).
template <CostOperator C>
void map_block(C const& cost, VectorX<scalar_t<C>> const& g, VectorX<scalar_t<C>> const& b,
               scalar_t<C> inverse_epsilon, MatrixX<scalar_t<C>> const& Y, Index first, Index count,
               Eigen::Ref<MatrixX<scalar_t<C>>> mapped) {
  using S = scalar_t<C>;
  S scratch[segment_width], hard[segment_width], e[segment_width], ones[segment_width];
  ArrayMap<S> shift(hard, count);
  shift.setConstant(-std::numeric_limits<S>::infinity());
  std::fill_n(ones, count, S(1));
  for (Index j = 0; j < cost.cols(); ++j) {
    if (!(b(j) > 0)) continue;
    shift =
        shift.max(g(j) - ConstArrayMap<S>(cost.column_segment(j, first, count, scratch), count));
  }
  shift = -shift;  // f_i = min_j c_ij - g_j: the largest exponent of every row is 0
  // mean: coordinates contiguous over the points of the block
  MatrixX<S> mean = MatrixX<S>::Zero(count, Y.rows());
  VectorX<S> total = VectorX<S>::Zero(count);
  Eigen::Map<VectorX<S> const> const weights(e, count);
  for (Index j = 0; j < cost.cols(); ++j) {
    if (!(b(j) > 0)) continue;
    exponentials(hard, g(j), cost.column_segment(j, first, count, scratch), inverse_epsilon, ones,
                 e, count);
    total += b(j) * weights;
    for (Index k = 0; k < Y.rows(); ++k) {
      mean.col(k) += (b(j) * Y(k, j)) * weights;
    }
  }
  mapped = (mean.array().colwise() / total.array()).matrix().transpose();
}

}  // namespace detail

/// The images (d x k) of k points under the entropic map of a solution with m columns.
///
///     MatrixXd inside = barycentric_map(C, r, Y);                                       // d x n
///     MatrixXd outside = barycentric_map(point_cloud(Z, Y, squared_euclidean{}), r, Y);  // d x k
///
/// cost: k x m between the points to be mapped and the target sample; Y: d x m, the sample itself,
/// or anything else to be averaged (colours, labels). A point without an allowed partner is mapped
/// to NaN.
template <Cost C, EntropicSolution R, MatrixLike<C> Points>
[[nodiscard]] MatrixX<scalar_t<C>> barycentric_map(C const& cost, R const& r, Points const& Y,
                                                   Parallel const& parallel = {}) {
  using S = scalar_t<C>;
  MatrixX<S> const targets = Y;
  return detail::with_cost(cost, [&](auto const& bound) {
    detail::require(bound.cols() == r.g.size(), "barycentric_map: cost is ", detail::shape(bound),
                    " but the solution has ", r.g.size(),
                    " column potentials; the cost needs one column per target point");
    detail::require(targets.cols() == r.g.size(), "barycentric_map: Y has ", targets.cols(),
                    " points but the solution has ", r.g.size(), " column potentials");
    detail::require(r.epsilon > 0, "barycentric_map: the solution is empty; run the solver first");
    VectorX<S> const g = r.g, b = r.b / r.b.sum();
    S const inverse_epsilon = S(1 / r.epsilon);
    MatrixX<S> mapped(targets.rows(), bound.rows());
    Index const width = detail::segment_width;
    detail::parallel_for(parallel, (bound.rows() + width - 1) / width, [&](Index block, int) {
      Index const first = block * width, count = std::min(width, bound.rows() - first);
      detail::map_block(bound, g, b, inverse_epsilon, targets, first, count,
                        mapped.middleCols(first, count));
    });
    return mapped;
  });
}

}  // namespace monge::ot
