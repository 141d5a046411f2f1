// SPDX-License-Identifier: MIT
/// @file
/// The three solves behind a Sinkhorn divergence, and what is made of them. Options and Result are
/// those of sinkhorn_divergence.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/entropic_pass.hpp>
#include <monge/ot/detail/self_potential.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_unbalanced.hpp>

namespace monge::ot::detail {

/// From the best to the worst end.
inline Status worse(Status x, Status y) {
  auto const rank = [](Status status) {
    switch (status) {
      case Status::converged:
        return 0;
      case Status::precision_limit:
        return 1;
      case Status::iteration_limit:
        return 2;
      case Status::time_limit:
        return 3;
      case Status::infeasible:
        return 5;
      case Status::non_finite:
        return 6;
      default:
        return 4;
    }
  };
  return rank(x) < rank(y) ? y : x;
}

/// What the three solves share.
template <class Result, class Options>
struct Divergence {
  using Part = decltype(Result::cross);
  using S = scalar_t<decltype(Part::f)>;

  Options options;
  Deadline deadline;

  explicit Divergence(Options options_)
      : options(std::move(options_)), deadline(options.max_seconds) {}

  [[nodiscard]] bool balanced() const { return options.rho == infinity; }
  [[nodiscard]] double kernel_bytes(Index n, Index m) const {
    double const whole = double(n) * double(m) * double(sizeof(S));
    return options.kernel_bytes.value_or(std::min(whole, 256.0 * 1024 * 1024));
  }

  /// OT between a and b. `start` may be empty.
  template <CostOperator C>
  [[nodiscard]] Part transport(C const& cost, VectorX<S> const& a, VectorX<S> const& b,
                               Potentials<S> const& start) const {
    using Wide = wide_t<S>;
    Part part;
    auto const copy = [&](auto const& r, VectorX<S> const& f, VectorX<S> const& g) {
      part.f = f;
      part.g = g;
      part.a = r.a;
      part.b = r.b;
      part.epsilon = r.epsilon;
      part.transport_cost = r.transport_cost;
      part.regularised_cost = r.regularised_cost;
      part.dual_value = r.dual_value;
      part.marginal_error = r.marginal_error;
      part.status = r.status;
      part.iterations = r.iterations;
    };
    if (balanced()) {
      SinkhornOptions inner{.epsilon = options.epsilon,
                            .tolerance = options.tolerance,
                            .max_iterations = options.max_iterations,
                            .max_seconds = deadline.remaining()};
      inner.kernel_bytes = kernel_bytes(a.size(), b.size());
      inner.parallel = options.parallel;
      auto const r = sinkhorn(cost, a, b, inner, start);
      copy(r, r.f, r.g);
      part.transported_mass = r.a.template cast<Wide>().sum();
      return part;
    }
    SinkhornUnbalancedOptions inner{.epsilon = options.epsilon,
                                    .rho_a = options.rho,
                                    .rho_b = options.rho,
                                    .tolerance = options.tolerance,
                                    .max_iterations = options.max_iterations,
                                    .max_seconds = deadline.remaining()};
    inner.parallel = options.parallel;
    if (!options.product_reference) {
      auto const r = sinkhorn_unbalanced(cost, a, b, inner, start);
      copy(r, r.f, r.g);
      part.transported_mass = r.transported_mass;
      return part;
    }
    // KL(P | a b') = KL(P | Q) - sum P log M - M + m_a m_b: another cost, and a constant. The
    // potentials of that cost belong to P = a b' exp(...); half of epsilon log M is added to each,
    // so that they make the plan of the given cost in our convention.
    Wide const m_a = a.template cast<Wide>().sum(), m_b = b.template cast<Wide>().sum();
    Wide const M = std::sqrt(m_a) * std::sqrt(m_b), epsilon = Wide(*options.epsilon);
    S const half = S(epsilon * std::log(M) / 2);
    Potentials<S> const from =
        start.f.size() == 0
            ? start
            : Potentials<S>{(start.f.array() - half).matrix(), (start.g.array() - half).matrix()};
    ErasedCost<S> const shifted(cost, -2 * half);
    auto const r = sinkhorn_unbalanced(shifted, a, b, inner, from);
    copy(r, (r.f.array() + half).matrix(), (r.g.array() + half).matrix());
    Wide const constant = epsilon * (m_a * m_b - M);
    part.transport_cost += 2 * Wide(half) * r.transported_mass;
    part.regularised_cost += constant;
    part.dual_value += constant;
    part.transported_mass = r.transported_mass;
    return part;
  }

  /// OT between a and itself: the symmetric iteration, then transport() from where it ended, which
  /// certifies it or, if the cost was unfit for it, goes on.
  template <CostOperator C>
  [[nodiscard]] Part self(C const& cost, VectorX<S> const& a, VectorX<S> const& start) const {
    using Wide = wide_t<S>;
    constexpr Index patience = 200;  // ten times what a fit cost takes
    Wide const mass = a.template cast<Wide>().sum();
    S const half = balanced() || !options.product_reference
                       ? S(0)
                       : S(Wide(*options.epsilon) * std::log(mass) / 2);
    SelfPotential<S> const method(ErasedCost<S>(cost, -2 * half), normalised(a, mass),
                                  *options.epsilon, options.rho, 0.5 * *options.tolerance,
                                  kernel_bytes(a.size(), a.size()), options.parallel,
                                  start.size() > 0 ? VectorX<S>(start.array() - half) : start);
    auto const run =
        iterate(method, {std::min(patience, options.max_iterations), deadline.remaining(), 1});
    VectorX<S> f = run.state.f;
    S const damping = S(Price{options.rho}.damping(Wide(*options.epsilon)));
    for (Index i = 0; i < f.size(); ++i) {
      if (!std::isfinite(f(i))) f(i) = damping * run.state.soft(i);
      f(i) = std::isfinite(f(i)) ? f(i) + half : S(0);
    }
    Part part = transport(cost, a, a, {f, f});
    part.iterations += run.statistics.iterations;
    return part;
  }

  /// The potentials of the self terms if they almost solve the cross term, as they do if the
  /// measures are close (exactly so if they are equal): judged by up to 32 of its columns.
  template <CostOperator C>
  [[nodiscard]] Potentials<S> from_self_terms(C const& cost, Part const& self_a,
                                              Part const& self_b) const {
    using Wide = wide_t<S>;
    if (!self_a.f.allFinite() || !self_b.g.allFinite()) return {};
    Blur<S> const at(*options.epsilon);
    Wide const m_a = self_a.a.template cast<Wide>().sum(),
               m_b = self_b.a.template cast<Wide>().sum();
    Wide const M = std::sqrt(m_a) * std::sqrt(m_b);
    // Of the reference a b': what the parts' potentials have beyond it, see transport().
    bool const product = options.product_reference && !balanced();
    Wide const half = product ? at.epsilon * std::log(M) / 2 : Wide(0);
    S const shift = product ? S(at.epsilon * (std::log(m_b) - std::log(m_a)) / 4) : S(0);
    Potentials<S> const from{(self_a.f.array() + shift).matrix(),
                             (self_b.g.array() - shift).matrix()};
    VectorX<S> const w = normalised(self_a.a, M);
    VectorX<S> f = from.f, e(f.size()), scratch(segment_width);
    for (Index i = 0; i < f.size(); ++i) {
      if (!(w(i) > 0)) f(i) = -std::numeric_limits<S>::infinity();
    }
    Wide const damping = Price{options.rho}.damping(at.epsilon);
    Index const stride = std::max<Index>(1, cost.cols() / 32);
    for (Index j = 0; j < cost.cols(); j += stride) {
      if (!(self_b.a(j) > 0)) continue;
      S const hard = hard_column(cost, f, j, scratch.data());
      Wide const sum = column_sum(cost, at, f, w, hard, j, e.data(), scratch.data());
      Wide const soft = Wide(hard) - at.epsilon * std::log(sum);
      Wide const gap = damping * (soft - half) - (Wide(from.g(j)) - half);
      if (!(std::abs(gap) <= at.epsilon)) return {};
    }
    return from;
  }

  template <CostOperator Cxy, CostOperator Cxx, CostOperator Cyy>
  [[nodiscard]] Result solve(Cxy const& xy, Cxx const& xx, Cyy const& yy, VectorX<S> const& a,
                             VectorX<S> const& b, Result const& start) const {
    using Wide = wide_t<S>;
    Result r;
    r.rho = options.rho;
    r.product_reference = options.product_reference && !balanced();
    r.tolerance = *options.tolerance;
    r.self_a = self(xx, a, start.self_a.f);
    r.self_b = self(yy, b, start.self_b.f);
    Potentials<S> from{start.cross.f, start.cross.g};
    if (from.f.size() == 0) from = from_self_terms(xy, r.self_a, r.self_b);
    r.cross = transport(xy, a, b, from);
    r.value = r.cross.dual_value - r.self_a.dual_value / 2 - r.self_b.dual_value / 2;
    if (!balanced()) {
      Wide const m_a = a.template cast<Wide>().sum(), m_b = b.template cast<Wide>().sum();
      Wide const gap = options.product_reference ? m_a - m_b : std::sqrt(m_a) - std::sqrt(m_b);
      r.value += Wide(*options.epsilon) / 2 * gap * gap;
    }
    r.status = worse(worse(r.cross.status, r.self_a.status), r.self_b.status);
    r.marginal_error =
        std::max({r.cross.marginal_error, r.self_a.marginal_error, r.self_b.marginal_error});
    r.iterations = r.cross.iterations + r.self_a.iterations + r.self_b.iterations;
    r.seconds = deadline.elapsed();
    return certified(std::move(r));
  }
};

/// Refuses costs between the points of one set that depend on their order. Looks at the first few.
template <CostOperator C>
void check_symmetric(std::string_view function, std::string_view name, C const& cost, Index most) {
  using S = scalar_t<C>;
  Index const n = std::min(most, cost.rows());
  MatrixX<S> part(n, n);
  VectorX<S> scratch(segment_width);
  for (Index j = 0; j < n; ++j) {
    for (Index first = 0; first < n; first += segment_width) {
      Index const count = std::min(segment_width, n - first);
      S const* const c = cost.column_segment(j, first, count, scratch.data());
      std::copy_n(c, count, part.col(j).data() + first);
    }
  }
  S const scale = part.array().isFinite().select(part.array().abs(), S(0)).maxCoeff();
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < j; ++i) {
      require(part(i, j) == part(j, i) ||
                  std::abs(part(i, j) - part(j, i)) <= 64 * unit_roundoff<S> * scale,
              function, ": the cost between ", name, " ", i, " and ", j, " is ", part(i, j),
              " in one order and ", part(j, i), " in the other; it must be symmetric");
    }
  }
}

}  // namespace monge::ot::detail
