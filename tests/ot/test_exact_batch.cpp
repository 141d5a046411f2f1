// SPDX-License-Identifier: MIT
#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/exact_batch.hpp>

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::Status;
using support::refusal;
namespace ot = monge::ot;

/// Costs of several shapes, every third square with equal weights (which is solved as an
/// assignment).
struct List {
  std::vector<MatrixXd> costs;
  std::vector<VectorXd> a, b;
  explicit List(int count, Index scale = 1) {
    for (int k = 0; k < count; ++k) {
      auto const seed = std::uint64_t(10 * k + 1);
      Index const n = scale * (5 + 7 * k % 19), m = k % 3 == 0 ? n : scale * (4 + 5 * k % 23);
      costs.push_back(support::matrix(n, m, seed));
      a.push_back(k % 3 == 0 ? support::uniform_weights(n) : support::weights(n, seed + 1));
      b.push_back(k % 3 == 0 ? support::uniform_weights(m) : support::weights(m, seed + 2));
    }
  }
};

std::vector<MatrixXd> clouds(int count, std::uint64_t seed) {
  std::vector<MatrixXd> result;
  for (int k = 0; k < count; ++k) {
    result.push_back(support::points(2, 6 + k % 4, seed + std::uint64_t(k)));
  }
  return result;
}

std::vector<VectorXd> weights_of(std::vector<MatrixXd> const& clouds, std::uint64_t seed) {
  std::vector<VectorXd> result;
  for (MatrixXd const& X : clouds) result.push_back(support::weights(X.cols(), seed++));
  return result;
}

}  // namespace

TEST_CASE("exact_batch: each result is that of exact, bit for bit, for any number of threads",
          "[exact_batch]") {
  List const list(25);
  for (int threads : {0, 1, 2, 5}) {
    monge::Parallel const parallel =
        threads == 0 ? monge::parallel::serial() : monge::parallel::threads(threads);
    auto const results = ot::exact_batch(list.costs, list.a, list.b, {.parallel = parallel});
    REQUIRE(results.size() == 25);
    for (std::size_t k = 0; k < 25; ++k) {
      auto const one = ot::exact(list.costs[k], list.a[k], list.b[k]);
      REQUIRE(one.converged());
      REQUIRE(results[k].converged());
      REQUIRE(results[k].transport_cost == one.transport_cost);
      REQUIRE(results[k].f == one.f);
      REQUIRE(results[k].g == one.g);
      REQUIRE(MatrixXd(results[k].plan) == MatrixXd(one.plan));
    }
  }
  REQUIRE(ot::exact_batch(std::vector<MatrixXd>{}, list.a[0], list.b[0]).empty());
}

TEST_CASE("exact_batch: one vector of weights may serve all problems, and options do",
          "[exact_batch]") {
  std::vector<MatrixXd> costs;
  for (std::uint64_t k = 0; k < 6; ++k) costs.push_back(support::matrix(8, 9, k));
  VectorXd const a = support::weights(8, 1), b = 2 * support::weights(9, 2);
  auto const results = ot::exact_batch(costs, a, b, {.each = {.extra_mass_penalty = 1.}});
  for (std::size_t k = 0; k < 6; ++k) {
    auto const one = ot::exact(costs[k], a, b, {.extra_mass_penalty = 1.});
    REQUIRE(results[k].converged());
    REQUIRE(results[k].transport_cost == one.transport_cost);
    REQUIRE(results[k].penalty == one.penalty);
  }
}

TEST_CASE("exact_pairwise: every entry is that of exact, for any number of threads",
          "[exact_batch]") {
  auto const X = clouds(7, 1), Y = clouds(5, 100);
  auto const a = weights_of(X, 20), b = weights_of(Y, 40);
  ot::euclidean const c;
  auto const serial = ot::exact_pairwise(X, a, Y, b, c);
  REQUIRE(serial.converged());
  REQUIRE(serial.cost.rows() == 7);
  REQUIRE(serial.cost.cols() == 5);
  for (Index i = 0; i < 7; ++i) {
    for (Index j = 0; j < 5; ++j) {
      auto const k = std::size_t(i), l = std::size_t(j);
      auto const one = ot::exact(ot::cost_matrix(X[k], Y[l], c), a[k], b[l]);
      REQUIRE(serial.cost(i, j) == one.transport_cost);
      REQUIRE(serial.duality_gap(i, j) == one.duality_gap);
    }
  }
  for (int threads : {2, 3}) {
    auto const r =
        ot::exact_pairwise(X, a, Y, b, c, {.parallel = monge::parallel::threads(threads)});
    REQUIRE(r.cost == serial.cost);
    REQUIRE(r.iterations == serial.iterations);
  }
}

TEST_CASE("exact_pairwise: one list gives a metric", "[exact_batch]") {
  auto const X = clouds(9, 60);
  auto const r = ot::exact_pairwise(X, {}, ot::euclidean{});
  REQUIRE(r.converged());
  REQUIRE(r.cost == r.cost.transpose());
  REQUIRE(r.cost.diagonal().isZero(0));
  auto const both = ot::exact_pairwise(X, {}, X, {}, ot::euclidean{});
  REQUIRE((r.cost - both.cost).cwiseAbs().maxCoeff() <= 1e-14);
  for (Index i = 0; i < 9; ++i) {
    for (Index j = 0; j < 9; ++j) {
      if (i != j) REQUIRE(r.cost(i, j) > 0);
      for (Index k = 0; k < 9; ++k) {
        REQUIRE(r.cost(i, j) <= r.cost(i, k) + r.cost(k, j) + 1e-14);
      }
    }
  }
  REQUIRE(ot::exact_pairwise(std::vector<MatrixXd>{}, {}, ot::euclidean{}).converged());
}

TEST_CASE("exact_batch: the time limit is that of all problems together", "[exact_batch]") {
  List const list(6, 12);
  auto const results = ot::exact_batch(list.costs, list.a, list.b, {.max_seconds = 0});
  for (std::size_t k : {1u, 2u, 4u, 5u}) {  // the others are assignments, which end soon
    REQUIRE(results[k].status == Status::time_limit);
    REQUIRE(results[k].duality_gap < std::numeric_limits<double>::infinity());
  }
  auto const X = clouds(4, 3);
  auto const r = ot::exact_pairwise(X, weights_of(X, 5), ot::euclidean{}, {.max_seconds = 0});
  REQUIRE(r.status == Status::time_limit);
}

TEST_CASE("exact_batch: misuse is refused and the problem named", "[exact_batch]") {
  List list(4);
  auto const says = [](std::string const& text, std::string const& part) {
    INFO(text);
    REQUIRE(text.find(part) != std::string::npos);
  };
  auto const parallel = monge::parallel::threads(2);
  list.a[2](1) = -1;
  says(refusal([&] { (void)ot::exact_batch(list.costs, list.a, list.b, {.parallel = parallel}); }),
       "exact_batch: problem 2: exact: a(1) is -1");
  list.a.pop_back();
  says(refusal([&] { (void)ot::exact_batch(list.costs, list.a, list.b); }),
       "exact_batch: a has 3 entries for 4 problems");
  says(refusal([&] { (void)ot::exact_batch(list.costs, list.b, list.b, {.max_seconds = -1}); }),
       "max_seconds is -1");
  auto X = clouds(3, 1);
  says(refusal([&] { (void)ot::exact_pairwise(X, {VectorXd::Ones(6)}, ot::euclidean{}); }),
       "X are 3 clouds with 1 vectors of weights");
  X[1](0, 0) = std::nan("");
  says(refusal([&] { (void)ot::exact_pairwise(X, {}, ot::euclidean{}); }),
       "exact_pairwise: measures 0 and 1: point cost: NaN or infinity in Y");
}
