// SPDX-License-Identifier: MIT
#include <cmath>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/entropic.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/sinkhorn_unbalanced.hpp>

using namespace monge;

namespace {

using support::check_equal, support::largest;

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;
using Options = ot::SinkhornUnbalancedOptions;
using Result = ot::SinkhornUnbalancedResult<double>;

/// All entries, from the axes and not from the operator.
Matrix dense(ot::GridCost<double> const& cost) {
  Matrix C = Matrix::Zero(1, 1);
  for (Matrix const& axis : cost.axes()) {
    Matrix next(C.rows() * axis.rows(), C.cols() * axis.cols());
    for (Index j = 0; j < axis.cols(); ++j) {
      for (Index i = 0; i < axis.rows(); ++i) {
        next.block(i * C.rows(), j * C.cols(), C.rows(), C.cols()) =
            (C.array() + axis(i, j)).matrix();
      }
    }
    C = next;
  }
  return C;
}

struct Problem {
  ot::GridCost<double> cost;
  Matrix C;
  Vector a, b;

  explicit Problem(std::vector<Matrix> axes)
      : cost(std::move(axes)),
        C(dense(cost)),
        a(1.5 * support::weights(cost.rows(), 3)),
        b(0.7 * support::weights(cost.cols(), 4)) {}
};

Problem plane() { return Problem({support::matrix(7, 9, 1), support::matrix(6, 5, 2, -0.3, 1)}); }
Problem space() {
  return Problem({support::matrix(4, 5, 1), support::matrix(3, 3, 2), support::matrix(5, 2, 3)});
}

}  // namespace

TEST_CASE("sinkhorn_unbalanced: on a grid the answer is that of the dense cost",
          "[sinkhorn_unbalanced_grid]") {
  for (Problem const& p : {plane(), space()}) {
    for (auto const& [rho_a, rho_b] :
         {std::pair(0.05, 0.05), {1.0, 0.1}, {100.0, 1e4}, {infinity, 0.5}, {0.3, infinity}}) {
      CAPTURE(p.cost.axes().size(), rho_a, rho_b);
      Options const options{.epsilon = 0.05, .rho_a = rho_a, .rho_b = rho_b, .tolerance = 1e-11};
      Result const r = ot::sinkhorn_unbalanced(p.cost, p.a, p.b, options);
      check_equal(r, ot::sinkhorn_unbalanced(p.C, p.a, p.b, options), 3e-10);
      // The certificate, from the plan itself.
      Matrix const P = ot::plan(p.C, r);
      CHECK(std::abs(P.cwiseProduct(p.C).sum() - r.transport_cost) <= 1e-12);
      CHECK(largest(P.rowwise().sum() - r.rows) <= 1e-13);
      CHECK(largest(P.colwise().sum().transpose() - r.cols) <= 1e-13);
      CHECK(std::abs(r.regularised_cost - r.dual_value) <= 1e-9);
      if (rho_a == infinity) CHECK(largest(r.rows - p.a) <= 1e-10);
      if (rho_b == infinity) CHECK(largest(r.cols - p.b) <= 1e-10);
    }
  }
}

TEST_CASE("sinkhorn_unbalanced: infinite prices on a grid are sinkhorn on it",
          "[sinkhorn_unbalanced_grid]") {
  Problem const p = plane();
  Vector const b = p.b * (p.a.sum() / p.b.sum());
  auto const exact = ot::sinkhorn(p.cost, p.a, b, {.epsilon = 0.05, .tolerance = 1e-12});
  auto const r = ot::sinkhorn_unbalanced(p.cost, p.a, b, {.epsilon = 0.05, .tolerance = 1e-12});
  REQUIRE(r.converged());
  CHECK(largest(r.f - exact.f) <= 1e-10);
  CHECK(largest(r.g - exact.g) <= 1e-10);
  CHECK(std::abs(r.dual_value - exact.dual_value) <= 1e-12);
  CHECK(std::abs(r.transport_cost - exact.transport_cost) <= 1e-12);
  double before = infinity;
  for (double const rho : {1.0, 1e2, 1e4, 1e6}) {
    auto const near =
        ot::sinkhorn_unbalanced(p.cost, p.a, b, {.epsilon = 0.05, .rho_a = rho, .rho_b = rho});
    REQUIRE(near.converged());
    double const gap = exact.regularised_cost - near.regularised_cost;
    CHECK(gap > 0);  // a penalty is weaker than a constraint
    CHECK(gap < before);
    CHECK(gap <= 3 / rho);
    before = gap;
  }
}

TEST_CASE("sinkhorn_unbalanced: on a grid, zero weights and forbidden pairs",
          "[sinkhorn_unbalanced_grid]") {
  Matrix A = support::matrix(7, 9, 1), B = support::matrix(6, 5, 2);
  A(2, 7) = B(0, 3) = infinity;
  Problem p({A, B});
  p.a(4) = p.a(11) = p.b(0) = 0;
  Options options{.epsilon = 0.05, .rho_a = 0.4, .rho_b = 2, .tolerance = 1e-11};
  check_equal(ot::sinkhorn_unbalanced(p.cost, p.a, p.b, options),
              ot::sinkhorn_unbalanced(p.C, p.a, p.b, options), 3e-10);
  // Potentials of a start count only where there is mass, however large they are.
  ot::Potentials<double> start{Vector::Zero(42), Vector::Zero(45)};
  auto const usual = ot::sinkhorn_unbalanced(p.cost, p.a, p.b, options, start);
  start.f(4) = start.g(0) = -1e6;
  auto const same = ot::sinkhorn_unbalanced(p.cost, p.a, p.b, options, start);
  CHECK(same.iterations == usual.iterations);
  CHECK(same.f == usual.f);
  // A whole line of each side without a partner: written off, or infeasible.
  A.row(5).setConstant(infinity);
  B.col(1).setConstant(infinity);
  Problem q({A, B});
  auto const r = ot::sinkhorn_unbalanced(q.cost, q.a, q.b, options);
  check_equal(r, ot::sinkhorn_unbalanced(q.C, q.a, q.b, options), 3e-10);
  CHECK(r.rows(5) == 0);
  CHECK(r.rows(5 + 7) == 0);
  CHECK(r.cols(9 + 4) == 0);
  options.rho_a = infinity;
  CHECK(ot::sinkhorn_unbalanced(q.cost, q.a, q.b, options).status == Status::infeasible);
  // All points have partners, but 0.7 of the mass has only points with 0.3.
  Matrix C = Matrix::Constant(2, 2, 0.1);
  C(0, 1) = infinity;
  Problem full({C, Matrix::Constant(2, 2, 0.1)});
  full.a << 0.35, 0.15, 0.35, 0.15;
  full.b << 0.15, 0.35, 0.15, 0.35;
  CHECK(ot::sinkhorn_unbalanced(full.cost, full.a, full.b, {.epsilon = 0.1}).status ==
        Status::infeasible);
  CHECK(ot::sinkhorn(full.cost, full.a, full.b, {.epsilon = 0.1}).status == Status::infeasible);
  CHECK(ot::sinkhorn(full.C, full.a, full.b, {.epsilon = 0.1}).status == Status::infeasible);
  CHECK(
      ot::sinkhorn_unbalanced(full.cost, full.a, full.b, {.epsilon = 0.1, .rho_a = 1}).converged());
  // No pair is allowed at all.
  Problem const none({Matrix::Constant(2, 3, infinity), B});
  auto const nothing =
      ot::sinkhorn_unbalanced(none.cost, none.a, none.b, {.epsilon = 0.05, .rho_a = 1, .rho_b = 2});
  CHECK(nothing.transported_mass == 0);
  CHECK(nothing.transport_cost == 0);
  double const lost = 1.5 + 2 * 0.7 + 0.05 * std::sqrt(1.5 * 0.7);
  CHECK(std::abs(nothing.regularised_cost - lost) <= 1e-12);
}

TEST_CASE("sinkhorn_unbalanced: a grid of 128 x 128 with any number of threads",
          "[sinkhorn_unbalanced_grid]") {
  Index const n = 128;
  auto const cost = ot::grid_cost({n, n}, {.spacing = {1.0 / n, 1.0 / n}});
  auto const blob = [&](double x, double y, double width) {
    Vector a(n * n);
    for (Index i = 0; i < a.size(); ++i) {
      double const u = (double(i % n) + 0.5) / n - x, v = (double(i / n) + 0.5) / n - y;
      a(i) = std::exp(-(u * u + v * v) / width);
    }
    return Vector(a / a.sum());
  };
  // An outlier of a tenth of the mass, too far to be moved.
  Vector const a = blob(0.25, 0.3, 0.004) + 0.1 * blob(0.95, 0.95, 1e-4), b = blob(0.4, 0.5, 0.004);
  Options options{.epsilon = 2e-3, .rho_a = 0.05, .rho_b = 0.05};
  auto const r = ot::sinkhorn_unbalanced(cost, a, b, options);
  REQUIRE(r.converged());
  CHECK(r.iterations <= 100);
  CHECK(r.regularised_cost >= r.dual_value - 1e-12);
  CHECK(std::abs(r.regularised_cost - r.dual_value) <= 1e-9);
  double kept = 0;
  for (Index i = 0; i < a.size(); ++i) {
    if (i % n > 100 && i / n > 100) kept += r.rows(i);
  }
  CHECK(kept <= 0.01 * 0.1);
  // Scaling the optimal plan gains nothing.
  double const p = double(r.transported_mass), mass = std::sqrt(1.1);
  CHECK(std::abs(r.regularised_cost - 0.05 * (1.1 - p) - 0.05 * (1 - p) - 2e-3 * (mass - p)) <=
        1e-9);
  options.parallel = parallel::threads(3);
  auto const threaded = ot::sinkhorn_unbalanced(cost, a, b, options);
  CHECK(threaded.f == r.f);
  CHECK(threaded.g == r.g);
  CHECK(threaded.rows == r.rows);
  CHECK(threaded.transport_cost == r.transport_cost);
  CHECK(threaded.dual_value == r.dual_value);
}

TEST_CASE("sinkhorn_unbalanced: on a grid in float, from a start, resumed, without allocations",
          "[sinkhorn_unbalanced_grid]") {
  Problem const p = space();
  Options const options{.epsilon = 0.05, .rho_a = 0.3, .rho_b = 3};
  auto const r = ot::sinkhorn_unbalanced(p.cost, p.a, p.b, options);
  std::vector<Eigen::MatrixXf> axes;
  for (Matrix const& axis : p.cost.axes()) axes.push_back(axis.cast<float>());
  auto const narrow = ot::sinkhorn_unbalanced(ot::grid_cost<float>(std::move(axes)),
                                              p.a.cast<float>(), p.b.cast<float>(), options);
  CHECK(narrow.converged());
  CHECK(largest(narrow.f.cast<double>() - r.f) <= 1e-4);
  CHECK(std::abs(narrow.transport_cost - r.transport_cost) <= 1e-5);
  auto const again = ot::sinkhorn_unbalanced(p.cost, p.a, p.b, options, {r.f, r.g});
  CHECK(again.converged());
  CHECK(again.iterations <= 2);

  ot::SinkhornUnbalanced const method(p.cost, p.a, p.b,
                                      {.epsilon = 0.01, .rho_a = 1, .rho_b = 1, .annealing = 1});
  auto state = method.init();
  CHECK(method.advance(state, 3).steps == 3);
  auto copy = state;
  CHECK(test::allocations([&] { static_cast<void>(method.advance(state, 20)); }) == 0);
  CHECK(method.advance(copy, 7).steps == 7);
  CHECK(method.advance(copy, 13).steps == 13);
  CHECK(copy.f == state.f);
}

TEST_CASE("sinkhorn_unbalanced: misuse is refused on grids too", "[sinkhorn_unbalanced_grid]") {
  Problem p = plane();
  CHECK_REFUSED(ot::sinkhorn_unbalanced(p.cost, p.a, p.b, {.rho_a = 1}), "epsilon is not set");
  CHECK_REFUSED(ot::sinkhorn_unbalanced(p.cost, p.a, p.b, {.epsilon = 0.1, .rho_a = -1}),
                "sinkhorn_unbalanced: rho_a is -1");
  CHECK_REFUSED(ot::sinkhorn_unbalanced(p.cost, p.a, p.b, {.epsilon = 0.1}),
                "a sums to 1.5 and b to 0.7");
  CHECK_REFUSED(ot::sinkhorn_unbalanced(p.cost, p.b, p.a, {.epsilon = 0.1, .rho_a = 1}),
                "cost is 42x45 but a has 45 entries");
  CHECK_REFUSED(ot::sinkhorn_unbalanced(p.cost, p.a, p.b, {.epsilon = 0.1, .rho_a = 1}, {p.a, p.a}),
                "start has 42 and 42 potentials");
  p.a(8) = not_a_number;
  CHECK_REFUSED(ot::sinkhorn_unbalanced(p.cost, p.a, p.b, {.epsilon = 0.1, .rho_a = 1}),
                "a(8) is nan; weights must be nonnegative and finite");
}
