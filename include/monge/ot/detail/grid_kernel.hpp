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
/// a line is 2^-T exp(L) with a whole T near its own maximum, a tile of the matrix has its T too,
/// and the products of two tiles, of moderate size, are added with the power of two that their
/// maxima make. A pair of tiles whose power says that it adds less than rounding to any entry is
/// skipped, which leaves a band where epsilon is small. If a sum is still so small that terms may
/// have been lost (epsilon is so small that a tile spans hundreds of exponents), its entry is taken
/// again with an exponential per term and the true maximum. So no epsilon over- or underflows, and
/// no choice is needed. Every line has its own tiles and powers: no result depends on its
/// neighbours.
///
/// Between axes a number x = 2^k m, 1 <= m < 2, is kept as k + m - 3/2: the chords of log2 between
/// powers of two. They lose what the logarithm would lose and are inverted by adding to bits, so
/// that exponentials are taken on the way into the first axis and logarithms on the way out of the
/// last one only.
///
/// A pass reads its lines as rows of an R x n array (lines in the lanes of a pack) and leaves m x
/// R (columns of the matrix in the lanes), so that the next axis is the last one again; after all
/// axes the order is the old one.
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

/// x = 2^exponent mantissa in every lane.
template <RealScalar S>
struct BinaryPack {
  simd::pack_t<S> mantissa, exponent;
};

/// The mantissa is in [least, 2 least). Positive normal numbers only.
template <RealScalar S>
BinaryPack<S> binary_pack(simd::pack_t<S> const& x, S least) {
  using V = simd::pack_t<S>;
  if constexpr (std::same_as<S, float> || std::same_as<S, double>) {
    using Bits = simd::pack_t<simd::bits_t<S>>;
    using K = ExpConstants<S>;
    Bits const bits = std::bit_cast<Bits>(x);
    Bits const k = (bits - std::bit_cast<simd::bits_t<S>>(least)) >> K::mantissa_bits;
    return {std::bit_cast<V>(bits - (k << K::mantissa_bits)),
            std::bit_cast<V>(k + std::bit_cast<simd::bits_t<S>>(K::shift)) - K::shift};
  } else {
    int k = 0;
    S m = std::frexp(x, &k);
    for (; m < least; m *= 2) --k;
    return {m, S(k)};
  }
}

/// The nearest whole number; large ones stay near themselves.
template <RealScalar S>
simd::pack_t<S> round_pack(simd::pack_t<S> const& x) {
  if constexpr (std::same_as<S, float> || std::same_as<S, double>) {
    return (x + ExpConstants<S>::shift) - ExpConstants<S>::shift;
  } else {
    return std::nearbyint(x);
  }
}

/// 2^k for whole k <= 0; 0 below the normal range.
template <RealScalar S>
simd::pack_t<S> power_pack(simd::pack_t<S> const& k) {
  using V = simd::pack_t<S>;
  if constexpr (std::same_as<S, float> || std::same_as<S, double>) {
    using Bits = simd::pack_t<simd::word_t<S>>;
    using K = ExpConstants<S>;
    Bits const whole = std::bit_cast<Bits>(k + K::shift) << K::mantissa_bits;
    V const zero = simd::broadcast(S(0));
    return k < S(std::numeric_limits<S>::min_exponent - 1)
               ? zero
               : std::bit_cast<V>(whole + std::bit_cast<simd::word_t<S>>(S(1)));
  } else {
    S const y = std::exp2(k);
    return y < std::numeric_limits<S>::min() ? S(0) : y;
  }
}

/// x in units of log 2: a whole number and the rest of the logarithm. Where x is so large that the
/// rest is lost in rounding, it is 0.
template <RealScalar S>
struct WholePart {
  static constexpr S log2_e = S(1.44269504088896340735992468100189214L);
  simd::pack_t<S> whole, rest;

  explicit WholePart(simd::pack_t<S> const& x) : whole(round_pack<S>(x * log2_e)) {
    if constexpr (std::same_as<S, float> || std::same_as<S, double>) {
      using K = ExpConstants<S>;
      rest = (x - whole * K::ln2_high) - whole * K::ln2_low;
    } else {
      rest = x - whole / log2_e;
    }
    simd::pack_t<S> const none = simd::broadcast(S(0));
    rest = rest > S(0.4) ? none : rest;
    rest = rest < S(-0.4) ? none : rest;
  }
};

/// log of every lane; -infinity for 0. Normal numbers only. x = 2^k m with m in [sqrt(1/2),
/// sqrt 2), log m = 2 artanh z with z = (m - 1) / (m + 1), by its series: z^2 <= 0.0295.
template <RealScalar S>
simd::pack_t<S> log_pack(simd::pack_t<S> const& x) {
  using V = simd::pack_t<S>;
  if constexpr (std::same_as<S, float> || std::same_as<S, double>) {
    using K = ExpConstants<S>;
    auto const [m, power] = binary_pack<S>(x, S(0.70710678118654752440L));
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

/// k + m - 3/2 for 2^k m; -infinity for 0. Normal numbers only.
template <RealScalar S>
simd::pack_t<S> chord_pack(simd::pack_t<S> const& x) {
  simd::pack_t<S> const off = simd::broadcast(-std::numeric_limits<S>::infinity());
  if constexpr (!(std::same_as<S, float> || std::same_as<S, double>)) {
    if (!(x > S(0))) return off;
  }
  auto const [m, k] = binary_pack<S>(x, S(1));
  simd::pack_t<S> const y = k + (m - S(1.5));
  return x > S(0) ? y : off;
}

/// How the lines that go in or come out are kept.
enum class LineForm : unsigned char { logarithm, chord };

/// One axis: the n x m matrix exp(log_k) in tiles. Entries of log_k may be -infinity.
template <RealScalar S>
class AxisKernel {
 public:
  using V = simd::pack_t<S>;
  static constexpr Index lanes = simd::lanes<S>, tile = 32;
  static constexpr Index group = 48;  // lines that are handled at once: their tiles stay in cache
  static constexpr S off = -std::numeric_limits<S>::infinity();
  static constexpr S very_low = S(-1e30);

  AxisKernel() = default;
  explicit AxisKernel(MatrixX<S> log_k) : logs_(std::move(log_k)) {
    Index const down = tiles(n()), across = tiles(m());
    place_.resize(down, across);
    top_.resize(down, across);
    bottom_.resize(down, across);
    for (Index J = 0; J < across; ++J) {
      for (Index I = 0; I < down; ++I) {
        if (repeats(I, J)) {
          place_(I, J) = place_(I - 1, J - 1);
          top_(I, J) = top_(I - 1, J - 1);
          bottom_(I, J) = bottom_(I - 1, J - 1);
        } else {
          add_tile(I, J);
        }
      }
    }
  }

  [[nodiscard]] Index n() const { return logs_.rows(); }
  [[nodiscard]] Index m() const { return logs_.cols(); }
  [[nodiscard]] MatrixX<S> const& logs() const { return logs_; }

  /// What one worker needs.
  struct Workspace {
    VectorX<S> x;                      // tiles of 2^-top exp(L), each tile x group
    VectorX<S> top, bottom;            // of them in units of log 2, tiles(n) x group
    VectorX<S> bound, least, factors;  // group
    VectorX<S> sums;                   // group lines of a tile
    VectorX<S> line;                   // n
  };
  [[nodiscard]] Workspace workspace() const {
    Index const down = tiles(n());
    Workspace space;
    space.x.resize(down * tile * group);
    space.top.resize(down * group);
    space.bottom.resize(down * group);
    for (auto* x : {&space.bound, &space.least, &space.factors}) x->resize(group);
    space.sums.resize(group * tile);
    space.line.resize(simd::whole_packs<S>(n()));
    return space;
  }

  /// out (m x R): out(j, r) = log sum_i exp(in(r, i) + log_k(i, j)) for in (R x n).
  void apply(Parallel const& parallel, S const* in, Index R, LineForm from, S* out, LineForm to,
             std::vector<Workspace>& spaces) const {
    Index const groups = (R + group - 1) / group;
    parallel_for(parallel, groups, [&](Index g, int worker) {
      Index const begin = g * group;
      lines({in + begin, R, std::min(group, R - begin), from}, out + begin * m(), to,
            spaces[std::size_t(worker)]);
    });
  }

 private:
  /// Packs and lines whose sums are in registers at once: twelve of them, each pack of the matrix
  /// and each entry of a line being used as often as there are of the others.
  static constexpr int packs = 2, together = 6;
  static_assert(group % lanes == 0 && group % together == 0);

  /// A few lines: entry i of line r is data[i * stride + r].
  struct Lines {
    S const* data;
    Index stride, count;
    LineForm form;

    /// Entry i of all lines, the last pack filled up with -infinity.
    void copy(Index i, S* to) const {
      S const* const from = data + i * stride;
      Index r = 0;
      for (; r + lanes <= count; r += lanes) simd::store<S>(to + r, simd::load(from + r));
      if (r < count) simd::store<S>(to + r, simd::load_part(from + r, count - r, off));
    }
  };

  [[nodiscard]] static Index tiles(Index size) { return (size + tile - 1) / tile; }
  [[nodiscard]] static V larger(V const& a, V const& b) { return a > b ? a : b; }
  [[nodiscard]] static V smaller(V const& a, V const& b) { return a < b ? a : b; }
  [[nodiscard]] static S first(V const& x) {
    S entries[lanes];
    simd::store<S>(entries, x);
    return entries[0];
  }

  [[nodiscard]] auto part(Index I, Index J) const {
    return logs_.block(I * tile, J * tile, std::min(tile, n() - I * tile),
                       std::min(tile, m() - J * tile));
  }

  /// Where costs depend on differences, a tile is its neighbour's across the corner: kept once, the
  /// matrix of a long axis stays in the second level of the cache.
  [[nodiscard]] bool repeats(Index I, Index J) const {
    if (I == 0 || J == 0) return false;
    auto const here = part(I, J), before = part(I - 1, J - 1);
    return here.rows() == before.rows() && here.cols() == before.cols() &&
           (here.array() == before.array()).all();
  }

  void add_tile(Index I, Index J) {
    auto const logs = part(I, J);
    S const top = std::max(logs.maxCoeff(), very_low);
    WholePart<S> const split(simd::broadcast(top));
    top_(I, J) = first(split.whole);
    bottom_(I, J) = WholePart<S>::log2_e * std::max(logs.minCoeff(), very_low);
    Index const place = place_(I, J) = Index(values_.size());
    values_.resize(std::size_t(place + tile * tile));
    for (Index i = 0; i < logs.rows(); ++i) {
      for (Index j = 0; j < logs.cols(); ++j) {
        values_[std::size_t(place + i * tile + j)] =
            monge::exp(S((logs(i, j) - top) + first(split.rest)));
      }
    }
  }

  void lines(Lines const& in, S* out, LineForm to, Workspace& space) const {
    Index const used = simd::whole_packs<S>(in.count);
    for (Index I = 0; I < tiles(n()); ++I) {
      // Rows of a tile are far apart in memory, and at distances that a cache dislikes: once.
      for (Index i = I * tile; i < std::min(n(), (I + 1) * tile); ++i) {
        in.copy(i, space.x.data() + i * group);
      }
      for (Index r = 0; r < used; r += lanes) tile_of_lines(in.form, I, r, space);
    }
    for (Index J = 0; J < tiles(m()); ++J) {
      sums_of_tile(J, used, space);
      for (Index r = 0; r < in.count; ++r) write(in, r, J, out + r * m() + J * tile, to, space);
    }
  }

  /// x <- 2^-top exp(x), top and the minimum of one tile of as many lines as a pack has lanes.
  void tile_of_lines(LineForm form, Index I, Index r, Workspace& space) const {
    S* const begin = space.x.data() + I * tile * group + r;
    S* const end = begin + std::min(tile, n() - I * tile) * group;
    V top = simd::broadcast(very_low), bottom = -top;
    for (S const* x = begin; x < end; x += group) {
      V const L = simd::load(x);
      top = larger(L, top);
      bottom = smaller(L, bottom);
    }
    bottom = larger(bottom, simd::broadcast(very_low));
    S* const top_to = space.top.data() + I * group + r;
    S* const bottom_to = space.bottom.data() + I * group + r;
    if (form == LineForm::logarithm) {
      WholePart<S> const split(top);
      for (S* x = begin; x < end; x += group) {
        simd::store<S>(x, exp_pack<S>((simd::load(x) - top) + split.rest));
      }
      simd::store<S>(top_to, split.whole);
      simd::store<S>(bottom_to, bottom * WholePart<S>::log2_e);
    } else {
      V const whole = round_pack<S>(top), zero = simd::broadcast(S(0));
      for (S* x = begin; x < end; x += group) {
        V const c = simd::load(x), k = round_pack<S>(c);
        V const y = ((c - k) + S(1.5)) * power_pack<S>(k - whole);
        simd::store<S>(x, c > very_low ? y : zero);
      }
      simd::store<S>(top_to, whole);
      simd::store<S>(bottom_to, bottom);
    }
  }

  /// sums <- 2^-bound sum_i exp(L_i + log_k(i, j)) for the columns of a tile and all lines.
  void sums_of_tile(Index J, Index used, Workspace& space) const {
    Index const down = tiles(n()), cols = std::min(tile, m() - J * tile);
    V const floor = simd::broadcast(S(4) * very_low);
    for (Index r = 0; r < used; r += lanes) {
      V bound = floor, least = floor;  // of log2 of the result
      for (Index I = 0; I < down; ++I) {
        bound = larger(bound, simd::load(space.top.data() + I * group + r) + top_(I, J));
        least = larger(least, simd::load(space.bottom.data() + I * group + r) + bottom_(I, J));
      }
      simd::store<S>(space.bound.data() + r, bound);
      simd::store<S>(space.least.data() + r, least);
    }
    std::fill_n(space.sums.data(), group * tile, S(0));
    for (Index I = 0; I < down; ++I) {
      for (Index r = 0; r < used; r += lanes) {
        V const top = simd::load(space.top.data() + I * group + r) + top_(I, J);
        V const zero = simd::broadcast(S(0));
        V const power = power_pack<S>(top - simd::load(space.bound.data() + r));
        simd::store<S>(space.factors.data() + r,
                       top > simd::load(space.least.data() + r) - negligible ? power : zero);
      }
      S const* const k = values_.data() + place_(I, J);
      for (Index r = 0; r < used; r += together) {
        bool needed = false;
        for (Index l = r; l < r + together; ++l) needed = needed || space.factors(l) > 0;
        if (!needed) continue;
        for (Index j = 0; j < cols; j += packs * lanes) {
          add_product(k + j, space.x.data() + I * tile * group + r, std::min(tile, n() - I * tile),
                      space.factors.data() + r, space.sums.data() + r * tile + j,
                      std::make_integer_sequence<int, packs * together>{});
        }
      }
    }
  }

  /// Exponents below the largest sum at which a pair of tiles adds less than rounding does.
  static constexpr S negligible = S(std::numeric_limits<S>::digits + 12);

  /// sums += factor o (K' x) for a few packs of columns and a few lines. The sums are spelled out
  /// so that they stay in registers at -O2 too.
  template <int... q>
  static void add_product(S const* k, S const* x, Index depth, S const* factors, S* sums,
                          std::integer_sequence<int, q...>) {
    V products[sizeof...(q)] = {};
    for (Index i = 0; i < depth; ++i, k += tile, x += group) {
      V columns[packs];
      ((q < packs ? void(columns[q % packs] = simd::load<S>(k + (q % packs) * lanes)) : void()),
       ...);
      ((q < packs ? simd::hold(columns[q % packs]) : void()), ...);
      ((products[q] += columns[q % packs] * x[q / packs]), ...);
    }
    auto const scaled = [&](S* to, V const& product, S factor) {
      simd::store<S>(to, simd::load<S>(to) + factor * product);
    };
    (scaled(sums + (q / packs) * tile + (q % packs) * lanes, products[q], factors[q / packs]), ...);
  }

  /// A tile of one line of the result.
  void write(Lines const& in, Index r, Index J, S* out, LineForm to, Workspace& space) const {
    // What was lost below the normal range is less than a million of its smallest numbers.
    constexpr S trusted = std::numeric_limits<S>::min() / unit_roundoff<S> * S(1 << 20);
    Index const cols = std::min(tile, m() - J * tile);
    S const* const sums = space.sums.data() + r * tile;
    S const bound = space.bound(r);
    S const natural = bound / WholePart<S>::log2_e;
    V doubt = simd::broadcast(S(0));
    for (Index j = 0; j < cols; j += lanes) {
      Index const count = std::min(lanes, cols - j);
      V const y = count == lanes ? simd::load(sums + j) : simd::load_part(sums + j, count, S(1));
      V const one = simd::broadcast(S(1)), none = simd::broadcast(S(0));
      doubt += y < trusted ? one : none;
      V const result =
          to == LineForm::logarithm ? natural + log_pack<S>(y) : bound + chord_pack<S>(y);
      if (count == lanes) {
        simd::store<S>(out + j, result);
      } else {
        simd::store_part<S>(out + j, result, count);
      }
    }
    if (bound > very_low / 2 && simd::any_above<S>(doubt, S(0))) {
      unroll(in, r, space.line);
      for (Index j = 0; j < cols; ++j) {
        if (sums[j] < trusted) out[j] = again(r, J, j, to, space);
      }
    }
  }

  /// The natural logarithms of a line.
  void unroll(Lines const& in, Index r, VectorX<S>& line) const {
    line.setConstant(off);
    for (Index i = 0; i < n(); ++i) line(i) = in.data[i * in.stride + r];
    if (in.form == LineForm::logarithm) return;
    for (Index i = 0; i < line.size(); i += lanes) {
      V const c = simd::load(&line(i)), k = round_pack<S>(c), none = simd::broadcast(off);
      V const L = k / WholePart<S>::log2_e + log_pack<S>((c - k) + S(1.5));
      simd::store<S>(&line(i), c > very_low ? L : none);
    }
  }

  /// One entry with an exponential per term.
  [[nodiscard]] S again(Index r, Index J, Index j, LineForm to, Workspace const& space) const {
    S const* const k = logs_.col(J * tile + j).data();
    auto const terms = [&](auto const& visit) {
      for (Index I = 0; I < tiles(n()); ++I) {
        if (!(space.top(I * group + r) + top_(I, J) > space.least(r) - negligible)) continue;
        Index const end = std::min(n(), (I + 1) * tile);
        for (Index i = I * tile; i < end; i += lanes) {
          Index const count = std::min(lanes, end - i);
          visit(simd::load(&space.line(i)) +
                (count == lanes ? simd::load(k + i) : simd::load_part(k + i, count, off)));
        }
      }
    };
    V tops = simd::broadcast(very_low), sums{};
    terms([&](V const& L) { tops = larger(L, tops); });
    S entries[lanes];
    simd::store<S>(entries, tops);
    S const top = *std::max_element(entries, entries + lanes);
    terms([&](V const& L) { sums += exp_pack<S>(L - top); });
    S const log = top + std::log(simd::sum<S>(sums));
    if (to == LineForm::logarithm || !(log > very_low)) return log;
    S const whole = std::floor(log * WholePart<S>::log2_e);
    return whole + (monge::exp(log - whole / WholePart<S>::log2_e) - S(1.5));
  }

  using Places = Eigen::Matrix<Index, Eigen::Dynamic, Eigen::Dynamic>;

  MatrixX<S> logs_;          // n x m
  Places place_;             // of the tiles in values_, tiles(n) x tiles(m)
  std::vector<S> values_;    // tiles of 2^-top exp(log_k), each by rows, zero outside
  MatrixX<S> top_, bottom_;  // of the tiles in units of log 2, tiles(n) x tiles(m)
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
      using enum LineForm;
      bool const last = pass + 1 == axes_.size();
      S* const target = last ? out.data() : to->data();
      axis.apply(parallel_, from, R, pass == 0 ? logarithm : chord, target,
                 last ? logarithm : chord, spaces_[pass]);
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
