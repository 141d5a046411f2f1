// SPDX-License-Identifier: MIT
/// @file
/// A cloud of points in the layout of the two products that slicing needs: projections of all
/// points on a few directions, and sums of multiples of these directions.
///
/// Points are kept in tiles: coordinate after coordinate, the 32 or 64 points of a tile side by
/// side. A product passes over a tile while it is in the first-level cache, four directions and two
/// packs at a time, so that every load feeds four multiply-adds, for d = 3 as for d = 64. Every
/// entry of a result is the same sum in the same order, however the tiles are shared among threads.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <type_traits>
#include <utility>
#include <vector>

#include <monge/core/parallel.hpp>
#include <monge/core/simd.hpp>
#include <monge/core/types.hpp>
#include <monge/ot/detail/integer_masses.hpp>

namespace monge::ot::detail {

/// Points per tile: a row of a tile has 256 bytes, so that a tile of 64 coordinates fits into the
/// first-level cache twice.
template <RealScalar S>
inline constexpr Index tile_width = 256 / Index(sizeof(S));

/// to(j, :) (+)= sum_i factors(j, i) from(i, :) for the rows j of one tile. `factors` has strides
/// (factor_row, factor_column), `from` and `to` the distances of their rows. The rows are spelled
/// out so that their sums stay in registers at -O2 too.
template <bool Add, RealScalar S, int... j>
void combine_rows(S const* from, Index from_rows, Index count, S const* factors, Index factor_row,
                  Index factor_column, S* to, Index to_rows, std::integer_sequence<int, j...>) {
  using V = simd::pack_t<S>;
  constexpr Index step = simd::lanes<S>;
  static_assert(tile_width<S> % (2 * step) == 0);
  for (Index k = 0; k < tile_width<S>; k += 2 * step) {
    V left[sizeof...(j)], right[sizeof...(j)];
    ((left[j] = Add ? simd::load<S>(to + j * to_rows + k) : V{}), ...);
    ((right[j] = Add ? simd::load<S>(to + j * to_rows + k + step) : V{}), ...);
    S const* x = from + k;
    S const* factor = factors;
    for (Index i = 0; i < count; ++i, x += from_rows, factor += factor_column) {
      V const first = simd::load<S>(x), second = simd::load<S>(x + step);
      ((left[j] += first * factor[j * factor_row], right[j] += second * factor[j * factor_row]),
       ...);
    }
    (simd::store<S>(to + j * to_rows + k, left[j]), ...);
    (simd::store<S>(to + j * to_rows + k + step, right[j]), ...);
  }
}

/// The same for any number of rows.
template <bool Add, RealScalar S>
void combine(S const* from, Index from_rows, Index count, S const* factors, Index factor_row,
             Index factor_column, S* to, Index to_rows, Index rows) {
  Index j = 0;
  auto const next = [&](auto width) {
    constexpr int J = decltype(width)::value;
    combine_rows<Add>(from, from_rows, count, factors + j * factor_row, factor_row, factor_column,
                      to + j * to_rows, to_rows, std::make_integer_sequence<int, J>{});
    j += J;
  };
  while (rows - j >= 4) next(std::integral_constant<int, 4>{});
  if (rows - j == 3) next(std::integral_constant<int, 3>{});
  if (rows - j == 2) next(std::integral_constant<int, 2>{});
  if (rows - j == 1) next(std::integral_constant<int, 1>{});
}

/// d x n entries in tiles; what is beyond the last point is zero.
template <RealScalar S>
struct PackedCloud {
  Index dimension = 0, size = 0;
  VectorX<S> entries;
  VectorX<double> weights;    // n, of sum 1; empty: all 1 / n
  std::vector<Mass> masses;   // the weights as integers; empty with them
  VectorX<double> mean;       // d, of the caller's points
  VectorX<double> remainder;  // d, the mean of the packed points, as it should be

  [[nodiscard]] Index tiles() const { return (size + tile_width<S> - 1) / tile_width<S>; }
  [[nodiscard]] Index padded() const { return tiles() * tile_width<S>; }
  [[nodiscard]] S const* tile(Index t) const {
    return entries.data() + t * dimension * tile_width<S>;
  }
  [[nodiscard]] S* tile(Index t) { return entries.data() + t * dimension * tile_width<S>; }
  [[nodiscard]] double weight(Index k) const {
    return weights.size() > 0 ? weights(k) : 1 / double(size);
  }

  void resize(Index d, Index n) {
    dimension = d;
    size = n;
    if (entries.size() != d * padded()) entries.resize(d * padded());
    entries.setZero();
  }
  /// Packs X (d x n) less `origin` (d).
  void assign(Eigen::Ref<MatrixX<S> const, 0, Eigen::OuterStride<>> const& X,
              VectorX<double> const& origin) {
    resize(X.rows(), X.cols());
    for (Index k = 0; k < size; ++k) {
      S const* const from = X.data() + k * X.outerStride();
      S* const to = tile(k / tile_width<S>) + k % tile_width<S>;
      for (Index i = 0; i < dimension; ++i) {
        to[i * tile_width<S>] = S(wide_t<S>(from[i]) - wide_t<S>(origin(i)));
      }
    }
    remainder = mean - origin;
  }
  /// The weighted mean of X.
  void measure_mean(Eigen::Ref<MatrixX<S> const, 0, Eigen::OuterStride<>> const& X) {
    mean.setZero(X.rows());
    for (Index k = 0; k < X.cols(); ++k) {
      double const share = weights.size() > 0 ? weights(k) : 1.0;
      for (Index i = 0; i < X.rows(); ++i) mean(i) += share * double(X(i, k));
    }
    if (weights.size() == 0) mean /= double(X.cols());
  }

  /// to(l * row + k) = theta_l . x_k for `count` directions, the columns of theta (d x count), and
  /// the points of tiles begin .. end - 1.
  void project(S const* theta, Index count, Index begin, Index end, S* to, Index row) const {
    for (Index t = begin; t < end; ++t) {
      combine<false>(tile(t), tile_width<S>, dimension, theta, dimension, Index(1),
                     to + t * tile_width<S>, row, count);
    }
  }
  /// x_k += sum_l slopes(l * row + k) theta_l in these tiles.
  void add_multiples(S const* theta, Index count, Index begin, Index end, S const* slopes,
                     Index row) {
    for (Index t = begin; t < end; ++t) {
      combine<true>(slopes + t * tile_width<S>, row, count, theta, Index(1), dimension, tile(t),
                    tile_width<S>, dimension);
    }
  }

  /// The covariance (d x d), divided by n: sum_k weight_k (x_k - mean)(x_k - mean)'.
  [[nodiscard]] MatrixX<double> covariance(Parallel const& parallel) const {
    Index const d = dimension;
    Index const chunks = std::min<Index>(tiles(), 16);
    MatrixX<double> parts = MatrixX<double>::Zero(d * d, chunks);
    monge::detail::parallel_for(parallel, chunks, [&](Index chunk, int) {
      double* const sums = parts.data() + chunk * d * d;
      S weighted[tile_width<S>];
      for (Index t = tiles() * chunk / chunks; t < tiles() * (chunk + 1) / chunks; ++t) {
        S const* const x = tile(t);
        Index const count = std::min(tile_width<S>, size - t * tile_width<S>);
        for (Index j = 0; j < d; ++j) {
          S const* own = x + j * tile_width<S>;
          if (weights.size() > 0) {
            for (Index k = 0; k < count; ++k) {
              weighted[k] = own[k] * S(weights(t * tile_width<S> + k) * double(size));
            }
            std::fill(weighted + count, weighted + tile_width<S>, S(0));
            own = weighted;
          }
          for (Index i = 0; i <= j; ++i) sums[j * d + i] += double(dot(x + i * tile_width<S>, own));
        }
      }
    });
    MatrixX<double> result(d, d);
    for (Index j = 0; j < d; ++j) {
      for (Index i = 0; i <= j; ++i) {
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
    for (Index t = 0; t < tiles(); ++t) {
      Index const count = std::min(tile_width<S>, size - t * tile_width<S>);
      for (Index i = 0; i < dimension; ++i) {
        S const* const x = tile(t) + i * tile_width<S>;
        if (weights.size() == 0) {
          sum += double(dot(x, x)) / double(size);
          continue;
        }
        for (Index k = 0; k < count; ++k) {
          sum += weights(t * tile_width<S> + k) * double(x[k]) * double(x[k]);
        }
      }
    }
    return sum - remainder.squaredNorm();
  }

 private:
  /// The scalar product of two rows of tiles.
  static S dot(S const* x, S const* y) {
    using V = simd::pack_t<S>;
    constexpr Index step = simd::lanes<S>;
    V first{}, second{};
    for (Index k = 0; k < tile_width<S>; k += 2 * step) {
      first += simd::load<S>(x + k) * simd::load<S>(y + k);
      second += simd::load<S>(x + k + step) * simd::load<S>(y + k + step);
    }
    return simd::sum<S>(first + second);
  }
};

}  // namespace monge::ot::detail
