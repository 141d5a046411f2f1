// SPDX-License-Identifier: MIT
/// @file
/// Reads of the exponentials between the points of one tree, whose potentials are known, and leaves
/// of points of another, whose potentials are guessed: the ones that matter, and their sums.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include <monge/ot/detail/truncated_cloud.hpp>

namespace monge::ot::detail {

/// The exponentials of a leaf of columns, as they are kept for further use.
template <RealScalar S>
struct LeafEntries {
  std::vector<std::pair<Index, Index>> runs;  // of rows: the first, and how many
  Index height = 0;                           // rows in them
  std::vector<S> e;                           // height x leaf
};

/// One side of the plan, with potentials f and weights w, ready to be read.
template <RealScalar S, class F>
class TruncatedSide {
 public:
  using Wide = wide_t<S>;
  using Cloud = TruncatedCloud<S, F>;
  using Tree = CloudTree<S>;
  static constexpr Index leaf = Tree::leaf;

  TruncatedSide() = default;
  TruncatedSide(std::shared_ptr<Tree const> tree, VectorX<S> const& w)
      : tree_(std::move(tree)),
        w_(w),
        logs_(w.array().log()),
        ones_(VectorX<S>::Ones(w.size())),
        f_(w.size()),
        folded_(w.size()),
        folded_tops_(tree_->cells()),
        bounds_(*tree_) {}

  [[nodiscard]] Tree const& tree() const { return *tree_; }

  void prepare(VectorX<S> const& f, Blur<S> at) {
    f_ = f;
    at_ = at;
    bounds_.fit(*tree_, f);
    fold(f, logs_, at, folded_);
    tree_->largest(folded_, folded_tops_);
  }

  /// e_ik for the points j, ... of a leaf of `to`, wherever it may exceed theta, and sum_i w_i
  /// e_ik. Where a sum is below a half the guess g was too low: it is raised to what the sum tells,
  /// and if that was too little becomes the exact soft transform. Points off, g = -infinity, take
  /// no part.
  LeafSums<S> read(Cloud const& cloud, Tree const& to, BoundsOf<S>& to_bounds, Index j,
                   double theta, VectorX<S>& g, LeafEntries<S>& kept) const {
    auto const y = Cloud::block(to, j, std::min(leaf, to.size() - j));
    LeafSums<S> sums;
    bool again = true;
    for (int attempt = 0; again && attempt < 3; ++attempt) {
      kept.runs.clear();
      kept.height = 0;
      to_bounds.fit_leaf(to, j / leaf, g);
      near_runs(
          cloud, *tree_, bounds_, to, to_bounds, g.segment(j, y.count).maxCoeff(), j / leaf, at_,
          std::log(theta), [](Index, S) {},
          [&](Index first, Index count) {
            kept.runs.emplace_back(first, count);
            kept.height += count;
          });
      kept.e.resize(std::max(kept.e.size(), std::size_t(kept.height * leaf)));
      sums = {};
      Index down = 0;
      for (auto const& [first, count] : kept.runs) {
        cloud.exponentials_of(*tree_, first, count, y.at, y.count, f_.data() + first, g.data() + j,
                              at_.inverse, w_.data() + first, kept.e.data() + down, kept.height,
                              sums);
        down += count;
      }
      again = false;
      for (Index k = 0; k < y.count; ++k) {
        bool const off = g(j + k) == -std::numeric_limits<S>::infinity();
        if (off || (sums.sum[k] >= Wide(0.5) && in_range<S>(sums.sum[k]))) continue;
        S exact = g(j + k) - S(at_.epsilon * std::log(sums.sum[k]));
        if (attempt > 0 || !in_range<S>(sums.sum[k])) {
          cloud.soft(*tree_, folded_, folded_tops_, Cloud::block(to, j + k, 1), at_, theta, ones_,
                     &exact);
        }
        again = again || g(j + k) != exact;
        g(j + k) = exact;
      }
    }
    return sums;
  }

 private:
  std::shared_ptr<Tree const> tree_;
  VectorX<S> w_, logs_, ones_;  // w, log w, 1
  VectorX<S> f_, folded_;       // f and f + epsilon log w
  VectorX<S> folded_tops_;      // the largest of the latter in the cells
  BoundsOf<S> bounds_;          // of f
  Blur<S> at_;
};

}  // namespace monge::ot::detail
