// SPDX-License-Identifier: MIT
/// @file
/// One read of a kernel that sits in the first or second level of the cache.
///
/// A fused read forms, for nonnegative K (n x m) and x (n),
///
///     s = K' x,   y_j = factor(j, s_j),   rows = K y,
///
/// column block by column block: as many columns as a pack has lanes are summed side by side, so
/// that their sums are one pack, the factors are pack arithmetic without a scalar in it, and the
/// block is added to the rows while it is in the first level. The sums of the next block do not
/// wait for the factors of this one. Both sides are padded to whole packs; the padding of K holds
/// ones, so that no sum of it is zero, and x and the factors are zero there.
#pragma once

#include <algorithm>

#include <monge/core/simd.hpp>
#include <monge/core/types.hpp>

namespace monge::ot::detail {

/// Lane c <- the sum of the lanes of part[c].
template <RealScalar S>
simd::pack_t<S> sums_of(simd::pack_t<S> const* part) {
  constexpr int lanes = simd::lanes<S>;
#if defined(__GNUC__)
  using V = simd::pack_t<S>;
  if constexpr (lanes == 2) {
    return __builtin_shufflevector(part[0], part[1], 0, 2) +
           __builtin_shufflevector(part[0], part[1], 1, 3);
  } else if constexpr (lanes == 4) {
    auto const pairs = [](V const& a, V const& b) {  // a01 b01 a23 b23
      return __builtin_shufflevector(a, b, 0, 4, 2, 6) + __builtin_shufflevector(a, b, 1, 5, 3, 7);
    };
    V const ab = pairs(part[0], part[1]), cd = pairs(part[2], part[3]);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) +
           __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  } else if constexpr (lanes == 8) {
    auto const pairs = [](V const& a, V const& b) {
      return __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14) +
             __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
    };
    auto const quads = [](V const& a, V const& b) {
      return __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13) +
             __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    };
    V const abcd = quads(pairs(part[0], part[1]), pairs(part[2], part[3]));
    V const efgh = quads(pairs(part[4], part[5]), pairs(part[6], part[7]));
    return __builtin_shufflevector(abcd, efgh, 0, 1, 2, 3, 8, 9, 10, 11) +
           __builtin_shufflevector(abcd, efgh, 4, 5, 6, 7, 12, 13, 14, 15);
  }
#endif
  S sums[lanes];
  for (int c = 0; c < lanes; ++c) sums[c] = simd::sum<S>(part[c]);
  return simd::load<S>(sums);
}

/// A kernel of whole packs on both sides.
template <RealScalar S>
class SmallKernel {
 public:
  using V = simd::pack_t<S>;
  static constexpr int lanes = simd::lanes<S>;

  /// Room for n x m entries, the padding set to one. Keeps its memory.
  void resize(Index n, Index m) {
    rows_ = simd::whole_packs<S>(n);
    cols_ = simd::whole_packs<S>(m);
    if (entries_.size() < rows_ * cols_) entries_.resize(rows_ * cols_);
    for (Index j = 0; j < m; ++j) {
      for (Index i = n; i < rows_; ++i) column(j)[i] = 1;
    }
    std::fill(column(m), column(cols_), S(1));
  }

  [[nodiscard]] Index rows() const { return rows_; }  // padded
  [[nodiscard]] Index cols() const { return cols_; }
  [[nodiscard]] S* column(Index j) { return entries_.data() + j * rows_; }
  [[nodiscard]] S const* column(Index j) const { return entries_.data() + j * rows_; }

  /// The read that the file comment describes. factor(j, s): a pack of factors from the sums of as
  /// many columns from j on. x: padded, `rows` is overwritten.
  template <class Factor>
  void read(S const* x, S* rows, Factor&& factor) const {
    for (Index i = 0; i < rows_; i += lanes) simd::store<S>(rows + i, V{});
    V sums = block_sums(x, 0);
    for (Index j = 0; j < cols_; j += lanes) {
      S y[lanes];
      simd::store<S>(y, factor(j, sums));
      if (j + lanes < cols_) sums = block_sums(x, j + lanes);
      add_block(y, j, rows);
    }
  }

 private:
  V block_sums(S const* x, Index j) const {
    constexpr int chains = lanes >= 8 ? 1 : 2;  // enough sums at once to hide their latency
    V total[lanes] = {}, other[lanes] = {};
    S const* const k = column(j);
    Index i = 0;
    for (; i + chains * lanes <= rows_; i += chains * lanes) {
      V const x0 = simd::load(x + i);
      for (int c = 0; c < lanes; ++c) total[c] += x0 * simd::load(k + c * rows_ + i);
      if constexpr (chains == 2) {
        V const x1 = simd::load(x + i + lanes);
        for (int c = 0; c < lanes; ++c) other[c] += x1 * simd::load(k + c * rows_ + i + lanes);
      }
    }
    if (i < rows_) {
      V const x0 = simd::load(x + i);
      for (int c = 0; c < lanes; ++c) total[c] += x0 * simd::load(k + c * rows_ + i);
    }
    if constexpr (chains == 2) {
      for (int c = 0; c < lanes; ++c) total[c] += other[c];
    }
    return sums_of<S>(total);
  }

  void add_block(S const* y, Index j, S* rows) const {
    V factor[lanes];
    for (int c = 0; c < lanes; ++c) factor[c] = simd::broadcast<S>(y[c]);
    S const* const k = column(j);
    for (Index i = 0; i < rows_; i += lanes) {
      V sum = simd::load(rows + i);
      for (int c = 0; c < lanes; ++c) sum += factor[c] * simd::load(k + c * rows_ + i);
      simd::store<S>(rows + i, sum);
    }
  }

  Index rows_ = 0, cols_ = 0;
  VectorX<S> entries_;
};

}  // namespace monge::ot::detail
