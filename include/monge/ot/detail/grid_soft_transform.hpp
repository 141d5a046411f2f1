// SPDX-License-Identifier: MIT
/// @file
/// The reads of soft_transform.hpp for costs on grids: the transforms of SinkhornGrid, N (n_1 + ...
/// + n_d) products each instead of N^2 exponentials.
#pragma once

#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include <monge/core/parallel.hpp>
#include <monge/ot/detail/entropic_input.hpp>
#include <monge/ot/detail/soft_transform.hpp>
#include <monge/ot/grid.hpp>

namespace monge::ot::detail {

/// Stands in for SoftTransform: the same functions, of the same meaning. Guesses are not needed.
template <RealScalar S>
class GridSoftTransform {
 public:
  using Wide = wide_t<S>;
  static constexpr S none = std::numeric_limits<S>::infinity();

  /// The kernels of one epsilon, which are made again when another one is asked for.
  struct Workspace {
    GridTransform<S> kernels;
    Wide epsilon = 0;           // of the kernels; 0: there are none
    MatrixX<S> logs_n, logs_m;  // what goes in and comes out, one column each
  };

  GridSoftTransform(GridCost<S> cost, Parallel parallel)
      : cost_(std::move(cost)), parallel_(std::move(parallel)) {}

  [[nodiscard]] GridCost<S> const& cost() const { return cost_; }
  [[nodiscard]] Workspace workspace() const {
    Workspace space;
    space.logs_n.resize(cost_.rows(), 1);
    space.logs_m.resize(cost_.cols(), 1);
    return space;
  }
  /// The entries were checked when the cost was made.
  [[nodiscard]] CostScale scale(std::string_view) const { return grid_scale(cost_); }

  void rows(Blur<S> at, VectorX<S> const& g, VectorX<S> const& v, Workspace& space,
            VectorX<S>& soft) const {
    prepare(at, space);
    logarithms(at, g, v, space.logs_m);
    space.kernels.rows(space.logs_m, space.logs_n);
    soft = S(-at.epsilon) * space.logs_n.col(0);
  }

  /// Leaves the logarithms of w_i exp(f_i / epsilon) in logs_n.
  void columns(Blur<S> at, VectorX<S> const& f, VectorX<S> const& w, Workspace& space,
               VectorX<S>& soft) const {
    prepare(at, space);
    logarithms(at, f, w, space.logs_n);
    space.kernels.columns(space.logs_n, space.logs_m);
    soft = S(-at.epsilon) * space.logs_m.col(0);
  }

  template <class Update>
  void both(Blur<S> at, VectorX<S> const& f, VectorX<S> const& w, VectorX<S> const& v,
            Workspace& space, VectorX<S>& t, VectorX<S>& g, VectorX<S>& s,
            Update const& update) const {
    columns(at, f, w, space, t);
    for (Index j = 0; j < v.size(); ++j) {
      if (v(j) > 0) g(j) = update(t(j));
    }
    rows(at, g, v, space, s);
  }

  void measure(Blur<S> at, VectorX<S> const& f, VectorX<S> const& g, VectorX<S> const& w,
               VectorX<S> const& v, Workspace& space, VectorX<Wide>& row, VectorX<Wide>& column,
               VectorX<Wide>& paid) const {
    VectorX<S> soft;
    rows(at, g, v, space, soft);
    ratios(at, f, soft, row);
    columns(at, f, w, space, soft);
    ratios(at, g, soft, column);
    paid.setZero();
    for (std::size_t k = 0; k < cost_.axes().size(); ++k) {
      Wide const least = Wide(cost_.axes()[k].minCoeff());
      GridKernel<S> kernel = GridTransform<S>::paying(cost_, at, Index(k), parallel_);
      kernel.apply(space.logs_n, space.logs_m);
      for (Index j = 0; j < paid.size(); ++j) {
        if (!(column(j) > 0)) continue;  // least may be infinite then
        paid(j) += std::exp(Wide(g(j)) / at.epsilon + Wide(space.logs_m(j))) + column(j) * least;
      }
    }
  }

 private:
  void prepare(Blur<S> at, Workspace& space) const {
    if (space.epsilon == at.epsilon) return;
    space.kernels = GridTransform<S>(cost_, at, 1, parallel_);
    space.epsilon = at.epsilon;
  }

  /// log(weight) + p / epsilon; -infinity for points that take no part.
  static void logarithms(Blur<S> at, VectorX<S> const& p, VectorX<S> const& weights,
                         MatrixX<S>& logs) {
    logs.col(0) = (weights.array() > S(0) && p.array() != none)
                      .select(p.array() * at.inverse + weights.array().log(), -none);
  }

  /// sum_j v_j e_ij = exp((f_i - s_i) / epsilon), and the same for columns.
  static void ratios(Blur<S> at, VectorX<S> const& p, VectorX<S> const& soft,
                     VectorX<Wide>& ratio) {
    for (Index i = 0; i < p.size(); ++i) {
      ratio(i) = std::exp((Wide(p(i)) - Wide(soft(i))) / at.epsilon);
    }
  }

  GridCost<S> cost_;
  Parallel parallel_;
};

template <RealScalar S>
struct SoftTransformFor<GridCost<S>> {
  using type = GridSoftTransform<S>;
};

}  // namespace monge::ot::detail
