// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/entropic.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/assignment.hpp>
#include <monge/ot/exact_gap.hpp>
#include <monge/ot/plan.hpp>
#include <monge/ot/sinkhorn.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

using support::check_identical, support::same;

struct Problem {
  MatrixXd C;
  VectorXd a, b;
};

Problem clouds(Index n, Index m, std::uint64_t seed = 1) {
  return {ot::cost_matrix(support::points(2, n, seed), support::points(2, m, seed + 100),
                          ot::squared_euclidean{}),
          support::weights(n, seed + 200), support::weights(m, seed + 300)};
}

/// |P 1 - a|_1 + |P' 1 - b|_1 of the plan, formed and summed outside the solver.
template <class C, class R>
double marginal_error(C const& cost, R const& r) {
  MatrixXd const P = ot::plan(cost, r).template cast<double>();
  VectorXd const a = r.a.template cast<double>(), b = r.b.template cast<double>();
  return ((P.rowwise().sum() - a).template lpNorm<1>() +
          (P.colwise().sum().transpose() - b).template lpNorm<1>()) /
         a.sum();
}

/// The objective <C, P> + epsilon KL(P | a b' / M), evaluated from its definition.
double objective(Problem const& p, MatrixXd const& P, double epsilon) {
  MatrixXd const Q = p.a * p.b.transpose() / p.a.sum();
  double value = 0;
  for (Index j = 0; j < P.cols(); ++j) {
    for (Index i = 0; i < P.rows(); ++i) {
      if (P(i, j) > 0) {
        value += P(i, j) * p.C(i, j) + epsilon * P(i, j) * std::log(P(i, j) / Q(i, j));
      }
      value += epsilon * (Q(i, j) - P(i, j));
    }
  }
  return value;
}

}  // namespace

TEST_CASE("sinkhorn: two points each, epsilon 1, in closed form", "[sinkhorn]") {
  Eigen::Matrix2d C;
  C << 0, 1, 1, 0;
  Eigen::Vector2d const half(0.5, 0.5);
  auto const r = ot::sinkhorn(C, half, half, {.epsilon = 1.0});
  REQUIRE(r.status == Status::converged);
  MatrixXd const P = ot::plan(C, r);
  double const same_place = 0.5 / (1 + std::exp(-1.0));
  CHECK(std::abs(P(0, 0) - 0.36552929) < 5e-9);
  CHECK(std::abs(P(0, 1) - 0.13447071) < 5e-9);
  CHECK(std::abs(P(0, 0) - same_place) < 1e-15);
  CHECK(std::abs(P(1, 0) - (0.5 - same_place)) < 1e-15);
}

TEST_CASE("sinkhorn: one Gaussian to another in closed form", "[sinkhorn]") {
  // [JMPC20] H. Janati et al., Entropic optimal transport between unbalanced Gaussian measures has
  // a closed form, NeurIPS 2020, Theorem 1, in one dimension, with 2 sigma^2 = epsilon.
  double const m1 = -0.4, s1 = 0.7, m2 = 0.9, s2 = 0.35;
  Index const n = 400;
  VectorXd const x = VectorXd::LinSpaced(n, m1 - 8 * s1, m1 + 8 * s1);
  VectorXd const y = VectorXd::LinSpaced(n, m2 - 8 * s2, m2 + 8 * s2);
  VectorXd a = (-(x.array() - m1).square() / (2 * s1 * s1)).exp().matrix();
  VectorXd b = (-(y.array() - m2).square() / (2 * s2 * s2)).exp().matrix();
  a /= a.sum();
  b /= b.sum();
  for (double const epsilon : {0.1, 0.5, 4.0}) {
    CAPTURE(epsilon);
    auto const r =
        ot::sinkhorn(ot::point_cloud(x.transpose(), y.transpose(), ot::squared_euclidean{}), a, b,
                     {.epsilon = epsilon, .tolerance = 1e-13});
    REQUIRE(r.status == Status::converged);
    double const sigma2 = epsilon / 2;
    double const D = std::sqrt(4 * s1 * s1 * s2 * s2 + sigma2 * sigma2);
    double const apart = (m1 - m2) * (m1 - m2) + s1 * s1 + s2 * s2;
    double const value =
        apart - D + sigma2 * (1 - std::log(2 * sigma2)) + sigma2 * std::log(D + sigma2);
    double const covariance = (D - sigma2) / 2;
    CHECK(std::abs(r.regularised_cost - value) < 1e-9);
    CHECK(std::abs(r.dual_value - value) < 1e-9);
    CHECK(std::abs(r.transport_cost - (apart - 2 * covariance)) < 1e-9);
  }
}

TEST_CASE("sinkhorn: the marginals are met to the tolerance that was asked", "[sinkhorn]") {
  for (auto const& [n, m] : {std::pair<Index, Index>{30, 40}, {41, 17}, {1, 9}, {9, 1}, {1, 1}}) {
    for (double const tolerance : {1e-3, 1e-9, 1e-13}) {
      CAPTURE(n, m, tolerance);
      Problem const p = clouds(n, m);
      auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.1, .tolerance = tolerance});
      REQUIRE(r.status == Status::converged);
      CHECK(r.marginal_error <= tolerance);
      CHECK(std::abs(marginal_error(p.C, r) - r.marginal_error) < 1e-14);
    }
  }
}

TEST_CASE("sinkhorn: the reported values are those of the plan", "[sinkhorn]") {
  Problem const p = clouds(25, 33);
  for (double const tolerance : {1e-2, 1e-12}) {  // also far from convergence
    auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.05, .tolerance = tolerance});
    MatrixXd const P = ot::plan(p.C, r);
    CHECK(std::abs(r.transport_cost - p.C.cwiseProduct(P).sum()) < 1e-14);
    CHECK(std::abs(r.regularised_cost - objective(p, P, 0.05)) < 1e-13);
    double const dual = r.a.dot(r.f) + r.b.dot(r.g) - 0.05 * (P.sum() - 1);
    CHECK(std::abs(r.dual_value - dual) < 1e-14);
    CHECK(std::abs(r.a.dot(r.f) - r.b.dot(r.g)) < 1e-14);
  }
  auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.05, .tolerance = 1e-12});
  CHECK(std::abs(r.regularised_cost - r.dual_value) < 1e-11);
}

TEST_CASE("sinkhorn: the dual never decreases and the marginal error never grows", "[sinkhorn]") {
  Problem const p = clouds(20, 30, 7);
  ot::Sinkhorn const method(ot::DenseCost<double>(p.C), p.a, p.b,
                            {.epsilon = 0.01,
                             .acceleration = ot::Acceleration::none,
                             .annealing = 1,
                             .kernel_bytes = GENERATE(0.0, 1e9)});
  auto state = method.init();
  double dual = -infinity, error = infinity;
  for (int k = 0; k < 200; ++k) {
    static_cast<void>(method.advance(state, 1));
    double const next_error = method.error(state);
    auto copy = state;
    static_cast<void>(method.finish(copy, Status::running));
    REQUIRE(copy.answer.dual_value >= dual - 1e-14);
    REQUIRE(next_error <= error + 1e-14);
    dual = copy.answer.dual_value;
    error = next_error;
  }
}

TEST_CASE("sinkhorn: the dual value is below the objective of any coupling", "[sinkhorn]") {
  Problem const p = clouds(12, 15, 3);
  double const epsilon = 0.02;
  MatrixXd const independent = p.a * p.b.transpose();
  for (Index iterations : {1, 3, 10, 1000}) {
    auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = epsilon, .max_iterations = iterations});
    CHECK(r.dual_value <= objective(p, independent, epsilon));
    MatrixXd const rounded = ot::round_to_coupling(ot::plan(p.C, r), p.a, p.b);
    CHECK(r.dual_value <= objective(p, rounded, epsilon) + 1e-13);
  }
}

TEST_CASE("sinkhorn: as epsilon falls the cost falls to the exact optimum", "[sinkhorn]") {
  Index const n = 24;
  MatrixXd const C = support::matrix(n, n, 11);
  VectorXd const w = support::uniform_weights(n);
  double const exact = double(ot::assignment(C).cost) / double(n);
  double before = infinity;
  for (double const epsilon : {1.0, 0.1, 0.01, 0.002}) {
    auto const r = ot::sinkhorn(C, w, w, {.epsilon = epsilon, .tolerance = 1e-6});
    REQUIRE(r.status == Status::converged);
    auto const bounds = ot::exact_gap(C, r);
    CHECK(bounds.lower <= exact + 1e-12);
    CHECK(bounds.upper >= exact - 1e-12);
    CHECK(r.transport_cost <= before + 1e-12);
    before = r.transport_cost;
  }
  CHECK(before - exact < 1e-3);
  CHECK(before - exact > -1e-6);
}

TEST_CASE("sinkhorn: swapping the two sides transposes the answer", "[sinkhorn]") {
  Problem const p = clouds(21, 34, 5);
  auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.05, .tolerance = 1e-13});
  auto const t = ot::sinkhorn(p.C.transpose(), p.b, p.a, {.epsilon = 0.05, .tolerance = 1e-13});
  CHECK((r.f - t.g).lpNorm<Eigen::Infinity>() < 1e-12);
  CHECK((r.g - t.f).lpNorm<Eigen::Infinity>() < 1e-12);
}

TEST_CASE("sinkhorn: scaling cost and epsilon alike scales the potentials", "[sinkhorn]") {
  Problem const p = clouds(20, 20, 9);
  auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.05, .tolerance = 1e-12});
  REQUIRE(r.status == Status::converged);
  for (double const scale : {1e-300, 1e-12, 1e+12, 1e+290}) {
    CAPTURE(scale);
    auto const s =
        ot::sinkhorn(scale * p.C, p.a, p.b, {.epsilon = 0.05 * scale, .tolerance = 1e-12});
    REQUIRE(s.status == Status::converged);
    CHECK((s.f / scale - r.f).lpNorm<Eigen::Infinity>() < 1e-13);
    CHECK((s.g / scale - r.g).lpNorm<Eigen::Infinity>() < 1e-13);
  }
  for (double const mass : {1e-200, 1e-3, 1e7, 1e200}) {
    CAPTURE(mass);
    auto const s = ot::sinkhorn(p.C, p.a * mass, p.b * mass, {.epsilon = 0.05, .tolerance = 1e-12});
    REQUIRE(s.status == Status::converged);
    CHECK((s.f - r.f).lpNorm<Eigen::Infinity>() < 1e-13);
    CHECK(std::abs(s.transport_cost / mass - r.transport_cost) < 1e-14);
    CHECK(std::abs(s.regularised_cost / mass - r.regularised_cost) < 1e-14);
    CHECK(std::abs(marginal_error(p.C, s) - s.marginal_error) < 1e-14);
  }
}

TEST_CASE("sinkhorn: adding to rows and columns of the cost moves the potentials only",
          "[sinkhorn]") {
  Problem const p = clouds(15, 18, 13);
  VectorXd const u = support::matrix(15, 1, 1, -3, 3), w = support::matrix(18, 1, 2, -3, 3);
  auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.05, .tolerance = 1e-12});
  MatrixXd const shifted = (p.C.colwise() + u).rowwise() + w.transpose();
  auto const s = ot::sinkhorn(shifted, p.a, p.b, {.epsilon = 0.05, .tolerance = 1e-12});
  REQUIRE(s.status == Status::converged);
  CHECK((ot::plan(p.C, r) - ot::plan(shifted, s)).lpNorm<Eigen::Infinity>() < 1e-12);
  double const moved = p.a.dot(u) + p.b.dot(w);
  CHECK(std::abs(s.dual_value - r.dual_value - moved) < 1e-11);
}

TEST_CASE("sinkhorn: permuting points permutes the plan", "[sinkhorn]") {
  Problem const p = clouds(37, 29, 17);
  auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-12});
  auto const s = ot::sinkhorn(p.C.colwise().reverse().rowwise().reverse(), p.a.reverse(),
                              p.b.reverse(), {.epsilon = 0.02, .tolerance = 1e-12});
  CHECK((s.f.reverse() - r.f).lpNorm<Eigen::Infinity>() < 1e-11);
  CHECK((s.g.reverse() - r.g).lpNorm<Eigen::Infinity>() < 1e-11);
}

TEST_CASE("sinkhorn: lazy, dense, row-major, block, map and expression agree", "[sinkhorn]") {
  Index const n = 531, m = 70;  // more than one segment, with a tail
  MatrixXd const X = support::points(2, n, 1), Y = support::points(2, m, 2);
  MatrixXd const C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
  VectorXd const a = support::weights(n, 3), b = support::weights(m, 4);
  ot::SinkhornOptions const options{.epsilon = 0.1, .tolerance = 1e-12};
  auto const r = ot::sinkhorn(C, a, b, options);
  REQUIRE(r.status == Status::converged);
  auto const close = [&](auto const& other) {
    REQUIRE(other.status == Status::converged);
    CHECK((other.f - r.f).template lpNorm<Eigen::Infinity>() < 1e-11);
    CHECK((other.g - r.g).template lpNorm<Eigen::Infinity>() < 1e-11);
    CHECK(same(other.a, r.a));
  };
  close(ot::sinkhorn(ot::point_cloud(X, Y, ot::squared_euclidean{}), a, b, options));
  Eigen::Matrix<double, -1, -1, Eigen::RowMajor> const row_major = C;
  close(ot::sinkhorn(row_major, a, b, options));
  close(ot::sinkhorn(Eigen::Map<decltype(row_major) const>(row_major.data(), n, m), a, b, options));
  MatrixXd big = MatrixXd::Constant(n + 3, m + 5, not_a_number);
  big.block(2, 4, n, m) = C;
  close(ot::sinkhorn(big.block(2, 4, n, m), a, b, options));
  close(ot::sinkhorn(0.5 * C + 0.5 * C, a.transpose(), b.transpose(), options));
  close(ot::sinkhorn(MatrixXd::Identity(n, n) * C, a, b, options));
  close(ot::sinkhorn(MatrixXd(C.transpose()).transpose(), a, b, options));
  close(ot::sinkhorn(ot::DenseCost<double>(C), a, b, options));
  close(
      ot::sinkhorn(ot::index_cost(n, m, [&](Index i, Index j) { return C(i, j); }), a, b, options));
  close(ot::sinkhorn(row_major, a, b, options, {r.f, r.g}));  // a start is transposed, too
}

TEST_CASE("sinkhorn: float and long double agree with double", "[sinkhorn]") {
  Problem const p = clouds(60, 45, 21);
  auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.05});
  auto const s =
      ot::sinkhorn(p.C.cast<float>(), p.a.cast<float>(), p.b.cast<float>(), {.epsilon = 0.05});
  REQUIRE(s.status == Status::converged);
  CHECK(s.tolerance >= 1e-5);
  CHECK(s.tolerance < 2e-5);
  CHECK((s.f.cast<double>() - r.f).lpNorm<Eigen::Infinity>() < 1e-4);
  CHECK(std::abs(s.transport_cost - r.transport_cost) < 1e-5);
  using VectorXl = VectorX<long double>;
  VectorXl const a = p.a.cast<long double>(), b = p.b.cast<long double>();
  auto const l = ot::sinkhorn(p.C.cast<long double>(), a / a.sum(), b / b.sum(),
                              {.epsilon = 0.05, .tolerance = 1e-17});
  REQUIRE(l.status == Status::converged);
  CHECK(l.marginal_error <= 1e-17);
  CHECK((l.f.cast<double>() - r.f).lpNorm<Eigen::Infinity>() < 1e-8);
}

TEST_CASE("sinkhorn: float32 weights that do not sum to one exactly", "[sinkhorn]") {
  Eigen::VectorXf const a = Eigen::VectorXf::Constant(5, 0.2F),
                        b = Eigen::VectorXf::Constant(3, 1.F / 3);
  Eigen::MatrixXf const C = support::matrix<float>(5, 3, 4);
  auto const r = ot::sinkhorn(C, a, b, {.epsilon = 0.1});
  CHECK(r.status == Status::converged);
  CHECK(std::abs(r.a.sum() - r.b.sum()) < 2e-7F);
}

TEST_CASE("sinkhorn: long sums of floats keep their digits", "[sinkhorn]") {
  Index const m = 200'000;
  auto const cost = ot::index_cost(1, m, [](Index, Index j) { return float(j % 7) / 7; });
  Eigen::VectorXf const one = Eigen::VectorXf::Ones(1), b = support::uniform_weights<float>(m);
  auto const r = ot::sinkhorn(cost, one, b * float(1 / b.cast<double>().sum()),
                              {.epsilon = 0.1, .tolerance = 1e-6});
  CHECK(r.status == Status::converged);
}

TEST_CASE("sinkhorn: zero weights take no part and have soft c-transforms", "[sinkhorn]") {
  Problem p = clouds(12, 10, 23);
  p.a(3) = p.a(7) = 0;
  p.b(0) = 0;
  p.a /= p.a.sum();
  p.b /= p.b.sum();
  double const epsilon = 0.05;
  auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-13});
  REQUIRE(r.status == Status::converged);
  MatrixXd const P = ot::plan(p.C, r);
  CHECK(P.row(3).isZero(0));
  CHECK(P.row(7).isZero(0));
  CHECK(P.col(0).isZero(0));
  double sum = 0;
  for (Index j = 0; j < 10; ++j) sum += p.b(j) * std::exp((r.g(j) - p.C(3, j)) / epsilon);
  CHECK(std::abs(r.f(3) + epsilon * std::log(sum)) < 1e-13);
  sum = 0;
  for (Index i = 0; i < 12; ++i) sum += p.a(i) * std::exp((r.f(i) - p.C(i, 0)) / epsilon);
  CHECK(std::abs(r.g(0) + epsilon * std::log(sum)) < 1e-13);

  // Whatever a start says about them.
  VectorXd f = r.f, g = r.g;
  f(3) = 1e300;
  g(0) = -1e300;
  auto const t = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-13}, {f, g});
  CHECK(t.status == Status::converged);
  CHECK((t.f - r.f).lpNorm<Eigen::Infinity>() < 1e-12);

  // The same problem with those points removed.
  std::vector<Index> const rows{0, 1, 2, 4, 5, 6, 8, 9, 10, 11}, cols{1, 2, 3, 4, 5, 6, 7, 8, 9};
  auto const s =
      ot::sinkhorn(p.C(rows, cols), p.a(rows), p.b(cols), {.epsilon = epsilon, .tolerance = 1e-13});
  CHECK((VectorXd(r.f(rows)) - s.f).lpNorm<Eigen::Infinity>() < 1e-12);
  CHECK(std::abs(r.transport_cost - s.transport_cost) < 1e-13);
}

TEST_CASE("sinkhorn: weights from 1e-300 to 1", "[sinkhorn]") {
  Problem p = clouds(9, 9, 29);
  p.a << 1e-300, 1e-200, 1e-100, 1e-50, 1e-20, 1e-10, 1e-3, 0.5, 1;
  p.b << 1, 1e-308, 1e-3, 1e-150, 0.2, 1e-20, 0.3, 1e-310, 0;
  p.a /= p.a.sum();
  p.b /= p.b.sum();
  for (double const epsilon : {1.0, 0.1, 0.01}) {
    auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-12});
    REQUIRE(r.status == Status::converged);
    CHECK(r.f.allFinite());
    CHECK(r.g.allFinite());
    CHECK(marginal_error(p.C, r) <= 1e-12);
    // Every row is exact in the relative sense, however small: it was updated in the log domain.
    VectorXd const rows = ot::marginals(p.C, r).rows;
    CHECK(std::abs(rows(8) / p.a(8) - 1) < 1e-11);
  }
}

TEST_CASE("sinkhorn: equal points, constant cost, zero cost and negative cost", "[sinkhorn]") {
  VectorXd const a = support::weights(6, 1), b = support::weights(7, 2);
  for (double const c : {0.0, 5.0, -5.0, 1e300}) {
    auto const r = ot::sinkhorn(MatrixXd::Constant(6, 7, c), a, b,
                                {.epsilon = 0.1 * std::max(1.0, std::abs(c))});
    REQUIRE(r.status == Status::converged);
    CHECK((ot::plan(MatrixXd::Constant(6, 7, c), r) - a * b.transpose()).norm() < 1e-12);
  }
  MatrixXd const X = support::points(2, 30, 1);
  VectorXd const w = support::uniform_weights(30);
  auto const r =
      ot::sinkhorn(ot::point_cloud(X, X, ot::squared_euclidean{}), w, w, {.epsilon = 1e-3});
  REQUIRE(r.status == Status::converged);
  MatrixXd const P = ot::plan(ot::point_cloud(X, X, ot::squared_euclidean{}), r);
  CHECK((P - P.transpose()).norm() < 1e-9);
}

TEST_CASE("sinkhorn: any epsilon from 1e-6 to 1e3 of the cost is safe", "[sinkhorn]") {
  Problem const p = clouds(20, 25, 31);
  for (double const epsilon : {1e-6, 1e-4, 1e-2, 1.0, 1e3}) {
    CAPTURE(epsilon);
    auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = epsilon, .max_iterations = 3000});
    CHECK(r.f.allFinite());
    CHECK(r.g.allFinite());
    CHECK(std::isfinite(r.marginal_error));
    CHECK((r.status == Status::converged || r.status == Status::iteration_limit));
    CHECK((r.status == Status::converged) == (r.marginal_error <= r.tolerance));
    if (epsilon >= 1e-2) CHECK(r.status == Status::converged);
  }
  auto const f = ot::sinkhorn(p.C.cast<float>(), p.a.cast<float>(), p.b.cast<float>(),
                              {.epsilon = 1e-5, .max_iterations = 3000});
  CHECK(f.f.allFinite());
}

TEST_CASE("sinkhorn: forbidden pairs carry no mass", "[sinkhorn]") {
  Problem p = clouds(8, 8, 37);
  for (Index i = 0; i < 8; ++i) p.C(i, (i + 3) % 8) = p.C(i, (i + 5) % 8) = infinity;
  p.a.setConstant(1.0 / 8);
  p.b = p.a;
  auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.1, .tolerance = 1e-11});
  REQUIRE(r.status == Status::converged);
  MatrixXd const P = ot::plan(p.C, r);
  for (Index i = 0; i < 8; ++i) CHECK(P(i, (i + 3) % 8) == 0);
  CHECK(std::isfinite(r.transport_cost));
  CHECK(marginal_error(p.C, r) <= 1e-11);

  p.C.row(2).setConstant(infinity);
  auto const none = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.1});
  CHECK(none.status == Status::infeasible);
  CHECK(none.iterations == 0);
  p.a(2) = 0;  // without mass the empty row is harmless
  p.a /= p.a.sum();
  CHECK(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.1}).status == Status::converged);
  p.C.col(1).setConstant(infinity);
  CHECK(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.1}).status == Status::infeasible);
}

TEST_CASE("sinkhorn: a tolerance below the rounding floor ends in precision_limit", "[sinkhorn]") {
  Problem const p = clouds(30, 30, 41);
  for (double const tolerance : {0.0, 1e-18}) {
    auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.1, .tolerance = tolerance});
    CHECK(r.status == Status::precision_limit);
    CHECK(r.marginal_error < 1e-13);
    CHECK(r.iterations < 3000);
  }
  auto const f = ot::sinkhorn(p.C.cast<float>(), p.a.cast<float>(), p.b.cast<float>(),
                              {.epsilon = 0.1, .tolerance = 1e-12});
  CHECK(f.status == Status::precision_limit);
  CHECK(f.marginal_error < 1e-5);
}

TEST_CASE("sinkhorn: the default tolerance knows the precision", "[sinkhorn]") {
  Problem const p = clouds(10, 10);
  double const largest = p.C.maxCoeff();
  CHECK(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.1}).tolerance == 1e-9);
  auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 1e-9, .max_iterations = 1});
  CHECK(r.tolerance == std::numeric_limits<double>::epsilon() * largest / 1e-9);
}

TEST_CASE("sinkhorn: a warm start saves the iterations", "[sinkhorn]") {
  Problem const p = clouds(50, 50, 43);
  auto const r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-10});
  auto const again = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-10}, {r.f, r.g});
  CHECK(again.status == Status::converged);
  CHECK(again.iterations == 1);
  auto const shifted = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-10},
                                    {r.f.array() + 1e3, r.g.array() - 1e3});
  CHECK(shifted.iterations <= 2);
  auto const absurd =
      ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-10}, {1e12 * r.f, -1e12 * r.g});
  CHECK(absurd.status == Status::converged);
  CHECK((absurd.f - r.f).lpNorm<Eigen::Infinity>() < 1e-8);
}

TEST_CASE("sinkhorn: bit-identical for any number of threads", "[sinkhorn]") {
  Index const n = 700, m = 613;
  MatrixXd const X = support::points(3, n, 1), Y = support::points(3, m, 2);
  VectorXd const a = support::weights(n, 3), b = support::weights(m, 4);
  auto const cloud = ot::point_cloud(X, Y, ot::squared_euclidean{});
  auto const serial = ot::sinkhorn(cloud, a, b, {.epsilon = 0.1});
  REQUIRE(serial.status == Status::converged);
  for (int const threads : {1, 2, 3, 8}) {
    CAPTURE(threads);
    check_identical(serial, ot::sinkhorn(cloud, a, b,
                                         {.epsilon = 0.1, .parallel = parallel::threads(threads)}));
  }
  // A tiny epsilon exercises the rows and columns that are redone from their maxima.
  ot::SinkhornOptions options{.epsilon = 1e-5, .max_iterations = 50};
  auto const hard = ot::sinkhorn(cloud, a, b, options);
  options.parallel = parallel::threads(2);
  check_identical(hard, ot::sinkhorn(cloud, a, b, options));
}

TEST_CASE("sinkhorn: resuming from a copied State equals the uninterrupted run", "[sinkhorn]") {
  Problem const p = clouds(40, 60, 47);
  ot::Sinkhorn const method(ot::DenseCost<double>(p.C), p.a, p.b,
                            {.epsilon = 0.02, .tolerance = 1e-10});
  auto const whole = method.result(iterate(method, {.max_iterations = 100'000}));
  REQUIRE(whole.status == Status::converged);
  auto state = method.init();
  REQUIRE(method.advance(state, 37).steps == 37);
  auto const checkpoint = state;
  static_cast<void>(method.advance(state, 5));  // the copy does not feel this
  auto run = iterate(method, checkpoint, {.max_iterations = 100'000});
  check_identical(whole, method.result(run));
  // Also from the State of a run that a limit ended, finished and all.
  auto const stopped = iterate(method, {.max_iterations = 11});
  CHECK(stopped.status == Status::iteration_limit);
  check_identical(whole,
                  method.result(iterate(method, stopped.state, {.max_iterations = 100'000})));
  check_identical(whole, ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-10}));
}

TEST_CASE("sinkhorn: observer and limits", "[sinkhorn]") {
  Problem const p = clouds(40, 40, 53);
  ot::SinkhornOptions options{
      .epsilon = 0.01, .tolerance = 1e-12, .observe_every = 3, .annealing = 1};
  std::vector<Progress> seen;
  auto const stopped = ot::sinkhorn(p.C, p.a, p.b, options, {}, [&](Progress const& progress) {
    seen.push_back(progress);
    return seen.size() < 4;
  });
  CHECK(stopped.status == Status::stopped_by_observer);
  CHECK(stopped.iterations == 12);
  REQUIRE(seen.size() == 4);
  CHECK(seen[1].iteration == 6);
  CHECK(seen[3].error < seen[0].error);
  CHECK(stopped.f.allFinite());
  CHECK(std::abs(marginal_error(p.C, stopped) - stopped.marginal_error) < 1e-14);

  options.max_iterations = 5;
  CHECK(ot::sinkhorn(p.C, p.a, p.b, options).status == Status::iteration_limit);
  CHECK(ot::sinkhorn(p.C, p.a, p.b, options).iterations == 5);
  options.max_iterations = 0;
  auto const start = ot::sinkhorn(p.C, p.a, p.b, options);
  CHECK(start.status == Status::iteration_limit);
  CHECK(std::isfinite(start.marginal_error));
  options.max_iterations = 1'000'000'000;
  options.tolerance = 1e-300;
  options.epsilon = 1e-4;
  options.acceleration = ot::Acceleration::none;  // does not come near the rounding floor
  options.max_seconds = 0.02;
  CHECK(ot::sinkhorn(p.C, p.a, p.b, options).status == Status::time_limit);
}

TEST_CASE("sinkhorn: iterations allocate nothing", "[sinkhorn]") {
  Problem const p = clouds(600, 80, 59);
  for (double const epsilon : {0.05, 1e-6}) {  // also rows and columns redone from their maxima
    ot::Sinkhorn const method(ot::DenseCost<double>(p.C), p.a, p.b,
                              {.epsilon = epsilon, .tolerance = 1e-12});
    auto state = method.init();
    long const count = test::allocations([&] { static_cast<void>(method.advance(state, 20)); });
    CHECK(count == 0);
  }
  ot::Sinkhorn const lazy(
      ot::point_cloud(support::points(3, 600, 1), support::points(3, 50, 2), ot::p_norm{3}), p.a,
      support::weights(50, 5), {.epsilon = 0.05});
  auto state = lazy.init();
  CHECK(test::allocations([&] { static_cast<void>(lazy.advance(state, 5)); }) == 0);
}

TEST_CASE("sinkhorn: log domain, whole kernel and compressed kernel give one answer",
          "[sinkhorn]") {
  Problem const p = clouds(150, 130, 71);
  double const entries = 150 * 130;
  for (double const epsilon : {0.3, 0.01, 1e-3}) {
    CAPTURE(epsilon);
    ot::SinkhornOptions options{.epsilon = epsilon, .tolerance = 1e-11, .kernel_bytes = 0.0};
    ot::Sinkhorn const log_domain(ot::DenseCost<double>(p.C), p.a, p.b, options);
    auto const r = iterate(log_domain, {100'000});
    REQUIRE(r.status == Status::converged);
    CHECK(r.state.kernel.cost_reads() == r.state.kernel.reads());
    for (double const bytes : {2.0 * entries, 8.0 * entries}) {  // room for some, and for all
      CAPTURE(bytes);
      options.kernel_bytes = bytes;
      ot::Sinkhorn const method(ot::DenseCost<double>(p.C), p.a, p.b, options);
      auto const s = iterate(method, {100'000});
      REQUIRE(s.status == Status::converged);
      CHECK(std::abs(s.state.answer.transport_cost - r.state.answer.transport_cost) < 1e-10);
      // The slowest modes of f are known to the tolerance over 1 less the rate of convergence.
      CHECK((s.state.answer.f - r.state.answer.f).lpNorm<Eigen::Infinity>() < 1e-6 * epsilon);
      bool const sparse = epsilon < 0.005;
      if (sparse || bytes > 4 * entries) {
        CHECK(s.state.kernel.cost_reads() < s.state.kernel.reads() / 2);
      }
      if (sparse) CHECK(s.state.kernel.fill() < 0.15);
      if (!sparse && bytes > 4 * entries) {
        CHECK(s.state.kernel.cost_reads() <= 3);
        CHECK(s.state.kernel.fill() == 1.0);
      }
    }
  }
}

TEST_CASE("sinkhorn: accelerated or not, the answer is the same and comes sooner", "[sinkhorn]") {
  Problem const p = clouds(60, 70, 73);
  auto const solve = [&](ot::Acceleration acceleration, double annealing) {
    return ot::sinkhorn(p.C, p.a, p.b,
                        {.epsilon = 0.01,
                         .tolerance = 1e-11,
                         .acceleration = acceleration,
                         .annealing = annealing});
  };
  auto const plain = solve(ot::Acceleration::none, 1);
  REQUIRE(plain.status == Status::converged);
  for (auto const acceleration :
       {ot::Acceleration::none, ot::Acceleration::over_relaxation, ot::Acceleration::anderson}) {
    for (double const annealing : {1.0, 0.5, 0.25, 0.3}) {
      CAPTURE(int(acceleration), annealing);
      auto const r = solve(acceleration, annealing);
      REQUIRE(r.status == Status::converged);
      CHECK(std::abs(marginal_error(p.C, r) - r.marginal_error) < 1e-13);
      CHECK((r.f - plain.f).lpNorm<Eigen::Infinity>() < 1e-10);
      if (acceleration != ot::Acceleration::none) CHECK(3 * r.iterations < plain.iterations);
    }
  }
}

TEST_CASE("sinkhorn: no acceleration ever lowers the dual by more than rounding", "[sinkhorn]") {
  Problem const p = clouds(40, 30, 77);
  for (auto const acceleration : {ot::Acceleration::over_relaxation, ot::Acceleration::anderson}) {
    CAPTURE(int(acceleration));
    ot::Sinkhorn const method(
        ot::DenseCost<double>(p.C), p.a, p.b,
        {.epsilon = 0.003, .tolerance = 1e-12, .acceleration = acceleration, .annealing = 1});
    auto state = method.init();
    double dual = -infinity;
    for (int k = 0; k < 300; ++k) {
      if (method.advance(state, 1).status != Status::running) break;
      REQUIRE(double(state.value) >= dual - 1e-13);
      dual = double(state.value);
    }
  }
}

TEST_CASE("sinkhorn: a kernel follows potentials that drift far", "[sinkhorn]") {
  // From zero, without annealing, the exponents have hundreds of units to go, in many small steps
  // after the kernel was stored.
  Problem const p = clouds(50, 60, 79);
  for (auto const acceleration : {ot::Acceleration::none, ot::Acceleration::anderson}) {
    CAPTURE(int(acceleration));
    ot::SinkhornOptions options{.epsilon = 1e-3,
                                .tolerance = 1e-10,
                                .acceleration = acceleration,
                                .annealing = 1,
                                .kernel_bytes = 0.0};
    ot::Sinkhorn const log_domain(ot::DenseCost<double>(p.C), p.a, p.b, options);
    options.kernel_bytes = 1e9;
    ot::Sinkhorn const stored(ot::DenseCost<double>(p.C), p.a, p.b, options);
    auto const r = iterate(log_domain, {2000}), s = iterate(stored, {2000});
    CHECK(r.state.f.cwiseAbs().maxCoeff() / 1e-3 > 200);
    CHECK(s.state.kernel.cost_reads() < 10);
    CHECK(s.status == r.status);
    CHECK(std::abs(s.state.answer.dual_value - r.state.answer.dual_value) < 1e-11);
  }
}

TEST_CASE("sinkhorn: misuse is refused in the caller's words", "[sinkhorn]") {
  Problem const p = clouds(5, 7);
  ot::SinkhornOptions const options{.epsilon = 0.05};
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a.head(4), p.b, options),
                "sinkhorn: cost is 5x7 but a has 4 entries; a needs one entry per row");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.a, options),
                "sinkhorn: cost is 5x7 but b has 5 entries; b needs one entry per column");
  CHECK_REFUSED(ot::sinkhorn(MatrixXd(0, 7), VectorXd(0), p.b, options), "cost is 0x7");
  CHECK_REFUSED(ot::sinkhorn(MatrixXd(5, 0), p.a, VectorXd(0), options), "cost is 5x0");
  VectorXd a = p.a;
  a(2) = -1e-3;
  CHECK_REFUSED(ot::sinkhorn(p.C, a, p.b, options), "a(2) is -0.001; weights must be nonnegative");
  a(2) = not_a_number;
  CHECK_REFUSED(ot::sinkhorn(p.C, a, p.b, options), "a(2) is nan");
  a(2) = infinity;
  CHECK_REFUSED(ot::sinkhorn(p.C, a, p.b, options), "a(2) is inf");
  CHECK_REFUSED(ot::sinkhorn(p.C, VectorXd::Zero(5), p.b, options), "the weights a sum to 0");
  // Totals whose own arithmetic under- or overflows were once reported as converged.
  VectorXd const subnormal = VectorXd::Constant(1, 5e-324);
  CHECK_REFUSED(ot::sinkhorn(MatrixXd::Ones(1, 1), subnormal, subnormal, options), "rescale them");
  Eigen::VectorXf const huge = Eigen::VectorXf::Constant(1, std::numeric_limits<float>::max());
  CHECK_REFUSED(ot::sinkhorn(Eigen::MatrixXf::Ones(1, 1), huge, huge, options), "rescale them");
  CHECK_REFUSED(ot::sinkhorn(p.C, 2 * p.a, p.b, options),
                "a sums to 2 and b to 1, which differ by 1; rescale one of them");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a * (1 + 1e-12), p.b, options), "which differ by 1.0");
  CHECK_NOTHROW(ot::sinkhorn(p.C, p.a * (1 + 1e-14), p.b, options));
  MatrixXd C = p.C;
  C(3, 6) = not_a_number;
  CHECK_REFUSED(ot::sinkhorn(C, p.a, p.b, options), "cost(3, 6) is nan");
  C(3, 6) = -infinity;
  CHECK_REFUSED(ot::sinkhorn(C, p.a, p.b, options), "cost(3, 6) is -inf");
  C(2, 6) = infinity;
  CHECK_REFUSED(ot::sinkhorn(C, p.a, p.b, options), "cost(3, 6) is -inf");
  Eigen::Matrix<double, -1, -1, Eigen::RowMajor> const R = C, good = p.C;  // the same words
  CHECK_REFUSED(ot::sinkhorn(R, p.a, p.b, options), "cost(3, 6) is -inf");
  CHECK_REFUSED(ot::sinkhorn(good, p.a.head(4), p.b, options), "cost is 5x7 but a has 4 entries");
  CHECK_REFUSED(ot::sinkhorn(good, p.a, p.b, options, {p.b, p.a}), "start has 7 and 5 potentials");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, {}), "0.05 * mean cost");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 0.0}), "epsilon is 0; it must be positive");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = -1.0}), "epsilon is -1");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = not_a_number}), "epsilon is nan");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = infinity}), "epsilon is inf");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 1.0, .tolerance = -1e-9}),
                "tolerance is -1e-09; it must be at least 0");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 1.0, .tolerance = not_a_number}),
                "tolerance is nan");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 1.0, .max_iterations = -1}),
                "max_iterations is -1");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 1.0, .max_seconds = not_a_number}),
                "max_seconds is nan");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 1.0, .observe_every = 0}),
                "observe_every is 0");
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, options, {p.b, p.a}), "start has 7 and 5 potentials");
  VectorXd f = p.a;
  f(0) = not_a_number;
  CHECK_REFUSED(ot::sinkhorn(p.C, p.a, p.b, options, {f, p.b}), "NaN or infinity in the start");
}
