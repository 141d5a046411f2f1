// SPDX-License-Identifier: MIT
// Extra mass and partial transport. Oracles: complementary slackness, recomputed here; POT and
// SciPy's linprog (tests/support/oracles/partial_transport.py); the values of pyemd's
// documentation.
#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/exact.hpp>
#include <monge/ot/exact_sparse.hpp>

namespace {

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::Status;
using monge::VectorX;
using monge::ot::exact;
using monge::ot::ExactResult;
using support::refusal;

constexpr double inf = std::numeric_limits<double>::infinity();

/// Everything that makes r an optimal way to move `mass`.
void require_optimal(MatrixXd const& C, VectorXd const& a, VectorXd const& b, double mass,
                     ExactResult<double> const& r) {
  INFO(std::string(message(r.status)));
  REQUIRE(r.converged());
  REQUIRE(r.plan.rows() == C.rows());
  REQUIRE(r.plan.cols() == C.cols());
  double const u = 2.3e-16 * double(C.size() + 16);
  double const total = a.sum() + b.sum();
  MatrixXd const P = r.plan;
  REQUIRE(P.minCoeff() >= 0);
  REQUIRE(r.left_a.minCoeff() >= 0);
  REQUIRE(r.left_b.minCoeff() >= 0);
  REQUIRE((P.rowwise().sum() + r.left_a - a).cwiseAbs().sum() <= u * total);
  REQUIRE((P.colwise().sum().transpose() + r.left_b - b).cwiseAbs().sum() <= u * total);
  REQUIRE_THAT(P.sum(), WithinAbs(mass, u * total));
  double cost = 0, size = 0;
  for (Index j = 0; j < C.cols(); ++j) {
    for (Index i = 0; i < C.rows(); ++i) {
      double const scale = std::abs(r.f(i)) + std::abs(r.g(j)) + std::abs(r.mass_price);
      if (C(i, j) < inf) REQUIRE(r.f(i) + r.g(j) + r.mass_price <= C(i, j) + 1e-14 * scale);
      if (P(i, j) > 0) cost += P(i, j) * C(i, j);
      if (P(i, j) > 0) size += P(i, j) * std::abs(C(i, j));
    }
  }
  size += a.dot(r.f.cwiseAbs()) + b.dot(r.g.cwiseAbs()) + mass * std::abs(r.mass_price) +
          std::abs(r.penalty);
  double const dual = a.dot(r.f) + b.dot(r.g) + mass * r.mass_price;
  REQUIRE_THAT(cost + r.penalty, WithinAbs(dual, 4 * u * size));
  REQUIRE_THAT(r.transport_cost, WithinAbs(cost, u * size));
  REQUIRE(r.duality_gap <= 1e-13 * size);
  REQUIRE(r.marginal_error <= 1e-13);
}

/// Partial: f and g are at most 0, and 0 where mass stays.
void require_partial(MatrixXd const& C, VectorXd const& a, VectorXd const& b, double mass,
                     ExactResult<double> const& r) {
  require_optimal(C, a, b, mass, r);
  double const slack = 1e-12 * (1 + C.cwiseAbs().maxCoeff());
  for (auto const& [dual, left] : {std::pair{&r.f, &r.left_a}, {&r.g, &r.left_b}}) {
    REQUIRE(dual->maxCoeff() <= slack);
    for (Index k = 0; k < dual->size(); ++k) {
      if ((*left)(k) > 0) REQUIRE((*dual)(k) >= -slack);
    }
  }
}

struct Problem {
  MatrixXd C;
  VectorXd a, b;
};

/// The problems of partial_transport.py.
Problem problem(int n, int m, int k) {
  Problem p{MatrixXd(n, m), VectorXd(n), VectorXd(m)};
  for (int i = 0; i < n; ++i) p.a(i) = 1 + (i * (k + 2)) % 5;
  for (int j = 0; j < m; ++j) p.b(j) = 1 + (j * (k + 3)) % 7;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < m; ++j) {
      p.C(i, j) = (7 * i * i + 11 * j + 3 * i * j + k) % 29 + (5 * i + 2 * j) % 3 * 0.25 - k;
    }
  }
  return p;
}

Problem random_problem(Index n, Index m, std::uint64_t seed) {
  return {support::matrix(n, m, seed), support::matrix(n, 1, seed + 1),
          1.7 * support::matrix(m, 1, seed + 2)};
}

}  // namespace

TEST_CASE("exact: partial transport costs what POT and linprog find", "[exact]") {
  struct Case {
    int n, m, k;
    double mass, optimum;
  };
  for (Case const& x :
       {Case{4, 5, 0, 11, 52.25}, Case{7, 3, 2, 5.5, 13.375}, Case{12, 9, 5, 7.75, -36.625},
        Case{20, 31, 11, 23.25, -236.6875}, Case{1, 6, 3, 0.5, -1.375}, Case{9, 9, 0, 26, 130.5}}) {
    Problem const p = problem(x.n, x.m, x.k);
    auto const r = exact(p.C, p.a, p.b, {.mass = x.mass});
    require_partial(p.C, p.a, p.b, x.mass, r);
    REQUIRE(r.transport_cost == x.optimum);
    REQUIRE(r.penalty == 0);
    auto const mirrored = exact(p.C.transpose(), p.b, p.a, {.mass = x.mass});
    require_partial(p.C.transpose(), p.b, p.a, x.mass, mirrored);
    REQUIRE(mirrored.transport_cost == x.optimum);
  }
}

TEST_CASE("exact: extra mass is charged as pyemd charges it", "[exact]") {
  MatrixXd two(2, 2), four(4, 4);
  two << 0, 0.5, 0.5, 0;
  four << 0, 1, 1, 2, 1, 0, 2, 1, 1, 2, 0, 1, 2, 1, 1, 0;
  VectorXd const none = VectorXd::Unit(2, 1), more = Eigen::Vector2d(5, 3);
  VectorXd const a = Eigen::Vector4d(0, 2, 1, 2), b = Eigen::Vector4d(2, 1, 2, 1);
  auto const first = exact(two, none, more, {.extra_mass_penalty = 0.5});
  require_optimal(two, none, more, 1, first);
  REQUIRE(first.transport_cost + first.penalty == 3.5);
  REQUIRE(first.left_b.sum() == 7);
  REQUIRE(first.left_a.isZero(0));
  auto const second = exact(four, a, b, {.extra_mass_penalty = 2.5});
  require_optimal(four, a, b, 5, second);
  REQUIRE(second.transport_cost + second.penalty == 4.5);
  auto const third = exact(four, b, a, {.extra_mass_penalty = 0.});
  require_optimal(four, b, a, 5, third);
  REQUIRE(third.transport_cost == 2);
  REQUIRE(third.penalty == 0);
}

TEST_CASE("exact: extra mass moves the smaller mass, at a price that changes no plan", "[exact]") {
  for (std::uint64_t seed : {1u, 2u, 3u}) {
    Problem const p = random_problem(23, 17, 10 * seed);
    double const mass = std::min(p.a.sum(), p.b.sum()), extra = std::abs(p.a.sum() - p.b.sum());
    auto const r = exact(p.C, p.a, p.b, {.extra_mass_penalty = 3.});
    require_optimal(p.C, p.a, p.b, mass, r);
    REQUIRE_THAT(r.penalty, WithinRel(3 * extra, 1e-14));
    auto const partial = exact(p.C, p.a, p.b, {.mass = mass});
    require_partial(p.C, p.a, p.b, mass, partial);
    REQUIRE(partial.transport_cost == r.transport_cost);
    auto const dear = exact(p.C, p.a, p.b, {.extra_mass_penalty = 300.});
    REQUIRE(MatrixXd(dear.plan) == MatrixXd(r.plan));
  }
  // Masses that agree are not extra, and the balanced problem is solved as ever.
  Problem p = random_problem(20, 20, 5);
  p.b *= p.a.sum() / p.b.sum();
  auto const plain = exact(p.C, p.a, p.b);
  for (auto const& r : {exact(p.C, p.a, p.b, {.extra_mass_penalty = 9.}),
                        exact(p.C, p.a, p.b, {.mass = p.a.sum()})}) {
    REQUIRE(r.penalty == 0);
    REQUIRE(r.transport_cost == plain.transport_cost);
    REQUIRE(r.left_a.isZero(0));
  }
}

TEST_CASE("exact: the cost of a mass is convex in it and mass_price is its slope", "[exact]") {
  Problem const p = random_problem(15, 12, 40);
  double const most = std::min(p.a.sum(), p.b.sum());
  double const h = most / 64;
  std::vector<ExactResult<double>> r;
  for (int k = 1; k <= 64; ++k) {
    r.push_back(exact(p.C, p.a, p.b, {.mass = k * h}));
    require_partial(p.C, p.a, p.b, k * h, r.back());
  }
  for (std::size_t k = 1; k + 1 < r.size(); ++k) {
    double const below = (r[k].transport_cost - r[k - 1].transport_cost) / h;
    double const above = (r[k + 1].transport_cost - r[k].transport_cost) / h;
    REQUIRE(below <= r[k].mass_price + 1e-12);
    REQUIRE(r[k].mass_price <= above + 1e-12);
  }
  // A little mass takes the cheapest pair; it is the difference of masses of about 10.
  auto const little = exact(p.C, p.a, p.b, {.mass = 1e-6});
  REQUIRE_THAT(little.transport_cost, WithinRel(1e-6 * p.C.minCoeff(), 1e-8));
}

TEST_CASE("exact: shapes, storage and operators agree on partial transport", "[exact]") {
  using RowMajor = Eigen::Matrix<double, -1, -1, Eigen::RowMajor>;
  MatrixXd const X = support::points(2, 40, 1), Y = support::points(2, 700, 2);
  VectorXd const a = support::weights(40, 3), b = 2 * support::weights(700, 4);
  MatrixXd const C = monge::ot::cost_matrix(Y, X, monge::ot::squared_euclidean{});
  auto const dense = exact(C, b, a, {.mass = 0.4});  // the columns end in a segment of their own
  require_partial(C, b, a, 0.4, dense);
  auto const cloud = monge::ot::point_cloud(Y, X, monge::ot::squared_euclidean{});
  auto const lazy = exact(cloud, b, a, {.mass = 0.4});
  REQUIRE(lazy.transport_cost == dense.transport_cost);
  REQUIRE(MatrixXd(lazy.plan) == MatrixXd(dense.plan));
  RowMajor const rows = C;
  auto const by_rows = exact(rows, b, a, {.mass = 0.4});
  require_partial(C, b, a, 0.4, by_rows);
  REQUIRE_THAT(by_rows.transport_cost, WithinRel(dense.transport_cost, 1e-12));
}

TEST_CASE("exact: partial transport starts from earlier results", "[exact]") {
  Problem const p = random_problem(240, 200, 90);
  double const mass = 0.6 * p.a.sum();
  auto const cold = exact(p.C, p.a, p.b, {.mass = mass});
  auto const warm = exact(p.C, p.a, p.b, {.mass = mass}, {cold.f, cold.g, cold.plan});
  require_partial(p.C, p.a, p.b, mass, warm);
  REQUIRE(cold.iterations > 10);
  REQUIRE(warm.iterations <= 2);
  auto const by_duals = exact(p.C, p.a, p.b, {.mass = mass}, {cold.f, cold.g});
  require_partial(p.C, p.a, p.b, mass, by_duals);
  REQUIRE(by_duals.iterations <= 20);
  auto const by_plan = exact(p.C, p.a, p.b, {.mass = 1.1 * mass}, {.plan = cold.plan});
  require_partial(p.C, p.a, p.b, 1.1 * mass, by_plan);
}

TEST_CASE("exact: partial transport leaves forbidden pairs alone", "[exact]") {
  MatrixXd C = MatrixXd::Constant(3, 3, inf);
  C.diagonal() << 3, 1, 2;
  VectorXd const ones = VectorXd::Ones(3);
  auto const r = exact(C, ones, ones, {.mass = 2.});
  require_partial(C, ones, ones, 2, r);
  REQUIRE(r.transport_cost == 3);
  REQUIRE(r.left_a(0) == 1);
  C(0, 0) = inf;
  REQUIRE(exact(C, ones, ones, {.mass = 2.5}).status == Status::infeasible);
  REQUIRE(exact(C, ones, ones, {.mass = 2.}).converged());
}

// Found by fuzzing: with the mean cost as the price of staying, one such entry decided the rounding
// of all duals, and a plan 40 % above the optimum was called converged.
TEMPLATE_TEST_CASE("exact: costs that mean never do not drown partial transport", "[exact]", float,
                   double) {
  using S = TestType;
  VectorX<S> a(3), b(5);
  a << 1.5, 0.5, 0.5;
  b << 0.5, 1.5, 1, 0.5, 0.5;
  // Not far above it sums of doubles overflow, and exact refuses the costs.
  for (S never : {S(1e6), S(1e20), S(1e30), std::numeric_limits<S>::max() / 1024}) {
    monge::MatrixX<S> C(3, 5);
    C << 23000, never, 5000, 51000, never,  //
        29000, 26000, 10000, 10000, 38000,  //
        3000, 36000, 48000, 58000, 55000;
    Eigen::SparseMatrix<S> const arcs = C.sparseView();
    for (auto const& r : {exact(C, a, b, {.mass = 1.5}), exact(arcs, a, b, {.mass = 1.5})}) {
      INFO(never << ": " << std::string(message(r.status)));
      REQUIRE(r.converged());
      REQUIRE(r.transport_cost == 6500);
      REQUIRE(r.duality_gap == 0);
      REQUIRE(r.f.maxCoeff() <= 0);
      REQUIRE(r.g.maxCoeff() <= 0);
    }
  }
}

TEST_CASE("exact: partial transport in float", "[exact]") {
  Eigen::MatrixXf const C = support::matrix<float>(31, 27, 7);
  Eigen::VectorXf const a = Eigen::VectorXf::Constant(31, 1.f / 31),
                        b = Eigen::VectorXf::Constant(27, 1.f / 9);
  auto const r = exact(C, a, b, {.extra_mass_penalty = 0.5});
  REQUIRE(r.converged());
  auto const d =
      exact(C.cast<double>(), a.cast<double>(), b.cast<double>(), {.extra_mass_penalty = 0.5});
  REQUIRE_THAT(r.transport_cost, WithinRel(d.transport_cost, 1e-5));
  REQUIRE_THAT(r.penalty, WithinRel(1.0, 1e-6));
}

TEST_CASE("exact: misuse of the options for unequal masses is refused", "[exact]") {
  MatrixXd const C = MatrixXd::Ones(3, 2);
  VectorXd const a = VectorXd::Constant(3, 2.), b = VectorXd::Constant(2, 2.);
  auto const says = [](std::string const& text, std::string const& part) {
    INFO(text);
    REQUIRE(text.find(part) != std::string::npos);
  };
  says(refusal([&] { (void)exact(C, a, b, {.mass = 4.1}); }), "mass is 4.1; it must be positive");
  says(refusal([&] { (void)exact(C, a, b, {.mass = 0.}); }), "mass is 0; it must be positive");
  says(refusal([&] { (void)exact(C, a, b, {.mass = std::nan("")}); }), "mass is nan");
  says(refusal([&] { (void)exact(C, a, b, {.extra_mass_penalty = -1.}); }),
       "extra_mass_penalty is -1");
  says(refusal([&] { (void)exact(C, a, b, {.extra_mass_penalty = 1., .mass = 1.}); }),
       "both mass and extra_mass_penalty");
  says(refusal([&] { (void)exact(C, b, b, {.mass = 1.}); }), "cost is 3x2 but a has 2 entries");
  says(refusal([&] { (void)exact(C, VectorXd(-a), b, {.mass = 1.}); }), "a(0) is -2");
  says(refusal([&] { (void)exact(C, a, b, {.mass = 1.}, {a, a}); }), "start has 3 and 3");
  says(refusal([&] { (void)exact(C, a, b); }), "which differ by 2");
}
