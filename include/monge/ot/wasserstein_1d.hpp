// SPDX-License-Identifier: MIT
/// @file
/// Transport on the line: the p-th Wasserstein distance between weighted points, for any p >= 1,
///
///     W_p^p = min over couplings P of sum_ij P_ij |x_i - y_j|^p .
///
/// Method: sort both samples and couple them in order (north-west corner rule), which is optimal
/// for every convex cost of x - y. The potentials follow along the staircase of the coupling,
/// f_i + g_j = |x_i - y_j|^p on each of its cells; they are feasible everywhere because such a cost
/// has the Monge property. Weights are counted as integers of 2^-62 of the mass, so that the
/// coupling meets its marginals exactly; differences of powers are taken without cancellation and
/// summed with compensation, so that potentials stay accurate over millions of points.
///
/// Cost: O(n + m) for typical samples (see core/detail/sort.hpp), where sorting takes most of the
/// time; memory O(n + m).
///
/// When not to use it: p < 1 (the cost is concave and the coupling is another), points on a circle,
/// where the place to cut it is not known.
///
/// Source: the coupling and its optimality are in F. Santambrogio, Optimal Transport for Applied
/// Mathematicians, Birkhauser 2015, Theorem 2.9 and Proposition 2.17; the greedy duals of Monge
/// arrays in A. J. Hoffman, On simple linear programming problems, Convexity (1963) 317-327.
#pragma once

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/detail/sort.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/detail/entropic_problem.hpp>
#include <monge/ot/detail/line_problem.hpp>
#include <monge/ot/detail/quantile_coupling.hpp>

namespace monge::ot {

/// How much of the answer is computed: each value includes those before it.
enum class Answer1d : unsigned char {
  value,       ///< the distance
  gradients,   ///< and its derivatives with respect to the points
  everything,  ///< and the plan, the potentials and the certificate
};

/// Options of `wasserstein_1d`.
struct Wasserstein1dOptions {
  double p = 2;                            ///< exponent of the distance; finite, at least 1
  Answer1d answer = Answer1d::everything;  ///< what to compute; less is faster
};

/// The answer of `wasserstein_1d` for n and m points. What was not asked for is empty.
template <RealScalar S>
struct Wasserstein1dResult {
  wide_t<S> value = 0;                ///< W_p, in units of the points
  wide_t<S> power = 0;                ///< W_p^p: the transport cost
  VectorX<S> gradient_x, gradient_y;  ///< derivatives of `power`, n and m; at a kink (p = 1 and
                                      ///< x = y, or equal points) one of the subgradients
  Eigen::SparseMatrix<S> plan;        ///< n x m, at most n + m - 1 entries, all positive
  VectorX<S> f, g;                    ///< duals, n and m: f(i) + g(j) <= |x_i - y_j|^p, equal on
                                      ///< the plan's entries, both to rounding; they are also the
                                      ///< derivatives of `power` with respect to the weights, up
                                      ///< to a constant that moves from f to g; <a, f> = <b, g>
  VectorX<S> a, b;                    ///< the weights that were used (rescaled to equal masses),
                                      ///< if more than the value was asked for
  wide_t<S> duality_gap = infinity;   ///< sum P |c - f - g|, recomputed from the results: bounds
                                      ///< power - optimum
  double marginal_error = infinity;   ///< (|P 1 - a|_1 + |P' 1 - b|_1) / mass, from the plan
  Status status = Status::not_run;
  double seconds = 0;  ///< wall time

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const {
    return std::tie(value, power, gradient_x, gradient_y, f, g);
  }
};

namespace detail {

/// A sum that keeps what rounding takes off (Neumaier).
template <RealScalar W>
class CompensatedSum {
 public:
  explicit CompensatedSum(W start = 0) : sum_(start) {}
  void add(W term) {
    W const next = sum_ + term;
    rest_ += std::abs(sum_) >= std::abs(term) ? (sum_ - next) + term : (term - next) + sum_;
    sum_ = next;
  }
  [[nodiscard]] W value() const { return sum_ + rest_; }

 private:
  W sum_, rest_ = 0;
};

/// The potentials along the staircase, with <a, f> = <b, g>.
template <RealScalar S, class Power>
void line_potentials(LineProblem<S> const& problem, Power c, Wasserstein1dResult<S>& r) {
  using W = wide_t<S>;
  auto const& [x, y, unit, matched] = problem;
  VectorX<W> f(x.size()), g(y.size());
  auto const z = [&](Index i, Index j) { return W(x.points(i)) - W(y.points(j)); };
  CompensatedSum<W> row(0), column(c(z(0, 0))), mean_f, mean_g;
  Index last_i = 0, last_j = 0;
  problem.for_each_cell([&](Index i, Index j, Mass mass) {
    if (i > last_i) row.add(c.rise(z(last_i, j), W(x.points(i)) - W(x.points(last_i))));
    if (j > last_j) column.add(c.rise(z(i, last_j), W(y.points(last_j)) - W(y.points(j))));
    f(i) = row.value();
    g(j) = column.value();
    mean_f.add(f(i) * (W(mass) * W(unit)));
    mean_g.add(g(j) * (W(mass) * W(unit)));
    last_i = i;
    last_j = j;
  });
  W const total = r.a.template cast<W>().sum();
  W const shift = (mean_g.value() - mean_f.value()) / (2 * total);
  r.f.resize(x.size());
  r.g.resize(y.size());
  for (Index i = 0; i < x.size(); ++i) r.f(x.order[std::size_t(i)]) = S(f(i) + shift);
  for (Index j = 0; j < y.size(); ++j) r.g(y.order[std::size_t(j)]) = S(g(j) - shift);
}

/// The plan in the caller's indices. Columns meet their entries in one run of the staircase.
template <RealScalar S>
void line_plan(LineProblem<S> const& problem, Eigen::SparseMatrix<S>& plan) {
  auto const& [x, y, unit, matched] = problem;
  Index const n = x.size(), m = y.size();
  plan.resize(n, m);
  int* const starts = plan.outerIndexPtr();
  std::fill_n(starts, m + 1, 0);
  problem.for_each_cell(
      [&](Index, Index j, Mass mass) { starts[y.order[std::size_t(j)] + 1] += mass > 0; });
  for (Index j = 0; j < m; ++j) starts[j + 1] += starts[j];
  plan.resizeNonZeros(starts[m]);
  int* const rows = plan.innerIndexPtr();
  S* const values = plan.valuePtr();
  Index column = -1;
  int next = 0;
  problem.for_each_cell([&](Index i, Index j, Mass mass) {
    if (j != column) {
      column = j;
      next = starts[y.order[std::size_t(j)]];
    }
    if (mass == 0) return;
    rows[next] = x.order[std::size_t(i)];
    values[next++] = S(wide_t<S>(mass) * wide_t<S>(unit));
  });
  std::vector<std::pair<int, S>> entries;
  for (Index j = 0; j < m; ++j) {  // rows ascend within a column
    int const begin = starts[j], end = starts[j + 1];
    if (std::is_sorted(rows + begin, rows + end)) continue;
    entries.clear();
    for (int k = begin; k < end; ++k) entries.emplace_back(rows[k], values[k]);
    std::sort(entries.begin(), entries.end(),
              [](auto const& u, auto const& v) { return u.first < v.first; });
    for (int k = begin; k < end; ++k) {
      std::tie(rows[k], values[k]) = entries[std::size_t(k - begin)];
    }
  }
}

/// Gap and marginal error of what is in the result, from the points in the caller's order.
template <RealScalar S, class Power, class Result>
Status certify_line(VectorX<S> const& x, VectorX<S> const& y, Power c, Result& r) {
  using W = wide_t<S>;
  VectorX<W> rows = -r.a.template cast<W>();
  CompensatedSum<W> gap, size, error;
  for (Index j = 0; j < y.size(); ++j) {
    W column = -W(r.b(j));
    for (typename Eigen::SparseMatrix<S>::InnerIterator entry(r.plan, j); entry; ++entry) {
      W const cost = c(W(x(entry.row())) - W(y(j))), mass = W(entry.value());
      W const f = W(r.f(entry.row())), g = W(r.g(j));
      gap.add(mass * std::abs(cost - f - g));
      size.add(mass * (cost + std::abs(f) + std::abs(g)));
      rows(entry.row()) += mass;
      column += mass;
    }
    error.add(std::abs(column));
  }
  W const mass = r.a.template cast<W>().sum();
  W const u = W(unit_roundoff<S>);
  r.duality_gap = gap.value();
  r.marginal_error = double((error.value() + rows.cwiseAbs().sum()) / mass);
  bool const met = r.marginal_error <= 8 * double(x.size() + y.size()) * double(u);
  return met && r.duality_gap <= 64 * u * size.value() ? Status::converged
                                                       : Status::precision_limit;
}

/// The value that belongs to the power, and whether it is a number.
template <RealScalar S>
void set_value(Wasserstein1dResult<S>& r, double p) {
  r.value = std::pow(r.power, wide_t<S>(1 / p));
  r.status = std::isfinite(r.value) ? Status::converged : Status::non_finite;
}

template <RealScalar S, class Power>
void solve_line(LineProblem<S> const& problem, VectorX<S> const& x, VectorX<S> const& y,
                Wasserstein1dOptions const& options, Power c, Wasserstein1dResult<S>& r) {
  using W = wide_t<S>;
  auto const& [u, v, unit, matched] = problem;
  Index const n = u.size(), m = v.size();
  if (matched) {
    r.power = matched_power(u.points.data(), v.points.data(), n, c);
  } else {
    u.with_masses([&](auto a) {
      v.with_masses([&](auto b) {
        r.power = coupled_power(u.points.data(), n, a, v.points.data(), m, b, c, problem.unit);
      });
    });
  }
  set_value(r, options.p);
  if (options.answer == Answer1d::value) return;
  r.gradient_x.setZero(n);
  r.gradient_y.setZero(m);
  problem.for_each_cell([&](Index i, Index j, Mass mass) {
    W const slope = W(mass) * W(problem.unit) * c.slope(W(u.points(i)) - W(v.points(j)));
    r.gradient_x(u.order[std::size_t(i)]) += S(slope);
    r.gradient_y(v.order[std::size_t(j)]) -= S(slope);
  });
  if (options.answer == Answer1d::gradients) return;
  line_plan(problem, r.plan);
  line_potentials(problem, c, r);
  Status const certified = certify_line(x, y, c, r);
  if (r.status == Status::converged) r.status = certified;
}

/// Refuses NaN, infinities and empty samples.
template <class Points>
void check_points(std::string_view function, std::string_view name, Points const& x) {
  require(x.size() > 0, function, ": ", name, " has no points; it needs at least one");
  if (std::isfinite(x.cwiseAbs().sum())) return;
  for (Index k = 0; k < x.size(); ++k) {
    require(std::isfinite(x(k)), function, ": ", name, "(", k, ") is ", x(k),
            "; points must be finite");
  }
}

/// W_p^p where nothing else is asked for: the weights move with the points, and nobody needs the
/// order. The arguments are read in place; memory is that of the sorted pairs.
template <RealScalar S>
wide_t<S> weighted_power(Eigen::Ref<VectorX<S> const> const& x,
                         Eigen::Ref<VectorX<S> const> const& y,
                         Eigen::Ref<VectorX<S> const> const& a,
                         Eigen::Ref<VectorX<S> const> const& b, double p) {
  using W = wide_t<S>;
  Index const n = x.size(), m = y.size();
  Masses<W> const masses = balanced_masses<S>("wasserstein_1d", Shape{n, m}, a, b);
  SortScratch<S> scratch;
  SortedPairs<S> const u(x, a, scratch), v(y, b, scratch);
  LineMasses<W> const line(
      masses, n, [&](Index k) { return u.weight(k); }, m, [&](Index k) { return v.weight(k); });
  using Stream = typename SortedPairs<S>::Stream;
  Stream const mass_x(u, line.unit, line.factor_x, line.largest_x, line.more_x);
  Stream const mass_y(v, line.unit, line.factor_y, line.largest_y, line.more_y);
  return with_power(p, [&](auto c) {
    return coupled_power(u.points(), n, mass_x, v.points(), m, mass_y, c,
                         std::ldexp(1.0, line.unit.exponent));
  });
}

/// One weight per point.
inline void check_weight_counts(std::string_view function, Index n, Index in_a, Index m,
                                Index in_b) {
  require(in_a == n, function, ": x has ", n, " points but a has ", in_a,
          " entries; a needs one entry per point");
  require(in_b == m, function, ": y has ", m, " points but b has ", in_b,
          " entries; b needs one entry per point");
}

/// What every call begins with.
template <RealScalar S>
void check_line(Eigen::Ref<VectorX<S> const> const& x, Eigen::Ref<VectorX<S> const> const& y,
                double p) {
  require(p >= 1 && p < infinity, "wasserstein_1d: p is ", p,
          "; it must be finite and at least 1, for costs of other exponents are not convex");
  check_points("wasserstein_1d", "x", x);
  check_points("wasserstein_1d", "y", y);
  require(x.size() + y.size() < Index(std::numeric_limits<std::int32_t>::max()),
          "wasserstein_1d: x has ", x.size(), " points and y has ", y.size(),
          "; together they must be fewer than 2^31");
}

/// The value between weighted points.
template <RealScalar S>
Wasserstein1dResult<S> weighted_value(Eigen::Ref<VectorX<S> const> const& x,
                                      Eigen::Ref<VectorX<S> const> const& y,
                                      Eigen::Ref<VectorX<S> const> const& a,
                                      Eigen::Ref<VectorX<S> const> const& b, double p) {
  Deadline const clock(infinity);
  check_line<S>(x, y, p);
  Wasserstein1dResult<S> r;
  r.power = weighted_power<S>(x, y, a, b, p);
  set_value(r, p);
  r.seconds = clock.elapsed();
  return r;
}

/// Both weights empty: all equal, of mass 1.
template <RealScalar S>
Wasserstein1dResult<S> wasserstein_1d(VectorX<S> x, VectorX<S> y, VectorX<S> a, VectorX<S> b,
                                      Wasserstein1dOptions const& options) {
  Deadline const clock(infinity);
  Index const n = x.size(), m = y.size();
  check_line<S>(x, y, options.p);
  bool const equal = a.size() == 0 && b.size() == 0;
  Wasserstein1dResult<S> r;
  LineProblem<S> problem;
  SortScratch<S> scratch;
  bool const with_order = options.answer != Answer1d::value;
  bool const keep = options.answer == Answer1d::everything;
  problem.x = sorted_sample(x, with_order, keep, scratch);
  problem.y = sorted_sample(y, with_order, keep, scratch);
  if (equal) {
    problem.matched = n == m;
    problem.x.each = problem.matched ? 1 : m;
    problem.y.each = problem.matched ? 1 : n;
    problem.unit = 1 / (double(n) * double(problem.x.each));
    if (with_order) {
      r.a.setConstant(n, S(1) / S(n));
      r.b.setConstant(m, S(1) / S(m));
    }
  } else {
    Masses<wide_t<S>> const masses = balanced_masses<S>("wasserstein_1d", Shape{n, m}, a, b);
    problem.unit = set_masses(problem.x, problem.y, a, b, masses);
    a *= S(masses.mean / masses.a);
    b *= S(masses.mean / masses.b);
    r.a = std::move(a);
    r.b = std::move(b);
  }
  with_power(options.p, [&](auto c) { solve_line(problem, x, y, options, c, r); });
  r.seconds = clock.elapsed();
  return r;
}

}  // namespace detail

/// The p-th Wasserstein distance between points x (n) of equal weights 1/n and y (m) of equal
/// weights 1/m on the line.
///
///     auto r = monge::ot::wasserstein_1d(x, y, {.p = 2});   // r.value, r.power, r.plan, r.f ...
///
/// Points are finite, in any order. Converged means that every number is finite and, if everything
/// was asked for, that the plan meets its marginals to 8 (n + m) u of the mass and that duality_gap
/// <= 64 u (|cost| + sum a |f| + sum b |g|), else precision_limit; powers that overflow end in
/// non_finite: rescale the points. Throws std::invalid_argument for p < 1 and other misuse.
template <RealVectorExpr X, VectorLike<X> Y>
[[nodiscard]] Wasserstein1dResult<scalar_t<X>> wasserstein_1d(
    X const& x, Y const& y, Wasserstein1dOptions const& options = {}) {
  using S = scalar_t<X>;
  return monge::detail::certified(detail::wasserstein_1d<S>(monge::detail::as_column(x),
                                                            monge::detail::as_column(y),
                                                            VectorX<S>(), VectorX<S>(), options));
}

/// The same for weights a (n) and b (m): nonnegative, with masses that differ by rounding at most,
/// 8 (n + m) u of their mean, to which they are rescaled; a larger difference is refused. A weight
/// below 2^-63 of the mass counts as zero. Points without mass have potentials too, the largest
/// that are feasible.
template <RealVectorExpr X, VectorLike<X> Y, VectorLike<X> A, VectorLike<X> B>
[[nodiscard]] Wasserstein1dResult<scalar_t<X>> wasserstein_1d(
    X const& x, Y const& y, A const& a, B const& b, Wasserstein1dOptions const& options = {}) {
  using S = scalar_t<X>;
  detail::check_weight_counts("wasserstein_1d", x.size(), a.size(), y.size(), b.size());
  if (options.answer == Answer1d::value) {
    return monge::detail::certified(detail::weighted_value<S>(
        monge::detail::as_column(x), monge::detail::as_column(y), monge::detail::as_column(a),
        monge::detail::as_column(b), options.p));
  }
  return monge::detail::certified(
      detail::wasserstein_1d<S>(monge::detail::as_column(x), monge::detail::as_column(y),
                                monge::detail::as_column(a), monge::detail::as_column(b), options));
}

}  // namespace monge::ot
