// SPDX-License-Identifier: MIT
/// @file
/// A rough plan for the simplex to start from: a few annealed steps of Sinkhorn in single
/// precision, and of the plan that they leave the entries that carry most.
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
/// Where two levels are known, factors begin at the old ones instead of a and b: so the potentials
/// go on as a straight line in epsilon, and mass that far parts exchange does not vanish with K.
///
/// K holds all pairs of a small problem, and the pool of a large one. Made feasible and a basis
/// (crossover.hpp), P is a fifth to a tenth of the pivots from the optimum that a greedy start is.
/// Nothing here need be right, since any plan is a start.
///
/// Source: M. Cuturi, Sinkhorn distances, NIPS 26 (2013) 2292-2300, for the steps; over-relaxation
/// as in A. Thibault, L. Chizat, C. Dossal, N. Papadakis, Overrelaxed Sinkhorn-Knopp algorithm for
/// regularized optimal transport, Algorithms 14 (2021) 143, with their omega = 3/2. Halving epsilon
/// by squaring, and going on in a straight line, are ours.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include <monge/core/exp.hpp>
#include <monge/core/simd.hpp>
#include <monge/ot/detail/exact_problem.hpp>
#include <monge/ot/detail/rough_kernel.hpp>

namespace monge::ot::detail {

/// Anneals. Kernel: `read` as SmallKernel has it, `sharpen(u, v)`: k <- (u k v)^2, bounded, and
/// `list(u, v, of_rows, of_columns)`: the entries u k v above the lower of two bounds.
template <class Kernel>
class RoughPlan {
 public:
  /// Weights of rows and columns with mean 1, padded to kernel.rows() and kernel.cols(), the
  /// latter times n / m.
  RoughPlan(Kernel kernel, Eigen::VectorXf a, Eigen::VectorXf b, int levels)
      : kernel_(std::move(kernel)),
        a_(std::move(a)),
        b_(std::move(b)),
        u_(a_),
        v_(b_),
        sums_(a_.size()),
        lift_f_(Eigen::ArrayXf::Zero(a_.size())),
        lift_g_(Eigen::ArrayXf::Zero(b_.size())) {
    constexpr int steps = 3;
    for (int level = 0; level < levels; ++level) {
      if (level > 0) sharpen(level > 1);
      for (int k = 0; k < steps; ++k) step(k + 1 == steps);
      if (level + 1 == levels) {
        shares_ = kernel_.list(u_, v_, least_share * a_, least_share * b_);
      }
      take_up_factors(std::ldexp(1.0F, -level));
    }
  }

  /// The entries that carry a share of their row or column worth naming, the largest first.
  [[nodiscard]] std::vector<Share> const& shares() const { return shares_; }

  /// What the potentials gain, in units of the first epsilon.
  [[nodiscard]] Eigen::ArrayXf const& lift_f() const { return lift_f_; }
  [[nodiscard]] Eigen::ArrayXf const& lift_g() const { return lift_g_; }

 private:
  static constexpr float least_share = 0.01F;  // of a row's or a column's mass
  static constexpr float tiny = 0x1p-100F;     // stands for sums that vanish
  static constexpr float range = 0x1p40F;      // how far a level may take a factor from its start

  using V = simd::pack_t<float>;
  using Pack = Eigen::Array<float, simd::lanes<float>, 1>;

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

  /// K for half the epsilon around potentials that have taken up the factors.
  void sharpen(bool extrapolate) {
    kernel_.sharpen(u_, v_);
    if (extrapolate) {  // u and v are shares, whose logarithms are steps of the potentials
      u_.array() *= a_.array();
      v_.array() *= b_.array();
    } else {
      u_ = a_;
      v_ = b_;
    }
  }

  Kernel kernel_;
  Eigen::VectorXf a_, b_, u_, v_, sums_;
  Eigen::ArrayXf lift_f_, lift_g_;
  std::vector<Share> shares_;
};

/// Makes the rough plan of one problem. Costs are read as S, potentials are W.
template <CostOperator C>
class RoughStart {
 public:
  using S = scalar_t<C>;
  using W = wide_t<S>;

  /// potential: n + m, -infinity in rows without mass.
  RoughStart(ExactProblem<C> const& problem, VectorX<W>& potential)
      : problem_(problem), potential_(potential) {}

  /// Of a small problem. f_i = min_j C_ij is given, g_j = min_i C_ij - f_i is written. One read of
  /// the cost.
  std::vector<Share> of_pairs() {
    // Random costs and points in the plane: of 4 to 8 levels of 2 to 4 steps the least time at n =
    // 100; of epsilon from 0.12 to 0.5 of the typical cost and omega from 1.3 to 1.7 the fewest
    // pivots.
    constexpr int levels = 7;
    W const epsilon = typical_cost() / 4;
    if (!usable(epsilon)) return {};
    return anneal(pairs(1 / epsilon), epsilon, levels);
  }

  /// On the pairs of a pool, around the potentials for which they were chosen: half the median of
  /// the columns' largest reduced costs is the first epsilon.
  std::vector<Share> of_pool(std::vector<CostArc<W>> const& pool) {
    constexpr int levels = 5;
    std::vector<std::size_t> place(std::size_t(m()) + 1);
    for (CostArc<W> const& x : pool) ++place[std::size_t(x.arc.column) + 1];
    std::partial_sum(place.begin(), place.end(), place.begin());
    std::vector<std::size_t> next(place.begin(), place.end() - 1);
    std::vector<std::int32_t> row(pool.size());
    std::vector<W> reduced(pool.size()), widths;
    for (CostArc<W> const& x : pool) {
      std::size_t const p = next[std::size_t(x.arc.column)]++;
      row[p] = x.arc.row;
      reduced[p] = x.cost - potential_(x.arc.row) - potential_(n() + x.arc.column);
    }
    for (std::size_t j = 0; j < std::size_t(m()); ++j) {
      auto const at = [&](std::size_t p) { return reduced.begin() + std::ptrdiff_t(p); };
      if (place[j] == place[j + 1]) continue;
      widths.push_back(*std::max_element(at(place[j]), at(place[j + 1])));
    }
    if (widths.empty()) return {};
    auto const middle = widths.begin() + std::ptrdiff_t(widths.size() / 2);
    std::nth_element(widths.begin(), middle, widths.end());
    W const epsilon = *middle / 2;
    if (!usable(epsilon)) return {};
    std::vector<float> k(pool.size());
    W const inverse = 1 / epsilon;
    std::transform(reduced.begin(), reduced.end(), k.begin(),
                   [inverse](W x) { return float(-x * inverse); });
    monge::exp(k.data(), k.data(), Index(k.size()));
    return anneal(ListKernel(n(), std::move(place), std::move(row), std::move(k)), epsilon, levels);
  }

 private:
  static constexpr W none = ExactProblem<C>::none;
  static constexpr double never = 0x1p20;  // how far above the others a cost means that

  [[nodiscard]] Index n() const { return problem_.n(); }
  [[nodiscard]] Index m() const { return problem_.m(); }
  static bool usable(W epsilon) { return epsilon > 0 && std::isfinite(1 / epsilon); }

  template <class Kernel>
  std::vector<Share> anneal(Kernel kernel, W epsilon, int levels) {
    RoughPlan const plan(std::move(kernel), weights(problem_.a, 1),
                         weights(problem_.b, W(n()) / W(m())), levels);
    lift_potentials(epsilon, plan);
    return plan.shares();
  }

  /// Weights with mean `mean`, padded by zeros; zero too if the range of factors would leave float.
  Eigen::VectorXf weights(VectorX<S> const& of, W mean) const {
    W const factor = mean * W(of.size()) / problem_.mass;
    Eigen::VectorXf scaled = Eigen::VectorXf::Zero(simd::whole_packs<float>(of.size()));
    scaled.head(of.size()) = (of.template cast<W>() * factor).template cast<float>();
    return (scaled.array() < 0x1p-80F).select(0.0F, scaled);
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
  PairKernel pairs(W inverse) {
    PairKernel kernel(n(), m());
    VectorX<S> scratch(segment_width);
    for (Index j = 0; j < m(); ++j) {
      float* const k = kernel.column(j);
      std::fill_n(k, n(), 0.0F);
      if (!problem_.has_column(j)) continue;
      W const low = problem_.column_minimum(j, potential_.data(), scratch.data());
      if (!(low < none)) continue;
      potential_(n() + j) = low;
      for_each_segment(problem_.cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
        Eigen::Map<Eigen::ArrayXf>(k + first, count) =
            ((potential_.segment(first, count).array() -
              ConstArrayMap<S>(c, count).template cast<W>() + low) *
             inverse)
                .template cast<float>();
      });
      monge::exp(k, k, n());
    }
    return kernel;
  }

  /// Potentials of the plan. Only those of the tops of the parts of the forest come to matter, so
  /// they are rounded to few digits: costs that are integers are still calculated with exactly. Not
  /// if the typical cost is one that means never: others would drown.
  template <class Plan>
  void lift_potentials(W epsilon, Plan const& plan) {
    W largest = 0;
    for (Share const& x : plan.shares()) {
      largest = std::max(largest, std::abs(problem_.price(x.arc)));
    }
    if (!(epsilon <= W(never) * largest)) return;
    W const unit = std::ldexp(W(1), std::ilogb(epsilon) - 16);
    auto const lift = [&](auto part, Eigen::ArrayXf const& by) {
      part = ((part + epsilon * by.head(part.size()).template cast<W>()) / unit).round() * unit;
    };
    lift(potential_.head(n()).array(), plan.lift_f());
    lift(potential_.tail(m()).array(), plan.lift_g());
  }

  ExactProblem<C> const& problem_;
  VectorX<W>& potential_;
};

}  // namespace monge::ot::detail
