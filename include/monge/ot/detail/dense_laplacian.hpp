// SPDX-License-Identifier: MIT
/// @file
/// A small dense graph Laplacian L = diag(Q Q' 1) - Q Q' of nonnegative Q with an excess on the
/// diagonal, factorised without a subtraction.
///
/// Eliminating vertex k with weights w_ik to the vertices i > k that are left and d = excess_k +
/// sum_i w_ik leaves a Laplacian again,
///
///     excess_i += excess_k w_ik / d,     w_il += w_ik w_lk / d.
///
/// No diagonal is ever stored and nothing cancels, so that every number has nearly full relative
/// accuracy however far the weights are spread [AXY02], in float as well.
///
/// Cost for n vertices and m columns of Q: n^2 m / 2 + n^3 / 6 products and sums.
///
/// [AXY02] A. S. Alfa, J. Xue, Q. Ye, Accurate computation of the smallest eigenvalue of a
///         diagonally dominant M-matrix, Math. Comp. 71 (2002).
#pragma once

#include <algorithm>

#include <monge/core/simd.hpp>
#include <monge/ot/detail/small_kernel.hpp>

namespace monge::ot::detail {

template <RealScalar S>
class DenseLaplacian {
 public:
  using V = simd::pack_t<S>;
  static constexpr int lanes = simd::lanes<S>;

  /// The weights Q Q' below the diagonal. Q: the entries of a kernel, n of its rows not padding and
  /// the padding zero.
  void form(SmallKernel<S> const& Q, Index n) {
    n_ = n;
    stride_ = Q.rows();
    if (weights_.size() < stride_ * stride_) weights_.resize(stride_ * stride_);
    for (Index k = 0; k < n; k += 4) {
      for (Index i = k / lanes * lanes; i < stride_; i += 2 * lanes) {
        if (i + lanes < stride_) {
          tile<2>(Q, i, k);
        } else {
          tile<1>(Q, i, k);
        }
      }
    }
  }

  /// Eliminates all vertices; column k keeps the ratios w_ik / d, and zeros above them. excess:
  /// nonnegative, padded with zeros.
  void factorise(VectorX<S> const& excess) {
    if (pivot_.size() < stride_) pivot_.resize(stride_);
    excess_ = excess;
    for (Index k = 0; k < n_; k += panel) {
      Index const end = std::min(n_, k + panel);
      for (Index p = k; p < end; ++p) {
        for (Index q = k; q < p; ++q) {
          add_multiple(column(q), column(q)[p] * degree_[q % panel], first_pack(p), column(p));
        }
        divide(p);
      }
      for (Index l = end; l < n_; ++l) trailing(k, l);
    }
  }

  /// x <- inverse(L + diag(excess)) x; x is padded with zeros.
  void solve(S* x) const {
    for (Index k = 0; k < n_; ++k) {
      S const value = x[k];
      add_multiple(column(k), value, first_pack(k), x);
      x[k] = value * pivot_(k);
    }
    for (Index k = n_ - 1; k >= 0; --k) {
      S const* const ratio = column(k);
      V total{};
      for (Index i = first_pack(k); i < stride_; i += lanes) {
        total += simd::load(ratio + i) * simd::load(x + i);
      }
      x[k] += simd::sum<S>(total);
    }
  }

 private:
  static constexpr Index panel = 4;

  [[nodiscard]] S* column(Index k) { return weights_.data() + k * stride_; }
  [[nodiscard]] S const* column(Index k) const { return weights_.data() + k * stride_; }

  /// Rows i.. (P packs) of the columns k..k+3.
  template <int P>
  void tile(SmallKernel<S> const& Q, Index i, Index k) {
    V sum[4][P] = {};
    Index row[4];  // packs of two may end before the fourth
    for (int c = 0; c < 4; ++c) row[c] = std::min(k + c, n_ - 1);
    for (Index j = 0; j < Q.cols(); ++j) {
      S const* const q = Q.column(j);
      V part[P];
      for (int p = 0; p < P; ++p) part[p] = simd::load(q + i + p * lanes);
      for (int c = 0; c < 4; ++c) {
        V const factor = simd::broadcast<S>(q[row[c]]);
        for (int p = 0; p < P; ++p) sum[c][p] += factor * part[p];
      }
    }
    for (int c = 0; c < 4 && k + c < n_; ++c) {
      for (int p = 0; p < P; ++p) simd::store<S>(column(k + c) + i + p * lanes, sum[c][p]);
    }
  }

  /// Where the pack of vertex k begins.
  static Index first_pack(Index k) { return k / lanes * lanes; }

  /// to_i += factor from_i from pack `first` on.
  void add_multiple(S const* from, S factor, Index first, S* to) const {
    for (Index i = first; i < stride_; i += lanes) {
      simd::store<S>(to + i, simd::load(to + i) + factor * simd::load(from + i));
    }
  }

  /// The degree of vertex p, and its weights as ratios to it.
  void divide(Index p) {
    S* const w = column(p);
    std::fill(w + first_pack(p), w + p + 1, S(0));
    V total{};
    for (Index i = first_pack(p); i < stride_; i += lanes) total += simd::load(w + i);
    S const degree = excess_(p) + simd::sum<S>(total);
    degree_[p % panel] = degree;
    pivot_(p) = degree >= std::numeric_limits<S>::min() ? 1 / degree : S(0);
    for (Index i = first_pack(p); i < stride_; i += lanes) {
      V const ratio = simd::load(w + i) * pivot_(p);
      simd::store<S>(w + i, ratio);
      simd::store<S>(&excess_(i), simd::load(&excess_(i)) + excess_(p) * ratio);
    }
  }

  /// What the panel from k on adds to column l; entries above the diagonal are not used.
  void trailing(Index k, Index l) {
    S factor[panel];
    for (int q = 0; q < panel; ++q) factor[q] = column(k + q)[l] * degree_[q];
    S* const to = column(l);
    for (Index i = first_pack(l); i < stride_; i += lanes) {
      V sum = simd::load(to + i);
      for (int q = 0; q < panel; ++q) sum += factor[q] * simd::load(column(k + q) + i);
      simd::store<S>(to + i, sum);
    }
  }

  Index n_ = 0, stride_ = 0;
  VectorX<S> weights_;  // column k: the weights, then ratios, of vertex k below the diagonal
  VectorX<S> pivot_;    // 1 / d
  VectorX<S> excess_;
  S degree_[panel] = {};
};

}  // namespace monge::ot::detail
