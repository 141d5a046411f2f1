// SPDX-License-Identifier: MIT
/// @file
/// Products with separable kernels in the log domain, at the speed of matrix products.
///
/// On a grid with costs C = sum_k C_k(i_k, j_k) the kernel exp(-C / epsilon) is a Kronecker
/// product, so that log sum_i exp(L_i - C_ij / epsilon) is formed axis by axis: N n operations
/// along an axis of n points instead of N^2. Along an axis, all lines of the grid are multiplied by
/// one matrix.
///
/// Safety without an exponential per product. Lines and matrix are cut into tiles of 32. A tile of
/// a line is exp(L - m) with its own maximum m, a tile of the matrix has its own maximum too, and
/// the products of two tiles, of moderate size, are added with the factor that their maxima make. A
/// pair of tiles whose factor says that it adds less than exp(-45) to any entry is skipped, which
/// leaves a band where epsilon is small. If a sum is still so small that terms may have been lost
/// (epsilon is so small that a tile spans hundreds of exponents), its tile is redone with an
/// exponential per term and the true maximum. So no epsilon over- or underflows, and no choice is
/// needed.
///
/// A pass reads its lines as rows of an R x n array (lines in the lanes of a pack) and leaves m x
/// R, so that the next axis is the last one again; after all axes the order is the old one.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <monge/core/exp.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/simd.hpp>
#include <monge/core/types.hpp>

namespace monge::ot::detail {

using namespace monge::detail;

/// log of every lane; -infinity for 0. Normal numbers only. x = 2^k m with m in [sqrt(1/2),
/// sqrt 2), log m = 2 artanh z with z = (m - 1) / (m + 1), by its series: z^2 <= 0.0295.
template <RealScalar S>
simd::pack_t<S> log_pack(simd::pack_t<S> const& x) {
  using V = simd::pack_t<S>;
  if constexpr (std::same_as<S, float> || std::same_as<S, double>) {
    using Bits = simd::pack_t<simd::bits_t<S>>;
    using K = ExpConstants<S>;
    constexpr S root_half = S(0.70710678118654752440L);
    Bits const bits = std::bit_cast<Bits>(x);
    Bits const k = (bits - std::bit_cast<simd::bits_t<S>>(root_half)) >> K::mantissa_bits;
    V const m = std::bit_cast<V>(bits - (k << K::mantissa_bits));
    V const power = std::bit_cast<V>(k + std::bit_cast<simd::bits_t<S>>(K::shift)) - K::shift;
    V const z = (m - S(1)) / (m + S(1)), z2 = z * z;
    constexpr int terms = std::same_as<S, float> ? 5 : 11;
    V series = simd::broadcast(S(2) / S(2 * terms + 1));
    for (int q = terms - 1; q >= 1; --q) series = series * z2 + S(2) / S(2 * q + 1);
    V const y = power * K::ln2_high + (S(2) * z + (z * z2 * series + power * K::ln2_low));
    V const off = simd::broadcast(-std::numeric_limits<S>::infinity());
    return x > S(0) ? y : off;
  } else {
    return std::log(x);
  }
}

/// One axis: the n x m matrix exp(log_k) in tiles. Entries of log_k may be -infinity.
template <RealScalar S>
class AxisKernel {
 public:
  using V = simd::pack_t<S>;
  static constexpr Index tile = 32, width = 2 * simd::lanes<S>, parts = 4;
  static constexpr Index group = parts * width;  // lines that are handled at once
  static constexpr S off = -std::numeric_limits<S>::infinity();
  static constexpr S very_low = S(-1e30);

  AxisKernel() = default;
  explicit AxisKernel(MatrixX<S> log_k) : logs_(std::move(log_k)) {
    Index const down = tiles(n()), across = tiles(m());
    values_ = VectorX<S>::Zero(down * across * tile * tile);
    top_.resize(down, across);
    bottom_.resize(down, across);
    for (Index J = 0; J < across; ++J) {
      for (Index I = 0; I < down; ++I) {
        Index const rows = std::min(tile, n() - I * tile), cols = std::min(tile, m() - J * tile);
        auto const part = logs_.block(I * tile, J * tile, rows, cols);
        top_(I, J) = std::max(part.maxCoeff(), very_low);
        bottom_(I, J) = std::max(part.minCoeff(), very_low);
        S* const to = at(I, J);
        for (Index i = 0; i < rows; ++i) {
          for (Index j = 0; j < cols; ++j)
            to[i * tile + j] = monge::exp(S(part(i, j) - top_(I, J)));
        }
      }
    }
  }

  [[nodiscard]] Index n() const { return logs_.rows(); }
  [[nodiscard]] Index m() const { return logs_.cols(); }
  [[nodiscard]] MatrixX<S> const& logs() const { return logs_; }

  /// What one worker needs.
  struct Workspace {
    VectorX<S> x, top, bottom, sums, scale;
  };
  [[nodiscard]] Workspace workspace() const {
    Index const down = tiles(n());
    Workspace space;
    space.x.resize(parts * down * tile * width);
    space.top.resize(parts * down * width);
    space.bottom.resize(parts * down * width);
    space.sums.resize(tile * width);
    return space;
  }

  /// out (m x R): out(j, r) = log sum_i exp(in(r, i) + log_k(i, j)) for in (R x n).
  void apply(Parallel const& parallel, S const* in, Index R, S* out,
             std::vector<Workspace>& spaces) const {
    Index const groups = (R + group - 1) / group;
    parallel_for(parallel, groups, [&](Index g, int worker) {
      Index const first = g * group;
      lines(in, R, first, std::min(group, R - first), out, spaces[std::size_t(worker)]);
    });
  }

 private:
  struct Pair {
    V low, high;
  };
  [[nodiscard]] static Index tiles(Index size) { return (size + tile - 1) / tile; }
  [[nodiscard]] S* at(Index I, Index J) {
    return values_.data() + (J * tiles(n()) + I) * tile * tile;
  }
  [[nodiscard]] S const* at(Index I, Index J) const {
    return values_.data() + (J * tiles(n()) + I) * tile * tile;
  }
  [[nodiscard]] static Pair load(S const* from) {
    return {simd::load(from), simd::load(from + simd::lanes<S>)};
  }
  static void store(S* to, Pair const& x) {
    simd::store<S>(to, x.low);
    simd::store<S>(to + simd::lanes<S>, x.high);
  }
  [[nodiscard]] static Pair load_part(S const* from, Index count) {
    constexpr Index lanes = simd::lanes<S>;
    if (count >= width) return load(from);
    return {simd::load_part(from, std::min(lanes, count), off),
            simd::load_part(from + std::min(lanes, count), std::max<Index>(0, count - lanes), off)};
  }
  [[nodiscard]] static V larger(V const& a, V const& b) { return a > b ? a : b; }
  [[nodiscard]] static V smaller(V const& a, V const& b) { return a < b ? a : b; }

  void lines(S const* in, Index R, Index first, Index count, S* out, Workspace& space) const {
    Index const down = tiles(n());
    Index const used = (count + width - 1) / width;
    for (Index q = 0; q < used; ++q) {
      Index const line = first + q * width, here = std::min(width, count - q * width);
      for (Index I = 0; I < down; ++I) exponentials(in + line, R, here, q, I, space);
    }
    for (Index J = 0; J < tiles(m()); ++J) {
      for (Index q = 0; q < used; ++q) {
        Index const line = first + q * width, here = std::min(width, count - q * width);
        tile_of_sums(in + line, R, here, q, J, out + line * m(), space);
      }
    }
  }

  /// x <- exp(L - m), m and the minimum of one tile of a few lines.
  void exponentials(S const* in, Index R, Index here, Index q, Index I, Workspace& space) const {
    Index const down = tiles(n()), rows = std::min(tile, n() - I * tile);
    V const floor = simd::broadcast(very_low);
    Pair top{floor, floor}, bottom{-floor, -floor};
    for (Index i = 0; i < rows; ++i) {
      Pair const L = load_part(in + (I * tile + i) * R, here);
      top = {larger(L.low, top.low), larger(L.high, top.high)};
      bottom = {smaller(L.low, bottom.low), smaller(L.high, bottom.high)};
    }
    store(space.top.data() + (q * down + I) * width, top);
    store(space.bottom.data() + (q * down + I) * width,
          {larger(bottom.low, floor), larger(bottom.high, floor)});
    S* const x = space.x.data() + (q * down + I) * tile * width;
    for (Index i = 0; i < rows; ++i) {
      Pair const L = load_part(in + (I * tile + i) * R, here);
      store(x + i * width, {exp_pack<S>(L.low - top.low), exp_pack<S>(L.high - top.high)});
    }
    std::fill(x + rows * width, x + tile * width, S(0));
  }

  /// All entries of a tile of the result for a few lines.
  void tile_of_sums(S const* in, Index R, Index here, Index q, Index J, S* out,
                    Workspace& space) const {
    Index const down = tiles(n()), cols = std::min(tile, m() - J * tile);
    S const* const tops = space.top.data() + q * down * width;
    S const* const bottoms = space.bottom.data() + q * down * width;
    V const floor = simd::broadcast(S(4) * very_low);
    Pair bound{floor, floor}, least{floor, floor};  // of the logarithm of the result
    for (Index I = 0; I < down; ++I) {
      Pair const high = load(tops + I * width), low = load(bottoms + I * width);
      bound = {larger(bound.low, high.low + top_(I, J)),
               larger(bound.high, high.high + top_(I, J))};
      least = {larger(least.low, low.low + bottom_(I, J)),
               larger(least.high, low.high + bottom_(I, J))};
    }
    S* const sums = space.sums.data();
    std::fill_n(sums, tile * width, S(0));
    for (Index I = 0; I < down; ++I) {
      if (!matters(tops, I, J, least)) continue;
      Pair const high = load(tops + I * width);
      Pair const peak{high.low + top_(I, J), high.high + top_(I, J)};
      add_product(at(I, J), space.x.data() + (q * down + I) * tile * width,
                  {exp_pack<S>(peak.low - bound.low), exp_pack<S>(peak.high - bound.high)}, sums);
    }
    // What was lost below the normal range is less than a million of its smallest numbers.
    S const trusted = std::numeric_limits<S>::min() / unit_roundoff<S> * S(1 << 20);
    V doubt = simd::broadcast(S(0));
    for (Index j = 0; j < cols; ++j) {
      Pair const y = load(sums + j * width);
      V const one = simd::broadcast(S(1)), none = simd::broadcast(S(0));
      V const low = (y.low < trusted) ? one : none, high = (y.high < trusted) ? one : none;
      V const low_line = bound.low > very_low / 2 ? one : none;
      V const high_line = bound.high > very_low / 2 ? one : none;
      doubt += low * low_line + high * high_line;
      store(sums + j * width, {bound.low + log_pack<S>(y.low), bound.high + log_pack<S>(y.high)});
    }
    if (simd::any_above<S>(doubt, S(0))) redo(in, R, here, J, tops, least, sums);
    for (Index line = 0; line < here; ++line) {
      for (Index j = 0; j < cols; ++j) out[line * m() + J * tile + j] = sums[j * width + line];
    }
  }

  /// sums (tile x width) += scale o (K' x) for one pair of tiles.
  static void add_product(S const* k, S const* x, Pair const& scale, S* sums) {
    constexpr int few = 4;
    for (Index j = 0; j < tile; j += few) {
      V low[few] = {}, high[few] = {};
      for (Index i = 0; i < tile; ++i) {
        V const x_low = simd::load(x + i * width);
        V const x_high = simd::load(x + i * width + simd::lanes<S>);
        for (int c = 0; c < few; ++c) {
          S const entry = k[i * tile + j + c];
          low[c] += entry * x_low;
          high[c] += entry * x_high;
        }
      }
      for (int c = 0; c < few; ++c) {
        S* const to = sums + (j + c) * width;
        Pair const before = load(to);
        store(to, {before.low + scale.low * low[c], before.high + scale.high * high[c]});
      }
    }
  }

  /// Whether a tile adds anything to a result whose logarithm is `least` or more.
  [[nodiscard]] bool matters(S const* tops, Index I, Index J, Pair const& least) const {
    Pair const high = load(tops + I * width);
    V const low = high.low + top_(I, J) - least.low, up = high.high + top_(I, J) - least.high;
    return simd::any_above<S>(larger(low, up), S(-45));
  }

  /// The same tile with an exponential per term.
  void redo(S const* in, Index R, Index here, Index J, S const* tops, Pair const& least,
            S* sums) const {
    Index const cols = std::min(tile, m() - J * tile);
    V const floor = simd::broadcast(very_low);
    for (Index j = 0; j < cols; ++j) {
      S const* const k = logs_.col(J * tile + j).data();
      Pair top{floor, floor}, sum{};
      auto const terms = [&](auto const& visit) {
        for (Index I = 0; I < tiles(n()); ++I) {
          if (!matters(tops, I, J, least)) continue;
          for (Index i = I * tile; i < std::min(n(), (I + 1) * tile); ++i) {
            Pair const L = load_part(in + i * R, here);
            visit(L.low + k[i], L.high + k[i]);
          }
        }
      };
      terms([&](V const& low, V const& high) {
        top = {larger(low, top.low), larger(high, top.high)};
      });
      terms([&](V const& low, V const& high) {
        sum.low += exp_pack<S>(low - top.low);
        sum.high += exp_pack<S>(high - top.high);
      });
      store(sums + j * width, {top.low + log_pack<S>(sum.low), top.high + log_pack<S>(sum.high)});
    }
  }

  MatrixX<S> logs_;          // n x m
  VectorX<S> values_;        // tiles of exp(log_k - top), each by rows, zero outside
  MatrixX<S> top_, bottom_;  // of the tiles, tiles(n) x tiles(m)
};

/// All axes. `batch` grids may be transformed at once.
template <RealScalar S>
class GridKernel {
 public:
  GridKernel() = default;
  GridKernel(std::vector<AxisKernel<S>> axes, Index batch, Parallel parallel)
      : axes_(std::move(axes)), batch_(batch), parallel_(std::move(parallel)) {
    Index most = batch_, size = batch_;
    for (auto const& axis : axes_) size *= axis.n();
    most = size;
    for (Index k = Index(axes_.size()) - 1; k >= 0; --k) {
      AxisKernel<S> const& axis = axes_[std::size_t(k)];
      size = size / axis.n() * axis.m();
      most = std::max(most, size);
      spaces_.emplace_back(std::size_t(parallel_.workers()), axis.workspace());
    }
    front_.resize(most);
    back_.resize(most);
  }

  /// out(j, b) = log sum_i exp(in(i, b) + log K(i, j)): in is rows x batch, out cols x batch.
  void apply(MatrixX<S> const& in, MatrixX<S>& out) {
    S const* from = in.data();
    if (batch_ > 1) {  // the batch comes first, and ends up last
      Eigen::Map<MatrixX<S>>(front_.data(), batch_, in.rows()) = in.transpose();
      from = front_.data();
    }
    Index size = in.size();
    VectorX<S>* to = &back_;
    for (std::size_t pass = 0; pass < axes_.size(); ++pass) {
      AxisKernel<S> const& axis = axes_[axes_.size() - 1 - pass];
      Index const R = size / axis.n();
      S* const target = pass + 1 == axes_.size() ? out.data() : to->data();
      axis.apply(parallel_, from, R, target, spaces_[pass]);
      from = target;
      to = to == &back_ ? &front_ : &back_;
      size = R * axis.m();
    }
  }

 private:
  std::vector<AxisKernel<S>> axes_;
  Index batch_ = 1;
  Parallel parallel_;
  std::vector<std::vector<typename AxisKernel<S>::Workspace>> spaces_;
  VectorX<S> front_, back_;
};

}  // namespace monge::ot::detail
