// SPDX-License-Identifier: MIT
/// @file
/// All slices of a pair of clouds: project, sort, couple; and the way back of the derivatives.
///
/// Directions are taken in blocks that depend on the sizes only. In a block, the projections are
/// shared out by tiles of points, the sorts by directions, and the derivatives again by tiles,
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
#include <monge/ot/detail/packed_cloud.hpp>
#include <monge/ot/detail/quantile_coupling.hpp>

namespace monge::ot::detail {

/// One cloud and all that slicing it needs and reuses.
template <RealScalar S>
struct SlicedCloud {
  PackedCloud<S> points;
  PackedCloud<S> gradient;         // sum_l weight_l slope_l(k) theta_l
  VectorX<S> columns;              // projections, then slopes, of a block of directions
  std::vector<VectorX<S>> sorted;  // one per worker
  std::vector<std::vector<std::int32_t>> order;       // one per worker
  std::vector<std::int32_t> orders;                   // one per direction, if they are kept
  Eigen::Array<double, Eigen::Dynamic, 1> deviation;  // L: standard deviations of the slices
};

/// Which of its results slicing computes.
struct SliceTask {
  double p = 2;
  bool slopes_x = false, slopes_y = false;  // derivatives
  bool deviations = false;
  bool keep_orders = false, orders_known = false;
};

/// The mean of p_k^2, with weights if there are any.
template <RealScalar S>
double mean_square(S const* p, PackedCloud<S> const& cloud) {
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
  Slicer(SlicedCloud<S>& x, SlicedCloud<S>& y, std::vector<monge::detail::SortScratch<S>>& scratch,
         MatrixX<double> const& theta, double unit, SliceTask const& task, Parallel const& parallel)
      : x_(x),
        y_(y),
        scratch_(scratch),
        theta_(theta.template cast<S>()),
        weighted_(theta_.rows(), theta_.cols()),
        unit_(unit),
        task_(task),
        parallel_(parallel) {
    // A block of projections fits into the second-level cache. At least, it is so wide that reading
    // the points once per block is not what takes the time.
    double const bytes = double((x.points.padded() + y.points.padded()) * Index(sizeof(S)));
    Index const narrowest = std::clamp<Index>(x.points.dimension / 8 * 4, 8, 64);
    block_ = std::clamp<Index>(Index(double(1 << 22) / bytes) / 4 * 4, narrowest, 64);
    block_ = std::min(block_, count());
    prepare(x_, task.slopes_x);
    prepare(y_, task.slopes_y);
    if (scratch_.size() < std::size_t(parallel.workers())) {
      scratch_.resize(std::size_t(parallel.workers()));
    }
  }

  /// values(l) = W_p^p of slice l; the derivatives of sum_l factors(l) values(l) go to the clouds'
  /// `gradient`.
  void run(VectorX<double> const& factors, VectorX<double>& values) {
    for (Index l = 0; l < count(); ++l) {
      weighted_.col(l) = theta_.col(l) * S(factors(l));
    }
    for (Index first = 0; first < count(); first += block_) {
      Index const width = std::min(block_, count() - first);
      for_tiles(true, true, [&](SlicedCloud<S>& cloud, Index begin, Index end) {
        cloud.points.project(theta_.col(first).data(), width, begin, end, cloud.columns.data(),
                             cloud.points.padded());
      });
      monge::detail::parallel_for(parallel_, width, [&](Index l, int worker) {
        with_power(task_.p, [&](auto c) { values(first + l) = slice(first + l, l, worker, c); });
      });
      for_tiles(task_.slopes_x, task_.slopes_y, [&](SlicedCloud<S>& cloud, Index begin, Index end) {
        cloud.gradient.add_multiples(weighted_.col(first).data(), width, begin, end,
                                     cloud.columns.data(), cloud.points.padded());
      });
    }
  }

 private:
  [[nodiscard]] Index count() const { return theta_.cols(); }

  void prepare(SlicedCloud<S>& cloud, bool slopes) const {
    Index const n = cloud.points.size;
    std::size_t const workers = std::size_t(parallel_.workers());
    cloud.columns.resize(cloud.points.padded() * block_);
    if (cloud.sorted.size() < workers) cloud.sorted.resize(workers);
    if (cloud.order.size() < workers) cloud.order.resize(workers);
    for (VectorX<S>& sorted : cloud.sorted) {
      if (sorted.size() < n) sorted.resize(n);
    }
    for (auto& order : cloud.order) {
      if (order.size() < std::size_t(n)) order.resize(std::size_t(n));
    }
    if (slopes) cloud.gradient.resize(cloud.points.dimension, n);
    if (task_.keep_orders) cloud.orders.resize(std::size_t(n * count()));
    if (task_.deviations) cloud.deviation.resize(count());
  }

  /// body(cloud, begin, end) over ranges of tiles of the clouds that are wanted.
  template <class Body>
  void for_tiles(bool x, bool y, Body const& body) const {
    auto const chunks = [](SlicedCloud<S> const& cloud) {
      return std::min<Index>((cloud.points.tiles() + 7) / 8, 16);
    };
    Index const of_x = x ? chunks(x_) : 0, of_y = y ? chunks(y_) : 0;
    monge::detail::parallel_for(parallel_, of_x + of_y, [&](Index task, int) {
      SlicedCloud<S>& cloud = task < of_x ? x_ : y_;
      Index const chunk = task < of_x ? task : task - of_x, parts = task < of_x ? of_x : of_y;
      Index const tiles = cloud.points.tiles();
      body(cloud, tiles * chunk / parts, tiles * (chunk + 1) / parts);
    });
  }

  /// The sorted projections of a cloud and, if asked for, their order.
  struct Sorted {
    S const* points;
    std::int32_t const* order;
    S* slopes;
  };
  Sorted sort(SlicedCloud<S>& cloud, Index l, Index column, int worker, bool slopes) const {
    Index const n = cloud.points.size;
    S* const from = cloud.columns.data() + column * cloud.points.padded();
    S* const to = cloud.sorted[std::size_t(worker)].data();
    std::int32_t* order = cloud.order[std::size_t(worker)].data();
    auto& scratch = scratch_[std::size_t(worker)];
    if (task_.deviations) {
      double const mean = double(theta_.col(l).template cast<double>().dot(cloud.points.remainder));
      cloud.deviation(l) = std::sqrt(std::max(0.0, mean_square(from, cloud.points) - mean * mean));
    }
    std::copy_n(from, n, to);
    if (task_.keep_orders) {
      order = cloud.orders.data() + l * n;
      task_.orders_known ? monge::detail::sort_with_previous_order(to, order, n, scratch)
                         : monge::detail::sort_with_order(to, order, n, scratch);
    } else if (slopes || !cloud.points.masses.empty()) {
      monge::detail::sort_with_order(to, order, n, scratch);
    } else {
      monge::detail::sort(to, n, scratch);
    }
    return {to, order, slopes ? from : nullptr};
  }

  template <class Power>
  double slice(Index l, Index column, int worker, Power c) const {
    Index const n = x_.points.size, m = y_.points.size;
    Sorted const x = sort(x_, l, column, worker, task_.slopes_x);
    Sorted const y = sort(y_, l, column, worker, task_.slopes_y);
    if (x_.points.masses.empty() && n == m) {
      if (x.slopes || y.slopes) {
        matched_slopes(x.points, y.points, n, c, x.order, y.order, x.slopes, y.slopes);
      }
      return double(matched_power(x.points, y.points, n, c));
    }
    if (x_.points.masses.empty()) {
      return coupled(x, EqualMasses{m}, y, EqualMasses{n}, c, 1 / (double(n) * double(m)));
    }
    return coupled(x, OrderedMasses{x_.points.masses.data(), x.order}, y,
                   OrderedMasses{y_.points.masses.data(), y.order}, c, unit_);
  }

  template <class A, class B, class Power>
  double coupled(Sorted const& x, A a, Sorted const& y, B b, Power c, double unit) const {
    Index const n = x_.points.size, m = y_.points.size;
    if (x.slopes) {
      std::fill_n(x.slopes, x_.points.padded(), S(0));
      add_coupled_gradient(x.points, x.order, n, a, y.points, m, b, c, unit, S(1), x.slopes);
    }
    if (y.slopes) {
      std::fill_n(y.slopes, y_.points.padded(), S(0));
      add_coupled_gradient(y.points, y.order, m, b, x.points, n, a, c, unit, S(1), y.slopes);
    }
    return double(coupled_power(x.points, n, a, y.points, m, b, c, unit));
  }

  SlicedCloud<S>& x_;
  SlicedCloud<S>& y_;
  std::vector<monge::detail::SortScratch<S>>& scratch_;
  MatrixX<S> theta_, weighted_;
  double unit_;
  SliceTask task_;
  Parallel parallel_;
  Index block_;
};

}  // namespace monge::ot::detail
