// SPDX-License-Identifier: MIT
/// @file
/// A cloud of points less an origin, as slicing reads it: projections on a few directions, moments.
///
/// The points stay where the caller has them. Products copy some of them at a time, centred and in
/// the layout that the registers want, into the first-level cache: as cheap as reading them, and
/// nothing of the size of the cloud is kept. Every entry of a result is the same sum in the same
/// order, however the points are shared among threads.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <utility>
#include <vector>

#include <monge/core/parallel.hpp>
#include <monge/core/simd.hpp>
#include <monge/core/types.hpp>
#include <monge/ot/detail/integer_masses.hpp>
#include <monge/ot/detail/panel_product.hpp>

namespace monge::ot::detail {

template <RealScalar S>
using Cloud = Eigen::Ref<MatrixX<S> const, 0, Eigen::OuterStride<>>;

/// X (d x n) less `origin`. It points into X: for the length of a call.
template <RealScalar S>
struct CentredCloud {
  Index dimension = 0, size = 0;
  S const* points = nullptr;
  Index stride = 0;           // between points
  VectorX<double> weights;    // n, of sum 1; empty: all 1 / n
  std::vector<Mass> masses;   // the weights as integers; empty with them
  VectorX<double> mean;       // d, of the points
  VectorX<double> remainder;  // d, mean - origin

  explicit CentredCloud(Cloud<S> const& X)
      : dimension(X.rows()), size(X.cols()), points(X.data()), stride(X.outerStride()) {}

  [[nodiscard]] double weight(Index k) const {
    return weights.size() > 0 ? weights(k) : 1 / double(size);
  }
  /// Panels of tile_rows points, and the points that they have room for.
  [[nodiscard]] Index panels() const { return (size + tile_rows<S> - 1) / tile_rows<S>; }
  [[nodiscard]] Index padded() const { return panels() * tile_rows<S>; }
  /// The length of a row of projections: room for whole panels and for reading whole tiles from any
  /// panel on; an odd number of cache lines, so that the same place of many rows does not fall into
  /// one set of the cache.
  [[nodiscard]] Index row() const {
    constexpr Index line = std::max<Index>(64 / Index(sizeof(S)), 1);
    return ((padded() + tile_columns + line - 1) / line | 1) * line;
  }

  /// The weighted mean: infinite or NaN if a coordinate is, whatever its weight.
  void measure_mean() {
    mean.setZero(dimension);
    constexpr Index together = 4;  // points per visit of the mean
    for (Index k = 0; k < size; k += together) {
      S const* x[together];
      double share[together];
      for (Index j = 0; j < together; ++j) {
        bool const there = k + j < size;
        x[j] = points + (there ? k + j : k) * stride;
        share[j] = !there ? 0.0 : weights.size() > 0 ? weights(k + j) : 1.0;
      }
      for (Index i = 0; i < dimension; ++i) {
        mean(i) += (share[0] * double(x[0][i]) + share[1] * double(x[1][i])) +
                   (share[2] * double(x[2][i]) + share[3] * double(x[3][i]));
      }
    }
    if (weights.size() == 0) mean /= double(size);
  }
  void centre(VectorX<double> const& origin) {
    remainder = mean - origin;
    high_ = origin.template cast<S>();
    low_ = (origin - high_.template cast<double>()).template cast<S>();
  }

  /// to(i * row_step + k * point_step) = coordinate i of the centred point first + k, k < count; 0
  /// beyond the last point. The origin has two parts, so that float points far from 0 keep digits.
  void copy(Index first, Index count, S* to, Index row_step, Index point_step) const {
    Index const there = std::min(count, size - first);
    S const *const high = high_.data(), *const low = low_.data();
    for (Index k = 0; k < count; ++k, to += point_step) {
      if (k < there) {
        S const* const x = points + (first + k) * stride;
        for (Index i = 0; i < dimension; ++i) to[i * row_step] = (x[i] - high[i]) - low[i];
      } else {
        for (Index i = 0; i < dimension; ++i) to[i * row_step] = S(0);
      }
    }
  }

  /// The points of panel t, coordinate after coordinate.
  void pack(Index t, S* to) const {
    pack(t, to, std::make_integer_sequence<int, simd::lanes<S>>{});
  }

  /// to(l * row() + k) = theta_l . x_k for `count` directions, the columns of theta (d x count),
  /// and the points of panels begin .. end - 1.
  void project(S const* theta, Index count, Index begin, Index end, S* to) const {
    // Some panels at a time stay in the first-level cache, and rows are written in longer pieces.
    constexpr Index bytes = 24576, most = 16;
    Index const panel = dimension * tile_rows<S>, length = row();
    Index const group = std::clamp<Index>(bytes / (panel * Index(sizeof(S))), 1, most);
    VectorX<S> packed(group * panel);
    for (Index first = begin; first < end; first += group) {
      Index const panels = std::min(group, end - first);
      for (Index t = 0; t < panels; ++t) {
        pack(first + t, packed.data() + t * panel);
      }
      // The last four directions may overlap those before; fewer than four go one by one.
      bool const few = count < tile_columns;
      // Meanwhile the next panels come from memory, some lines per tile.
      Index const next = std::min(group, end - first - panels) * tile_rows<S> * stride;
      Index const share = next / (panels * ((count + tile_columns - 1) / tile_columns)) + 1;
      Index fetched = (first + panels) * tile_rows<S> * stride;
      Index const fetch_end = std::min(fetched + next, size * stride);
      for (Index l = 0; l < count; l += few ? 1 : tile_columns) {
        Index const at = few ? l : std::min(l, count - tile_columns);
        Strided<S const> const four{theta + at * dimension, 1, few ? 0 : dimension};
        S* const rows = to + at * length + first * tile_rows<S>;
        for (Index t = 0; t < panels; ++t) {
          for (Index const stop = std::min(fetched + share, fetch_end); fetched < stop;
               fetched += 64 / Index(sizeof(S))) {
            simd::prefetch(points + fetched);
          }
          multiply_tile<S>(packed.data() + t * panel, tile_rows<S>, four, dimension,
                           rows + t * tile_rows<S>, length, tile_rows<S>, few ? 1 : tile_columns,
                           false);
        }
      }
    }
  }

  /// The covariance (d x d), divided by n: sum_k weight_k (x_k - mean)(x_k - mean)'.
  [[nodiscard]] MatrixX<double> covariance(Parallel const& parallel) const {
    Index const d = dimension, width = simd::whole_packs<S>(d), columns = (d + 3) / 4 * 4;
    // Summed in S over so many points: short enough for float.
    Index const block = std::clamp<Index>(16384 / width, 16, 256);
    Index const blocks = (size + block - 1) / block, chunks = std::min<Index>(blocks, 16);
    MatrixX<double> parts = MatrixX<double>::Zero(d * d, chunks);
    monge::detail::parallel_for(parallel, chunks, [&](Index chunk, int) {
      double* const sums = parts.data() + chunk * d * d;
      Index const room = std::max(width, columns);
      MatrixX<S> x = MatrixX<S>::Zero(room, block), weighted = x, product(width, columns);
      for (Index t = blocks * chunk / chunks; t < blocks * (chunk + 1) / chunks; ++t) {
        copy(t * block, block, x.data(), 1, room);
        if (weights.size() > 0) {
          for (Index k = 0; k < std::min(block, size - t * block); ++k) {
            weighted.col(k) = S(weights(t * block + k) * double(size)) * x.col(k);
          }
        }
        S const* const other = weights.size() > 0 ? weighted.data() : x.data();
        for (Index j = 0; j < d; j += tile_columns) {
          for (Index i = 0; i < d; i += tile_rows<S>) {
            if (i + tile_rows<S> <= j) continue;
            Index const rows = std::min(tile_rows<S>, width - i);
            multiply_tile<S>(x.data() + i, room, {other + j, room, 1}, block,
                             product.data() + i + j * width, width, rows, tile_columns, false);
          }
        }
        for (Index j = 0; j < d; ++j) {
          for (Index i = j; i < d; ++i) sums[j * d + i] += double(product(i, j));
        }
      }
    });
    MatrixX<double> result(d, d);
    for (Index j = 0; j < d; ++j) {
      for (Index i = j; i < d; ++i) {
        double sum = 0;
        for (Index chunk = 0; chunk < chunks; ++chunk) sum += parts(j * d + i, chunk);
        result(i, j) = sum / double(size) - remainder(i) * remainder(j);
        result(j, i) = result(i, j);
      }
    }
    return result;
  }

  /// The trace of the covariance.
  [[nodiscard]] double mean_square() const {
    double sum = 0;
    VectorX<S> x(dimension);
    for (Index k = 0; k < size; ++k) {
      copy(k, 1, x.data(), 1, 0);
      sum += weight(k) * double(x.squaredNorm());
    }
    return sum - remainder.squaredNorm();
  }

 private:
  template <int... j>
  void pack(Index t, S* to, std::integer_sequence<int, j...>) const {
    constexpr Index step = sizeof...(j);
    Index const first = t * tile_rows<S>;
    if (first + tile_rows<S> > size) return copy(first, tile_rows<S>, to, tile_rows<S>, 1);
    for (Index k = 0; k < tile_rows<S>; k += step) {
      S const* x = points + (first + k) * stride;
      Index i = 0;
      for (; i + step <= dimension; i += step) {
        auto const high = simd::load<S>(high_.data() + i), low = simd::load<S>(low_.data() + i);
        simd::pack_t<S> square[step] = {(simd::load<S>(x + i + j * stride) - high) - low...};
        simd::transpose<S>(square);
        (simd::store<S>(to + (i + j) * tile_rows<S> + k, square[j]), ...);
      }
      for (; i < dimension; ++i) {
        ((to[i * tile_rows<S> + k + j] = (x[i + j * stride] - high_(i)) - low_(i)), ...);
      }
    }
  }

  VectorX<S> high_, low_;  // d: the origin is their sum
};

}  // namespace monge::ot::detail
