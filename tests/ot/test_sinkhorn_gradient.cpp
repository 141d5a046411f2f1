// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/entropic.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_gradient.hpp>

using namespace monge;

namespace {

using support::largest;

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;
using Direction = ot::SinkhornDirection<double>;

ot::SinkhornResult<double> solve(Matrix const& C, Vector const& a, Vector const& b,
                                 double epsilon) {
  return ot::sinkhorn(C, a, b, {.epsilon = epsilon, .tolerance = 1e-14, .max_iterations = 5000});
}

/// A problem of mass 2 with weights of 0 on both sides, and a direction that gives them mass.
struct Problem {
  Index n = 9, m = 7;
  double epsilon = 0.15;
  Matrix X = support::points(2, n, 1), Y = support::points(2, m, 2);
  Matrix C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
  Vector a = 2 * support::weights(n, 3), b = 2 * support::weights(m, 4);
  Direction direction;
  ot::SinkhornResult<double> r;

  explicit Problem(bool zeros = true) {
    if (zeros) {
      a(2) = 0;
      b(5) = 0;
      a *= 2 / a.sum();
      b *= 2 / b.sum();
    }
    direction = {support::matrix(n, m, 5, -1, 1), support::matrix(n, 1, 6, -0.1, 0.1),
                 support::matrix(m, 1, 7, -0.1, 0.1)};
    direction.a(2) = std::abs(direction.a(2));
    direction.b(5) = std::abs(direction.b(5));
    direction.b(0) += direction.a.sum() - direction.b.sum();
    r = solve(C, a, b, epsilon);
  }
  [[nodiscard]] ot::SinkhornResult<double> moved(double h) const {
    return solve(C + h * direction.cost, a + h * direction.a, b + h * direction.b, epsilon);
  }
  [[nodiscard]] Matrix moved_plan(double h) const {
    return ot::plan(C + h * direction.cost, moved(h));
  }
};

}  // namespace

TEST_CASE("sinkhorn_tangent: the derivative of the potentials and of the plan, gauge included",
          "[sinkhorn_gradient]") {
  Problem const p(false);
  auto const t = ot::sinkhorn_tangent(p.C, p.r, p.direction);
  REQUIRE(t.converged());
  CHECK(t.residual <= 1e-8);
  double const h = 1e-5;
  auto const up = p.moved(h), down = p.moved(-h);
  CHECK(largest(t.f - (up.f - down.f) / (2 * h)) <= 1e-8);
  CHECK(largest(t.g - (up.g - down.g) / (2 * h)) <= 1e-8);
  Matrix const dP = ot::plan_tangent(p.C, p.r, p.direction, t);
  CHECK(largest(dP - (p.moved_plan(h) - p.moved_plan(-h)) / (2 * h)) <= 1e-8);
  // The marginals of dP are the changes of the weights.
  CHECK(largest(dP.rowwise().sum() - p.direction.a) <= 1e-12);
  CHECK(largest(dP.colwise().sum().transpose() - p.direction.b) <= 1e-12);
}

TEST_CASE("sinkhorn_tangent: weights that are zero and begin to grow", "[sinkhorn_gradient]") {
  Problem const p;
  REQUIRE(p.r.a(2) == 0);
  auto const t = ot::sinkhorn_tangent(p.C, p.r, p.direction);
  REQUIRE(t.converged());
  // One-sided differences of second order: weights cannot be negative.
  double const h = 2e-5;
  auto const one = p.moved(h), two = p.moved(2 * h);
  CHECK(largest(t.f - (4 * one.f - two.f - 3 * p.r.f) / (2 * h)) <= 1e-7);
  CHECK(largest(t.g - (4 * one.g - two.g - 3 * p.r.g) / (2 * h)) <= 1e-7);
  Matrix const dP = ot::plan_tangent(p.C, p.r, p.direction, t);
  Matrix const P = ot::plan(p.C, p.r);
  CHECK(largest(dP - (4 * p.moved_plan(h) - p.moved_plan(2 * h) - 3 * P) / (2 * h)) <= 1e-7);
  CHECK(dP.row(2).sum() > 1e-3);
}

TEST_CASE("sinkhorn_tangent: directions add up, and each may be left out", "[sinkhorn_gradient]") {
  Problem const p;
  Vector da = p.direction.a, db = p.direction.b;
  da(0) -= da.sum();
  db(0) -= db.sum();
  auto const all = ot::sinkhorn_tangent(p.C, p.r, {p.direction.cost, da, db});
  auto const cost = ot::sinkhorn_tangent(p.C, p.r, {.cost = p.direction.cost});
  auto const rows = ot::sinkhorn_tangent(p.C, p.r, {.a = da});
  auto const cols = ot::sinkhorn_tangent(p.C, p.r, {.b = db});
  CHECK(largest(all.f - cost.f - rows.f - cols.f) <= 1e-8);
  CHECK(largest(all.g - cost.g - rows.g - cols.g) <= 1e-8);
  auto const none = ot::sinkhorn_tangent(p.C, p.r, {});
  CHECK(none.converged());
  CHECK(none.f.isZero(0));
}

TEST_CASE("sinkhorn_pullback: is the transpose of sinkhorn_tangent and plan_tangent",
          "[sinkhorn_gradient]") {
  for (bool const zeros : {false, true}) {
    Problem const p(zeros);
    auto const t = ot::sinkhorn_tangent(p.C, p.r, p.direction);
    Matrix const dP = ot::plan_tangent(p.C, p.r, p.direction, t);
    ot::SinkhornCotangent<double> const weights[] = {
        {.f = support::matrix(p.n, 1, 8, -1, 1)},
        {.g = support::matrix(p.m, 1, 9, -1, 1)},
        {.plan = support::matrix(p.n, p.m, 10, -1, 1)},
        {support::matrix(p.n, 1, 8, -1, 1), support::matrix(p.m, 1, 9, 0, 1),
         support::matrix(p.n, p.m, 10, 0, 1)}};
    for (auto const& weight : weights) {
      auto const y = ot::sinkhorn_pullback(p.C, p.r, weight);
      REQUIRE(y.converged());
      CHECK(y.residual <= 1e-8);
      double forward = 0;
      if (weight.f.size() > 0) forward += weight.f.dot(t.f);
      if (weight.g.size() > 0) forward += weight.g.dot(t.g);
      if (weight.plan.size() > 0) forward += weight.plan.cwiseProduct(dP).sum();
      Matrix const dC = ot::cost_pullback(p.C, p.r, weight, y);
      double const reverse =
          dC.cwiseProduct(p.direction.cost).sum() + y.a.dot(p.direction.a) + y.b.dot(p.direction.b);
      CHECK(std::abs(forward - reverse) <= 1e-8);
      CHECK(std::abs(forward) > 1e-3);
    }
  }
}

TEST_CASE("position_pullback: agrees with central differences of a function of the plan",
          "[sinkhorn_gradient]") {
  Problem const p(false);
  Matrix const V = support::matrix(p.n, p.m, 11);
  ot::SinkhornCotangent<double> const weight{.plan = V};
  auto const value = [&](Matrix const& X, Matrix const& Y) {
    Matrix const C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
    return ot::plan(C, solve(C, p.a, p.b, p.epsilon)).cwiseProduct(V).sum();
  };
  auto const y = ot::sinkhorn_pullback(p.C, p.r, weight);
  auto const gradient = ot::position_pullback(p.X, p.Y, ot::squared_euclidean{}, p.r, weight, y);
  double const h = 1e-5;
  for (Index k : {0, 1}) {
    Matrix up = p.X, down = p.X;
    up(k, 3) += h;
    down(k, 3) -= h;
    CHECK(std::abs(gradient.X(k, 3) - (value(up, p.Y) - value(down, p.Y)) / (2 * h)) <= 1e-8);
    up = down = p.Y;
    up(k, 6) += h;
    down(k, 6) -= h;
    CHECK(std::abs(gradient.Y(k, 6) - (value(p.X, up) - value(p.X, down)) / (2 * h)) <= 1e-8);
  }
}

TEST_CASE("sinkhorn_tangent: a nearly sparse plan, very light weights, any number of threads",
          "[sinkhorn_gradient]") {
  Index const n = 40;
  Matrix const C = support::matrix(n, n, 1);
  Vector a = support::weights(n, 2), b = support::weights(n, 3);
  a(4) = 1e-200;
  a *= b.sum() / a.sum();
  auto const r = ot::sinkhorn(C, a, b, {.epsilon = 0.01, .tolerance = 1e-12});
  REQUIRE(r.converged());
  Direction const direction{.cost = support::matrix(n, n, 4)};
  auto const t = ot::sinkhorn_tangent(C, r, direction);
  CHECK(t.converged());
  Matrix const dP = ot::plan_tangent(C, r, direction, t);
  CHECK(largest(dP.rowwise().sum()) <= 1e-9);
  CHECK(largest(dP.colwise().sum().transpose()) <= 1e-9);
  // A light row satisfies its own equation as well as the others do.
  CHECK(std::abs(dP.row(4).sum()) <= 1e-9 * a(4));
  auto const threaded = ot::sinkhorn_tangent(C, r, direction, {.parallel = parallel::threads(3)});
  CHECK(threaded.f == t.f);
  CHECK(threaded.g == t.g);
}

TEST_CASE("sinkhorn_tangent: in float as in double", "[sinkhorn_gradient]") {
  Problem const p;
  Eigen::MatrixXf const C = p.C.cast<float>();
  auto const r = ot::sinkhorn(C, p.a.cast<float>(), p.b.cast<float>(), {.epsilon = p.epsilon});
  ot::SinkhornDirection<float> const direction{.cost = p.direction.cost.cast<float>()};
  auto const narrow = ot::sinkhorn_tangent(C, r, direction);
  auto const wide = ot::sinkhorn_tangent(p.C, p.r, {.cost = p.direction.cost});
  CHECK(narrow.converged());
  CHECK(largest(narrow.f.cast<double>() - wide.f) <= 1e-3);
  CHECK(largest(narrow.g.cast<double>() - wide.g) <= 1e-3);
}

TEST_CASE("sinkhorn_gradient: misuse is refused", "[sinkhorn_gradient]") {
  Problem const p;
  CHECK_REFUSED(ot::sinkhorn_tangent(p.C.transpose(), p.r, {}), "cost is 7x9 but the solution");
  CHECK_REFUSED(ot::sinkhorn_tangent(p.C, p.r, {.cost = Matrix::Zero(7, 9)}),
                "the direction's cost is 7x9 but the problem is 9x7");
  CHECK_REFUSED(ot::sinkhorn_tangent(p.C, p.r, {.a = Vector::Ones(3)}),
                "the direction has 3 and 0 weights");
  CHECK_REFUSED(ot::sinkhorn_tangent(p.C, p.r, {.a = Vector::Ones(9)}),
                "changes the mass of a by 9 and that of b by 0");
  CHECK_REFUSED(ot::sinkhorn_pullback(p.C, p.r, {.f = Vector::Ones(7)}),
                "the cotangent has 7 and 0 potentials");
  CHECK_REFUSED(ot::sinkhorn_pullback(p.C, p.r, {.f = Vector::Constant(9, infinity)}),
                "NaN or infinity in the cotangent");
  CHECK_REFUSED(ot::cost_pullback(p.C, p.r, {}, {}), "the pull-back has 0 and 0 entries");
}
