// SPDX-License-Identifier: MIT
#include <cmath>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_multiscale.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

struct Clouds {
  MatrixXd X, Y;
  VectorXd a, b;
};

Clouds clouds(Index d, Index n, Index m, std::uint64_t seed = 1) {
  return {support::points(d, n, seed), support::points(d, m, seed + 1).array().cube().matrix(),
          support::weights(n, seed + 2), support::weights(m, seed + 3)};
}

double full_error(MatrixXd const& C, ot::SinkhornResult<double> const& r) {
  auto const sums = ot::marginals(C, r);
  return (sums.rows - r.a).lpNorm<1>() + (sums.cols - r.b).lpNorm<1>();
}

double largest(VectorXd const& x) { return x.lpNorm<Eigen::Infinity>(); }

template <class F>
void check_against_plain(Clouds const& p, F c, double epsilon) {
  MatrixXd const C = ot::cost_matrix(p.X, p.Y, c);
  ot::SinkhornOptions const options{.epsilon = epsilon, .tolerance = 1e-10};
  ot::SinkhornResult<double> const r = ot::sinkhorn(C, p.a, p.b, options);
  ot::SinkhornResult<double> const s =
      ot::sinkhorn_multiscale(ot::point_cloud(p.X, p.Y, c), p.a, p.b, options);
  REQUIRE(r.status == Status::converged);
  REQUIRE(s.status == Status::converged);
  CHECK(s.marginal_error <= 1e-10);
  // The certificate covers the pairs that were never looked at.
  CHECK(full_error(C, s) <= s.marginal_error + 1e-13);
  CHECK(std::abs(s.transport_cost - r.transport_cost) < 1e-8);
  CHECK(std::abs(s.dual_value - r.dual_value) < 1e-9);
  CHECK(largest(s.f - r.f) < 1e-6);
  CHECK(largest(s.g - r.g) < 1e-6);
  CHECK((s.a.array() == r.a.array()).all());
  CHECK(std::abs(s.a.dot(s.f) - s.b.dot(s.g)) < 1e-12);
}

}  // namespace

TEST_CASE("sinkhorn multiscale: the answer is that of sinkhorn", "[sinkhorn_multiscale]") {
  for (Index const d : {1, 2, 3}) {
    for (double const epsilon : {1.0, 0.02, 0.004}) {
      CAPTURE(d, epsilon);
      check_against_plain(clouds(d, 500, 390), ot::squared_euclidean{}, epsilon);
    }
  }
  check_against_plain(clouds(5, 150, 170), ot::squared_euclidean{}, 0.1);
  check_against_plain(clouds(2, 300, 200), ot::euclidean{}, 0.03);
}

TEST_CASE("sinkhorn multiscale: one point, few points, equal points, far clouds",
          "[sinkhorn_multiscale]") {
  for (auto const& [n, m] : {std::pair<Index, Index>{1, 1}, {1, 40}, {17, 1}, {16, 33}}) {
    CAPTURE(n, m);
    check_against_plain(clouds(2, n, m), ot::squared_euclidean{}, 0.1);
  }
  Clouds p = clouds(2, 200, 200);
  p.X.leftCols(120).colwise() = p.X.col(0);  // a heavy heap of equal points
  check_against_plain(p, ot::squared_euclidean{}, 0.05);
  p.X.array() += 30;  // the supports are far apart
  check_against_plain(p, ot::squared_euclidean{}, 0.5);
  MatrixXd const same = MatrixXd::Ones(2, 50);
  VectorXd const w = support::weights(50, 3);
  auto const r = ot::sinkhorn_multiscale(ot::point_cloud(same, same, ot::squared_euclidean{}), w, w,
                                         {.epsilon = 0.1});
  CHECK(r.status == Status::converged);
  CHECK(r.transport_cost == 0);
}

TEST_CASE("sinkhorn multiscale: weights that vanish and one that is heavy",
          "[sinkhorn_multiscale]") {
  Clouds p = clouds(2, 300, 250, 5);
  p.a(0) = 100;
  p.a(3) = p.a(250) = p.b(17) = 0;
  p.b(5) = 1e-300;
  p.a /= p.a.sum();
  p.b /= p.b.sum();
  check_against_plain(p, ot::squared_euclidean{}, 0.05);  // also the potentials of zero weights
}

TEST_CASE("sinkhorn multiscale: threads, starts, observers and limits", "[sinkhorn_multiscale]") {
  Clouds const p = clouds(2, 500, 1100, 9);
  auto const cloud = ot::point_cloud(p.X, p.Y, ot::squared_euclidean{});
  ot::SinkhornOptions options{.epsilon = 0.02};
  auto const serial = ot::sinkhorn_multiscale(cloud, p.a, p.b, options);
  REQUIRE(serial.status == Status::converged);
  options.parallel = parallel::threads(3);
  auto const threaded = ot::sinkhorn_multiscale(cloud, p.a, p.b, options);
  CHECK((threaded.f.array() == serial.f.array()).all());
  CHECK((threaded.g.array() == serial.g.array()).all());
  CHECK(threaded.marginal_error == serial.marginal_error);
  options.parallel = {};
  auto const again = ot::sinkhorn_multiscale(cloud, p.a, p.b, options, {serial.f, serial.g});
  CHECK(again.status == Status::converged);
  CHECK(again.iterations <= 2);
  options.observe_every = 1;
  auto const stopped = ot::sinkhorn_multiscale(cloud, p.a, p.b, options, {},
                                               [](Progress const& q) { return q.error > 1e-3; });
  CHECK(stopped.status == Status::stopped_by_observer);
  options.max_iterations = 3;
  auto const limited = ot::sinkhorn_multiscale(cloud, p.a, p.b, options);
  CHECK(limited.status == Status::iteration_limit);
  CHECK(limited.f.allFinite());
}

TEST_CASE("sinkhorn multiscale: cell bounds are bounds", "[sinkhorn_multiscale]") {
  Index const d = 2, n = 300, m = 170;
  MatrixXd const X = support::points(d, n, 1), Y = support::points(d, m, 2);
  ot::detail::CloudTree<double> const x(X), y(Y);
  VectorXd f(n), g(m);
  for (Index i = 0; i < n; ++i) f(i) = std::sin(3 * x.coordinates()(i, 0)) + 0.1 * double(i % 7);
  for (Index j = 0; j < m; ++j) g(j) = y.coordinates().row(j).squaredNorm() - 0.05 * double(j % 3);
  ot::detail::CellBounds<double, 16> rows(x), cols(y);
  rows.fit(x, f);
  cols.fit(y, g);
  double slack = infinity;
  for (int level = 0; level < 4; ++level) {
    Index const points = 16 << level;
    for (Index cell = x.cells_below(level); cell < x.cells_below(level + 1); ++cell) {
      REQUIRE(rows.linear(cell));
      Index const first = (cell - x.cells_below(level)) * points;
      for (Index leaf = 0; leaf < y.leaves(); ++leaf) {
        double highest = -infinity;
        for (Index i = first; i < std::min(n, first + points); ++i) {
          for (Index j = leaf * 16; j < std::min(m, leaf * 16 + 16); ++j) {
            highest = std::max(
                highest,
                f(i) + g(j) - (x.coordinates().row(i) - y.coordinates().row(j)).squaredNorm());
          }
        }
        slack = std::min(slack, rows.bound(cell, cols, leaf) - highest);
      }
    }
  }
  CHECK(slack >= 0);
  CHECK(slack < 1);
}

TEST_CASE("sinkhorn multiscale: digits cost a few reads, whatever the number of points",
          "[sinkhorn_multiscale]") {
  for (Index const n : {1000, 4000}) {
    CAPTURE(n);
    Clouds const p = clouds(2, n, n, 11);
    auto const cloud = ot::point_cloud(p.X, p.Y, ot::squared_euclidean{});
    auto const rough =
        ot::sinkhorn_multiscale(cloud, p.a, p.b, {.epsilon = 5e-3, .tolerance = 1e-3});
    auto const fine =
        ot::sinkhorn_multiscale(cloud, p.a, p.b, {.epsilon = 5e-3, .tolerance = 1e-10});
    REQUIRE(rough.converged());
    REQUIRE(fine.converged());
    CHECK(fine.iterations <= rough.iterations + 18);  // two and a half reads per digit, at any n
    CHECK(fine.iterations <= 45);
  }
}

TEST_CASE("sinkhorn multiscale: misuse is refused in the caller's words", "[sinkhorn_multiscale]") {
  Clouds const p = clouds(2, 20, 30);
  auto const cloud = ot::point_cloud(p.X, p.Y, ot::squared_euclidean{});
  CHECK_REFUSED(ot::sinkhorn_multiscale(cloud, p.b, p.b, {.epsilon = 0.1}),
                "sinkhorn_multiscale: cost is 20x30 but a has 30 entries");
  CHECK_REFUSED(ot::sinkhorn_multiscale(cloud, p.a, p.b, {}),
                "sinkhorn_multiscale: epsilon is not set");
  CHECK_REFUSED(ot::sinkhorn_multiscale(cloud, p.a * 2, p.b, {.epsilon = 0.1}), "which differ by");
  Clouds const wide = clouds(17, 20, 30);
  CHECK_REFUSED(ot::sinkhorn_multiscale(ot::point_cloud(wide.X, wide.Y, ot::squared_euclidean{}),
                                        wide.a, wide.b, {.epsilon = 0.1}),
                "at most 16 are searched, use sinkhorn for more");
}
