// SPDX-License-Identifier: MIT
/// @file
/// Register-blocked sums over coordinates, for costs between points of more than a few coordinates:
///
///     squares:  sum_k (x_k - y_k)^2,       products:  sum_k x_k y_k.
///
/// Two packs of rows by four columns are summed in registers, so that a coordinate that was loaded
/// serves eight sums, as in a matrix product. Squared distances are sums of squared differences and
/// not |x|^2 + |y|^2 - 2 <x, y>: where the cost is small, which is where a plan has its mass, the
/// expansion loses the digits that |x|^2 / epsilon takes. The difference costs one addition per
/// multiplication, which runs beside it on cores that have adders of their own.
///
/// Points are kept in panels of 16, coordinate by coordinate, so that a tile reads contiguous
/// memory. An entry is the same number in whatever tile it is computed.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include <monge/core/simd.hpp>
#include <monge/core/types.hpp>

namespace monge::ot::detail {

/// What is summed over the coordinates.
enum class TileSum { squares, products };

/// body(0), ..., body(N - 1) with constants, unrolled at every optimisation level.
template <int N, class Body>
inline void unrolled(Body&& body) {
  [&]<int... K>(std::integer_sequence<int, K...>) {
    (body(std::integral_constant<int, K>{}), ...);
  }(std::make_integer_sequence<int, N>{});
}

/// out(r, c) <- the sum for rows r < R packs and columns c < N. x(k, r) = x[k * x_stride + r];
/// y(k, c) = y[c * d + k].
template <TileSum sum, int R, int N, RealScalar S>
void point_tile(S const* x, Index x_stride, S const* y, Index d, S* out, Index out_stride) {
  using V = simd::pack_t<S>;
  constexpr Index step = simd::lanes<S>;
  V total[R * N] = {};
  for (Index k = 0; k < d; ++k) {
    V point[R];
    unrolled<R>([&](auto r) { point[r] = simd::load(x + k * x_stride + r * step); });
    unrolled<N>([&](auto c) {
      S const other = y[c * d + k];
      unrolled<R>([&](auto r) {
        if constexpr (sum == TileSum::squares) {
          V const z = point[r] - other;
          total[c * R + r] += z * z;
        } else {
          total[c * R + r] += point[r] * other;
        }
      });
    });
  }
  unrolled<N>([&](auto c) {
    unrolled<R>([&](auto r) { simd::store<S>(out + c * out_stride + r * step, total[c * R + r]); });
  });
}

/// Points in panels.
template <RealScalar S>
class PointPanels {
 public:
  PointPanels() = default;
  /// points: d x n.
  explicit PointPanels(MatrixX<S> const& points)
      : d_(points.rows()),
        n_(points.cols()),
        panels_(MatrixX<S>::Zero(width * d_, (n_ + width - 1) / width)) {
    for (Index i = 0; i < n_; ++i) {
      for (Index k = 0; k < d_; ++k) panels_(k * width + i % width, i / width) = points(k, i);
    }
  }

  [[nodiscard]] Index size() const { return n_; }
  [[nodiscard]] MatrixX<S> points() const {
    MatrixX<S> points(d_, n_);
    for (Index i = 0; i < n_; ++i) {
      for (Index k = 0; k < d_; ++k) points(k, i) = panels_(k * width + i % width, i / width);
    }
    return points;
  }

  /// out(i, c) <- the sum over the coordinates of point first + i and column c of y (d x columns).
  template <TileSum sum>
  void block(S const* y, Index columns, Index first, Index count, S* out, Index stride) const {
    S part[width * most];
    for (Index i = first; i < first + count;) {
      Index const lane = i % width, rows = std::min(width - lane, first + count - i);
      S const* const x = panels_.col(i / width).data();
      S* const to = out + (i - first);
      for (Index c = 0; c < columns;) {
        Index const together = columns - c >= most ? most : 1;
        S* const target = rows == width ? to + c * stride : part;
        Index const target_stride = rows == width ? stride : width;
        if (together == most) {
          panel<sum, most>(x, y + c * d_, target, target_stride);
        } else {
          panel<sum, 1>(x, y + c * d_, target, target_stride);
        }
        if (rows < width) {
          for (Index k = 0; k < together; ++k) {
            std::copy_n(part + k * width + lane, rows, to + (c + k) * stride);
          }
        }
        c += together;
      }
      i += rows;
    }
  }

 private:
  static constexpr Index width = 16;  // points of a panel: at least one pack on every target
  static constexpr int most = 4;      // columns of a tile

  template <TileSum sum, int N>
  void panel(S const* x, S const* y, S* out, Index stride) const {
    constexpr Index packs = width / simd::lanes<S>;
    constexpr int R = int(std::min<Index>(packs, N == 1 ? 4 : 2));
    for (Index r = 0; r < packs; r += R) {
      Index const row = r * simd::lanes<S>;
      point_tile<sum, R, N>(x + row, width, y, d_, out + row, stride);
    }
  }

  Index d_ = 0, n_ = 0;
  MatrixX<S> panels_;  // (16 d) x ceil(n / 16); missing points are the origin
};

}  // namespace monge::ot::detail
