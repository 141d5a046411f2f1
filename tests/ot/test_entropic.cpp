// SPDX-License-Identifier: MIT
// One door to entropic transport: what it picks, that what it returns is the answer, and misuse.
#include <Eigen/SparseCore>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/entropic.hpp>

using namespace monge;
using Eigen::MatrixXd, Eigen::VectorXd;
using ot::EntropicMethod;

namespace {

struct Problem {
  MatrixXd X, Y, C;
  VectorXd a, b;
};

Problem plane(Index n, Index m) {
  Problem p;
  p.X = support::points(2, n, 1);
  p.Y = support::points(2, m, 2);
  p.C = ot::cost_matrix(p.X, p.Y, ot::squared_euclidean{});
  p.a = support::weights(n, 3);
  p.b = support::weights(m, 4);
  return p;
}

}  // namespace

TEST_CASE("entropic picks sinkhorn for large epsilon and newton for small", "[ot]") {
  Problem const p = plane(40, 50);
  double const largest = p.C.maxCoeff();
  auto const blurred = ot::entropic(p.C, p.a, p.b, {.epsilon = 0.05 * largest});
  CHECK(blurred.converged());
  CHECK(blurred.method == EntropicMethod::sinkhorn);
  auto const sharp = ot::entropic(p.C, p.a, p.b, {.epsilon = 2e-4 * largest});
  CHECK(sharp.converged());
  CHECK(sharp.method == EntropicMethod::newton);
}

TEST_CASE("entropic returns the same answer by every method", "[ot]") {
  Problem const p = plane(60, 45);
  double const epsilon = 5e-3 * p.C.maxCoeff();
  auto const reference = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-11});
  REQUIRE(reference.converged());
  auto const cloud = ot::point_cloud(p.X, p.Y, ot::squared_euclidean{});
  for (auto const method : {EntropicMethod::automatic, EntropicMethod::sinkhorn,
                            EntropicMethod::newton, EntropicMethod::multiscale}) {
    CAPTURE(int(method));
    auto const r =
        ot::entropic(cloud, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-10, .method = method});
    CHECK(r.converged());
    CHECK((r.method == method || method == EntropicMethod::automatic));
    CHECK((r.f - reference.f).cwiseAbs().maxCoeff() < 1e-7 * p.C.maxCoeff());
    CHECK((r.g - reference.g).cwiseAbs().maxCoeff() < 1e-7 * p.C.maxCoeff());
    CHECK(ot::plan(cloud, r).sum() == Approx(1).epsilon(1e-9));
  }
}

TEST_CASE("entropic takes large clouds of few coordinates to multiscale", "[ot]") {
  Index const n = 4000;
  MatrixXd const X = support::points(2, n, 5), Y = support::points(2, n, 6);
  VectorXd const w = support::uniform_weights(n);
  auto const cloud = ot::point_cloud(X, Y, ot::squared_euclidean{});
  auto const r = ot::entropic(cloud, w, w, {.epsilon = 5e-4, .tolerance = 1e-3});
  CHECK(r.converged());
  CHECK(r.method == EntropicMethod::multiscale);
}

TEST_CASE("entropic hands a run of sinkhorn that is slow over to newton", "[ot]") {
  // Two clusters far apart: the little mass that has to cross makes Sinkhorn slow, although epsilon
  // is not small against the largest cost.
  Problem p = plane(40, 40);
  p.X.leftCols(20).array() += 6;
  p.Y.leftCols(20).array() += 6;
  p.C = ot::cost_matrix(p.X, p.Y, ot::squared_euclidean{});
  double const epsilon = 1e-2 * p.C.maxCoeff();
  auto const slow = ot::sinkhorn(
      p.C, p.a, p.b,
      {.epsilon = epsilon, .tolerance = 1e-10, .max_iterations = ot::detail::patience_of_entropic});
  REQUIRE(slow.status == Status::iteration_limit);
  auto const r = ot::entropic(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-10});
  CHECK(r.converged());
  CHECK(r.method == EntropicMethod::newton);
  CHECK(r.iterations > slow.iterations);
  CHECK(r.iterations < slow.iterations + 200);
}

TEST_CASE("entropic serves sparse costs, grids, row-major matrices and float", "[ot]") {
  Problem const p = plane(20, 20);
  Eigen::SparseMatrix<double> const S = p.C.sparseView();
  auto const dense = ot::entropic(p.C, p.a, p.b, {.epsilon = 0.1});
  auto const sparse = ot::entropic(S, p.a, p.b, {.epsilon = 0.1});
  CHECK(sparse.converged());
  CHECK(sparse.method == EntropicMethod::sinkhorn);
  CHECK(sparse.transport_cost == Approx(dense.transport_cost).epsilon(1e-7));

  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  RowMajor const R = p.C;
  CHECK(ot::entropic(R, p.a, p.b, {.epsilon = 0.1}).transport_cost ==
        Approx(dense.transport_cost).epsilon(1e-7));

  auto const grid = ot::grid_cost({4, 5});
  auto const on_grid = ot::entropic(grid, p.a, p.b, {.epsilon = 0.5});
  CHECK(on_grid.converged());

  Eigen::MatrixXf const Cf = p.C.cast<float>();
  Eigen::VectorXf const af = p.a.cast<float>(), bf = p.b.cast<float>();
  auto const single = ot::entropic(Cf, af, bf, {.epsilon = 0.1});
  CHECK(single.converged());
  CHECK(single.transport_cost == Approx(dense.transport_cost).epsilon(1e-4));
}

TEST_CASE("entropic starts from potentials, stops when told, and refuses misuse in its own words",
          "[ot]") {
  Problem const p = plane(30, 30);
  auto const first = ot::entropic(p.C, p.a, p.b, {.epsilon = 0.05});
  auto const again = ot::entropic(p.C, p.a, p.b, {.epsilon = 0.05}, {first.f, first.g});
  CHECK(again.converged());
  CHECK(again.iterations <= 2);

  auto const stopped = ot::entropic(p.C, p.a, p.b, {.epsilon = 1e-3, .observe_every = 1}, {},
                                    [](Progress const&) { return false; });
  CHECK(stopped.status == Status::stopped_by_observer);

  CHECK_REFUSED(ot::entropic(p.C, p.a, p.b, {}), "entropic: epsilon is not set");
  CHECK_REFUSED(ot::entropic(p.C, p.a, p.b, {.epsilon = 0.1, .method = EntropicMethod::multiscale}),
                "entropic: multiscale takes point clouds");
  CHECK_REFUSED(ot::entropic(ot::grid_cost({5, 6}), p.a, p.b,
                             {.epsilon = 0.1, .method = EntropicMethod::newton}),
                "entropic: newton does not take");
}
