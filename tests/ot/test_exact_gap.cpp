// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/problems.hpp"
#include <monge/ot/assignment.hpp>
#include <monge/ot/exact_gap.hpp>
#include <monge/ot/sinkhorn.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

TEST_CASE("exact_gap encloses the optimum, whatever the solver reached", "[exact_gap]") {
  Index const n = 40;
  MatrixXd const C = support::matrix(n, n, 3, -1, 2);
  VectorXd const w = support::uniform_weights(n);
  double const exact = double(ot::assignment(C).cost) / double(n);
  double tightest = infinity;
  for (double const epsilon : {1.0, 0.1, 0.01}) {
    for (Index const iterations : {0, 1, 10, 5000}) {
      CAPTURE(epsilon, iterations);
      auto const r = ot::sinkhorn(C, w, w, {.epsilon = epsilon, .max_iterations = iterations});
      auto const x = ot::exact_gap(C, r);
      CHECK(x.lower <= exact + 1e-13);
      CHECK(x.upper >= exact - 1e-13);
      CHECK(x.gap == x.upper - x.lower);
      tightest = std::min(tightest, double(x.gap));
    }
  }
  CHECK(tightest < 0.03);
}

TEST_CASE("exact_gap is the cost of the rounded plan against transformed duals", "[exact_gap]") {
  Index const n = 520, m = 30;
  MatrixXd const X = support::points(2, n, 1), Y = support::points(2, m, 2);
  MatrixXd const C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
  VectorXd a = support::weights(n, 3), b = support::weights(m, 4);
  a(3) = b(7) = 0;
  a /= a.sum();
  b /= b.sum();
  for (Index const iterations : {0, 1, 3, 10'000}) {  // short runs have inexact columns
    auto const r =
        ot::sinkhorn(C, a, b, {.epsilon = 0.05, .tolerance = 1e-10, .max_iterations = iterations});
    MatrixXd const P = ot::round_to_coupling(ot::plan(C, r), r.a, r.b);
    auto const x = ot::exact_gap(C, r);
    CHECK(std::abs(x.upper - C.cwiseProduct(P).sum()) < 1e-14);
    auto const lazy = ot::exact_gap(ot::point_cloud(X, Y, ot::squared_euclidean{}), r);
    CHECK(std::abs(lazy.upper - x.upper) < 1e-14);
    CHECK(std::abs(lazy.lower - x.lower) < 1e-14);
  }
}

TEST_CASE("exact_gap does not feel points without mass", "[exact_gap]") {
  MatrixXd C = support::matrix(9, 8, 7);
  C.col(7) << 0, 9, 9, 9, 9, 9, 9, 9, 9;  // potentials there would cut into the first row's
  C.row(8) << 0, 9, 9, 9, 9, 9, 9, 9;
  VectorXd a = support::weights(9, 1), b = support::weights(8, 2);
  a(8) = b(7) = 0;
  a /= a.sum();
  b /= b.sum();
  // Plain steps from the same epsilon, so that both runs take the same ones.
  ot::SinkhornOptions const options{
      .epsilon = 0.3, .acceleration = ot::Acceleration::none, .annealing = 1};
  auto const r = ot::sinkhorn(C, a, b, options);
  auto const s = ot::sinkhorn(C.topLeftCorner(8, 7), a.head(8), b.head(7), options);
  auto const x = ot::exact_gap(C, r), y = ot::exact_gap(C.topLeftCorner(8, 7), s);
  CHECK(std::abs(x.lower - y.lower) < 1e-14);
  CHECK(std::abs(x.upper - y.upper) < 1e-14);
}

TEST_CASE("exact_gap vanishes where the entropic plan is the only coupling", "[exact_gap]") {
  VectorXd const b = support::weights(9, 1), one = VectorXd::Ones(1);
  MatrixXd const C = support::matrix(1, 9, 2);
  auto const x = ot::exact_gap(C, ot::sinkhorn(C, one, b, {.epsilon = 0.1}));
  CHECK(std::abs(x.gap) < 1e-15);
  CHECK(std::abs(x.upper - C.row(0).dot(b)) < 1e-15);
}

TEST_CASE("exact_gap does not hide a forbidden pair", "[exact_gap]") {
  MatrixXd C = support::matrix(4, 4, 5);
  for (Index i = 0; i < 4; ++i) C(i, (i + 1) % 4) = infinity;
  VectorXd const w = support::uniform_weights(4);
  auto const converged = ot::sinkhorn(C, w, w, {.epsilon = 0.5, .tolerance = 1e-14});
  auto const early = ot::sinkhorn(C, w, w, {.epsilon = 0.05, .max_iterations = 0});
  CHECK(ot::exact_gap(C, early).upper == infinity);
  CHECK(ot::exact_gap(C, converged).lower <= double(ot::assignment(C).cost) / 4 + 1e-14);
}

TEST_CASE("exact_gap: float", "[exact_gap]") {
  Eigen::MatrixXf const C = support::matrix<float>(30, 20, 3);
  auto const r = ot::sinkhorn(C, support::weights<float>(30, 1), support::weights<float>(20, 2),
                              {.epsilon = 0.01});
  auto const x = ot::exact_gap(C, r);
  CHECK(x.gap > 0);
  CHECK(x.gap < 0.05);
}
