// SPDX-License-Identifier: MIT
// Oracles: the published formulas written out, ordinary least squares on the circle, product rules
// with many directions for the truth, differences for gradients of the estimate as returned.
#include <Eigen/Core>

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/throws.hpp"
#include <monge/ot/sliced_wasserstein.hpp>

namespace {

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::RandomKey;
using namespace monge::ot;

constexpr SlicedControl all_controls[] = {SlicedControl::automatic,   SlicedControl::none,
                                          SlicedControl::centring,    SlicedControl::gaussian,
                                          SlicedControl::lower_bound, SlicedControl::upper_bound};

/// Skewed clouds with unequal spreads.
MatrixXd cloud(Index d, Index n, std::uint64_t seed, double decay = 0.7) {
  MatrixXd X(d, n);
  monge::random::fill_normal(X, RandomKey{seed, 0});
  X.row(0) = (0.5 * X.row(0)).array().exp().matrix();
  for (Index i = 0; i < d; ++i) X.row((i + Index(seed)) % d) *= std::pow(decay, double(i));
  return X;
}

double solve(MatrixXd const& X, MatrixXd const& Y, SlicedWassersteinOptions const& options,
             std::uint64_t key) {
  return sliced_wasserstein(X, Y, options, RandomKey{key, 0}).power;
}

double truth_of(MatrixXd const& X, MatrixXd const& Y, double p = 2) {
  SlicedWassersteinOptions options{.p = p, .projections = 2500};
  options.directions = X.rows() < 4 ? DirectionRule::gauss : DirectionRule::sobol;
  options.control = p == 2 ? SlicedControl::gaussian : SlicedControl::none;
  return solve(X, Y, options, 99);
}

struct Errors {
  double mean = 0, square = 0;
};
Errors errors_of(MatrixXd const& X, MatrixXd const& Y, SlicedWassersteinOptions const& options,
                 double truth, int keys) {
  Errors errors;
  for (int key = 0; key < keys; ++key) {
    double const error = solve(X, Y, options, std::uint64_t(key)) - truth;
    errors.mean += error / keys;
    errors.square += error * error / keys;
  }
  return errors;
}

}  // namespace

TEST_CASE("the published controls are their formulas written out, at every p") {
  Index const d = 3, L = 11, n = 40, m = 25;
  MatrixXd const X = cloud(d, n, 1), Y = cloud(d, m, 2);
  Directions const set = directions(DirectionRule::monte_carlo, d, L, {4, 0});
  VectorXd const m1 = X.rowwise().mean(), m2 = Y.rowwise().mean();
  MatrixXd const x = X.colwise() - m1, y = Y.colwise() - m2;
  for (double p : {1.0, 2.0, 3.0}) {
    for (SlicedControl control : {SlicedControl::lower_bound, SlicedControl::upper_bound}) {
      CAPTURE(p, int(control));
      bool const upper = control == SlicedControl::upper_bound;
      auto const r = sliced_wasserstein(X, Y, set, {.p = p, .control = control});
      double mean = (m1 - m2).squaredNorm() / double(d);
      if (upper) mean += (x.squaredNorm() / double(n) + y.squaredNorm() / double(m)) / double(d);
      double A = 0, up = 0, down = 0, deviation = 0;
      for (Index l = 0; l < L; ++l) A += r.slices(l) / double(L);
      for (Index l = 0; l < L; ++l) {
        VectorXd const t = set.theta.col(l);
        double c = std::pow(t.dot(m1 - m2), 2) - mean;
        if (upper) {
          for (Index k = 0; k < n; ++k) c += std::pow(t.dot(x.col(k)), 2) / double(n);
          for (Index k = 0; k < m; ++k) c += std::pow(t.dot(y.col(k)), 2) / double(m);
        }
        up += (r.slices(l) - A) * c;
        down += c * c;
        deviation += c / double(L);
      }
      CHECK_THAT(r.coefficient, WithinRel(up / down, 1e-11));
      CHECK_THAT(r.power, WithinRel(A - up / down * deviation, 1e-11));
      CHECK_THAT(r.control_mean, WithinRel(mean, 1e-12));
    }
  }
}

TEST_CASE("a homothetic copy has one exact answer from one direction") {
  for (Index d : {2, 3, 6, 20}) {
    MatrixXd const X = cloud(d, 60, 1);
    VectorXd const shift = VectorXd::Constant(d, 2.0), centre = X.rowwise().mean();
    MatrixXd const Y = (3 * X).colwise() + shift;
    double const variance = (X.colwise() - centre).squaredNorm() / 60;
    double const truth = ((2 * centre + shift).squaredNorm() + 4 * variance) / double(d);
    SlicedWassersteinOptions const options{.projections = 1, .control = SlicedControl::gaussian};
    CHECK_THAT(solve(X, Y, options, 5), WithinRel(truth, 1e-12));
  }
}

TEST_CASE("fixed controls are unbiased with every random rule, weights and sizes") {
  MatrixXd const X = cloud(3, 40, 1), Y = cloud(3, 30, 2).colwise() + VectorXd::Constant(3, 0.5);
  VectorXd const a = VectorXd::LinSpaced(40, 1, 2) / 60, b = VectorXd::LinSpaced(30, 2, 1) / 45;
  int const keys = 200;
  for (bool weighted : {false, true}) {
    auto const power = [&](SlicedWassersteinOptions const& options, int key) {
      RandomKey const random{std::uint64_t(key), 0};
      return weighted ? sliced_wasserstein(X, Y, a, b, options, random).power
                      : sliced_wasserstein(X, Y, options, random).power;
    };
    SlicedWassersteinOptions options{.projections = 900, .directions = DirectionRule::gauss};
    options.control = SlicedControl::none;
    double const truth = power(options, 0);
    options.control = SlicedControl::gaussian;
    CHECK_THAT(power(options, 0), WithinRel(truth, 1e-6));
    for (DirectionRule rule : {DirectionRule::monte_carlo, DirectionRule::orthogonal,
                               DirectionRule::sobol, DirectionRule::coulomb}) {
      for (SlicedControl control : {SlicedControl::centring, SlicedControl::gaussian}) {
        CAPTURE(weighted, int(rule), int(control));
        options = {.projections = 4, .directions = rule, .control = control};
        double sum = 0, squares = 0;
        for (int key = 0; key < keys; ++key) {
          double const error = power(options, key) - truth;
          sum += error;
          squares += error * error;
        }
        CHECK(std::abs(sum) < 4 * std::sqrt(squares) + 1e-6 * truth * keys);
      }
    }
  }
}

TEST_CASE("fitted controls and fitted harmonics have a bias that falls like 1 / L") {
  MatrixXd const X = cloud(3, 40, 1), Y = cloud(3, 40, 2);
  double const truth = truth_of(X, Y);
  struct Case {
    SlicedControl control;
    int harmonics;
  };
  for (Case c : {Case{SlicedControl::upper_bound, 0}, Case{SlicedControl::none, 2},
                 Case{SlicedControl::gaussian, 2}}) {
    CAPTURE(int(c.control), c.harmonics);
    SlicedWassersteinOptions options{.projections = 12, .control = c.control};
    options.harmonics = c.harmonics;
    int const keys = 600;
    Errors const few = errors_of(X, Y, options, truth, keys);
    options.projections = 96;
    Errors const many = errors_of(X, Y, options, truth, keys);
    // Eight times as many directions: an eighth of the bias, but for the noise of both means.
    double const noise = 4 * std::sqrt((few.square / 64 + many.square) / keys);
    CHECK(std::abs(many.mean) < std::abs(few.mean) / 4 + noise);
    CHECK(std::abs(many.mean) < 0.3 * std::sqrt(many.square));
  }
}

TEST_CASE("gradients are those of the estimate as it is returned, control and all") {
  for (Index d : {2, 3, 5, 20}) {
    MatrixXd const X = cloud(d, 24, 1), Y = cloud(d, 18, 2).colwise() + VectorXd::Constant(d, 0.3);
    VectorXd const a = VectorXd::LinSpaced(24, 1, 2) / 18, b = VectorXd::LinSpaced(18, 1, 2) / 13.5;
    for (SlicedControl control : all_controls) {
      for (int harmonics : {0, 2}) {
        if (harmonics > 0 && d > 3) continue;
        for (double p : {2.0, 1.5}) {
          if (p != 2 && !detail::is_fitted(control)) continue;
          CAPTURE(d, int(control), harmonics, p);
          SlicedWassersteinOptions options{.p = p, .projections = 12, .control = control};
          options.harmonics = harmonics;
          options.answer = SlicedAnswer::gradients;
          RandomKey const key{3, 0};
          auto const r = sliced_wasserstein(X, Y, a, b, options, key);
          options.answer = SlicedAnswer::value;
          double const h = 1e-5;
          for (int trial = 0; trial < 2; ++trial) {
            MatrixXd U(d, 24), V(d, 18);
            monge::random::fill_normal(U, RandomKey{7, std::uint64_t(trial)});
            monge::random::fill_normal(V, RandomKey{8, std::uint64_t(trial)});
            double const up = sliced_wasserstein(X + h * U, Y + h * V, a, b, options, key).power;
            double const down = sliced_wasserstein(X - h * U, Y - h * V, a, b, options, key).power;
            CHECK_THAT((up - down) / (2 * h), WithinAbs(U.cwiseProduct(r.gradient_x).sum() +
                                                            V.cwiseProduct(r.gradient_y).sum(),
                                                        1e-6 * std::abs(r.power)));
          }
          // Laws of a quantity that ignores common shifts and is homogeneous of degree p.
          CHECK((r.gradient_x.rowwise().sum() + r.gradient_y.rowwise().sum()).norm() < 1e-11);
          CHECK_THAT(X.cwiseProduct(r.gradient_x).sum() + Y.cwiseProduct(r.gradient_y).sum(),
                     WithinRel(p * r.power, 1e-9));
        }
      }
    }
  }
}

TEST_CASE("harmonic weights are exact for polynomials, reusable, and keep a rule that is exact") {
  for (Index d : {2, 3, 6}) {
    for (int degree : {2, 4}) {
      CAPTURE(d, degree);
      Directions const set =
          harmonic_directions(directions(DirectionRule::monte_carlo, d, 300, {3, 0}), degree);
      auto const mean = [&](auto const& f) {
        double sum = 0;
        for (Index l = 0; l < 300; ++l) sum += set.weights(l) * f(set.theta.col(l));
        return sum;
      };
      CHECK_THAT(set.weights.sum(), WithinAbs(1, 1e-12));
      CHECK_THAT(mean([](VectorXd const& t) { return t(0) * t(0); }),
                 WithinAbs(1 / double(d), 1e-12));
      CHECK_THAT(mean([](VectorXd const& t) { return t(0) * t(1); }), WithinAbs(0, 1e-12));
      double const fourth = mean([](VectorXd const& t) { return std::pow(t(0), 4); });
      double const mixed = mean([](VectorXd const& t) { return std::pow(t(0) * t(1), 2); });
      bool const exact = std::abs(fourth - 3 / double(d * (d + 2))) < 1e-12 &&
                         std::abs(mixed - 1 / double(d * (d + 2))) < 1e-12;
      CHECK(exact == (degree == 4));
    }
  }
  Directions const product = gauss_directions(3, 36);
  CHECK((harmonic_directions(product, 4).weights - product.weights).cwiseAbs().maxCoeff() < 1e-12);

  MatrixXd const X = cloud(3, 40, 1), Y = cloud(3, 40, 2);
  Directions const set = directions(DirectionRule::monte_carlo, 3, 40, {3, 0});
  SlicedWassersteinOptions options{.control = SlicedControl::gaussian, .harmonics = 4};
  options.answer = SlicedAnswer::gradients;
  auto const once = sliced_wasserstein(X, Y, set, options);
  options.harmonics = 0;
  auto const reused = sliced_wasserstein(X, Y, harmonic_directions(set, 4), options);
  CHECK_THAT(once.power, WithinRel(reused.power, 1e-13));
  CHECK((once.gradient_x - reused.gradient_x).norm() < 1e-13);
  CHECK(once.directions.weights == reused.directions.weights);
}

TEST_CASE("on the circle the harmonic fit is ordinary least squares") {
  Index const L = 9;
  MatrixXd const X = cloud(2, 30, 1), Y = cloud(2, 30, 2);
  Directions const set = directions(DirectionRule::monte_carlo, 2, L, {4, 0});
  auto const r = sliced_wasserstein(X, Y, set, {.control = SlicedControl::none, .harmonics = 2});
  // Normal equations in 1, cos 2 phi, sin 2 phi, solved by elimination.
  Eigen::Matrix<double, 3, 4> system = Eigen::Matrix<double, 3, 4>::Zero();
  for (Index l = 0; l < L; ++l) {
    double const phi = std::atan2(set.theta(1, l), set.theta(0, l));
    Eigen::Vector3d const f(1, std::cos(2 * phi), std::sin(2 * phi));
    system.leftCols<3>() += f * f.transpose();
    system.col(3) += r.slices(l) * f;
  }
  for (int k = 2; k > 0; --k) {
    for (int i = 0; i < k; ++i) system.row(i) -= system(i, k) / system(k, k) * system.row(k);
  }
  CHECK_THAT(r.power, WithinRel(system(0, 3) / system(0, 0), 1e-11));
}

TEST_CASE("standard errors are those of the estimate with its control") {
  MatrixXd const X = cloud(3, 60, 1), Y = cloud(3, 60, 2);
  double const truth = truth_of(X, Y);
  struct Case {
    DirectionRule rule;
    SlicedControl control;
    int harmonics;
  };
  for (Case c : {Case{DirectionRule::monte_carlo, SlicedControl::gaussian, 0},
                 Case{DirectionRule::orthogonal, SlicedControl::gaussian, 0},
                 Case{DirectionRule::monte_carlo, SlicedControl::upper_bound, 0},
                 Case{DirectionRule::monte_carlo, SlicedControl::none, 4}}) {
    CAPTURE(int(c.rule), int(c.control), c.harmonics);
    SlicedWassersteinOptions options{.projections = 60, .directions = c.rule, .control = c.control};
    options.harmonics = c.harmonics;
    double squares = 0, variance = 0;
    for (int key = 0; key < 300; ++key) {
      auto const r = sliced_wasserstein(X, Y, options, RandomKey{std::uint64_t(key), 0});
      squares += std::pow(r.power - truth, 2);
      variance += std::pow(*r.standard_error, 2);
    }
    CHECK_THAT(std::sqrt(variance / squares), WithinAbs(1, 0.15));
  }
}

TEST_CASE("a power below zero is returned as it is, with value zero") {
  MatrixXd const X = cloud(3, 40, 1), Y = X + 0.02 * cloud(3, 40, 2);
  bool found = false;
  for (std::uint64_t key = 0; key < 500 && !found; ++key) {
    auto const r =
        sliced_wasserstein(X, Y, {.projections = 7, .control = SlicedControl::none, .harmonics = 2},
                           RandomKey{key, 0});
    found = r.power < 0;
    if (found) CHECK(r.value == 0);
  }
  CHECK(found);
}

TEST_CASE("mean square errors fall by the factors that are promised") {
  int const keys = 150;
  for (bool apart : {false, true}) {
    MatrixXd const X = cloud(3, 300, 1);
    MatrixXd Y = cloud(3, 300, 2);
    Y.colwise() += VectorXd(X.rowwise().mean() - Y.rowwise().mean());
    if (apart) Y.row(1).array() += 20;
    double const truth = truth_of(X, Y);
    auto const square = [&](SlicedControl control) {
      return errors_of(X, Y, {.projections = 10, .control = control}, truth, keys).square;
    };
    double const best = square(SlicedControl::automatic);
    CAPTURE(apart, best, square(SlicedControl::none), square(SlicedControl::upper_bound));
    CHECK(square(SlicedControl::none) > (apart ? 1e4 : 40) * best);
    CHECK(square(SlicedControl::upper_bound) > 5 * best);
  }
}

TEST_CASE("the automatic control is never worse than plain Monte Carlo") {
  // Among them clouds whose Gaussian part works against the rest of the distance.
  int const keys = 150;
  for (Index d : {2, 3, 6}) {
    Index const n = 60;
    MatrixXd pair = MatrixXd::Zero(d, n), spread = cloud(d, n, 4, 1), ring(d, n);
    for (Index k = 0; k < n; ++k) {
      pair(0, k) = k % 2 ? 1 : -1;  // two clumps along an axis
      ring.col(k) = spread.col(k).normalized();
    }
    MatrixXd smooth = 0.05 * cloud(d, n, 5, 1), flat = smooth, point = MatrixXd::Ones(d, n);
    monge::random::fill_normal(smooth.row(0), RandomKey{6, 0});
    smooth.row(d - 1) *= 15;
    flat.row(0).setZero();
    std::vector<std::pair<MatrixXd, MatrixXd>> const sets = {{cloud(d, n, 1), cloud(d, n, 2)},
                                                             {pair, smooth},
                                                             {pair, ring},
                                                             {ring, spread},
                                                             {flat, pair},
                                                             {point, ring},
                                                             {pair, point},
                                                             {ring, 2 * ring},
                                                             {pair, pair.colwise().reverse()},
                                                             {spread, -spread},
                                                             {point, point},
                                                             {flat, smooth}};
    for (std::size_t s = 0; s < sets.size(); ++s) {
      auto const& [X, Y] = sets[s];
      double const truth = truth_of(X, Y);
      for (Index L : {9, 10, 15, 30}) {
        CAPTURE(d, s, L);
        // Paired by key: what the choice costs, beside its noise and one per cent.
        double plain = 0, excess = 0, squares = 0;
        for (std::uint64_t key = 0; key < std::uint64_t(keys); ++key) {
          SlicedWassersteinOptions options{.projections = L};
          double const automatic = std::pow(solve(X, Y, options, key) - truth, 2);
          options.control = SlicedControl::none;
          double const error = std::pow(solve(X, Y, options, key) - truth, 2);
          plain += error / keys;
          excess += (automatic - error) / keys;
          squares += std::pow(automatic - error, 2) / keys;
        }
        CHECK(excess <= 0.01 * plain + 2 * std::sqrt(squares / keys) + 1e-12 * truth * truth);
      }
    }
  }
}

TEST_CASE("for other exponents the upper bound and harmonics help, fixed controls do not exist") {
  MatrixXd const X = cloud(3, 100, 1), Y = cloud(3, 100, 2);
  for (double p : {1.0, 3.0}) {
    CAPTURE(p);
    double const truth = truth_of(X, Y, p);
    SlicedWassersteinOptions options{.p = p, .projections = 50};
    auto const square = [&](SlicedControl control, int harmonics) {
      options.control = control;
      options.harmonics = harmonics;
      return errors_of(X, Y, options, truth, 150).square;
    };
    double const plain = square(SlicedControl::none, 0);
    CHECK(square(SlicedControl::automatic, 0) == plain);
    CHECK(square(SlicedControl::upper_bound, 0) < plain);
    CHECK(square(SlicedControl::none, 4) < 0.2 * plain);
    CHECK_REFUSED(square(SlicedControl::gaussian, 0), "take upper_bound or harmonics");
  }
}

TEST_CASE("harmonics that directions cannot determine are refused") {
  Directions set = directions(DirectionRule::monte_carlo, 3, 30, {1, 0});
  CHECK_REFUSED(harmonic_directions(set, 1), "harmonics is 1");
  CHECK_REFUSED(harmonic_directions(set, 8), "45 functions, but there are 30 directions");
  CHECK_REFUSED(harmonic_directions(Directions{}, 2), "there are no directions");
  set.theta.row(2).setZero();
  CHECK_REFUSED(harmonic_directions(set, 2), "do not determine polynomials");
  Directions const fitted = harmonic_directions(directions(DirectionRule::sobol, 3, 30, {}), 6);
  if (fitted.weights.minCoeff() < 0)
    CHECK_REFUSED(harmonic_directions(fitted, 2), "fitted already");
}
