// SPDX-License-Identifier: MIT
/// @file
/// Newton's steps between many points, from a system between their clusters.
///
/// With the row sums D of the plan, its columns q_j divided by their mass v_j and the averaging
/// operators A x = (<q_j, x>)_j and B y = D^-1 sum_j v_j q_j y_j, Newton's matrix on the semi-dual
/// is L = D (I - B A), and
///
///     L^-1 = D^-1 + B (A L^-1).
///
/// The first term is a step of Sinkhorn. The second one is smooth: the plan averages over a
/// distance of about sqrt(epsilon), so where clusters are smaller than that A L^-1 can be taken
/// from them: the gradient is summed over clusters, the cluster's own system is solved, its means
/// over the column clusters are formed, and B averages these at every point. What the clusters
/// cannot see is the relative error of their plan, about their cost / epsilon, by which such a step
/// contracts, instead of 1 - O(epsilon) for Sinkhorn's. It is the coarse-grid correction of a
/// two-grid method, with the plan itself as the prolongation.
///
/// Cost of a step: one exponential per point and near cluster, and conjugate gradients between
/// clusters. Memory: the entries of the cluster's plan.
#pragma once

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include <monge/core/parallel.hpp>
#include <monge/linalg/conjugate_gradient.hpp>
#include <monge/ot/detail/entropic_problem.hpp>
#include <monge/ot/detail/sparse_laplacian.hpp>
#include <monge/ot/detail/truncated_cloud.hpp>
#include <monge/ot/detail/truncated_read.hpp>

namespace monge::ot::detail {

template <RealScalar S, class F>
class ClusterSystem {
 public:
  using Cloud = TruncatedCloud<S, F>;

  /// Of the plan between clusters, with potentials g of the columns.
  ClusterSystem(Cloud const& clusters, Blur<S> at, VectorX<S> const& g, VectorX<S> const& v,
                VectorX<S> const& mass, SparseLaplacian<S> laplacian)
      : columns_(clusters.shared_col_tree(), v), v_(v), laplacian_(std::move(laplacian)) {
    columns_.prepare(g, at);
    laplacian_.prepare(mass, VectorX<S>::Zero(mass.size()));
  }

  [[nodiscard]] Index nonzeros() const { return laplacian_.nonzeros(); }

  /// x <- the step from f in units of epsilon for a gradient over the points of the cloud; it comes
  /// as the step of Sinkhorn. Returns the number of conjugate gradient steps.
  Index step(Cloud const& cloud, VectorX<S> f, VectorX<S> const& gradient,
             double relative_tolerance, Parallel const& parallel, VectorX<S>& x) const {
    VectorX<S> coarse = VectorX<S>::Zero(laplacian_.diagonal().size());
    for (Index i = 0; i < gradient.size(); ++i) coarse(i / cloud.group()) += gradient(i);
    auto const solved = linalg::conjugate_gradient(
        linalg::preconditioned(laplacian_, linalg::jacobi(laplacian_.diagonal())), coarse,
        {.relative_tolerance = relative_tolerance, .max_iterations = 400});
    VectorX<S> means(v_.size());
    laplacian_.column_means(solved.x, means);
    means = v_.cwiseProduct(means);
    CloudTree<S> const& rows = cloud.row_tree();
    BoundsOf<S> bounds(rows);
    std::vector<LeafEntries<S>> workers(std::size_t(parallel.workers()));
    for_each_leaf(rows, parallel, [&](Index first, Index count, int worker) {
      LeafEntries<S>& kept = workers[std::size_t(worker)];
      LeafSums<S> const sums = columns_.read(cloud, rows, bounds, first, 1e-3, f, kept);
      for (Index k = 0; k < count; ++k) {
        S const* e = kept.e.data() + k * kept.height;
        S total = 0;
        for (auto const& [begin, height] : kept.runs) {
          total += ConstArrayMap<S>(e, height).matrix().dot(means.segment(begin, height));
          e += height;
        }
        if (sums.sum[k] > 0) x(first + k) += S(total / sums.sum[k]);
      }
    });
    return solved.iterations;
  }

 private:
  TruncatedSide<S, F> columns_;
  VectorX<S> v_;
  SparseLaplacian<S> laplacian_;
};

}  // namespace monge::ot::detail
