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
/// low a guess and is redone from its exact soft transform, found by the same tree. The mass that
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
#include <monge/ot/detail/scaling_kernel.hpp>

namespace monge::ot::detail {

/// e_i <- exp(((f_i + g) - |x_i - y|^2) / epsilon) for points with D coordinates, in registers;
/// returns sum_i w_i e_i.
template <int D, RealScalar S>
wide_t<S> near_exponentials(S const* x, Index stride, S const* y, S const* f, S g, S scale,
                            S const* w, S* e, Index count) {
  using V = simd::pack_t<S>;
  constexpr Index step = simd::lanes<S>;
  S const off = -std::numeric_limits<S>::infinity();
  V total{};
  auto const pack = [&](auto const& load, Index k) {
    V z = load(x, k, S(0)) - y[0];
    V c = z * z;
    unrolled<D - 1>([&](auto q) {
      z = load(x + (q + 1) * stride, k, S(0)) - y[q + 1];
      c += z * z;
    });
    V const value = exp_pack<S>(((load(f, k, off) + g) - c) * scale);
    total += load(w, k, S(0)) * value;
    return value;
  };
  Index k = 0;
  for (; k + step <= count; k += step) {
    auto const whole = [](S const* from, Index at, S) { return simd::load(from + at); };
    simd::store<S>(e + k, pack(whole, k));
  }
  if (k < count) {
    Index const rest = count - k;
    auto const part = [rest](S const* from, Index at, S fill) {
      return simd::load_part(from + at, rest, fill);
    };
    simd::store_part<S>(e + k, pack(part, k), rest);
  }
  return simd::sum<S>(total);
}

/// A cost c(x, y) that grows with every |x_k - y_k|, between clouds in the order of trees.
template <RealScalar S, class F>
class TruncatedCloud {
 public:
  using Scalar = S;
  using Tree = CloudTree<S>;
  static constexpr Index most_coordinates = 16;

  TruncatedCloud(F cost, std::shared_ptr<Tree const> x, std::shared_ptr<Tree const> y, double theta)
      : cost_(std::move(cost)), x_(std::move(x)), y_(std::move(y)), theta_(theta) {}

  [[nodiscard]] Index rows() const { return x_->size(); }
  [[nodiscard]] Index cols() const { return y_->size(); }
  [[nodiscard]] Tree const& row_tree() const { return *x_; }
  [[nodiscard]] Tree const& col_tree() const { return *y_; }
  /// What a certificate may leave out.
  [[nodiscard]] double theta() const { return theta_; }

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
  /// e_i <- exp(((f_i + g) - c(x_i, y)) / epsilon); returns sum_i w_i e_i. At most segment_width.
  wide_t<S> exponentials_of(Tree const& tree, Index first, Index count, S const* y, S const* f, S g,
                            S scale, S const* w, S* e) const {
    if constexpr (std::same_as<F, squared_euclidean>) {
      S const* const x = tree.coordinates().data() + first;
      Index const stride = tree.size();
      switch (tree.dimension()) {
        case 1:
          return near_exponentials<1>(x, stride, y, f, g, scale, w, e, count);
        case 2:
          return near_exponentials<2>(x, stride, y, f, g, scale, w, e, count);
        case 3:
          return near_exponentials<3>(x, stride, y, f, g, scale, w, e, count);
        default:
          break;
      }
    }
    S scratch[segment_width];
    costs(tree, first, count, y, scratch);
    return exponentials(f, g, scratch, scale, w, e, count);
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

  /// The soft transform at one point: -epsilon log sum_i exp((h_i - c(x_i, y)) / epsilon) for the
  /// points x_i of a tree, where h has the largest value `tops` in the cells. Terms below n^-1 cut
  /// times the largest are left out. +infinity if all h are -infinity.
  [[nodiscard]] S soft(Tree const& tree, VectorX<S> const& h, VectorX<S> const& tops, S const* y,
                       Blur<S> at, double cut, VectorX<S> const& ones) const {
    using Wide = wide_t<S>;
    S const none = std::numeric_limits<S>::infinity();
    Index const d = tree.dimension();
    S box[2 * most_coordinates], c[Tree::leaf], e[Tree::leaf];
    for (Index k = 0; k < d; ++k) box[k] = box[d + k] = y[k];
    S const hard =
        tree.least([&](Index cell) { return least(tree.box(cell), box, d) - tops(cell); },
                   [&](Index first, Index count) {
                     costs(tree, first, count, y, c);
                     S low = none;
                     for (Index i = 0; i < count; ++i) low = std::min(low, c[i] - h(first + i));
                     return low;
                   });
    if (!(hard < none)) return none;
    S const bound = S(std::log(cut / double(tree.size())) * double(at.epsilon));
    Wide sum = 0;
    tree.descend(
        [&](Index cell) { return tops(cell) + hard - least(tree.box(cell), box, d) >= bound; },
        [&](Index first, Index count) {
          sum += exponentials_of(tree, first, count, y, h.data() + first, hard, at.inverse,
                                 ones.data() + first, e);
        });
    return hard - S(at.epsilon * std::log(sum));
  }

 private:
  F cost_;
  std::shared_ptr<Tree const> x_, y_;
  double theta_;
};

/// h <- p + epsilon log w, so that sums need no weights; -infinity where a weight is zero.
template <RealScalar S>
void fold(VectorX<S> const& p, VectorX<S> const& log_w, Blur<S> at, VectorX<S>& h) {
  for (Index i = 0; i < p.size(); ++i) {
    bool const on = log_w(i) > -std::numeric_limits<S>::infinity();
    h(i) = on ? p(i) + S(at.epsilon) * log_w(i) : log_w(i);
  }
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
  Chunks const chunks(to.size());
  parallel_for(parallel, chunks.count, [&](Index chunk, int) {
    for (Index i = chunks.begin(chunk); i < chunks.end(chunk); ++i) {
      S x[TruncatedCloud<S, F>::most_coordinates];
      cloud.point(to, i, x);
      soft(i) = cloud.soft(from, h, tops, x, at, cloud.theta(), ones);
    }
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
/// The columns' bounds are up to date for this leaf.
template <RealScalar S, class F, class Skip, class Visit>
void near_runs(TruncatedCloud<S, F> const& cloud, BoundsOf<S> const& rows, BoundsOf<S> const& cols,
               S top, Index leaf, Blur<S> at, double log_theta, Skip&& skip, Visit&& visit) {
  S const* const box = cloud.col_tree().box(leaf);
  Index const d = cloud.row_tree().dimension();
  S const bound = S(log_theta * double(at.epsilon));
  Index first = 0, count = 0;
  cloud.row_tree().descend(
      [&](Index cell) {
        S most;
        if (std::same_as<F, squared_euclidean> && rows.linear(cell)) {
          most = rows.bound(cell, cols, leaf);
        } else {
          most = (rows.tops()(cell) + top) - cloud.least(cloud.row_tree().box(cell), box, d);
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

template <RealScalar S, class F>
wide_t<S> measure_plan(TruncatedCloud<S, F> const& cloud, Blur<S> at, VectorX<S> const& f,
                       VectorX<S> const& g, VectorX<S> const& w, VectorX<S> const& v,
                       RowSums<S>& rows, Parallel const& parallel, VectorX<wide_t<S>>& sum,
                       VectorX<wide_t<S>>& paid) {
  using Wide = wide_t<S>;
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
    S e[segment_width], c[segment_width], few[segment_width];
    S y[leaf][TruncatedCloud<S, F>::most_coordinates];
    for (Index j = rows.columns.begin(chunk); j < rows.columns.end(chunk); j += leaf) {
      Index const columns = std::min(leaf, cloud.cols() - j);
      for (Index k = 0; k < columns; ++k) cloud.point(cloud.col_tree(), j + k, y[k]);
      sum.segment(j, columns).setZero();
      paid.segment(j, columns).setZero();
      Wide const here = v.segment(j, columns).template cast<Wide>().sum();
      near_runs(
          cloud, row_bounds, col_bounds, g.segment(j, columns).maxCoeff(), j / leaf, at, log_theta,
          [&](Index cell, S most) {
            left_out(chunk) += Wide(1.001) * here * mass(cell) * std::exp(Wide(most));
          },
          [&](Index first, Index count) {
            std::fill_n(few, count, S(0));
            for (Index k = 0; k < columns; ++k) {
              sum(j + k) +=
                  cloud.exponentials_of(cloud.row_tree(), first, count, y[k], f.data() + first,
                                        g(j + k), at.inverse, w.data() + first, e);
              cloud.costs(cloud.row_tree(), first, count, y[k], c);
              paid(j + k) += weighted_cost(w.data() + first, e, c, count);
              add_columns<1, S>({v(j + k)}, e, count, count, few);
            }
            partial.segment(first, count) +=
                ConstArrayMap<S>(few, count).matrix().template cast<Wide>();
          });
    }
  });
  rows.total = rows.partial.col(0);
  for (Index chunk = 1; chunk < rows.columns.count; ++chunk) rows.total += rows.partial.col(chunk);
  return left_out.sum();
}

/// The read for Sinkhorn, with the interface of ScalingKernel.
template <RealScalar S, class F>
class TruncatedKernel {
 public:
  using Wide = wide_t<S>;
  using Cloud = TruncatedCloud<S, F>;
  using Problem = EntropicProblem<Cloud>;
  static constexpr Index leaf = CloudTree<S>::leaf;

  TruncatedKernel() = default;
  explicit TruncatedKernel(Problem const& problem)
      : logs_(problem.w.array().log()),
        folded_(problem.n()),
        ones_(VectorX<S>::Ones(problem.n())),
        row_bounds_(problem.cost.row_tree()),
        col_bounds_(problem.cost.col_tree()),
        folded_tops_(problem.cost.row_tree().cells()) {}

  S read(Problem const& problem, Reading<S> how, VectorX<S> const& f, VectorX<S>& g,
         RowSums<S>& rows, Parallel const& parallel, VectorX<S>& next) {
    auto const& tree = problem.cost.row_tree();
    row_bounds_.fit(tree, f);
    fold(f, logs_, how.at, folded_);
    tree.largest(folded_, folded_tops_);
    if (workers_.size() < std::size_t(parallel.workers())) {
      workers_.resize(std::size_t(parallel.workers()));
    }
    // A hundredth of the marginal error that the level aims at.
    double const goal =
        20 * how.negligible * std::exp(2 * kernel_drift) * double(problem.n() + problem.m());
    double const theta = std::min(0.01 * goal, 1e-3);
    parallel_for(parallel, rows.columns.count, [&](Index chunk, int worker) {
      auto partial = rows.partial.col(chunk);
      partial.setZero();
      for (Index j = rows.columns.begin(chunk); j < rows.columns.end(chunk); j += leaf) {
        columns(problem, how, theta, f, g, j, workers_[std::size_t(worker)], partial.data());
      }
    });
    rows.total = rows.partial.col(0);
    for (Index chunk = 1; chunk < rows.columns.count; ++chunk) {
      rows.total += rows.partial.col(chunk);
    }
    problem.update_rows(how.at, f, g, rows, parallel, next);
    return how.relaxation;
  }

  void anneal(Blur<S>, Blur<S>) {}
  bool distrust() { return false; }

 private:
  struct Worker {
    std::vector<std::pair<Index, Index>> runs;
    std::vector<S> e;
  };

  /// The columns of a leaf: g_j, and what is left of their exponentials added to the rows.
  void columns(Problem const& problem, Reading<S> const& how, double theta, VectorX<S> const& f,
               VectorX<S>& g, Index j, Worker& worker, Wide* partial) {
    Cloud const& cloud = problem.cost;
    Index const columns = std::min(leaf, cloud.cols() - j);
    S y[leaf][Cloud::most_coordinates], before[leaf];
    for (Index k = 0; k < columns; ++k) {
      cloud.point(cloud.col_tree(), j + k, y[k]);
      before[k] = g(j + k);
    }
    Wide sum[leaf];
    Index height = 0;
    bool again = true;
    for (int attempt = 0; again && attempt < 2; ++attempt) {
      worker.runs.clear();
      height = 0;
      col_bounds_.fit_leaf(cloud.col_tree(), j / leaf, g);
      near_runs(
          cloud, row_bounds_, col_bounds_, g.segment(j, columns).maxCoeff(), j / leaf, how.at,
          std::log(theta), [](Index, S) {},
          [&](Index first, Index count) {
            worker.runs.emplace_back(first, count);
            height += count;
          });
      worker.e.resize(std::max(worker.e.size(), std::size_t(height * leaf)));
      std::fill_n(sum, leaf, Wide(0));
      Index down = 0;
      for (auto const& [first, count] : worker.runs) {
        for (Index k = 0; k < columns; ++k) {
          sum[k] += cloud.exponentials_of(cloud.row_tree(), first, count, y[k], f.data() + first,
                                          g(j + k), how.at.inverse, problem.w.data() + first,
                                          worker.e.data() + k * height + down);
        }
        down += count;
      }
      again = false;
      for (Index k = 0; k < columns; ++k) {
        if (!(problem.v(j + k) > 0) || (sum[k] >= Wide(0.5) && in_range<S>(sum[k]))) continue;
        S const exact =
            cloud.soft(cloud.row_tree(), folded_, folded_tops_, y[k], how.at, theta, ones_);
        again = again || g(j + k) != exact;
        g(j + k) = exact;
      }
    }
    std::array<S, leaf> factor{};
    for (Index k = 0; k < columns; ++k) {
      if (!(problem.v(j + k) > 0)) continue;
      g(j + k) -= S(how.at.epsilon * std::log(sum[k]));
      Wide share = Wide(problem.v(j + k)) / sum[k];
      if (how.relaxation != 1) {
        S const beyond = (how.relaxation - 1) * (g(j + k) - before[k]);
        g(j + k) += beyond;
        share *= std::exp(Wide(beyond) / how.at.epsilon);
      }
      factor[std::size_t(k)] = S(share);
    }
    add_rows(factor, columns, height, worker, partial);
  }

  static void add_rows(std::array<S, leaf> const& factor, Index columns, Index height,
                       Worker const& worker, Wide* partial) {
    S few[segment_width];
    Index down = 0;
    for (auto const& [first, count] : worker.runs) {
      std::fill_n(few, count, S(0));
      S const* const e = worker.e.data() + down;
      Index k = 0;
      for (; k + 4 <= columns; k += 4) {
        std::array<S, 4> const four{factor[std::size_t(k)], factor[std::size_t(k + 1)],
                                    factor[std::size_t(k + 2)], factor[std::size_t(k + 3)]};
        add_columns<4, S>(four, e + k * height, height, count, few);
      }
      for (; k < columns; ++k) {
        add_columns<1, S>({factor[std::size_t(k)]}, e + k * height, height, count, few);
      }
      for (Index i = 0; i < count; ++i) partial[first + i] += Wide(few[i]);
      down += count;
    }
  }

  VectorX<S> logs_, folded_, ones_;      // log w, f + epsilon log w, 1
  BoundsOf<S> row_bounds_, col_bounds_;  // of f, and of the guesses of g leaf by leaf
  VectorX<S> folded_tops_;               // the largest of the folded f in the cells
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

}  // namespace monge::ot::detail
