// SPDX-License-Identifier: MIT
/// @file
/// The entropic problem as all its solvers see it: normalised weights, the half iterations in the
/// log domain, and the certificate of an answer.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include <monge/core/parallel.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/entropic_input.hpp>
#include <monge/ot/detail/entropic_pass.hpp>

namespace monge::ot::detail {

/// Potentials with the figures that certify them.
template <RealScalar S>
struct EntropicAnswer {
  VectorX<S> f, g;
  wide_t<S> transport_cost = 0, regularised_cost = 0, dual_value = 0;
  double marginal_error = infinity;
};

/// How far, in exponents, potentials may drift while a compressed kernel is used.
inline constexpr double kernel_drift = 8;

/// sum_i w_i log(1 / w_i), to which KL(P | Q) / M is at most equal for a coupling, as P_ij <= a_i.
template <RealScalar S>
double entropy(VectorX<S> const& weights) {
  double sum = 0;
  for (S const weight : weights) {
    if (weight > 0) sum -= double(weight) * std::log(double(weight));
  }
  return sum;
}

/// The most that KL(P | Q) / M is for a coupling of these weights.
template <RealScalar S>
double entropy_of_couplings(VectorX<S> const& w, VectorX<S> const& v) {
  return std::min(entropy(w), entropy(v));
}

/// Whether a dual value over M is above the objective of every coupling, so that there is none:
/// then the allowed pairs cannot carry the marginals. `highest_entropy`: the smaller entropy of the
/// weights, infinite if all pairs are allowed.
inline bool beyond_couplings(double value, double largest_cost, double epsilon,
                             double highest_entropy) {
  return value > 1.001 * (largest_cost + epsilon * (1 + highest_entropy));
}

template <CostOperator C>
struct EntropicProblem {
  using S = scalar_t<C>;
  using Wide = wide_t<S>;

  C cost;
  VectorX<S> a, b;  // marginals of equal mass
  Wide mass = 0;    // M
  VectorX<S> w, v;  // a/M and b/M; weights below the normal range are zero
  double epsilon = 0, tolerance = 0;
  Blur<S> blur;
  double largest_cost = 0;
  bool feasible = true;               // every weight has an allowed partner
  double highest_entropy = infinity;  // of a coupling, if pairs are forbidden

  EntropicProblem(std::string_view function, C cost_, VectorX<S> a_, VectorX<S> b_,
                  std::optional<double> epsilon_, std::optional<double> tolerance_)
      : cost(std::move(cost_)), a(std::move(a_)), b(std::move(b_)) {
    mass = balance<S>(function, shape(cost), a, b);
    w = normalised(a, mass);
    v = normalised(b, mass);
    Strength const strength = checked_strength(function, cost, epsilon_, tolerance_);
    epsilon = strength.epsilon;
    tolerance = strength.tolerance;
    blur = Blur<S>(epsilon);
    largest_cost = strength.scale.largest;
    if (strength.scale.forbidden) {
      double const rounding = 8 * double(n() + m()) * double(unit_roundoff<S>);
      feasible = unreachable_mass(cost, w, v) <= std::max(tolerance, rounding);
      highest_entropy = entropy_of_couplings(w, v);
    }
  }

  [[nodiscard]] Index n() const { return w.size(); }
  [[nodiscard]] Index m() const { return v.size(); }

  /// f_i = -infinity where the weight is zero, so that the row takes no part.
  void switch_off(VectorX<S>& f, VectorX<S> const& weights) const {
    for (Index i = 0; i < f.size(); ++i) {
      if (!(weights(i) > 0)) f(i) = -std::numeric_limits<S>::infinity();
    }
  }

  /// The first potentials: those of a start, else zero; rows and columns without mass switched off.
  template <class Start>
  void begin(Start const& start, VectorX<S>& f, VectorX<S>& g) const {
    bool const given = start.f.size() > 0;
    f = given ? start.f : VectorX<S>(VectorX<S>::Zero(n()));
    g = given ? start.g : VectorX<S>(VectorX<S>::Zero(m()));
    switch_off(f, w);
    switch_off(g, v);
  }

  /// The relative size that rounding alone gives the marginal error.
  [[nodiscard]] double rounding_floor(VectorX<S> const& f, VectorX<S> const& g) const {
    auto const largest = [](VectorX<S> const& p, VectorX<S> const& weights) {
      double most = 0;
      for (Index i = 0; i < p.size(); ++i) {
        if (weights(i) > 0) most = std::max(most, double(std::abs(p(i))));
      }
      return most;
    };
    double const scale = largest_cost + largest(f, w) + largest(g, v);
    return double(unit_roundoff<S>) * (1 + scale / epsilon);
  }

  /// Whether the tolerance is so near to that floor that two roundings of one plan may differ by
  /// it.
  [[nodiscard]] bool near_rounding(VectorX<S> const& f, VectorX<S> const& g) const {
    return tolerance <= 64 * rounding_floor(f, g);
  }

  /// s = sum_i w_i e_ij; fills e (n) with column j.
  Wide column_sum(Blur<S> at, VectorX<S> const& f, S g, Index j, S* e, S* scratch) const {
    using detail::column_sum;
    return column_sum(cost, at, f, w, g, j, e, scratch);
  }

  /// g <- the potential that makes column j exact, g - epsilon log s with s = sum_i w_i e_ij; fills
  /// e with the exponentials for a shift near the old or the hard potential, and returns s of it,
  /// so that w_i e_ij / s is the share of row i in the column.
  Wide update_column(Blur<S> at, VectorX<S> const& f, S& g, Index j, S* e, S* scratch) const {
    Wide s = column_sum(at, f, g, j, e, scratch);
    if (!in_range<S>(s)) {
      g = hard_column(cost, f, j, scratch);
      s = column_sum(at, f, g, j, e, scratch);
    }
    g -= S(at.epsilon * std::log(s));
    return s;
  }

  /// The same by blocks of columns, and what use(j, g before, e, s) or skip(j) make of them added
  /// to the rows.
  template <class Use, class Skip>
  void update_columns(Blur<S> at, VectorX<S> const& f, VectorX<S>& g, RowSums<S>& rows,
                      Parallel const& parallel, Use const& use, Skip const& skip) const {
    if constexpr (BlockCost<C>) {
      VectorX<Wide>& sum = rows.sum;
      rows.accumulate_filled(
          parallel,
          [&](Index j, Index columns, int worker, S* e) {
            block_sums(cost, at, f, w, g, j, columns, e, rows.scratch.col(worker).data(), sum);
          },
          [&](Index j, int worker, S* e) {
            if (!(v(j) > 0)) return skip(j);
            S const before = g(j);
            if (!in_range<S>(sum(j))) {
              sum(j) = update_column(at, f, g(j), j, e, rows.scratch.col(worker).data());
            } else {
              g(j) -= S(at.epsilon * std::log(sum(j)));
            }
            return use(j, before, e, sum(j));
          });
    }
  }

  /// The soft c-transform of f at column j: -epsilon log sum_i w_i exp((f_i - C_ij) / epsilon).
  S soft_column_potential(Blur<S> at, VectorX<S> const& f, Index j, S* e, S* scratch) const {
    S const hard = hard_column(cost, f, j, scratch);
    Wide const s = column_sum(at, f, hard, j, e, scratch);
    return hard - S(at.epsilon * std::log(s));
  }

  /// The same of g for all rows, into `soft` (n).
  void soft_row_potential(Blur<S> at, VectorX<S> const& g, RowSums<S>& rows,
                          Parallel const& parallel, VectorX<S>& soft) const {
    soft_rows(cost, at, g, v, rows, parallel, soft);
  }

  /// next <- f - epsilon log r for the row sums r = rows.total. Rows that left the trusted range
  /// are redone from their true maxima, in two more reads of the cost: this happens in the first
  /// iterations from a poor start, or with weights near underflow. r is then what they amount to.
  void update_rows(Blur<S> at, VectorX<S> const& f, VectorX<S> const& g, RowSums<S>& rows,
                   Parallel const& parallel, VectorX<S>& next) const {
    bool trusted = true;
    for (Index i = 0; i < n(); ++i) {
      if (!(w(i) > 0)) continue;
      trusted = trusted && in_range<S>(rows.total(i));
      next(i) = f(i) - S(at.epsilon * std::log(rows.total(i)));
    }
    if (trusted) return;
    soft_row_potential(at, g, rows, parallel, next);
    switch_off(next, w);
    for (Index i = 0; i < n(); ++i) {
      rows.total(i) = w(i) > 0 ? std::exp(Wide(f(i) - next(i)) / at.epsilon) : Wide(0);
    }
  }

  /// Moves a common offset that a far start left in (f, g), before it swallows their digits;
  /// returns whether there was one.
  bool recentre(VectorX<S>& f, VectorX<S>& g) const {
    S const offset = S(mean_potential(f, w));
    if (!(std::abs(double(offset)) > 16 * largest_cost + 64 * epsilon)) return false;
    f.array() -= offset;
    g.array() += offset;
    return true;
  }

  /// sum_i w_i (r_i - 1): the mass of the plan over M, less one.
  [[nodiscard]] Wide excess_mass(VectorX<Wide> const& r) const {
    Wide sum = 0;
    for (Index i = 0; i < n(); ++i) {
      if (w(i) > 0) sum += Wide(w(i)) * (r(i) - 1);
    }
    return sum;
  }

  /// The rounding error of a dual value over M.
  [[nodiscard]] Wide dual_noise(Wide value) const {
    return 8 * Wide(unit_roundoff<S>) * (std::abs(value) + Wide(largest_cost));
  }

  /// A share of the mass of a row or column so small that stored kernels may leave such entries out
  /// without spoiling a marginal error of `goal`, even after they grew by exp(2 kernel_drift).
  [[nodiscard]] double negligible(double goal) const {
    return 0.05 * goal / (std::exp(2 * kernel_drift) * double(n() + m()));
  }

  /// A lower bound of max(w_i, v_j) over the weights that are not zero.
  [[nodiscard]] double least_weight() const {
    auto const least = [](VectorX<S> const& weights) {
      double result = 1;
      for (S const weight : weights) {
        if (weight > 0) result = std::min(result, double(weight));
      }
      return result;
    };
    return std::max(least(w), least(v));
  }

  /// The memory for a stored kernel if the user has no opinion.
  [[nodiscard]] double kernel_bytes(std::optional<double> wanted) const {
    double const whole = double(n()) * double(m()) * double(sizeof(S));
    return wanted.value_or(holds_entries<C> ? whole : std::min(whole, 64.0 * 1024 * 1024));
  }

  [[nodiscard]] bool beyond_couplings(Wide value, Blur<S> at) const {
    return detail::beyond_couplings(double(value), largest_cost, double(at.epsilon),
                                    highest_entropy);
  }

  /// sum_i w_i |r_i - 1|: the L1 error of the rows relative to the mass.
  [[nodiscard]] Wide row_error(VectorX<Wide> const& r) const {
    Wide sum = 0;
    for (Index i = 0; i < n(); ++i) {
      if (w(i) > 0) sum += Wide(w(i)) * std::abs(r(i) - 1);
    }
    return sum;
  }

  /// <weights, p> over the weights that are not zero.
  [[nodiscard]] Wide mean_potential(VectorX<S> const& p, VectorX<S> const& weights) const {
    Wide sum = 0;
    for (Index i = 0; i < p.size(); ++i) {
      if (weights(i) > 0) sum += Wide(weights(i)) * Wide(p(i));
    }
    return sum;
  }

  /// Shifts (f, g) to the gauge <a, f> = <b, g>, fills in the potentials of zero weights, and
  /// measures the plan that the result determines.
  [[nodiscard]] EntropicAnswer<S> answer(VectorX<S> f, VectorX<S> g, RowSums<S>& rows,
                                         Parallel const& parallel) const {
    Wide const shift = (mean_potential(g, v) - mean_potential(f, w)) / 2;
    f.array() += S(shift);
    g.array() -= S(shift);
    EntropicAnswer<S> x;
    measure(f, g, rows, parallel, x);
    x.f = f;
    x.g = g;
    if ((w.array() > 0).all() && (v.array() > 0).all()) return x;

    VectorX<S> soft(n());
    soft_row_potential(blur, g, rows, parallel, soft);
    for (Index i = 0; i < n(); ++i) {
      if (!(w(i) > 0)) x.f(i) = std::isfinite(soft(i)) ? soft(i) : S(0);
    }
    for (Index j = 0; j < m(); ++j) {
      if (v(j) > 0) continue;
      S const p =
          soft_column_potential(blur, f, j, rows.e.col(0).data(), rows.scratch.col(0).data());
      x.g(j) = std::isfinite(p) ? p : S(0);
    }
    return x;
  }

 private:
  /// Both marginals, <C, P> and the values of primal and dual in one read of the cost.
  void measure(VectorX<S> const& f, VectorX<S> const& g, RowSums<S>& rows, Parallel const& parallel,
               EntropicAnswer<S>& x) const {
    VectorX<Wide> column(m()), cost_of_column(m());
    Wide const neglected =
        measure_plan(cost, blur, f, g, w, v, rows, parallel, column, cost_of_column);
    Wide deviation = 2 * neglected, paid = 0, moved = 0, linear = 0, dual = 0;
    for (Index j = 0; j < m(); ++j) {
      if (!(v(j) > 0)) continue;
      Wide const part = Wide(v(j)) * column(j);
      deviation += Wide(v(j)) * std::abs(column(j) - 1);
      moved += part;
      paid += Wide(v(j)) * cost_of_column(j);
      linear += part * Wide(g(j));
      dual += Wide(v(j)) * Wide(g(j));
    }
    for (Index i = 0; i < n(); ++i) {
      if (!(w(i) > 0)) continue;
      deviation += Wide(w(i)) * std::abs(rows.total(i) - 1);
      linear += Wide(w(i)) * rows.total(i) * Wide(f(i));
      dual += Wide(w(i)) * Wide(f(i));
    }
    Wide const excess = Wide(epsilon) * (moved - 1);
    x.marginal_error = double(deviation);
    x.transport_cost = mass * paid;
    x.regularised_cost = mass * (linear - excess);
    x.dual_value = mass * (dual - excess);
  }
};

/// Copies what all results share from the problem and its answer.
template <class Result, class Problem, class Answer>
void fill_result(Result& result, Problem const& problem, Answer const& answer) {
  result.f = answer.f;
  result.g = answer.g;
  result.a = problem.a;
  result.b = problem.b;
  result.epsilon = problem.epsilon;
  result.tolerance = problem.tolerance;
  result.transport_cost = answer.transport_cost;
  result.regularised_cost = answer.regularised_cost;
  result.dual_value = answer.dual_value;
  result.marginal_error = answer.marginal_error;
}

}  // namespace monge::ot::detail
