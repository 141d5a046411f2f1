// SPDX-License-Identifier: MIT
/// @file
/// The read of a sparse cost for Sinkhorn: scaling_kernel.hpp on few pairs.
///
/// A read in the log domain leaves its exponentials, scaled so that all columns are exact, as the
/// kernel K around the potentials (F, G) that it ended with. As long as f stays near F the next
/// reads need no exponential: e_k = u_i K_k with u_i = exp((f_i - F_i) / epsilon).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <monge/core/exp.hpp>
#include <monge/ot/detail/entropic_problem.hpp>
#include <monge/ot/detail/scaling_kernel.hpp>
#include <monge/ot/detail/sparse_cost.hpp>

namespace monge::ot::detail {

template <RealScalar S>
class SparseKernel {
 public:
  using Wide = wide_t<S>;

  SparseKernel() = default;
  SparseKernel(Index n, Index m, Index nonzeros)
      : kernel_(nonzeros), f_(n), g_(m), ratio_(n), scaled_(n) {}

  /// As ScalingKernel::read.
  S read(EntropicProblem<SparseCost<S>> const& problem, Reading<S> how, VectorX<S> const& f,
         VectorX<S>& g, RowSums<S>& rows, Parallel const& parallel, VectorX<S>& next) {
    Wide const beyond = Wide(how.relaxation) - 1;
    // Takes g_j beyond its exact value; returns what this does to the entries of the column.
    auto const relax = [&](Index j, S before) {
      if (beyond == 0) return Wide(1);
      S const step = S(beyond) * (g(j) - before);
      g(j) += step;
      return std::exp(Wide(step) / how.at.epsilon);
    };
    if (near(problem, how.at, f)) {
      monge::exp(ratio_.data(), ratio_.data(), ratio_.size());
      scaled_ = problem.w.cwiseProduct(ratio_);
      accumulate_entries(problem.cost, rows, parallel, [&](Index j, int, S* e) {
        if (!(problem.v(j) > 0)) return Wide(0);
        Index const begin = problem.cost.begin(j), count = problem.cost.begin(j + 1) - begin;
        int const* const row = problem.cost.row() + begin;
        S const* const k = kernel_.data() + begin;
        Wide sum = 0;
        for (Index c = 0; c < count; ++c) sum += Wide(scaled_(row[c])) * Wide(k[c]);
        std::copy_n(k, count, e);
        S const before = g(j);
        g(j) = g_(j) - S(how.at.epsilon * std::log(sum));
        return Wide(problem.v(j)) / sum * relax(j, before);
      });
      rows.total.array() *= ratio_.array().template cast<Wide>();
    } else {
      accumulate_entries(problem.cost, rows, parallel, [&](Index j, int, S* e) {
        if (!(problem.v(j) > 0)) return Wide(0);
        Index const begin = problem.cost.begin(j), count = problem.cost.begin(j + 1) - begin;
        S const before = g(j);
        Wide const s = problem.update_column(how.at, f, g(j), j, e, static_cast<S*>(nullptr));
        g_(j) = g(j);
        S const inverse = S(1 / s);
        for (Index k = 0; k < count; ++k) {
          e[k] *= inverse;
          kernel_(begin + k) = e[k] < std::numeric_limits<S>::min() ? S(0) : e[k];
        }
        return Wide(problem.v(j)) * relax(j, before);
      });
      f_ = f;
      epsilon_ = how.at.epsilon;
    }
    problem.update_rows(how.at, f, g, rows, parallel, next);
    return how.relaxation;
  }

  /// Another epsilon needs other exponentials.
  void anneal(Blur<S>, Blur<S>) { epsilon_ = 0; }

  /// From now on every read takes exponentials; returns whether the last one did without.
  bool distrust() {
    exact_ = true;
    return used_;
  }

 private:
  /// Whether K serves for f; log u is left in ratio_.
  bool near(EntropicProblem<SparseCost<S>> const& problem, Blur<S> at, VectorX<S> const& f) {
    constexpr S reach = std::same_as<S, float> ? S(8) : S(32);
    used_ = false;
    if (exact_ || epsilon_ != at.epsilon) return false;
    S farthest = 0;
    for (Index i = 0; i < f.size(); ++i) {
      bool const on = problem.w(i) > 0;
      S const drift = on ? (f(i) - f_(i)) * at.inverse : S(0);
      ratio_(i) = on ? drift : -std::numeric_limits<S>::infinity();
      farthest = std::abs(drift) <= farthest ? farthest : std::abs(drift);  // NaN is kept
    }
    return used_ = farthest <= reach;
  }

  VectorX<S> kernel_;          // one per stored entry
  VectorX<S> f_, g_;           // the anchor (F, G)
  VectorX<S> ratio_, scaled_;  // u and w u
  Wide epsilon_ = 0;           // of the kernel; 0: there is none
  bool used_ = false, exact_ = false;
};

template <RealScalar S>
struct KernelFor<SparseCost<S>> {
  using type = SparseKernel<S>;
};

template <RealScalar S>
SparseKernel<S> make_kernel(EntropicProblem<SparseCost<S>> const& problem, std::optional<double>) {
  return SparseKernel<S>(problem.n(), problem.m(), problem.cost.nonzeros());
}

}  // namespace monge::ot::detail
