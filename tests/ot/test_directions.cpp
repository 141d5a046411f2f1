// SPDX-License-Identifier: MIT
// Oracles: exact means of polynomials on the sphere, Sobol points of SciPy 1.17, the energies of
// the octahedron and the icosahedron in Thomson's problem.
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "support/catch.hpp"
#include "support/throws.hpp"
#include <monge/ot/directions.hpp>

namespace {

using Catch::Matchers::WithinAbs;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::RandomKey;
using monge::ot::DirectionRule;
using monge::ot::Directions;
using monge::ot::directions;

constexpr DirectionRule all_rules[] = {DirectionRule::monte_carlo, DirectionRule::orthogonal,
                                       DirectionRule::sobol,       DirectionRule::spiral,
                                       DirectionRule::coulomb,     DirectionRule::gauss};

bool exists(DirectionRule rule, Index d) {
  if (rule == DirectionRule::spiral || rule == DirectionRule::coulomb) return d == 3;
  return rule != DirectionRule::gauss || d <= 3;
}

template <class F>
double apply(Directions const& set, F const& f) {
  double sum = 0;
  for (Index l = 0; l < set.count(); ++l) sum += set.weight(l) * f(set.theta.col(l));
  return sum;
}

/// The mean of x^a y^b z^c over the sphere: (a-1)!!(b-1)!!(c-1)!! / (3 5 ... (a+b+c+1)) if all
/// exponents are even.
double monomial_mean(int a, int b, int c) {
  if (a % 2 || b % 2 || c % 2) return 0;
  double mean = 1;
  for (int exponent : {a, b, c}) {
    for (int k = exponent - 1; k > 1; k -= 2) mean *= k;
  }
  for (int k = 3; k <= a + b + c + 1; k += 2) mean /= k;
  return mean;
}

/// An even function with a kink, as sliced distances have; mean 1/2 for d = 3.
double kink(VectorXd const& theta) { return std::abs(theta(0)); }
/// A smooth even function; mean (e^2 - e^-2) / 4 for d = 3, up to the linear map of the axis.
double smooth(VectorXd const& theta) { return std::cosh(2 * (0.6 * theta(0) - 0.8 * theta(2))); }
double const smooth_mean = std::sinh(2.0) / 2;

double rms_error(DirectionRule rule, Index count, int repeats) {
  double sum = 0;
  for (int r = 0; r < repeats; ++r) {
    Directions const set = directions(rule, 3, count, {std::uint64_t(1000 + r), 0});
    sum += std::pow(apply(set, smooth) - smooth_mean, 2);
  }
  return std::sqrt(sum / repeats);
}

}  // namespace

TEST_CASE("columns are unit vectors and weights are positive with sum 1") {
  for (Index d : {2, 3, 6, 20}) {
    for (DirectionRule rule : all_rules) {
      if (!exists(rule, d)) continue;
      for (Index count : {1, 2, 10, 33}) {
        CAPTURE(d, int(rule), count);
        Directions const set = directions(rule, d, count, {7, 0});
        REQUIRE(set.dimension() == d);
        CHECK(set.count() <= count);
        CHECK((rule == DirectionRule::gauss || set.count() == count));
        CHECK((set.theta.colwise().norm().array() - 1).abs().maxCoeff() < 1e-14);
        CHECK_THAT(apply(set, [](VectorXd const&) { return 1.0; }), WithinAbs(1, 1e-14));
        if (set.weights.size() > 0) CHECK(set.weights.minCoeff() > 0);
      }
    }
  }
}

TEST_CASE("the product rule is exact for polynomials of degree 2m - 1 and for no more") {
  for (Index m : {1, 2, 3, 4, 7, 10}) {
    Directions const set = monge::ot::gauss_directions(3, m * m);
    REQUIRE(set.count() == m * m);
    CHECK(set.block == 0);
    double worst = 0;
    for (int degree = 0; degree < 2 * m; degree += 2) {
      for (int a = 0; a <= degree; ++a) {
        for (int b = 0; a + b <= degree; ++b) {
          int const c = degree - a - b;
          double const mean = apply(set, [&](VectorXd const& t) {
            return std::pow(t(0), a) * std::pow(t(1), b) * std::pow(t(2), c);
          });
          worst = std::max(worst, std::abs(mean - monomial_mean(a, b, c)));
        }
      }
    }
    CAPTURE(m);
    CHECK(worst < 1e-14);
    double const next = apply(set, [&](VectorXd const& t) { return std::pow(t(2), 2 * m); });
    CHECK(std::abs(next - monomial_mean(0, 0, int(2 * m))) > 1e-7);
  }
  CHECK(monge::ot::gauss_directions(3, 10).count() == 9);
  CHECK(monge::ot::gauss_directions(3, 99).count() == 81);
}

TEST_CASE("on the half circle the trapezoidal rule integrates cosines below its degree") {
  Index const count = 9;
  Directions const set = monge::ot::gauss_directions(2, count);
  for (int k = 1; k <= 10; ++k) {
    double const mean = apply(
        set, [k](VectorXd const& t) { return std::cos(2 * k * std::atan2(t(1), t(0)) - 0.3); });
    CAPTURE(k);
    if (k % count == 0) {
      CHECK(std::abs(mean) > 0.5);
    } else {
      CHECK_THAT(mean, WithinAbs(0, 1e-14));
    }
  }
}

TEST_CASE("orthogonal directions come in orthonormal blocks, the last one cut") {
  Directions const set = directions(DirectionRule::orthogonal, 5, 13, {3, 1});
  CHECK(set.block == 5);
  CHECK(set.blocks() == 3);
  for (Index begin : {0, 5, 10}) {
    MatrixXd const Q = set.theta.middleCols(begin, std::min<Index>(5, 13 - begin));
    CHECK((Q.transpose() * Q - MatrixXd::Identity(Q.cols(), Q.cols())).norm() < 1e-14);
  }
  CHECK(std::abs(set.theta.col(0).dot(set.theta.col(5))) > 1e-6);
}

TEST_CASE("directions do not depend on how many there are, keys and streams tell them apart") {
  for (DirectionRule rule :
       {DirectionRule::monte_carlo, DirectionRule::orthogonal, DirectionRule::sobol}) {
    Directions const all = directions(rule, 4, 40, {5, 2}), few = directions(rule, 4, 11, {5, 2});
    CHECK(all.theta.leftCols(11) == few.theta);
    CHECK(directions(rule, 4, 11, {5, 3}).theta != few.theta);
    CHECK(directions(rule, 4, 11, {6, 2}).theta != few.theta);
  }
}

TEST_CASE("random rules are unbiased: means over keys hit exact means within their error") {
  int const keys = 400;
  for (Index d : {2, 3, 5}) {
    // E t_0^4 = 3 / (d (d + 2)), E t_0^2 t_1^2 = 1 / (d (d + 2)).
    auto const f = [](VectorXd const& t) {
      return std::pow(t(0), 4) - 2 * t(0) * t(0) * t(1) * t(1);
    };
    double const truth = 1.0 / double(d * (d + 2));
    for (DirectionRule rule : all_rules) {
      if (!exists(rule, d) || rule == DirectionRule::gauss) continue;
      double sum = 0, squares = 0;
      for (int key = 0; key < keys; ++key) {
        double const x = apply(directions(rule, d, 4, {std::uint64_t(key), 9}), f) - truth;
        sum += x;
        squares += x * x;
      }
      CAPTURE(d, int(rule), sum / keys, std::sqrt(squares) / keys);
      CHECK(std::abs(sum) < 4 * std::sqrt(squares) + 1e-12);
    }
  }
}

TEST_CASE("the error falls like L^(-1/2) for Monte Carlo and faster for the spread sets") {
  // Orthogonal blocks have three directions, nets a power of two.
  auto const slope = [](DirectionRule rule, Index count = 30) {
    return std::log(rms_error(rule, 16 * count, 100) / rms_error(rule, count, 100)) /
           std::log(16.0);
  };
  CHECK_THAT(slope(DirectionRule::monte_carlo), WithinAbs(-0.5, 0.12));
  CHECK_THAT(slope(DirectionRule::orthogonal), WithinAbs(-0.5, 0.12));
  CHECK(slope(DirectionRule::sobol, 32) < -1.1);
  CHECK(slope(DirectionRule::spiral) < -1.1);
  CHECK(rms_error(DirectionRule::orthogonal, 32, 60) <
        rms_error(DirectionRule::monte_carlo, 32, 60));
  CHECK(rms_error(DirectionRule::coulomb, 64, 4) <
        0.02 * rms_error(DirectionRule::monte_carlo, 64, 60));
  CHECK(std::abs(apply(monge::ot::gauss_directions(3, 64), smooth) - smooth_mean) < 1e-12);
  CHECK_THAT(apply(monge::ot::gauss_directions(3, 1600), kink), WithinAbs(0.5, 1e-3));
}

TEST_CASE("unscrambled Sobol points are those of SciPy, which counts in Gray code") {
  // scipy.stats.qmc.Sobol(32, scramble=False, bits=32).random(64), points 37 and 63.
  Index const dimension[] = {0, 1, 2, 3, 4, 7, 12, 18, 20, 25, 31};
  std::uint32_t const at_37[] = {0xec, 0xa4, 0x94, 0xec, 0xc4, 0xcc, 0x94, 0x0c, 0xf4, 0x5c, 0x24};
  std::uint32_t const at_63[] = {0x04, 0xcc, 0x5c, 0x74, 0xdc, 0x24, 0x8c, 0xf4, 0x3c, 0xa4, 0xec};
  for (int k = 0; k < 11; ++k) {
    monge::ot::detail::SobolColumn const column(dimension[k]);
    CAPTURE(dimension[k]);
    CHECK(column.point(37 ^ (37 >> 1)) == at_37[k] << 24);
    CHECK(column.point(63 ^ (63 >> 1)) == at_63[k] << 24);
  }
}

TEST_CASE("scrambling keeps the net: each elementary interval holds one point") {
  MatrixXd const u = monge::ot::detail::scrambled_sobol(32, 64, {11, 4});
  for (Index i = 0; i < 32; ++i) {
    std::set<int> cells;
    for (Index l = 0; l < 64; ++l) cells.insert(int(64 * u(i, l)));
    CHECK(cells.size() == 64);
  }
  for (int rows = 1; rows <= 64; rows *= 2) {  // the first two dimensions are a (0, 6, 2) net
    std::set<int> cells;
    for (Index l = 0; l < 64; ++l) {
      cells.insert(int(rows * u(0, l)) * 64 + int(64 / rows * u(1, l)));
    }
    CHECK(cells.size() == 64);
  }
}

TEST_CASE("the Coulomb set finds the octahedron and the icosahedron") {
  // The energy of all 2 L points is twice ours and 1/2 for each of the L antipodal pairs.
  for (auto const& [count, energy] :
       {std::pair<Index, double>{3, 9.985281374}, {6, 49.165253058}}) {
    Directions const set = monge::ot::coulomb_directions(count);
    MatrixXd gradient(3, count);
    CHECK_THAT(2 * monge::ot::detail::coulomb_energy(set.theta, gradient) + 0.5 * double(count),
               WithinAbs(energy, 1e-5));
  }
  MatrixXd gradient(3, 50);
  CHECK(monge::ot::detail::coulomb_energy(monge::ot::coulomb_directions(50).theta, gradient) <
        monge::ot::detail::coulomb_energy(monge::ot::spiral_directions(50).theta, gradient));
}

TEST_CASE("replicates are independent copies with streams of their own") {
  Directions const set = directions(DirectionRule::spiral, 3, 23, {8, 5}, 4);
  CHECK(set.count() == 20);
  CHECK(set.block == 5);
  CHECK(set.blocks() == 4);
  for (Index r = 0; r < 4; ++r) {
    CHECK(set.theta.middleCols(5 * r, 5) ==
          directions(DirectionRule::spiral, 3, 5, {8, std::uint64_t(5 + r)}).theta);
  }
}

TEST_CASE("in one dimension there is one direction") {
  for (DirectionRule rule : all_rules) {
    Directions const set = directions(rule, 1, 10, {1, 0});
    REQUIRE(set.count() == 1);
    CHECK(set.theta(0, 0) == 1);
    CHECK(set.block == 0);
  }
}

TEST_CASE("rules that do not exist in this dimension are refused with another to take") {
  CHECK_REFUSED(directions(DirectionRule::spiral, 2, 10, {}), "d is 2");
  CHECK_REFUSED(directions(DirectionRule::coulomb, 4, 10, {}), "take sobol or orthogonal");
  CHECK_REFUSED(directions(DirectionRule::gauss, 6, 10, {}), "take sobol or orthogonal");
  CHECK_REFUSED(directions(DirectionRule::gauss, 3, 10, {}, 2), "gauss is not random");
  CHECK_REFUSED(directions(DirectionRule::sobol, 33, 10, {}), "take orthogonal");
  CHECK_REFUSED(directions(DirectionRule::monte_carlo, 3, 0, {}), "projections is 0");
  CHECK_REFUSED(directions(DirectionRule::monte_carlo, 0, 5, {}), "0 rows");
  CHECK_REFUSED(directions(DirectionRule::monte_carlo, 3, 5, {}, 6), "replicates is 6");
  CHECK_REFUSED(monge::ot::spiral_directions(0), "count is 0");
  CHECK_REFUSED(monge::ot::gauss_directions(4, 3), "d is 4");
}
