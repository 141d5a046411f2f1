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

TEST_CASE(
    "entropic picks sinkhorn for large epsilon, newton for small, and the cache for small costs",
    "[ot]") {
  auto const picked = [](Problem const& p, double share) {
    auto const r = ot::entropic(p.C, p.a, p.b, {.epsilon = share * p.C.maxCoeff()});
    CHECK(r.converged());
    return r.method;
  };
  Problem const large = plane(300, 260), middle = plane(220, 210), small = plane(40, 50);
  CHECK(picked(large, 0.05) == EntropicMethod::sinkhorn);
  CHECK(picked(large, 2e-4) == EntropicMethod::newton);
  CHECK(picked(middle, 0.05) == EntropicMethod::in_cache);
  CHECK(picked(middle, 2e-4) == EntropicMethod::newton);
  CHECK(picked(small, 0.05) == EntropicMethod::in_cache);
  CHECK(picked(small, 2e-4) == EntropicMethod::in_cache);
  // What is asked for is done, whatever the size.
  auto const asked = ot::entropic(large.C, large.a, large.b,
                                  {.epsilon = 0.05, .method = EntropicMethod::in_cache});
  CHECK(asked.converged());
  CHECK(asked.method == EntropicMethod::in_cache);
  CHECK(std::abs(asked.regularised_cost -
                 ot::sinkhorn(large.C, large.a, large.b, {.epsilon = 0.05}).regularised_cost) <
        1e-9);
}

TEST_CASE("entropic in the cache: zero weights, forbidden pairs, lazy costs, float, one point",
          "[ot]") {
  for (Index const m : {30, 55}) {  // the smaller side is that of the columns, or of the rows
    Problem p = plane(40, m);
    p.a(7) = p.a(0) = p.b(3) = 0;
    p.a /= p.a.sum();
    p.b /= p.b.sum();
    p.C(1, 2) = p.C(20, 11) = infinity;
    for (double const epsilon : {0.3, 0.01}) {
      auto const reference = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-12});
      auto const r = ot::entropic(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-11});
      REQUIRE(reference.converged());
      CHECK(r.converged());
      CHECK(r.method == EntropicMethod::in_cache);
      CHECK((r.f - reference.f).cwiseAbs().maxCoeff() < 1e-9);
      CHECK((r.g - reference.g).cwiseAbs().maxCoeff() < 1e-9);
      CHECK(std::abs(r.transport_cost - reference.transport_cost) < 1e-9);
      // From its own potentials, without a level of the annealing.
      auto const again =
          ot::entropic(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-10}, {r.f, r.g});
      CHECK(again.converged());
      CHECK(again.method == EntropicMethod::in_cache);
      CHECK(again.iterations <= 2);
    }
  }
  Problem const p = plane(25, 31);
  auto const cloud = ot::point_cloud(p.X, p.Y, ot::squared_euclidean{});
  auto const lazy = ot::entropic(cloud, p.a, p.b, {.epsilon = 0.02});
  CHECK(lazy.method == EntropicMethod::in_cache);
  CHECK((lazy.f - ot::entropic(p.C, p.a, p.b, {.epsilon = 0.02}).f).cwiseAbs().maxCoeff() < 1e-8);
  auto const single =
      ot::entropic(p.C.cast<float>(), p.a.cast<float>(), p.b.cast<float>(), {.epsilon = 0.02});
  CHECK(single.converged());
  CHECK(single.method == EntropicMethod::in_cache);
  CHECK(std::abs(double(single.dual_value) - lazy.dual_value) < 1e-4);
  VectorXd const one = VectorXd::Ones(1);
  auto const point = ot::entropic(MatrixXd(MatrixXd::Constant(1, 1, 3)), one, one, {.epsilon = 1});
  CHECK(point.converged());
  CHECK(point.transport_cost == Approx(3));
  CHECK(ot::entropic(MatrixXd(MatrixXd::Zero(1, 1)), one, one, {.epsilon = 1}).converged());
  MatrixXd blocked = p.C;
  blocked.row(4).setConstant(infinity);
  CHECK(ot::entropic(blocked, p.a, p.b, {.epsilon = 1}).status == Status::infeasible);
}

TEST_CASE("entropic in the cache: limits, and newton for what does not end", "[ot]") {
  Problem const p = plane(40, 50);
  CHECK(ot::entropic(p.C, p.a, p.b, {.epsilon = 0.01, .max_seconds = 0}).status ==
        Status::time_limit);
  // Beyond rounding there is no end: newton says so.
  auto const beyond = ot::entropic(p.C, p.a, p.b, {.epsilon = 0.01, .tolerance = 1e-300});
  CHECK(beyond.status == Status::precision_limit);
  CHECK(beyond.method == EntropicMethod::newton);
  CHECK(beyond.marginal_error < 1e-12);
  CHECK_REFUSED(ot::entropic(p.C, p.a, p.b, {.epsilon = 0.01, .max_seconds = -1}),
                "entropic: max_seconds is -1");
  CHECK_REFUSED(ot::entropic(p.C, p.a, p.b, {.epsilon = 1}, {p.a, p.a}), "entropic: start has 40");
}

TEST_CASE("entropic returns the same answer by every method", "[ot]") {
  Problem const p = plane(60, 45);
  double const epsilon = 5e-3 * p.C.maxCoeff();
  auto const reference = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-11});
  REQUIRE(reference.converged());
  auto const cloud = ot::point_cloud(p.X, p.Y, ot::squared_euclidean{});
  for (auto const method :
       {EntropicMethod::automatic, EntropicMethod::in_cache, EntropicMethod::sinkhorn,
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
  Problem p = plane(280, 280);
  p.X.leftCols(140).array() += 6;
  p.Y.leftCols(140).array() += 6;
  auto const share_out = [](VectorXd& w, double first) {
    w.head(140) *= first / w.head(140).sum();
    w.tail(140) *= (1 - first) / w.tail(140).sum();
  };
  share_out(p.a, 0.505);
  share_out(p.b, 0.5);
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
  auto const whole = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-10});
  CHECK(r.iterations < whole.iterations);
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
  CHECK(stopped.method == EntropicMethod::newton);
  auto const watched = ot::entropic(p.C, p.a, p.b, {.epsilon = 0.05, .observe_every = 1}, {},
                                    [](Progress const& q) { return q.iteration < 3; });
  CHECK(watched.status == Status::stopped_by_observer);
  CHECK(watched.method == EntropicMethod::sinkhorn);
  CHECK(watched.iterations == 3);
  CHECK_REFUSED(ot::entropic(p.C, p.a, p.b, {.epsilon = 0.1, .method = EntropicMethod::in_cache},
                             {}, [](Progress const&) { return true; }),
                "entropic: in_cache does not call observers");
  CHECK_REFUSED(ot::entropic(ot::grid_cost({5, 6}), p.a, p.b,
                             {.epsilon = 0.1, .method = EntropicMethod::in_cache}),
                "entropic: in_cache does not take");

  CHECK_REFUSED(ot::entropic(p.C, p.a, p.b, {}), "entropic: epsilon is not set");
  CHECK_REFUSED(ot::entropic(p.C, p.a, p.b, {.epsilon = 0.1, .method = EntropicMethod::multiscale}),
                "entropic: multiscale takes point clouds");
  CHECK_REFUSED(ot::entropic(ot::grid_cost({5, 6}), p.a, p.b,
                             {.epsilon = 0.1, .method = EntropicMethod::newton}),
                "entropic: newton does not take");
}

TEMPLATE_TEST_CASE("entropic solvers: a default tolerance says something, however large the costs",
                   "[ot]", float, double) {
  using S = TestType;
  Problem const p = plane(40, 33);
  MatrixX<S> const C = p.C.cast<S>();
  VectorX<S> const a = p.a.cast<S>(), b = p.b.cast<S>();
  for (double const ratio : {1.0, 100.0, 1e4, 1e12}) {  // costs over epsilon, in 0.1 / u
    double const epsilon =
        10 * double(C.maxCoeff()) * double(std::numeric_limits<S>::epsilon()) / ratio;
    CAPTURE(ratio);
    auto const check = [&](auto const& r) {
      CHECK(r.tolerance == 0.01);  // not a multiple of the largest marginal error, 2
      CHECK((!r.converged() || r.marginal_error <= 0.01));
      if (ratio > 1) CHECK_FALSE(r.converged());  // exponents have no correct digit
      CHECK(r.iterations < 5000);
    };
    check(ot::sinkhorn(C, a, b, {.epsilon = epsilon}));
    check(ot::sinkhorn_newton(C, a, b, {.epsilon = epsilon, .max_iterations = 4000}));
    check(ot::entropic(C, a, b, {.epsilon = epsilon}));
  }
}
