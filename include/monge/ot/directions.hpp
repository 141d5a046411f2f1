// SPDX-License-Identifier: MIT
/// @file
/// Sets of directions on the unit sphere of R^d: the nodes of sliced distances.
///
/// A sliced distance is the mean of an even function s(theta) = s(-theta) over the sphere. A set of
/// directions is a rule for that mean, sum_l weight_l s(theta_l), which may be random:
///
///     rule         d         what it is
///     monte_carlo  any       independent uniform directions
///     orthogonal   any       independent blocks of d orthonormal directions (Haar measure)
///     sobol        2 to 32   scrambled Sobol points: on the half circle for d = 2, by the
///                            equal-area map to the half sphere for d = 3, else normal quantiles
///     spiral       3         the generalised spiral, randomly rotated
///     coulomb      3         least Coulomb energy of the set and its antipodes, randomly rotated
///     gauss        2, 3      trapezoidal rule on the half circle; Gauss-Legendre in height times
///                            trapezoidal in longitude. Not random, and exact for polynomials of
///                            degree 2L - 1 (d = 2) or 2m - 1 with m = floor(sqrt(L)) (d = 3)
///
/// Because s is even, antipodes are never spent: sets of d = 2 and 3 cover half of the sphere.
/// Every column of a random set is uniform on the sphere (up to its sign), so its estimates are
/// unbiased. For d = 1 there is only one direction, and all rules return it.
///
/// Which one: d = 2 gauss; d = 3 gauss, or coulomb for a random rule; d = 4 to about 10 sobol;
/// above that orthogonal. Random rules give a standard error if they have two independent blocks or
/// more.
///
/// Cost: O(d L), except orthogonal O(d^2 L), coulomb O(L^2) per step with at most 300 steps.
///
/// [NBH24] K. Nguyen, N. Bariletto, N. Ho, Quasi-Monte Carlo for 3D sliced Wasserstein, ICLR 2024:
///         the maps and the sets on the sphere. Deviation: their
///         Sobol and Coulomb points cover the whole sphere, ours are one of each antipodal pair,
///         for the functions to be integrated are even.
/// [SK97]  E. Saff, A. Kuijlaars, Distributing many points on a sphere, Math. Intelligencer 19
///         (1997): the spiral and its constant 1.8 (half of their 3.6).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>
#include <utility>

#include <monge/core/random.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/detail/sobol.hpp>

namespace monge::ot {

/// How a set of directions is made; see the table of this file.
enum class DirectionRule : unsigned char { monte_carlo, orthogonal, sobol, spiral, coulomb, gauss };

/// A set of L directions in R^d: a rule for the mean of an even function on the sphere.
struct Directions {
  MatrixX<double> theta;    ///< d x L: unit columns
  VectorX<double> weights;  ///< L: positive, their sum is 1; empty: all equal
  /// 0: not random. Else columns 0 .. block - 1, block .. 2 block - 1 and so on are independent of
  /// each other, and every column is uniform on the sphere. The last block may be shorter.
  Index block = 0;

  [[nodiscard]] Index dimension() const { return theta.rows(); }
  [[nodiscard]] Index count() const { return theta.cols(); }
  [[nodiscard]] double weight(Index l) const {
    return weights.size() > 0 ? weights(l) : 1 / double(count());
  }
  /// Independent parts: a standard error needs at least two.
  [[nodiscard]] Index blocks() const { return block > 0 ? (count() + block - 1) / block : 0; }
};

namespace detail {

/// Modified Gram-Schmidt, twice, so that the columns of Q (d x k, k <= d) become orthonormal to
/// rounding. Columns of independent normal deviates become Haar distributed.
inline void orthonormalise(Eigen::Ref<MatrixX<double>> Q) {
  for (Index j = 0; j < Q.cols(); ++j) {
    for (int pass = 0; pass < 2; ++pass) {
      for (Index k = 0; k < j; ++k) Q.col(j) -= Q.col(k).dot(Q.col(j)) * Q.col(k);
      Q.col(j) /= Q.col(j).norm();
    }
  }
}

/// Column l has the normal deviates l d .. (l + 1) d - 1 of the key, so it does not depend on L.
inline Directions monte_carlo(Index d, Index count, RandomKey key) {
  Directions set{MatrixX<double>(d, count), {}, 1};
  random::fill_normal(set.theta, key);
  for (Index l = 0; l < count; ++l) set.theta.col(l) /= set.theta.col(l).norm();
  return set;
}

inline Directions orthogonal(Index d, Index count, RandomKey key) {
  Directions set{MatrixX<double>(d, count), {}, d};
  random::fill_normal(set.theta, key);
  for (Index l = 0; l < count; l += d) {
    orthonormalise(set.theta.middleCols(l, std::min(d, count - l)));
  }
  return set;
}

/// The point of the unit sphere at this height and longitude.
inline Eigen::Vector3d on_sphere(double height, double longitude) {
  double const radius = std::sqrt(std::max(0.0, 1 - height * height));
  return {radius * std::cos(longitude), radius * std::sin(longitude), height};
}

inline Directions sobol(Index d, Index count, RandomKey key) {
  Directions set{MatrixX<double>(d, count), {}, count};
  MatrixX<double> const u = scrambled_sobol(d > 3 ? d : d - 1, count, key);
  for (Index l = 0; l < count; ++l) {
    if (d == 2) {
      double const angle = std::numbers::pi * u(0, l);
      set.theta.col(l) << std::cos(angle), std::sin(angle);
    } else if (d == 3) {
      set.theta.col(l) = on_sphere(u(0, l), 2 * std::numbers::pi * u(1, l));
    } else {
      for (Index i = 0; i < d; ++i) {
        double const q = u(i, l) - 0.5;
        set.theta(i, l) = monge::detail::normal_quantile(q, 0.5 - std::abs(q));
      }
      set.theta.col(l) /= set.theta.col(l).norm();
    }
  }
  return set;
}

/// Point l of the spiral with so many points.
inline Eigen::Vector3d spiral_point(Index l, Index count) {
  double const height = 1 - (2 * double(l) + 1) / double(count);
  return on_sphere(height, 1.8 * std::sqrt(double(count)) * std::acos(height));
}

/// The Coulomb energy of the points and their antipodes, constants left out, and its gradient.
inline double coulomb_energy(MatrixX<double> const& x, MatrixX<double>& gradient) {
  double energy = 0;
  gradient.setZero();
  for (Index j = 1; j < x.cols(); ++j) {
    for (Index i = 0; i < j; ++i) {
      double const cosine = x.col(i).dot(x.col(j));
      double const near = 1 / std::sqrt(std::max(2 - 2 * cosine, 1e-30));
      double const far = 1 / std::sqrt(std::max(2 + 2 * cosine, 1e-30));
      energy += near + far;
      double const slope = near * near * near - far * far * far;  // of the energy in the cosine
      gradient.col(i) += slope * x.col(j);
      gradient.col(j) += slope * x.col(i);
    }
  }
  return energy;
}

}  // namespace detail

/// The generalised spiral over the whole sphere; not random. (Its half with twice the points, which
/// would spend no antipodes, is 10 to 100 times worse on smooth functions: it ends at an edge.)
[[nodiscard]] inline Directions spiral_directions(Index count) {
  monge::detail::require(count >= 1, "spiral_directions: count is ", count,
                         "; it must be at least 1");
  Directions set{MatrixX<double>(3, count), {}, 0};
  for (Index l = 0; l < count; ++l) {
    set.theta.col(l) = detail::spiral_point(l, count);
  }
  return set;
}

/// Least Coulomb energy of the points and their antipodes by gradient descent from half of a
/// spiral; not random.
[[nodiscard]] inline Directions coulomb_directions(Index count) {
  monge::detail::require(count >= 1, "coulomb_directions: count is ", count,
                         "; it must be at least 1");
  Directions set{MatrixX<double>(3, count), {}, 0};
  for (Index l = 0; l < count; ++l) set.theta.col(l) = detail::spiral_point(l, 2 * count);
  constexpr int steps = 300;
  MatrixX<double> gradient(3, count), trial(3, count), trial_gradient(3, count);
  double energy = detail::coulomb_energy(set.theta, gradient);
  double length = 0.1 / (double(count) * std::sqrt(double(count)));  // of a spacing cubed
  for (int step = 0; step < steps; ++step) {
    for (Index l = 0; l < count; ++l) {
      trial.col(l) =
          set.theta.col(l) -
          length * (gradient.col(l) - gradient.col(l).dot(set.theta.col(l)) * set.theta.col(l));
      trial.col(l) /= trial.col(l).norm();
    }
    double const next = detail::coulomb_energy(trial, trial_gradient);
    if (next < energy) {
      bool const settled = energy - next < 1e-9 * energy;
      energy = next;
      set.theta.swap(trial);
      gradient.swap(trial_gradient);
      length *= 1.3;
      if (settled) break;
    } else {
      length *= 0.4;
    }
  }
  return set;
}

/// The Gauss product rule in d = 2 or 3 with at most `count` directions: all of them for d = 2,
/// floor(sqrt(count))^2 for d = 3. Not random.
[[nodiscard]] inline Directions gauss_directions(Index d, Index count) {
  using std::numbers::pi;
  monge::detail::require(d == 2 || d == 3, "gauss_directions: d is ", d,
                         "; the product rule is for d = 2 and 3, take sobol or orthogonal");
  monge::detail::require(count >= 1, "gauss_directions: count is ", count,
                         "; it must be at least 1");
  if (d == 2) {
    Directions set{MatrixX<double>(2, count), {}, 0};
    for (Index l = 0; l < count; ++l) {
      double const angle = pi * (double(l) + 0.5) / double(count);
      set.theta.col(l) << std::cos(angle), std::sin(angle);
    }
    return set;
  }
  Index const m = Index(std::sqrt(double(count) + 0.5));
  Directions set{MatrixX<double>(3, m * m), VectorX<double>(m * m), 0};
  Index l = 0;
  for (Index k = 0; k < (m + 1) / 2; ++k) {  // rings from the pole to the equator
    double z = std::cos(pi * (double(k) + 0.75) / (double(m) + 0.5)), slope = 1;
    for (int newton = 0; newton < 6; ++newton) {  // roots of the Legendre polynomial of degree m
      double p = z, previous = 1;
      for (Index i = 2; i <= m; ++i) {
        double const next = (double(2 * i - 1) * z * p - double(i - 1) * previous) / double(i);
        previous = std::exchange(p, next);
      }
      slope = double(m) * (previous - z * p) / (1 - z * z);
      z -= p / slope;
    }
    bool const equator = 2 * k + 1 == m;  // its second half are antipodes of the first
    if (equator) z = 0;
    Index const points = equator ? m : 2 * m;
    double const ring = 2 / ((1 - z * z) * slope * slope);  // of the sum 2 over both half spheres
    for (Index i = 0; i < points; ++i, ++l) {
      set.theta.col(l) = detail::on_sphere(z, pi * (double(i) + 0.5) / double(m));
      set.weights(l) = (equator ? 0.5 : 1.0) * ring / double(points);
    }
  }
  set.weights /= set.weights.sum();
  return set;
}

/// The same set turned by a random orthogonal matrix, which makes every column uniform: an unbiased
/// rule in one block.
[[nodiscard]] inline Directions rotated(Directions set, RandomKey key) {
  MatrixX<double> Q(set.dimension(), set.dimension());
  random::fill_normal(Q, key);
  detail::orthonormalise(Q);
  VectorX<double> turned(set.dimension());
  for (Index l = 0; l < set.count(); ++l) {  // column by column: cheap to compile
    turned.setZero();
    for (Index i = 0; i < set.dimension(); ++i) turned += set.theta(i, l) * Q.col(i);
    set.theta.col(l) = turned;
  }
  set.block = set.count();
  return set;
}

namespace detail {

inline Directions one_rule(DirectionRule rule, Index d, Index count, RandomKey key) {
  switch (rule) {
    case DirectionRule::monte_carlo:
      return monte_carlo(d, count, key);
    case DirectionRule::orthogonal:
      return orthogonal(d, count, key);
    case DirectionRule::sobol:
      return sobol(d, count, key);
    case DirectionRule::spiral:
      return rotated(spiral_directions(count), key);
    case DirectionRule::coulomb:
      return rotated(coulomb_directions(count), key);
    case DirectionRule::gauss:
      return gauss_directions(d, count);
  }
  return {};
}

inline void require_rule(std::string_view function, DirectionRule rule, Index d, Index count,
                         Index replicates) {
  using monge::detail::require;
  require(d >= 1, function, ": points have ", d, " rows; they need at least one coordinate");
  require(count >= 1, function, ": projections is ", count, "; it must be at least 1");
  require(replicates >= 1 && replicates <= count, function, ": replicates is ", replicates,
          "; it must be at least 1 and at most the number of projections, ", count);
  if (d == 1) return;
  require(rule != DirectionRule::sobol || d <= sobol_dimensions, function, ": d is ", d,
          " but Sobol points go up to d = ", sobol_dimensions, "; take orthogonal");
  require((rule != DirectionRule::spiral && rule != DirectionRule::coulomb) || d == 3, function,
          ": d is ", d, " but the spiral and the Coulomb set lie on the sphere of d = 3; take ",
          d == 2 ? "gauss" : "sobol or orthogonal");
  require(rule != DirectionRule::gauss || d == 2 || d == 3, function, ": d is ", d,
          " but the product rule is for d = 2 and 3; take sobol or orthogonal");
  require(rule != DirectionRule::gauss || replicates == 1, function,
          ": gauss is not random, so replicates must be 1");
}

}  // namespace detail

/// `count` directions in R^d by a rule; gauss takes floor(sqrt(count))^2 for d = 3.
///
/// replicates > 1 makes that many independent copies of floor(count / replicates) directions each,
/// with the streams key.stream, key.stream + 1 and so on, so that rules that come in one block
/// (sobol, spiral, coulomb) have a standard error too. monte_carlo and orthogonal have one anyway,
/// and their first columns do not depend on `count`; nor do those of sobol. Refuses rules that do
/// not exist in this dimension.
[[nodiscard]] inline Directions directions(DirectionRule rule, Index d, Index count, RandomKey key,
                                           Index replicates = 1) {
  detail::require_rule("directions", rule, d, count, replicates);
  if (d == 1) return {MatrixX<double>::Ones(1, 1), {}, 0};
  if (replicates == 1) return detail::one_rule(rule, d, count, key);
  Index const each = count / replicates;
  Directions set{MatrixX<double>(d, each * replicates), {}, each};
  for (Index r = 0; r < replicates; ++r) {
    RandomKey const own{key.seed, key.stream + std::uint64_t(r)};
    set.theta.middleCols(r * each, each) = detail::one_rule(rule, d, each, own).theta;
  }
  return set;
}

}  // namespace monge::ot
