// SPDX-License-Identifier: MIT
/// @file
/// Test functions with known minima, as DifferentiableObjectives over column vectors.
///
/// Each is a callable with `start<S>()`, the customary start, of fixed size where the dimension is
/// fixed; otherwise n is a member. The first group follows More, Garbow and Hillstrom, Testing
/// Unconstrained Optimization Software (1981), whose numbers are given; their sums of squares are
/// not halved. Gradients are written by hand and tested against differences.
#pragma once

#include <cmath>
#include <numbers>

#include <monge/core/types.hpp>

namespace monge::optim::problems {

/// sum_{i < n-1} 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2, the generalised (chained) function: minimum
/// 0 at (1, ..., 1); from n = 4 on there is a second local minimum near (-1, 1, ..., 1).
struct ChainedRosenbrock {
  Index n = 2;

  template <class S = double>
  [[nodiscard]] VectorX<S> start() const {  // -1.2, 1, -1.2, 1, ...
    return VectorX<S>::NullaryExpr(n, [](Index i) { return i % 2 == 0 ? S(-1.2) : S(1); });
  }
  template <class V>
  typename V::Scalar operator()(V const& x, V& g) const {
    using S = typename V::Scalar;
    S f = 0, carry = 0;  // carry: what the term before adds to g_i
    for (Index i = 0; i + 1 < x.size(); ++i) {
      S const a = x(i + 1) - x(i) * x(i), b = 1 - x(i);
      f += 100 * a * a + b * b;
      g(i) = carry - 400 * a * x(i) - 2 * b;
      carry = 200 * a;
    }
    g(x.size() - 1) = carry;
    return f;
  }
};

/// MGH 21: n/2 independent pairs of Rosenbrock's function; n even. Minimum 0 at (1, ..., 1).
struct ExtendedRosenbrock {
  Index n = 2;

  template <class S = double>
  [[nodiscard]] VectorX<S> start() const {
    return ChainedRosenbrock{n}.start<S>();
  }
  template <class V>
  typename V::Scalar operator()(V const& x, V& g) const {
    using S = typename V::Scalar;
    S f = 0;
    for (Index i = 0; i + 1 < x.size(); i += 2) {
      S const a = x(i + 1) - x(i) * x(i), b = 1 - x(i);
      f += 100 * a * a + b * b;
      g(i) = -400 * a * x(i) - 2 * b;
      g(i + 1) = 200 * a;
    }
    return f;
  }
};

/// MGH 5, n = 2: sum_{k=1..3} (c_k - x_1 (1 - x_2^k))^2, c = 1.5, 2.25, 2.625. Minimum 0 at
/// (3, 0.5).
struct Beale {
  template <class S = double>
  [[nodiscard]] static Eigen::Vector<S, 2> start() {
    return {1, 1};
  }
  template <class V>
  typename V::Scalar operator()(V const& x, V& g) const {
    using S = typename V::Scalar;
    S const c[3] = {S(1.5), S(2.25), S(2.625)};
    S f = 0, power = 1;  // x_2^(k-1)
    g.setZero();
    for (int k = 1; k <= 3; ++k) {
      S const slope = S(k) * power;
      power *= x(1);
      S const r = c[k - 1] - x(0) * (1 - power);
      f += r * r;
      g(0) -= 2 * r * (1 - power);
      g(1) += 2 * r * x(0) * slope;
    }
    return f;
  }
};

/// MGH 14, n = 4, also known as Colville's function. Minimum 0 at (1, 1, 1, 1).
struct Wood {
  template <class S = double>
  [[nodiscard]] static Eigen::Vector<S, 4> start() {
    return {-3, -1, -3, -1};
  }
  template <class V>
  typename V::Scalar operator()(V const& x, V& g) const {
    using S = typename V::Scalar;
    S const a = x(1) - x(0) * x(0), b = 1 - x(0), c = x(3) - x(2) * x(2), d = 1 - x(2);
    S const e = x(1) + x(3) - 2, h = x(1) - x(3);
    g(0) = -400 * a * x(0) - 2 * b;
    g(1) = 200 * a + 20 * e + h / 5;
    g(2) = -360 * c * x(2) - 2 * d;
    g(3) = 180 * c + 20 * e - h / 5;
    return 100 * a * a + b * b + 90 * c * c + d * d + 10 * e * e + h * h / 10;
  }
};

/// MGH 13, n = 4: singular Hessian at the minimum, 0 at the origin.
struct PowellSingular {
  template <class S = double>
  [[nodiscard]] static Eigen::Vector<S, 4> start() {
    return {3, -1, 0, 1};
  }
  template <class V>
  typename V::Scalar operator()(V const& x, V& g) const {
    using S = typename V::Scalar;
    S const a = x(0) + 10 * x(1), b = x(2) - x(3), c = x(1) - 2 * x(2), d = x(0) - x(3);
    S const c3 = 4 * c * c * c, d3 = 40 * d * d * d;
    g(0) = 2 * a + d3;
    g(1) = 20 * a + c3;
    g(2) = 10 * b - 2 * c3;
    g(3) = -10 * b - d3;
    return a * a + 5 * b * b + c * c * c * c + 10 * d * d * d * d;
  }
};

/// MGH 7, n = 3: 100 ((x_3 - 10 theta)^2 + (r - 1)^2) + x_3^2 with r, 2 pi theta the polar
/// coordinates of (x_1, x_2). Minimum 0 at (1, 0, 0).
struct HelicalValley {
  template <class S = double>
  [[nodiscard]] static Eigen::Vector<S, 3> start() {
    return {-1, 0, 0};
  }
  template <class V>
  typename V::Scalar operator()(V const& x, V& g) const {
    using S = typename V::Scalar;
    S const turn = 2 * std::numbers::pi_v<S>, r2 = x(0) * x(0) + x(1) * x(1), r = std::sqrt(r2);
    S theta = std::atan2(x(1), x(0)) / turn;
    if (theta < S(-0.25)) theta += 1;  // from -1/4 to 3/4: the cut is the negative x_2 axis
    S const a = x(2) - 10 * theta, b = r - 1;
    g(0) = 200 * (10 * a * x(1) / (turn * r2) + b * x(0) / r);
    g(1) = 200 * (-10 * a * x(0) / (turn * r2) + b * x(1) / r);
    g(2) = 200 * a + 2 * x(2);
    return 100 * (a * a + b * b) + x(2) * x(2);
  }
};

/// n = 2: (x + 2 y - 7)^2 + (2 x + y - 5)^2. Minimum 0 at (1, 3).
struct Booth {
  template <class S = double>
  [[nodiscard]] static Eigen::Vector<S, 2> start() {
    return {-9, -9};
  }
  template <class V>
  typename V::Scalar operator()(V const& x, V& g) const {
    using S = typename V::Scalar;
    S const a = x(0) + 2 * x(1) - 7, b = 2 * x(0) + x(1) - 5;
    g(0) = 2 * a + 4 * b;
    g(1) = 4 * a + 2 * b;
    return a * a + b * b;
  }
};

/// n = 2: (x^2 + y - 11)^2 + (x + y^2 - 7)^2. Minimum 0 at four points, (3, 2) one of them.
struct Himmelblau {
  template <class S = double>
  [[nodiscard]] static Eigen::Vector<S, 2> start() {
    return {5, -5};
  }
  template <class V>
  typename V::Scalar operator()(V const& x, V& g) const {
    using S = typename V::Scalar;
    S const a = x(0) * x(0) + x(1) - 11, b = x(0) + x(1) * x(1) - 7;
    g(0) = 4 * a * x(0) + 2 * b;
    g(1) = 2 * a + 4 * b * x(1);
    return a * a + b * b;
  }
};

/// n = 2: sin(x + y) + (x - y)^2 - 1.5 x + 2.5 y + 1. Local minimum at
/// (1/2 - pi/3, -1/2 - pi/3) of value -sqrt(3)/2 - pi/3, and its translates by (pi, pi).
struct McCormick {
  template <class S = double>
  [[nodiscard]] static Eigen::Vector<S, 2> start() {
    return {0, 0};
  }
  template <class V>
  typename V::Scalar operator()(V const& x, V& g) const {
    using S = typename V::Scalar;
    S const d = x(0) - x(1), c = std::cos(x(0) + x(1));
    g(0) = c + 2 * d - S(1.5);
    g(1) = c - 2 * d + S(2.5);
    return std::sin(x(0) + x(1)) + d * d - S(1.5) * x(0) + S(2.5) * x(1) + 1;
  }
};

/// 1/2 sum x_i^4 - 16 x_i^2 + 5 x_i: each entry has its minimum -39.166165703771... at
/// -2.903534027771..., and a second, local one.
struct StyblinskiTang {
  Index n = 2;

  template <class S = double>
  [[nodiscard]] VectorX<S> start() const {
    return VectorX<S>::Constant(n, -1);
  }
  template <class V>
  typename V::Scalar operator()(V const& x, V& g) const {
    using S = typename V::Scalar;
    S f = 0;
    for (Index i = 0; i < x.size(); ++i) {
      S const v = x(i), v2 = v * v;
      f += (v2 * v2 - 16 * v2 + 5 * v) / 2;
      g(i) = 2 * v2 * v - 16 * v + S(2.5);
    }
    return f;
  }
};

/// 1/2 sum lambda_i (x_i - 1)^2 with eigenvalues from 1 to `condition` in geometric progression:
/// minimum 0 at (1, ..., 1).
struct Quadratic {
  Index n = 2;
  double condition = 100;

  template <class S = double>
  [[nodiscard]] VectorX<S> start() const {
    return VectorX<S>::Zero(n);
  }
  template <class V>
  typename V::Scalar operator()(V const& x, V& g) const {
    using S = typename V::Scalar;
    S const last = S(x.size() > 1 ? x.size() - 1 : 1);
    S f = 0;
    for (Index i = 0; i < x.size(); ++i) {
      S const lambda = std::pow(S(condition), S(i) / last), d = x(i) - 1;
      f += lambda * d * d / 2;
      g(i) = lambda * d;
    }
    return f;
  }
};

}  // namespace monge::optim::problems
