// SPDX-License-Identifier: MIT
/// @file
/// Entropic transport of a measure to itself. For a symmetric cost both potentials are one, the
/// fixed point of f -> T f = d s(f) with the soft transform
///
///     s_j = -epsilon log sum_i w_i exp((f_i - C_ij) / epsilon),   d = rho / (rho + epsilon).
///
/// The derivative of -T at the fixed point is d times the plan with its rows made stochastic. It is
/// self-adjoint, and where exp(-C / epsilon) is positive semidefinite (all powers |x - y|^p with
/// p <= 2, the 1-norm, cosine) its eigenvalues are in [0, 1]. So r = T f - f is an equation whose
/// matrix has the condition number 2, whatever epsilon is: averages (f + T f) / 2 converge like
/// 2^-k [KRU14, FS19], and the two-step Richardson iteration below, the best one for a spectrum in
/// [1, 2], like 0.172^k [P64]: some 16 steps to 1e-9.
///
///     f+ = f + alpha r + beta (f - f-),   alpha = 4 / (1 + sqrt 2)^2,   beta = (sqrt 2 - 1)^4
///
/// A spectrum that reaches down to 0 (eigenvalues of -T' in (-1, 0)) slows it but does no harm.
///
/// A read takes one exponential per entry; if there is room it stores them as a kernel around the
/// potentials of that moment, and the reads that follow are products with it.
///
/// [KRU14] P. A. Knight, D. Ruiz, B. Ucar, A symmetry preserving algorithm for matrix scaling, SIAM
///         J. Matrix Anal. Appl. 35 (2014). [FS19] J. Feydy, T. Sejourne, F.-X. Vialard, S. Amari,
///         A. Trouve, G. Peyre, Interpolating between optimal transport and MMD using Sinkhorn
///         divergences, AISTATS 2019. [P64] B. T. Polyak, Some methods of speeding up the
///         convergence of iteration methods, USSR Comput. Math. Math. Phys. 4 (1964).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <monge/core/exp.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/simd.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/entropic_pass.hpp>
#include <monge/ot/detail/unbalanced_problem.hpp>

namespace monge::ot::detail {

/// Any cost plus a constant, borrowed. One type per scalar, so that what is not worth an instance
/// per cost is compiled once; a call per segment costs nothing that can be seen.
template <RealScalar S>
class ErasedCost {
 public:
  using Scalar = S;

  template <CostOperator C>
  explicit ErasedCost(C const& cost, S shift = 0)
      : cost_(&cost), rows_(cost.rows()), cols_(cost.cols()), shift_(shift) {
    segment_ = [](void const* any, Index j, Index first, Index count, S* scratch) {
      return static_cast<C const*>(any)->column_segment(j, first, count, scratch);
    };
  }

  [[nodiscard]] Index rows() const { return rows_; }
  [[nodiscard]] Index cols() const { return cols_; }

  S const* column_segment(Index j, Index first, Index count, S* scratch) const {
    S const* const c = segment_(cost_, j, first, count, scratch);
    if (shift_ == 0) return c;
    for (Index i = 0; i < count; ++i) scratch[i] = c[i] + shift_;
    return scratch;
  }

 private:
  void const* cost_;
  S const* (*segment_)(void const*, Index, Index, Index, S*);
  Index rows_, cols_;
  S shift_;
};

/// <x, y> in packs, summed over segments in wide_t.
template <RealScalar S>
wide_t<S> wide_dot(S const* x, S const* y, Index n) {
  using V = simd::pack_t<S>;
  constexpr Index step = simd::lanes<S>;
  wide_t<S> sum = 0;
  for (Index first = 0; first < n; first += segment_width) {
    Index const end = std::min(n, first + segment_width);
    V even{}, odd{};
    Index i = first;
    for (; i + 2 * step <= end; i += 2 * step) {
      even += simd::load(x + i) * simd::load(y + i);
      odd += simd::load(x + i + step) * simd::load(y + i + step);
    }
    for (; i < end; i += step) {
      Index const rest = std::min(step, end - i);
      even += simd::load_part(x + i, rest, S(0)) * simd::load_part(y + i, rest, S(0));
    }
    sum += simd::sum<S>(even + odd);
  }
  return sum;
}

/// The iteration of the file comment as a method for monge::iterate. `w` are weights over their
/// mass; `error` is the marginal error of the symmetric plan of f, relative to the plan's mass.
template <RealScalar S>
class SelfPotential {
 public:
  using Wide = wide_t<S>;

  struct State {
    VectorX<S> f, before;  // f_i = -infinity where a point takes no part
    VectorX<S> soft;       // s of f once it is known, a guess before
    double error = infinity;
    Index iterations = 0;
    monge::detail::LeastError least;
    // The kernel K_ij = exp((F_i + G_j - C_ij) / epsilon), if it is stored.
    MatrixX<S> kernel;
    VectorX<S> anchor_f, anchor_soft, scaled;
    bool stored = false;
    MatrixX<S> e, scratch;  // n and segment_width x workers
  };

  SelfPotential(ErasedCost<S> cost, VectorX<S> w, double epsilon, double rho, double tolerance,
                double bytes, Parallel parallel, VectorX<S> start)
      : cost_(std::move(cost)),
        w_(std::move(w)),
        at_(epsilon),
        price_{rho},
        tolerance_(tolerance),
        room_(bytes >= double(w_.size()) * double(w_.size()) * double(sizeof(S))),
        parallel_(std::move(parallel)),
        start_(std::move(start)) {}

  [[nodiscard]] State init() const {
    Index const n = w_.size();
    State state;
    state.f = start_.size() > 0 ? start_ : VectorX<S>(VectorX<S>::Zero(n));
    state.soft = state.f;
    for (Index i = 0; i < n; ++i) {
      if (!(w_(i) > 0)) state.f(i) = -none;
    }
    state.before = state.scaled = state.anchor_f = state.anchor_soft = state.f;
    if (room_) state.kernel.resize(n, n);
    state.e.resize(n, parallel_.workers());
    state.scratch.resize(segment_width, parallel_.workers());
    return state;
  }

  [[nodiscard]] Advance advance(State& state, Index k) const {
    return monge::detail::advance_by(k, [&] { return iteration(state); });
  }
  [[nodiscard]] double error(State const& state) const { return state.error; }
  [[nodiscard]] Status finish(State&, Status status) const { return status; }

 private:
  static constexpr S none = std::numeric_limits<S>::infinity();
  static constexpr S alpha = S(0.68629150101523961);  // 12 - 8 sqrt 2
  static constexpr S beta = S(0.029437251522859414);  // 17 - 12 sqrt 2
  static constexpr S reach = S(8);  // exponents by which f may leave the kernel's potentials

  Status iteration(State& state) const {
    if (!(state.stored && read_kernel(state)) && !read_cost(state)) return Status::infeasible;
    ++state.iterations;
    state.error = measure(state);
    if (state.error <= tolerance_) return Status::converged;
    Wide const damping = price_.damping(at_.epsilon);
    S const momentum = state.iterations > 1 ? beta : S(0);
    for (Index i = 0; i < w_.size(); ++i) {
      if (!(w_(i) > 0)) continue;
      S const residual = S(damping) * state.soft(i) - state.f(i);
      S const next = state.f(i) + alpha * residual + momentum * (state.f(i) - state.before(i));
      state.before(i) = state.f(i);
      state.f(i) = next;
    }
    return state.least.observe(state.error, state.iterations) >= 50 ? Status::precision_limit
                                                                    : Status::running;
  }

  /// Both marginals are off by the same amount.
  [[nodiscard]] double measure(State const& state) const {
    Wide deviation = 0, moved = 0;
    for (Index i = 0; i < w_.size(); ++i) {
      if (!(w_(i) > 0)) continue;
      Wide const ratio = std::exp((Wide(state.f(i)) - Wide(state.soft(i))) / at_.epsilon);
      moved += Wide(w_(i)) * ratio;
      deviation += Wide(w_(i)) * std::abs(ratio - price_.kept(Wide(state.f(i))));
    }
    return deviation > 0 ? double(2 * deviation / moved) : 0;
  }

  /// s from the cost, with the last one as the shift; false if a point has no allowed partner.
  bool read_cost(State& state) const {
    Index const n = w_.size();
    Chunks const columns(n);
    bool const store = room_;
    parallel_for(parallel_, columns.count, [&](Index chunk, int worker) {
      S* const scratch = state.scratch.col(worker).data();
      for (Index j = columns.begin(chunk); j < columns.end(chunk); ++j) {
        S* const e = store ? state.kernel.col(j).data() : state.e.col(worker).data();
        S& soft = state.soft(j);
        Wide sum = soft < none ? column_sum(cost_, at_, state.f, w_, soft, j, e, scratch) : Wide(0);
        if (!in_range<S>(sum)) {
          soft = hard_column(cost_, state.f, j, scratch);
          if (!(soft < none)) {
            std::fill_n(e, n, S(0));
            continue;
          }
          sum = column_sum(cost_, at_, state.f, w_, soft, j, e, scratch);
        }
        state.anchor_soft(j) = soft;
        soft -= S(at_.epsilon * std::log(sum));
      }
    });
    if (store) {
      state.anchor_f = state.f;
      state.stored = true;
    }
    for (Index j = 0; j < n; ++j) {
      if (w_(j) > 0 && !(state.soft(j) < none)) return false;
    }
    return true;
  }

  /// s from the kernel; false if f has left it too far.
  bool read_kernel(State& state) const {
    Index const n = w_.size();
    for (Index i = 0; i < n; ++i) {
      S const drift = w_(i) > 0 ? (state.f(i) - state.anchor_f(i)) * at_.inverse : S(0);
      if (!(std::abs(drift) <= reach)) return false;
      state.scaled(i) = drift;
    }
    monge::exp(state.scaled.data(), state.scaled.data(), n);
    state.scaled = state.scaled.cwiseProduct(w_);
    Chunks const columns(n);
    parallel_for(parallel_, columns.count, [&](Index chunk, int) {
      for (Index j = columns.begin(chunk); j < columns.end(chunk); ++j) {
        Wide const sum = wide_dot(state.kernel.col(j).data(), state.scaled.data(), n);
        state.soft(j) = state.anchor_soft(j) - S(at_.epsilon * std::log(sum));
      }
    });
    return true;
  }

  ErasedCost<S> cost_;
  VectorX<S> w_;
  Blur<S> at_;
  Price price_;
  double tolerance_;
  bool room_;
  Parallel parallel_;
  VectorX<S> start_;
};

}  // namespace monge::ot::detail
