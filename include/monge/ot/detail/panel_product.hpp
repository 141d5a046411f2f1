// SPDX-License-Identifier: MIT
/// @file
/// The product that slicing is made of: C (+)= A B with few rows of A at a time in registers.
///
/// A tile of C, three packs of rows by four columns, stays in twelve registers while its products
/// are added up: three loads and four broadcasts feed twelve multiply-adds, which is what a core
/// can do at its peak. Rows of A are contiguous, so that they load as packs; entries of B are
/// broadcast, so that B may lie in memory in any way. Every entry of C is the sum over ascending
/// columns of A of the same operations, wherever its tile begins.
#pragma once

#include <algorithm>
#include <utility>

#include <monge/core/simd.hpp>
#include <monge/core/types.hpp>

namespace monge::ot::detail {

/// Rows and columns of a tile of C.
template <RealScalar S>
inline constexpr Index tile_rows = 3 * simd::lanes<S>;
inline constexpr Index tile_columns = 4;

/// Entry (i, j) of a matrix is data[i * row + j * column].
template <class S>
struct Strided {
  S* data;
  Index row, column;
};

/// The first `rows` lanes of a pack, read or written; rows <= 0: none.
template <RealScalar S>
[[nodiscard]] simd::pack_t<S> read_rows(S const* from, Index rows) {
  if (rows >= simd::lanes<S>) return simd::load<S>(from);
  return simd::load_part<S>(from, rows, S(0));
}
template <RealScalar S>
void write_rows(S* to, simd::pack_t<S> pack, Index rows) {
  if (rows >= simd::lanes<S>) {
    simd::store<S>(to, pack);
  } else if (rows > 0) {
    simd::store_part<S>(to, pack, rows);
  }
}

/// One tile of R packs by four columns: C(:, j) (+)= sum_i A(:, i) B(i, j), i < depth, where A(:,
/// i) begins at a + i * a_step and C(:, j) at to + j * to_column. All four columns of B are read,
/// `rows` by `columns` entries of C are written. Sums are spelled out so that they stay in
/// registers at -O2 too.
template <int R, RealScalar S, int... q>
void multiply_tile(S const* a, Index a_step, Strided<S const> b, Index depth, S* to,
                   Index to_column, Index rows, Index columns, bool accumulate,
                   std::integer_sequence<int, q...>) {
  using V = simd::pack_t<S>;
  constexpr Index step = simd::lanes<S>;
  V sums[sizeof...(q)] = {};
  if (accumulate) {
    ((sums[q] = q / R < columns
                    ? read_rows(to + (q / R) * to_column + (q % R) * step, rows - (q % R) * step)
                    : V{}),
     ...);
  }
  S const* right = b.data;
  for (Index i = 0; i < depth; ++i, a += a_step, right += b.row) {
    V packs[R];
    ((q < R ? void(packs[q % R] = simd::load<S>(a + (q % R) * step)) : void()), ...);
    ((q < R ? simd::hold(packs[q % R]) : void()), ...);
    ((sums[q] += packs[q % R] * right[(q / R) * b.column]), ...);
  }
  if (rows >= R * step && columns == tile_columns) {
    (simd::store<S>(to + (q / R) * to_column + (q % R) * step, sums[q]), ...);
    return;
  }
  ((q / R < columns
        ? write_rows<S>(to + (q / R) * to_column + (q % R) * step, sums[q], rows - (q % R) * step)
        : void()),
   ...);
}

/// The same with as many packs as `rows`, at most tile_rows, need.
template <RealScalar S>
void multiply_tile(S const* a, Index a_step, Strided<S const> b, Index depth, S* to,
                   Index to_column, Index rows, Index columns, bool accumulate) {
  auto const run = [&](auto packs) {
    constexpr int R = decltype(packs)::value;
    multiply_tile<R>(a, a_step, b, depth, to, to_column, rows, columns, accumulate,
                     std::make_integer_sequence<int, R* int(tile_columns)>{});
  };
  if (rows > 2 * simd::lanes<S>) {
    run(std::integral_constant<int, 3>{});
  } else if (rows > simd::lanes<S>) {
    run(std::integral_constant<int, 2>{});
  } else {
    run(std::integral_constant<int, 1>{});
  }
}

/// A matrix A (rows x depth) cut into panels of tile_rows rows, the last with as many packs as it
/// needs; a panel is column after column, filled up with zeros.
template <RealScalar S>
struct Panels {
  Index rows = 0, depth = 0;
  VectorX<S> entries;

  /// A(:, i) = scale(i) from.col(first + i), i < count.
  template <class Scale>
  void assign(MatrixX<S> const& from, Index first, Index count, Scale scale) {
    rows = from.rows();
    depth = count;
    Index const size = simd::whole_packs<S>(rows) * depth;
    if (entries.size() < size) entries.resize(size);
    S* to = entries.data();
    for (Index row = 0; row < rows; row += tile_rows<S>) {
      Index const taken = std::min(tile_rows<S>, rows - row), width = simd::whole_packs<S>(taken);
      for (Index i = 0; i < count; ++i, to += width) {
        S const factor = scale(i);
        for (Index k = 0; k < taken; ++k) to[k] = factor * from(row + k, first + i);
        std::fill(to + taken, to + width, S(0));
      }
    }
  }
  /// to(:, j) (+)= A B(:, j) for `columns` columns; to(:, j) begins at to + j * to_column. B can be
  /// read up to a multiple of four columns.
  void multiply(Strided<S const> b, Index columns, S* to, Index to_column, bool accumulate) const {
    for (Index row = 0; row < rows; row += tile_rows<S>) {
      Index const taken = std::min(tile_rows<S>, rows - row);
      for (Index j = 0; j < columns; j += tile_columns) {
        multiply_tile<S>(entries.data() + row * depth, simd::whole_packs<S>(taken),
                         {b.data + j * b.column, b.row, b.column}, depth, to + row + j * to_column,
                         to_column, taken, std::min(tile_columns, columns - j), accumulate);
      }
    }
  }
};

}  // namespace monge::ot::detail
