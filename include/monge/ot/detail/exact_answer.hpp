// SPDX-License-Identifier: MIT
/// @file
/// What a basis of the exact solver amounts to: feasible potentials, cost, marginals and gap,
/// recomputed from the cost.
#pragma once

#include <algorithm>
#include <cmath>

#include <monge/core/status.hpp>
#include <monge/ot/detail/exact_problem.hpp>

namespace monge::ot::detail {

template <RealScalar W>
struct ExactAnswer {
  VectorX<W> f, g;  // feasible everywhere
  W transport_cost = 0, gap = infinity;
  double marginal_error = infinity;
  bool transported = false;  // the marginals hold to rounding
  bool tight = false;        // and the gap is at rounding
};

/// What a tree carries: calls visit(arc, weight) for the entries of its plan.
template <RealScalar W, class Weight>
auto carried_by(TransportTree<W> const& tree, Weight weight) {
  return [&tree, weight](auto&& visit) {
    tree.for_each_flow([&](Arc arc, Mass flow) { visit(arc, weight(flow)); });
  };
}

/// Cost and marginals of a plan by the price of an arc. carried(visit) calls visit(arc, weight) for
/// its entries. Marginals hold if they do to 8 (n + m) u of the mass.
template <RealScalar S, class Carried, class Price>
void measure_plan(Carried const& carried, VectorX<S> const& a, VectorX<S> const& b, wide_t<S> mass,
                  Price const& price, ExactAnswer<wide_t<S>>& x) {
  using W = wide_t<S>;
  VectorX<W> rows = VectorX<W>::Zero(a.size()), columns = VectorX<W>::Zero(b.size());
  x.transport_cost = 0;
  carried([&](Arc arc, W weight) {
    rows(arc.row) += weight;
    columns(arc.column) += weight;
    x.transport_cost += weight * price(arc);
  });
  x.marginal_error = double(((rows - a.template cast<W>()).cwiseAbs().sum() +
                             (columns - b.template cast<W>()).cwiseAbs().sum()) /
                            mass);
  x.transported = x.marginal_error <= 8 * W(a.size() + b.size()) * W(unit_roundoff<S>);
}

/// Whether a gap between sums of this size is no more than rounding leaves: 64 u of it.
template <RealScalar S>
[[nodiscard]] bool at_rounding(wide_t<S> gap, wide_t<S> size) {
  return gap <= 64 * wide_t<S>(unit_roundoff<S>) * size;
}

/// The gap between a plan that was measured and the feasible potentials x.f, x.g; it is tight if at
/// rounding beside |cost| + sum a |f| + sum b |g|.
template <RealScalar S, class Carried, class Price>
void measure_gap(Carried const& carried, VectorX<S> const& a, VectorX<S> const& b,
                 Price const& price, ExactAnswer<wide_t<S>>& x) {
  using W = wide_t<S>;
  if (!x.transported) return;
  x.gap = 0;
  carried([&](Arc arc, W weight) {
    W const slack = price(arc) - x.f(arc.row) - x.g(arc.column);
    x.gap += weight * std::max(W(0), slack);
  });
  W const size = std::abs(x.transport_cost) + a.template cast<W>().dot(x.f.cwiseAbs()) +
                 b.template cast<W>().dot(x.g.cwiseAbs());
  x.tight = at_rounding<S>(x.gap, size);
}

/// What a run that ended with `status` may say of its answer.
template <RealScalar W>
Status judged(Status status, ExactAnswer<W> const& x) {
  if (status != Status::converged) return status;
  if (!x.transported) return Status::infeasible;
  return x.tight ? status : Status::precision_limit;
}

/// Certifies the plan of a tree. Reads the cost once, twice if there are rows without mass.
template <CostOperator C>
class ExactCertificate {
 public:
  using S = scalar_t<C>;
  using W = wide_t<S>;

  explicit ExactCertificate(ExactProblem<C> const& problem) : problem_(problem) {}

  /// For potentials computed from the costs of the tree's arcs. `optimal`: no arc was violated.
  [[nodiscard]] ExactAnswer<W> of_tree(TransportTree<W> const& tree, VectorX<W> const& potential,
                                       bool optimal) const {
    ExactAnswer<W> x;
    measure_plan(tree, x);
    make_feasible(tree, potential, optimal && x.transported, x);
    measure_gap(tree, x);
    return x;
  }

  /// For a plan without potentials: f_i = the least cost of all, g_j = 0. No read of the cost.
  [[nodiscard]] ExactAnswer<W> of_plan(TransportTree<W> const& tree) const {
    ExactAnswer<W> x;
    measure_plan(tree, x);
    x.f = VectorX<W>::Constant(n(), problem_.lowest < none ? problem_.lowest : W(0));
    x.g = VectorX<W>::Zero(m());
    measure_gap(tree, x);
    return x;
  }

 private:
  static constexpr W none = ExactProblem<C>::none;

  [[nodiscard]] Index n() const { return problem_.n(); }
  [[nodiscard]] Index m() const { return problem_.m(); }

  void measure_plan(TransportTree<W> const& tree, ExactAnswer<W>& x) const {
    detail::measure_plan(carried(tree), problem_.a, problem_.b, problem_.mass, price(), x);
  }
  void measure_gap(TransportTree<W> const& tree, ExactAnswer<W>& x) const {
    detail::measure_gap(carried(tree), problem_.a, problem_.b, price(), x);
  }

  [[nodiscard]] auto price() const {
    return [this](Arc arc) { return problem_.price(arc); };
  }
  [[nodiscard]] auto carried(TransportTree<W> const& tree) const {
    return carried_by(tree, [this](Mass flow) { return problem_.weight(flow); });
  }

  /// f from the tree, g_j = min_i C_ij - f_i; rows without mass get the largest f that this allows.
  void make_feasible(TransportTree<W> const& tree, VectorX<W> const& potential, bool optimal,
                     ExactAnswer<W>& x) const {
    VectorX<S> scratch(segment_width);
    x.f = potential.head(n());
    x.g = potential.tail(m());
    if (optimal && tree.lacking_parts > 0) lower_lacking_parts(tree, scratch, x);
    for (Index j = 0; j < m(); ++j) {
      W const low = problem_.column_minimum(j, x.f.data(), scratch.data());
      x.g(j) = low < none ? low : W(0);
    }
    if (x.f.allFinite()) return;
    VectorX<W> least = VectorX<W>::Constant(n(), none);
    for (Index j = 0; j < m(); ++j) {
      for_each_segment(problem_.cost, j, scratch.data(), [&](Index first, Index count, S const* c) {
        auto part = least.segment(first, count).array();
        part = part.min(ConstArrayMap<S>(c, count).template cast<W>() - x.g(j));
      });
    }
    for (Index i = 0; i < n(); ++i) {
      if (x.f(i) == -none) x.f(i) = least(i) < none ? least(i) : W(0);
    }
  }

  /// Artificial arcs that carry no more than rounding left over still part the tree. The potentials
  /// of the lacking parts may fall together; they do until no arc out of them is violated.
  void lower_lacking_parts(TransportTree<W> const& tree, VectorX<S>& scratch,
                           ExactAnswer<W>& x) const {
    VectorX<W> lacking = x.f;
    for (Index i = 0; i < n(); ++i) {
      if (!tree.at(int(i)).lacking) lacking(i) = -none;
    }
    W fall = 0;
    for (Index j = 0; j < m(); ++j) {
      if (!problem_.has_column(j) || tree.at(int(n() + j)).lacking) continue;
      fall = std::max(fall, x.g(j) - problem_.column_minimum(j, lacking.data(), scratch.data()));
    }
    for (Index i = 0; i < n(); ++i) {
      if (tree.at(int(i)).lacking) x.f(i) -= fall;
    }
  }

  ExactProblem<C> const& problem_;
};

}  // namespace monge::ot::detail
