// SPDX-License-Identifier: MIT
/// @file
/// Reads of a cost in double that work in float: enough for the steps of a warm-up.
///
/// Exponents are formed in double, so that nothing cancels; their exponentials and the sums over
/// up to 512 of them are floats. Row and column sums have a relative error of about 1e-6: enough
/// for a step that leaves a marginal error of a thousandth or more, at half the time. For other
/// scalars there is no such read.
///
/// Where there is room the exponentials K_ij = exp((f_i + g_j - C_ij) / epsilon) are kept. The next
/// read takes them to its potentials by one product, and to an epsilon of a half or a quarter by
/// squares, in the pass that sums them, without an exponential and without the cost: a sixth of the
/// time. A float holds e^-87 to e^88 only, so what is lost below is followed by a bound, and the
/// cost is read anew when it might count, or when roundings have added up.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <type_traits>

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

/// Zero for numbers below the normal range.
inline simd::pack_t<float> flushed(simd::pack_t<float> const& x) {
  return x < std::numeric_limits<float>::min() ? simd::broadcast(0.0F) : x;
}

/// k_ij <- k_ij^(2^squares) u_i factor_j for N columns of n entries, whole packs; returns their
/// sums against w.
template <int N, int squares>
std::array<double, N> rescaled_sums(std::array<float, N> const& factor, float const* u,
                                    float const* w, float* columns, Index n) {
  using V = simd::pack_t<float>;
  constexpr Index step = simd::lanes<float>;
  std::array<V, N> factors;
  for (std::size_t c = 0; c < N; ++c) factors[c] = simd::broadcast(factor[c]);
  std::array<double, N> sums{};
  for (Index first = 0; first < n; first += segment_width) {
    Index const end = std::min(n, first + segment_width);
    std::array<V, N> total{};
    for (Index i = first; i < end; i += step) {
      V const scale = simd::load(u + i), weights = simd::load(w + i);
      for (std::size_t c = 0; c < N; ++c) {
        float* const k = columns + Index(c) * n + i;
        V x = simd::load(k);
        for (int square = 0; square < squares; ++square) x = flushed(x * x);
        x = flushed(x * (scale * factors[c]));
        simd::store<float>(k, x);
        total[c] += weights * x;
      }
    }
    for (std::size_t c = 0; c < N; ++c) sums[c] += double(simd::sum<float>(total[c]));
  }
  return sums;
}

/// The reads, and the kernel that they keep.
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

  /// g <- g(f), rows.total <- r, next <- f - epsilon log r, as ScalingKernel::read does. Keeps a
  /// kernel of at most `bytes`, which is decided by the first read. Returns whether the cost was
  /// read.
  template <CostOperator C>
    requires std::same_as<scalar_t<C>, double>
  bool operator()(EntropicProblem<C> const& problem, Blur<double> at, double bytes,
                  VectorX<double> const& f, VectorX<double>& g, RowSums<double>& rows,
                  Parallel const& parallel, VectorX<double>& next) {
    if (w_.size() == 0) prepare(problem, bytes, parallel);
    bool const kept = follow(problem, at, f) && read_kernel(problem, at, g, rows, parallel);
    if (!kept) read_cost(problem, at, f, g, rows, parallel);
    for (double& r : rows.total) {
      if (!in_range<float>(r)) r = 0;  // to be redone
    }
    problem.update_rows(at, f, g, rows, parallel, next);
    return !kept;
  }

  /// Gives back the memory of the kernel and keeps none from now on.
  void release() {
    if (kernel_.size() == 0) return;
    kernel_.resize(0, 0);
    e_.setZero(stride_ * together, few_.cols());
    epsilon_ = 0;
  }

 private:
  static constexpr Index together = 4;       // columns
  static constexpr double lowest = -87;      // exponents below it are zeros in float
  static constexpr double negligible = -16;  // a share of the mass that may be lost
  static constexpr double coarsest = 1e-3;   // relative error of an entry

  template <CostOperator C>
  void prepare(EntropicProblem<C> const& problem, double bytes, Parallel const& parallel) {
    stride_ = simd::whole_packs<float>(problem.n());
    w_.setZero(stride_);
    w_.head(problem.n()) = problem.w.template cast<float>();
    u_.setZero(stride_);
    few_.setZero(stride_, parallel.workers());
    inverse_.setOnes(problem.m());
    if (4.0 * double(stride_) * double(problem.m()) <= bytes) {
      kernel_.setZero(stride_, problem.m());
    } else {
      e_.setZero(stride_ * together, parallel.workers());
    }
  }

  /// Whether the kernel can go to (epsilon, f), and how: u, and the number of squares.
  template <CostOperator C>
  bool follow(EntropicProblem<C> const& problem, Blur<double> at, VectorX<double> const& f) {
    if (epsilon_ == 0) return false;
    double const halvings = std::log2(epsilon_ / at.epsilon);
    if (!(halvings > -0.5 && halvings < 2.5)) return false;
    squares_ = int(std::lround(halvings));
    if (std::abs(halvings - squares_) > 1e-9) return false;
    double rise = -infinity, farthest = 0;
    for (Index i = 0; i < f.size(); ++i) {
      bool const on = problem.w(i) > 0;
      double const drift = on ? (f(i) - f_(i)) * at.inverse : 0.0;
      if (on) rise = std::max(rise, drift);
      farthest = std::max(farthest, std::abs(drift));
      u_(i) = float(drift);
    }
    monge::exp(u_.data(), u_.data(), f.size());
    // What was lost before rises with the rows, as does what the squares of columns that wait for a
    // factor lose; a last loss comes when the products are stored.
    double const times = double(1 << squares_);
    double const squared = squares_ > 0 ? lowest + times * shrunk_ : -infinity;
    lost_ = std::max(std::max(times * lost_, squared) + rise, lowest);
    rounding_ = times * rounding_ + (1 + farthest) * 0x1p-21;
    epsilon_ = at.epsilon;
    f_ = f;
    return lost_ <= negligible && rounding_ <= coarsest;
  }

  /// Takes the kernel there in the pass that sums it; false if that lost too much.
  template <CostOperator C>
  bool read_kernel(EntropicProblem<C> const& problem, Blur<double> at, VectorX<double>& g,
                   RowSums<double>& rows, Parallel const& parallel) {
    std::atomic<bool> in_range = true;
    add_blocks(rows, parallel, [&](auto number, Index j, int, float* few) {
      constexpr int N = number;
      float* const columns = kernel_.col(j).data();
      auto const sums = rescaled<N>(inverse_.data() + j, columns);
      std::array<float, N> factor{};
      for (Index c = 0; c < N; ++c) {
        double const sum = sums[std::size_t(c)];
        if (!(problem.v(j + c) > 0)) continue;
        if (!detail::in_range<float>(sum)) {
          in_range = false;
          continue;
        }
        g(j + c) = g_(j + c) - at.epsilon * std::log(sum);
        factor[std::size_t(c)] = share(problem, j + c, sum);
      }
      add_columns<N, float>(factor, columns, stride_, stride_, few);
    });
    if (in_range) settle(problem, g);
    return in_range && lost_ <= negligible;
  }

  template <int N>
  std::array<double, N> rescaled(float const* inverse, float* columns) const {
    std::array<float, N> factor;
    std::copy(inverse, inverse + N, factor.begin());
    for (float& y : factor) {
      for (int square = 0; square < squares_; ++square) y *= y;
    }
    float const *const u = u_.data(), *const w = w_.data();
    switch (squares_) {
      case 0:
        return rescaled_sums<N, 0>(factor, u, w, columns, stride_);
      case 1:
        return rescaled_sums<N, 1>(factor, u, w, columns, stride_);
      default:
        return rescaled_sums<N, 2>(factor, u, w, columns, stride_);
    }
  }

  /// What the entries of a column with this sum are multiplied by.
  template <CostOperator C>
  float share(EntropicProblem<C> const& problem, Index j, double sum) {
    inverse_(j) = float(1 / sum);
    return float(problem.v(j) / sum);
  }

  /// The kernel is that of (f, g) once its columns are multiplied by inverse_.
  template <CostOperator C>
  void settle(EntropicProblem<C> const& problem, VectorX<double> const& g) {
    g_ = g;
    float largest = 0;
    for (Index j = 0; j < g.size(); ++j) {
      if (problem.v(j) > 0) largest = std::max(largest, inverse_(j));
    }
    shrunk_ = std::log(double(largest));
    lost_ += shrunk_;
  }

  /// Takes exponentials, and keeps them if there is room.
  template <CostOperator C>
  void read_cost(EntropicProblem<C> const& problem, Blur<double> at, VectorX<double> const& f,
                 VectorX<double>& g, RowSums<double>& rows, Parallel const& parallel) {
    bool const keep = kernel_.size() > 0;
    add_blocks(rows, parallel, [&](auto number, Index j, int worker, float* few) {
      constexpr int N = number;
      float* const e = keep ? kernel_.col(j).data() : e_.col(worker).data();
      std::array<float, N> factor{};
      for (Index c = 0; c < N; ++c) {
        if (!(problem.v(j + c) > 0)) {
          std::fill(e + c * stride_, e + (c + 1) * stride_, 0.0F);
          continue;
        }
        double const sum = column(problem, at, f, g(j + c), j + c, e + c * stride_, rows, worker);
        factor[std::size_t(c)] = share(problem, j + c, sum);
      }
      add_columns<N, float>(factor, e, stride_, stride_, few);
    });
    if (!keep) return;
    epsilon_ = at.epsilon;
    f_ = f;
    lost_ = lowest;
    rounding_ = 0x1p-19;
    settle(problem, g);
  }

  /// body(number, j, worker, few) for all columns, a few together: adds them to few, whose 64
  /// columns are sums in float.
  template <class Body>
  void add_blocks(RowSums<double>& rows, Parallel const& parallel, Body&& body) {
    rows.add_chunks(parallel, [&](Index chunk, int worker, auto&& sums) {
      auto few = few_.col(worker);
      sums.setZero();
      few.setZero();
      Index const end = rows.columns.end(chunk);
      for (Index j = rows.columns.begin(chunk); j < end;) {
        if (j + together <= end) {
          body(std::integral_constant<int, int(together)>{}, j, worker, few.data());
          j += together;
        } else {
          body(std::integral_constant<int, 1>{}, j, worker, few.data());
          ++j;
        }
        if (j % 64 == 0 || j == end) {
          sums += few.head(sums.size()).template cast<double>();
          few.setZero();
        }
      }
    });
  }

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

  VectorX<float> w_;        // n in whole packs, as u and every column of a kernel: `stride`
  MatrixX<float> e_, few_;  // stride x workers: of a few columns, if none are kept; row sums
  Index stride_ = 0;
  MatrixX<float> kernel_;   // stride x m, or empty
  VectorX<double> f_, g_;   // what it belongs to, up to
  VectorX<float> inverse_;  // m: factors that wait
  VectorX<float> u_;        // stride: exp((f - f_) / epsilon) of the read in progress
  double epsilon_ = 0;      // 0: none is kept
  int squares_ = 0;         // of the read in progress
  double shrunk_ = 0;       // log of the largest of inverse_
  double lost_ = lowest;    // zeros of the kernel stand for exponents below this
  double rounding_ = 0;     // a bound on the relative error of its entries
};

}  // namespace monge::ot::detail
