// SPDX-License-Identifier: MIT
// Oracles: every answer is checked by complementary slackness over all pairs, recomputed here from
// the matrix of costs; the optimum by the simplex on all pairs, by sorting on the line and by
// translations, whose optimum is known.
#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/exact.hpp"
#include "support/throws.hpp"
#include <monge/ot/exact_points.hpp>

namespace {

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::MatrixX;
using monge::Status;
using monge::VectorX;
using monge::ot::cost_matrix;
using monge::ot::exact;
using monge::ot::ExactOptions;
using monge::ot::ExactResult;
using monge::ot::ExactRoad;
using monge::ot::p_norm;
using monge::ot::point_cloud;
using monge::ot::squared_euclidean;
using support::Random;
using support::refusal;
using Quad = long double;

constexpr ExactOptions by_levels{.road = ExactRoad::coarse_to_fine};

VectorXd equal(Index n) { return VectorXd::Constant(n, 1.0 / double(n)); }

/// C: the costs, n x m, which the tree rounds in its own way.
template <class S>
void require_optimal(MatrixX<Quad> const& C, VectorX<S> const& a, VectorX<S> const& b,
                     ExactResult<S> const& r) {
  Quad const u = std::numeric_limits<S>::epsilon();
  support::require_optimal<S>(C, a, b, r, u * C.cwiseAbs().maxCoeff() / 8);
}

template <class F, class S>
MatrixX<Quad> costs(MatrixX<S> const& X, MatrixX<S> const& Y, F c) {
  return cost_matrix(X.template cast<Quad>().eval(), Y.template cast<Quad>().eval(), c);
}

/// Solves by levels and on all pairs, and checks the first.
template <class F>
ExactResult<double> solved(MatrixXd const& X, MatrixXd const& Y, F c, VectorXd const& a,
                           VectorXd const& b) {
  auto const r = exact(point_cloud(X, Y, c), a, b, by_levels);
  require_optimal<double>(costs(X, Y, c), a, b, r);
  auto const all = exact(monge::ot::DenseCost<double>(cost_matrix(X, Y, c)), a, b);
  REQUIRE_THAT(double(r.transport_cost), WithinRel(double(all.transport_cost), 1e-12));
  return r;
}

}  // namespace

TEST_CASE("exact_points: the optimum is that of the simplex on all pairs", "[exact_points]") {
  std::uint64_t seed = 0;
  for (auto [n, m] :
       {std::pair{1, 1}, {2, 3}, {1, 90}, {150, 1}, {64, 65}, {200, 200}, {331, 140}}) {
    for (Index d : {1, 2, 5}) {
      Random random(++seed);
      MatrixXd const X = random.matrix(d, n), Y = random.matrix(d, m);
      solved(X, Y, squared_euclidean{}, equal(n), equal(m));
      VectorXd const a = random.weights(n), b = random.weights(m);
      solved(X, Y, squared_euclidean{}, a, b);
    }
  }
  for (double const p : {1.0, 1.5, 2.0, 3.0, std::numeric_limits<double>::infinity()}) {
    Random random(++seed);
    MatrixXd const X = random.matrix(2, 150), Y = random.matrix(2, 170);
    VectorXd const a = random.weights(150), b = random.weights(170);
    solved(X, Y, p_norm{p}, a, b);
  }
}

TEST_CASE("exact_points: on the line the sorted points belong together", "[exact_points]") {
  Random random(3);
  MatrixXd const X = random.matrix(1, 500), Y = random.matrix(1, 500);
  auto const r = exact(point_cloud(X, Y, squared_euclidean{}), equal(500), equal(500), by_levels);
  VectorXd x = X.transpose(), y = Y.transpose();
  std::sort(x.begin(), x.end());
  std::sort(y.begin(), y.end());
  REQUIRE(r.converged());
  REQUIRE_THAT(double(r.transport_cost), WithinRel((x - y).squaredNorm() / 500, 1e-12));
}

TEST_CASE("exact_points: a shifted cloud costs the square of the shift", "[exact_points]") {
  Random random(4);
  MatrixXd const X = (random.matrix(2, 3000) * 1024).array().floor();
  VectorXd const a = random.weights(3000);
  Eigen::Vector2d const shift(40, -9);
  auto const r =
      exact(point_cloud(X, MatrixXd(X.colwise() + shift), squared_euclidean{}), a, a, by_levels);
  REQUIRE(r.converged());
  REQUIRE_THAT(double(r.transport_cost), WithinRel(shift.squaredNorm(), 1e-12));
}

TEST_CASE("exact_points: far clusters of unequal sizes, lines and equal points are solved",
          "[exact_points]") {
  Random random(5);
  MatrixXd X = 0.01 * random.matrix(2, 300), Y = 0.01 * random.matrix(2, 260);
  for (Index k = 0; k < 300; ++k) X(0, k) += double(k % 3);
  for (Index k = 0; k < 260; ++k) Y(1, k) += k % 5 == 0 ? 3 : 0;
  solved(X, Y, squared_euclidean{}, equal(300), equal(260));
  solved(X, Y, p_norm{2}, random.weights(300), random.weights(260));
  // A grid: ties everywhere. Points that coincide: cells without extent.
  MatrixXd grid(2, 256);
  for (Index k = 0; k < 256; ++k) grid.col(k) << double(k % 16), double(k / 16);
  MatrixXd const moved = grid.array() + 0.5;
  solved(grid, moved, p_norm{1}, equal(256), equal(256));
  auto const still = solved(grid, grid, squared_euclidean{}, equal(256), equal(256));
  REQUIRE(still.transport_cost == 0);
  MatrixXd const one = MatrixXd::Constant(2, 200, 7), two = MatrixXd::Constant(2, 150, 8);
  auto const heap = solved(one, two, squared_euclidean{}, random.weights(200), random.weights(150));
  REQUIRE_THAT(double(heap.transport_cost), WithinRel(2.0, 1e-14));
}

TEST_CASE("exact_points: in float the certificate holds for costs in double", "[exact_points]") {
  Random random(6);
  Eigen::MatrixXf const X = random.matrix(2, 300).cast<float>(),
                        Y = random.matrix(2, 200).cast<float>();
  Eigen::VectorXf const a = random.weights(300).cast<float>(),
                        b = random.weights(200).cast<float>();
  auto const r = exact(point_cloud(X, Y, squared_euclidean{}), a, b, by_levels);
  require_optimal<float>(costs(X, Y, squared_euclidean{}), a, b, r);
}

TEST_CASE("exact_points: points without mass stay empty, with the largest potential",
          "[exact_points]") {
  Random random(7);
  MatrixXd const X = random.matrix(2, 220), Y = random.matrix(2, 190);
  VectorXd a = random.weights(220), b = random.weights(190);
  for (Index k : {0, 7, 219}) a(k) = 0;
  for (Index k : {0, 100}) b(k) = 0;
  a /= a.sum();
  b /= b.sum();
  auto const r = solved(X, Y, squared_euclidean{}, a, b);
  MatrixXd const C = cost_matrix(X, Y, squared_euclidean{});
  for (Index k : {0, 7, 219}) {
    REQUIRE_THAT(r.f(k), WithinAbs((C.row(k).transpose() - r.g).minCoeff(), 1e-15));
  }
}

TEST_CASE("exact_points: scaled points, any start, and every run give the same plan",
          "[exact_points]") {
  Random random(8);
  MatrixXd const X = random.matrix(2, 400), Y = random.matrix(2, 350);
  VectorXd const a = random.weights(400), b = random.weights(350);
  auto const cloud = point_cloud(X, Y, squared_euclidean{});
  auto const r = exact(cloud, a, b, by_levels), again = exact(cloud, a, b, by_levels);
  REQUIRE(again.iterations == r.iterations);
  REQUIRE((again.f.array() == r.f.array()).all());
  REQUIRE(MatrixXd(again.plan) == MatrixXd(r.plan));
  auto const scaled =
      exact(point_cloud(0x1p-30 * X, 0x1p-30 * Y, squared_euclidean{}), a, b, by_levels);
  REQUIRE(scaled.transport_cost == 0x1p-60 * r.transport_cost);
  auto const warm = exact(cloud, a, b, by_levels, {r.f, r.g});
  require_optimal<double>(costs(X, Y, squared_euclidean{}), a, b, warm);
  REQUIRE(warm.iterations < r.iterations / 2);
  auto const poor = exact(cloud, a, b, by_levels, {a, VectorXd(100 * b)});
  require_optimal<double>(costs(X, Y, squared_euclidean{}), a, b, poor);
}

TEST_CASE("exact_points: the road is chosen by size and dimension, or forced", "[exact_points]") {
  Random random(9);
  MatrixXd const X = random.matrix(2, 2000), Y = random.matrix(2, 2000);
  auto const many = point_cloud(X, Y, squared_euclidean{});
  auto const chosen = exact(many, equal(2000), equal(2000));
  auto const forced = exact(many, equal(2000), equal(2000), by_levels);
  REQUIRE(chosen.converged());
  REQUIRE(chosen.iterations == forced.iterations);
  REQUIRE((chosen.f.array() == forced.f.array()).all());
  MatrixXd const P = random.matrix(2, 40), Q = random.matrix(2, 40);
  auto const few = point_cloud(P, Q, squared_euclidean{});
  auto const small = exact(few, equal(40), equal(40));
  auto const pairs = exact(few, equal(40), equal(40), {.road = ExactRoad::all_pairs});
  REQUIRE(small.iterations == pairs.iterations);
  REQUIRE((small.f.array() == pairs.f.array()).all());
}

TEST_CASE("exact_points: points so far apart that costs overflow are forbidden pairs",
          "[exact_points]") {
  MatrixXd X(1, 2), Y(1, 2);
  X << 0, 1e200;
  Y << 1e200, 3;
  auto const r = exact(point_cloud(X, Y, squared_euclidean{}), equal(2), equal(2), by_levels);
  REQUIRE(r.converged());
  REQUIRE(r.transport_cost == 4.5);
}

TEST_CASE("exact_points: a run that is copied and resumed has the bits of one that is not",
          "[exact_points]") {
  Random random(10);
  MatrixXd const X = random.matrix(2, 300), Y = random.matrix(2, 280);
  VectorXd a = VectorXd::Constant(300, 280), b = VectorXd::Constant(280, 300);
  a(3) = 560;
  a(4) = 0;
  monge::ot::ExactPoints const method(point_cloud(X, Y, squared_euclidean{}), a, b);
  auto const whole = method.result(monge::iterate(method, {.max_iterations = 1000000}));
  require_optimal<double>(costs(X, Y, squared_euclidean{}), a, b, whole);
  support::require_resumable(method, whole);
}

TEST_CASE("exact_points: a plan is a start, and a poor one does no harm", "[exact_points]") {
  Random random(12);
  MatrixXd const X = random.matrix(2, 400), Y = random.matrix(2, 350);
  VectorXd a = random.weights(400), b = random.weights(350);
  a(5) = b(6) = 0;
  a /= a.sum();
  b /= b.sum();
  auto const cloud = point_cloud(X, Y, squared_euclidean{});
  auto const cold = exact(cloud, a, b, by_levels);
  // This plan is a basis: it determines the potentials.
  auto const warm = exact(cloud, a, b, by_levels, {.plan = cold.plan});
  require_optimal<double>(costs(X, Y, squared_euclidean{}), a, b, warm);
  REQUIRE(warm.iterations <= 2);
  REQUIRE(exact(cloud, a, b, by_levels, {cold.f, cold.g, cold.plan}).iterations <= 2);
  // A matching determines half of a basis; the rest is found from coarse to fine.
  auto const square = point_cloud(X, X.array().square().matrix().eval(), squared_euclidean{});
  auto const pairs = exact(square, equal(400), equal(400), by_levels);
  auto const from_pairs = exact(square, equal(400), equal(400), by_levels, {.plan = pairs.plan});
  REQUIRE(from_pairs.converged());
  REQUIRE_THAT(double(from_pairs.transport_cost), WithinRel(double(pairs.transport_cost), 1e-13));
  REQUIRE(from_pairs.iterations < pairs.iterations);
  auto const from_all =
      exact(square, equal(400), equal(400), by_levels, {pairs.f, pairs.g, pairs.plan});
  REQUIRE(from_all.iterations <= 20);
  // Cycles, wrong marginals, points without mass.
  Eigen::SparseMatrix<double> const all = random.matrix(400, 350).sparseView();
  auto const poor = exact(cloud, a, b, by_levels, {.plan = all});
  require_optimal<double>(costs(X, Y, squared_euclidean{}), a, b, poor);
}

TEST_CASE("exact_points: limits and the observer end a run with feasible potentials",
          "[exact_points]") {
  Random random(11);
  MatrixXd const X = random.matrix(2, 500), Y = random.matrix(2, 400);
  VectorXd const a = random.weights(500), b = random.weights(400);
  auto const cloud = point_cloud(X, Y, squared_euclidean{});
  MatrixXd const C = cost_matrix(X, Y, squared_euclidean{});
  auto const optimal = exact(cloud, a, b, by_levels);
  Index calls = 0;
  auto const watch = [&](monge::Progress const& progress) {
    ++calls;
    REQUIRE(progress.error >= 0);
    return progress.iteration < 50;
  };
  ExactOptions none = by_levels, some = by_levels, most = by_levels, hasty = by_levels,
               watched = by_levels;
  none.max_iterations = 0;
  some.max_iterations = 60;
  most.max_iterations = optimal.iterations - 5;
  hasty.max_seconds = 0;
  watched.observe_every = 10;
  for (auto const& [r, status] :
       {std::pair{exact(cloud, a, b, none), Status::iteration_limit},
        std::pair{exact(cloud, a, b, some), Status::iteration_limit},
        std::pair{exact(cloud, a, b, most), Status::iteration_limit},
        std::pair{exact(cloud, a, b, hasty), Status::time_limit},
        std::pair{exact(cloud, a, b, watched, {}, watch), Status::stopped_by_observer}}) {
    REQUIRE(r.status == status);
    REQUIRE(((C.colwise() - r.f).rowwise() - r.g.transpose()).minCoeff() >= -1e-14);
    REQUIRE(a.dot(r.f) + b.dot(r.g) <= optimal.transport_cost * (1 + 1e-12));
    REQUIRE(r.duality_gap >= r.transport_cost - optimal.transport_cost);
  }
  REQUIRE(calls == 5);
  auto const late = exact(cloud, a, b, most);
  REQUIRE(late.iterations == optimal.iterations - 5);
  REQUIRE(late.marginal_error <= 1e-13);
}

TEST_CASE("exact_points: the tree finds the nearest points under weights", "[exact_points]") {
  using monge::ot::detail::Neighbour;
  for (Index n : {1, 15, 16, 17, 33, 300}) {
    for (Index d : {1, 3, 20}) {
      Random random(std::uint64_t(n + d));
      MatrixXd const all = random.matrix(d, n), X = random.matrix(d, 10);
      auto const order = monge::ot::detail::cell_order(all);
      MatrixXd const Y = monge::ot::detail::columns_at(all, order);
      VectorXd const w = random.matrix(n, 1);
      monge::ot::detail::PointTree<double, squared_euclidean> const tree({}, Y);
      auto const weights = tree.weigh(w);
      for (Index k = 0; k < 10; ++k) {
        VectorXd reduced = (Y.colwise() - X.col(k)).colwise().squaredNorm().transpose() - w;
        std::sort(reduced.begin(), reduced.end());
        Neighbour<double> found[5];
        double const limit = reduced(std::min<Index>(n - 1, 3)) + 1e-9;
        Index const count = tree.nearest(weights, X.col(k).data(), 5, limit, found);
        REQUIRE(count == std::min<Index>(n, 4));
        for (Index q = 0; q < count; ++q) {
          REQUIRE_THAT(found[q].reduced, WithinAbs(reduced(q), 1e-13));
          REQUIRE_THAT(found[q].cost - w(found[q].index), WithinAbs(found[q].reduced, 1e-15));
        }
      }
    }
  }
}

TEST_CASE("exact_points: misuse is refused in the caller's words", "[exact_points]") {
  auto const cloud = point_cloud(MatrixXd::Zero(2, 3), MatrixXd::Ones(2, 2), squared_euclidean{});
  VectorXd const a = VectorXd::Constant(3, 2.), b = VectorXd::Constant(2, 3.);
  auto const says = [](std::string const& text, std::string const& part) {
    INFO(text);
    REQUIRE(text.find(part) != std::string::npos);
  };
  says(refusal([&] { (void)exact(cloud, b, b, by_levels); }), "cost is 3x2 but a has 2 entries");
  says(refusal([&] { (void)exact(cloud, a, a, by_levels); }), "cost is 3x2 but b has 3 entries");
  says(refusal([&] { (void)exact(cloud, a, VectorXd(2 * b), by_levels); }), "which differ by 6");
  says(refusal([&] { (void)exact(cloud, VectorXd(-a), b, by_levels); }), "exact: a(0) is -2");
  says(refusal([&] { (void)exact(cloud, a, b, by_levels, {b, b}); }),
       "start has 2 and 2 potentials");
  says(refusal([&] {
         (void)exact(cloud, a, b, by_levels, {.plan = Eigen::SparseMatrix<double>(2, 3)});
       }),
       "the plan to start from is 2x3 but the cost is 3x2");
  ExactOptions bad = by_levels;
  bad.max_iterations = -1;
  says(refusal([&] { (void)exact(cloud, a, b, bad); }), "max_iterations is -1");
}
