// SPDX-License-Identifier: MIT
/// @file
/// A read of a cost in double whose exponentials are taken in float.
///
/// Exponents are formed in double, so that nothing cancels; their exponentials and the sums over
/// up to 512 of them are floats. Row and column sums have a relative error of about 1e-6: enough
/// for a step that leaves a marginal error of a thousandth or more, at half the time. For other
/// scalars there is no such read.
#pragma once

#include <algorithm>
#include <cmath>

#include <monge/core/exp.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/simd.hpp>
#include <monge/ot/detail/entropic_pass.hpp>
#include <monge/ot/detail/entropic_problem.hpp>

namespace monge::ot::detail {

/// e_i <- exp(((f_i + g) - c_i) * scale) in float for one segment; returns sum_i w_i e_i.
inline float rough_exponentials(double const* f, double g, double const* c, double scale,
                                float const* w, float* e, Index count) {
  using V = simd::pack_t<float>;
  constexpr Index step = simd::lanes<float>;
  V total{};
  Index k = 0;
  auto const exponents = [&](double const* potentials, double const* costs) {
    return simd::narrow([&](int part) {
      constexpr Index half = simd::lanes<double>;
      return ((simd::load(potentials + part * half) + simd::broadcast(g)) -
              simd::load(costs + part * half)) *
             scale;
    });
  };
  for (; k + step <= count; k += step) {
    V const y = monge::detail::exp_pack<float>(exponents(f + k, c + k));
    simd::store<float>(e + k, y);
    total += simd::load(w + k) * y;
  }
  if (k < count) {
    Index const rest = count - k;
    double potentials[step], costs[step] = {};
    std::fill(potentials, potentials + step, -std::numeric_limits<double>::infinity());
    std::copy(f + k, f + count, potentials);
    std::copy(c + k, c + count, costs);
    V const y = monge::detail::exp_pack<float>(exponents(potentials, costs));
    simd::store_part<float>(e + k, y, rest);
    total += simd::load_part(w + k, rest, 0.0F) * y;
  }
  return simd::sum<float>(total);
}

/// Floats that a rough read works with.
class RoughRead {
 public:
  RoughRead() = default;

  /// Whether weights are such that their products with exponentials are good floats.
  template <CostOperator C>
  static bool possible(EntropicProblem<C> const& problem) {
    if constexpr (std::same_as<scalar_t<C>, double>) {
      auto const good = [](VectorX<double> const& weights) {
        return (weights.array() == 0 || weights.array() > 1e-15).all();
      };
      return good(problem.w) && good(problem.v);
    }
    return false;
  }

  /// g <- g(f), rows.total <- r, next <- f - epsilon log r, as ScalingKernel::read does.
  template <CostOperator C>
    requires std::same_as<scalar_t<C>, double>
  void operator()(EntropicProblem<C> const& problem, Blur<double> at, VectorX<double> const& f,
                  VectorX<double>& g, RowSums<double>& rows, Parallel const& parallel,
                  VectorX<double>& next) {
    Index const n = problem.n();
    if (w_.size() == 0) {
      w_ = problem.w.template cast<float>();
      e_.resize(n, parallel.workers());
      few_.resize(n, parallel.workers());
    }
    rows.add_chunks(parallel, [&](Index chunk, int worker, auto&& sums) {
      float* const e = e_.col(worker).data();
      auto few = few_.col(worker);
      sums.setZero();
      few.setZero();
      Index const end = rows.columns.end(chunk);
      for (Index j = rows.columns.begin(chunk); j < end; ++j) {
        if (problem.v(j) > 0) {
          few += float(problem.v(j) / column(problem, at, f, g(j), j, e, rows, worker)) *
                 e_.col(worker);
        }
        if ((j + 1) % 64 == 0 || j + 1 == end) {
          sums += few.template cast<double>();
          few.setZero();
        }
      }
    });
    for (double& r : rows.total) {
      if (!in_range<float>(r)) r = 0;  // to be redone
    }
    problem.update_rows(at, f, g, rows, parallel, next);
  }

 private:
  /// g_j <- the potential that makes the column exact; e <- its exponentials up to a factor.
  /// Returns their weighted sum.
  template <CostOperator C>
  double column(EntropicProblem<C> const& problem, Blur<double> at, VectorX<double> const& f,
                double& g, Index j, float* e, RowSums<double>& rows, int worker) const {
    double* const scratch = rows.scratch.col(worker).data();
    auto const sum = [&] {
      double s = 0;
      for_each_segment(problem.cost, j, scratch, [&](Index first, Index count, double const* c) {
        s += double(rough_exponentials(f.data() + first, g, c, at.inverse, w_.data() + first,
                                       e + first, count));
      });
      return s;
    };
    double s = sum();
    if (!in_range<float>(s)) {
      g = hard_column(problem.cost, f, j, scratch);
      s = sum();
    }
    g -= at.epsilon * std::log(s);
    return s;
  }

  VectorX<float> w_;
  MatrixX<float> e_, few_;  // n x workers
};

}  // namespace monge::ot::detail
