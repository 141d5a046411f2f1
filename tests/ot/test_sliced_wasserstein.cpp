// SPDX-License-Identifier: MIT
// Oracles: wasserstein_1d of the projections, closed forms for translations, differences for
// gradients. Control variates are in test_sliced_control.cpp.
#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "support/catch.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/sliced_wasserstein.hpp>
#include <monge/ot/wasserstein_1d.hpp>

namespace {

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::RandomKey;
using namespace monge::ot;

MatrixXd cloud(Index d, Index n, std::uint64_t seed) {
  MatrixXd X(d, n);
  monge::random::fill_normal(X, RandomKey{seed, 0});
  X.row(0) = X.row(0).array().exp().matrix();
  X.row(d - 1).array() += double(seed % 3);
  return X;
}

VectorXd weights(Index n, std::uint64_t seed) {
  VectorXd w(n);
  monge::random::fill_uniform(w, RandomKey{seed, 1});
  w(n / 2) = 0;
  return w / w.sum();
}

/// sum_l weight_l W_p^p(theta_l . X, theta_l . Y) by the solver for the line.
double by_lines(MatrixXd const& X, MatrixXd const& Y, VectorXd const& a, VectorXd const& b,
                Directions const& set, double p, VectorXd* slices = nullptr) {
  double sum = 0;
  for (Index l = 0; l < set.count(); ++l) {
    VectorXd const x = X.transpose() * set.theta.col(l), y = Y.transpose() * set.theta.col(l);
    Wasserstein1dOptions const options{.p = p, .answer = Answer1d::value};
    double const power = a.size() > 0 ? wasserstein_1d(x, y, a, b, options).power
                                      : wasserstein_1d(x, y, options).power;
    sum += set.weight(l) * power;
    if (slices) (*slices)(l) = power;
  }
  return sum;
}

}  // namespace

TEST_CASE("the power is the mean of the slices, each solved on the line") {
  Index const d = 3, L = 7;
  Directions const set = directions(DirectionRule::monte_carlo, d, L, {5, 0});
  for (double p : {1.0, 1.5, 2.0, 3.0}) {
    for (Index m : {300, 170}) {
      MatrixXd const X = cloud(d, 300, 1), Y = cloud(d, m, 2);
      for (bool weighted : {false, true}) {
        CAPTURE(p, m, weighted);
        VectorXd a, b, slices(L);
        if (weighted) {
          a = 3 * weights(300, 3);
          b = 3 * weights(m, 4);
        }
        double const power = by_lines(X, Y, a, b, set, p, &slices);
        SlicedWassersteinOptions const options{.p = p, .control = SlicedControl::none};
        auto const r = weighted ? sliced_wasserstein(X, Y, a, b, set, options)
                                : sliced_wasserstein(X, Y, set, options);
        REQUIRE(r.converged());
        CHECK_THAT(r.power, WithinRel(power, 1e-12));
        CHECK_THAT(r.value, WithinRel(std::pow(power, 1 / p), 1e-12));
        CHECK((r.slices - slices).cwiseAbs().maxCoeff() < 1e-12 * slices.maxCoeff());
        CHECK(r.control == SlicedControl::none);
      }
    }
  }
}

TEST_CASE("sizes at the edges of tiles and blocks of directions") {
  for (Index d : {1, 2, 5}) {
    for (Index n : {1, 2, 63, 64, 65, 129}) {
      Index const L = d == 1 ? 1 : 70;
      CAPTURE(d, n);
      MatrixXd const X = cloud(d, n, 1), Y = cloud(d, 65, 2);
      Directions const set = directions(DirectionRule::monte_carlo, d, L, {1, 0});
      auto const r = sliced_wasserstein(X, Y, set, {.control = SlicedControl::none});
      CHECK_THAT(r.power, WithinRel(by_lines(X, Y, {}, {}, set, 2), 1e-12));
    }
  }
}

TEST_CASE("in one dimension it is the distance on the line, with its gradient") {
  MatrixXd const X = cloud(1, 40, 1), Y = cloud(1, 23, 2);
  auto const r = sliced_wasserstein(X, Y, {.p = 3, .answer = SlicedAnswer::gradients}, RandomKey{});
  auto const line = wasserstein_1d(X.row(0), Y.row(0), {.p = 3, .answer = Answer1d::gradients});
  CHECK(r.directions.count() == 1);
  CHECK(!r.standard_error);
  CHECK_THAT(r.power, WithinRel(line.power, 1e-13));
  CHECK((r.gradient_x.transpose() - line.gradient_x).norm() < 1e-13);
  CHECK((r.gradient_y.transpose() - line.gradient_y).norm() < 1e-13);
}

TEST_CASE("symmetry, translation, scale, permutation and rotation") {
  Index const d = 3;
  MatrixXd const X = cloud(d, 50, 1), Y = cloud(d, 80, 2);
  Directions const set = directions(DirectionRule::orthogonal, d, 12, {2, 0});
  for (double p : {1.0, 2.0, 2.5}) {
    CAPTURE(p);
    SlicedWassersteinOptions const options{.p = p, .control = SlicedControl::none};
    double const value = sliced_wasserstein(X, Y, set, options).value;
    CHECK_THAT(sliced_wasserstein(Y, X, set, options).value, WithinRel(value, 1e-13));
    CHECK_THAT(sliced_wasserstein(3 * X, 3 * Y, set, options).value, WithinRel(3 * value, 1e-13));
    VectorXd const shift = VectorXd::Constant(d, 5.0);
    CHECK_THAT(sliced_wasserstein(X.colwise() + shift, Y.colwise() + shift, set, options).value,
               WithinRel(value, 1e-13));
    CHECK_THAT(sliced_wasserstein(X.rowwise().reverse(), Y, set, options).value,
               WithinRel(value, 1e-13));
    CHECK(sliced_wasserstein(X, X.rowwise().reverse(), set, options).power < 1e-25);
    CHECK_THAT(sliced_wasserstein(X, X, set, options).power, WithinAbs(0, 1e-25));
    MatrixXd Q = MatrixXd::Random(d, d);
    detail::orthonormalise(Q);
    Directions turned = set;
    turned.theta = Q * set.theta;
    CHECK_THAT(sliced_wasserstein(Q * X, Q * Y, turned, options).value, WithinRel(value, 1e-12));
  }
}

TEST_CASE("the triangle inequality holds for the same directions") {
  Directions const set = directions(DirectionRule::monte_carlo, 2, 20, {2, 0});
  for (double p : {1.0, 2.0, 4.0}) {
    SlicedWassersteinOptions const options{.p = p, .control = SlicedControl::none};
    MatrixXd const X = cloud(2, 30, 1), Y = cloud(2, 30, 2), Z = cloud(2, 20, 4);
    CHECK(sliced_wasserstein(X, Z, set, options).value <=
          sliced_wasserstein(X, Y, set, options).value +
              sliced_wasserstein(Y, Z, set, options).value + 1e-12);
  }
}

TEST_CASE("a shifted copy is at |shift| / sqrt(d), exactly, however few directions") {
  for (Index d : {2, 3, 20}) {
    MatrixXd const X = cloud(d, 40, 1);
    VectorXd const shift = VectorXd::LinSpaced(d, 1, 2);
    for (SlicedControl control : {SlicedControl::gaussian, SlicedControl::centring}) {
      auto const r = sliced_wasserstein(X, X.colwise() + shift,
                                        {.projections = 1, .control = control}, RandomKey{3, 0});
      CHECK_THAT(r.value, WithinRel(shift.norm() / std::sqrt(double(d)), 1e-12));
      CHECK(!r.standard_error);
    }
  }
}

TEST_CASE("gradients are those of differences") {
  Index const d = 3;
  for (double p : {1.0, 1.5, 2.0, 3.0}) {
    for (Index m : {30, 18}) {
      for (bool weighted : {false, true}) {
        CAPTURE(p, m, weighted);
        MatrixXd const X = cloud(d, 30, 1), Y = cloud(d, m, 2);
        VectorXd const a = 2 * weights(30, 3), b = 2 * weights(m, 4);
        SlicedWassersteinOptions options{.p = p, .projections = 9, .control = SlicedControl::none};
        auto const solve = [&](MatrixXd const& x, MatrixXd const& y) {
          return weighted ? sliced_wasserstein(x, y, a, b, options, RandomKey{7, 0})
                          : sliced_wasserstein(x, y, options, RandomKey{7, 0});
        };
        options.answer = SlicedAnswer::gradients;
        auto const r = solve(X, Y);
        options.answer = SlicedAnswer::value;
        double const h = 1e-6;
        for (Index k : {0, 7, 9}) {
          for (Index i = 0; i < d; ++i) {
            MatrixXd up = X, down = X;
            up(i, k) += h;
            down(i, k) -= h;
            CHECK_THAT((solve(up, Y).power - solve(down, Y).power) / (2 * h),
                       WithinAbs(r.gradient_x(i, k), 1e-8));
            up = down = Y;
            up(i, k) += h;
            down(i, k) -= h;
            CHECK_THAT((solve(X, up).power - solve(X, down).power) / (2 * h),
                       WithinAbs(r.gradient_y(i, k), 1e-8));
          }
        }
        // A common shift changes nothing, and the power is homogeneous of degree p.
        CHECK((r.gradient_x.rowwise().sum() + r.gradient_y.rowwise().sum()).norm() < 1e-13);
        CHECK_THAT(X.cwiseProduct(r.gradient_x).sum() + Y.cwiseProduct(r.gradient_y).sum(),
                   WithinRel(p * r.power, 1e-12));
        options.answer = SlicedAnswer::gradient_x;
        auto const half = solve(X, Y);
        CHECK(half.gradient_x == r.gradient_x);
        CHECK(half.gradient_y.size() == 0);
        CHECK(half.power == r.power);
      }
    }
  }
}

TEST_CASE("value_slope turns the gradient of the power into that of the distance") {
  MatrixXd const X = cloud(2, 20, 1);
  MatrixXd Y = cloud(2, 20, 2);
  for (double p : {1.0, 2.0, 3.0}) {
    SlicedWassersteinOptions options{.p = p, .answer = SlicedAnswer::gradients};
    auto const r = sliced_wasserstein(X, Y, options, RandomKey{1, 0});
    double const h = 1e-6, kept = Y(1, 3);
    Y(1, 3) = kept + h;
    double const up = sliced_wasserstein(X, Y, options, RandomKey{1, 0}).value;
    Y(1, 3) = kept - h;
    double const down = sliced_wasserstein(X, Y, options, RandomKey{1, 0}).value;
    Y(1, 3) = kept;
    CHECK_THAT(r.value_slope(p) * r.gradient_y(1, 3), WithinAbs((up - down) / (2 * h), 1e-8));
  }
}

TEST_CASE("results do not depend on the number of threads, bit for bit") {
  monge::Parallel const three = monge::parallel::threads(3);
  MatrixXd const X = cloud(5, 1500, 1), Y = cloud(5, 1100, 2);
  VectorXd const a = weights(1500, 3), b = weights(1100, 4);
  for (bool weighted : {false, true}) {
    auto const solve = [&](monge::Parallel const& parallel) {
      SlicedWassersteinOptions const options{.projections = 33,
                                             .control = SlicedControl::gaussian,
                                             .answer = SlicedAnswer::gradients,
                                             .parallel = parallel};
      return weighted ? sliced_wasserstein(X, Y, a, b, options, RandomKey{7, 0})
                      : sliced_wasserstein(X, Y, options, RandomKey{7, 0});
    };
    auto const serial = solve({}), threaded = solve(three);
    CHECK(serial.power == threaded.power);
    CHECK(*serial.standard_error == *threaded.standard_error);
    CHECK(serial.slices == threaded.slices);
    CHECK(serial.gradient_x == threaded.gradient_x);
    CHECK(serial.gradient_y == threaded.gradient_y);
  }
}

TEST_CASE("a workspace changes no bit, whatever it has seen before") {
  SlicedWorkspace<double> work;
  MatrixXd X = cloud(3, 200, 1), Y = cloud(3, 150, 2);
  VectorXd const a = weights(200, 3), b = weights(150, 4);
  for (int step = 0; step < 12; ++step) {
    CAPTURE(step);
    if (step == 6) Y = cloud(3, 170, 5);  // other sizes
    RandomKey const key{std::uint64_t(step / 4), 0};
    SlicedWassersteinOptions const options{
        .projections = 10, .answer = step % 2 ? SlicedAnswer::value : SlicedAnswer::gradients};
    bool const weighted = step % 3 == 0 && Y.cols() == 150;
    auto const solve = [&](SlicedWorkspace<double>* workspace) {
      return weighted ? sliced_wasserstein(X, Y, a, b, options, key, workspace)
                      : sliced_wasserstein(X, Y, options, key, workspace);
    };
    auto const fresh = solve(nullptr), reused = solve(&work);
    REQUIRE(fresh.power == reused.power);
    REQUIRE(fresh.gradient_x == reused.gradient_x);
    REQUIRE(fresh.gradient_y == reused.gradient_y);
    X += 0.01 * cloud(3, 200, std::uint64_t(10 + step));
  }
}

TEST_CASE("single precision agrees with double, also far from the origin") {
  MatrixXd X = cloud(3, 400, 1), Y = cloud(3, 300, 2);
  for (double shift : {0.0, 100.0}) {
    X.array() += shift;
    Y.array() += shift;
    Eigen::MatrixXf const x = X.cast<float>(), y = Y.cast<float>();
    MatrixXd const x_rounded = x.cast<double>(), y_rounded = y.cast<double>();
    for (double p : {1.0, 2.0}) {
      SlicedWassersteinOptions const options{.p = p, .answer = SlicedAnswer::gradients};
      auto const wide = sliced_wasserstein(x_rounded, y_rounded, options, RandomKey{1, 0});
      auto const narrow = sliced_wasserstein(x, y, options, RandomKey{1, 0});
      STATIC_REQUIRE(std::is_same_v<decltype(narrow.power), double>);
      CHECK_THAT(narrow.power, WithinRel(wide.power, 2e-6));
      CHECK((narrow.gradient_x.cast<double>() - wide.gradient_x).norm() <
            1e-3 * wide.gradient_x.norm());  // close projections change places
    }
  }
}

TEST_CASE("points without mass are not there, and the power is proportional to the mass") {
  MatrixXd const X = cloud(2, 20, 1), Y = cloud(2, 15, 2);
  VectorXd a = VectorXd::Constant(20, 0.1), b = VectorXd::Constant(15, 1.6 / 15);
  a.tail(4).setZero();
  RandomKey const key{1, 0};
  SlicedWassersteinOptions const options{.projections = 20, .answer = SlicedAnswer::gradients};
  auto const whole = sliced_wasserstein(X, Y, a, b, options, key);
  auto const part = sliced_wasserstein(X.leftCols(16), Y, options, key);
  CHECK_THAT(whole.power, WithinRel(1.6 * part.power, 1e-12));
  CHECK_THAT(*whole.standard_error, WithinRel(1.6 * *part.standard_error, 1e-9));
  CHECK((whole.gradient_x.leftCols(16) - 1.6 * part.gradient_x).norm() < 1e-12);
  CHECK(whole.gradient_x.rightCols(4).norm() < 1e-12);
}

TEST_CASE("the standard error is that of independent blocks, and absent where there are none") {
  MatrixXd const X = cloud(3, 60, 1), Y = cloud(3, 60, 2);
  auto const error = [&](DirectionRule rule, Index L, Index replicates = 1) {
    SlicedWassersteinOptions const options{.projections = L,
                                           .directions = rule,
                                           .control = SlicedControl::none,
                                           .replicates = replicates};
    return sliced_wasserstein(X, Y, options, RandomKey{3, 0}).standard_error;
  };
  CHECK(!error(DirectionRule::monte_carlo, 1));
  CHECK(!error(DirectionRule::gauss, 16));
  CHECK(!error(DirectionRule::sobol, 16));
  CHECK(!error(DirectionRule::orthogonal, 3));
  CHECK(error(DirectionRule::monte_carlo, 2));
  CHECK(error(DirectionRule::orthogonal, 4));
  CHECK(error(DirectionRule::sobol, 16, 2));

  for (auto [rule, L, replicates] : {std::tuple{DirectionRule::monte_carlo, Index(20), Index(1)},
                                     std::tuple{DirectionRule::orthogonal, Index(31), Index(1)},
                                     std::tuple{DirectionRule::coulomb, Index(24), Index(6)}}) {
    SlicedWassersteinOptions options{.directions = DirectionRule::gauss};
    options.projections = 900;
    options.control = SlicedControl::none;
    double const truth = sliced_wasserstein(X, Y, options, RandomKey{}).power;
    options = {.projections = L, .directions = rule, .control = SlicedControl::none};
    options.replicates = replicates;
    int const keys = 300;
    double squares = 0, variance = 0;
    for (int key = 0; key < keys; ++key) {
      auto const r = sliced_wasserstein(X, Y, options, RandomKey{std::uint64_t(key), 0});
      squares += std::pow(r.power - truth, 2) / keys;
      variance += std::pow(*r.standard_error, 2) / keys;
    }
    CAPTURE(int(rule));
    CHECK_THAT(std::sqrt(variance / squares), WithinAbs(1, 0.12));
  }
}

TEST_CASE("a generator is asked for one key") {
  MatrixXd const X = cloud(3, 10, 1), Y = cloud(3, 10, 2);
  std::mt19937_64 first(5), second(5);
  auto const r = sliced_wasserstein(X, Y, {.projections = 4}, first);
  RandomKey const key = monge::key_from(second);
  CHECK(r.power == sliced_wasserstein(X, Y, {.projections = 4}, key).power);
  CHECK(first == second);
  CHECK(r.directions.theta == directions(DirectionRule::monte_carlo, 3, 4, key).theta);
}

TEST_CASE("rows, blocks and expressions are clouds as well") {
  MatrixXd const X = cloud(3, 20, 1), Y = cloud(3, 20, 2);
  RandomKey const key{1, 0};
  double const power = sliced_wasserstein(X, Y, {}, key).power;
  Eigen::Matrix<double, 3, Eigen::Dynamic, Eigen::RowMajor> const rows = X;
  MatrixXd big(5, 30);
  big.block(1, 4, 3, 20) = Y;
  CHECK(sliced_wasserstein(rows, big.block(1, 4, 3, 20), {}, key).power == power);
  CHECK(sliced_wasserstein(2 * X - X, Y.transpose().transpose(), {}, key).power == power);
  Eigen::RowVectorXd const a = Eigen::RowVectorXd::Constant(20, 0.05);
  CHECK_THAT(sliced_wasserstein(X, Y, a, a.transpose(), {}, key).power, WithinRel(power, 1e-12));
}

TEST_CASE("powers that overflow are not converged") {
  MatrixXd const X = MatrixXd::Constant(2, 3, 1e200), Y = -X;
  auto const r = sliced_wasserstein(X, Y, {.control = SlicedControl::none}, RandomKey{});
  CHECK(r.status == monge::Status::non_finite);
}

TEST_CASE("misuse is refused in the caller's words") {
  MatrixXd const X = cloud(3, 10, 1), Y = cloud(3, 8, 2);
  RandomKey const key{};
  auto const refuse = [&](SlicedWassersteinOptions const& options) {
    return support::refusal([&] { static_cast<void>(sliced_wasserstein(X, Y, options, key)); });
  };
  auto const says = [](std::string const& text, char const* part) {
    CAPTURE(text, part);
    CHECK(text.find(part) != std::string::npos);
  };
  says(refuse({.p = 0.5}), "p is 0.5");
  says(refuse({.p = std::nan("")}), "p is nan");
  says(refuse({.projections = 0}), "projections is 0");
  says(refuse({.directions = DirectionRule::gauss, .replicates = 2}), "gauss is not random");
  says(refuse({.p = 1, .control = SlicedControl::gaussian}), "are for p = 2");
  says(refuse({.harmonics = 3}), "harmonics is 3");
  says(refuse({.projections = 5, .harmonics = 2}), "6 functions, but there are 5 directions");
  CHECK_REFUSED(sliced_wasserstein(X, Y.topRows(2), {}, key), "X is 3x10 and Y is 2x8");
  CHECK_REFUSED(sliced_wasserstein(MatrixXd(3, 0), Y, {}, key), "X has no points");
  CHECK_REFUSED(sliced_wasserstein(MatrixXd(0, 2), MatrixXd(0, 2), {}, key), "X has no rows");
  MatrixXd bad = Y;
  bad(1, 4) = std::numeric_limits<double>::quiet_NaN();
  CHECK_REFUSED(sliced_wasserstein(X, bad, {}, key), "Y(1, 4) is nan");
  bad(1, 4) = std::numeric_limits<double>::infinity();
  CHECK_REFUSED(sliced_wasserstein(X, bad, {}, key), "Y(1, 4) is inf");
  VectorXd const a = VectorXd::Constant(10, 0.1), b = VectorXd::Constant(8, 0.125);
  CHECK_REFUSED(sliced_wasserstein(X, Y, a.head(9), b, {}, key), "X is 3x10 but a has 9 entries");
  CHECK_REFUSED(sliced_wasserstein(X, Y, a, 2 * b, {}, key), "a sums to 1 and b to 2");
  Directions set = directions(DirectionRule::monte_carlo, 2, 4, key);
  CHECK_REFUSED(sliced_wasserstein(X, Y, set), "points have 3 rows but the directions have 2");
  CHECK_REFUSED(sliced_wasserstein(X, Y, Directions{}), "there are no directions");
  set = directions(DirectionRule::monte_carlo, 3, 4, key);
  set.weights = VectorXd::Ones(3);
  CHECK_REFUSED(sliced_wasserstein(X, Y, set), "4 directions with 3 weights");
}
