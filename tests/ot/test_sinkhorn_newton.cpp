// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/entropic.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/sinkhorn_newton.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

using support::same;

struct Problem {
  MatrixXd C;
  VectorXd a, b;
};

Problem clouds(Index n, Index m, std::uint64_t seed = 1) {
  return {ot::cost_matrix(support::points(2, n, seed), support::points(2, m, seed + 100),
                          ot::squared_euclidean{}),
          support::weights(n, seed + 200), support::weights(m, seed + 300)};
}

double marginal_error(MatrixXd const& P, VectorXd const& a, VectorXd const& b) {
  return (P.rowwise().sum() - a).lpNorm<1>() + (P.colwise().sum().transpose() - b).lpNorm<1>();
}

}  // namespace

TEST_CASE("sinkhorn_newton: agrees with sinkhorn", "[sinkhorn_newton]") {
  for (auto const& [n, m] : {std::pair<Index, Index>{40, 40}, {25, 60}, {60, 25}, {1, 7}, {7, 1}}) {
    for (double const epsilon : {0.5, 0.05, 0.01}) {
      CAPTURE(n, m, epsilon);
      Problem const p = clouds(n, m);
      auto const r = ot::sinkhorn_newton(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-12});
      auto const s = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-12});
      REQUIRE(r.status == Status::converged);
      REQUIRE(s.status == Status::converged);
      CHECK(marginal_error(ot::plan(p.C, r), r.a, r.b) <= 1e-12);
      CHECK((ot::plan(p.C, r) - ot::plan(p.C, s)).cwiseAbs().sum() < 1e-8);
      CHECK(std::abs(r.dual_value - s.dual_value) < 1e-12);
      CHECK(std::abs(r.regularised_cost - r.dual_value) < 1e-12);
    }
  }
}

TEST_CASE("sinkhorn_newton: few steps where sinkhorn needs thousands", "[sinkhorn_newton]") {
  Index const n = 100;
  MatrixXd const C = support::matrix(n, n, 3);  // random assignment, as in [TSGY24]
  VectorXd const w = support::uniform_weights(n);
  auto const r = ot::sinkhorn_newton(C, w, w, {.epsilon = 1.0 / 1200, .tolerance = 1e-12});
  REQUIRE(r.status == Status::converged);
  CHECK(r.iterations < 80);
  CHECK(marginal_error(ot::plan(C, r), w, w) <= 1e-12);
  auto const slow =
      ot::sinkhorn(C, w, w, {.epsilon = 1.0 / 1200, .tolerance = 1e-12, .max_iterations = 5000});
  CHECK(slow.status == Status::iteration_limit);
}

TEST_CASE("sinkhorn_newton: converges faster than linearly", "[sinkhorn_newton]") {
  Problem const p = clouds(80, 80, 5);
  auto const r = ot::sinkhorn_newton(p.C, p.a, p.b, {.epsilon = 0.01, .tolerance = 1e-13});
  REQUIRE(r.status == Status::converged);
  REQUIRE(r.history.size() >= 3);
  // The error falls by growing factors: the last factor is far below the square root of the error.
  auto const& last = r.history.back();
  auto const& before = r.history[r.history.size() - 2];
  CHECK(last.step == 1);
  CHECK(last.marginal_error < before.marginal_error * 1e-2);
  CHECK(last.nonzeros > 0);
  CHECK(last.inner_iterations > 0);
}

TEST_CASE("sinkhorn_newton: from any start, without warm-up and without annealing",
          "[sinkhorn_newton]") {
  Problem const p = clouds(40, 50, 7);
  auto const usual = ot::sinkhorn_newton(p.C, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-11});
  REQUIRE(usual.status == Status::converged);
  ot::SinkhornNewtonOptions bare{.epsilon = 0.02, .tolerance = 1e-11};
  bare.warmup_iterations = 0;
  bare.annealing = 1;
  auto const close = [&](auto const& r) {
    REQUIRE(r.status == Status::converged);
    CHECK((r.f - usual.f).template lpNorm<Eigen::Infinity>() < 1e-9);
  };
  close(ot::sinkhorn_newton(p.C, p.a, p.b, bare));
  for (double const size : {1.0, 100.0, 1e8}) {
    close(ot::sinkhorn_newton(p.C, p.a, p.b, bare,
                              {size * support::points(40, 1, 8), support::points(50, 1, 9)}));
  }
  auto const again = ot::sinkhorn_newton(p.C, p.a, p.b, bare, {usual.f, usual.g});
  CHECK(again.iterations == 1);
  close(again);
  bare.drop = 0;  // the full Hessian
  close(ot::sinkhorn_newton(p.C, p.a, p.b, bare));
  bare.drop = 0.9;
  close(ot::sinkhorn_newton(p.C, p.a, p.b, bare));
}

TEST_CASE("sinkhorn_newton: the Hessian is the derivative of the gradient", "[sinkhorn_newton]") {
  // With nothing dropped L is -epsilon times the second derivative of D, so that r(f + epsilon h x)
  // has the derivative -L x.
  Index const n = 12, m = 9;
  Problem const p = clouds(n, m, 11);
  double const epsilon = 0.3, h = 1e-5;
  VectorXd const f = 0.2 * support::points(n, 1, 12), x = support::points(n, 1, 13);
  auto const plan_at = [&](VectorXd const& potential) {
    MatrixXd E = ((-p.C).colwise() + potential) / epsilon;
    E = p.a.asDiagonal() * E.array().exp().matrix();
    return MatrixXd(E * p.b.cwiseQuotient(E.colwise().sum().transpose()).asDiagonal());
  };
  MatrixXd const P = plan_at(f);
  ot::detail::SparseLaplacian<double> L;
  L.clear(monge::detail::Chunks(m), n * m);
  VectorXd const ones = VectorXd::Ones(n);
  for (Index j = 0; j < m; ++j) {
    VectorXd const column = P.col(j) / p.b(j);
    L.add_column(0, ones, column.data(), 1.0, p.b(j), 0.0);
  }
  L.prepare(P.rowwise().sum(), VectorXd::Zero(n));
  VectorXd product(n);
  L(x, product);
  VectorXd const difference = (plan_at(f + epsilon * h * x).rowwise().sum() -
                               plan_at(f - epsilon * h * x).rowwise().sum()) /
                              (2 * h);
  CHECK((product - difference).lpNorm<Eigen::Infinity>() < 1e-10);
  L(ones, product);
  CHECK(product.lpNorm<Eigen::Infinity>() < 1e-15);  // a constant moves nothing
  MatrixXd dense(n, n);
  for (Index i = 0; i < n; ++i) {
    L(MatrixXd::Identity(n, n).col(i), product);
    dense.col(i) = product;
  }
  CHECK((dense - dense.transpose()).norm() < 1e-16);
  CHECK((dense.diagonal() - L.diagonal()).norm() < 1e-15);
}

TEST_CASE("sinkhorn_newton: any epsilon down to 1e-6 of the cost", "[sinkhorn_newton]") {
  Problem const p = clouds(30, 35, 31);
  for (double const epsilon : {1e-6, 1e-5, 1e-4, 1e-3, 1.0, 1e3}) {
    CAPTURE(epsilon);
    auto const r = ot::sinkhorn_newton(p.C, p.a, p.b, {.epsilon = epsilon});
    CHECK(r.status == Status::converged);
    CHECK(r.marginal_error <= r.tolerance);
    CHECK(marginal_error(ot::plan(p.C, r), r.a, r.b) <= 1.01 * r.tolerance);
  }
}

TEST_CASE("sinkhorn_newton: scaled costs, float, row-major and lazy costs", "[sinkhorn_newton]") {
  Problem const p = clouds(45, 30, 37);
  ot::SinkhornNewtonOptions options{.epsilon = 0.01, .tolerance = 1e-11};
  auto const r = ot::sinkhorn_newton(p.C, p.a, p.b, options);
  REQUIRE(r.status == Status::converged);
  for (double const scale : {1e-12, 1e12}) {
    options.epsilon = 0.01 * scale;
    auto const s = ot::sinkhorn_newton(scale * p.C, p.a, p.b, options);
    REQUIRE(s.status == Status::converged);
    CHECK((s.f / scale - r.f).lpNorm<Eigen::Infinity>() < 1e-10);
  }
  options.epsilon = 0.01;
  Eigen::Matrix<double, -1, -1, Eigen::RowMajor> const row_major = p.C;
  auto const t = ot::sinkhorn_newton(row_major, p.a, p.b, options);
  REQUIRE(t.status == Status::converged);
  CHECK((t.f - r.f).lpNorm<Eigen::Infinity>() < 1e-9);
  auto const lazy =
      ot::sinkhorn_newton(ot::point_cloud(support::points(2, 45, 37), support::points(2, 30, 137),
                                          ot::squared_euclidean{}),
                          p.a, p.b, options);
  REQUIRE(lazy.status == Status::converged);
  CHECK((lazy.f - r.f).lpNorm<Eigen::Infinity>() < 1e-9);
  auto const single = ot::sinkhorn_newton(p.C.cast<float>(), p.a.cast<float>(), p.b.cast<float>(),
                                          {.epsilon = 0.01});
  CHECK(single.status == Status::converged);
  CHECK((single.f.cast<double>() - r.f).lpNorm<Eigen::Infinity>() < 1e-3);
}

TEST_CASE("sinkhorn_newton: zero weights, tiny weights and forbidden pairs", "[sinkhorn_newton]") {
  Problem p = clouds(12, 12, 41);
  p.a(3) = p.b(0) = 0;
  p.a(5) = 1e-250;
  p.b(6) = 1e-120;
  p.a /= p.a.sum();
  p.b /= p.b.sum();
  auto const r = ot::sinkhorn_newton(p.C, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-12});
  REQUIRE(r.status == Status::converged);
  CHECK(r.f.allFinite());
  CHECK(ot::plan(p.C, r).row(3).isZero(0));
  auto const s = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-12});
  CHECK(std::abs(r.f(3) - s.f(3)) < 1e-9);  // a soft c-transform, too

  p = clouds(8, 8, 43);
  p.a.setConstant(1.0 / 8);
  p.b = p.a;
  for (Index i = 0; i < 8; ++i) p.C(i, (i + 3) % 8) = infinity;
  auto const allowed = ot::sinkhorn_newton(p.C, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-11});
  REQUIRE(allowed.status == Status::converged);
  CHECK(ot::plan(p.C, allowed)(0, 3) == 0);
  p.C.row(1).setConstant(infinity);
  CHECK(ot::sinkhorn_newton(p.C, p.a, p.b, {.epsilon = 0.02}).status == Status::infeasible);
}

TEST_CASE("sinkhorn_newton: threads, resumption, limits and the rounding floor",
          "[sinkhorn_newton]") {
  Problem const p = clouds(150, 170, 47);
  ot::SinkhornNewtonOptions options{.epsilon = 0.005, .tolerance = 1e-11};
  auto const whole = ot::sinkhorn_newton(p.C, p.a, p.b, options);
  REQUIRE(whole.status == Status::converged);
  options.parallel = parallel::threads(2);
  auto const threaded = ot::sinkhorn_newton(p.C, p.a, p.b, options);
  CHECK(same(threaded.f, whole.f));
  CHECK(threaded.iterations == whole.iterations);

  options.parallel = {};
  ot::SinkhornNewton const method(ot::DenseCost<double>(p.C), p.a, p.b, options);
  auto state = method.init();
  static_cast<void>(method.advance(state, 9));
  auto const copy = state;
  static_cast<void>(method.advance(state, 3));
  CHECK(same(method.result(iterate(method, copy, {})).f, whole.f));

  options.max_iterations = 6;
  auto const early = ot::sinkhorn_newton(p.C, p.a, p.b, options);
  CHECK(early.status == Status::iteration_limit);
  CHECK(early.f.allFinite());
  CHECK(std::isfinite(early.marginal_error));
  options.max_iterations = 2000;
  int calls = 0;
  auto const stopped =
      ot::sinkhorn_newton(p.C, p.a, p.b, options, {}, [&](Progress const&) { return ++calls < 5; });
  CHECK(stopped.status == Status::stopped_by_observer);
  options.tolerance = 0.0;
  auto const floor = ot::sinkhorn_newton(p.C, p.a, p.b, options);
  CHECK(floor.status == Status::precision_limit);
  CHECK(floor.marginal_error < 1e-12);
  options.tolerance = 1e-11;
  options.max_seconds = 0;
  CHECK(ot::sinkhorn_newton(p.C, p.a, p.b, options).status == Status::time_limit);
}

TEST_CASE("sinkhorn_newton: all policies find the same plan", "[sinkhorn_newton]") {
  Index const n = 60, m = 50;
  MatrixXd const C = support::matrix(n, m, 3);
  VectorXd const a = support::weights(n, 4), b = support::weights(m, 5);
  ot::SinkhornNewtonOptions options{.epsilon = 5e-3, .tolerance = 1e-12};
  options.kernel_bytes = 0;
  auto const reference = ot::sinkhorn_newton(C, a, b, options);
  REQUIRE(reference.status == Status::converged);
  options.kernel_bytes = std::nullopt;
  options.annealing = 1;
  for (auto const policy :
       {ot::NewtonPolicy::adaptive, ot::NewtonPolicy::sns, ot::NewtonPolicy::ssns}) {
    for (Index const warmup : {0, 20}) {
      CAPTURE(int(policy), warmup);
      options.policy = policy;
      options.warmup_iterations = warmup;
      auto const r = ot::sinkhorn_newton(C, a, b, options);
      REQUIRE(r.status == Status::converged);
      CHECK((r.f - reference.f).lpNorm<Eigen::Infinity>() < 1e-9);
      bool newton = false;
      for (ot::NewtonRecord const& record : r.history) {
        newton = newton || record.step > 0;
        // Three entries of the plan per row of the larger side, and ties.
        double const density = 2.0 / double(n) * double((n + m) * (n + m));
        if (policy == ot::NewtonPolicy::sns) {
          CHECK(double(record.nonzeros) <= (density - double(n + m)) / 2 + 1);
        }
      }
      CHECK(newton);
    }
  }
  options.policy = ot::NewtonPolicy::sns;
  options.density = 1.0;  // the full Hessian
  options.warmup_iterations = 20;
  auto const full = ot::sinkhorn_newton(C, a, b, options);
  REQUIRE(full.status == Status::converged);
  CHECK(full.history.back().nonzeros > 6 * n);
}

TEST_CASE("sinkhorn_newton: SSNS drops a bounded mass of columns and rows", "[sinkhorn_newton]") {
  Index const n = 30, m = 25;
  MatrixXd P = support::matrix(n, m, 8).array().pow(6).matrix();
  P.row(4) *= 1e-3;  // a row that would lose everything
  P /= P.sum();
  VectorXd const v = P.colwise().sum(), w = P.rowwise().sum(), ones = VectorXd::Ones(n);
  double const bound = 2e-4;
  ot::detail::SparseLaplacian<double> L;
  L.clear(monge::detail::Chunks(m), n * m);
  for (Index j = 0; j < m; ++j) {
    VectorXd const q = P.col(j) / v(j);
    L.add_column(0, ones, q.data(), 1.0, v(j), 0.0);
  }
  Index const all = L.nonzeros();
  L.drop_mass(bound, w);
  CHECK(L.nonzeros() < all);
  L.prepare(w, VectorXd::Zero(n));
  // What a constant is mapped to is what the rows and columns lost: L 1 = dropped - (columns).
  VectorXd y(n);
  L(ones, y);
  CHECK(y.maxCoeff() <= 2 * bound * (1 + 1e-12));
  L.keep_largest(40);
  CHECK(L.nonzeros() >= 40);
  CHECK(L.nonzeros() <= 42);
}

/// A row and a column of which have no mass.
Problem clouds_with_idle_points(Index n, Index m) {
  Problem p = clouds(n, m, 61);
  p.a(3) = 0;
  p.b(7) = 0;
  p.a /= p.a.sum();
  p.b /= p.b.sum();
  return p;
}

TEST_CASE("sinkhorn_newton: a read with exponentials in float is good to 1e-5",
          "[sinkhorn_newton]") {
  Index const n = 67, m = 53;
  Problem p = clouds_with_idle_points(n, m);
  for (double const epsilon : {0.5, 0.01, 1e-4}) {
    ot::detail::EntropicProblem<ot::DenseCost<double>> const problem(
        "test", ot::DenseCost<double>(p.C), p.a, p.b, epsilon, 1e-9);
    REQUIRE(ot::detail::RoughRead::possible(problem));
    VectorXd f, g;
    problem.begin(ot::Potentials<double>{}, f, g);
    VectorXd g_rough = g, next = f, next_rough = f;
    ot::detail::RowSums<double> rows(n, m, 1);
    ot::detail::ScalingKernel<double> exact(n, m, 0), rough(n, m, 0);
    ot::detail::Blur<double> const at(epsilon);
    for (int step = 0; step < 3; ++step) {
      exact.read(problem, {at, 0}, f, g, rows, {}, next);
      rough.rough_read(problem, at, f, g_rough, rows, {}, next_rough);
      for (Index i = 0; i < n; ++i) {
        if (p.a(i) > 0) CHECK(std::abs(next(i) - next_rough(i)) < 1e-5 * epsilon);
      }
      for (Index j = 0; j < m; ++j) {
        if (p.b(j) > 0) CHECK(std::abs(g(j) - g_rough(j)) < 1e-5 * epsilon);
      }
      f = next;
    }
  }
  p.a(5) = 1e-200;
  ot::detail::EntropicProblem<ot::DenseCost<double>> const tiny("test", ot::DenseCost<double>(p.C),
                                                                p.a / p.a.sum(), p.b, 0.1, 1e-9);
  CHECK_FALSE(ot::detail::RoughRead::possible(tiny));
}

/// The largest difference in exponents between a read in float that keeps its kernel and an exact
/// one from the same f; f <- a step of Sinkhorn.
double difference_of_reads(ot::detail::EntropicProblem<ot::DenseCost<double>> const& problem,
                           ot::detail::ScalingKernel<double>& rough, double epsilon, VectorXd& f,
                           VectorXd& g) {
  Index const n = problem.n(), m = problem.m();
  ot::detail::Blur<double> const at(epsilon);
  ot::detail::RowSums<double> rows(n, m, 1);
  ot::detail::ScalingKernel<double> exact(n, m, 0);
  VectorXd g_exact = g, next = f, next_rough = f;
  exact.read(problem, {at, 0}, f, g_exact, rows, {}, next);
  rough.rough_read(problem, at, f, g, rows, {}, next_rough);
  double difference = 0;
  for (Index i = 0; i < n; ++i) {
    if (problem.w(i) > 0) difference = std::max(difference, std::abs(next(i) - next_rough(i)));
  }
  for (Index j = 0; j < m; ++j) {
    if (problem.v(j) > 0) difference = std::max(difference, std::abs(g_exact(j) - g(j)));
  }
  f = next;
  return difference / epsilon;
}

TEST_CASE("sinkhorn_newton: reads in float go on with the kernel that they keep",
          "[sinkhorn_newton]") {
  Index const n = 67, m = 203;
  Problem p = clouds_with_idle_points(n, m);
  ot::detail::EntropicProblem<ot::DenseCost<double>> const problem(
      "test", ot::DenseCost<double>(p.C), p.a, p.b, 1e-4, 1e-9);
  VectorXd f, g;

  SECTION("through halves, quarters and other shares of epsilon") {
    for (double const factor : {0.5, 0.25, 0.3}) {
      ot::detail::ScalingKernel<double> rough(n, m, 1e6);
      problem.begin(ot::Potentials<double>{}, f, g);
      double worst = 0;
      for (double epsilon = 0.1; epsilon > 1e-4; epsilon *= factor) {
        for (int step = 0; step < 3; ++step) {
          worst = std::max(worst, difference_of_reads(problem, rough, epsilon, f, g));
        }
      }
      CHECK(worst < 3e-4);
      CHECK(2 * rough.cost_reads() < rough.reads());
    }
  }
  SECTION("and take exponentials again before roundings have added up") {
    // Squared forty times, a rounding would be the whole entry; costs below 1e-11 keep exponents
    // small, so that nothing else makes the read end.
    MatrixXd const C = 1e-11 * p.C;
    ot::detail::EntropicProblem<ot::DenseCost<double>> const small("test", ot::DenseCost<double>(C),
                                                                   p.a, p.b, 1e-12, 1e-9);
    ot::detail::ScalingKernel<double> rough(n, m, 1e6);
    small.begin(ot::Potentials<double>{}, f, g);
    double worst = 0;
    for (double epsilon = 1; epsilon > 1e-12; epsilon /= 2) {
      worst = std::max(worst, difference_of_reads(small, rough, epsilon, f, g));
    }
    CHECK(worst < 1e-3);
    CHECK(rough.cost_reads() < 8);
  }
  SECTION("but not for entries that were lost and may come back") {
    // Half of the rows rise against the others, or fall, by 6 exponents per read: by no jump, but
    // within 15 reads what was below the range of a float is the plan.
    double const epsilon = 2e-3;
    for (double const step : {6 * epsilon, -6 * epsilon}) {
      ot::detail::ScalingKernel<double> rough(n, m, 1e6);
      problem.begin(ot::Potentials<double>{}, f, g);
      double worst = 0;
      for (int k = 0; k < 40; ++k) {
        VectorXd next = f;
        worst = std::max(worst, difference_of_reads(problem, rough, epsilon, next, g));
        for (Index i = 0; i < n; i += 2) f(i) += step;
      }
      CHECK(worst < 1e-4);
      CHECK(2 * rough.cost_reads() < rough.reads());
    }
  }
  SECTION("nor after a jump") {
    ot::detail::ScalingKernel<double> rough(n, m, 1e6);
    for (double const jump : {1e3, -1e3}) {
      problem.begin(ot::Potentials<double>{}, f, g);
      CHECK(difference_of_reads(problem, rough, 0.01, f, g) < 1e-5);
      f(1) += jump;
      CHECK(difference_of_reads(problem, rough, 0.01, f, g) < 1e-5);
    }
    CHECK(rough.cost_reads() == 4);
  }
  SECTION("nor where squares leave the range") {
    // Columns of e^30, whose fourth power is no float, and of e^-38, whose squares are the largest
    // entries only.
    for (auto const& [shift, factor] : {std::pair{-3.0, 0.25}, {3.6, 0.5}}) {
      MatrixXd const C = p.C.array() + shift;
      ot::detail::EntropicProblem<ot::DenseCost<double>> const shifted(
          "test", ot::DenseCost<double>(C), p.a, p.b, 1e-4, 1e-9);
      ot::detail::ScalingKernel<double> rough(n, m, 1e6);
      shifted.begin(ot::Potentials<double>{}, f, g);
      CHECK(difference_of_reads(shifted, rough, 0.1, f, g) < 1e-5);
      CHECK(difference_of_reads(shifted, rough, factor * 0.1, f, g) < 1e-5);
    }
  }
}

TEST_CASE("sinkhorn_newton: a squared sparse kernel is not trusted beyond what it left out",
          "[sinkhorn_newton]") {
  // Entries below a share of their row and column were left out. Squared, that share is no longer
  // small where both a row and a column weigh next to nothing.
  Index const n = 64;
  Problem p = clouds(n, n, 71);
  p.a(0) = p.b(1) = 1e-40;
  p.a /= p.a.sum();
  p.b /= p.b.sum();
  double const epsilon = 5e-5;
  auto const solved = ot::sinkhorn_newton(p.C, p.a, p.b, {.epsilon = 2 * epsilon});
  REQUIRE(solved.status == Status::converged);
  ot::detail::EntropicProblem<ot::DenseCost<double>> const problem(
      "test", ot::DenseCost<double>(p.C), p.a, p.b, epsilon, 1e-9);
  ot::detail::Blur<double> const coarse(2 * epsilon), fine(epsilon);
  double const negligible = problem.negligible(1e-9);
  VectorXd f = solved.f, g = solved.g, next = f;
  ot::detail::RowSums<double> rows(n, n, 1);
  ot::detail::ScalingKernel<double> kernel(n, n, double(n * n * 6));  // never a whole one
  for (int read = 0; read < 4; ++read) {
    f = next;
    kernel.read(problem, {coarse, negligible}, f, g, rows, {}, next);
  }
  Index const before = kernel.cost_reads();
  kernel.read(problem, {coarse, negligible}, f, g, rows, {}, next);
  REQUIRE(kernel.cost_reads() == before);  // it is in use
  kernel.anneal(coarse, fine);
  kernel.read(problem, {fine, negligible}, f, g, rows, {}, next);
  CHECK(kernel.cost_reads() == before + 1);
}

TEST_CASE("sinkhorn_newton: misuse is refused in the caller's words", "[sinkhorn_newton]") {
  Problem const p = clouds(5, 7);
  CHECK_REFUSED(ot::sinkhorn_newton(p.C, p.b, p.a, {.epsilon = 1.0}),
                "sinkhorn_newton: cost is 5x7 but a has 7 entries");
  CHECK_REFUSED(ot::sinkhorn_newton(p.C, p.a, p.b, {}), "sinkhorn_newton: epsilon is not set");
  CHECK_REFUSED(ot::sinkhorn_newton(p.C, p.a, p.b, {.epsilon = -1.0}), "epsilon is -1");
  ot::SinkhornNewtonOptions options{.epsilon = 1.0};
  options.annealing = 0;
  CHECK_REFUSED(ot::sinkhorn_newton(p.C, p.a, p.b, options), "annealing is 0");
  options.annealing = 0.5;
  options.drop = 1;
  CHECK_REFUSED(ot::sinkhorn_newton(p.C, p.a, p.b, options), "drop is 1");
  options.drop = 0.1;
  options.warmup_iterations = -1;
  CHECK_REFUSED(ot::sinkhorn_newton(p.C, p.a, p.b, options), "warmup_iterations is -1");
  options.density = 0.0;
  options.warmup_iterations = 1;
  CHECK_REFUSED(ot::sinkhorn_newton(p.C, p.a, p.b, options), "density is 0");
  options.density = std::nullopt;
  CHECK_REFUSED(ot::sinkhorn_newton(p.C, p.a, p.b, options, {p.b, p.a}),
                "start has 7 and 5 potentials");
}

TEST_CASE("sinkhorn_newton: weights over many decades do not hold up its steps",
          "[sinkhorn_newton]") {
  Index const n = 120;
  MatrixXd C = clouds(n, n).C;
  C /= C.maxCoeff();
  for (double const decades : {30.0, 100.0, 300.0}) {
    VectorXd w(n);
    for (Index i = 0; i < n; ++i) w(i) = std::pow(10, -decades * double(7 * i % n) / double(n - 1));
    w /= w.sum();
    for (double const epsilon : {1e-4, 1e-5, 1e-6}) {
      CAPTURE(decades, epsilon);
      auto const r = ot::sinkhorn_newton(C, w, w, {.epsilon = epsilon});
      CHECK(r.converged());
      CHECK(r.iterations < 1200);
    }
  }
}

TEST_CASE("sinkhorn_newton: costs that leave exponents no digit end in a status, not an exception",
          "[sinkhorn_newton]") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    for (double const ratio : {1e18, 1e20, 1e22}) {
      Problem const p = clouds(40, 40, seed);
      ot::SinkhornNewtonOptions const options{
          .epsilon = p.C.maxCoeff() / ratio, .tolerance = 1e-16 * ratio, .max_iterations = 500};
      CAPTURE(seed, ratio);
      ot::SinkhornNewtonResult<double> r;
      CHECK_NOTHROW(r = ot::sinkhorn_newton(p.C, p.a, p.b, options));
      CHECK(r.status != Status::not_run);
    }
  }
}
