// SPDX-License-Identifier: MIT
/// @file
/// A rough plan of a small problem for the simplex to start from: a few annealed steps of Sinkhorn
/// in single precision, and of the plan that they leave the entries that carry most.
///
/// Around potentials (f, g), K_ij = exp((f_i + g_j - C_ij) / epsilon) and P = diag(u) K diag(v). A
/// step is one fused read (small_kernel.hpp) and over-relaxed,
///
///     v <- x sqrt(x / v),  x = b / (K' u),        u <- x sqrt(x / u),  x = a / (K v),
///
/// but for the last of a level, whose rows are exact. Then (f, g) take up epsilon log (u / a) and
/// epsilon log (v / b), and epsilon is halved, for which K has only to be squared:
///
///     K <- (diag(u / a) K diag(v / b))^2,         u <- a,  v <- b.
///
/// The arcs of a maximum spanning forest of P are then nearly a basis: of random costs and points
/// in the plane, 100 x 100, it is a fifth of the pivots from the optimum that a greedy start is.
/// Nothing here need be right, since any forest is a start.
///
/// Source: M. Cuturi, Sinkhorn distances, NIPS 26 (2013) 2292-2300, for the steps; over-relaxation
/// as in A. Thibault, L. Chizat, C. Dossal, N. Papadakis, Overrelaxed Sinkhorn-Knopp algorithm for
/// regularized optimal transport, Algorithms 14 (2021) 143, with their omega = 3/2. Halving epsilon
/// by squaring, and the forest, are ours.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <monge/core/exp.hpp>
#include <monge/core/simd.hpp>
#include <monge/ot/detail/exact_problem.hpp>
#include <monge/ot/detail/small_kernel.hpp>

namespace monge::ot::detail {

/// Anneals one problem. Costs are read as S, potentials are W, all else is float.
template <CostOperator C>
class RoughPlan {
 public:
  using S = scalar_t<C>;
  using W = wide_t<S>;

  /// potential: n + m. f_i = min_j C_ij, -infinity in rows without mass, is given, g_j = min_i C_ij
  /// - f_i is written. One read of the cost.
  RoughPlan(ExactProblem<C> const& problem, VectorX<W>& potential)
      : problem_(problem), potential_(potential) {
    weigh();
    W const epsilon = W(first_epsilon) * typical_cost();
    if (!(epsilon > 0 && std::isfinite(1 / epsilon))) return;
    fill_kernel(1 / epsilon);
    for (int level = 0; level < levels; ++level) {
      if (level > 0) sharpen();
      for (int k = 0; k < steps; ++k) step(k + 1 == steps);
      if (level + 1 == levels) list_arcs();
      take_up_factors(std::ldexp(1.0F, -level));
    }
    lift_potentials(epsilon);
  }

  /// The arcs that carry a share worth naming, the largest first.
  [[nodiscard]] std::vector<Arc> const& arcs() const { return arcs_; }

 private:
  // Random costs and points in the plane: of 4 to 7 levels of 2 to 4 steps the least time at n =
  // 20, 100 and 300; of epsilon from 0.12 to 0.5 of the typical cost and omega from 1.3 to 1.7 the
  // fewest pivots at 100.
  static constexpr double first_epsilon = 0.25;
  static constexpr int levels = 7, steps = 3;
  static constexpr double never = 0x1p20;      // how far above the others a cost means that
  static constexpr float least_share = 0.01F;  // of a row's or a column's mass

  using V = simd::pack_t<float>;
  using Pack = Eigen::Array<float, simd::lanes<float>, 1>;
  using Array = Eigen::Map<Eigen::ArrayXf>;
  static constexpr W none = ExactProblem<C>::none;
  static constexpr float tiny = 0x1p-100F;   // stands for sums that vanish
  static constexpr float range = 0x1p40F;    // how far a level may take a factor from its start
  static constexpr float highest = 0x1p60F;  // of the kernel

  [[nodiscard]] Index n() const { return problem_.n(); }
  [[nodiscard]] Index m() const { return problem_.m(); }

  /// Weights with mean 1, padded by zeros; zero too if the range of factors would leave float.
  void weigh() {
    auto const scaled = [&](auto const& weights, Eigen::VectorXf& to) {
      W const factor = W(weights.size()) / problem_.mass;
      to.setZero(simd::whole_packs<float>(weights.size()));
      to.head(weights.size()) = (weights.template cast<W>() * factor).template cast<float>();
      to = (to.array() < 0x1p-80F).select(0.0F, to);
    };
    scaled(problem_.a, a_);
    scaled(problem_.b, b_);
    b_ *= float(n()) / float(m());
    u_ = a_;
    v_ = b_;
    sums_.resize(a_.size());
    lift_f_.setZero(a_.size());
    lift_g_.setZero(b_.size());
  }

  /// The median of C_ij - f_i, where it is positive and finite, among at most 64 entries.
  W typical_cost() const {
    constexpr Index most = 64;
    Index const stride = n() * m() / most + 1;
    W sample[most];
    Index count = 0;
    for (Index k = stride / 2; k < n() * m(); k += stride) {
      Arc const arc{std::int32_t(k % n()), std::int32_t(k / n())};
      W const above = problem_.price(arc) - potential_(arc.row);
      if (above > 0 && above < none && problem_.has_column(arc.column)) sample[count++] = above;
    }
    if (count == 0) return 0;
    W const far = W(never) * *std::min_element(sample, sample + count);
    W* const end = std::remove_if(sample, sample + count, [far](W x) { return x > far; });
    W* const middle = sample + (end - sample) / 2;
    std::nth_element(sample, middle, end);
    return *middle;
  }

  /// g_j = min_i C_ij - f_i and the kernel; nothing in columns without an allowed pair.
  void fill_kernel(W inverse) {
    VectorX<S> scratch(segment_width);
    kernel_.resize(n(), m());
    for (Index j = 0; j < m(); ++j) {
      float* const k = kernel_.column(j);
      std::fill_n(k, n(), 0.0F);
      if (!problem_.has_column(j)) continue;
      W const low = problem_.column_minimum(j, potential_.data(), scratch.data());
      if (!(low < none)) continue;
      potential_(n() + j) = low;
      for_each_segment(problem_.cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
        Array(k + first, count) = ((potential_.segment(first, count).array() -
                                    ConstArrayMap<S>(c, count).template cast<W>() + low) *
                                   inverse)
                                      .template cast<float>();
      });
      monge::exp(k, k, n());
    }
  }

  /// The factors whose sums are `sums`, from `old` ones: x = weight / sum, or x sqrt(x / old).
  template <class Values>
  static auto relaxed(Values const& weight, Values const& sums, Values const& old) {
    auto const x = (weight / sums.max(tiny)).eval();
    return ((x * (x / old.max(tiny)).sqrt()).max(weight / range)).min(weight * range).eval();
  }

  void step(bool exact) {
    kernel_.read(u_.data(), sums_.data(), [&](Index j, V const& sum) {
      Pack s;
      simd::store<float>(s.data(), sum);
      Pack const weight(Eigen::Map<Pack const>(b_.data() + j));
      Eigen::Map<Pack> v(v_.data() + j);
      v = relaxed<Pack>(weight, s, v);
      return simd::load(v_.data() + j);
    });
    Eigen::ArrayXf const x = a_.array() / sums_.array().max(tiny);
    if (exact) {
      u_ = (x.max(a_.array() / range)).min(a_.array() * range);
    } else {
      u_ = relaxed<Eigen::ArrayXf>(a_.array(), sums_.array(), u_.array());
    }
  }

  /// The factors become shares, u / a and v / b, and their logarithms are noted.
  void take_up_factors(float epsilon) {
    auto const take_up = [epsilon](Eigen::VectorXf& factor, Eigen::VectorXf const& weight,
                                   Eigen::ArrayXf& lift) {
      factor = (weight.array() > 0).select(factor.array() / weight.array(), 1.0F);
      lift += epsilon * factor.array().log();
    };
    take_up(u_, a_, lift_f_);
    take_up(v_, b_, lift_g_);
  }

  /// Potentials of the plan. Only those of the tops of the parts of the forest come to matter, so
  /// they are rounded to few digits: costs that are integers are still calculated with exactly. Not
  /// if the typical cost is one that means never: others would drown.
  void lift_potentials(W epsilon) {
    W largest = 0;
    for (Arc const& arc : arcs_) largest = std::max(largest, std::abs(problem_.price(arc)));
    if (!(epsilon <= W(never) * largest)) return;
    W const unit = std::ldexp(W(1), std::ilogb(epsilon) - 16);
    auto const lift = [&](auto part, Eigen::ArrayXf const& by) {
      part = ((part + epsilon * by.head(part.size()).template cast<W>()) / unit).round() * unit;
    };
    lift(potential_.head(n()).array(), lift_f_);
    lift(potential_.tail(m()).array(), lift_g_);
  }

  /// K for half the epsilon around potentials that have taken up the factors.
  void sharpen() {
    V const zero{}, top = simd::broadcast(highest);
    for (Index j = 0; j < m(); ++j) {
      V const factor = simd::broadcast(v_(j));
      float* const k = kernel_.column(j);
      for (Index i = 0; i < kernel_.rows(); i += simd::lanes<float>) {
        V const x = simd::load(k + i) * (simd::load(u_.data() + i) * factor);
        V const square = x * x;
        V const below = square < top ? square : top;
        simd::store<float>(k + i, below < std::numeric_limits<float>::min() ? zero : below);
      }
    }
    u_ = a_;
    v_ = b_;
  }

  /// Entries of P that carry a share of their row or of their column.
  void list_arcs() {
    constexpr Index lanes = simd::lanes<float>;
    std::vector<std::uint64_t> keys;
    std::size_t count = 0;
    sums_ = least_share * a_;
    for (Index j = 0; j < m(); ++j) {
      float const* const k = kernel_.column(j);
      V const v = simd::broadcast(v_(j)), least = simd::broadcast(least_share * b_(j));
      keys.resize(std::max(keys.size(), count + std::size_t(kernel_.rows())));
      for (Index i = 0; i < kernel_.rows(); i += lanes) {
        V const p = simd::load(k + i) * (simd::load(u_.data() + i) * v);
        V const bound = simd::load(sums_.data() + i);
        V const excess = p - (bound < least ? bound : least);
        if (!simd::any_above<float>(excess, 0)) continue;
        float share[lanes], above[lanes];
        simd::store<float>(share, p);
        simd::store<float>(above, excess);
        for (Index lane = 0; lane < lanes; ++lane) {
          // Positive floats are in the order of their bits.
          auto const place = std::uint32_t(j * n() + i + lane);
          keys[count] = std::uint64_t(~std::bit_cast<std::uint32_t>(share[lane])) << 32 | place;
          count += above[lane] > 0;  // without a branch that could not be foretold
        }
      }
    }
    keys.resize(count);
    std::sort(keys.begin(), keys.end());
    arcs_.reserve(keys.size());
    auto const rows = std::uint32_t(n());
    for (std::uint64_t const key : keys) {
      auto const place = std::uint32_t(key);
      arcs_.push_back({std::int32_t(place % rows), std::int32_t(place / rows)});
    }
  }

  ExactProblem<C> const& problem_;
  VectorX<W>& potential_;
  SmallKernel<float> kernel_;
  Eigen::VectorXf a_, b_, u_, v_, sums_;
  Eigen::ArrayXf lift_f_, lift_g_;  // of the potentials, in units of the first epsilon
  std::vector<Arc> arcs_;
};

}  // namespace monge::ot::detail
