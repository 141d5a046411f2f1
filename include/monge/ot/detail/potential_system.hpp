// SPDX-License-Identifier: MIT
/// @file
/// The linear algebra of the entropic problem at its solution: products with the kernel
/// E_ij = exp((f_i + g_j - C_ij) / epsilon) and the Laplacian of the semi-dual, matrix-free.
#pragma once

#include <algorithm>
#include <cmath>
#include <string_view>

#include <monge/core/iterate.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/require.hpp>
#include <monge/linalg/conjugate_gradient.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/entropic_pass.hpp>
#include <monge/ot/plan.hpp>

namespace monge::ot::detail {

/// size / scale, and 0 for nothing at all.
template <RealScalar S>
double relative(S size, S scale) {
  return size == 0 ? 0.0 : double(size / scale);
}

template <CostOperator C>
class PotentialSystem {
 public:
  using S = scalar_t<C>;
  using Wide = wide_t<S>;

  template <EntropicSolution R>
  PotentialSystem(std::string_view function, C const& cost, R const& r, Parallel parallel)
      : cost_(cost),
        f_(r.f),
        g_(r.g),
        epsilon_(S(r.epsilon)),
        inverse_epsilon_(S(1 / r.epsilon)),
        parallel_(std::move(parallel)) {
    require(r.epsilon > 0, function, ": the solution is empty; run the solver first");
    require(cost.rows() == f_.size() && cost.cols() == g_.size(), function, ": cost is ",
            shape(cost), " but the solution has ", f_.size(), " and ", g_.size(),
            " potentials; pass the cost that was solved");
    mass_ =
        S(std::sqrt(r.a.template cast<Wide>().sum()) * std::sqrt(r.b.template cast<Wide>().sum()));
    w_ = normalised(r.a);
    v_ = normalised(r.b);
    rows_ = RowSums<S>(n(), m(), parallel_.workers());
    switched_ = f_;
  }

  [[nodiscard]] Index n() const { return f_.size(); }
  [[nodiscard]] Index m() const { return g_.size(); }
  [[nodiscard]] S epsilon() const { return epsilon_; }
  [[nodiscard]] S mass() const { return mass_; }
  [[nodiscard]] VectorX<S> const& w() const { return w_; }
  [[nodiscard]] VectorX<S> const& v() const { return v_; }

  /// dM for changes of the weights, empty ones being none.
  [[nodiscard]] static S mass_change(VectorX<S> const& da, VectorX<S> const& db) {
    return (da.size() > 0 ? da.sum() / 2 : S(0)) + (db.size() > 0 ? db.sum() / 2 : S(0));
  }
  /// d(weights / M); empty if nothing changes.
  [[nodiscard]] VectorX<S> relative_change(VectorX<S> const& change, VectorX<S> const& da,
                                           VectorX<S> const& db, VectorX<S> const& weights) const {
    S const growth = mass_change(da, db) / mass_;
    if (change.size() == 0 && growth == 0) return {};
    VectorX<S> result = -(growth / mass_) * weights;
    if (change.size() > 0) result += change / mass_;
    return result;
  }

  /// e (n) <- column j of E, with 0 for pairs of two zero weights, which no plan ever has.
  void column(Index j, VectorX<S>& e) {
    fill(j, f_, 0, e.data());
    if (v_(j) > 0) return;
    for (Index i = 0; i < n(); ++i) {
      if (!(w_(i) > 0)) e(i) = 0;
    }
  }

  /// E y (n) for y (m).
  VectorX<S> rows_of(VectorX<S> const& y) {
    rows_.accumulate(parallel_, [&](Index j, int worker, S* e) {
      if (y(j) != 0) fill(j, f_, worker, e);
      return y(j);
    });
    return rows_.total.template cast<S>();
  }

  /// E' x (m) for x (n). A row with x_i = 0 takes no part, whatever its entries are.
  VectorX<S> cols_of(VectorX<S> const& x) {
    for (Index i = 0; i < n(); ++i) {
      switched_(i) = x(i) != 0 ? f_(i) : -std::numeric_limits<S>::infinity();
    }
    VectorX<S> result(m());
    parallel_for(parallel_, rows_.columns.count, [&](Index chunk, int worker) {
      for (Index j = rows_.columns.begin(chunk); j < rows_.columns.end(chunk); ++j) {
        Wide sum = 0;
        for_each_segment(cost_, j, scratch(worker), [&](Index first, Index count, S const* c) {
          sum += exponentials(switched_.data() + first, g_(j), c, inverse_epsilon_,
                              x.data() + first, rows_.e.col(worker).data(), count);
        });
        result(j) = S(sum);
      }
    });
    return result;
  }

  /// by_row = (E o V) v and by_col = (E o V)' w for V (n x m), in one read.
  void weighted_sums(MatrixX<S> const& V, VectorX<S>& by_row, VectorX<S>& by_col) {
    rows_.accumulate(parallel_, [&](Index j, int worker, S* e) {
      fill(j, f_, worker, e);
      ArrayMap<S> entries(e, n());
      entries *= V.col(j).array();
      Wide sum = 0;
      for (Index i = 0; i < n(); ++i) {
        if (w_(i) > 0) sum += Wide(w_(i) * e[i]);
      }
      by_col(j) = S(sum);
      if (!(v_(j) > 0)) return S(0);
      return v_(j);
    });
    by_row = rows_.total.template cast<S>();
  }

  /// y = L x = sum_j v_j q_j o (x - <q_j, x> / <q_j, 1>): so nothing cancels where a column sits on
  /// one row, constants are mapped to 0 and L is positive semidefinite also in rounded numbers.
  void operator()(VectorX<S> const& x, VectorX<S>& y) {
    rows_.accumulate(parallel_, [&](Index j, int worker, S* e) {
      if (!(v_(j) > 0)) return S(0);
      fill(j, f_, worker, e);
      Eigen::Map<VectorX<S>> q(e, n());
      q = q.cwiseProduct(w_);
      S const mean = q.dot(x) / q.sum();
      q.array() *= x.array() - mean;
      return v_(j);
    });
    y = rows_.total.template cast<S>();
  }

  /// The diagonal of L, with 1 for rows that have no weight.
  VectorX<S> diagonal() {
    rows_.accumulate(parallel_, [&](Index j, int worker, S* e) {
      if (!(v_(j) > 0)) return S(0);
      fill(j, f_, worker, e);
      ArrayMap<S> q(e, n());
      q *= w_.array();
      q *= (S(1) - q).max(S(0));
      return v_(j);
    });
    VectorX<S> d = rows_.total.template cast<S>();
    for (Index i = 0; i < n(); ++i) {
      S const floor = std::max(unit_roundoff<S> * w_(i), std::numeric_limits<S>::min());
      d(i) = w_(i) > 0 ? std::max(d(i), floor) : S(1);
    }
    return d;
  }

  /// L x = rhs, whose entries sum to 0 up to rounding.
  template <class Options>
  auto solve(VectorX<S> rhs, Options const& options, Deadline const& deadline) {
    S const excess = rhs.sum();  // rounding, which L cannot reach
    rhs -= excess * w_ / w_.sum();
    return linalg::conjugate_gradient(linalg::preconditioned(*this, linalg::jacobi(diagonal())),
                                      rhs,
                                      {.relative_tolerance = options.tolerance,
                                       .max_iterations = options.max_iterations,
                                       .max_seconds = deadline.remaining()});
  }

 private:
  S* scratch(int worker) { return rows_.scratch.col(worker).data(); }

  [[nodiscard]] VectorX<S> normalised(VectorX<S> const& weights) const {
    VectorX<S> result = weights / mass_;
    for (S& weight : result) {
      if (!(weight >= std::numeric_limits<S>::min())) weight = 0;
    }
    return result;
  }

  void fill(Index j, VectorX<S> const& f, int worker, S* e) {
    for_each_segment(cost_, j, scratch(worker), [&](Index first, Index count, S const* c) {
      exponentials(f.data() + first, g_(j), c, inverse_epsilon_, w_.data() + first, e + first,
                   count);
    });
  }

  C const& cost_;
  VectorX<S> f_, g_, w_, v_, switched_;
  S epsilon_, inverse_epsilon_, mass_ = 0;
  Parallel parallel_;
  RowSums<S> rows_;
};

/// Empty or of the right shape, finite, and keeping both masses equal.
template <class Direction, class R>
void check_direction(std::string_view function, Direction const& direction, R const& r) {
  using S = scalar_t<decltype(direction.a)>;
  Index const n = r.f.size(), m = r.g.size();
  require(direction.cost.size() == 0 || (direction.cost.rows() == n && direction.cost.cols() == m),
          function, ": the direction's cost is ", shape(direction.cost), " but the problem is ",
          Shape{n, m});
  require((direction.a.size() == 0 || direction.a.size() == n) &&
              (direction.b.size() == 0 || direction.b.size() == m),
          function, ": the direction has ", direction.a.size(), " and ", direction.b.size(),
          " weights but the problem is ", Shape{n, m}, "; leave out what does not change");
  require(direction.cost.allFinite() && direction.a.allFinite() && direction.b.allFinite(),
          function, ": NaN or infinity in the direction");
  S const da = direction.a.size() > 0 ? direction.a.sum() : S(0);
  S const db = direction.b.size() > 0 ? direction.b.sum() : S(0);
  S const scale = (direction.a.size() > 0 ? direction.a.cwiseAbs().sum() : S(0)) +
                  (direction.b.size() > 0 ? direction.b.cwiseAbs().sum() : S(0));
  require(std::abs(da - db) <= 8 * S(n + m) * unit_roundoff<S> * scale, function,
          ": the direction changes the mass of a by ", da, " and that of b by ", db,
          "; both must change alike");
}

template <class Cotangent, class R>
void check_cotangent(std::string_view function, Cotangent const& cotangent, R const& r) {
  Index const n = r.f.size(), m = r.g.size();
  require((cotangent.f.size() == 0 || cotangent.f.size() == n) &&
              (cotangent.g.size() == 0 || cotangent.g.size() == m) &&
              (cotangent.plan.size() == 0 ||
               (cotangent.plan.rows() == n && cotangent.plan.cols() == m)),
          function, ": the cotangent has ", cotangent.f.size(), " and ", cotangent.g.size(),
          " potentials and a plan of ", shape(cotangent.plan), " but the problem is ", Shape{n, m},
          "; leave out what does not occur");
  require(cotangent.f.allFinite() && cotangent.g.allFinite() && cotangent.plan.allFinite(),
          function, ": NaN or infinity in the cotangent");
}

/// The derivatives with respect to the costs, column by column: C'_ij = E_ij (v_j y_i + w_i z_j) -
/// P'_ij P_ij / epsilon.
template <CostOperator C>
class PullbackColumns {
 public:
  using S = scalar_t<C>;

  template <class R, class Cotangent, class Pullback>
  PullbackColumns(std::string_view function, C const& cost, R const& r, Cotangent const& cotangent,
                  Pullback const& y)
      : system_(function, cost, r, {}), y_(y.rows), z_(y.cols), plan_(cotangent.plan) {
    check_cotangent(function, cotangent, r);
    require(y_.size() == system_.n() && z_.size() == system_.m(), function, ": the pull-back has ",
            y_.size(), " and ", z_.size(), " entries but the cost is ", shape(cost));
  }

  void column(Index j, VectorX<S>& derivative) {
    VectorX<S> const& w = system_.w();
    S const v = system_.v()(j);
    system_.column(j, derivative);
    S const direct = system_.mass() * v / system_.epsilon();
    for (Index i = 0; i < derivative.size(); ++i) {
      S rate = v * y_(i) + w(i) * z_(j);
      if (plan_.size() > 0) rate -= direct * w(i) * plan_(i, j);
      derivative(i) *= rate;
    }
  }

 private:
  PotentialSystem<C> system_;
  VectorX<S> const &y_, &z_;
  MatrixX<S> const& plan_;
};

}  // namespace monge::ot::detail
