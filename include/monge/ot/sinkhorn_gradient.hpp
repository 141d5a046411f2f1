// SPDX-License-Identifier: MIT
/// @file
/// How the potentials and the plan of an entropic problem change with its data: derivatives through
/// the solution, forward and reverse. (The value alone needs none of this: position_gradient.hpp.)
///
/// With w = a/M, v = b/M and E_ij = exp((f_i + g_j - C_ij) / epsilon) the solution satisfies
/// sum_j E_ij v_j = 1 and sum_i w_i E_ij = 1, zero weights included. Differentiating gives
///
///     df + E (v o dg) = (E o dC) v - epsilon E dv =: R,
///     dg + E' (w o df) = (E o dC)' w - epsilon E' dw =: T.                                  (1)
///
/// Eliminating dg leaves L df = w o (R - E (v o T)) with the Laplacian
///
///     L = diag(w) - diag(w) E diag(v) E' diag(w) = sum_j v_j (diag(q_j) - q_j q_j'),   q_ij = w_i
///     E_ij,
///
/// the Hessian of the semi-dual times -epsilon. It is solved by conjugate gradients with the
/// diagonal as preconditioner, matrix-free; one more pass through (1), a linearised step of
/// Sinkhorn, then gives the potentials of light and of zero weights their full accuracy. Its null
/// vector, the gauge, is fixed by <a, f> = <b, g>, as in the results of the solvers.
///
/// A pull-back runs the transpose of (1): for cotangents (f', g') it finds y, z with
/// y + w o (E z) = f', z + v o (E' y) = g', and then C'_ij = E_ij (v_j y_i + w_i z_j).
///
/// Cost: one read of the cost with n m exponentials per step of conjugate gradients, and half a
/// dozen more; O(n + m) memory beyond the derivatives asked for. The number of steps grows like the
/// square root of the number of iterations that Sinkhorn itself needs.
///
/// Source: G. Luise, A. Rudi, M. Pontil, C. Ciliberto, Differential properties of Sinkhorn
/// approximation for learning with Wasserstein distance, NeurIPS 2018, section 4, where the reduced
/// system is dense; the matrix-free form, zero weights and the gauge are ours.
#pragma once

#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

#include <monge/core/certify.hpp>
#include <monge/core/parallel.hpp>
#include <monge/core/require.hpp>
#include <monge/linalg/conjugate_gradient.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/potential_system.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/position_gradient.hpp>

namespace monge::ot {

/// A direction in which the data of a problem move; what is left empty stays as it is.
template <RealScalar S>
struct SinkhornDirection {
  MatrixX<S> cost = {};  ///< n x m: dC, finite also where C forbids a pair
  VectorX<S> a = {};     ///< n: da
  VectorX<S> b = {};     ///< m: db, with the sum of da: masses stay equal
};

/// The answer of `sinkhorn_tangent`.
template <RealScalar S>
struct SinkhornTangent {
  VectorX<S> f, g;      ///< n, m: how the potentials move
  double residual = 0;  ///< of the rows of (1), sum_i w_i |.| relative to the largest |f_i|
  Status status = Status::not_run;
  Index iterations = 0;  ///< of conjugate gradients
  double seconds = 0;

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(f, g, residual); }
};

/// Derivatives of a function of the solution with respect to the potentials and the plan; what is
/// left empty does not occur in the function.
template <RealScalar S>
struct SinkhornCotangent {
  VectorX<S> f = {};     ///< n
  VectorX<S> g = {};     ///< m
  MatrixX<S> plan = {};  ///< n x m
};

/// The answer of `sinkhorn_pullback`: derivatives of the same function with respect to the data.
/// Those with respect to the costs are made from `rows` and `cols` by `cost_pullback`, which forms
/// them, and by `position_pullback`, which does not.
template <RealScalar S>
struct SinkhornPullback {
  VectorX<S> a, b;        ///< n, m: along changes that keep both masses equal
  VectorX<S> rows, cols;  ///< y (n) and z (m) of the file comment
  double residual = 0;    ///< of its first equation, in the 1-norm, relative to f'
  Status status = Status::not_run;
  Index iterations = 0;  ///< of conjugate gradients
  double seconds = 0;

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(a, b, rows, cols, residual); }
};

/// Options of the functions below.
struct SinkhornGradientOptions {
  std::optional<double> tolerance = {};  ///< of conjugate gradients, relative; unset: its default
  std::optional<Index> max_iterations = {};  ///< of conjugate gradients; unset: its default
  double max_seconds = infinity;             ///< wall time
  Parallel parallel = {};                    ///< threads; the result does not depend on it
};

/// (df, dg) for a direction (dC, da, db).
///
///     auto r = sinkhorn(C, a, b, {.epsilon = 0.05, .tolerance = 1e-12});
///     auto t = sinkhorn_tangent(C, r, {.cost = dC});
///
/// C and r: a problem and its solution; the derivative is as exact as the solution. Throws
/// std::invalid_argument for wrong shapes and if da and db change the masses by different amounts.
template <Cost C, EntropicSolution R>
[[nodiscard]] SinkhornTangent<scalar_t<C>> sinkhorn_tangent(
    C const& cost, R const& r, SinkhornDirection<scalar_t<C>> const& direction,
    SinkhornGradientOptions const& options = {}) {
  using S = scalar_t<C>;
  return detail::with_cost(cost, [&](auto const& bound) {
    Deadline const deadline(options.max_seconds);
    detail::PotentialSystem system("sinkhorn_tangent", bound, r, options.parallel);
    Index const n = system.n(), m = system.m();
    detail::check_direction("sinkhorn_tangent", direction, r);
    S const epsilon = system.epsilon();
    VectorX<S> const dw = system.relative_change(direction.a, direction.a, direction.b, r.a);
    VectorX<S> const dv = system.relative_change(direction.b, direction.a, direction.b, r.b);

    VectorX<S> R_rows = VectorX<S>::Zero(n), T_cols = VectorX<S>::Zero(m);
    if (direction.cost.size() > 0) system.weighted_sums(direction.cost, R_rows, T_cols);
    if (dv.size() > 0) R_rows -= epsilon * system.rows_of(dv);
    if (dw.size() > 0) T_cols -= epsilon * system.cols_of(dw);

    VectorX<S> const reduced =
        system.w().cwiseProduct(R_rows - system.rows_of(system.v().cwiseProduct(T_cols)));
    auto const solved = system.solve(reduced, options, deadline);
    SinkhornTangent<S> t;
    t.g = T_cols - system.cols_of(system.w().cwiseProduct(solved.x));
    t.f = R_rows - system.rows_of(system.v().cwiseProduct(t.g));
    t.residual =
        detail::relative(system.w().dot((t.f - solved.x).cwiseAbs()), t.f.cwiseAbs().maxCoeff());
    // The gauge <a, f> = <b, g> moves with the weights.
    S shift = r.b.dot(t.g) - r.a.dot(t.f);
    if (direction.a.size() > 0) shift -= direction.a.dot(r.f);
    if (direction.b.size() > 0) shift += direction.b.dot(r.g);
    shift /= r.a.sum() + r.b.sum();
    t.f.array() += shift;
    t.g.array() -= shift;
    t.status = solved.status;
    t.iterations = solved.iterations;
    t.seconds = deadline.elapsed();
    return detail::certified(std::move(t));
  });
}

/// dP (n x m) for the direction and the tangent that belongs to it. Forms an n x m matrix.
template <Cost C, EntropicSolution R>
[[nodiscard]] MatrixX<scalar_t<C>> plan_tangent(C const& cost, R const& r,
                                                SinkhornDirection<scalar_t<C>> const& direction,
                                                SinkhornTangent<scalar_t<C>> const& tangent) {
  using S = scalar_t<C>;
  return detail::with_cost(cost, [&](auto const& bound) {
    detail::PotentialSystem system("plan_tangent", bound, r, {});
    detail::check_direction("plan_tangent", direction, r);
    detail::require(tangent.f.size() == system.n() && tangent.g.size() == system.m(),
                    "plan_tangent: the tangent has ", tangent.f.size(), " and ", tangent.g.size(),
                    " entries but the cost is ", detail::shape(bound));
    VectorX<S> const dw = system.relative_change(direction.a, direction.a, direction.b, r.a);
    VectorX<S> const dv = system.relative_change(direction.b, direction.a, direction.b, r.b);
    S const mass = system.mass();
    S const growth = system.mass_change(direction.a, direction.b);
    VectorX<S> const& w = system.w();
    MatrixX<S> dP(system.n(), system.m());
    VectorX<S> e(system.n());
    for (Index j = 0; j < dP.cols(); ++j) {
      system.column(j, e);
      S const v = system.v()(j);
      VectorX<S> rate = (tangent.f.array() + tangent.g(j)).matrix() / system.epsilon();
      if (direction.cost.size() > 0) rate -= direction.cost.col(j) / system.epsilon();
      rate.array() += growth / mass;
      dP.col(j) = (mass * v) * w.cwiseProduct(e).cwiseProduct(rate);
      if (dw.size() > 0 && v > 0) dP.col(j) += (mass * v) * dw.cwiseProduct(e);
      if (dv.size() > 0 && dv(j) != 0) dP.col(j) += (mass * dv(j)) * w.cwiseProduct(e);
    }
    return dP;
  });
}

/// Pulls the derivatives of a function of (f, g, P) back to the data of the problem.
///
///     // the function sum_ij V_ij P_ij
///     auto y = sinkhorn_pullback(C, r, {.plan = V});
///     auto dC = cost_pullback(C, r, {.plan = V}, y);                       // n x m
///     auto dX = position_pullback(X, Y, squared_euclidean{}, r, {.plan = V}, y).X;
template <Cost C, EntropicSolution R>
[[nodiscard]] SinkhornPullback<scalar_t<C>> sinkhorn_pullback(
    C const& cost, R const& r, SinkhornCotangent<scalar_t<C>> const& cotangent,
    SinkhornGradientOptions const& options = {}) {
  using S = scalar_t<C>;
  return detail::with_cost(cost, [&](auto const& bound) {
    Deadline const deadline(options.max_seconds);
    detail::PotentialSystem system("sinkhorn_pullback", bound, r, options.parallel);
    Index const n = system.n(), m = system.m();
    detail::check_cotangent("sinkhorn_pullback", cotangent, r);
    S const epsilon = system.epsilon();
    VectorX<S> const &w = system.w(), &v = system.v();
    VectorX<S> f = cotangent.f.size() > 0 ? cotangent.f : VectorX<S>(VectorX<S>::Zero(n));
    VectorX<S> g = cotangent.g.size() > 0 ? cotangent.g : VectorX<S>(VectorX<S>::Zero(m));
    SinkhornPullback<S> y;
    y.a = VectorX<S>::Zero(n);
    y.b = VectorX<S>::Zero(m);
    if (cotangent.plan.size() > 0) {  // P = M w v' o E, directly and through E
      VectorX<S> by_row(n), by_col(m);
      system.weighted_sums(cotangent.plan, by_row, by_col);
      y.a += by_row;
      y.b += by_col;
      S const value = system.mass() * w.dot(by_row);
      f += (system.mass() / epsilon) * w.cwiseProduct(by_row);
      g += (system.mass() / epsilon) * v.cwiseProduct(by_col);
      S const by_mass = value / (2 * system.mass());
      y.a.array() -= by_mass;
      y.b.array() -= by_mass;
    }
    // The gauge: its part of the cotangent goes to the weights.
    S const kappa = (f.sum() - g.sum()) / (r.a.sum() + r.b.sum());
    f -= kappa * r.a;
    g += kappa * r.b;
    y.a -= kappa * r.f;
    y.b += kappa * r.g;

    VectorX<S> fixed = VectorX<S>::Zero(n);  // rows without weight know their y
    for (Index i = 0; i < n; ++i) {
      if (!(w(i) > 0)) fixed(i) = f(i);
    }
    VectorX<S> const free = g - v.cwiseProduct(system.cols_of(fixed));
    VectorX<S> reduced = f - fixed - w.cwiseProduct(system.rows_of(free));
    auto const solved = system.solve(reduced, options, deadline);
    y.rows = fixed + w.cwiseProduct(solved.x);
    y.cols = g - v.cwiseProduct(system.cols_of(y.rows));
    VectorX<S> const along_rows = system.rows_of(y.cols);
    VectorX<S> const polished = f - w.cwiseProduct(along_rows);
    y.residual = detail::relative((polished - y.rows).template lpNorm<1>(), f.template lpNorm<1>());
    y.rows = polished;
    S const through_mass = epsilon * (y.rows.sum() + y.cols.sum()) / (2 * system.mass());
    y.a.array() += through_mass - (epsilon / system.mass()) * along_rows.array();
    y.b.array() += through_mass - (epsilon / system.mass()) * system.cols_of(y.rows).array();
    y.status = solved.status;
    y.iterations = solved.iterations;
    y.seconds = deadline.elapsed();
    return detail::certified(std::move(y));
  });
}

/// The derivatives with respect to the costs, n x m, from a pull-back of the same cotangent.
template <Cost C, EntropicSolution R>
[[nodiscard]] MatrixX<scalar_t<C>> cost_pullback(C const& cost, R const& r,
                                                 SinkhornCotangent<scalar_t<C>> const& cotangent,
                                                 SinkhornPullback<scalar_t<C>> const& y) {
  using S = scalar_t<C>;
  return detail::with_cost(cost, [&](auto const& bound) {
    detail::PullbackColumns columns("cost_pullback", bound, r, cotangent, y);
    MatrixX<S> derivative(bound.rows(), bound.cols());
    VectorX<S> column(bound.rows());
    for (Index j = 0; j < derivative.cols(); ++j) {
      columns.column(j, column);
      derivative.col(j) = column;
    }
    return derivative;
  });
}

/// The derivatives with respect to the points, d x n and d x m, from a pull-back of the same
/// cotangent, for a problem that was solved with point_cloud(X, Y, c) or cost_matrix(X, Y, c); c as
/// in position_gradient. The n x m derivatives with respect to the costs are not formed.
template <RealMatrixExpr X, MatrixLike<X> Y, class F, EntropicSolution R>
[[nodiscard]] PositionGradient<scalar_t<X>> position_pullback(
    X const& x, Y const& y, F c, R const& r, SinkhornCotangent<scalar_t<X>> const& cotangent,
    SinkhornPullback<scalar_t<X>> const& pullback) {
  using S = scalar_t<X>;
  auto const cloud = point_cloud(x, y, c);
  detail::PullbackColumns columns("position_pullback", cloud, r, cotangent, pullback);
  return detail::pair_gradient<S>(MatrixX<S>(x), MatrixX<S>(y), std::move(c), columns);
}

}  // namespace monge::ot
