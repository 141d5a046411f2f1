// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/entropic.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/sinkhorn_barycenter.hpp>

using namespace monge;

namespace {

using support::largest;

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;
using Options = ot::SinkhornBarycenterOptions;
using ot::sinkhorn_barycenter;

double spread(Vector const& x) { return x.maxCoeff() - x.minCoeff(); }

constexpr Index points = 161;
constexpr double step = 0.1;  // the line from -8 to 8

Vector normal(double mean, double variance) {
  Vector w(points);
  for (Index i = 0; i < points; ++i) {
    double const z = -8 + step * double(i) - mean;
    w(i) = std::exp(-z * z / (2 * variance));
  }
  return w / w.sum();
}

}  // namespace

TEST_CASE("sinkhorn_barycenter: normal distributions have a closed form, blurred and not",
          "[sinkhorn_barycenter]") {
  Matrix A(points, 2);
  A << normal(-1, 0.5), normal(1.5, 0.5);
  Vector const weights = Vector::Map(std::initializer_list<double>{0.6, 0.4}.begin(), 2);
  auto const line = ot::grid_cost({points}, {.spacing = {step}});
  for (double const epsilon : {0.1, 0.5}) {
    CAPTURE(epsilon);
    auto const blurred = sinkhorn_barycenter(
        A, line, weights, {.epsilon = epsilon, .debiased = false, .tolerance = 1e-11});
    REQUIRE(blurred.converged());
    CHECK(largest(blurred.barycenter - normal(0, 0.5 + epsilon / 2)) <= 1e-9);
    auto const sharp = sinkhorn_barycenter(
        A, line, weights, {.epsilon = epsilon, .debiased = true, .tolerance = 1e-11});
    REQUIRE(sharp.converged());
    CHECK(largest(sharp.barycenter - normal(0, 0.5)) <= 1e-9);
  }
}

TEST_CASE("sinkhorn_barycenter: one histogram is its own barycentre", "[sinkhorn_barycenter]") {
  Vector a = 3 * support::weights(30, 1);
  Matrix const C = ot::cost_matrix(support::points(2, 30, 2), support::points(2, 30, 2),
                                   ot::squared_euclidean{});
  auto const r = sinkhorn_barycenter(a, C, {.epsilon = 0.05, .debiased = true, .tolerance = 1e-12});
  REQUIRE(r.converged());
  // b is off by the residual over the gap of the iteration's spectrum, here about 1/300.
  CHECK(largest(r.barycenter - a) <= 1e-9);
  auto const blurred = sinkhorn_barycenter(a, C, {.epsilon = 0.05, .debiased = false});
  CHECK(largest(blurred.barycenter - a) > 1e-2);
  // Equal histograms count as one, whatever their weights are.
  Matrix many(30, 3);
  many << a, a, a;
  Vector const weights = support::weights(3, 5);
  auto const same = sinkhorn_barycenter(many, C, weights,
                                        {.epsilon = 0.05, .debiased = true, .tolerance = 1e-12});
  CHECK(largest(same.barycenter - a) <= 1e-9);
}

TEST_CASE("sinkhorn_barycenter: stationary by the potentials of another solver, uneven weights",
          "[sinkhorn_barycenter]") {
  Matrix const X = support::points(2, 20, 3), Y = support::points(2, 16, 4);
  Matrix A(20, 3);
  A << support::weights(20, 5), support::weights(20, 6), support::weights(20, 7);
  A(4, 1) = 0;
  A.col(1) /= A.col(1).sum();
  Vector const weights = Vector::Map(std::initializer_list<double>{0.7, 0.1, 0.2}.begin(), 3);
  double const epsilon = 0.1;
  auto const transport = [&](Matrix const& C, Vector const& a, Vector const& b) {
    return ot::sinkhorn(C, a, b * (a.sum() / b.sum()), {.epsilon = epsilon, .tolerance = 1e-12});
  };
  // sum_k lambda_k log v_k = 0 for v_k = b exp(g_k / epsilon), up to the gauge.
  Matrix const between = ot::cost_matrix(X, Y, ot::squared_euclidean{});
  auto const blurred = sinkhorn_barycenter(
      A, between, weights, {.epsilon = epsilon, .debiased = false, .tolerance = 1e-12});
  REQUIRE(blurred.converged());
  Vector slope = epsilon * blurred.barycenter.array().log();
  for (Index k = 0; k < 3; ++k) {
    auto const r = transport(between, A.col(k), blurred.barycenter);
    slope += weights(k) * r.g;
    // The potentials of the result are those of the plans.
    CHECK(spread(r.f - blurred.f.col(k)) <= 1e-9);
    CHECK(spread(r.g - blurred.g.col(k)) <= 1e-9);
  }
  CHECK(spread(slope) <= 1e-9);

  Matrix const within = ot::cost_matrix(X, X, ot::squared_euclidean{});
  auto const sharp = sinkhorn_barycenter(
      A, within, weights, {.epsilon = epsilon, .debiased = true, .tolerance = 1e-12});
  REQUIRE(sharp.converged());
  slope = -transport(within, sharp.barycenter, sharp.barycenter).g;
  for (Index k = 0; k < 3; ++k) {
    slope += weights(k) * transport(within, A.col(k), sharp.barycenter).g;
  }
  CHECK(spread(slope) <= 1e-9);
}

TEST_CASE("sinkhorn_barycenter: grids, order, scale, scalars and threads",
          "[sinkhorn_barycenter]") {
  auto const grid = ot::grid_cost({6, 5}, {.spacing = {0.2, 0.2}});
  Matrix C(30, 30);
  for (Index j = 0; j < 30; ++j) {
    Vector column(30);
    C.col(j) = Vector::Map(grid.column_segment(j, 0, 30, column.data()), 30);
  }
  Matrix A(30, 3), turned(30, 3);
  A << support::weights(30, 8), support::weights(30, 9), support::weights(30, 10);
  turned << A.col(2), A.col(0), A.col(1);
  Vector const weights = Vector::Map(std::initializer_list<double>{1, 2, 5}.begin(), 3);
  Vector const order = Vector::Map(std::initializer_list<double>{5, 1, 2}.begin(), 3);
  for (bool const debiased : {false, true}) {
    Options options{.epsilon = 0.05, .debiased = debiased, .tolerance = 1e-11};
    auto const r = sinkhorn_barycenter(A, grid, weights, options);
    REQUIRE(r.converged());
    CHECK(std::abs(r.barycenter.sum() - 1) <= 1e-10);
    CHECK(r.barycenter.minCoeff() > 0);
    CHECK(largest(sinkhorn_barycenter(A, C, weights, options).barycenter - r.barycenter) <= 1e-10);
    CHECK(largest(sinkhorn_barycenter(turned, grid, order, options).barycenter - r.barycenter) <=
          1e-10);
    CHECK(largest(sinkhorn_barycenter(4 * A, grid, weights, options).barycenter -
                  4 * r.barycenter) <= 1e-9);
    auto const narrow =
        sinkhorn_barycenter(A.cast<float>(), ot::grid_cost<float>({6, 5}, {.spacing = {0.2, 0.2}}),
                            weights.cast<float>(), {.epsilon = 0.05, .debiased = debiased});
    CHECK(narrow.converged());
    CHECK(largest(narrow.barycenter.cast<double>() - r.barycenter) <= 1e-4);
    options.parallel = parallel::threads(3);
    CHECK(sinkhorn_barycenter(A, grid, weights, options).barycenter == r.barycenter);
  }
}

TEST_CASE("sinkhorn_barycenter: the acceleration saves steps and changes no answer",
          "[sinkhorn_barycenter]") {
  Index const n = 16;
  auto const grid = ot::grid_cost({n, n}, {.spacing = {1.0 / n, 1.0 / n}});
  Matrix A(n * n, 3);
  double const centre[3][2] = {{0.3, 0.3}, {0.7, 0.35}, {0.4, 0.7}};
  for (Index k = 0; k < 3; ++k) {
    for (Index i = 0; i < n * n; ++i) {
      double const x = (double(i % n) + 0.5) / n - centre[k][0];
      double const y = (double(i / n) + 0.5) / n - centre[k][1];
      A(i, k) = std::exp(-(x * x + y * y) / 0.01);
    }
    A(n * k, k) = 0;  // a point that takes no part
    A.col(k) /= A.col(k).sum();
  }
  for (bool const debiased : {false, true}) {
    Options options{.epsilon = 4e-3, .debiased = debiased, .tolerance = 1e-9};
    auto const r = sinkhorn_barycenter(A, grid, options);
    options.acceleration = ot::Acceleration::none;
    auto const plain = sinkhorn_barycenter(A, grid, options);
    CAPTURE(debiased, r.iterations, plain.iterations);
    REQUIRE(r.converged());
    REQUIRE(plain.converged());
    CHECK(2 * r.iterations < plain.iterations);
    CHECK(largest(r.barycenter - plain.barycenter) <= 1e-7);
    // Stopped at any step of the last level, what is returned is about as good as what was reached.
    options.acceleration = ot::Acceleration::anderson;
    double best = infinity;
    for (options.max_iterations = 45; options.max_iterations < 85; ++options.max_iterations) {
      double const error = sinkhorn_barycenter(A, grid, options).marginal_error;
      CHECK(error <= 4 * best);
      best = std::min(best, error);
    }
  }
}

TEST_CASE("sinkhorn_barycenter: small epsilon, limits and resumption", "[sinkhorn_barycenter]") {
  Matrix A(points, 2);
  A << normal(-4, 0.02), normal(4, 0.02);
  auto const line = ot::grid_cost({points}, {.spacing = {step}});
  // exp(-C / epsilon) of the ends is exp(-25600): nothing over- or underflows.
  auto const r =
      sinkhorn_barycenter(A, line, {.epsilon = 0.01, .debiased = true, .max_iterations = 400});
  CHECK((r.converged() || r.status == Status::iteration_limit));
  CHECK(r.barycenter.allFinite());
  CHECK(std::abs(r.barycenter(points / 2) - r.barycenter.maxCoeff()) <= 1e-12);
  CHECK(sinkhorn_barycenter(A, line, {.epsilon = 0.01, .max_seconds = 0}).status ==
        Status::time_limit);
  ot::SinkhornBarycenter<double> const method(line, A, Vector::Ones(2),
                                              {.epsilon = 0.1, .debiased = true});
  auto state = method.init();
  CHECK(method.advance(state, 10).steps == 10);
  auto copy = state;
  CHECK(method.advance(state, 20).steps == 20);
  CHECK(method.advance(copy, 7).steps == 7);
  CHECK(method.advance(copy, 13).steps == 13);
  CHECK(copy.f == state.f);
}

TEST_CASE("sinkhorn_barycenter: misuse is refused", "[sinkhorn_barycenter]") {
  Matrix A(4, 2), C = support::matrix(4, 4, 1);
  A << support::weights(4, 2), support::weights(4, 3);
  Vector const two = Vector::Ones(2);
  CHECK_REFUSED(sinkhorn_barycenter(
                    A, C, two, {.epsilon = 1, .acceleration = ot::Acceleration::over_relaxation}),
                "there is no over-relaxation here");
  CHECK_REFUSED(sinkhorn_barycenter(A, C, two, {.epsilon = 1, .debiased = true}),
                "needs a symmetric cost");
  CHECK_REFUSED(sinkhorn_barycenter(A, C.leftCols(3), two, {.epsilon = 1, .debiased = true}),
                "needs a square, symmetric cost");
  C = Matrix(C + C.transpose());
  CHECK_REFUSED(sinkhorn_barycenter(A, C, two, {}), "epsilon is not set");
  CHECK_REFUSED(sinkhorn_barycenter(A, C, Vector::Ones(3), {.epsilon = 1}),
                "there are 2 histograms but 3 weights");
  CHECK_REFUSED(sinkhorn_barycenter(A, C, Vector::Zero(2), {.epsilon = 1}), "weights sum to 0");
  CHECK_REFUSED(sinkhorn_barycenter(A.topRows(3), C, two, {.epsilon = 1}),
                "cost is 4x4 but the histograms are 3x2");
  A.col(1) *= 2;
  CHECK_REFUSED(sinkhorn_barycenter(A, C, two, {.epsilon = 1}), "rescale them to equal masses");
  A(1, 1) = -1;
  CHECK_REFUSED(sinkhorn_barycenter(A, C, two, {.epsilon = 1}), "a(1) is -1");
}
