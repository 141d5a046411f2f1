// SPDX-License-Identifier: MIT
/// @file
/// The coupling behind entropic potentials: formed, applied without forming it, or summed.
///
/// P_ij = (a_i b_j / M) exp((f_i + g_j - C_ij) / epsilon), M = sqrt(sum a * sum b), for the cost
/// that the potentials were computed with. Every function here reads the cost once, n m
/// exponentials, and needs O(n) memory beyond its result.
#pragma once

#include <cmath>
#include <concepts>
#include <utility>

#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/entropic_pass.hpp>

namespace monge::ot {

/// The result of any entropic solver: potentials f (n), g (m), the marginals a (n), b (m) that were
/// used, and epsilon.
template <class R>
concept EntropicSolution = requires(R const& r) {
  { r.epsilon } -> std::convertible_to<double>;
  requires VectorExpr<decltype(r.f)>;
  requires VectorLike<decltype(r.g), decltype(r.f)>;
  requires VectorLike<decltype(r.a), decltype(r.f)>;
  requires VectorLike<decltype(r.b), decltype(r.f)>;
};

namespace detail {

/// The plan of a solution, column by column.
template <CostOperator C>
class PlanColumns {
 public:
  using S = scalar_t<C>;

  template <EntropicSolution R>
  PlanColumns(C const& cost, R const& r)
      : cost_(cost),
        f_(r.f),
        g_(r.g),
        w_(r.a),
        v_(r.b / mass(r)),
        inverse_epsilon_(S(1 / r.epsilon)),
        scratch_(segment_width) {
    require(cost.rows() == f_.size() && cost.cols() == g_.size(), "entropic plan: cost is ",
            shape(cost), " but the solution has ", f_.size(), " and ", g_.size(),
            " potentials; pass the cost that was solved");
    require(r.epsilon > 0 && w_.size() == f_.size() && v_.size() == g_.size(),
            "entropic plan: the solution is empty; run the solver first");
    // Rows without mass must not overflow: their potential is arbitrary.
    for (Index i = 0; i < f_.size(); ++i) {
      if (!(w_(i) >= std::numeric_limits<S>::min())) f_(i) = -std::numeric_limits<S>::infinity();
    }
  }

  [[nodiscard]] Index rows() const { return f_.size(); }
  [[nodiscard]] Index cols() const { return g_.size(); }
  CostOperator auto const& cost() const { return cost_; }

  /// visit(first, count, p, c): a segment of column j of the plan and of the cost.
  template <class Visit>
  void segments(Index j, Visit&& visit) {
    S entries[segment_width];
    for_each_segment(cost_, j, scratch_.data(), [&](Index first, Index count, S const* c) {
      exponentials(f_.data() + first, g_(j), c, inverse_epsilon_, w_.data() + first, entries,
                   count);
      ArrayMap<S> p(entries, count);
      p = p * w_.segment(first, count).array() * v_(j);
      visit(first, count, entries, c);
    });
  }

  /// Column j of the plan into p (n).
  void column(Index j, Eigen::Ref<VectorX<S>> p) {
    if (!(v_(j) > 0)) {
      p.setZero();
      return;
    }
    segments(j, [&](Index first, Index count, S const* entries, S const*) {
      p.segment(first, count) = ConstArrayMap<S>(entries, count).matrix();
    });
  }

 private:
  template <EntropicSolution R>
  static S mass(R const& r) {
    using Wide = wide_t<S>;
    return S(std::sqrt(r.a.template cast<Wide>().sum()) *
             std::sqrt(r.b.template cast<Wide>().sum()));
  }

  C const& cost_;
  VectorX<S> f_, g_, w_, v_;
  S inverse_epsilon_;
  VectorX<S> scratch_;
};

template <Cost C, EntropicSolution R, class Body>
decltype(auto) with_plan(C const& cost, R const& r, Body&& body) {
  return with_cost(cost, [&](auto const& bound) {
    PlanColumns<std::remove_cvref_t<decltype(bound)>> columns(bound, r);
    return body(columns);
  });
}

}  // namespace detail

/// The n x m coupling P. O(n m) memory: `apply`, `marginals` and `barycentric_map` do without it.
template <Cost C, EntropicSolution R>
[[nodiscard]] MatrixX<scalar_t<C>> plan(C const& cost, R const& r) {
  return detail::with_plan(cost, r, [](auto& columns) {
    MatrixX<scalar_t<C>> P(columns.rows(), columns.cols());
    for (Index j = 0; j < P.cols(); ++j) {
      columns.column(j, P.col(j));
    }
    return P;
  });
}

/// P V (n x k) for V (m x k), without forming P.
template <Cost C, EntropicSolution R, MatrixLike<C> V>
[[nodiscard]] MatrixX<scalar_t<C>> apply(C const& cost, R const& r, V const& values) {
  using S = scalar_t<C>;
  MatrixX<S> const bound = values;
  return detail::with_plan(cost, r, [&](auto& columns) {
    detail::require(bound.rows() == columns.cols(), "apply: the plan is ",
                    detail::Shape{columns.rows(), columns.cols()}, " but the values have ",
                    bound.rows(), " rows; they need one per column of the plan");
    VectorX<S> p(columns.rows());
    MatrixX<S> result = MatrixX<S>::Zero(columns.rows(), bound.cols());
    for (Index j = 0; j < columns.cols(); ++j) {
      columns.column(j, p);
      result.noalias() += p * bound.row(j);
    }
    return result;
  });
}

/// P' U (m x k) for U (n x k), without forming P.
template <Cost C, EntropicSolution R, MatrixLike<C> U>
[[nodiscard]] MatrixX<scalar_t<C>> apply_transpose(C const& cost, R const& r, U const& values) {
  using S = scalar_t<C>;
  MatrixX<S> const bound = values;
  return detail::with_plan(cost, r, [&](auto& columns) {
    detail::require(bound.rows() == columns.rows(), "apply_transpose: the plan is ",
                    detail::Shape{columns.rows(), columns.cols()}, " but the values have ",
                    bound.rows(), " rows; they need one per row of the plan");
    VectorX<S> p(columns.rows());
    MatrixX<S> result(columns.cols(), bound.cols());
    for (Index j = 0; j < columns.cols(); ++j) {
      columns.column(j, p);
      result.row(j).noalias() = p.transpose() * bound;
    }
    return result;
  });
}

/// The marginals of a coupling.
template <RealScalar S>
struct Marginals {
  VectorX<S> rows;  ///< n: P 1
  VectorX<S> cols;  ///< m: P' 1
};

/// P 1 and P' 1, without forming P; summed in wide_t.
template <Cost C, EntropicSolution R>
[[nodiscard]] Marginals<scalar_t<C>> marginals(C const& cost, R const& r) {
  using S = scalar_t<C>;
  using Wide = wide_t<S>;
  return detail::with_plan(cost, r, [](auto& columns) {
    VectorX<S> p(columns.rows());
    VectorX<Wide> rows = VectorX<Wide>::Zero(columns.rows());
    VectorX<Wide> cols(columns.cols());
    for (Index j = 0; j < columns.cols(); ++j) {
      columns.column(j, p);
      rows += p.template cast<Wide>();
      cols(j) = p.template cast<Wide>().sum();
    }
    return Marginals<S>{rows.template cast<S>(), cols.template cast<S>()};
  });
}

}  // namespace monge::ot
