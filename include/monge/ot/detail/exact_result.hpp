// SPDX-License-Identifier: MIT
/// @file
/// Options and answer of `exact`, for all of its roads.
#pragma once

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/iterate.hpp>
#include <monge/ot/detail/exact_answer.hpp>
#include <monge/ot/weight_gradient.hpp>

namespace monge::ot {

/// How `exact` goes about a cloud of points. Other costs always take all pairs.
enum class ExactRoad : unsigned char {
  automatic,       ///< what is faster for the number of points and their dimension
  all_pairs,       ///< the simplex on the cost as an operator
  coarse_to_fine,  ///< growing point sets and arcs that a tree finds: see exact_points.hpp
};

/// Options of `exact`. There is no tolerance: the answer is exact to rounding.
struct ExactOptions {
  /// Masses may differ: min(sum a, sum b) is moved at least cost, and each unit that has no
  /// counterpart costs this much, in units of the cost. Unset: masses must agree.
  std::optional<double> extra_mass_penalty = {};
  /// Partial transport: this much mass is moved at least cost, in units of the weights, at most
  /// min(sum a, sum b). Unset: all of it.
  std::optional<double> mass = {};
  Index max_iterations = std::numeric_limits<Index>::max();  ///< pivots
  double max_seconds = infinity;                             ///< wall time
  Index observe_every = 1000;             ///< stride of the observer in pivots; at least 1
  ExactRoad road = ExactRoad::automatic;  ///< for point clouds
};

/// The answer of `exact` for an n x m cost. To start another solve from here pass `{r.f, r.g}`,
/// `{.plan = r.plan}` or both.
template <RealScalar S>
struct ExactResult {
  Eigen::SparseMatrix<S> plan;   ///< n x m, at most n + m - 1 entries, all positive
  wide_t<S> transport_cost = 0;  ///< <C, plan>
  VectorX<S> f, g;               ///< duals, n and m: f(i) + g(j) + mass_price <= C(i, j), equal on
                                 ///< the plan's entries at an optimum, both to rounding
  VectorX<S> a, b;               ///< the marginals that were used (rescaled to equal masses)
  VectorX<S> left_a, left_b;     ///< what is not moved of them; zero unless options ask for it
  wide_t<S> penalty = 0;         ///< extra_mass_penalty |sum a - sum b|
  wide_t<S> mass_price = 0;      ///< with `mass`: what moving one unit more would cost; else 0
  wide_t<S> duality_gap = infinity;  ///< sum P (C - f - g) from C at the end: bounds transport_cost
                                     ///< - optimum; infinite while the plan lacks mass
  double marginal_error = infinity;  ///< (|P 1 + left_a - a|_1 + |P' 1 + left_b - b|_1) / mass
  Status status = Status::not_run;
  Index iterations = 0;  ///< pivots, those before a resume included (augmentations if solved as an
                         ///< assignment)
  double seconds = 0;    ///< wall time of the solve

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const {
    return std::tie(transport_cost, f, g, left_a, left_b, penalty, mass_price, duality_gap,
                    marginal_error);
  }
};

namespace detail {

/// The result of a run that ended, for weights a and b that are moved entirely.
/// carried(visit) calls visit(arc, weight) for the entries of the plan.
template <RealScalar S, class State, class Carried>
ExactResult<S> result_of(Outcome<State> const& run, Carried const& carried, VectorX<S> const& a,
                         VectorX<S> const& b) {
  auto const& answer = run.state.answer;
  ExactResult<S> r;
  std::vector<Eigen::Triplet<S>> entries;
  carried([&](Arc arc, wide_t<S> weight) { entries.emplace_back(arc.row, arc.column, S(weight)); });
  r.plan.resize(a.size(), b.size());
  r.plan.setFromTriplets(entries.begin(), entries.end());
  r.transport_cost = answer.transport_cost;
  r.f = answer.f.template cast<S>();
  r.g = answer.g.template cast<S>();
  r.a = a;
  r.b = b;
  r.left_a = VectorX<S>::Zero(a.size());
  r.left_b = VectorX<S>::Zero(b.size());
  r.duality_gap = answer.gap;
  r.marginal_error = answer.marginal_error;
  r.status = run.status;
  r.iterations = run.state.iterations;
  r.seconds = run.statistics.seconds;
  return certified(std::move(r));
}

/// Adds what the options charge for extra mass, and brings the duals to the gauge in which they are
/// the derivatives of the sum.
template <RealScalar S>
ExactResult<S> with_penalty(ExactResult<S> r, std::optional<double> penalty, bool moved) {
  using W = wide_t<S>;
  if (!penalty || !moved) return r;
  W const extra = r.a.template cast<W>().sum() - r.b.template cast<W>().sum();
  r.penalty = W(*penalty) * std::abs(extra);
  VectorX<S>& more = extra > 0 ? r.f : r.g;
  VectorX<S>& less = extra > 0 ? r.g : r.f;
  more.array() += S(*penalty);
  less.array() += S(r.mass_price - W(*penalty));
  r.mass_price = 0;
  return r;
}

}  // namespace detail

/// The gradient of transport_cost + penalty of a converged result with respect to the weights, by
/// the envelope theorem: its duals. (That with respect to the cost is `plan`; that with respect to
/// points is position_gradient.)
///
/// If all mass is moved, weights can only change with their masses kept equal, and duals count up
/// to a constant: f and g are centred, so that each sums to zero, which projects on weights of
/// constant mass. If mass is left over, f and g are returned as they are. At weights where the
/// duals are not unique (equal partial sums of a and b: a degenerate plan) it is a subgradient.
template <RealScalar S>
[[nodiscard]] WeightGradient<S> weight_gradient(ExactResult<S> const& r) {
  WeightGradient<S> gradient{r.f, r.g};
  if (r.left_a.isZero(0) && r.left_b.isZero(0)) {
    gradient.a.array() -= r.f.mean();
    gradient.b.array() -= r.g.mean();
  }
  return gradient;
}

}  // namespace monge::ot
