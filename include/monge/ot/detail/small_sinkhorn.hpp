// SPDX-License-Identifier: MIT
/// @file
/// The entropic problem where everything fits into the cache: steps of Sinkhorn on a stored kernel,
/// and Newton steps on the semi-dual.
///
/// Around potentials (F, G) with exact columns, K_ij = exp((F_i + G_j - C_ij) / epsilon). With
/// u = exp((f - F) / epsilon) one fused read (small_kernel.hpp) gives, without exponential and
/// logarithm,
///
///     s = K' (w u),   y = v / s,   t = K y,
///
/// so that row i has the mass w_i u_i t_i and the columns are exact. A step of Sinkhorn is u <- 1 /
/// t. A Newton step is u <- u exp(alpha x), where
///
///     (diag(d) - P diag(1/v) P') x = w - d,   P = diag(w u) K diag(y),   d = P 1,
///
/// by conjugate gradients, one fused read each, in single precision throughout: the step needs a
/// few digits, the point that it leads to is evaluated in S. Where they take longer than a direct
/// solution would, the matrix, a Laplacian, is factorised (dense_laplacian.hpp). Whatever u, the L1
/// error of the rows falls along x at first, and a step of Sinkhorn never raises it: a Newton step
/// is taken if the error falls by a share of what it should, otherwise Sinkhorn goes on alone for a
/// while. epsilon is annealed. What does not work out is left to the caller: solve() then returns
/// `running` and the potentials that it has reached.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <monge/core/exp.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/simd.hpp>
#include <monge/core/status.hpp>
#include <monge/ot/detail/annealing.hpp>
#include <monge/ot/detail/dense_laplacian.hpp>
#include <monge/ot/detail/entropic_pass.hpp>
#include <monge/ot/detail/small_kernel.hpp>

namespace monge::ot::detail {

/// Positive weights w (n) and v (m) of sum 1, and a cost without NaN.
template <RealScalar S>
struct SmallProblem {
  S const* cost = nullptr;  // column-major
  Index stride = 0, n = 0, m = 0;
  S const *w = nullptr, *v = nullptr;
  double epsilon = 1, tolerance = 0, largest_cost = 0;
  S const* f = nullptr;  // potentials of the rows to begin with; none: zero, and annealing
};

/// A solver whose memory serves one problem after the other.
template <RealScalar S>
class SmallSinkhorn {
 public:
  using V = simd::pack_t<S>;
  using T = float;  // of Newton directions
  using VT = simd::pack_t<T>;

  /// Solves from the potentials of the problem. converged, iteration_limit or time_limit; running:
  /// the caller is to go on from f() and g().
  Status solve(SmallProblem<S> const& problem, Index max_iterations, Deadline const& deadline) {
    problem_ = problem;
    max_iterations_ = max_iterations;
    begin();
    if (deadline.passed()) return Status::time_limit;
    Annealing<S> annealing(problem.epsilon, annealing_factor, problem.largest_cost);
    // From about a tenth of the largest cost, so that an epsilon like that has one level.
    annealing.levels = problem.f ? 0 : std::max<Index>(annealing.levels - 1, 0);
    Status status = Status::converged;
    for (Index level = annealing.levels; level >= 0 && status == Status::converged; --level) {
      double const goal =
          level == 0 ? 0.9 * problem.tolerance : std::max(level_goal, problem.tolerance);
      status = run(annealing.blur(level), goal, deadline);
      // A step of Sinkhorn, free, that never raises the error. It also settles the rows whose
      // weights are too small for the error to see.
      if (status == Status::converged) settle();
      absorb();
      if (level > 0 && status != Status::converged) finish_early(annealing.blur(0));
    }
    return status;
  }

  [[nodiscard]] VectorX<S> const& f() const { return f_; }  // n
  [[nodiscard]] VectorX<S> const& g() const { return g_; }  // m
  [[nodiscard]] Index iterations() const { return iterations_; }

 private:
  static constexpr double annealing_factor = 0.25, level_goal = 0.1;
  /// Of Newton's systems, which have no inverse without. A shift that adapts, as that of
  /// sinkhorn_newton does, took as many reads.
  static constexpr double damping = 1e-3;
  static constexpr S far = S(16);  // drifts, in exponents, beyond which the kernel is renewed
  static constexpr int lanes = simd::lanes<S>, lanes_t = simd::lanes<T>;

  void begin() {
    Index const n = problem_.n, m = problem_.m;
    kernel_.resize(n, m);
    f_.setZero(n);
    if (problem_.f) std::copy_n(problem_.f, n, f_.data());
    g_.setZero(m);
    sums_.resize(m);
    e_.resize(n);
    auto const padded = [](VectorX<S>& x, S const* from, Index count) {
      x.setZero(simd::whole_packs<S>(count));
      if (from) std::copy_n(from, count, x.data());
    };
    padded(w_, problem_.w, n);
    padded(v_, problem_.v, m);
    for (auto* x : {&u_, &wu_, &t_, &kept_u_, &kept_t_}) padded(*x, nullptr, n);
    for (auto* x : {&y_, &kept_y_}) padded(*x, nullptr, m);
    padded(ratio_, nullptr, n);
    if constexpr (!std::same_as<S, T>) copy_.resize(n, m);
    q_.resize(n, m);
    for (auto* x : {&d_, &excess_, &scale_, &wu_t_, &x_, &r_, &p_, &ap_, &ratio_t_})
      x->setZero(simd::whole_packs<T>(n));
    c_.setZero(simd::whole_packs<T>(m));
    iterations_ = 0;
    next_look_ = 16;
    stiff_ = false;
    radius_ = 10;
  }

  /// One level of the annealing.
  Status run(Blur<S> at, double goal, Deadline const& deadline) {
    at_ = at;
    if (iterations_ >= max_iterations_) return Status::iteration_limit;
    if (!renew()) return Status::running;
    Index rest = 1, patience = 2, since = 0;
    double least = infinity;
    for (;;) {
      if (!(error_ < infinity)) return Status::running;
      if (error_ <= goal) return Status::converged;
      if (iterations_ >= max_iterations_) return Status::iteration_limit;
      if (iterations_ >= next_look_) {
        if (deadline.passed()) return Status::time_limit;
        next_look_ = iterations_ + 16;
      }
      since = error_ < 0.9 * least ? 0 : since + 1;
      least = std::min(least, error_);
      if (since > 60) return Status::running;
      if (rest > 0 || !newton(goal)) {
        if (iterations_ >= max_iterations_) return Status::iteration_limit;
        if (rest == 0) {
          rest = patience;
          patience = std::min<Index>(2 * patience, 32);
        }
        --rest;
        if (!scale()) return Status::running;
      } else {
        patience = 2;
      }
    }
  }

  /// A step of Sinkhorn and a read.
  bool scale() {
    S low = std::numeric_limits<S>::infinity(), high = 0;
    for (Index i = 0; i < problem_.n; ++i) {
      u_(i) = 1 / t_(i);
      low = std::min(low, u_(i));
      high = std::max(high, u_(i));
    }
    static S const most = std::exp(far);
    if (low >= 1 / most && high <= most) {
      read();
      return true;
    }
    if (!(low > 0 && high < std::numeric_limits<S>::infinity())) return false;
    absorb_rows();
    return renew();
  }

  /// A limit came before the last level: the columns are made exact for its epsilon, so that the
  /// plan has its mass.
  void finish_early(Blur<S> at) {
    at_ = at;
    if (renew()) absorb();
    --iterations_;
  }

  void settle() {
    for (Index i = 0; i < problem_.n; ++i) {
      if (t_(i) > 0) u_(i) = 1 / t_(i);
    }
  }

  /// s, y, t and the error at u.
  void read() {
    Index const n = w_.size();
    for (Index i = 0; i < n; i += lanes) {
      simd::store<S>(&wu_(i), simd::load(&w_(i)) * simd::load(&u_(i)));
    }
    kernel_.read(wu_.data(), t_.data(), [&](Index j, V s) {
      V const y = simd::load(&v_(j)) / s;
      simd::store<S>(&y_(j), y);
      return y;
    });
    ++iterations_;
    measure();
  }

  void measure() {
    V sum{};
    for (Index i = 0; i < w_.size(); i += lanes) {
      V const off = simd::load(&wu_(i)) * simd::load(&t_(i)) - simd::load(&w_(i));
      sum += off < V{} ? -off : off;
    }
    error_ = double(simd::sum<S>(sum));
  }

  /// f <- F + epsilon log u.
  void absorb_rows() {
    for (Index i = 0; i < problem_.n; ++i) f_(i) += S(at_.epsilon * std::log(wide_t<S>(u_(i))));
  }
  /// (f, g) of the last read.
  void absorb() {
    absorb_rows();
    for (Index j = 0; j < problem_.m; ++j) {
      g_(j) += S(at_.epsilon * std::log(wide_t<S>(y_(j)) / wide_t<S>(v_(j))));
    }
    u_.head(problem_.n).setOnes();
  }

  /// The kernel around f and the g that makes its columns exact, and a read of it. False if a sum
  /// leaves the trusted range.
  bool renew() {
    t_.setZero();
    for (Index j = 0; j < problem_.m; ++j) {
      S const* const c = problem_.cost + j * problem_.stride;
      S s = S(exponentials(f_.data(), g_(j), c, at_.inverse, w_.data(), e_.data(), problem_.n));
      if (!in_range<S>(s)) {
        S highest = -std::numeric_limits<S>::infinity();
        for (Index i = 0; i < problem_.n; ++i) highest = std::max(highest, f_(i) - c[i]);
        g_(j) = -highest;
        s = S(exponentials(f_.data(), g_(j), c, at_.inverse, w_.data(), e_.data(), problem_.n));
        if (!in_range<S>(s)) return false;
      }
      sums_(j) = s;
      store_column(j, 1 / s);
    }
    for (Index j = 0; j < problem_.m; ++j) {
      g_(j) -= S(at_.epsilon * std::log(wide_t<S>(sums_(j))));
    }
    y_ = v_;
    wu_ = w_;
    u_.setZero();
    u_.head(problem_.n).setOnes();
    ++iterations_;
    measure();
    return true;
  }

  /// Column j of the kernel <- inverse e_, nothing below the normal range, and its part of t_.
  void store_column(Index j, S inverse) {
    V const zero{}, v = simd::broadcast<S>(v_(j));
    S* const k = kernel_.column(j);
    Index const n = problem_.n;
    Index i = 0;
    for (; i + lanes <= n; i += lanes) {
      V x = simd::load(&e_(i)) * inverse;
      x = x < std::numeric_limits<S>::min() ? zero : x;
      simd::store<S>(k + i, x);
      simd::store<S>(&t_(i), simd::load(&t_(i)) + v * x);
    }
    for (; i < n; ++i) {
      S const x = e_(i) * inverse;
      k[i] = x < std::numeric_limits<S>::min() ? S(0) : x;
      t_(i) += v_(j) * k[i];
    }
    if constexpr (std::same_as<S, double>) {
      T* const to = copy_.column(j);
      VT const none{};
      for (i = 0; i + lanes_t <= n; i += lanes_t) {
        VT const x = simd::narrow([&](int part) { return simd::load(k + i + part * lanes); });
        simd::store<T>(to + i, x < std::numeric_limits<T>::min() ? none : x);
      }
      for (; i < n; ++i) to[i] = k[i] < S(std::numeric_limits<T>::min()) ? T(0) : T(k[i]);
    } else if constexpr (!std::same_as<S, T>) {
      for (i = 0; i < n; ++i) {
        copy_.column(j)[i] = k[i] < S(std::numeric_limits<T>::min()) ? T(0) : T(k[i]);
      }
    }
  }

  [[nodiscard]] SmallKernel<T> const& kernel_of_directions() const {
    if constexpr (std::same_as<S, T>) {
      return kernel_;
    } else {
      return copy_;
    }
  }

  /// A Newton step; false, and nothing changed, if it was not taken. It must raise the semi-dual
  /// <w, f> + <v, g(f)> by a share of the slope, or at the noise level lower the error.
  bool newton(double goal) {
    direction(goal);
    double const length = double(x_.cwiseAbs().maxCoeff());
    if (!x_.allFinite()) return false;
    double slope = 0;
    for (Index i = 0; i < problem_.n; ++i) slope += double((w_(i) - wu_(i) * t_(i)) * S(x_(i)));
    kept_u_.swap(u_);
    kept_t_.swap(t_);
    kept_y_.swap(y_);
    double const before = error_, noise = 64 * double(unit_roundoff<S>);
    double alpha = length > radius_ ? radius_ / length : 1;
    bool const clipped = alpha < 1;
    for (int trial = 0; trial < 3 && iterations_ < max_iterations_; ++trial, alpha /= 4) {
      if (move(alpha)) {
        double rise = 0;
        for (Index i = 0; i < problem_.n; ++i) rise += double(w_(i)) * alpha * double(x_(i));
        for (Index j = 0; j < problem_.m; ++j) {
          rise += double(v_(j)) * std::log(double(y_(j) / kept_y_(j)));
        }
        if (rise >= 1e-4 * alpha * slope || (rise >= -noise && error_ < before)) {
          double const model = alpha * slope * (1 - alpha / 2);
          double const ratio = model > noise ? rise / model : 1;
          if (clipped && trial == 0 && ratio > 0.5) radius_ = std::min(4 * radius_, 40.0);
          return true;
        }
      }
      radius_ = std::max(radius_ / 4, 1.0);
    }
    kept_u_.swap(u_);
    kept_t_.swap(t_);
    kept_y_.swap(y_);
    wu_ = w_.cwiseProduct(u_);
    error_ = before;
    return false;
  }

  /// u <- kept u exp(alpha x) and a read there; false if this is out of range.
  bool move(double alpha) {
    S low = std::numeric_limits<S>::infinity(), high = 0;
    for (Index i = 0; i < problem_.n; ++i) ratio_(i) = S(alpha * double(x_(i)));
    monge::exp(ratio_.data(), ratio_.data(), problem_.n);
    for (Index i = 0; i < problem_.n; ++i) {
      u_(i) = kept_u_(i) * ratio_(i);
      low = std::min(low, u_(i));
      high = std::max(high, u_(i));
    }
    static S const most = std::exp(2 * far);
    if (!(low >= 1 / most && high <= most)) return false;
    read();
    return true;
  }

  /// x_ <- the solution of the Newton system, to the accuracy that the error deserves.
  void direction(double goal) {
    Index const n = problem_.n, m = problem_.m;
    double const inverse = 1 / error_;
    S const shift = S(damping * std::min(error_, 1.0));
    for (Index i = 0; i < n; ++i) {
      S const d = wu_(i) * t_(i);
      // A heavily damped step is a short step of Sinkhorn: (w - d) / log(w / d), nearly.
      S const secant = (w_(i) + d + 4 * std::sqrt(w_(i) * d)) / 6;
      excess_(i) = T(shift * secant);
      d_(i) = T(d) + excess_(i);
      scale_(i) = d_(i) > 0 ? 1 / d_(i) : T(0);
      wu_t_(i) = T(wu_(i));
      r_(i) = T((w_(i) - d) * S(inverse));
    }
    for (Index j = 0; j < m; ++j) c_(j) = T(y_(j) * (y_(j) / v_(j)));
    double const wanted = std::clamp(std::max(0.3 * error_, 0.1 * goal / error_), 1e-4, 0.1);
    if (!stiff_ && conjugate_gradients(wanted)) return;
    stiff_ = true;
    SmallKernel<T> const& k = kernel_of_directions();
    VT const zero{};
    for (Index j = 0; j < q_.cols(); ++j) {
      T const root = j < m ? std::sqrt(c_(j)) : T(0);
      for (Index i = 0; i < q_.rows(); i += lanes_t) {
        VT const x = simd::load(&wu_t_(i)) * simd::load(k.column(j) + i) * root;
        simd::store<T>(q_.column(j) + i, x < std::numeric_limits<T>::min() ? zero : x);
      }
    }
    laplacian_.form(q_, n);
    laplacian_.factorise(excess_);
    for (Index i = 0; i < n; ++i) r_(i) = T((w_(i) - wu_(i) * t_(i)) * S(inverse));
    laplacian_.solve(r_.data());
    x_ = T(error_) * r_;
  }

  /// Jacobi-preconditioned conjugate gradients on r_ until its L1 norm, 1 at first, is `wanted`.
  bool conjugate_gradients(double wanted) {
    SmallKernel<T> const& k = kernel_of_directions();
    Index const size = w_padded();
    Index const most = std::max<Index>(8, problem_.n * 2 / 5);
    x_.setZero();
    VT inner{};
    for (Index i = 0; i < size; i += lanes_t) {
      VT const r = simd::load(&r_(i)), z = r * simd::load(&scale_(i));
      simd::store<T>(&p_(i), z);
      inner += r * z;
    }
    T rho = simd::sum<T>(inner);
    for (Index step = 0; step < most; ++step) {
      for (Index i = 0; i < size; i += lanes_t) {
        simd::store<T>(&ratio_t_(i), simd::load(&wu_t_(i)) * simd::load(&p_(i)));
      }
      k.read(ratio_t_.data(), ap_.data(), [&](Index j, VT s) { return simd::load(&c_(j)) * s; });
      inner = VT{};
      for (Index i = 0; i < size; i += lanes_t) {
        VT const p = simd::load(&p_(i));
        VT const a = simd::load(&d_(i)) * p - simd::load(&wu_t_(i)) * simd::load(&ap_(i));
        simd::store<T>(&ap_(i), a);
        inner += p * a;
      }
      T const curvature = simd::sum<T>(inner);
      if (!(curvature > 0)) return false;
      T const alpha = rho / curvature;
      VT norm{};
      inner = VT{};
      for (Index i = 0; i < size; i += lanes_t) {
        simd::store<T>(&x_(i), simd::load(&x_(i)) + alpha * simd::load(&p_(i)));
        VT const r = simd::load(&r_(i)) - alpha * simd::load(&ap_(i));
        simd::store<T>(&r_(i), r);
        norm += r < VT{} ? -r : r;
        inner += r * r * simd::load(&scale_(i));
      }
      if (double(simd::sum<T>(norm)) <= wanted) {
        x_ *= T(error_);
        return true;
      }
      T const next = simd::sum<T>(inner), beta = next / rho;
      rho = next;
      for (Index i = 0; i < size; i += lanes_t) {
        simd::store<T>(&p_(i),
                       simd::load(&r_(i)) * simd::load(&scale_(i)) + beta * simd::load(&p_(i)));
      }
    }
    return false;
  }

  [[nodiscard]] Index w_padded() const { return x_.size(); }

  SmallProblem<S> problem_;
  Index max_iterations_ = 0, iterations_ = 0, next_look_ = 0;
  Blur<S> at_;
  double error_ = infinity;
  bool stiff_ = false;
  double radius_ = 10;
  VectorX<S> f_, g_, e_, sums_;
  VectorX<S> w_, v_, u_, wu_, t_, y_, kept_u_, kept_t_, kept_y_, ratio_;
  SmallKernel<S> kernel_;
  // In the precision of directions.
  SmallKernel<T> copy_, q_;
  VectorX<T> d_, excess_, scale_, wu_t_, c_, x_, r_, p_, ap_, ratio_t_;
  DenseLaplacian<T> laplacian_;
};

}  // namespace monge::ot::detail
