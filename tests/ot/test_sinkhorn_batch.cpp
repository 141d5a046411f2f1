// SPDX-License-Identifier: MIT
#include <cmath>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/entropic.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_batch.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

using support::check_identical;

MatrixXd plane(Index n, Index m, std::uint64_t seed) {
  return ot::cost_matrix(support::points(2, n, seed), support::points(2, m, seed + 100),
                         ot::squared_euclidean{});
}

/// Costs of several shapes, some with more rows than columns.
struct List {
  std::vector<MatrixXd> costs;
  std::vector<VectorXd> a, b;
  explicit List(int count) {
    for (int k = 0; k < count; ++k) {
      auto const seed = std::uint64_t(10 * k + 1);
      Index const n = 1 + 7 * k % 40, m = 1 + (5 * k + 3) % 33;
      costs.push_back(plane(n, m, seed));
      a.push_back(support::weights(n, seed + 1));
      b.push_back(support::weights(m, seed + 2));
    }
  }
};

/// |P 1 - a|_1 + |P' 1 - b|_1 of the plan, formed and summed outside the solver.
template <class C, class R>
double marginal_error(C const& cost, R const& r) {
  MatrixXd const P = ot::plan(cost, r).template cast<double>();
  VectorXd const a = r.a.template cast<double>(), b = r.b.template cast<double>();
  return ((P.rowwise().sum() - a).template lpNorm<1>() +
          (P.colwise().sum().transpose() - b).template lpNorm<1>()) /
         a.sum();
}

}  // namespace

TEST_CASE("sinkhorn_batch: two points each, epsilon 1, in closed form", "[sinkhorn_batch]") {
  Eigen::Matrix2d C;
  C << 0, 1, 1, 0;
  Eigen::Vector2d const half(0.5, 0.5);
  auto const r = ot::sinkhorn_batch(std::vector<Eigen::Matrix2d>{C, 2 * C}, half, half,
                                    {.epsilon = 1.0, .tolerance = 1e-14});
  REQUIRE(r.size() == 2);
  REQUIRE(r[0].converged());
  REQUIRE(r[1].converged());
  CHECK(std::abs(ot::plan(C, r[0])(0, 0) - 0.5 / (1 + std::exp(-1.0))) < 1e-15);
  CHECK(std::abs(ot::plan(2 * C, r[1])(0, 0) - 0.5 / (1 + std::exp(-2.0))) < 1e-15);
}

TEST_CASE("sinkhorn_batch: every answer is that of sinkhorn, from large epsilon to small",
          "[sinkhorn_batch]") {
  List const list(24);
  for (double const epsilon : {30.0, 0.5, 0.05, 0.01}) {
    auto const r =
        ot::sinkhorn_batch(list.costs, list.a, list.b, {.epsilon = epsilon, .tolerance = 1e-12});
    for (std::size_t k = 0; k < r.size(); ++k) {
      CAPTURE(epsilon, k);
      REQUIRE(r[k].converged());
      CHECK(r[k].tolerance == 1e-12);
      CHECK(r[k].epsilon == epsilon);
      CHECK(r[k].marginal_error <= 1e-12);
      CHECK(std::abs(marginal_error(list.costs[k], r[k]) - r[k].marginal_error) < 1e-14);
      auto const one = ot::sinkhorn(list.costs[k], list.a[k], list.b[k],
                                    {.epsilon = epsilon, .tolerance = 1e-12});
      REQUIRE(one.converged());
      CHECK((r[k].f - one.f).lpNorm<Eigen::Infinity>() < 1e-9 * (1 + epsilon));
      CHECK((r[k].g - one.g).lpNorm<Eigen::Infinity>() < 1e-9 * (1 + epsilon));
      CHECK(std::abs(r[k].transport_cost - one.transport_cost) < 1e-11);
      CHECK(std::abs(r[k].regularised_cost - r[k].dual_value) < 1e-10 * (1 + epsilon));
      CHECK(std::abs(r[k].a.dot(r[k].f) - r[k].b.dot(r[k].g)) < 1e-13 * (1 + epsilon));
    }
  }
}

TEST_CASE("sinkhorn_batch: an epsilon of 1e-4 and less of the cost is solved", "[sinkhorn_batch]") {
  std::vector<MatrixXd> costs;
  for (std::uint64_t k = 0; k < 8; ++k) {
    costs.push_back(plane(32, 32, 7 * k + 5));
    costs.back() /= costs.back().maxCoeff();
  }
  costs.push_back(support::matrix(30, 41, 5));
  VectorXd const w = support::uniform_weights(32);
  std::vector<VectorXd> a(8, w), b(8, w);
  a.push_back(support::weights(30, 1));
  b.push_back(support::weights(41, 2));
  for (double const epsilon : {1e-3, 1e-4, 1e-5}) {
    auto const r = ot::sinkhorn_batch(costs, a, b, {.epsilon = epsilon, .tolerance = 1e-9});
    for (std::size_t k = 0; k < r.size(); ++k) {
      CAPTURE(epsilon, k, r[k].iterations);
      REQUIRE(r[k].converged());
      CHECK(marginal_error(costs[k], r[k]) <= 1e-9);
      CHECK(r[k].iterations < 300);
    }
  }
}

TEST_CASE("sinkhorn_batch: neither threads nor the rest of the batch change a bit",
          "[sinkhorn_batch]") {
  List const list(31);
  ot::SinkhornBatchOptions options{.epsilon = 0.02};
  auto const serial = ot::sinkhorn_batch(list.costs, list.a, list.b, options);
  for (std::size_t k : {0u, 1u, 13u, 30u}) {
    auto const alone =
        ot::sinkhorn_batch(std::vector<MatrixXd>{list.costs[k]}, std::vector<VectorXd>{list.a[k]},
                           std::vector<VectorXd>{list.b[k]}, options);
    check_identical(alone[0], serial[k]);
  }
  for (int threads : {1, 2, 5}) {
    options.parallel = parallel::threads(threads);
    auto const r = ot::sinkhorn_batch(list.costs, list.a, list.b, options);
    for (std::size_t k = 0; k < r.size(); ++k) check_identical(r[k], serial[k]);
  }
}

TEST_CASE("sinkhorn_batch: clouds, lazy costs, expressions and row-major matrices agree",
          "[sinkhorn_batch]") {
  std::vector<MatrixXd> X, Y, costs;
  std::vector<VectorXd> a, b;
  std::vector<ot::PointCloud<double, ot::squared_euclidean>> lazy;
  std::vector<Eigen::Matrix<double, -1, -1, Eigen::RowMajor>> row_major;
  for (std::uint64_t k = 0; k < 6; ++k) {
    X.push_back(support::points(3, 9 + Index(k), k));
    Y.push_back(support::points(3, 14, k + 50));
    a.push_back(support::weights(9 + Index(k), k + 90));
    b.push_back(support::weights(14, k + 70));
    lazy.emplace_back(X.back(), Y.back(), ot::squared_euclidean{});
    costs.push_back(ot::cost_matrix(X.back(), Y.back(), ot::squared_euclidean{}));
    row_major.emplace_back(costs.back());
  }
  ot::SinkhornBatchOptions const options{.epsilon = 0.1, .tolerance = 1e-12};
  auto const r = ot::sinkhorn_batch(costs, a, b, options);
  auto const close = [&](auto const& other) {
    for (std::size_t k = 0; k < r.size(); ++k) {
      REQUIRE(other[k].converged());
      CHECK((other[k].f - r[k].f).template lpNorm<Eigen::Infinity>() < 1e-10);
    }
  };
  close(ot::sinkhorn_batch(X, a, Y, b, ot::squared_euclidean{}, options));
  close(ot::sinkhorn_batch(lazy, a, b, options));
  close(ot::sinkhorn_batch(row_major, a, b, options));
  auto const equal = ot::sinkhorn_batch(X, {}, Y, {}, ot::squared_euclidean{}, options);
  auto const one = ot::sinkhorn(costs[2], support::uniform_weights(11),
                                support::uniform_weights(14), {.epsilon = 0.1, .tolerance = 1e-12});
  CHECK((equal[2].f - one.f).lpNorm<Eigen::Infinity>() < 1e-10);
  // One vector for all, as a row.
  VectorXd const shared = support::weights(14, 3);
  auto const q = ot::sinkhorn_batch(costs, a, shared.transpose(), options);
  CHECK(q[4].converged());
  CHECK((q[4].b - shared).lpNorm<1>() < 1e-14);
}

TEST_CASE("sinkhorn_batch: zero weights, forbidden pairs, tiny weights and negative costs",
          "[sinkhorn_batch]") {
  MatrixXd C = plane(12, 10, 23);
  VectorXd a = support::weights(12, 1), b = support::weights(10, 2);
  a(3) = a(7) = b(0) = 0;
  a /= a.sum();
  b /= b.sum();
  MatrixXd banned = C.array() - 3;
  for (Index j = 0; j < 10; ++j) {
    for (Index i = 0; i < 12; ++i) {
      if ((i + 2 * j) % 5 == 0) banned(i, j) = infinity;
    }
  }
  MatrixXd empty_row = C;
  empty_row.row(5).setConstant(infinity);
  MatrixXd blocks = MatrixXd::Constant(12, 10, infinity);  // their masses differ
  blocks.topLeftCorner(6, 5).setZero();
  blocks.bottomRightCorner(6, 5).setZero();
  VectorXd tiny = b;
  tiny(4) = 1e-300;
  tiny /= tiny.sum();
  std::vector<MatrixXd> const costs{C, banned, empty_row, blocks, C};
  auto const r = ot::sinkhorn_batch(costs, a, std::vector<VectorXd>{b, b, b, b, tiny},
                                    {.epsilon = 0.05, .tolerance = 1e-12});
  for (std::size_t k : {0u, 1u, 4u}) {
    CAPTURE(k);
    REQUIRE(r[k].converged());
    auto const one =
        ot::sinkhorn(costs[k], a, k == 4 ? tiny : b, {.epsilon = 0.05, .tolerance = 1e-12});
    CHECK((r[k].f - one.f).lpNorm<Eigen::Infinity>() < 1e-9);
    CHECK((r[k].g - one.g).lpNorm<Eigen::Infinity>() < 1e-9);
    CHECK(marginal_error(costs[k], r[k]) <= 1e-12);
  }
  CHECK(ot::plan(costs[1], r[1])(0, 5) == 0);
  CHECK(r[2].status == Status::infeasible);
  CHECK(r[3].status == Status::infeasible);
}

TEST_CASE("sinkhorn_batch: adding to rows and columns of the cost moves the potentials only",
          "[sinkhorn_batch]") {
  MatrixXd const C = plane(15, 18, 13);
  VectorXd const u = support::matrix(15, 1, 1, -300, 300), w = support::matrix(18, 1, 2, -30, 30);
  VectorXd const a = support::weights(15, 3), b = support::weights(18, 4);
  std::vector<MatrixXd> const costs{C, (C.colwise() + u).rowwise() + w.transpose(), C * 1e-200};
  auto const r = ot::sinkhorn_batch(costs, a, b, {.epsilon = 0.05, .tolerance = 1e-10});
  REQUIRE(r[0].converged());
  REQUIRE(r[1].converged());
  REQUIRE(r[2].converged());
  CHECK((ot::plan(costs[0], r[0]) - ot::plan(costs[1], r[1])).lpNorm<Eigen::Infinity>() < 1e-9);
  CHECK((ot::plan(costs[2], r[2]) - a * b.transpose()).lpNorm<Eigen::Infinity>() < 1e-10);
}

TEST_CASE("sinkhorn_batch: limits, and a problem that is not small", "[sinkhorn_batch]") {
  List const list(9);
  auto const none = ot::sinkhorn_batch(list.costs, list.a, list.b,
                                       {.epsilon = 0.01, .tolerance = 1e-12, .max_seconds = 0});
  auto const two = ot::sinkhorn_batch(list.costs, list.a, list.b,
                                      {.epsilon = 0.01, .tolerance = 1e-12, .max_iterations = 2});
  for (std::size_t k = 3; k < 9; ++k) {
    CHECK(none[k].status == Status::time_limit);
    if (list.b[k].size() == 1) continue;  // is solved by then
    CHECK(two[k].status == Status::iteration_limit);
    CHECK(two[k].iterations == 2);
    CHECK(std::abs(marginal_error(list.costs[k], two[k]) - two[k].marginal_error) < 1e-13);
    CHECK(two[k].marginal_error < 2);
  }
  auto const beyond =
      ot::sinkhorn_batch(list.costs, list.a, list.b, {.epsilon = 0.01, .tolerance = 1e-300});
  for (std::size_t k = 3; k < 9; ++k) {
    if (list.b[k].size() > 1) CHECK(beyond[k].status == Status::precision_limit);
  }
  // What the kernel calls converged must hold for the plan of the potentials, rounding included.
  for (double const tolerance : {1e-15, 2e-15, 4e-15, 8e-15}) {
    for (auto const& r : ot::sinkhorn_batch(list.costs, list.a, list.b,
                                            {.epsilon = 0.01, .tolerance = tolerance})) {
      CHECK((r.converged() ? r.marginal_error <= tolerance : r.status == Status::precision_limit));
    }
  }
  VectorXd const w = support::uniform_weights(400);
  auto const large = ot::sinkhorn_batch(std::vector<MatrixXd>{plane(400, 400, 1)}, w, w,
                                        {.epsilon = 0.5, .tolerance = 1e-6});
  CHECK(large[0].converged());
  CHECK(ot::sinkhorn_batch(std::vector<MatrixXd>{}, w, w, {.epsilon = 1.0}).empty());
}

TEST_CASE("sinkhorn_batch: misuse is refused and the problem named", "[sinkhorn_batch]") {
  List list(4);
  auto const parallel = parallel::threads(2);
  CHECK_REFUSED(ot::sinkhorn_batch(list.costs, list.a, list.b, {}),
                "sinkhorn_batch: problem 0: sinkhorn: epsilon is not set");
  CHECK_REFUSED(ot::sinkhorn_batch(list.costs, list.a, list.b, {.epsilon = 1.0, .max_seconds = -1}),
                "sinkhorn_batch: max_seconds is -1");
  list.costs[3](0, 1) = not_a_number;
  CHECK_REFUSED(
      ot::sinkhorn_batch(list.costs, list.a, list.b, {.epsilon = 1.0, .parallel = parallel}),
      "sinkhorn_batch: problem 3: sinkhorn: cost(0, 1) is nan");
  list.a[2](1) = -1;
  CHECK_REFUSED(ot::sinkhorn_batch(list.costs, list.a, list.b, {.epsilon = 1.0}),
                "sinkhorn_batch: problem 2: sinkhorn: a(1) is -1");
  list.a.pop_back();
  CHECK_REFUSED(ot::sinkhorn_batch(list.costs, list.a, list.b, {.epsilon = 1.0}),
                "sinkhorn_batch: a has 3 entries for 4 problems");
  std::vector<MatrixXd> const X(3, MatrixXd::Zero(2, 4)), Y(2, MatrixXd::Zero(2, 4));
  CHECK_REFUSED(ot::sinkhorn_batch(X, {}, Y, {}, ot::squared_euclidean{}, {.epsilon = 1.0}),
                "X are 3 clouds and Y 2");
}
