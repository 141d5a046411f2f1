// SPDX-License-Identifier: MIT
/// @file
/// The kernels of a rough plan (rough_plan.hpp), in single precision: on all pairs of a small
/// problem, in packs, and on a list of pairs.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <monge/core/simd.hpp>
#include <monge/ot/detail/network_simplex.hpp>
#include <monge/ot/detail/small_kernel.hpp>

namespace monge::ot::detail {

/// An entry of a plan, in units of the mean weight of a row.
struct Share {
  float share = 0;
  Arc arc;
};
inline Arc arc_of(Share const& x) { return x.arc; }

inline constexpr float highest_entry = 0x1p60F;  // of a kernel

/// x^2 within the range of a kernel; nothing subnormal.
inline simd::pack_t<float> sharpened(simd::pack_t<float> const& x) {
  using V = simd::pack_t<float>;
  V const top = simd::broadcast(highest_entry), square = x * x;
  V const below = square < top ? square : top;
  return below < std::numeric_limits<float>::min() ? V{} : below;
}

/// All pairs of a small problem: at most 2^32.
class PairKernel : public SmallKernel<float> {
 public:
  explicit PairKernel(Index n, Index m) : n_(n), m_(m) { resize(n, m); }

  void sharpen(Eigen::VectorXf const& u, Eigen::VectorXf const& v) {
    for (Index j = 0; j < m_; ++j) {
      V const factor = simd::broadcast(v(j));
      float* const k = column(j);
      for (Index i = 0; i < rows(); i += lanes) {
        simd::store<float>(k + i,
                           sharpened(simd::load(k + i) * (simd::load(u.data() + i) * factor)));
      }
    }
  }

  [[nodiscard]] std::vector<Share> list(Eigen::VectorXf const& u, Eigen::VectorXf const& v,
                                        Eigen::VectorXf const& of_rows,
                                        Eigen::VectorXf const& of_columns) const {
    std::vector<std::uint64_t> keys;
    std::size_t count = 0;
    for (Index j = 0; j < m_; ++j) {
      float const* const k = column(j);
      V const factor = simd::broadcast(v(j)), least = simd::broadcast(of_columns(j));
      keys.resize(std::max(keys.size(), count + std::size_t(rows())));
      for (Index i = 0; i < rows(); i += lanes) {
        V const p = simd::load(k + i) * (simd::load(u.data() + i) * factor);
        V const bound = simd::load(of_rows.data() + i);
        V const excess = p - (bound < least ? bound : least);
        if (!simd::any_above<float>(excess, 0)) continue;
        float share[lanes], above[lanes];
        simd::store<float>(share, p);
        simd::store<float>(above, excess);
        for (Index lane = 0; lane < lanes; ++lane) {
          // Positive floats are in the order of their bits.
          auto const place = std::uint32_t(j * n_ + i + lane);
          keys[count] = std::uint64_t(~std::bit_cast<std::uint32_t>(share[lane])) << 32 | place;
          count += above[lane] > 0;  // without a branch that could not be foretold
        }
      }
    }
    keys.resize(count);
    std::sort(keys.begin(), keys.end());
    std::vector<Share> shares;
    shares.reserve(keys.size());
    auto const n = std::uint32_t(n_);
    for (std::uint64_t const key : keys) {
      auto const place = std::uint32_t(key);
      shares.push_back({std::bit_cast<float>(~std::uint32_t(key >> 32)),
                        {std::int32_t(place % n), std::int32_t(place / n)}});
    }
    return shares;
  }

 private:
  Index n_, m_;
};

/// The pairs of a list.
class ListKernel {
 public:
  using V = simd::pack_t<float>;
  static constexpr Index lanes = simd::lanes<float>;

  /// place: where each column begins among the rows; k: the entries in this order.
  ListKernel(Index n, std::vector<std::size_t> place, std::vector<std::int32_t> row,
             std::vector<float> k)
      : rows_(simd::whole_packs<float>(n)),
        cols_(simd::whole_packs<float>(Index(place.size()) - 1)),
        place_(std::move(place)),
        row_(std::move(row)),
        k_(std::move(k)) {
    place_.resize(std::size_t(cols_) + 1, place_.back());
  }

  [[nodiscard]] Index rows() const { return rows_; }  // padded
  [[nodiscard]] Index cols() const { return cols_; }

  template <class Factor>
  void read(float const* x, float* rows, Factor&& factor) const {
    std::fill_n(rows, rows_, 0.0F);
    for (Index j = 0; j < cols_; j += lanes) {
      float sums[lanes], y[lanes];
      for (Index c = 0; c < lanes; ++c) {
        float sum = 0;
        for (std::size_t p = begin(j + c); p < begin(j + c + 1); ++p) sum += k_[p] * x[row_[p]];
        sums[c] = sum;
      }
      simd::store<float>(y, factor(j, simd::load(sums)));
      for (Index c = 0; c < lanes; ++c) {
        for (std::size_t p = begin(j + c); p < begin(j + c + 1); ++p) {
          rows[row_[p]] += k_[p] * y[c];
        }
      }
    }
  }

  /// Entries that vanish are dropped.
  void sharpen(Eigen::VectorXf const& u, Eigen::VectorXf const& v) {
    std::size_t kept = 0, first = 0;
    for (Index j = 0; j < cols_; ++j) {
      std::size_t const end = begin(j + 1);
      for (std::size_t p = first; p < end; ++p) {
        float const x = k_[p] * (u(row_[p]) * v(j)), square = std::min(x * x, highest_entry);
        row_[kept] = row_[p];
        k_[kept] = square;
        kept += square > least_entry;
      }
      first = end;
      place_[std::size_t(j) + 1] = kept;
    }
  }

  [[nodiscard]] std::vector<Share> list(Eigen::VectorXf const& u, Eigen::VectorXf const& v,
                                        Eigen::VectorXf const& of_rows,
                                        Eigen::VectorXf const& of_columns) const {
    std::vector<Share> shares;
    for (Index j = 0; j < cols_; ++j) {
      for (std::size_t p = begin(j); p < begin(j + 1); ++p) {
        std::int32_t const i = row_[p];
        float const share = k_[p] * (u(i) * v(j));
        if (share > std::min(of_rows(i), of_columns(j))) {
          shares.push_back({share, {i, std::int32_t(j)}});
        }
      }
    }
    std::sort(shares.begin(), shares.end(), [](Share const& x, Share const& y) {
      if (x.share != y.share) return x.share > y.share;
      return x.arc.column != y.arc.column ? x.arc.column < y.arc.column : x.arc.row < y.arc.row;
    });
    return shares;
  }

 private:
  static constexpr float least_entry = 1e-12F;  // of P over the product of the weights

  [[nodiscard]] std::size_t begin(Index j) const { return place_[std::size_t(j)]; }

  Index rows_, cols_;
  std::vector<std::size_t> place_;  // cols + 1
  std::vector<std::int32_t> row_;
  std::vector<float> k_;
};

}  // namespace monge::ot::detail
