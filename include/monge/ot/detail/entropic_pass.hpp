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
#include <array>
#include <limits>

#include <monge/core/exp.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/types.hpp>
#include <monge/ot/cost.hpp>

namespace monge::ot::detail {

/// An entropic strength and its inverse; solvers that anneal pass one that differs from the
/// problem's.
template <RealScalar S>
struct Blur {
  wide_t<S> epsilon = 0;
  S inverse = 0;

  Blur() = default;
  explicit Blur(double strength)
      : epsilon(wide_t<S>(strength)), inverse(S(wide_t<S>(1) / wide_t<S>(strength))) {}
};

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

inline constexpr Index block_width = 32;  // columns of a block
inline constexpr Index block_rows = 128;  // rows of it that are handled between two wide sums

/// Whether passes over a cost ask for blocks of columns.
template <CostOperator C>
bool in_blocks(C const& cost) {
  if constexpr (BlockCost<C>) {
    return cost.prefers_blocks();
  } else {
    return false;
  }
}

/// Calls visit(column, first, count, c) for pieces of the `columns` <= block_width columns from j
/// on, down all of them side by side. scratch: block_rows * block_width.
template <BlockCost C, class Visit>
void for_each_block(C const& cost, Index j, Index columns, scalar_t<C>* scratch, Visit&& visit) {
  Index const n = cost.rows();
  for (Index first = 0; first < n; first += block_rows) {
    Index const count = std::min(block_rows, n - first);
    cost.block(j, columns, first, count, scratch, block_rows);
    for (Index c = 0; c < columns; ++c) visit(j + c, first, count, scratch + c * block_rows);
  }
}

/// Calls visit(j, first, count, c) for pieces of all columns, by blocks if the cost prefers them.
/// scratch: block_rows * block_width.
template <CostOperator C, class Visit>
void for_each_piece(C const& cost, scalar_t<C>* scratch, Visit&& visit) {
  static_assert(block_rows * block_width >= segment_width);
  if constexpr (BlockCost<C>) {
    if (cost.prefers_blocks()) {
      for (Index j = 0; j < cost.cols(); j += block_width) {
        for_each_block(cost, j, std::min(block_width, cost.cols() - j), scratch, visit);
      }
      return;
    }
  }
  for (Index j = 0; j < cost.cols(); ++j) {
    for_each_segment(cost, j, scratch, [&](Index first, Index count, scalar_t<C> const* c) {
      visit(j, first, count, c);
    });
  }
}

/// s = sum_i w_i e_ij; fills e (n) with column j.
template <CostOperator C>
wide_t<scalar_t<C>> column_sum(C const& cost, Blur<scalar_t<C>> at, VectorX<scalar_t<C>> const& f,
                               VectorX<scalar_t<C>> const& w, scalar_t<C> g, Index j,
                               scalar_t<C>* e, scalar_t<C>* scratch) {
  wide_t<scalar_t<C>> sum = 0;
  for_each_segment(cost, j, scratch, [&](Index first, Index count, scalar_t<C> const* c) {
    sum += exponentials(f.data() + first, g, c, at.inverse, w.data() + first, e + first, count);
  });
  return sum;
}

/// The same for a block of columns: e is n x columns, sum(j) belongs to column j.
template <BlockCost C>
void block_sums(C const& cost, Blur<scalar_t<C>> at, VectorX<scalar_t<C>> const& f,
                VectorX<scalar_t<C>> const& w, VectorX<scalar_t<C>> const& g, Index j,
                Index columns, scalar_t<C>* e, scalar_t<C>* scratch,
                VectorX<wide_t<scalar_t<C>>>& sum) {
  Index const n = cost.rows();
  sum.segment(j, columns).setZero();
  for_each_block(
      cost, j, columns, scratch, [&](Index column, Index first, Index count, scalar_t<C> const* c) {
        sum(column) += exponentials(f.data() + first, g(column), c, at.inverse, w.data() + first,
                                    e + (column - j) * n + first, count);
      });
}

/// min_i C_ij - f_i: the hard c-transform of f at column j; f_i = -infinity takes no part.
template <CostOperator C>
scalar_t<C> hard_column(C const& cost, VectorX<scalar_t<C>> const& f, Index j,
                        scalar_t<C>* scratch) {
  using S = scalar_t<C>;
  S highest = -std::numeric_limits<S>::infinity();
  for_each_segment(cost, j, scratch, [&](Index first, Index count, S const* c) {
    highest = std::max(highest,
                       (f.segment(first, count).array() - ConstArrayMap<S>(c, count)).maxCoeff());
  });
  return -highest;
}

/// The range in which a sum of exponentials is trusted: the terms lost below the normal range are
/// then negligible, and nothing overflowed.
template <RealScalar S>
bool in_range(wide_t<S> sum) {
  static S const lowest = std::sqrt(std::numeric_limits<S>::min());
  return sum >= lowest && sum <= 1 / lowest;
}

/// rows += sum_k factor_k * column k.
template <int N, RealScalar S>
void add_columns(std::array<S, N> const& factor, S const* columns, Index stride, Index n, S* rows) {
  using V = simd::pack_t<S>;
  constexpr Index step = simd::lanes<S>;
  std::array<V, N> factors;
  for (int k = 0; k < N; ++k) {
    factors[k] = simd::broadcast(factor[k]);
    simd::hold(factors[k]);
  }
  Index i = 0;
  for (; i + step <= n; i += step) {
    V sum = simd::load(rows + i);
    for (int k = 0; k < N; ++k) sum += factors[k] * simd::load(columns + k * stride + i);
    simd::store<S>(rows + i, sum);
  }
  for (; i < n; ++i) {
    for (int k = 0; k < N; ++k) rows[i] += factor[k] * columns[k * stride + i];
  }
}

/// Sums over the columns, for every row, in fixed order: chunks of columns have their own partial
/// sums (n x chunks, in wide_t), which are added in index order.
template <RealScalar S>
struct RowSums {
  Chunks columns;
  MatrixX<wide_t<S>> partial;  // n x chunks
  MatrixX<S> narrow;           // n x workers: up to 64 columns before they join the wide sums
  MatrixX<S> e;                // n width x workers: the exponentials of one column or block
  MatrixX<S> scratch;          // x workers: segments or blocks of lazy costs
  VectorX<wide_t<S>> total;    // n: the result
  VectorX<wide_t<S>> sum;      // m: of the columns, if there are blocks
  Index width = 1;             // block_width if there is room for blocks, else 1

  RowSums() = default;
  RowSums(Index n, Index m, int workers, bool blocks = false)
      : columns(m),
        partial(n, columns.count),
        narrow(n, workers),
        e(n * (blocks ? std::min(block_width, m) : 1), workers),
        scratch(blocks ? block_rows * block_width : segment_width, workers),
        total(n),
        sum(blocks ? m : 0),
        width(blocks ? std::min(block_width, m) : 1) {}

  /// total_i = sum_j factor_j e_ij, where factor_j = column(j, worker, e) fills the n entries of
  /// e; factor 0 skips the column. Each column is visited once.
  template <class Column>
  void accumulate(Parallel const& parallel, Column&& column) {
    accumulate_blocks(parallel, [&](Index chunk, int worker, S* few, auto const& flush) {
      S* const entries = e.col(worker).data();
      for (Index j = columns.begin(chunk); j < columns.end(chunk); ++j) {
        S const factor = column(j, worker, entries);
        if (factor != 0) VectorMap(few, total.size()) += factor * e.col(worker).head(total.size());
        flush(j + 1);
      }
    });
  }

  /// The same where the cost prefers blocks: fill(j, columns, worker, e) fills the n x columns
  /// entries of e, then column(j, worker, e) sees each of them and returns its factor.
  template <class Fill, class Column>
  void accumulate_filled(Parallel const& parallel, Fill&& fill, Column&& column) {
    Index const n = total.size();
    accumulate_blocks(parallel, [&](Index chunk, int worker, S* few, auto const& flush) {
      S* const entries = e.col(worker).data();
      for (Index j = columns.begin(chunk); j < columns.end(chunk); j += width) {
        Index const count = std::min(width, columns.end(chunk) - j);
        fill(j, count, worker, entries);
        for (Index c = 0; c < count; c += 4) {
          Index const together = std::min<Index>(4, count - c);
          std::array<S, 4> factor{};
          for (Index k = 0; k < together; ++k) {
            factor[std::size_t(k)] = column(j + c + k, worker, entries + (c + k) * n);
          }
          if (together == 4) {
            add_columns<4, S>(factor, entries + c * n, n, n, few);
          } else {
            for (Index k = 0; k < together; ++k) {
              add_columns<1, S>({factor[std::size_t(k)]}, entries + (c + k) * n, n, n, few);
            }
          }
          flush(j + c + together);
        }
      }
    });
  }

  /// The same by blocks of columns: block(chunk, worker, few, flush) adds the columns of a chunk to
  /// `few` (n) and calls flush(end) whenever the columns before `end` are in.
  template <class Block>
  void accumulate_blocks(Parallel const& parallel, Block&& block) {
    constexpr Index flush_every = 64;
    add_chunks(parallel, [&](Index chunk, int worker, auto&& sums) {
      auto few = narrow.col(worker);
      sums.setZero();
      few.setZero();
      block(chunk, worker, few.data(), [&](Index end) {
        if (end % flush_every != 0 && end != columns.end(chunk)) return;
        sums += few.template cast<wide_t<S>>();
        few.setZero();
      });
    });
  }

  /// The same by chunks: fill(chunk, worker, sums) overwrites `sums` (n) with those of its columns.
  template <class Fill>
  void add_chunks(Parallel const& parallel, Fill&& fill) {
    parallel_for(parallel, columns.count,
                 [&](Index chunk, int worker) { fill(chunk, worker, partial.col(chunk)); });
    total = partial.col(0);
    for (Index chunk = 1; chunk < columns.count; ++chunk) {
      total += partial.col(chunk);
    }
  }

 private:
  using VectorMap = Eigen::Map<VectorX<S>>;
};

/// hard_i <- min_j C_ij - g_j over the columns that take part, for all rows.
template <CostOperator C, class TakesPart>
void hard_rows(C const& cost, VectorX<scalar_t<C>> const& g, TakesPart&& takes_part,
               RowSums<scalar_t<C>>& rows, Parallel const& parallel, VectorX<scalar_t<C>>& hard) {
  using S = scalar_t<C>;
  using Wide = wide_t<S>;
  parallel_for(parallel, rows.columns.count, [&](Index chunk, int worker) {
    auto least = rows.partial.col(chunk);
    least.setConstant(std::numeric_limits<Wide>::infinity());
    for (Index j = rows.columns.begin(chunk); j < rows.columns.end(chunk); ++j) {
      if (!takes_part(j)) continue;
      for_each_segment(cost, j, rows.scratch.col(worker).data(),
                       [&](Index first, Index count, S const* c) {
                         auto part = least.segment(first, count).array();
                         part = part.min((ConstArrayMap<S>(c, count) - g(j)).template cast<Wide>());
                       });
    }
  });
  hard = rows.partial.rowwise().minCoeff().template cast<S>();
}

/// soft_i <- the soft c-transform of g, -epsilon log sum_j v_j exp((g_j - C_ij) / epsilon), for all
/// rows. Two reads of the cost.
template <CostOperator C>
void soft_rows(C const& cost, Blur<scalar_t<C>> at, VectorX<scalar_t<C>> const& g,
               VectorX<scalar_t<C>> const& v, RowSums<scalar_t<C>>& rows, Parallel const& parallel,
               VectorX<scalar_t<C>>& soft) {
  using S = scalar_t<C>;
  hard_rows(cost, g, [&](Index j) { return v(j) > 0; }, rows, parallel, soft);
  rows.accumulate(parallel, [&](Index j, int worker, S* e) {
    column_sum(cost, at, soft, soft, g(j), j, e, rows.scratch.col(worker).data());
    return v(j);
  });
  for (Index i = 0; i < soft.size(); ++i) {
    soft(i) -= S(at.epsilon * std::log(rows.total(i)));
  }
}

/// The share of the mass that no coupling can move, as far as one read shows: weights without an
/// allowed partner.
template <CostOperator C>
double unreachable_mass(C const& cost, VectorX<scalar_t<C>> const& w,
                        VectorX<scalar_t<C>> const& v) {
  using S = scalar_t<C>;
  VectorX<S> scratch(block_rows * block_width);
  VectorX<bool> row = VectorX<bool>::Zero(w.size()), column = VectorX<bool>::Zero(v.size());
  for_each_piece(cost, scratch.data(), [&](Index j, Index first, Index count, S const* c) {
    for (Index i = 0; i < count; ++i) {
      if (c[i] == std::numeric_limits<S>::infinity()) continue;
      row(first + i) = row(first + i) || v(j) > 0;
      column(j) = column(j) || w(first + i) > 0;
    }
  });
  bool all = true;
  for (Index i = 0; i < w.size(); ++i) all = all && (row(i) || w(i) == 0);
  for (Index j = 0; j < v.size(); ++j) all = all && (column(j) || v(j) == 0);
  return all ? 0 : infinity;
}

/// The plan of (f, g) in one read of the cost: sum_j <- sum_i w_i e_ij, paid_j <- sum_i w_i e_ij
/// C_ij, rows.total_i <- sum_j v_j e_ij. Columns with g_j = -infinity take no part. Returns a bound
/// on the mass over M that the read left out: none here.
template <CostOperator C>
wide_t<scalar_t<C>> measure_plan(C const& cost, Blur<scalar_t<C>> at, VectorX<scalar_t<C>> const& f,
                                 VectorX<scalar_t<C>> const& g, VectorX<scalar_t<C>> const& w,
                                 VectorX<scalar_t<C>> const& v, RowSums<scalar_t<C>>& rows,
                                 Parallel const& parallel, VectorX<wide_t<scalar_t<C>>>& sum,
                                 VectorX<wide_t<scalar_t<C>>>& paid) {
  using S = scalar_t<C>;
  if constexpr (BlockCost<C>) {
    if (rows.width > 1) {
      Index const n = cost.rows();
      rows.accumulate_filled(
          parallel,
          [&](Index j, Index columns, int worker, S* e) {
            sum.segment(j, columns).setZero();
            paid.segment(j, columns).setZero();
            for_each_block(cost, j, columns, rows.scratch.col(worker).data(),
                           [&](Index column, Index first, Index count, S const* c) {
                             S* const to = e + (column - j) * n + first;
                             sum(column) += exponentials(f.data() + first, g(column), c, at.inverse,
                                                         w.data() + first, to, count);
                             paid(column) += weighted_cost(w.data() + first, to, c, count);
                           });
          },
          [&](Index j, int, S*) { return sum(j) > 0 ? v(j) : S(0); });
      return 0;
    }
  }
  rows.accumulate(parallel, [&](Index j, int worker, S* e) {
    sum(j) = paid(j) = 0;
    if (g(j) == -std::numeric_limits<S>::infinity()) return S(0);
    for_each_segment(cost, j, rows.scratch.col(worker).data(),
                     [&](Index first, Index count, S const* c) {
                       sum(j) += exponentials(f.data() + first, g(j), c, at.inverse,
                                              w.data() + first, e + first, count);
                       paid(j) += weighted_cost(w.data() + first, e + first, c, count);
                     });
    return v(j);
  });
  return 0;
}

}  // namespace monge::ot::detail
