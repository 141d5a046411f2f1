// SPDX-License-Identifier: MIT
/// @file
/// The monotone coupling of two sorted samples on a circle: the kernels behind wasserstein_circle
/// and sliced distances on the sphere.
///
/// Cut open at a point, the circle is a line on which the sample y goes on as y + period, y + 2
/// period..., and an optimal coupling is the monotone one of x with y, shifted by some mass s:
///
///     C(s) = int |F^-1(t) - G^-1(t + s)|^p dt,    W_p^p = min over s in [-mass, mass] of C(s).
///
/// C is convex, and for samples it is piecewise linear with a kink wherever a step of F meets one
/// of G. Masses are integers, hence so are the kinks: the least point of C is found exactly, as the
/// first kink from which C does not fall, by secant and bisection steps on the slope. A slope costs
/// one walk over both samples; it also tells how far the kinks to both sides are. For p = 1,
/// C(s) = int |F - G + s|, whose least point is a weighted median of G - F.
///
/// Source: J. Delon, J. Salomon, A. Sobolevski, Fast transport optimization for Monge costs on the
/// circle, SIAM Journal on Applied Mathematics 70 (2010) 2239-2258; they bisect s to a tolerance.
/// p = 1: J. Rabin, J. Delon, Y. Gousseau, Transportation distances on the circle, Journal of
/// Mathematical Imaging and Vision 41 (2011) 147-167.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <monge/ot/detail/quantile_coupling.hpp>

namespace monge::ot::detail {

/// What searches on the circle reuse; grows to the largest input seen.
template <RealScalar S>
struct CircleScratch {
  struct Level {
    Mass value;
    S length;
  };
  VectorX<S> lifted;          ///< y - period, y, y + period and the first point once more
  std::vector<Level> levels;  ///< G - F between neighbouring points

  /// The address of the copy of y(0) that is not moved; lifted(-m) .. lifted(2 m) may be read.
  S const* lift(S const* y, Index m, S period) {
    if (lifted.size() < 3 * m + 1) lifted.resize(3 * m + 1);
    for (Index j = 0; j < m; ++j) {
      lifted(j) = y[j] - period;
      lifted(m + j) = y[j];
      lifted(2 * m + j) = y[j] + period;
    }
    lifted(3 * m) = y[0] + 2 * period;
    return lifted.data() + m;
  }
};

/// Where C stops falling, and its value there.
template <RealScalar S>
struct CircleMinimum {
  Mass shift = 0;
  wide_t<S> power = 0;
};

/// The slopes of C on both sides of s and the distance to the next kink on either side.
template <class W>
struct CircleSlope {
  W left = 0, right = 0;
  Mass to_left = 1, to_right = 1;
};

/// The least point of a convex function on the integers of [low, high], given its slopes, of which
/// the left one at `low` is at most 0 and the right one at `high` at least 0. Secant steps on the
/// slope, with a bisection whenever two of them have not halved the interval.
template <class W, class Slope>
Mass least_point(Mass low, Mass high, Slope&& slope) {
  W slope_low = 0, slope_high = 0;  // 0 = not known
  Mass probe = std::clamp(Mass(0), low, high);
  std::uint64_t const whole = std::uint64_t(high) - std::uint64_t(low);
  std::uint64_t width = whole, reach = whole / 32 + 1;
  bool fell = true;
  for (int step = 1; low < high; ++step) {
    CircleSlope<W> const here = slope(probe);
    if (here.left <= 0 && here.right >= 0) return probe;
    bool const falls = here.right < 0;
    if (falls) {
      low = std::min(high, probe + here.to_right);
      slope_low = here.right;
      if (fell && step > 1) slope_high /= 2;  // Illinois: an end that stays yields
    } else {
      high = std::max(low, probe - here.to_left);
      slope_high = here.left;
      if (!fell) slope_low /= 2;
    }
    fell = falls;
    std::uint64_t const left = std::uint64_t(high) - std::uint64_t(low);
    if (slope_low == 0 || slope_high == 0) {  // one side is open: go on from the other
      probe = left <= reach ? low + Mass(left / 2)
                            : (slope_low == 0 ? high - Mass(reach) : low + Mass(reach));
      reach *= 4;
    } else if (step % 3 == 0 && left > width / 4) {
      probe = low + Mass(left / 2);
    } else {
      W const share = -slope_low / (slope_high - slope_low);
      probe = low + Mass(W(left) * std::clamp(share, W(0), W(1)));
      probe = std::clamp(probe, low, high);
    }
    if (step % 3 == 0) width = left;
  }
  return low;
}

/// sum_i c(x_i - y_{i + 1}) - c(x_i - y_i); reads n + 1 points of y.
template <RealScalar S, class Power>
wide_t<S> matched_rise(S const* x, S const* y, Index n, Power c) {
  constexpr Index block = 256;  // summed in S: short enough for float
  using Points = Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1> const>;
  wide_t<S> sum = 0;
  for (Index first = 0; first < n; first += block) {
    Index const count = std::min(block, n - first);
    Points const u(x + first, count), v(y + first, count), w(y + first + 1, count);
    if constexpr (std::same_as<Power, SecondPower>) {
      sum += wide_t<S>(((v - w) * ((u - v) + (u - w))).sum());
    } else if constexpr (std::same_as<Power, FirstPower>) {
      sum += wide_t<S>(((u - w).abs() - (u - v).abs()).sum());
    } else {
      for (Index k = 0; k < count; ++k) sum += wide_t<S>(c.rise(u(k) - v(k), v(k) - w(k)));
    }
  }
  return sum;
}

/// W_p^p on a circle between sorted x and y (n) in [0, period) of equal weights 1/n, and the shift:
/// x_i goes with y_{i + shift}, in units of 1/n. O(n log n) at worst, without allocation once the
/// scratch has seen n.
template <RealScalar S, class Power>
CircleMinimum<S> circle_matched(S const* x, S const* y, Index n, S period, Power c,
                                CircleScratch<S>& scratch) {
  using W = wide_t<S>;
  S const* const lifted = scratch.lift(y, n, period);
  Mass const shift = least_point<W>(-n, n, [&](Mass s) {
    CircleSlope<W> slope;
    slope.right = s < n ? matched_rise(x, lifted + s, n, c) : W(1);
    slope.left = slope.right;
    if (slope.right >= 0) slope.left = s > -n ? matched_rise(x, lifted + s - 1, n, c) : W(-1);
    return slope;
  });
  return {shift, matched_power(x, lifted + shift, n, c)};
}

/// The point of y at which the walk with shift s begins, as an index into the lifted points, and
/// what is left of its mass.
template <class B>
Mass circle_start(Index m, B b, Mass total, Mass s, Index& j) {
  Mass rest = s;
  j = 0;
  if (rest < 0) {
    rest += total;
    j = -m;
  } else if (rest >= total) {
    rest -= total;
    j = m;
  }
  if constexpr (std::same_as<B, EqualMasses>) {
    Mass const skipped = rest / b.each;
    j += skipped;
    return b.each - (rest - skipped * b.each);
  } else {
    Index k = 0;
    for (; rest >= b(k); ++k) rest -= b(k);
    j += k;
    return b(k) - rest;
  }
}

/// visit(i, j, mass, ends_i, ends_j) for the cells of the coupling with shift s, in order: i from 0
/// to n - 1, j an index into the lifted points. ends_i: the mass of i ends with this cell. Masses
/// are positive; b repeats after m points.
template <class A, class B, class Visit>
void for_each_circle_cell(Index n, A a, Index m, B b, Mass total, Mass s, Visit&& visit) {
  Index j = 0;
  Mass left_b = circle_start(m, b, total, s, j);
  Index wrapped = j < 0 ? j + m : (j >= m ? j - m : j);
  Mass left_a = a(0);
  for (Index i = 0; i < n;) {
    Mass const mass = std::min(left_a, left_b);
    left_a -= mass;
    left_b -= mass;
    bool const ends_i = left_a == 0, ends_j = left_b == 0;
    visit(i, j, mass, left_a, ends_i, ends_j);
    Index const next_i = i + ends_i, next = wrapped + ends_j;
    wrapped = next == m ? 0 : next;
    left_a = ends_i ? a(std::min(next_i, n - 1)) : left_a;
    left_b = ends_j ? b(wrapped) : left_b;
    i = next_i;
    j += ends_j;
  }
}

/// The slopes of C at s. `y` points to the unmoved copy of the lifted points.
template <RealScalar S, class A, class B, class Power>
CircleSlope<wide_t<S>> circle_slope(S const* x, Index n, A a, S const* y, Index m, B b, Mass total,
                                    Mass s, S period, Power c) {
  using W = wide_t<S>;
  CircleSlope<W> slope{0, 0, total, total};
  Mass spent = 0;
  for_each_circle_cell(n, a, m, b, total, s,
                       [&](Index i, Index j, Mass mass, Mass left, bool ends_i, bool ends_j) {
                         spent += mass;
                         if (ends_j) {
                           W const from = W(y[j]), step = from - W(y[j + 1]);
                           W const before = c.rise(W(x[i]) - from, step);
                           W after = before;
                           Mass room = left;
                           if (ends_i) {
                             bool const last = i + 1 == n;
                             W const next = last ? W(x[0]) + W(period) : W(x[i + 1]);
                             after = c.rise(next - from, step);
                             room = a(last ? 0 : i + 1);
                           }
                           slope.right += before;
                           slope.left += after;
                           slope.to_right = std::min(slope.to_right, spent);
                           slope.to_left = std::min(slope.to_left, room);
                         }
                         spent = ends_i ? 0 : spent;
                       });
  return slope;
}

/// The level at which half of the length of the levels is reached.
template <class Level>
Mass weighted_median(std::vector<Level>& levels) {
  double below = 0;
  for (Level const& level : levels) below += double(level.length) / 2;
  auto first = levels.begin(), last = levels.end();
  while (last - first > 1) {
    auto const middle = first + (last - first) / 2;
    std::nth_element(first, middle, last,
                     [](Level const& u, Level const& v) { return u.value < v.value; });
    double part = 0;
    for (auto k = first; k != middle; ++k) part += double(k->length);
    if (below <= part) {
      last = middle;
    } else {
      below -= part;
      first = middle;
    }
  }
  return first->value;
}

/// The minimum for p = 1: the points of both samples in order, and a median of G - F.
template <RealScalar S, class A, class B>
CircleMinimum<S> circle_median(S const* x, Index n, A a, S const* y, Index m, B b, double unit,
                               S period, CircleScratch<S>& scratch) {
  using W = wide_t<S>;
  auto& levels = scratch.levels;
  levels.resize(std::size_t(n + m));
  Mass level = 0;
  S const first = std::min(x[0], y[0]);
  S at = first;
  Index i = 0, j = 0;
  for (auto& next : levels) {  // level: G - F after the point `at` that came last
    bool const take_x = j == m || (i < n && x[i] <= y[j]);
    S const point = take_x ? x[i] : y[j];
    next = {level, point - at};
    level += take_x ? -a(i) : b(j);
    at = point;
    i += take_x;
    j += !take_x;
  }
  levels.front() = {0, first + period - at};  // across the cut
  CircleMinimum<S> minimum;
  std::size_t kept = 0;
  for (auto const& next : levels) {
    if (next.length > 0) levels[kept++] = next;
  }
  if (kept == 0) return minimum;
  levels.resize(kept);
  minimum.shift = weighted_median(levels);
  for (auto const& next : levels) {
    minimum.power += W(next.length) * W(std::abs(next.value - minimum.shift));
  }
  minimum.power *= W(unit);
  return minimum;
}

/// W_p^p on a circle between sorted x (n) and y (m) in [0, period) whose masses are a(i) unit and
/// b(j) unit, all positive, with the sum `total` each; and the shift. A slope takes one walk; some
/// ten of them are needed as a rule, 2 log2(total) at worst. Does not allocate once the scratch has
/// seen n and m.
template <RealScalar S, class A, class B, class Power>
CircleMinimum<S> circle_coupled(S const* x, Index n, A a, S const* y, Index m, B b, Mass total,
                                double unit, S period, Power c, CircleScratch<S>& scratch) {
  using W = wide_t<S>;
  if constexpr (std::same_as<Power, FirstPower>) {
    return circle_median(x, n, a, y, m, b, unit, period, scratch);
  } else {
    S const* const lifted = scratch.lift(y, m, period);
    CircleMinimum<S> minimum;
    minimum.shift = least_point<W>(-total, total, [&](Mass s) {
      return circle_slope(x, n, a, lifted, m, b, total, s, period, c);
    });
    for_each_circle_cell(n, a, m, b, total, minimum.shift,
                         [&](Index i, Index j, Mass mass, Mass, bool, bool) {
                           minimum.power += W(mass) * c(W(x[i]) - W(lifted[j]));
                         });
    minimum.power *= W(unit);
    return minimum;
  }
}

/// The same for equal weights, 1/n and 1/m.
template <RealScalar S, class Power>
CircleMinimum<S> circle_uniform(S const* x, Index n, S const* y, Index m, S period, Power c,
                                CircleScratch<S>& scratch) {
  if (n == m) return circle_matched(x, y, n, period, c, scratch);
  return circle_coupled(x, n, EqualMasses{m}, y, m, EqualMasses{n}, n * m,
                        1 / (double(n) * double(m)), period, c, scratch);
}

/// gradient(order[i]) += weight d W_p^p / d x_i for equal weights, at the shift that circle_uniform
/// found. For the points behind y swap the samples and negate the shift.
template <RealScalar S, class Power>
void add_circle_gradient(S const* x, std::int32_t const* order, Index n, S const* y, Index m,
                         S period, Power c, Mass shift, S weight, S* gradient,
                         CircleScratch<S>& scratch) {
  S const* const lifted = scratch.lift(y, m, period);
  if (n == m) {
    add_matched_gradient(x, order, lifted + shift, n, c, weight, gradient);
    return;
  }
  using W = wide_t<S>;
  W const unit = W(weight) / (W(n) * W(m));
  for_each_circle_cell(n, EqualMasses{m}, m, EqualMasses{n}, n * m, shift,
                       [&](Index i, Index j, Mass mass, Mass, bool, bool) {
                         gradient[order[i]] += S(unit * W(mass) * c.slope(W(x[i]) - W(lifted[j])));
                       });
}

}  // namespace monge::ot::detail
