// SPDX-License-Identifier: MIT
/// @file
/// What a basis of the exact solver amounts to: feasible potentials, cost, marginals and gap,
/// recomputed from the cost.
#pragma once

#include <algorithm>
#include <cmath>

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
    VectorX<W> rows = VectorX<W>::Zero(n()), columns = VectorX<W>::Zero(m());
    x.transport_cost = 0;
    tree.for_each_flow([&](Arc arc, Mass flow) {
      W const weight = problem_.weight(flow);
      rows(arc.row) += weight;
      columns(arc.column) += weight;
      x.transport_cost += weight * problem_.price(arc);
    });
    x.marginal_error = double(((rows - problem_.a.template cast<W>()).cwiseAbs().sum() +
                               (columns - problem_.b.template cast<W>()).cwiseAbs().sum()) /
                              problem_.mass);
    x.transported = x.marginal_error <= 8 * W(n() + m()) * W(unit_roundoff<S>);
  }

  void measure_gap(TransportTree<W> const& tree, ExactAnswer<W>& x) const {
    if (!x.transported) return;
    x.gap = 0;
    tree.for_each_flow([&](Arc arc, Mass flow) {
      W const slack = problem_.price(arc) - x.f(arc.row) - x.g(arc.column);
      x.gap += problem_.weight(flow) * std::max(W(0), slack);
    });
    W const size = std::abs(x.transport_cost) + problem_.a.template cast<W>().dot(x.f.cwiseAbs()) +
                   problem_.b.template cast<W>().dot(x.g.cwiseAbs());
    x.tight = x.gap <= 64 * W(unit_roundoff<S>) * size;
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
