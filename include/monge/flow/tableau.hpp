// SPDX-License-Identifier: MIT
/// @file
/// Explicit Runge-Kutta methods as data, proved correct while they compile.
///
/// A method with s stages takes x(t) to x(t + h) by
///
///     k_i = v(t + c_i h, x + h sum_{j < i} a_ij k_j),   i = 1..s
///     x(t + h) = x + h sum_i b_i k_i
///
/// and, if it has an error row, estimates its local error by h sum_i error_i k_i. It is written as
/// a struct of static constexpr data, which may be the user's own:
///
///     struct heun {
///       static constexpr int stages = 2, order = 2, embedded_order = 1;
///       static constexpr double a[2][2] = {{}, {1}};     // strictly lower triangular
///       static constexpr double b[2] = {1. / 2, 1. / 2};
///       static constexpr double c[2] = {0, 1};
///       static constexpr double error[2] = {-1. / 2, 1. / 2};  // optional: b minus embedded b
///     };
///
/// The concept Tableau checks the row sums, the sum of the weights, the order conditions of the
/// method, of its error row and of its interpolant, so a mistyped coefficient does not compile.
/// Conditions are checked up to order 5 (17 rooted trees); a higher declared order is trusted
/// beyond that.
///
/// Source: Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, 2nd ed., Springer
/// 1993: order conditions II.2 Theorem 2.13 and Table 2.2, continuous extensions II.6.
#pragma once

#include <array>
#include <concepts>

namespace monge::flow {

namespace detail {

template <class T>
concept TableauData = requires {
  { T::stages } -> std::convertible_to<int>;
  { T::order } -> std::convertible_to<int>;
  { T::a[0][0] } -> std::convertible_to<double>;
  { T::b[0] } -> std::convertible_to<double>;
  { T::c[0] } -> std::convertible_to<double>;
};

constexpr double distance(double p, double q) { return p < q ? q - p : p - q; }

// The digits that a proof asks for: published decimal coefficients carry 15 to 16.
constexpr bool close(double value, double wanted, double scale) {
  return distance(value, wanted) <= 1e-12 * (1 + scale);
}

template <class T>
using row_t = std::array<double, T::stages>;

template <class T>
consteval row_t<T> row(double const (&values)[T::stages]) {
  row_t<T> copy{};
  for (int i = 0; i < T::stages; ++i) copy[i] = values[i];
  return copy;
}

template <class T>
consteval double sum(row_t<T> const& values) {
  double total = 0;
  for (double value : values) total += value;
  return total;
}

/// a_ij = 0 unless j < i, and the arrays have the declared size.
template <class T>
consteval bool is_explicit() {
  if (sizeof T::a != sizeof(double) * T::stages * T::stages) return false;
  if (sizeof T::b != sizeof(double) * T::stages) return false;
  if (sizeof T::c != sizeof(double) * T::stages) return false;
  for (int i = 0; i < T::stages; ++i) {
    for (int j = i; j < T::stages; ++j) {
      if (T::a[i][j] != 0) return false;
    }
  }
  return true;
}

/// sum_j a_ij = c_i, which the order conditions below take for granted.
template <class T>
consteval bool rows_sum_to_c() {
  for (int i = 0; i < T::stages; ++i) {
    if (!close(sum<T>(row<T>(T::a[i])), T::c[i], 1)) return false;
  }
  return true;
}

/// Do the weights w integrate every rooted tree up to `order` to the fraction theta of a step,
/// sum_i w_i Phi_i = theta^nodes / density? theta = 1 is the end of the step, between 0 and 1 an
/// interpolant, and 0 an error row, which has to vanish.
template <class T>
consteval bool fulfils_order(row_t<T> const& w, int order, double theta) {
  using Row = row_t<T>;
  auto const a = [](Row const& v) {
    Row product{};
    for (int i = 0; i < T::stages; ++i) {
      for (int j = 0; j < i; ++j) product[i] += T::a[i][j] * v[j];
    }
    return product;
  };
  auto const times = [](Row const& u, Row const& v) {
    Row product{};
    for (int i = 0; i < T::stages; ++i) product[i] = u[i] * v[i];
    return product;
  };
  auto const holds = [&](Row const& phi, int nodes, double density) {
    double wanted = 1 / density, value = 0, size = 0;
    for (int i = 0; i < nodes; ++i) wanted *= theta;
    for (int i = 0; i < T::stages; ++i) {
      value += w[i] * phi[i];
      size += distance(w[i] * phi[i], 0);
    }
    return close(value, wanted, size);
  };
  Row one{};
  one.fill(1);
  Row const c = row<T>(T::c), ac = a(c), cc = times(c, c), acc = a(cc), aac = a(ac);
  if (order >= 1 && !holds(one, 1, 1)) return false;
  if (order >= 2 && !holds(c, 2, 2)) return false;
  if (order >= 3 && !(holds(cc, 3, 3) && holds(ac, 3, 6))) return false;
  if (order >= 4 && !(holds(times(c, cc), 4, 4) && holds(times(c, ac), 4, 8) && holds(acc, 4, 12) &&
                      holds(aac, 4, 24))) {
    return false;
  }
  return order < 5 ||
         (holds(times(cc, cc), 5, 5) && holds(times(cc, ac), 5, 10) &&
          holds(times(c, acc), 5, 15) && holds(times(c, aac), 5, 30) &&
          holds(times(ac, ac), 5, 20) && holds(a(times(c, cc)), 5, 20) &&
          holds(a(times(c, ac)), 5, 40) && holds(a(acc), 5, 60) && holds(a(aac), 5, 120));
}

template <class T>
consteval bool has_its_order() {
  return T::order >= 1 && fulfils_order<T>(row<T>(T::b), T::order, 1);
}

}  // namespace detail

/// The method estimates its local error, so that it can adapt its step.
template <class T>
concept EmbeddedTableau = requires {
  { T::error[0] } -> std::convertible_to<double>;
  { T::embedded_order } -> std::convertible_to<int>;
};

/// The method has a continuous extension of its own: cubic Hermite interpolation plus
/// theta^2 (1 - theta)^2 h sum_i interpolant_i k_i. All others interpolate by cubic Hermite alone.
template <class T>
concept InterpolatingTableau = requires {
  { T::interpolant[0] } -> std::convertible_to<double>;
  { T::interpolant_order } -> std::convertible_to<int>;
};

namespace detail {

/// First same as last: the last stage is the derivative at the end of the step, which the next
/// step begins with, so that an accepted step costs stages - 1 evaluations.
template <class T>
consteval bool first_same_as_last() {
  for (int j = 0; j < T::stages; ++j) {
    if (T::a[T::stages - 1][j] != T::b[j]) return false;
  }
  return T::stages > 1 && T::c[T::stages - 1] == 1;
}

template <class T>
consteval bool error_row_has_its_order() {
  if constexpr (EmbeddedTableau<T>) {
    return T::embedded_order >= 1 && fulfils_order<T>(row<T>(T::error), T::embedded_order, 0);
  } else {
    return true;
  }
}

/// Cubic Hermite weights of x0 + (3 theta^2 - 2 theta^3) (x1 - x0) + h (at_start v0 + at_end v1).
struct Hermite {
  double end, slope_at_start, slope_at_end, bump;  // bump = theta^2 (1 - theta)^2

  constexpr explicit Hermite(double theta)
      : end(theta * theta * (3 - 2 * theta)),
        slope_at_start(theta * (1 - theta) * (1 - theta)),
        slope_at_end(theta * theta * (theta - 1)),
        bump(theta * theta * (1 - theta) * (1 - theta)) {}
};

/// The interpolant has degree four in theta and is right at both ends, so three points prove it.
template <class T>
consteval bool interpolant_has_its_order() {
  if constexpr (InterpolatingTableau<T>) {
    if (!first_same_as_last<T>()) return false;
    for (double theta : {0.25, 0.5, 0.75}) {
      Hermite const hermite(theta);
      row_t<T> w{};
      for (int i = 0; i < T::stages; ++i) {
        w[i] = hermite.end * T::b[i] + hermite.bump * T::interpolant[i];
      }
      w[0] += hermite.slope_at_start;
      w[T::stages - 1] += hermite.slope_at_end;
      if (!fulfils_order<T>(w, T::interpolant_order, theta)) return false;
    }
  }
  return true;
}

}  // namespace detail

/// Data that describe an explicit Runge-Kutta method of the order that they declare. The compiler's
/// message on a refused tableau names the condition that does not hold.
template <class T>
concept Tableau = detail::TableauData<T> && detail::is_explicit<T>() &&
                  detail::rows_sum_to_c<T>() && detail::has_its_order<T>() &&
                  detail::error_row_has_its_order<T>() && detail::interpolant_has_its_order<T>();

}  // namespace monge::flow
