// SPDX-License-Identifier: MIT
#ifndef EIGEN_RUNTIME_NO_MALLOC
#define EIGEN_RUNTIME_NO_MALLOC
#endif
#include <Eigen/Cholesky>
#include <Eigen/SparseCholesky>

#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/orthogonal.hpp"
#include "support/throws.hpp"
#include <monge/linalg.hpp>

namespace {

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::MatrixX;
using monge::Status;
using monge::VectorX;
using monge::linalg::conjugate_gradient;
using monge::linalg::ConjugateGradientOptions;
using monge::linalg::jacobi;
using monge::linalg::preconditioned;
using support::refusal;

template <class S>
MatrixX<S> random(Index n, Index m, unsigned seed) {
  std::mt19937_64 engine(seed);
  MatrixX<S> A(n, m);
  for (Index j = 0; j < m; ++j)
    for (Index i = 0; i < n; ++i) A(i, j) = S(double(engine() >> 11) * 0x1p-52 - 1);
  return A;
}

// Symmetric with the given eigenvalues.
template <class S>
MatrixX<S> with_spectrum(VectorX<S> const& values, unsigned seed) {
  Index const n = values.size();
  MatrixX<S> const Q = support::orthonormal<S>(random<S>(n, n, seed));
  MatrixX<S> const A = Q * values.asDiagonal() * Q.transpose();
  return (A + A.transpose()) / 2;
}

// The five-point Laplacian on a k x k grid; `closed`: no boundary, constants are in the null space.
Eigen::SparseMatrix<double> laplacian(Index k, bool closed) {
  std::vector<Eigen::Triplet<double>> entries;
  auto link = [&](Index p, Index q) {
    for (auto [i, j, value] :
         {std::tuple<Index, Index, double>{p, p, 1}, {q, q, 1}, {p, q, -1}, {q, p, -1}})
      entries.emplace_back(int(i), int(j), value);
  };
  for (Index i = 0; i < k; ++i) {
    for (Index j = 0; j < k; ++j) {
      if (i + 1 < k) link(i * k + j, i * k + k + j);
      if (j + 1 < k) link(i * k + j, i * k + j + 1);
      if (!closed && (i == 0 || j == 0)) entries.emplace_back(int(i * k + j), int(i * k + j), 1.0);
    }
  }
  Eigen::SparseMatrix<double> A(k * k, k * k);
  A.setFromTriplets(entries.begin(), entries.end());
  return A;
}

}  // namespace

TEMPLATE_TEST_CASE("as many steps as distinct eigenvalues give the solution", "[cg]", float, double,
                   long double) {
  using S = TestType;
  for (Index n : {1, 2, 5, 9}) {
    VectorX<S> values(n);
    for (Index i = 0; i < n; ++i) values(i) = S(1 + i);
    MatrixX<S> const A = with_spectrum<S>(values, 3);
    VectorX<S> const x = random<S>(n, 1, 4), b = A * x;
    S const u = std::numeric_limits<S>::epsilon();
    auto const r = conjugate_gradient(A, b, {.relative_tolerance = double(1000 * u)});
    REQUIRE(r.status == Status::converged);
    REQUIRE(r.iterations <= n);
    REQUIRE((r.x - x).norm() <= 5000 * u * x.norm());
    REQUIRE(r.residual_norm <= 1000 * u * b.norm());
    REQUIRE(std::abs(r.residual_norm - (b - A * r.x).norm()) <= 20 * u * b.norm());
    // The limit may be reached by the very step that solves.
    REQUIRE(conjugate_gradient(A, b, {.relative_tolerance = double(1000 * u), .max_iterations = n})
                .converged());
  }
  VectorX<S> three(30);
  for (Index i = 0; i < 30; ++i) three(i) = S(1 + i % 3);
  MatrixX<S> const A = with_spectrum<S>(three, 5);
  VectorX<S> const b = random<S>(30, 1, 6);
  auto const r = conjugate_gradient(A, b);
  REQUIRE(r.converged());
  REQUIRE(r.iterations == 3);
}

TEST_CASE("the error in the energy norm falls in every step and below Chebyshev's bound", "[cg]") {
  Index const n = 60;
  VectorXd const values = VectorXd::LinSpaced(n, 0, 4).array().exp();
  MatrixXd const A = with_spectrum<double>(values, 7);
  VectorXd const b = random<double>(n, 1, 8), x = A.llt().solve(b);
  double const root = std::exp(2.0), rate = (root - 1) / (root + 1);
  double const start = std::sqrt(x.dot(A * x));
  double last = start;
  for (Index k = 1; k <= 40; ++k) {
    auto const r = conjugate_gradient(A, b, {.relative_tolerance = 0, .max_iterations = k});
    REQUIRE(r.status == Status::iteration_limit);
    REQUIRE(r.iterations == k);
    VectorXd const e = r.x - x;
    double const energy = std::sqrt(e.dot(A * e));
    REQUIRE(energy < last);
    REQUIRE(energy <= 2 * std::pow(rate, double(k)) * start);
    last = energy;
  }
}

TEST_CASE("a preconditioner changes the path and not the solution", "[cg]") {
  Index const n = 80;
  VectorXd const scale = VectorXd::LinSpaced(n, -4, 4).array().exp();
  MatrixXd const core = with_spectrum<double>(VectorXd::LinSpaced(n, 1, 4), 2);
  MatrixXd const A = scale.asDiagonal() * core * scale.asDiagonal();
  VectorXd const x = random<double>(n, 1, 1), b = A * x;
  ConjugateGradientOptions const options{.relative_tolerance = 1e-12, .max_iterations = 5000};
  auto const plain = conjugate_gradient(A, b, options);
  auto const scaled = conjugate_gradient(preconditioned(A, jacobi(A)), b, options);
  REQUIRE(scaled.converged());
  REQUIRE(plain.converged());
  REQUIRE(scaled.iterations < 40);
  REQUIRE(scaled.iterations < plain.iterations / 3);
  REQUIRE((scaled.x - x).cwiseProduct(scale).norm() <= 1e-6 * x.cwiseProduct(scale).norm());
  REQUIRE((plain.x - x).cwiseProduct(scale).norm() <= 1e-6 * x.cwiseProduct(scale).norm());

  // All the ways to say the same.
  VectorXd const diagonal = A.diagonal();
  auto by_hand = [&](VectorXd const& r, VectorXd& z) { z = r.cwiseQuotient(diagonal); };
  auto const P = preconditioned(A, by_hand);
  MatrixXd const inverse = diagonal.cwiseInverse().asDiagonal();
  for (auto const& r : {conjugate_gradient(P, b, options),
                        conjugate_gradient(preconditioned(A, jacobi(diagonal)), b, options),
                        conjugate_gradient(preconditioned(A, inverse), b, options)}) {
    REQUIRE(r.converged());
    REQUIRE(std::abs(r.iterations - scaled.iterations) <= 1);
    REQUIRE((r.x - scaled.x).norm() <= 1e-9 * x.norm());
  }
  // The exact inverse solves in one step.
  MatrixXd const exact = core.llt().solve(MatrixXd::Identity(core.rows(), core.cols()));
  REQUIRE(conjugate_gradient(preconditioned(core, exact), x).iterations == 1);
}

TEST_CASE("a preconditioner that is not positive ends in breakdown", "[cg]") {
  MatrixXd const A = MatrixXd::Identity(3, 3) * 2;
  auto negative = [](VectorXd const& r, VectorXd& z) { z = -r; };
  auto const r = conjugate_gradient(preconditioned(A, negative), VectorXd::Ones(3));
  REQUIRE(r.status == Status::breakdown);
  REQUIRE(r.x == VectorXd::Zero(3));
}

TEST_CASE("a singular consistent system gives its solution in the range", "[cg]") {
  Eigen::SparseMatrix<double> const A = laplacian(20, true);
  VectorXd x = random<double>(400, 1, 9);
  x.array() -= x.mean();
  VectorXd const b = A * x;
  auto const r = conjugate_gradient(A, b, {.relative_tolerance = 1e-11});
  REQUIRE(r.converged());
  REQUIRE((r.x - x).norm() <= 1e-8 * x.norm());
  REQUIRE(std::abs(r.x.sum()) <= 1e-10);
  // A start outside the range keeps its part in the null space.
  VectorXd const start = VectorXd::Constant(400, 3.0);
  auto const shifted = conjugate_gradient(A, b, {.relative_tolerance = 1e-11}, start);
  REQUIRE(shifted.converged());
  REQUIRE_THAT(shifted.x.mean(), WithinAbs(3.0, 1e-12));
}

TEST_CASE("a null vector on the right is zero curvature", "[cg]") {
  Eigen::SparseMatrix<double> const A = laplacian(7, true);
  auto const r = conjugate_gradient(A, VectorXd::Ones(49));
  REQUIRE(r.status == Status::breakdown);
  REQUIRE(r.x == VectorXd::Zero(49));
  REQUIRE(r.direction == VectorXd::Ones(49));
}

TEST_CASE("a right-hand side outside the range ends before x explodes", "[cg]") {
  for (unsigned seed = 0; seed < 40; ++seed) {
    MatrixXd const A = with_spectrum<double>(VectorXd::LinSpaced(12, 0, 11), seed);
    VectorXd const b = random<double>(12, 1, seed + 100);
    auto const r = conjugate_gradient(A, b, {.max_iterations = 10000});
    CAPTURE(seed);
    REQUIRE(r.status == Status::breakdown);
    REQUIRE(r.iterations <= 12);
    REQUIRE(r.x.norm() <= 1e12 * b.norm());
  }
}

TEST_CASE("negative curvature returns the last iterate and the direction", "[cg]") {
  VectorXd values(6);
  values << 1, 2, 3, 4, 5, -0.5;
  for (unsigned seed = 0; seed < 20; ++seed) {
    MatrixXd const A = with_spectrum<double>(values, seed);
    VectorXd const b = random<double>(6, 1, seed + 50);
    auto const r = conjugate_gradient(A, b);
    REQUIRE(r.status == Status::breakdown);
    REQUIRE_FALSE(r.converged());
    REQUIRE(r.direction.dot(A * r.direction) <= 0);
    REQUIRE(r.direction.dot(b - A * r.x) > 0);  // downhill for the energy
    REQUIRE(r.x.dot(A * r.x) / 2 - b.dot(r.x) <= 0);
    REQUIRE_THAT(r.residual_norm, WithinRel((b - A * r.x).norm(), 1e-12));
  }
  // At once, if b itself points there: x = 0 and the direction is b.
  MatrixXd const down = -MatrixXd::Identity(4, 4);
  auto const first = conjugate_gradient(down, VectorXd::Ones(4));
  REQUIRE(first.status == Status::breakdown);
  REQUIRE(first.iterations == 0);
  REQUIRE(first.x == VectorXd::Zero(4));
  REQUIRE(first.direction == VectorXd::Ones(4));
}

TEST_CASE("a zero right-hand side has the solution zero", "[cg]") {
  MatrixXd const A = with_spectrum<double>(VectorXd::LinSpaced(5, 1, 2), 1);
  auto const r = conjugate_gradient(A, VectorXd::Zero(5), {}, VectorXd::Ones(5));
  REQUIRE(r.converged());
  REQUIRE(r.iterations == 0);
  REQUIRE(r.x == VectorXd::Zero(5));
  REQUIRE(r.residual_norm == 0);
  REQUIRE(conjugate_gradient(A, VectorXd::Zero(5)).converged());
}

TEST_CASE("the sparse Laplacian agrees with a direct solve", "[cg]") {
  Eigen::SparseMatrix<double> const A = laplacian(40, false);
  VectorXd const b = random<double>(1600, 1, 2);
  Eigen::SimplicialLDLT<Eigen::SparseMatrix<double>> const direct(A);
  VectorXd const x = direct.solve(b);
  auto const r = conjugate_gradient(A, b, {.relative_tolerance = 1e-12});
  REQUIRE(r.converged());
  REQUIRE((r.x - x).norm() <= 1e-9 * x.norm());
  auto const by_rows = conjugate_gradient(Eigen::SparseMatrix<double, Eigen::RowMajor>(A), b,
                                          {.relative_tolerance = 1e-12});
  REQUIRE((by_rows.x - x).norm() <= 1e-9 * x.norm());
  Eigen::SparseMatrix<double> const lower = A.triangularView<Eigen::Lower>();
  auto const half =
      conjugate_gradient(lower.selfadjointView<Eigen::Lower>(), b, {.relative_tolerance = 1e-12});
  REQUIRE(half.converged());
  REQUIRE((half.x - x).norm() <= 1e-9 * x.norm());
}

TEST_CASE("every form of operator and right-hand side means the same", "[cg]") {
  MatrixXd const A = with_spectrum<double>(VectorXd::LinSpaced(8, 1, 5), 4);
  VectorXd const b = random<double>(8, 1, 5), x = A.llt().solve(b);
  Index calls = 0;
  auto callable = [&](VectorXd const& p, VectorXd& y) {
    ++calls;
    y.noalias() = A * p;
  };
  auto generic = [&](auto const& p, auto& y) { y = A * p; };
  auto mutating = [&, used = VectorXd()](VectorXd const& p, VectorXd& y) mutable {
    used = A * p;
    y = used;
  };
  Eigen::Matrix<double, 8, 8> const fixed = A;
  Eigen::Matrix<double, 8, 1> const fixed_b = b;
  Eigen::RowVectorXd const row = b.transpose();
  auto near = [&](auto const& r) {
    REQUIRE(r.converged());
    REQUIRE((r.x - x).norm() <= 1e-8 * x.norm());
  };
  auto const r = conjugate_gradient(callable, b);
  near(r);
  REQUIRE(calls == r.iterations + 3);  // start, the last look and the certificate
  near(conjugate_gradient(generic, b));
  near(conjugate_gradient(mutating, b));
  near(conjugate_gradient(A, row));
  near(conjugate_gradient(A, 2 * b - b));
  near(conjugate_gradient(A + 0 * A, b));
  near(conjugate_gradient(A.selfadjointView<Eigen::Lower>(), b));
  auto const small = conjugate_gradient(fixed, fixed_b);
  static_assert(std::same_as<decltype(small.x), Eigen::Matrix<double, 8, 1>>);
  near(small);
  near(conjugate_gradient(A, b, {}, x));
  REQUIRE(conjugate_gradient(A, b, {}, x).iterations == 0);
}

TEMPLATE_TEST_CASE("a tolerance out of reach ends in precision_limit near the floor", "[cg]", float,
                   double, long double) {
  using S = TestType;
  S const u = std::numeric_limits<S>::epsilon();
  VectorX<S> const values = VectorX<S>::LinSpaced(50, S(0), S(5)).array().exp();
  MatrixX<S> const A = with_spectrum<S>(values, 12);
  VectorX<S> const b = random<S>(50, 1, 13);
  auto const r = conjugate_gradient(A, b, {.relative_tolerance = 0, .max_iterations = 100000});
  REQUIRE(r.status == Status::precision_limit);
  S const floor = u * values.maxCoeff() * r.x.norm();
  REQUIRE(r.residual_norm <= 10 * floor);
  REQUIRE(r.iterations < 400);
  // So small that squares vanish.
  VectorX<S> const tiny = b * std::sqrt(std::numeric_limits<S>::min()) * u;
  REQUIRE(conjugate_gradient(A, tiny).status == Status::precision_limit);
}

TEST_CASE("the default tolerance is reached in float and double", "[cg]") {
  MatrixXd const A = with_spectrum<double>(VectorXd::LinSpaced(60, 1, 50), 4);
  VectorXd const b = random<double>(60, 1, 5);
  auto const r = conjugate_gradient(A, b);
  REQUIRE(r.converged());
  REQUIRE(r.residual_norm <= 1e-9 * b.norm());
  auto const single = conjugate_gradient(A.cast<float>(), b.cast<float>());
  REQUIRE(single.converged());
  REQUIRE(single.residual_norm <= 1e-5f * float(b.norm()));
  auto const absolute = conjugate_gradient(A, b, {.absolute_tolerance = 0.5});
  REQUIRE(absolute.converged());
  REQUIRE(absolute.residual_norm <= 0.5);
  REQUIRE(absolute.residual_norm > 1e-6);
}

TEST_CASE("an operator that returns NaN ends in non_finite with a finite x", "[cg]") {
  MatrixXd const A = with_spectrum<double>(VectorXd::LinSpaced(20, 1, 100), 4);
  VectorXd const b = random<double>(20, 1, 5);
  for (double poison : {std::numeric_limits<double>::quiet_NaN(), monge::infinity}) {
    for (Index when : {1, 2, 6}) {
      Index calls = 0;
      auto broken = [&](VectorXd const& p, VectorXd& y) {
        y = A * p;
        if (++calls >= when) y(3) = poison;
      };
      auto const r = conjugate_gradient(broken, b);
      REQUIRE(r.status == Status::non_finite);
      REQUIRE(r.x.allFinite());
      REQUIRE(r.iterations == std::max<Index>(0, when - 2));
    }
  }
}

TEST_CASE("the observer sees the residual and can stop the run", "[cg]") {
  Eigen::SparseMatrix<double> const A = laplacian(30, false);
  VectorXd const b = random<double>(900, 1, 2);
  Index calls = 0;
  auto const r = conjugate_gradient(A, b, {}, {}, [&](monge::Progress const& progress) {
    REQUIRE(progress.iteration == ++calls);
    REQUIRE(progress.error >= 0);
  });
  REQUIRE(r.converged());
  REQUIRE(calls == r.iterations);
  auto const stopped = conjugate_gradient(
      A, b, {}, {}, [](monge::Progress const& progress) { return progress.iteration < 4; });
  REQUIRE(stopped.status == Status::stopped_by_observer);
  REQUIRE(stopped.iterations == 4);
  REQUIRE_THAT(stopped.residual_norm, WithinRel((b - A * stopped.x).norm(), 1e-12));
  REQUIRE(conjugate_gradient(A, b, {.max_seconds = 0}).status == Status::time_limit);
  REQUIRE(conjugate_gradient(A, b, {.max_iterations = 0}).status == Status::iteration_limit);
}

TEST_CASE("a copied state goes on to the same answer bit for bit", "[cg]") {
  Eigen::SparseMatrix<double> const A = laplacian(25, false);
  VectorXd const b = random<double>(625, 1, 3);
  auto const operators = preconditioned(A, jacobi(A));
  monge::linalg::ConjugateGradient<decltype(operators), VectorXd> const method(
      operators, b, VectorXd::Zero(625), {.relative_tolerance = 1e-12});
  static_assert(monge::IterativeMethod<decltype(method)>);
  auto const whole = monge::iterate(method, {.max_iterations = 1000});
  REQUIRE(whole.status == Status::converged);
  auto const part = monge::iterate(method, {.max_iterations = 13});
  auto const resumed = monge::iterate(method, part.state, {.max_iterations = 1000});
  REQUIRE(resumed.status == Status::converged);
  REQUIRE(resumed.statistics.iterations + 13 == whole.statistics.iterations);
  REQUIRE(resumed.state.x == whole.state.x);
  REQUIRE(resumed.state.true_norm == whole.state.true_norm);
}

TEST_CASE("an iteration allocates nothing", "[cg]") {
  Eigen::SparseMatrix<double> const A = laplacian(25, false);
  MatrixXd const dense = A;
  VectorXd const b = random<double>(625, 1, 3);
  auto count = [&](auto const& matrix) {
    monge::linalg::ConjugateGradient<std::remove_reference_t<decltype(matrix)>, VectorXd> const
        method(matrix, b, VectorXd::Zero(625), {.relative_tolerance = 0});
    auto state = method.init();
    (void)method.advance(state, 2);
    return monge::test::allocations([&] { (void)method.advance(state, 20); });
  };
  REQUIRE(count(A) == 0);
  REQUIRE(count(dense) == 0);
  REQUIRE(count(preconditioned(A, jacobi(A))) == 0);
  REQUIRE(count([&](VectorXd const& p, VectorXd& y) { y.noalias() = A * p; }) == 0);
}

TEST_CASE("misuse is refused in the caller's words", "[cg]") {
  MatrixXd const A = MatrixXd::Identity(5, 5), wide = MatrixXd::Zero(5, 7);
  VectorXd const b = VectorXd::Ones(5), longer = VectorXd::Ones(6);
  double const nan = std::numeric_limits<double>::quiet_NaN();
  auto message = [](auto&&... arguments) {
    return refusal([&] { (void)conjugate_gradient(arguments...); });
  };
  REQUIRE(message(A, longer) ==
          "conjugate_gradient: A is 5x5 but b has 6 entries; A must be square with one row per "
          "entry");
  REQUIRE(message(wide, b).find("A is 5x7") != std::string::npos);
  REQUIRE(message(A, VectorXd()) == "conjugate_gradient: b is empty; it needs at least one entry");
  REQUIRE(message(A, VectorXd(b * nan)) ==
          "conjugate_gradient: b has an entry that is NaN or infinite");
  ConjugateGradientOptions options{.relative_tolerance = -1};
  REQUIRE(message(A, b, options) ==
          "conjugate_gradient: relative_tolerance is -1; it must be at least 0 and finite");
  options = {.absolute_tolerance = nan};
  REQUIRE(message(A, b, options).find("absolute_tolerance is") != std::string::npos);
  options = {.max_iterations = -1};
  REQUIRE(message(A, b, options) ==
          "conjugate_gradient: max_iterations is -1; it must be at least 0");
  options = {.observe_every = 0};
  REQUIRE(message(A, b, options).find("observe_every is 0") != std::string::npos);
  options = {};
  REQUIRE(message(A, b, options, longer) == "conjugate_gradient: start has 6 entries but b has 5");
  REQUIRE(message(A, b, options, VectorXd(b * monge::infinity)) ==
          "conjugate_gradient: start has an entry that is NaN or infinite");
  auto resizing = [](VectorXd const&, VectorXd& y) { y = VectorXd::Ones(3); };
  REQUIRE(message(resizing, b) ==
          "conjugate_gradient: the operator was given 5 entries and returned 3; write A p into the "
          "second argument without resizing it");
  REQUIRE(refusal([] { (void)jacobi(VectorXd(VectorXd::Zero(2))); }) ==
          "jacobi: diagonal entry 0 is 0; every entry must be positive and finite");
}
