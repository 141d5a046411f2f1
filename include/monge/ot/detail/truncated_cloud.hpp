// SPDX-License-Identifier: MIT
/// @file
/// Point clouds whose small exponentials are never computed: the cost, and the reads of it.
///
/// Both clouds are in the order of a k-d tree. For 16 neighbouring columns at a time a read goes
/// down the tree of the rows and skips every cell I with
///
///     max_I f + max_J g - min c(box I, box J) < epsilon log theta,
///
/// all of whose exponentials are below theta. The search is done anew in every read and costs a few
/// percent of it, so there is no list of pairs to store, to bound or to renew, and what is skipped
/// fits the potentials of the moment: a column whose sum turns out to be less than a half had too
/// low a guess and is redone (detail/truncated_read.hpp). The mass that
/// the certificate skips is bounded cell by cell, sum_IJ w(I) v(J) exp((max f + max g - min c) /
/// epsilon) <= theta, and counted twice, once for the rows and once for the columns.
///
/// [Sc19] B. Schmitzer, Stabilized sparse scaling algorithms, SIAM J. Sci. Comput. 41 (2019),
/// sections 3.3 and 3.4. Deviation: there the kernel is stored and its pattern kept for many steps.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <monge/core/exp.hpp>
#include <monge/core/parallel.hpp>
#include <monge/ot/detail/cell_bounds.hpp>
#include <monge/ot/detail/cloud_tree.hpp>
#include <monge/ot/detail/entropic_input.hpp>
#include <monge/ot/detail/entropic_problem.hpp>

namespace monge::ot::detail {

/// What is summed over the rows of up to a leaf of columns.
template <RealScalar S>
struct LeafSums {
  static constexpr Index leaf = CloudTree<S>::leaf;
  wide_t<S> sum[leaf] = {};   // of w_i e_ij
  wide_t<S> paid[leaf] = {};  // of w_i e_ij c_ij, if asked for
};

/// A run of rows whose exponentials with a leaf of columns are wanted.
template <RealScalar S>
struct LeafRun {
  S const* x;  // coordinates of the first row, `stride` apart
  Index stride;
  S const *f, *w;
  Index count;
};

/// e_ik <- exp(((f_i + g_k) - |x_i - y_k|^2) / epsilon) for points with D coordinates, column k
/// from e + k stride on, and their sums. All that is known of a row stays in registers.
template <int D, bool Paid, RealScalar S, Index most>
void near_exponentials(LeafRun<S> const& run, S const (*y)[most], S const* g, Index columns,
                       S scale, S* e, Index stride, LeafSums<S>& sums) {
  using V = simd::pack_t<S>;
  constexpr Index step = simd::lanes<S>;
  S const off = -std::numeric_limits<S>::infinity();
  V total[LeafSums<S>::leaf] = {}, paid[Paid ? LeafSums<S>::leaf : 1] = {};
  auto const rows = [&](auto const& load, auto const& store, Index i) {
    V x[D];
    unrolled<D>([&](auto q) { x[q] = load(run.x + q * run.stride + i, S(0)); });
    V const f = load(run.f + i, off), w = load(run.w + i, S(0));
    for (Index k = 0; k < columns; ++k) {
      V z = x[0] - y[k][0];
      V c = z * z;
      unrolled<D - 1>([&](auto q) {
        z = x[q + 1] - y[k][q + 1];
        c += z * z;
      });
      V const value = exp_pack<S>(((f + g[k]) - c) * scale);
      store(e + k * stride + i, value);
      if constexpr (Paid) {
        V const part = w * value;
        total[k] += part;
        paid[k] += part * c;
      } else {
        total[k] += w * value;
      }
    }
  };
  Index i = 0;
  for (; i + step <= run.count; i += step) {
    rows([](S const* from, S) { return simd::load(from); },
         [](S* to, V const& value) { simd::store<S>(to, value); }, i);
  }
  if (i < run.count) {
    Index const rest = run.count - i;
    rows([rest](S const* from, S fill) { return simd::load_part(from, rest, fill); },
         [rest](S* to, V const& value) { simd::store_part<S>(to, value, rest); }, i);
  }
  for (Index k = 0; k < columns; ++k) {
    sums.sum[k] += simd::sum<S>(total[k]);
    if constexpr (Paid) sums.paid[k] += simd::sum<S>(paid[k]);
  }
}

template <RealScalar S, class F>
class ClusterSystem;

/// A cost c(x, y) that grows with every |x_k - y_k|, between clouds in the order of trees.
template <RealScalar S, class F>
class TruncatedCloud {
 public:
  using Scalar = S;
  using Tree = CloudTree<S>;
  static constexpr Index most_coordinates = 16;

  using System = ClusterSystem<S, F>;

  /// system: of clusters of `group` consecutive points each, for Newton's steps.
  TruncatedCloud(F cost, std::shared_ptr<Tree const> x, std::shared_ptr<Tree const> y, double theta,
                 std::shared_ptr<System const> system = {}, Index group = 1)
      : cost_(std::move(cost)),
        x_(std::move(x)),
        y_(std::move(y)),
        theta_(theta),
        system_(std::move(system)),
        group_(group) {}

  [[nodiscard]] Index rows() const { return x_->size(); }
  [[nodiscard]] Index cols() const { return y_->size(); }
  [[nodiscard]] Tree const& row_tree() const { return *x_; }
  [[nodiscard]] Tree const& col_tree() const { return *y_; }
  [[nodiscard]] std::shared_ptr<Tree const> const& shared_row_tree() const { return x_; }
  [[nodiscard]] std::shared_ptr<Tree const> const& shared_col_tree() const { return y_; }
  /// What a certificate may leave out.
  [[nodiscard]] double theta() const { return theta_; }
  [[nodiscard]] std::shared_ptr<System const> const& system() const { return system_; }
  [[nodiscard]] Index group() const { return group_; }

  S const* column_segment(Index j, Index first, Index count, S* scratch) const {
    S y[most_coordinates];
    point(*y_, j, y);
    costs(*x_, first, count, y, scratch);
    return scratch;
  }

  /// The coordinates of one point.
  static void point(Tree const& tree, Index i, S* y) {
    for (Index k = 0; k < tree.dimension(); ++k) y[k] = tree.coordinates()(i, k);
  }
  /// out_i <- c(x_i, y) for points of a tree.
  void costs(Tree const& tree, Index first, Index count, S const* y, S* out) const {
    cost_.segment(tree.coordinates().data() + first, tree.size(), y, tree.dimension(), count, out);
  }
  /// e_ik <- exp(((f_i + g_k) - c(x_i, y_k)) / epsilon) for at most segment_width rows of a tree
  /// and a leaf of points, column k from e + k stride on; adds to their sums.
  template <bool Paid = false>
  void exponentials_of(Tree const& tree, Index first, Index count, S const (*y)[most_coordinates],
                       Index columns, S const* f, S const* g, S scale, S const* w, S* e,
                       Index stride, LeafSums<S>& sums) const {
    if constexpr (std::same_as<F, squared_euclidean>) {
      LeafRun<S> const run{tree.coordinates().data() + first, tree.size(), f, w, count};
      switch (tree.dimension()) {
        case 1:
          return near_exponentials<1, Paid>(run, y, g, columns, scale, e, stride, sums);
        case 2:
          return near_exponentials<2, Paid>(run, y, g, columns, scale, e, stride, sums);
        case 3:
          return near_exponentials<3, Paid>(run, y, g, columns, scale, e, stride, sums);
        default:
          break;
      }
    }
    S c[segment_width];
    for (Index k = 0; k < columns; ++k) {
      costs(tree, first, count, y[k], c);
      sums.sum[k] += exponentials(f, g[k], c, scale, w, e + k * stride, count);
      if constexpr (Paid) sums.paid[k] += weighted_cost(w, e + k * stride, c, count);
    }
  }

  /// A lower bound of the cost between two boxes: that of their gaps, less its rounding.
  [[nodiscard]] S least(S const* box, S const* other, Index d) const {
    S gap[most_coordinates], zero[most_coordinates] = {}, result;
    for (Index k = 0; k < d; ++k) {
      S const below = box[k] - other[d + k], above = other[k] - box[d + k];
      S const farther = below > above ? below : above;
      gap[k] = farther > 0 ? farther : S(0);
    }
    if constexpr (std::same_as<F, squared_euclidean>) {
      result = 0;
      for (Index k = 0; k < d; ++k) result += gap[k] * gap[k];
    } else {
      cost_.segment(gap, 1, zero, d, 1, &result);
    }
    return result * (1 - 32 * unit_roundoff<S>);
  }

  /// An upper bound of the cost.
  [[nodiscard]] double largest() const {
    Index const d = x_->dimension();
    S const *a = x_->box(x_->root()), *b = y_->box(y_->root());
    S span[most_coordinates], zero[most_coordinates] = {}, result;
    for (Index k = 0; k < d; ++k) span[k] = std::max(a[d + k] - b[k], b[d + k] - a[k]);
    cost_.segment(span, 1, zero, d, 1, &result);
    return double(result);
  }

  /// Points at which a soft transform is wanted, near to each other: at most a leaf of them.
  struct Block {
    Index count = 0;
    S at[Tree::leaf][most_coordinates];
    S box[2 * most_coordinates];
  };
  [[nodiscard]] static Block block(Tree const& tree, Index first, Index count) {
    Block points;
    Index const d = tree.dimension();
    points.count = count;
    for (Index k = 0; k < count; ++k) {
      point(tree, first + k, points.at[k]);
      for (Index q = 0; q < d; ++q) {
        S const x = points.at[k][q];
        points.box[q] = k == 0 ? x : std::min(points.box[q], x);
        points.box[d + q] = k == 0 ? x : std::max(points.box[d + q], x);
      }
    }
    return points;
  }

  /// The soft transforms -epsilon log sum_i exp((h_i - c(x_i, y)) / epsilon) at the points y of a
  /// block for the points x_i of a tree, where h has the largest value `tops` in the cells. Terms
  /// below n^-1 cut times the largest are left out. +infinity if all h are -infinity.
  void soft(Tree const& tree, VectorX<S> const& h, VectorX<S> const& tops, Block const& y,
            Blur<S> at, double cut, VectorX<S> const& ones, S* result) const {
    LeafSums<S> sums;
    near_terms(tree, h, tops, y, at, cut, result, [&](Index first, Index count) {
      S e[Tree::leaf * Tree::leaf];
      exponentials_of(tree, first, count, y.at, y.count, h.data() + first, result, at.inverse,
                      ones.data() + first, e, Tree::leaf, sums);
    });
    for (Index k = 0; k < y.count; ++k) {
      if (result[k] < std::numeric_limits<S>::infinity()) {
        result[k] -= S(at.epsilon * std::log(sums.sum[k]));
      }
    }
  }

 private:
  /// hard_k <- the transform at the k-th point of the block for a vanishing epsilon; visit(first,
  /// count) for the leaves with terms of the soft transforms that matter.
  template <class Visit>
  void near_terms(Tree const& tree, VectorX<S> const& h, VectorX<S> const& tops, Block const& y,
                  Blur<S> at, double cut, S* hard, Visit&& visit) const {
    S const none = std::numeric_limits<S>::infinity();
    Index const d = tree.dimension();
    S c[Tree::leaf];
    std::fill_n(hard, y.count, none);
    S const highest =
        tree.least([&](Index cell) { return least(tree.box(cell), y.box, d) - tops(cell); },
                   [&](Index first, Index count) {
                     S most = -none;
                     for (Index k = 0; k < y.count; ++k) {
                       costs(tree, first, count, y.at[k], c);
                       for (Index i = 0; i < count; ++i) {
                         hard[k] = std::min(hard[k], c[i] - h(first + i));
                       }
                       most = std::max(most, hard[k]);
                     }
                     return most;
                   });
    if (!(highest < none)) return;
    S const bound = S(std::log(cut / double(tree.size())) * double(at.epsilon));
    tree.descend(
        [&](Index cell) { return tops(cell) + highest - least(tree.box(cell), y.box, d) >= bound; },
        visit);
  }

  F cost_;
  std::shared_ptr<Tree const> x_, y_;
  double theta_;
  std::shared_ptr<System const> system_;
  Index group_;
};

/// h <- p + epsilon log w, so that sums need no weights; -infinity where a weight is zero.
template <RealScalar S>
void fold(VectorX<S> const& p, VectorX<S> const& log_w, Blur<S> at, VectorX<S>& h) {
  for (Index i = 0; i < p.size(); ++i) {
    bool const on = log_w(i) > -std::numeric_limits<S>::infinity();
    h(i) = on ? p(i) + S(at.epsilon) * log_w(i) : log_w(i);
  }
}

/// visit(first, count, worker) for the leaves of a tree, by threads.
template <RealScalar S, class Visit>
void for_each_leaf(CloudTree<S> const& tree, Parallel const& parallel, Visit&& visit) {
  constexpr Index leaf = CloudTree<S>::leaf;
  Chunks const chunks(tree.size());
  parallel_for(parallel, chunks.count, [&](Index chunk, int worker) {
    for (Index i = chunks.begin(chunk); i < chunks.end(chunk); i += leaf) {
      visit(i, std::min(leaf, chunks.end(chunk) - i), worker);
    }
  });
}

/// Soft transforms of potentials g with weights v on one tree at all points of another one.
template <RealScalar S, class F>
void soft_at(TruncatedCloud<S, F> const& cloud, CloudTree<S> const& from, CloudTree<S> const& to,
             Blur<S> at, VectorX<S> const& g, VectorX<S> const& v, Parallel const& parallel,
             VectorX<S>& soft) {
  VectorX<S> h(from.size()), tops(from.cells());
  VectorX<S> const ones = VectorX<S>::Ones(from.size()), logs = v.array().log();
  fold(g, logs, at, h);
  from.largest(h, tops);
  for_each_leaf(to, parallel, [&](Index first, Index count, int) {
    cloud.soft(from, h, tops, cloud.block(to, first, count), at, cloud.theta(), ones,
               soft.data() + first);
  });
}

/// The largest cost is that between opposite corners of the clouds' boxes, an upper bound; the mean
/// is one over a sample of the pairs.
template <RealScalar S, class F>
CostScale checked_scale(std::string_view, TruncatedCloud<S, F> const& cloud) {
  CostScale scale;
  scale.largest = cloud.largest();
  Index const n = cloud.rows(), m = cloud.cols(), rows = std::min<Index>(n, 64);
  double sum = 0;
  S c;
  for (Index k = 0; k < 64 * rows; ++k) {
    sum += double(*cloud.column_segment((k * (m / 2 + 1)) % m, (k % rows) * n / rows, 1, &c));
  }
  scale.mean = sum / double(64 * rows);
  return scale;
}

template <RealScalar S, class F>
void soft_rows(TruncatedCloud<S, F> const& cloud, Blur<S> at, VectorX<S> const& g,
               VectorX<S> const& v, RowSums<S>&, Parallel const& parallel, VectorX<S>& soft) {
  soft_at(cloud, cloud.col_tree(), cloud.row_tree(), at, g, v, parallel, soft);
}

template <RealScalar S>
using BoundsOf = CellBounds<S, 16>;

/// Calls visit(first, count) for runs of rows, at most segment_width each, whose exponentials may
/// exceed theta in the columns of the leaf; skip(cell, log of a bound of what it holds) for others.
/// The columns' bounds are up to date for this leaf, of whose potentials `top` is the largest.
template <RealScalar S, class F, class Skip, class Visit>
void near_runs(TruncatedCloud<S, F> const& cloud, CloudTree<S> const& row_tree,
               BoundsOf<S> const& rows, CloudTree<S> const& col_tree, BoundsOf<S> const& cols,
               S top, Index leaf, Blur<S> at, double log_theta, Skip&& skip, Visit&& visit) {
  S const* const box = col_tree.box(leaf);
  Index const d = row_tree.dimension();
  S const bound = S(log_theta * double(at.epsilon));
  Index first = 0, count = 0;
  row_tree.descend(
      [&](Index cell) {
        S most;
        if (std::same_as<F, squared_euclidean> && rows.linear(cell)) {
          most = rows.bound(cell, cols, leaf);
        } else {
          most = (rows.tops()(cell) + top) - cloud.least(row_tree.box(cell), box, d);
        }
        if (most >= bound) return true;
        skip(cell, most * at.inverse);
        return false;
      },
      [&](Index begin, Index size) {
        if (first + count == begin && count + size <= segment_width) {
          count += size;
          return;
        }
        if (count > 0) visit(first, count);
        first = begin;
        count = size;
      });
  if (count > 0) visit(first, count);
}

/// rows += sum_k factor_k * column k for the columns of a leaf.
template <RealScalar S>
void add_leaf(S const* factor, Index columns, S const* e, Index stride, Index count, S* rows) {
  Index k = 0;
  for (; k + 4 <= columns; k += 4) {
    add_columns<4, S>({factor[k], factor[k + 1], factor[k + 2], factor[k + 3]}, e + k * stride,
                      stride, count, rows);
  }
  for (; k < columns; ++k) add_columns<1, S>({factor[k]}, e + k * stride, stride, count, rows);
}

template <RealScalar S, class F>
wide_t<S> measure_plan(TruncatedCloud<S, F> const& cloud, Blur<S> at, VectorX<S> const& f,
                       VectorX<S> const& g, VectorX<S> const& w, VectorX<S> const& v,
                       RowSums<S>& rows, Parallel const& parallel, VectorX<wide_t<S>>& sum,
                       VectorX<wide_t<S>>& paid) {
  using Wide = wide_t<S>;
  using Cloud = TruncatedCloud<S, F>;
  constexpr Index leaf = CloudTree<S>::leaf;
  BoundsOf<S> row_bounds(cloud.row_tree()), col_bounds(cloud.col_tree());
  row_bounds.fit(cloud.row_tree(), f);
  col_bounds.fit(cloud.col_tree(), g);
  VectorX<Wide> mass(cloud.row_tree().cells()), left_out = VectorX<Wide>::Zero(rows.columns.count);
  cloud.row_tree().gather(w, Wide(0), mass, [](Wide x, Wide y) { return x + y; });
  double const log_theta = std::log(cloud.theta());
  parallel_for(parallel, rows.columns.count, [&](Index chunk, int) {
    auto partial = rows.partial.col(chunk);
    partial.setZero();
    S e[leaf * segment_width], few[segment_width], y[leaf][Cloud::most_coordinates];
    for (Index j = rows.columns.begin(chunk); j < rows.columns.end(chunk); j += leaf) {
      Index const columns = std::min(leaf, cloud.cols() - j);
      for (Index k = 0; k < columns; ++k) cloud.point(cloud.col_tree(), j + k, y[k]);
      LeafSums<S> sums;
      Wide const here = v.segment(j, columns).template cast<Wide>().sum();
      near_runs(
          cloud, cloud.row_tree(), row_bounds, cloud.col_tree(), col_bounds,
          g.segment(j, columns).maxCoeff(), j / leaf, at, log_theta,
          [&](Index cell, S most) {
            left_out(chunk) += Wide(1.001) * here * mass(cell) * std::exp(Wide(most));
          },
          [&](Index first, Index count) {
            cloud.template exponentials_of<true>(cloud.row_tree(), first, count, y, columns,
                                                 f.data() + first, g.data() + j, at.inverse,
                                                 w.data() + first, e, segment_width, sums);
            std::fill_n(few, count, S(0));
            add_leaf(v.data() + j, columns, e, segment_width, count, few);
            partial.segment(first, count) +=
                ConstArrayMap<S>(few, count).matrix().template cast<Wide>();
          });
      for (Index k = 0; k < columns; ++k) {
        sum(j + k) = sums.sum[k];
        paid(j + k) = sums.paid[k];
      }
    }
  });
  rows.total = rows.partial.col(0);
  for (Index chunk = 1; chunk < rows.columns.count; ++chunk) rows.total += rows.partial.col(chunk);
  return left_out.sum();
}

}  // namespace monge::ot::detail
