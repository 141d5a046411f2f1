// SPDX-License-Identifier: MIT
/// @file
/// Soft c-transforms, the half steps of every method of Sinkhorn's kind:
///
///     rows:    s_i = -epsilon log sum_j v_j exp((g_j - C_ij) / epsilon),
///     columns: t_j = -epsilon log sum_i w_i exp((f_i - C_ij) / epsilon).
///
/// A guess of the result serves as the shift that a log-sum-exp needs; where the sum leaves the
/// trusted range it is redone with the true maximum, so that no epsilon overflows or underflows.
/// f_i = -infinity switches a row off; v_j = 0 or g_j = infinity switches a column off. The result
/// is +infinity where no pair is allowed. One read of the cost each: n m exponentials, or one per
/// stored entry of a sparse cost. detail/grid_soft_transform.hpp has the same reads for grids.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include <monge/core/exp.hpp>
#include <monge/core/parallel.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/entropic_pass.hpp>
#include <monge/ot/detail/entropic_problem.hpp>

namespace monge::ot::detail {

/// log sum_i w_i exp(x_i) over the positive weights; -infinity for none.
template <RealScalar S, class Exponent>
wide_t<S> log_sum(VectorX<S> const& w, Exponent&& exponent) {
  using Wide = wide_t<S>;
  Wide highest = -std::numeric_limits<Wide>::infinity(), sum = 0;
  for (Index i = 0; i < w.size(); ++i) {
    if (w(i) > 0) highest = std::max(highest, Wide(exponent(i)));
  }
  if (!(highest > -std::numeric_limits<Wide>::infinity())) return highest;
  std::array<Wide, 256> e;
  for (Index first = 0; first < w.size(); first += Index(e.size())) {
    Index const count = std::min(Index(e.size()), w.size() - first);
    for (Index k = 0; k < count; ++k) {
      bool const on = w(first + k) > 0;
      e[std::size_t(k)] =
          on ? Wide(exponent(first + k)) - highest : -std::numeric_limits<Wide>::infinity();
    }
    monge::exp(e.data(), e.data(), count);
    for (Index k = 0; k < count; ++k) sum += Wide(w(first + k)) * e[std::size_t(k)];
  }
  return highest + std::log(sum);
}

/// RowSums::accumulate; costs of few pairs, which fill e with their entries only, overload it.
template <CostOperator C, class Column>
void accumulate_entries(C const&, RowSums<scalar_t<C>>& rows, Parallel const& parallel,
                        Column&& column) {
  rows.accumulate(parallel, std::forward<Column>(column));
}

template <CostOperator C>
class SoftTransform {
 public:
  using S = scalar_t<C>;
  using Wide = wide_t<S>;
  using Workspace = RowSums<S>;
  static constexpr S none = std::numeric_limits<S>::infinity();

  SoftTransform(C cost, Parallel parallel)
      : cost_(std::move(cost)), parallel_(std::move(parallel)) {}

  [[nodiscard]] C const& cost() const { return cost_; }
  [[nodiscard]] RowSums<S> workspace() const {
    return RowSums<S>(cost_.rows(), cost_.cols(), parallel_.workers());
  }
  [[nodiscard]] CostScale scale(std::string_view function) const {
    return checked_scale(function, cost_);
  }

  /// soft (n): guess in, s out.
  void rows(Blur<S> at, VectorX<S> const& g, VectorX<S> const& v, RowSums<S>& rows,
            VectorX<S>& soft) const {
    if (row_sums(at, g, v, rows, soft)) return;
    find_hard_rows(g, v, rows, soft);
    row_sums(at, g, v, rows, soft);
  }

  /// soft (m): guess in, t out, for all columns.
  void columns(Blur<S> at, VectorX<S> const& f, VectorX<S> const& w, RowSums<S>& rows,
               VectorX<S>& soft) const {
    parallel_for(parallel_, rows.columns.count, [&](Index chunk, int worker) {
      for (Index j = rows.columns.begin(chunk); j < rows.columns.end(chunk); ++j) {
        column(at, f, w, j, rows, worker, soft(j));
      }
    });
  }

  /// A column half step and the row transform that follows, in one read: t_j from its guess, then
  /// g_j = update(t_j) for the columns with v_j > 0, then s for g where w_i > 0. Only when a row
  /// sum leaves the trusted range is the cost read again.
  template <class Update>
  void both(Blur<S> at, VectorX<S> const& f, VectorX<S> const& w, VectorX<S> const& v,
            RowSums<S>& rows, VectorX<S>& t, VectorX<S>& g, VectorX<S>& s,
            Update const& update) const {
    accumulate_entries(cost_, rows, parallel_, [&](Index j, int worker, S*) {
      if (!(v(j) > 0)) return S(0);
      Wide const sum = column(at, f, w, j, rows, worker, t(j));
      g(j) = update(t(j));
      if (!(g(j) < none)) return S(0);
      return S(Wide(v(j)) * std::exp((Wide(g(j)) - Wide(t(j))) / at.epsilon) / sum);
    });
    bool trusted = true;
    for (Index i = 0; i < w.size(); ++i) {
      if (!(f(i) > -none)) continue;
      trusted = trusted && in_range<S>(rows.total(i));
      s(i) = f(i) - S(at.epsilon * std::log(rows.total(i)));
    }
    if (!trusted) {
      find_hard_rows(g, v, rows, s);
      row_sums(at, g, v, rows, s);
    }
  }

  /// The plan of (f, g) in one read: row_i <- sum_j v_j e_ij, column_j <- sum_i w_i e_ij and
  /// paid_j <- sum_i w_i e_ij C_ij. -infinity takes no part.
  void measure(Blur<S> at, VectorX<S> const& f, VectorX<S> const& g, VectorX<S> const& w,
               VectorX<S> const& v, RowSums<S>& rows, VectorX<Wide>& row, VectorX<Wide>& column,
               VectorX<Wide>& paid) const {
    measure_plan(cost_, at, f, g, w, v, rows, parallel_, column, paid);
    row = rows.total;
  }

 private:
  /// guess <- t_j; fills e (n) relative to a shift, and returns sum_i w_i e_i.
  Wide column(Blur<S> at, VectorX<S> const& f, VectorX<S> const& w, Index j, RowSums<S>& rows,
              int worker, S& guess) const {
    S* const e = rows.e.col(worker).data();
    S* const scratch = rows.scratch.col(worker).data();
    Wide sum = guess < none ? column_sum(cost_, at, f, w, guess, j, e, scratch) : Wide(0);
    if (!in_range<S>(sum)) {
      guess = hard_column(cost_, f, j, scratch);
      if (!(guess < none)) return 1;
      sum = column_sum(cost_, at, f, w, guess, j, e, scratch);
    }
    guess -= S(at.epsilon * std::log(sum));
    return sum;
  }

  /// One read with `soft` as the shift; whether all sums could be trusted.
  bool row_sums(Blur<S> at, VectorX<S> const& g, VectorX<S> const& v, RowSums<S>& rows,
                VectorX<S>& soft) const {
    accumulate_entries(cost_, rows, parallel_, [&](Index j, int worker, S* e) {
      if (!(v(j) > 0) || !(g(j) < none)) return S(0);
      column_sum(cost_, at, soft, soft, g(j), j, e, rows.scratch.col(worker).data());
      return v(j);
    });
    bool trusted = true;
    for (Index i = 0; i < soft.size(); ++i) {
      if (soft(i) == none) continue;  // known to have no allowed pair
      trusted = trusted && in_range<S>(rows.total(i));
      soft(i) -= S(at.epsilon * std::log(rows.total(i)));
    }
    return trusted;
  }

  void find_hard_rows(VectorX<S> const& g, VectorX<S> const& v, RowSums<S>& rows,
                      VectorX<S>& hard) const {
    auto const takes_part = [&](Index j) { return v(j) > 0 && g(j) < none; };
    hard_rows(cost_, g, takes_part, rows, parallel_, hard);
  }

  C cost_;
  Parallel parallel_;
};

/// The soft transforms of a kind of cost.
template <CostOperator C>
struct SoftTransformFor {
  using type = SoftTransform<C>;
};

}  // namespace monge::ot::detail
