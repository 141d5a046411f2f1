// SPDX-License-Identifier: MIT
/// @file
/// All slices of a pair of clouds: project, sort, couple; and the way back of the derivatives.
///
/// Directions are taken in blocks that depend on the sizes only. In a block, the projections are
/// shared out by panels of points, the sorts by directions, and the derivatives again by panels,
/// which are complete for all directions before theirs: no two tasks write to the same place, so
/// results do not depend on the number of threads.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <monge/core/detail/sort.hpp>
#include <monge/core/parallel.hpp>
#include <monge/ot/detail/centred_cloud.hpp>
#include <monge/ot/detail/panel_product.hpp>
#include <monge/ot/detail/quantile_coupling.hpp>

namespace monge::ot::detail {

/// What slicing a cloud needs and reuses.
template <RealScalar S>
struct SlicedCloud {
  VectorX<S> columns;              // projections, later sorted or slopes, of a block of directions
  std::vector<VectorX<S>> sorted;  // one per worker
  std::vector<std::vector<std::int32_t>> order;       // one per worker
  std::vector<std::int32_t> orders;                   // one per direction, if they are kept
  Eigen::Array<double, Eigen::Dynamic, 1> deviation;  // L: standard deviations of the slices
};

/// Which of its results slicing computes.
struct SliceTask {
  double p = 2;
  bool deviations = false;
  bool keep_orders = false, orders_known = false;
};

/// One side of the problem: the points, the work space, and where sum_l factor_l slope_l(k) theta_l
/// goes (d x n; null: not wanted).
template <RealScalar S>
struct SlicedSide {
  CentredCloud<S> const& points;
  SlicedCloud<S>& work;
  MatrixX<S>* gradient;
};

/// The mean of p_k^2, with weights if there are any.
template <RealScalar S>
double mean_square(S const* p, CentredCloud<S> const& cloud) {
  double sum = 0;
  if (cloud.weights.size() > 0) {
    for (Index k = 0; k < cloud.size; ++k) sum += cloud.weights(k) * double(p[k]) * double(p[k]);
    return sum;
  }
  constexpr Index block = 256;  // summed in S: short enough for float
  using Points = Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1> const>;
  for (Index first = 0; first < cloud.size; first += block) {
    sum += double(Points(p + first, std::min(block, cloud.size - first)).square().sum());
  }
  return sum / double(cloud.size);
}

/// c'(x_k - y_k) / n and its negative, where the points were before they were sorted.
template <RealScalar S, class Power>
void matched_slopes(S const* x, S const* y, Index n, Power c, std::int32_t const* order_x,
                    std::int32_t const* order_y, S* slopes_x, S* slopes_y) {
  S const each = S(1) / S(n);
  for (Index k = 0; k < n; ++k) {
    S const slope = each * c.slope(x[k] - y[k]);
    if (slopes_x) slopes_x[order_x[k]] = slope;
    if (slopes_y) slopes_y[order_y[k]] = -slope;
  }
}

template <RealScalar S>
class Slicer {
 public:
  /// theta (d x L) is kept as a copy.
  Slicer(SlicedSide<S> x, SlicedSide<S> y, std::vector<monge::detail::SortScratch<S>>& scratch,
         MatrixX<double> const& theta, double unit, SliceTask const& task, Parallel const& parallel)
      : x_(x),
        y_(y),
        scratch_(scratch),
        theta_(theta.template cast<S>()),
        unit_(unit),
        task_(task),
        parallel_(parallel) {
    // Measured: few directions per block, whose projections stay in a cache of some megabytes, but
    // so many that reading the points once per block is not what takes the time. Equal blocks.
    double const bytes = double((x.points.row() + y.points.row()) * Index(sizeof(S)));
    Index const narrowest = std::clamp<Index>(x.points.dimension / 2, 8, 40);
    Index const widest = std::clamp<Index>(Index(double(1 << 22) / bytes), narrowest, 64);
    Index const blocks = (count() + widest - 1) / widest;
    block_ = std::min(((count() + blocks - 1) / blocks + 3) / 4 * 4, count());
    prepare(x_);
    prepare(y_);
    if (scratch_.size() < std::size_t(parallel.workers())) {
      scratch_.resize(std::size_t(parallel.workers()));
    }
  }

  /// values(l) = W_p^p of slice l; the derivatives of sum_l factors(l) values(l) go to the sides'
  /// `gradient`.
  void run(VectorX<double> const& factors, VectorX<double>& values) {
    for (Index first = 0; first < count(); first += block_) {
      Index const width = std::min(block_, count() - first);
      for_panels(true, true, [&](SlicedSide<S> const& side, Index begin, Index end) {
        side.points.project(theta_.col(first).data(), width, begin, end, side.work.columns.data());
      });
      monge::detail::parallel_for(parallel_, width, [&](Index l, int worker) {
        with_power(task_.p, [&](auto c) { values(first + l) = slice(first + l, l, worker, c); });
      });
      if (!x_.gradient && !y_.gradient) continue;
      weighted_.assign(theta_, first, width, [&](Index l) { return S(factors(first + l)); });
      for_panels(x_.gradient, y_.gradient, [&](SlicedSide<S> const& side, Index begin, Index end) {
        add_slopes(side, width, begin, end, first > 0);
      });
    }
  }

 private:
  [[nodiscard]] Index count() const { return theta_.cols(); }

  void prepare(SlicedSide<S> const& side) const {
    Index const n = side.points.size;
    SlicedCloud<S>& work = side.work;
    std::size_t const workers = std::size_t(parallel_.workers());
    if (work.columns.size() < side.points.row() * block_) {
      work.columns.resize(side.points.row() * block_);
    }
    if (work.sorted.size() < workers) work.sorted.resize(workers);
    if (work.order.size() < workers) work.order.resize(workers);
    for (VectorX<S>& sorted : work.sorted) {
      if (side.gradient && sorted.size() < n) sorted.resize(n);
    }
    for (auto& order : work.order) {
      if (order.size() < std::size_t(n)) order.resize(std::size_t(n));
    }
    if (side.gradient) side.gradient->resize(side.points.dimension, n);
    if (task_.keep_orders) work.orders.resize(std::size_t(n * count()));
    if (task_.deviations) work.deviation.resize(count());
  }

  /// body(side, begin, end) over ranges of panels of the clouds that are wanted.
  template <class Body>
  void for_panels(bool x, bool y, Body const& body) const {
    auto const chunks = [](SlicedSide<S> const& side) {
      return std::min<Index>((side.points.padded() + 511) / 512, 16);
    };
    Index const of_x = x ? chunks(x_) : 0, of_y = y ? chunks(y_) : 0;
    monge::detail::parallel_for(parallel_, of_x + of_y, [&](Index task, int) {
      SlicedSide<S> const& side = task < of_x ? x_ : y_;
      Index const chunk = task < of_x ? task : task - of_x, parts = task < of_x ? of_x : of_y;
      Index const panels = side.points.panels();
      body(side, panels * chunk / parts, panels * (chunk + 1) / parts);
    });
  }

  /// gradient(:, k) (+)= sum_l factor_l slope_l(k) theta_l for the points of some panels.
  void add_slopes(SlicedSide<S> const& side, Index width, Index begin, Index end,
                  bool accumulate) const {
    Index const d = side.points.dimension, row = side.points.row();
    // The slopes of some panels at a time stay in the first-level cache.
    Index const step =
        tile_rows<S> * std::max<Index>(1, 16384 / Index(sizeof(S)) / (tile_rows<S> * width));
    Index const last = std::min(end * tile_rows<S>, side.points.size);
    for (Index k = begin * tile_rows<S>; k < last; k += step) {
      weighted_.multiply({side.work.columns.data() + k, row, 1}, std::min(step, last - k),
                         side.gradient->data() + k * d, d, accumulate);
    }
  }

  /// The sorted projections of a cloud and, if asked for, their order.
  struct Sorted {
    S const* points;
    std::int32_t const* order;
    S* slopes;
  };
  Sorted sort(SlicedSide<S> const& side, Index l, Index column, int worker) const {
    Index const n = side.points.size;
    SlicedCloud<S>& work = side.work;
    S* const from = work.columns.data() + column * side.points.row();
    std::int32_t* order = work.order[std::size_t(worker)].data();
    auto& scratch = scratch_[std::size_t(worker)];
    if (task_.deviations) {
      double const mean = double(theta_.col(l).template cast<double>().dot(side.points.remainder));
      work.deviation(l) = std::sqrt(std::max(0.0, mean_square(from, side.points) - mean * mean));
    }
    S* to = from;
    if (side.gradient) {  // slopes take the place of the projections
      to = work.sorted[std::size_t(worker)].data();
      std::copy_n(from, n, to);
    }
    if (task_.keep_orders) {
      order = work.orders.data() + l * n;
      task_.orders_known ? monge::detail::sort_with_previous_order(to, order, n, scratch)
                         : monge::detail::sort_with_order(to, order, n, scratch);
    } else if (side.gradient || !side.points.masses.empty()) {
      monge::detail::sort_with_order(to, order, n, scratch);
    } else {
      monge::detail::sort(to, n, scratch);
    }
    return {to, order, side.gradient ? from : nullptr};
  }

  template <class Power>
  double slice(Index l, Index column, int worker, Power c) const {
    CentredCloud<S> const &X = x_.points, &Y = y_.points;
    Index const n = X.size, m = Y.size;
    Sorted const x = sort(x_, l, column, worker);
    Sorted const y = sort(y_, l, column, worker);
    if (X.masses.empty() && n == m) {
      if (x.slopes || y.slopes) {
        matched_slopes(x.points, y.points, n, c, x.order, y.order, x.slopes, y.slopes);
      }
      return double(matched_power(x.points, y.points, n, c));
    }
    if (X.masses.empty()) {
      return coupled(x, EqualMasses{m}, y, EqualMasses{n}, c, 1 / (double(n) * double(m)));
    }
    return coupled(x, OrderedMasses{X.masses.data(), x.order}, y,
                   OrderedMasses{Y.masses.data(), y.order}, c, unit_);
  }

  template <class A, class B, class Power>
  double coupled(Sorted const& x, A a, Sorted const& y, B b, Power c, double unit) const {
    Index const n = x_.points.size, m = y_.points.size;
    if (x.slopes) {
      std::fill_n(x.slopes, n, S(0));
      add_coupled_gradient(x.points, x.order, n, a, y.points, m, b, c, unit, S(1), x.slopes);
    }
    if (y.slopes) {
      std::fill_n(y.slopes, m, S(0));
      add_coupled_gradient(y.points, y.order, m, b, x.points, n, a, c, unit, S(1), y.slopes);
    }
    return double(coupled_power(x.points, n, a, y.points, m, b, c, unit));
  }

  SlicedSide<S> x_, y_;
  std::vector<monge::detail::SortScratch<S>>& scratch_;
  MatrixX<S> theta_;
  Panels<S> weighted_;  // a block of theta_ times its factors
  double unit_;
  SliceTask task_;
  Parallel parallel_;
  Index block_;
};

/// The gradient of a cloud (d x n): what the slopes gave, plus the derivatives with respect to its
/// mean (`shift`) and, halved, its covariance (`turn`), all times the mass.
template <RealScalar S>
void finish_gradient(CentredCloud<S> const& points, VectorX<double> const& shift,
                     MatrixX<double> const& turn, double mass, Parallel const& parallel,
                     MatrixX<S>& gradient) {
  Index const d = points.dimension;
  VectorX<double> base = shift;
  for (Index j = 0; j < turn.cols(); ++j) base -= points.remainder(j) * turn.col(j);
  VectorX<S> const constant = base.template cast<S>();
  Panels<S> panels;
  if (turn.size() > 0) {
    panels.assign(MatrixX<S>(turn.template cast<S>()), 0, d, [](Index) { return S(1); });
  }
  constexpr Index block = 8 * tile_columns;
  Index const chunks = std::clamp<Index>(points.size / 512, 1, 16);
  monge::detail::parallel_for(parallel, chunks, [&](Index chunk, int) {
    MatrixX<S> x(d, block), extra = MatrixX<S>::Zero(d, block);
    Index const end = points.size * (chunk + 1) / chunks;
    for (Index first = points.size * chunk / chunks; first < end; first += block) {
      Index const count = std::min(block, end - first);
      if (turn.size() > 0) {
        points.copy(first, block, x.data(), 1, d);
        panels.multiply({x.data(), 1, d}, count, extra.data(), d, false);
      }
      for (Index k = 0; k < count; ++k) {
        S const share = S(points.weight(first + k));
        for (Index i = 0; i < d; ++i) {
          S& entry = gradient(i, first + k);
          entry = S(mass) * (entry + share * (extra(i, k) + constant(i)));
        }
      }
    }
  });
}

}  // namespace monge::ot::detail
