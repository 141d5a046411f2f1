// SPDX-License-Identifier: MIT
/// @file
/// One read of the cost: the kernels that every entropic method and every tool on entropic plans is
/// made of. With normalised weights w = a/M (n), v = b/M (m) and potentials f, g,
///
///     e_ij = exp((f_i + g_j - C_ij) / epsilon),   P_ij = M w_i v_j e_ij.
///
/// Weights stay outside the exponential, so that tiny weights cost no accuracy; f_i = -infinity
/// switches a row off. The exponent is formed as ((f_i + g_j) - C_ij) / epsilon everywhere, so that
/// a plan rebuilt from returned potentials has the same bits as the one that was certified.
#pragma once

#include <algorithm>

#include <monge/core/exp.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/types.hpp>
#include <monge/ot/cost.hpp>

namespace monge::ot::detail {

inline constexpr Index segment_width = 512;  // entries of a column handled between two wide sums

/// e_i <- exp(((f_i + g) - c_i) * scale) for one segment; returns sum_i w_i e_i.
template <RealScalar S>
wide_t<S> exponentials(S const* f, S g, S const* c, S scale, S const* w, S* e, Index count) {
  using V = simd::pack_t<S>;
  constexpr Index step = simd::lanes<S>;
  V const shift = simd::broadcast(g);
  V total{};
  Index k = 0;
  for (; k + step <= count; k += step) {
    V const x = ((simd::load(f + k) + shift) - simd::load(c + k)) * scale;
    V const y = exp_pack<S>(x);
    simd::store<S>(e + k, y);
    total += simd::load(w + k) * y;
  }
  if (k < count) {
    Index const rest = count - k;
    S const off = -std::numeric_limits<S>::infinity();
    V const x =
        ((simd::load_part(f + k, rest, off) + shift) - simd::load_part(c + k, rest, S(0))) * scale;
    V const y = exp_pack<S>(x);
    simd::store_part<S>(e + k, y, rest);
    total += simd::load_part(w + k, rest, S(0)) * y;
  }
  return simd::sum<S>(total);
}

/// sum_i w_i e_i c_i over one segment, where a pair without mass adds nothing whatever its cost.
template <RealScalar S>
wide_t<S> weighted_cost(S const* w, S const* e, S const* c, Index count) {
  using V = simd::pack_t<S>;
  constexpr Index step = simd::lanes<S>;
  V const zero = simd::broadcast(S(0));
  V total{};
  Index k = 0;
  for (; k + step <= count; k += step) {
    V const p = simd::load(w + k) * simd::load(e + k);
    total += p * (p > zero ? simd::load(c + k) : zero);
  }
  if (k < count) {
    Index const rest = count - k;
    V const p = simd::load_part(w + k, rest, S(0)) * simd::load_part(e + k, rest, S(0));
    total += p * (p > zero ? simd::load_part(c + k, rest, S(0)) : zero);
  }
  return simd::sum<S>(total);
}

/// Calls visit(first, count, c) for the segments of column j.
template <CostOperator C, class Visit>
void for_each_segment(C const& cost, Index j, scalar_t<C>* scratch, Visit&& visit) {
  Index const n = cost.rows();
  for (Index first = 0; first < n; first += segment_width) {
    Index const count = std::min(segment_width, n - first);
    visit(first, count, cost.column_segment(j, first, count, scratch));
  }
}

/// The range in which a sum of exponentials is trusted: the terms lost below the normal range are
/// then negligible, and nothing overflowed.
template <RealScalar S>
bool in_range(wide_t<S> sum) {
  static S const lowest = std::sqrt(std::numeric_limits<S>::min());
  return sum >= lowest && sum <= 1 / lowest;
}

/// Sums over the columns, for every row, in fixed order: chunks of columns have their own partial
/// sums (n x chunks, in wide_t), which are added in index order.
template <RealScalar S>
struct RowSums {
  Chunks columns;
  MatrixX<wide_t<S>> partial;  // n x chunks
  MatrixX<S> narrow;           // n x workers: up to 64 columns before they join the wide sums
  MatrixX<S> e;                // n x workers: the exponentials of one column
  MatrixX<S> scratch;          // segment_width x workers: lazy costs
  VectorX<wide_t<S>> total;    // n: the result

  RowSums() = default;
  RowSums(Index n, Index m, int workers)
      : columns(m),
        partial(n, columns.count),
        narrow(n, workers),
        e(n, workers),
        scratch(segment_width, workers),
        total(n) {}

  /// total_i = sum_j factor_j e_ij, where factor_j = column(j, worker, e) fills the n entries of
  /// e; factor 0 skips the column. Each column is visited once.
  template <class Column>
  void accumulate(Parallel const& parallel, Column&& column) {
    accumulate_blocks(parallel, [&](Index chunk, int worker, S* few, auto const& flush) {
      S* const entries = e.col(worker).data();
      for (Index j = columns.begin(chunk); j < columns.end(chunk); ++j) {
        S const factor = column(j, worker, entries);
        if (factor != 0) VectorMap(few, e.rows()) += factor * e.col(worker);
        flush(j + 1);
      }
    });
  }

  /// The same by blocks of columns: block(chunk, worker, few, flush) adds the columns of a chunk to
  /// `few` (n) and calls flush(end) whenever the columns before `end` are in.
  template <class Block>
  void accumulate_blocks(Parallel const& parallel, Block&& block) {
    constexpr Index flush_every = 64;
    parallel_for(parallel, columns.count, [&](Index chunk, int worker) {
      auto sums = partial.col(chunk);
      auto few = narrow.col(worker);
      sums.setZero();
      few.setZero();
      block(chunk, worker, few.data(), [&](Index end) {
        if (end % flush_every != 0 && end != columns.end(chunk)) return;
        sums += few.template cast<wide_t<S>>();
        few.setZero();
      });
    });
    total = partial.col(0);
    for (Index chunk = 1; chunk < columns.count; ++chunk) {
      total += partial.col(chunk);
    }
  }

 private:
  using VectorMap = Eigen::Map<VectorX<S>>;
};

}  // namespace monge::ot::detail
