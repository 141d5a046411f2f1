// SPDX-License-Identifier: MIT
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/entropic.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/grid.hpp>
#include <monge/ot/plan.hpp>

using namespace monge;

namespace {

using support::largest;

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

/// All entries of an operator.
template <class C>
Matrix dense(C const& cost) {
  Matrix M(cost.rows(), cost.cols());
  Eigen::Matrix<scalar_t<C>, -1, 1> column(cost.rows());
  for (Index j = 0; j < M.cols(); ++j) {
    M.col(j) = Eigen::Map<Eigen::Matrix<scalar_t<C>, -1, 1> const>(
                   cost.column_segment(j, 0, cost.rows(), column.data()), cost.rows())
                   .template cast<double>();
  }
  return M;
}

}  // namespace

TEST_CASE("grid: the kernel is the logarithm of the sum, at any scale", "[grid]") {
  // Axes of one tile and more, steep and flat, with lines that are off, for one grid and for three.
  for (double const steepness : {0.01, 1.0, 300.0, 1e5}) {
    for (Index const batch : {1, 3}) {
      Matrix A = -steepness * support::matrix(5, 41, 1), B = -steepness * support::matrix(70, 6, 2);
      A(2, 7) = -infinity;
      std::vector<ot::detail::AxisKernel<double>> axes;
      axes.emplace_back(A);
      axes.emplace_back(B);
      ot::detail::GridKernel<double> kernel(axes, batch, {});
      Matrix L = 3 * steepness * support::matrix(350, batch, 3), out(246, batch);
      L.topRows(40).setConstant(-infinity);
      kernel.apply(L, out);
      double worst = 0;
      for (Index b = 0; b < batch; ++b) {
        for (Index j = 0; j < 246; ++j) {
          Vector terms(350);
          for (Index i = 0; i < 350; ++i) terms(i) = L(i, b) + A(i % 5, j % 41) + B(i / 5, j / 41);
          double const top = terms.maxCoeff();
          double const exact = top + std::log((terms.array() - top).exp().sum());
          worst = std::max(worst, std::abs(out(j, b) - exact) / std::max(1.0, std::abs(exact)));
        }
      }
      CAPTURE(steepness, batch);
      CHECK(worst <= 4e-15);
      L.setConstant(-infinity);
      kernel.apply(L, out);
      CHECK((out.array() == -infinity).all());
    }
  }
}

TEST_CASE("grid: tiles that repeat and tiles that hardly matter", "[grid]") {
  // Differences, whose tiles repeat along the diagonal; no such thing; steps from tile to tile that
  // are small but no smaller than rounding.
  Index const n = 100;
  Matrix toeplitz(n, n), steps(n, n);
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < n; ++i) {
      toeplitz(i, j) = -0.05 * double((i - j) * (i - j));
      steps(i, j) = i / 32 == j / 32 ? 0.0 : -25.0;
    }
  }
  for (Matrix const& A : {toeplitz, Matrix(support::matrix(n, n, 5, -3, 3)), steps}) {
    ot::detail::GridKernel<double> kernel({ot::detail::AxisKernel<double>(A)}, 1, {});
    Matrix L = Matrix::Zero(n, 1), out(n, 1);
    kernel.apply(L, out);
    for (Index j = 0; j < n; ++j) {
      CHECK(std::abs(out(j) - std::log(A.col(j).array().exp().sum())) <= 4e-15);
    }
  }
}

TEST_CASE("grid: the answer is that of the dense solver", "[grid]") {
  auto const square = ot::grid_cost({9, 7}, {.spacing = {0.1, 0.15}});
  auto const line = ot::grid_cost({63}, {.p = 1, .spacing = {0.02}});
  auto const volume = ot::grid_cost({3, 7, 3}, {.p = 1.5, .spacing = {0.3, 0.1, 0.3}});
  Vector a = support::weights(63, 1), b = support::weights(63, 2);
  a(3) = 0;
  a /= a.sum();
  b(60) = 1e-300;
  b /= b.sum();
  for (auto const& cost : {square, line, volume}) {
    Matrix const C = dense(cost);
    for (double const epsilon : {1e-3, 1e-2, 1.0, 100.0}) {
      ot::SinkhornOptions const options{.epsilon = epsilon, .tolerance = 1e-11};
      auto const r = ot::sinkhorn(cost, a, b, options);
      auto const exact = ot::sinkhorn(C, a, b, options);
      CAPTURE(epsilon);
      REQUIRE(r.converged());
      CHECK(std::abs(r.dual_value - exact.dual_value) <= 1e-11);
      CHECK(std::abs(r.regularised_cost - exact.regularised_cost) <= 1e-10);
      CHECK(std::abs(r.transport_cost - exact.transport_cost) <= 1e-10);
      // The certificate is what the dense plan of the same potentials says.
      Matrix const P = ot::plan(C, r);
      double const error = (P.rowwise().sum() - a).cwiseAbs().sum() +
                           (P.colwise().sum().transpose() - b).cwiseAbs().sum();
      CHECK(error <= 1.1e-11);
      CHECK(std::abs((P.array() * C.array()).sum() - r.transport_cost) <= 1e-13);
      CHECK(largest(ot::plan(cost, r) - P) <= 1e-15);
      CHECK(std::abs(a.dot(r.f) - b.dot(r.g)) <= 1e-13 * (1 + std::abs(a.dot(r.f))));
    }
  }
}

TEST_CASE("grid: rectangular axes, forbidden pairs and negative costs", "[grid]") {
  Matrix first = support::matrix(4, 6, 3, -1, 1), second = support::matrix(5, 3, 4);
  first(1, 2) = infinity;
  auto const cost = ot::grid_cost<double>({first, second});
  Vector const a = 5 * support::weights(20, 5), b = 5 * support::weights(18, 6);
  auto const r = ot::sinkhorn(cost, a, b, {.epsilon = 0.05, .tolerance = 1e-11});
  auto const exact = ot::sinkhorn(dense(cost), a, b, {.epsilon = 0.05, .tolerance = 1e-11});
  REQUIRE(r.converged());
  CHECK(std::abs(r.dual_value - exact.dual_value) <= 1e-10);
  CHECK(std::abs(r.transport_cost - exact.transport_cost) <= 1e-9);
  CHECK(largest(r.f - exact.f) <= 1e-9);
  first.row(0).setConstant(infinity);
  CHECK(ot::sinkhorn(ot::grid_cost<double>({first, second}), a, b, {.epsilon = 0.05}).status ==
        Status::infeasible);
}

TEST_CASE("grid: product measures transport axis by axis", "[grid]") {
  // The entropy of a product is the sum of entropies: so are the values.
  Vector const a0 = support::weights(40, 7), a1 = support::weights(25, 8),
               b0 = support::weights(40, 9), b1 = support::weights(25, 10);
  Vector const a = Matrix(a0 * a1.transpose()).reshaped(),
               b = Matrix(b0 * b1.transpose()).reshaped();
  ot::GridCostOptions const spacing{.spacing = {1.0 / 40, 1.0 / 25}};
  auto const both = ot::grid_cost({40, 25}, spacing);
  for (double const epsilon : {1e-3, 0.1}) {
    ot::SinkhornOptions const options{.epsilon = epsilon, .tolerance = 1e-11};
    auto const one = ot::sinkhorn(ot::grid_cost({40}, {.spacing = {1.0 / 40}}), a0, b0, options);
    auto const two = ot::sinkhorn(ot::grid_cost({25}, {.spacing = {1.0 / 25}}), a1, b1, options);
    auto const r = ot::sinkhorn(both, a, b, options);
    CHECK(std::abs(r.regularised_cost - one.regularised_cost - two.regularised_cost) <= 1e-11);
    CHECK(std::abs(r.transport_cost - one.transport_cost - two.transport_cost) <= 1e-11);
  }
}

TEST_CASE("grid: float, long double, threads, starts and plain steps", "[grid]") {
  auto const cost = ot::grid_cost({12, 11}, {.spacing = {0.1, 0.1}});
  Vector const a = support::weights(132, 11), b = support::weights(132, 12);
  ot::SinkhornOptions options{.epsilon = 0.01};
  auto const r = ot::sinkhorn(cost, a, b, options);
  auto const narrow = ot::sinkhorn(ot::grid_cost<float>({12, 11}, {.spacing = {0.1, 0.1}}),
                                   a.cast<float>(), b.cast<float>(), options);
  CHECK(narrow.converged());
  CHECK(std::abs(narrow.dual_value - r.dual_value) <= 1e-6);
  auto const wide = ot::sinkhorn(ot::grid_cost<long double>({12, 11}, {.spacing = {0.1, 0.1}}),
                                 a.cast<long double>() / a.cast<long double>().sum(),
                                 b.cast<long double>() / b.cast<long double>().sum(), options);
  CHECK(wide.converged());
  CHECK(std::abs(double(wide.dual_value) - r.dual_value) <= 1e-11);
  auto const again = ot::sinkhorn(cost, a.transpose(), 1.0 * b, options, {r.f, r.g});
  CHECK(again.converged());
  CHECK(again.iterations <= 2);
  options.acceleration = ot::Acceleration::none;
  auto const plain = ot::sinkhorn(cost, a, b, options);
  CHECK(plain.converged());
  CHECK(plain.iterations > r.iterations);
  CHECK(std::abs(plain.dual_value - r.dual_value) <= 1e-10);
  options = {.epsilon = 0.01, .parallel = parallel::threads(3)};
  auto const threaded = ot::sinkhorn(cost, a, b, options);
  CHECK(threaded.f == r.f);
  CHECK(threaded.transport_cost == r.transport_cost);
}

TEST_CASE("grid: no epsilon over- or underflows", "[grid]") {
  auto const cost = ot::grid_cost({40, 3}, {.spacing = {25, 1}});
  Vector a = support::weights(120, 13), b = support::weights(120, 14);
  for (double const epsilon : {1.0, 1e3, 1e6, 1e10}) {  // of a largest cost of 1e6
    auto const r = ot::sinkhorn(cost, a, b, {.epsilon = epsilon, .max_iterations = 300});
    CAPTURE(epsilon, r.iterations);
    CHECK((r.converged() || r.status == Status::iteration_limit));
    CHECK(r.f.allFinite());
    CHECK(std::isfinite(r.transport_cost));
    CHECK(r.dual_value <= r.transport_cost + epsilon * 10);
  }
}

TEST_CASE("grid: steps do not allocate, resume bit for bit, and an observer stops them", "[grid]") {
  auto const cost = ot::grid_cost({10, 8}, {.spacing = {0.1, 0.1}});
  Vector const a = support::weights(80, 15), b = support::weights(80, 16);
  ot::SinkhornOptions plain{.epsilon = 0.002};
  plain.acceleration = ot::Acceleration::none;
  plain.annealing = 1;
  ot::SinkhornGrid<double> const method(cost, a, b, plain);
  auto state = method.init();
  CHECK(method.advance(state, 10).steps == 10);
  auto copy = state;
  CHECK(test::allocations([&] { static_cast<void>(method.advance(state, 20)); }) == 0);
  CHECK(method.advance(copy, 7).steps == 7);
  CHECK(method.advance(copy, 13).steps == 13);
  CHECK(copy.f == state.f);
  auto const stopped = ot::sinkhorn(cost, a, b, {.epsilon = 0.002, .observe_every = 5}, {},
                                    [](Progress const& p) { return p.iteration < 10; });
  CHECK(stopped.status == Status::stopped_by_observer);
  CHECK(stopped.iterations == 10);
}

TEST_CASE("grid: misuse is refused", "[grid]") {
  CHECK_REFUSED(ot::grid_cost({4, 0}), "axis 1 has 0 points");
  CHECK_REFUSED(ot::grid_cost({}), "there are no axes");
  CHECK_REFUSED(ot::grid_cost({4}, {.p = -1}), "p is -1");
  CHECK_REFUSED(ot::grid_cost({4, 4}, {.spacing = {1}}), "there are 2 sizes but 1 spacings");
  CHECK_REFUSED(ot::grid_cost<double>({Matrix::Constant(2, 2, not_a_number)}),
                "entry (0, 0) of axis 0 is nan");
  auto const cost = ot::grid_cost({4, 3});
  Vector const a = support::weights(12, 1);
  CHECK_REFUSED(ot::sinkhorn(cost, a, a, {}), "epsilon is not set");
  CHECK_REFUSED(ot::sinkhorn(cost, a.head(5), a, {.epsilon = 1}), "cost is 12x12 but a has 5");
  CHECK_REFUSED(ot::sinkhorn(cost, a, 2 * a, {.epsilon = 1}), "a sums to 1 and b to 2");
  CHECK_REFUSED(
      ot::sinkhorn(cost, a, a, {.epsilon = 1, .acceleration = ot::Acceleration::over_relaxation}),
      "no over-relaxation on grids");
}
