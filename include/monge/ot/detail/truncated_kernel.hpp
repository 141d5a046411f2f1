// SPDX-License-Identifier: MIT
/// @file
/// The reads of a truncated cloud for Sinkhorn's and for Newton's steps.
///
/// For 16 neighbouring columns the runs of rows that matter are found by the tree, their
/// exponentials are formed and kept while they are in the cache, and serve the columns, the rows
/// and, if someone asks, the entries of the Hessian.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <monge/core/parallel.hpp>
#include <monge/ot/detail/cluster_system.hpp>
#include <monge/ot/detail/entropic_problem.hpp>
#include <monge/ot/detail/newton_system.hpp>
#include <monge/ot/detail/scaling_kernel.hpp>
#include <monge/ot/detail/truncated_cloud.hpp>
#include <monge/ot/detail/truncated_read.hpp>

namespace monge::ot::detail {

/// The read for Sinkhorn, with the interface of ScalingKernel.
template <RealScalar S, class F>
class TruncatedKernel {
 public:
  using Wide = wide_t<S>;
  using Cloud = TruncatedCloud<S, F>;
  using Problem = EntropicProblem<Cloud>;
  static constexpr Index leaf = CloudTree<S>::leaf;
  static constexpr Index most_entries = 4'000'000;  // of a Hessian: 48 MB

  TruncatedKernel() = default;
  explicit TruncatedKernel(Problem const& problem)
      : side_(problem.cost.shared_row_tree(), problem.w), col_bounds_(problem.cost.col_tree()) {}

  /// As ScalingKernel::read; visit(chunk, j, w, rows, e, count, sum) sees the pairs that are kept.
  template <class Visit = VisitNothing>
  S read(Problem const& problem, Reading<S> how, VectorX<S> const& f, VectorX<S>& g,
         RowSums<S>& rows, Parallel const& parallel, VectorX<S>& next, Visit const& visit = {}) {
    side_.prepare(f, how.at);
    if (workers_.size() < std::size_t(parallel.workers())) {
      workers_.resize(std::size_t(parallel.workers()));
    }
    // A thirtieth of the marginal error that the level aims at: theta bounds the mass left out.
    double const goal =
        20 * how.negligible * std::exp(2 * kernel_drift) * double(problem.n() + problem.m());
    double const theta = std::min(0.03 * goal, 1e-3);
    parallel_for(parallel, rows.columns.count, [&](Index chunk, int worker) {
      auto partial = rows.partial.col(chunk);
      partial.setZero();
      for (Index j = rows.columns.begin(chunk); j < rows.columns.end(chunk); j += leaf) {
        Worker& here = workers_[std::size_t(worker)];
        LeafSums<S> const sums = columns(problem, how, theta, g, j, here, partial.data());
        if constexpr (!std::same_as<Visit, VisitNothing>) {
          show(problem, chunk, j, here, sums, visit);
        }
      }
    });
    rows.total = rows.partial.col(0);
    for (Index chunk = 1; chunk < rows.columns.count; ++chunk) {
      rows.total += rows.partial.col(chunk);
    }
    // A row that lost all its pairs has at least not more than this.
    for (Index i = 0; i < problem.n(); ++i) {
      if (problem.w(i) > 0) rows.total(i) = std::max(rows.total(i), Wide(theta));
    }
    problem.update_rows(how.at, f, g, rows, parallel, next);
    return how.relaxation;
  }

  void anneal(Blur<S>, Blur<S>) {}
  bool distrust() { return false; }

 private:
  struct Worker {
    LeafEntries<S> kept;
    std::vector<std::int32_t> rows;
  };

  /// The columns of a leaf: g_j, and what is left of their exponentials added to the rows. Returns
  /// the sums.
  LeafSums<S> columns(Problem const& problem, Reading<S> const& how, double theta, VectorX<S>& g,
                      Index j, Worker& worker, Wide* partial) {
    Cloud const& cloud = problem.cost;
    Index const columns = std::min(leaf, cloud.cols() - j);
    S before[leaf];
    std::copy_n(g.data() + j, columns, before);
    LeafSums<S> const sums =
        side_.read(cloud, cloud.col_tree(), col_bounds_, j, theta, g, worker.kept);
    std::array<S, leaf> factor{};
    for (Index k = 0; k < columns; ++k) {
      if (!(problem.v(j + k) > 0)) continue;
      g(j + k) -= S(how.at.epsilon * std::log(sums.sum[k]));
      Wide share = Wide(problem.v(j + k)) / sums.sum[k];
      if (how.relaxation != 1) {
        S const beyond = (how.relaxation - 1) * (g(j + k) - before[k]);
        g(j + k) += beyond;
        share *= std::exp(Wide(beyond) / how.at.epsilon);
      }
      factor[std::size_t(k)] = S(share);
    }
    add_rows(factor, columns, worker.kept, partial);
    return sums;
  }

  /// visit(...) for the columns of a leaf with mass.
  template <class Visit>
  static void show(Problem const& problem, Index chunk, Index j, Worker& worker,
                   LeafSums<S> const& sums, Visit const& visit) {
    LeafEntries<S> const& kept = worker.kept;
    worker.rows.resize(std::max(worker.rows.size(), std::size_t(kept.height)));
    std::int32_t* row = worker.rows.data();
    for (auto const& [first, count] : kept.runs) {
      std::iota(row, row + count, std::int32_t(first));
      row += count;
    }
    for (Index k = 0; k < std::min(leaf, problem.m() - j); ++k) {
      if (!(problem.v(j + k) > 0)) continue;
      visit(chunk, j + k, problem.w, worker.rows.data(), kept.e.data() + k * kept.height,
            kept.height, S(sums.sum[k]));
    }
  }

  static void add_rows(std::array<S, leaf> const& factor, Index columns, LeafEntries<S> const& kept,
                       Wide* partial) {
    S few[segment_width];
    Index down = 0;
    for (auto const& [first, count] : kept.runs) {
      std::fill_n(few, count, S(0));
      add_leaf(factor.data(), columns, kept.e.data() + down, kept.height, count, few);
      for (Index i = 0; i < count; ++i) partial[first + i] += Wide(few[i]);
      down += count;
    }
  }

  TruncatedSide<S, F> side_;
  BoundsOf<S> col_bounds_;  // of the guesses of g, leaf by leaf
  std::vector<Worker> workers_;
};

template <RealScalar S, class F>
struct KernelFor<TruncatedCloud<S, F>> {
  using type = TruncatedKernel<S, F>;
};

template <RealScalar S, class F>
TruncatedKernel<S, F> make_kernel(EntropicProblem<TruncatedCloud<S, F>> const& problem,
                                  std::optional<double>) {
  return TruncatedKernel<S, F>(problem);
}

/// Newton's steps use the same reads.
template <RealScalar S, class F>
struct NewtonKernelFor<TruncatedCloud<S, F>> {
  using type = TruncatedKernel<S, F>;
};

template <RealScalar S, class F>
TruncatedKernel<S, F> make_newton_kernel(EntropicProblem<TruncatedCloud<S, F>> const& problem,
                                         std::optional<double>) {
  return TruncatedKernel<S, F>(problem);
}

}  // namespace monge::ot::detail
