// SPDX-License-Identifier: MIT
/// @file
/// The monotone coupling of two sorted samples on the line, which is optimal for every cost
/// c(x - y) with convex c: the kernels behind wasserstein_1d and everything sliced.
///
/// Weights are integers, so that the walk along both samples is exact: equal weights are m for each
/// of n points and n for each of m points; general weights are counted in units of 2^-62 of the
/// mass (`integer_masses`). A walk passes n + m - 1 cells (i, j) of a staircase from (0, 0) to
/// (n - 1, m - 1); some of them carry nothing.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <monge/core/types.hpp>
#include <monge/ot/detail/integer_masses.hpp>

namespace monge::ot::detail {

/// c(z) = |z|, its slope, and c(z + h) - c(z) without cancellation.
struct FirstPower {
  template <RealScalar W>
  W operator()(W z) const {
    return std::abs(z);
  }
  template <RealScalar W>
  W slope(W z) const {
    return W((z > 0) - (z < 0));
  }
  template <RealScalar W>
  W rise(W z, W h) const {
    W const end = z + h;
    if ((z >= 0) == (end >= 0)) return z >= 0 ? h : -h;
    return std::abs(end) - std::abs(z);
  }
};

/// The same for c(z) = z^2.
struct SecondPower {
  template <RealScalar W>
  W operator()(W z) const {
    return z * z;
  }
  template <RealScalar W>
  W slope(W z) const {
    return 2 * z;
  }
  template <RealScalar W>
  W rise(W z, W h) const {
    return h * (2 * z + h);
  }
};

/// The same for c(z) = |z|^p with any p >= 1.
struct AnyPower {
  double p;

  template <RealScalar W>
  W operator()(W z) const {
    return std::pow(std::abs(z), W(p));
  }
  template <RealScalar W>
  W slope(W z) const {
    return z == 0 ? W(0) : std::copysign(W(p) * std::pow(std::abs(z), W(p - 1)), z);
  }
  template <RealScalar W>
  W rise(W z, W h) const {
    W const ratio = h / z;
    if (!(std::abs(ratio) < W(0.5))) return (*this)(z + h) - (*this)(z);
    return (*this)(z)*std::expm1(W(p) * std::log1p(ratio));
  }
};

/// body(c) with the cheapest functor for |z|^p.
template <class Body>
decltype(auto) with_power(double p, Body&& body) {
  if (p == 1) return body(FirstPower{});
  if (p == 2) return body(SecondPower{});
  return body(AnyPower{p});
}

/// Every point carries the same.
struct EqualMasses {
  Mass each;
  Mass operator()(Index) const { return each; }
};

/// The k-th point of the sorted sample is number order[k] of the caller's.
struct OrderedMasses {
  Mass const* mass;
  std::int32_t const* order;
  Mass operator()(Index k) const { return mass[order[k]]; }
};

/// Masses that lie in the order of the sorted points.
struct SortedMasses {
  Mass const* mass;
  Mass operator()(Index k) const { return mass[k]; }
};

/// visit(i, j, mass) for the n + m - 1 cells of the staircase; n, m >= 1. The masses of the sorted
/// points, a(i) and b(j), have equal sums.
template <class A, class B, class Visit>
void for_each_cell(Index n, A a, Index m, B b, Visit&& visit) {
  Index i = 0, j = 0;
  Mass left_a = a(0), left_b = b(0);
  for (;;) {
    Mass const mass = std::min(left_a, left_b);
    visit(i, j, mass);
    left_a -= mass;
    left_b -= mass;
    if (left_a == 0 && i + 1 < n) {
      left_a = a(++i);
    } else if (j + 1 < m) {
      left_b = b(++j);
    } else {
      return;
    }
  }
}

/// W_p^p between sorted x and y (n) of equal weights 1/n.
template <RealScalar S, class Power>
wide_t<S> matched_power(S const* x, S const* y, Index n, Power c) {
  constexpr Index block = 256;  // summed in S: short enough for float
  using Points = Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1> const>;
  wide_t<S> sum = 0;
  for (Index first = 0; first < n; first += block) {
    Index const count = std::min(block, n - first);
    Points const u(x + first, count), v(y + first, count);
    if constexpr (std::same_as<Power, SecondPower>) {
      sum += wide_t<S>((u - v).square().sum());
    } else if constexpr (std::same_as<Power, FirstPower>) {
      sum += wide_t<S>((u - v).abs().sum());
    } else {
      for (Index k = 0; k < count; ++k) sum += wide_t<S>(c(u(k) - v(k)));
    }
  }
  return sum / wide_t<S>(n);
}

/// gradient(order[k]) += weight c'(x_k - y_k) / n: the derivative of weight W_p^p with respect to
/// the points behind x, where x_k is number order[k] of the caller's.
template <RealScalar S, class Power>
void add_matched_gradient(S const* x, std::int32_t const* order, S const* y, Index n, Power c,
                          S weight, S* gradient) {
  S const each = weight / S(n);
  for (Index k = 0; k < n; ++k) gradient[order[k]] += each * c.slope(x[k] - y[k]);
}

/// W_p^p between sorted x (n) and y (m), pointers or what has the operator [], whose masses are
/// a(i) unit and b(j) unit. Which sample is the next to move on cannot be foreseen, so the walk has
/// no branch for it.
template <class X, class A, class Y, class B, class Power>
auto coupled_power(X x, Index n, A a, Y y, Index m, B b, Power c, double unit) {
  using W = wide_t<std::remove_cvref_t<decltype(x[0])>>;
  W sum = 0;
  Index i = 0, j = 0;
  Mass left_a = a(0), left_b = b(0);
  for (;;) {
    Mass const mass = std::min(left_a, left_b);
    sum += W(mass) * c(W(x[i]) - W(y[j]));
    left_a -= mass;
    left_b -= mass;
    Index const next_i = i + (left_a == 0), next_j = j + (left_b == 0);
    if (next_i == n || next_j == m) break;  // what is left of the other sample carries nothing
    Mass const next_a = a(next_i), next_b = b(next_j);
    left_a = next_i == i ? left_a : next_a;
    left_b = next_j == j ? left_b : next_b;
    i = next_i;
    j = next_j;
  }
  return sum * W(unit);
}

/// gradient(order[i]) += weight sum_j P_ij c'(x_i - y_j): the derivative of weight W_p^p with
/// respect to the points behind x. For those behind y swap the samples.
template <RealScalar S, class A, class B, class Power>
void add_coupled_gradient(S const* x, std::int32_t const* order, Index n, A a, S const* y, Index m,
                          B b, Power c, double unit, S weight, S* gradient) {
  using W = wide_t<S>;
  for_each_cell(n, a, m, b, [&](Index i, Index j, Mass mass) {
    gradient[order[i]] += S(W(weight) * W(unit) * W(mass) * c.slope(W(x[i]) - W(y[j])));
  });
}

/// W_p^p between sorted samples of equal weights, 1/n and 1/m.
template <RealScalar S, class Power>
wide_t<S> uniform_power(S const* x, Index n, S const* y, Index m, Power c) {
  if (n == m) return matched_power(x, y, n, c);
  return coupled_power(x, n, EqualMasses{m}, y, m, EqualMasses{n}, c, 1 / (double(n) * double(m)));
}

/// Its gradient with respect to the points behind x, times weight, added.
template <RealScalar S, class Power>
void add_uniform_gradient(S const* x, std::int32_t const* order, Index n, S const* y, Index m,
                          Power c, S weight, S* gradient) {
  if (n == m) {
    add_matched_gradient(x, order, y, n, c, weight, gradient);
  } else {
    add_coupled_gradient(x, order, n, EqualMasses{m}, y, m, EqualMasses{n}, c,
                         1 / (double(n) * double(m)), weight, gradient);
  }
}

}  // namespace monge::ot::detail
