// SPDX-License-Identifier: MIT
/// @file
/// Anderson acceleration of a fixed-point map x -> x + r(x).
///
/// From the last `depth` differences of points and residuals, dX and dR, the next point is
///
///     x + r - (dX + dR) c,   c = argmin |r - dR c|,
///
/// the step that would be exact if r were affine on their span. On linear problems this is GMRES;
/// on a map whose derivative is symmetric, with a short window, it converges at about the rate of
/// conjugate gradients, the square root of the plain iteration count.
///
/// Cost per step: depth inner products and combinations of n entries. The least-squares problem is
/// solved from its Gram matrix, newest difference first; differences that depend on newer ones to
/// working precision are left out.
///
/// [An65] D. G. Anderson, Iterative procedures for nonlinear integral equations, J. ACM 12 (1965).
/// [WN11] H. Walker, P. Ni, Anderson acceleration for fixed-point iterations, SIAM J. Numer. Anal.
///        49 (2011), eq. (2.2): the unconstrained form that is used here.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include <monge/core/types.hpp>

namespace monge::ot::detail {

template <RealScalar S>
class Anderson {
 public:
  using Wide = wide_t<S>;
  static constexpr int most = 24;      // differences
  static constexpr S longest = S(10);  // correction, in units

  Anderson() = default;
  Anderson(Index n, Index depth)
      : dx_(n, depth), dr_(n, depth), x_(n), r_(n), weighted_(n), depth_(depth) {}

  /// Forgets the past.
  void restart() { held_ = 0, has_point_ = false; }

  /// x <- the accelerated point after x, whose image under the map is `image`. Inner products are
  /// weighted by w; entries without weight take no part and keep their value. `unit` is the size
  /// of a typical difference, so that squares neither overflow nor vanish. Returns whether x is
  /// anything else than the image.
  bool propose(VectorX<S> const& w, S unit, VectorX<S>& x, VectorX<S> const& image) {
    S const inverse = 1 / unit;
    if (has_point_) push(w, inverse, x, image);
    x_ = x;
    for (Index i = 0; i < x.size(); ++i) {
      r_(i) = w(i) > 0 ? (image(i) - x(i)) * inverse : S(0);
      x(i) = w(i) > 0 ? image(i) : x(i);
    }
    has_point_ = true;
    if (held_ == 0) return false;
    weighted_ = w.cwiseProduct(r_);
    for (Index k = 0; k < held_; ++k) {
      right_[slot(k)] = weighted_.dot(dr_.col(slot(k)));
    }
    solve();
    weighted_.setZero();  // the correction
    for (Index k = 0; k < held_; ++k) {
      S const c = S(solution_[k]);
      if (c != 0) weighted_ += c * (dx_.col(slot(k)) + dr_.col(slot(k)));
    }
    S const length = weighted_.cwiseAbs().maxCoeff();
    x -= (length > longest ? unit * (longest / length) : unit) * weighted_;
    return true;
  }

 private:
  /// The column of the k-th newest difference.
  [[nodiscard]] Index slot(Index k) const { return (newest_ - k + depth_) % depth_; }

  void push(VectorX<S> const& w, S inverse, VectorX<S> const& x, VectorX<S> const& image) {
    newest_ = (newest_ + 1) % depth_;
    held_ = std::min(held_ + 1, depth_);
    auto dx = dx_.col(newest_);
    auto dr = dr_.col(newest_);
    for (Index i = 0; i < x.size(); ++i) {
      bool const on = w(i) > 0;
      dx(i) = on ? (x(i) - x_(i)) * inverse : S(0);
      dr(i) = on ? (image(i) - x(i)) * inverse - r_(i) : S(0);
    }
    weighted_ = w.cwiseProduct(dr);
    for (Index k = 0; k < held_; ++k) {
      Index const s = slot(k);
      gram_[newest_][s] = gram_[s][newest_] = weighted_.dot(dr_.col(s));
    }
  }

  /// Cholesky of the Gram matrix in order of age; a pivot at rounding level drops its column.
  void solve() {
    std::array<bool, most> used{};
    for (Index k = 0; k < held_; ++k) {
      Index const a = slot(k);
      Wide pivot = gram_[a][a];
      for (Index l = 0; l < k; ++l) {
        if (!used[l]) continue;
        Wide sum = gram_[a][slot(l)];
        for (Index q = 0; q < l; ++q) {
          if (used[q]) sum -= factor_[k][q] * factor_[l][q];
        }
        factor_[k][l] = sum / factor_[l][l];
        pivot -= factor_[k][l] * factor_[k][l];
      }
      used[k] = pivot > 64 * Wide(unit_roundoff<S>) * gram_[a][a];
      if (used[k]) factor_[k][k] = std::sqrt(pivot);
    }
    for (Index k = 0; k < held_; ++k) {
      if (!used[k]) continue;
      Wide sum = right_[slot(k)];
      for (Index l = 0; l < k; ++l) {
        if (used[l]) sum -= factor_[k][l] * solution_[l];
      }
      solution_[k] = sum / factor_[k][k];
    }
    for (Index k = held_ - 1; k >= 0; --k) {
      if (!used[k]) {
        solution_[k] = 0;
        continue;
      }
      Wide sum = solution_[k];
      for (Index l = k + 1; l < held_; ++l) {
        if (used[l]) sum -= factor_[l][k] * solution_[l];
      }
      solution_[k] = sum / factor_[k][k];
    }
  }

  MatrixX<S> dx_, dr_;           // n x depth, a ring
  VectorX<S> x_, r_, weighted_;  // the last point; its residual in units
  Index depth_ = 0, held_ = 0, newest_ = 0;
  bool has_point_ = false;
  std::array<std::array<Wide, most>, most> gram_{}, factor_{};
  std::array<Wide, most> right_{}, solution_{};
};

}  // namespace monge::ot::detail
