// SPDX-License-Identifier: MIT
#include <cmath>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/problems.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/sinkhorn.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

constexpr auto single = ot::KernelPrecision::single;

struct Problem {
  MatrixXd C;
  VectorXd a, b;
};

Problem clouds(Index n, Index m, std::uint64_t seed) {
  return {ot::cost_matrix(support::points(2, n, seed), support::points(2, m, seed + 100),
                          ot::squared_euclidean{}),
          support::weights(n, seed + 200), support::weights(m, seed + 300)};
}

double marginal_error(Problem const& p, ot::SinkhornResult<double> const& r) {
  MatrixXd const P = ot::plan(p.C, r);
  return (P.rowwise().sum() - r.a).lpNorm<1>() + (P.colwise().sum().transpose() - r.b).lpNorm<1>();
}

}  // namespace

TEST_CASE("kernel precision: what single promises is what full promises", "[kernel_precision]") {
  for (auto const& [n, m] : {std::pair<Index, Index>{300, 220}, {67, 301}, {1, 5}, {5, 1}}) {
    Problem p = clouds(n, m, 3);
    if (n > 60) p.a(7) = p.a(60) = p.b(0) = 0;
    p.a /= p.a.sum();
    p.b /= p.b.sum();
    for (double const epsilon : {0.5, 0.05, 0.01}) {
      for (double const tolerance : {1e-3, 1e-5, 1e-9, 1e-12}) {
        CAPTURE(n, m, epsilon, tolerance);
        ot::SinkhornOptions options{.epsilon = epsilon, .tolerance = tolerance};
        auto const full = ot::sinkhorn(p.C, p.a, p.b, options);
        options.kernel_precision = single;
        auto const r = ot::sinkhorn(p.C, p.a, p.b, options);
        REQUIRE(full.converged());
        REQUIRE(r.converged());
        CHECK(r.marginal_error <= tolerance);
        CHECK(std::abs(marginal_error(p, r) - r.marginal_error) < 1e-13);
        CHECK(r.iterations < full.iterations + full.iterations / 2 + 10);
        if (tolerance < 1e-8) CHECK((r.f - full.f).lpNorm<Eigen::Infinity>() < 1e-6);
      }
    }
  }
}

TEST_CASE("kernel precision: acceleration, squaring and relaxation keep it", "[kernel_precision]") {
  Problem const p = clouds(160, 150, 5);
  for (auto const acceleration : {ot::Acceleration::none, ot::Acceleration::over_relaxation}) {
    for (double const annealing : {1.0, 0.5}) {
      CAPTURE(int(acceleration), annealing);
      auto const r = ot::sinkhorn(p.C, p.a, p.b,
                                  {.epsilon = 0.05,
                                   .tolerance = 1e-9,
                                   .acceleration = acceleration,
                                   .annealing = annealing,
                                   .kernel_precision = single});
      REQUIRE(r.converged());
      CHECK(marginal_error(p, r) <= 1e-9);
    }
  }
}

TEST_CASE("kernel precision: the kernel is in float until the tolerance needs more",
          "[kernel_precision]") {
  Problem const p = clouds(200, 180, 9);
  for (double const tolerance : {1e-5, 1e-9}) {
    ot::Sinkhorn const method(
        ot::DenseCost<double>(p.C), p.a, p.b,
        {.epsilon = 0.05, .tolerance = tolerance, .kernel_precision = single});
    auto const run = iterate(method, {.max_iterations = 1000});
    REQUIRE(run.status == Status::converged);
    CHECK(run.state.kernel.single() == (tolerance == 1e-5));
    CHECK(run.state.kernel.cost_reads() < run.state.kernel.reads() / 2);
  }
  ot::Sinkhorn const plain(ot::DenseCost<double>(p.C), p.a, p.b, {.epsilon = 0.05});
  CHECK(!plain.init().kernel.single());
  VectorXd tiny = p.a;
  tiny(3) = 1e-25;  // 1 / w leaves the range of float
  tiny /= tiny.sum();
  ot::Sinkhorn const refused(ot::DenseCost<double>(p.C), tiny, p.b,
                             {.epsilon = 0.05, .kernel_precision = single});
  CHECK(!refused.init().kernel.single());
}

TEST_CASE("kernel precision: a step with a kernel in float is one of a cost off by 1e-7 epsilon",
          "[kernel_precision]") {
  Problem const p = clouds(230, 190, 13);
  double const epsilon = 0.2;
  ot::SinkhornOptions options{.epsilon = epsilon,
                              .tolerance = 1e-5,
                              .acceleration = ot::Acceleration::none,
                              .annealing = 1};
  ot::Sinkhorn const full(ot::DenseCost<double>(p.C), p.a, p.b, options);
  options.kernel_precision = single;
  ot::Sinkhorn const narrow(ot::DenseCost<double>(p.C), p.a, p.b, options);
  auto x = full.init();
  auto y = narrow.init();
  bool differed = false;
  for (int k = 0; k < 12; ++k) {
    REQUIRE(full.advance(x, 1).status == Status::running);
    REQUIRE(narrow.advance(y, 1).status == Status::running);
    double const off = (x.g - y.g).lpNorm<Eigen::Infinity>();
    CHECK(off < (k + 1) * 3e-7 * epsilon);
    differed = differed || off > 1e-10 * epsilon;
  }
  CHECK(differed);  // or it was not in float at all
}

TEST_CASE("kernel precision: squares double the roundings, and no run believes a kernel too long",
          "[kernel_precision]") {
  // In plans of few entries nothing averages roundings out: a fifth of these would end with an
  // error above the tolerance if ten squares counted as one rounding.
  for (std::uint64_t k = 0; k < 120; ++k) {
    Index const n = 2 + Index(k % 5), m = 2 + Index(k % 4);
    MatrixXd const C = support::matrix(n, m, k);
    VectorXd const a = support::weights(n, k + 5), b = support::weights(m, k + 9);
    auto const r = ot::sinkhorn(C, a, b,
                                {.epsilon = 1e-3 * C.maxCoeff(),
                                 .tolerance = 1e-5,
                                 .max_iterations = 20'000,
                                 .acceleration = ot::Acceleration::none,
                                 .annealing = 0.5,
                                 .kernel_precision = single});
    CAPTURE(k);
    CHECK(r.status != Status::precision_limit);
  }
}

TEST_CASE("kernel precision: potentials that jump leave a kernel in float behind",
          "[kernel_precision]") {
  Problem const p = clouds(60, 50, 17);
  double const epsilon = 0.1;
  ot::detail::EntropicProblem<ot::DenseCost<double>> const problem(
      "test", ot::DenseCost<double>(p.C), p.a, p.b, epsilon, 1e-5);
  ot::detail::Blur<double> const at(epsilon);
  auto const solved = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = epsilon});
  ot::detail::RowSums<double> rows(60, 50, 1);
  for (double const jump : {10.0, 100.0, -100.0}) {
    ot::detail::ScalingKernel<double> kernel(60, 50, 8.0 * 60 * 50), exact(60, 50, 0);
    kernel.store_single(problem);
    VectorXd f = solved.f, g = solved.g, next = f, g_exact = g;
    for (int k = 0; k < 4; ++k) kernel.read(problem, {at, 1e-12}, f, g, rows, {}, next);
    REQUIRE(kernel.single());
    REQUIRE(kernel.cost_reads() < kernel.reads());
    for (Index i = 0; i < 60; i += 2) f(i) += jump * epsilon;
    kernel.read(problem, {at, 1e-12}, f, g, rows, {}, next);
    exact.read(problem, {at, 0}, f, g_exact, rows, {}, next);
    CAPTURE(jump);
    CHECK((g - g_exact).lpNorm<Eigen::Infinity>() < 1e-6 * epsilon);
  }
}

TEST_CASE("kernel precision: threads change no bit and iterations allocate nothing",
          "[kernel_precision]") {
  Problem const p = clouds(257, 190, 11);
  ot::SinkhornOptions options{.epsilon = 0.05, .tolerance = 1e-9, .kernel_precision = single};
  auto const serial = ot::sinkhorn(p.C, p.a, p.b, options);
  for (int threads : {1, 3}) {
    options.parallel = parallel::threads(threads);
    auto const r = ot::sinkhorn(p.C, p.a, p.b, options);
    CHECK((r.f.array() == serial.f.array()).all());
    CHECK(r.iterations == serial.iterations);
  }
  ot::Sinkhorn const method(ot::DenseCost<double>(p.C), p.a, p.b,
                            {.epsilon = 1.0,
                             .tolerance = 1e-5,
                             .acceleration = ot::Acceleration::none,
                             .kernel_precision = single});
  auto state = method.init();
  static_cast<void>(method.advance(state, 4));
  CHECK(test::allocations([&] { static_cast<void>(method.advance(state, 3)); }) == 0);
  CHECK(state.kernel.single());
}

TEST_CASE("kernel precision: float problems are as they are", "[kernel_precision]") {
  Eigen::MatrixXf const C = support::matrix<float>(40, 30, 4);
  Eigen::VectorXf const a = support::uniform_weights<float>(40),
                        b = support::uniform_weights<float>(30);
  auto const r = ot::sinkhorn(C, a, b, {.epsilon = 0.05});
  auto const s = ot::sinkhorn(C, a, b, {.epsilon = 0.05, .kernel_precision = single});
  CHECK((r.f.array() == s.f.array()).all());
}
