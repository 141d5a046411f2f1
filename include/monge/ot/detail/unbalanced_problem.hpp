// SPDX-License-Identifier: MIT
/// @file
/// The unbalanced entropic problem: checked input, the prices of mass, and the certificate.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <limits>
#include <string_view>

#include <monge/core/exp.hpp>
#include <monge/core/require.hpp>
#include <monge/core/simd.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/entropic_problem.hpp>
#include <monge/ot/detail/soft_transform.hpp>

namespace monge::ot::detail {

/// Points that are handled at once.
inline constexpr Index price_width = 256;

/// The penalty rho KL(. | weights); infinite: a constraint.
struct Price {
  double rho = infinity;

  [[nodiscard]] bool finite() const { return rho < infinity; }
  /// rho / (rho + epsilon).
  template <class Wide>
  [[nodiscard]] Wide damping(Wide epsilon) const {
    return finite() ? Wide(rho) / (Wide(rho) + epsilon) : Wide(1);
  }
  /// The share of its weight that a point with potential p keeps: exp(-p / rho).
  template <class Wide>
  [[nodiscard]] Wide kept(Wide p) const {
    return finite() ? std::exp(-p / Wide(rho)) : Wide(1);
  }
  /// rho (1 - exp(-p / rho)); p for a constraint.
  template <class Wide>
  [[nodiscard]] Wide conjugate(Wide p) const {
    return finite() ? -Wide(rho) * std::expm1(-p / Wide(rho)) : p;
  }
  /// Both, of price_width potentials; one that is infinite keeps nothing.
  template <class Wide>
  void both(std::array<Wide, price_width> const& p, std::array<Wide, price_width>& kept,
            std::array<Wide, price_width>& conjugate) const {
    if (!finite()) {
      for (std::size_t k = 0; k < p.size(); ++k) {
        kept[k] = std::isfinite(p[k]) ? Wide(1) : Wide(0);
        conjugate[k] = std::isfinite(p[k]) ? p[k] : Wide(0);
      }
      return;
    }
    for (std::size_t k = 0; k < p.size(); ++k) {
      kept[k] = std::isfinite(p[k]) ? -p[k] / Wide(rho) : -std::numeric_limits<Wide>::infinity();
    }
    for (std::size_t k = 0; k < p.size(); k += simd::lanes<Wide>) {
      simd::pack_t<Wide> const x = simd::load(kept.data() + k), e = exp_pack<Wide>(x);
      simd::store<Wide>(kept.data() + k, e);
      simd::store<Wide>(conjugate.data() + k, expm1_pack<Wide>(x, e) * Wide(-rho));
    }
  }
};

/// k of the file comment of sinkhorn_unbalanced.hpp: how far the side with the potentials q and
/// weights v is lowered while the other one becomes best for it, given that one's soft transform s.
template <RealScalar S>
wide_t<S> translation(wide_t<S> epsilon, Price own, VectorX<S> const& w, VectorX<S> const& s,
                      Price other, VectorX<S> const& v, VectorX<S> const& q) {
  using Wide = wide_t<S>;
  if (!own.finite() && !other.finite()) return 0;
  Wide const mine = own.finite() ? Wide(1) / (Wide(own.rho) + epsilon) : Wide(0);
  Wide const theirs = other.finite() ? Wide(1) / Wide(other.rho) : Wide(0);
  // Points without an allowed partner keep no mass, whatever the translation is.
  auto const share = [](S p, Wide rate) {
    if (std::isfinite(p)) return -Wide(p) * rate;
    return rate > 0 ? -std::numeric_limits<Wide>::infinity() : Wide(0);
  };
  Wide const kept = log_sum<S>(w, [&](Index i) { return share(s(i), mine); });
  Wide const wanted = log_sum<S>(v, [&](Index j) { return share(q(j), theirs); });
  Wide const k = (kept - wanted) / (mine + theirs);
  return std::isfinite(k) ? k : Wide(0);
}

template <RealScalar S>
struct UnbalancedAnswer {
  VectorX<S> f, g, rows, cols;
  wide_t<S> transport_cost = 0, transported_mass = 0, regularised_cost = 0, dual_value = 0;
  double marginal_error = infinity;
};

template <RealScalar S>
void check_unbalanced(std::string_view function, Shape cost, VectorX<S>& a, VectorX<S>& b,
                      double rho_a, double rho_b) {
  require(rho_a > 0, function, ": rho_a is ", rho_a, "; it must be positive, or infinite");
  require(rho_b > 0, function, ": rho_b is ", rho_b, "; it must be positive, or infinite");
  if (rho_a == infinity && rho_b == infinity) {
    balance<S>(function, cost, a, b);
    return;
  }
  check_sizes(function, cost, a, b);
  checked_mass<S>(function, "a", a);
  checked_mass<S>(function, "b", b);
}

/// What a read tells of the rows: the error relative to the mass of the plan, that mass over M, and
/// the dual over M.
struct UnbalancedRows {
  double error = infinity, moved = 0, value = 0;
};

template <RealScalar S>
struct UnbalancedProblem {
  using Wide = wide_t<S>;

  VectorX<S> a, b;
  Price price_a, price_b;
  Wide mass = 0;    // M
  VectorX<S> w, v;  // a/M and b/M; weights below the normal range are zero
  double epsilon = 0, tolerance = 0;
  double largest_cost = 0;
  bool feasible = true;               // of two constraints, as far as a look at the pairs can tell
  double highest_entropy = infinity;  // of a coupling, if there are two and pairs are forbidden
  Shape cost{};                       // for messages

  /// `transform`: a SoftTransform, or what stands in for it.
  template <class Transform, class Options>
  UnbalancedProblem(std::string_view function, Transform const& transform, VectorX<S> a_,
                    VectorX<S> b_, Options const& options)
      : a(std::move(a_)),
        b(std::move(b_)),
        price_a{options.rho_a},
        price_b{options.rho_b},
        cost(shape(transform.cost())) {
    check_unbalanced<S>(function, cost, a, b, options.rho_a, options.rho_b);
    mass = std::sqrt(a.template cast<Wide>().sum()) * std::sqrt(b.template cast<Wide>().sum());
    w = normalised(a, mass);
    v = normalised(b, mass);
    Strength const strength =
        strength_at<S>(function, transform.scale(function), options.epsilon, options.tolerance);
    epsilon = strength.epsilon;
    tolerance = strength.tolerance;
    largest_cost = strength.scale.largest;
    if (!price_a.finite() && !price_b.finite() && strength.scale.forbidden) {
      highest_entropy = entropy_of_couplings(w, v);
      if constexpr (!requires { transform.cost().axes(); }) {  // a grid has too many pairs
        double const rounding = 8 * double(n() + m()) * double(unit_roundoff<S>);
        feasible = unreachable_mass(transform.cost(), w, v) <= std::max(tolerance, rounding);
      }
    }
  }

  [[nodiscard]] Index n() const { return w.size(); }
  [[nodiscard]] Index m() const { return v.size(); }

  /// Rows without weight or without an allowed partner take no part.
  void switch_off(VectorX<S>& f) const {
    for (Index i = 0; i < f.size(); ++i) {
      if (!(w(i) > 0) || !(f(i) < std::numeric_limits<S>::infinity())) {
        f(i) = -std::numeric_limits<S>::infinity();
      }
    }
  }

  /// A constraint cannot be met by a weight without an allowed partner.
  [[nodiscard]] bool has_partners(VectorX<S> const& soft_g, VectorX<S> const& soft_f) const {
    auto const all = [](Price price, VectorX<S> const& weights, VectorX<S> const& soft) {
      if (price.finite()) return true;
      for (Index i = 0; i < weights.size(); ++i) {
        if (weights(i) > 0 && soft(i) == std::numeric_limits<S>::infinity()) return false;
      }
      return true;
    };
    return all(price_b, v, soft_g) && all(price_a, w, soft_f);
  }

  /// At (f, g) with g best for f: row i of the plan has the mass M w_i exp((f_i - s_i) / epsilon)
  /// for the soft transform s of g.
  [[nodiscard]] UnbalancedRows row_error(Wide at_epsilon, VectorX<S> const& f,
                                         VectorX<S> const& soft_f, VectorX<S> const& g) const {
    Wide error = 0, moved = 0, dual = 0;
    std::array<Wide, price_width> p, kept, conjugate, ratio;
    Wide const off = -std::numeric_limits<Wide>::infinity();
    for (Index first = 0; first < n(); first += price_width) {
      Index const count = std::min(price_width, n() - first);
      p.fill(0);
      for (Index k = 0; k < count; ++k) {
        Index const i = first + k;
        p[std::size_t(k)] = w(i) > 0 ? Wide(f(i)) : Wide(0);
        bool const on = w(i) > 0 && std::isfinite(f(i));
        ratio[std::size_t(k)] = on ? (Wide(f(i)) - Wide(soft_f(i))) / at_epsilon : off;
      }
      price_a.both(p, kept, conjugate);
      monge::exp(ratio.data(), ratio.data(), count);
      for (Index k = 0; k < count; ++k) {
        Wide const weight = Wide(w(first + k)), sum = weight * ratio[std::size_t(k)];
        moved += sum;
        error += std::abs(sum - weight * kept[std::size_t(k)]);
        dual += weight * conjugate[std::size_t(k)];
      }
    }
    for (Index first = 0; first < m(); first += price_width) {
      Index const count = std::min(price_width, m() - first);
      p.fill(0);
      for (Index k = 0; k < count; ++k) {
        p[std::size_t(k)] = v(first + k) > 0 ? Wide(g(first + k)) : Wide(0);
      }
      price_b.both(p, kept, conjugate);
      for (Index k = 0; k < count; ++k) dual += Wide(v(first + k)) * conjugate[std::size_t(k)];
    }
    return {error > 0 ? double(error / moved) : double(error), double(moved),
            double(dual - at_epsilon * (moved - 1))};
  }

  /// The size of dual values, for their rounding.
  [[nodiscard]] Wide scale() const {
    Wide const rho = std::min({Wide(price_a.rho), Wide(price_b.rho), Wide(largest_cost)});
    return Wide(largest_cost) + rho + Wide(epsilon);
  }

  /// The relative size that rounding alone gives the marginal error.
  [[nodiscard]] double rounding_floor(VectorX<S> const& f, VectorX<S> const& g) const {
    double most = 0;
    for (S const p : f) most = std::max(most, std::isfinite(p) ? double(std::abs(p)) : 0);
    for (S const p : g) most = std::max(most, std::isfinite(p) ? double(std::abs(p)) : 0);
    double const least_rho = std::min(price_a.rho, price_b.rho);
    return double(unit_roundoff<S>) * (1 + (largest_cost + 2 * most) / epsilon + most / least_rho);
  }

  /// Measures the plan of (f, g), fills in the potentials that take no part, and in the balanced
  /// case shifts to the gauge <a, f> = <b, g>.
  template <class Transform>
  [[nodiscard]] UnbalancedAnswer<S> answer(Transform const& transform, VectorX<S> f, VectorX<S> g,
                                           typename Transform::Workspace& space) const {
    Blur<S> const blur(epsilon);
    S const off = std::numeric_limits<S>::infinity();
    for (Index j = 0; j < m(); ++j) {
      if (!(v(j) > 0) || !(g(j) < off)) g(j) = -off;
    }
    if (!price_a.finite() && !price_b.finite()) {
      Wide shift = 0;
      for (Index j = 0; j < m(); ++j) shift += g(j) > -off ? Wide(v(j)) * Wide(g(j)) : Wide(0);
      for (Index i = 0; i < n(); ++i) shift -= f(i) > -off ? Wide(w(i)) * Wide(f(i)) : Wide(0);
      f.array() += S(shift / 2);
      g.array() -= S(shift / 2);
    }
    UnbalancedAnswer<S> x;
    measure(transform, blur, f, g, space, x);
    // Points that take no part: soft transforms where a partner is, else a potential that writes
    // the weight off.
    VectorX<S> soft_f = VectorX<S>::Zero(n()), soft_g = VectorX<S>::Zero(m());
    bool const all = (f.array() > -off).all() && (g.array() > -off).all();
    if (!all) {
      transform.rows(blur, (g.array() > -off).select(g.array(), S(0)).matrix(),
                     (g.array() > -off).select(v.array(), S(0)).matrix(), space, soft_f);
      transform.columns(blur, f, w, space, soft_g);
    }
    auto const fill = [&](VectorX<S>& p, VectorX<S> const& soft, Price price) {
      for (Index i = 0; i < p.size(); ++i) {
        if (p(i) > -off) continue;
        S const write_off = price.finite()
                                ? S(-2 * price.rho * std::log(std::numeric_limits<double>::min()))
                                : S(0);
        p(i) = std::isfinite(soft(i)) ? S(price.damping(Wide(epsilon))) * soft(i) : write_off;
      }
    };
    fill(f, soft_f, price_a);
    fill(g, soft_g, price_b);
    x.f = std::move(f);
    x.g = std::move(g);
    return x;
  }

 private:
  /// Both marginals, <C, P> and the values of primal and dual in one read of the cost.
  template <class Transform>
  void measure(Transform const& transform, Blur<S> blur, VectorX<S> const& f, VectorX<S> const& g,
               typename Transform::Workspace& space, UnbalancedAnswer<S>& x) const {
    VectorX<Wide> row(n()), column(m()), paid(m());
    transform.measure(blur, f, g, w, v, space, row, column, paid);
    x.rows.resize(n());
    x.cols.resize(m());
    Wide linear = 0, dual = 0, penalty = 0, error = 0, moved = 0, spent = 0;
    auto const side = [&](Price price, VectorX<S> const& weights, VectorX<S> const& p,
                          VectorX<Wide> const& ratio, VectorX<S>& sums) {
      for (Index i = 0; i < weights.size(); ++i) {
        Wide const weight = Wide(weights(i)), sum = weight > 0 ? weight * ratio(i) : Wide(0);
        sums(i) = S(mass * sum);
        if (!(weight > 0)) continue;
        bool const on = std::isfinite(p(i));
        if (on) linear += sum * Wide(p(i));
        dual += on               ? weight * price.conjugate(Wide(p(i)))
                : price.finite() ? weight * Wide(price.rho)
                                 : Wide(0);
        error +=
            std::abs(sum - (on || !price.finite() ? weight * (on ? price.kept(Wide(p(i))) : Wide(1))
                                                  : Wide(0)));
        if (price.finite()) {
          Wide const share = sum > 0 ? sum * std::log(ratio(i)) : Wide(0);
          penalty += Wide(price.rho) * (share - sum + weight);
        }
      }
    };
    side(price_a, w, f, row, x.rows);
    side(price_b, v, g, column, x.cols);
    for (Index j = 0; j < m(); ++j) {
      if (!(v(j) > 0)) continue;
      moved += Wide(v(j)) * column(j);
      spent += Wide(v(j)) * paid(j);
    }
    Wide const excess = Wide(epsilon) * (moved - 1);
    x.transport_cost = mass * spent;
    x.transported_mass = mass * moved;
    x.regularised_cost = mass * (linear - excess + penalty);
    x.dual_value = mass * (dual - excess);
    x.marginal_error = error > 0 ? double(error / moved) : 0;
  }
};

}  // namespace monge::ot::detail
