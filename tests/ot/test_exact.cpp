// SPDX-License-Identifier: MIT
// Oracles: every plan is checked by complementary slackness, recomputed here; the optimum itself by
// enumeration of vertices, by `assignment` on unit masses, by LEMON's network simplex (templates
// only, nothing is linked) and by values of SciPy's linprog.
#define EIGEN_RUNTIME_NO_MALLOC
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/exact.hpp"
#include "support/throws.hpp"
#include <monge/ot/exact.hpp>

namespace {

using Catch::Matchers::WithinRel;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::MatrixX;
using monge::Status;
using monge::VectorX;
using monge::ot::exact;
using monge::ot::ExactResult;
using support::Random;
using support::refusal;
using support::require_optimal;

template <class S>
constexpr S inf = std::numeric_limits<S>::infinity();

/// Integer weights, at least `least` each, of equal sums.
struct Weights {
  VectorXd a, b;
  Weights(Index n, Index m, Index least, Index spread, std::uint64_t seed) : a(n), b(m) {
    Random random(seed);
    for (double& x : a) x = double(least + random.below(spread));
    for (double& x : b) x = double(least + random.below(spread));
    double const rest = a.sum() - b.sum();
    (rest > 0 ? b(random.below(m)) : a(random.below(n))) += std::abs(rest);
  }
};

/// The cost as an operator: takes the simplex whatever the weights are.
template <class S>
monge::ot::DenseCost<S> operator_of(MatrixX<S> const& C) {
  return monge::ot::DenseCost<S>(C);
}

/// Solves by the simplex and by the public door, and checks both.
double optimum(MatrixXd const& C, VectorXd const& a, VectorXd const& b) {
  ExactResult<double> const simplex = exact(operator_of<double>(C), a, b), door = exact(C, a, b);
  require_optimal<double>(C, a, b, simplex);
  require_optimal<double>(C, a, b, door);
  return simplex.transport_cost;
}

/// The least cost over all vertices: all sets of n + m - 1 cells whose flows follow by elimination.
double least_over_vertices(MatrixXd const& C, VectorXd const& a, VectorXd const& b) {
  Index const n = C.rows(), m = C.cols(), cells = n * m;
  double best = inf<double>;
  for (unsigned set = 0; set < (1u << cells); ++set) {
    if (__builtin_popcount(set) != n + m - 1) continue;
    unsigned rest = set;
    VectorXd have = a, want = b;
    double cost = 0;
    bool feasible = true, moved = true;
    while (rest && moved && feasible) {
      moved = false;
      for (Index k = 0; k < cells && !moved; ++k) {
        if (!(rest >> k & 1u)) continue;
        Index const i = k % n, j = k / n;
        Index in_row = 0, in_column = 0;
        for (Index p = 0; p < m; ++p) in_row += rest >> (i + p * n) & 1u;
        for (Index p = 0; p < n; ++p) in_column += rest >> (p + j * n) & 1u;
        if (in_row > 1 && in_column > 1) continue;
        double const flow = in_row == 1 ? have(i) : want(j);
        feasible = flow >= 0;
        if (flow > 0) cost += flow * C(i, j);
        have(i) -= flow;
        want(j) -= flow;
        rest &= ~(1u << k);
        moved = true;
      }
    }
    feasible = feasible && rest == 0 && have.isZero(0) && want.isZero(0);
    if (feasible) best = std::min(best, cost);
  }
  return best;
}

}  // namespace

TEST_CASE("exact: the optimum is the least over all vertices", "[exact]") {
  for (auto [n, m] : {std::pair{1, 1}, {1, 4}, {5, 1}, {2, 2}, {2, 4}, {3, 2}, {3, 3}, {3, 4}}) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
      Weights const w(n, m, 0, seed % 3 ? 9 : 3, seed + 1);
      if (w.a.sum() == 0) continue;
      MatrixXd const C =
          Random(seed + 50).integers(n, m, seed % 2 ? 5 : 1000).array() - (seed % 4 ? 0. : 400.);
      REQUIRE(optimum(C, w.a, w.b) == least_over_vertices(C, w.a, w.b));
    }
  }
}

TEST_CASE("exact: integer weights cost what their unit masses cost as an assignment", "[exact]") {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Index const n = 20 + Index(seed), m = 31;
    Weights const w(n, m, 1, 6, seed);
    MatrixXd const C = Random(seed + 9).integers(n, m, seed % 2 ? 10 : 100000);
    std::vector<Index> rows, columns;
    for (Index i = 0; i < n; ++i) rows.insert(rows.end(), std::size_t(w.a(i)), i);
    for (Index j = 0; j < m; ++j) columns.insert(columns.end(), std::size_t(w.b(j)), j);
    MatrixXd const units = C(rows, columns);
    REQUIRE(optimum(C, w.a, w.b) == monge::ot::assignment(units).cost);
  }
}

#ifdef MONGE_TEST_LEMON
TEST_CASE("exact: the optimum is that of LEMON's network simplex", "[exact]") {
  for (Index n : {3, 40, 97, 150}) {
    for (Index m : {5, 64, 120}) {
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        Weights const w(n, m, seed / 2 ? 0 : 1, seed % 2 ? 1000 : 4, seed);
        MatrixXd C = Random(seed + 7).integers(n, m, seed % 2 ? 1000000 : 20);
        REQUIRE(optimum(C, w.a, w.b) == support::network_simplex(C, w.a, w.b));
        Random random(seed);
        double const share = seed % 2 ? 0.5 : 0.9;
        for (double& c : C.reshaped())
          if (random.uniform() < share) c = inf<double>;
        double const expected = support::network_simplex(C, w.a, w.b);
        if (expected < inf<double>) {
          REQUIRE(optimum(C, w.a, w.b) == expected);
        } else {
          REQUIRE(exact(C, w.a, w.b).status == Status::infeasible);
        }
      }
    }
  }
}
#endif

TEST_CASE("exact: values of SciPy's linprog", "[exact]") {
  // linprog(method="highs") of SciPy on the costs and weights below.
  struct Case {
    Index n, m;
    int k;
    double optimum;
  };
  for (Case const& x : {Case{4, 5, 0, 1598.75}, Case{7, 3, 2, 2767}, Case{12, 9, 5, 2063},
                        Case{20, 31, 11, -17000.5}, Case{1, 6, 3, 287.75}}) {
    MatrixXd C(x.n, x.m);
    VectorXd a(x.n), b(x.m);
    for (int i = 0; i < x.n; ++i) a(i) = 1 + (i * (x.k + 2)) % 5;
    for (int j = 0; j < x.m; ++j) b(j) = 1 + (j * (x.k + 3)) % 7;
    for (int i = 0; i < x.n; ++i)
      for (int j = 0; j < x.m; ++j)
        C(i, j) = (7 * i * i + 11 * j + 3 * i * j + x.k) % 29 + (5 * i + 2 * j) % 3 * 0.25 - x.k;
    double const total = b.sum();
    b *= a.sum();
    a *= total;
    REQUIRE(optimum(C, a, b) == x.optimum);
  }
}

TEST_CASE("exact: two points each, of which one pair is dearer, change places", "[exact]") {
  MatrixXd C(2, 2);
  C << 2, 1, 1, 1;
  VectorXd const half = VectorXd::Constant(2, 0.5);
  for (bool lazily : {false, true}) {
    auto const r = lazily ? exact(operator_of<double>(C), half, half) : exact(C, half, half);
    require_optimal<double>(C, half, half, r);
    REQUIRE(r.plan.nonZeros() == 2);
    REQUIRE(r.plan.coeff(0, 1) == 0.5);
    REQUIRE(r.plan.coeff(1, 0) == 0.5);
  }
}

TEMPLATE_TEST_CASE("exact: random problems of all shapes and scales are certified", "[exact]",
                   float, double, long double) {
  using S = TestType;
  std::uint64_t seed = 0;
  for (auto [n, m] : {std::pair{1, 1}, {1, 40}, {40, 1}, {30, 30}, {17, 90}, {600, 25}}) {
    for (double scale : {1e-12, 1.0, 1e12}) {
      Random random(++seed);
      MatrixX<S> const C = (random.matrix(n, m) * scale).template cast<S>();
      VectorX<S> a = random.matrix(n, 1).template cast<S>(),
                 b = random.matrix(m, 1).template cast<S>();
      a /= a.sum();
      b /= b.sum();
      require_optimal<S>(C, a, b, exact(C, a, b));
      VectorX<S> const p = VectorX<S>::Constant(n, S(1) / S(n));
      VectorX<S> const q = VectorX<S>::Constant(m, S(1) / S(m));
      require_optimal<S>(C, p, q, exact(C, p, q));
      require_optimal<S>(C, p, q, exact(operator_of<S>(C), p, q));
    }
  }
}

TEST_CASE("exact: weights of 1/3 and 1/5 in float balance", "[exact]") {
  Eigen::MatrixXf const C = Random(3).matrix(3, 5).cast<float>();
  Eigen::VectorXf const a = Eigen::VectorXf::Constant(3, 1.f / 3);
  Eigen::VectorXf const b = Eigen::VectorXf::Constant(5, 1.f / 5);
  require_optimal<float>(C, a, b, exact(C, a, b));
  // Blocks that are balanced up to rounding only. The one allowed pair between them may lead out of
  // the block that lacks mass: it cannot help, and the potentials of the blocks must part for it.
  for (float const more : {1e-6f, -1e-6f}) {
    Eigen::MatrixXf blocks = Eigen::MatrixXf::Constant(6, 10, inf<float>);
    blocks.topLeftCorner(3, 5) = C;
    blocks.bottomRightCorner(3, 5) = 100 * C;
    blocks(5, 0) = -500;
    Eigen::VectorXf p = a.replicate(2, 1), q = b.replicate(2, 1);
    p(0) += more;
    p(5) -= more;
    auto const r = exact(blocks, p, q);
    require_optimal<float>(blocks, p, q, r);
  }
}

TEST_CASE("exact: differences of a billionth of the costs are still seen", "[exact]") {
  MatrixXd const small = Random(30).integers(60, 50, 1000);
  Weights const w(60, 50, 1, 20, 8);
  MatrixXd const C = (1 + 0x1p-40 * small.array()).matrix();
  double const mass = w.a.sum();
  REQUIRE(optimum(C, w.a, w.b) - mass == 0x1p-40 * optimum(small, w.a, w.b));
}

TEST_CASE("exact: one huge cost among small ones does no harm", "[exact]") {
  MatrixXd C = Random(5).integers(30, 20, 100);
  Weights const w(30, 20, 1, 9, 4);
  MatrixXd D = C;
  C(3, 7) = 1e32;
  D(3, 7) = 1000;
  REQUIRE(optimum(C, w.a, w.b) == optimum(D, w.a, w.b));
  // When it must be used, the cost is dominated by it and the status says how far it is certain.
  MatrixXd one = MatrixXd::Ones(1, 2);
  one(0, 1) = 1e32;
  auto const r = exact(one, VectorXd::Constant(1, 2.), VectorXd::Constant(2, 1.));
  REQUIRE(r.converged());
  REQUIRE(r.transport_cost == 1e32);
}

TEST_CASE("exact: huge costs that can be avoided hide nothing", "[exact]") {
  // POT's issue 229, re-derived: 1e32 for "never". Blocks that balance, so that none is needed, but
  // idle arcs of the tree may have it, and then small costs drown in the potentials.
  Random random(229);
  Index hidden = 0;
  for (int k = 0; k < 1500; ++k) {
    Index const blocks = 1 + random.below(3), size = 2 + random.below(4), n = blocks * size;
    MatrixXd C = MatrixXd::Constant(n, n, inf<double>);
    VectorXd a(n);
    for (Index i = 0; i < n; ++i) {
      a(i) = double(1 + random.below(k % 2 ? 1 : 5));
      for (Index j = i / size * size; j < (i / size + 1) * size; ++j) {
        if (i == j || random.below(3) > 0) C(i, j) = double(random.below(1000));
      }
    }
    auto const forbidden = exact(operator_of<double>(C), a, a);
    double const never = k % 3 ? 1e32 : 1e15;
    MatrixXd const D = (C.array() < inf<double>).select(C, never);
    auto const r = exact(operator_of<double>(D), a, a);
    REQUIRE(forbidden.converged());
    REQUIRE(r.converged());
    hidden += r.transport_cost != forbidden.transport_cost;
  }
  REQUIRE(hidden == 0);
}

TEST_CASE("exact: marginals and costs on which others failed", "[exact]") {
  // POT 93: ones; the masses are sums of 292 roundings.
  MatrixXd const ones = MatrixXd::Ones(292, 2);
  VectorXd const many = VectorXd::Constant(292, 1. / 292), two = VectorXd::Constant(2, 0.5);
  REQUIRE_THAT(optimum(ones, many, two), WithinRel(1., 1e-14));
  // POT 190: 5 x 960, equal weights.
  MatrixXd const C = Random(190).matrix(5, 960);
  VectorXd const few = VectorXd::Constant(5, 0.2), more = VectorXd::Constant(960, 1. / 960);
  REQUIRE_THAT(optimum(C, few, more), WithinRel(optimum(C.transpose(), more, few), 1e-13));
  // POT 342: weights of float rounded apart, and read as double.
  VectorXd const fifth = Eigen::VectorXf::Constant(5, 0.2f).cast<double>();
  VectorXd const third = Eigen::VectorXf::Constant(3, 1.f / 3).cast<double>();
  MatrixXd const small = Random(342).matrix(5, 3);
  REQUIRE(refusal([&] { (void)exact(small, fifth, third); }).find("rescale") != std::string::npos);
  REQUIRE(exact(small.cast<float>(), fifth.cast<float>(), third.cast<float>()).converged());
  // POT 869: nothing but NaN. (Nothing but infinity: infeasible, above.)
  MatrixXd const nothing = MatrixXd::Constant(3, 3, std::nan(""));
  VectorXd const w = VectorXd::Constant(3, 1. / 3);
  REQUIRE(refusal([&] { (void)exact(nothing, w, w); }).find("cost(0, 0) is NaN") !=
          std::string::npos);
}

TEST_CASE("exact: rows and columns without mass stay empty, with the largest potential",
          "[exact]") {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    MatrixXd const C = Random(seed).integers(25, 18, 50);
    Weights w(25, 18, 1, 5, seed);
    for (Index k : {0, 7, 24}) w.a(k) = 0;
    for (Index k : {0, 17}) w.b(k) = 0;
    double const rest = w.a.sum() - w.b.sum();
    (rest > 0 ? w.b(1) : w.a(1)) += std::abs(rest);
    auto const r = exact(C, w.a, w.b);
    require_optimal<double>(C, w.a, w.b, r);
    for (Index k : {0, 7, 24}) REQUIRE(r.f(k) == (C.row(k).transpose() - r.g).minCoeff());
  }
}

TEST_CASE("exact: forbidden pairs are not used; too many of them are infeasible", "[exact]") {
  Index const n = 24;
  MatrixXd C = MatrixXd::Constant(n, n, inf<double>);
  for (Index i = 0; i < n; ++i) {
    C(i, i) = double(i % 5);
    C(i, (i + 1) % n) = double(i % 3);
  }
  VectorXd a = VectorXd::Ones(n), b = VectorXd::Ones(n);
  REQUIRE(optimum(C, a, b) == monge::ot::assignment(C).cost);
  C.row(5).setConstant(inf<double>);
  for (auto const& r : {exact(C, a, b), exact(operator_of<double>(C), a, b)}) {
    REQUIRE(r.status == Status::infeasible);
    REQUIRE(r.plan.nonZeros() > 0);
    REQUIRE(r.marginal_error == 2. / double(n));
    REQUIRE(r.duality_gap == inf<double>);
  }
  MatrixXd const nothing = MatrixXd::Constant(3, 4, inf<double>);
  auto const none = exact(nothing, VectorXd::Constant(3, 4.), VectorXd::Constant(4, 3.));
  REQUIRE(none.status == Status::infeasible);
  REQUIRE(none.plan.nonZeros() == 0);
}

TEST_CASE("exact: lazy and dense, rows and columns, blocks and copies agree", "[exact]") {
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  MatrixXd const X = Random(1).matrix(3, 70), Y = Random(2).matrix(3, 55);
  VectorXd a = Random(3).matrix(70, 1), b = Random(4).matrix(55, 1);
  a /= a.sum();
  b /= b.sum();
  MatrixXd const C = monge::ot::cost_matrix(X, Y, monge::ot::squared_euclidean{});
  auto const dense = exact(C, a, b);
  require_optimal<double>(C, a, b, dense);
  auto const lazy = exact(monge::ot::point_cloud(X, Y, monge::ot::squared_euclidean{}), a, b);
  REQUIRE_THAT(lazy.transport_cost, WithinRel(dense.transport_cost, 1e-14));
  REQUIRE(MatrixXd(lazy.plan).isApprox(MatrixXd(dense.plan), 1e-12));
  RowMajor const rows = C;
  auto const by_rows = exact(rows, a.transpose(), b);
  require_optimal<double>(C, a, b, by_rows);
  REQUIRE(MatrixXd(by_rows.plan).isApprox(MatrixXd(dense.plan), 1e-12));
  MatrixXd wide = MatrixXd::Constant(80, 60, -1);
  wide.block(4, 2, 70, 55) = C;
  auto const block = exact(wide.block(4, 2, 70, 55), a, b);
  REQUIRE((block.g.array() == dense.g.array()).all());
  auto const expression = exact(2 * C, a, b);
  REQUIRE(expression.transport_cost == 2 * dense.transport_cost);
}

TEST_CASE("exact: large square problems take either road to the same optimum", "[exact]") {
  Index const n = 1100;
  VectorXd const ones = VectorXd::Ones(n);
  MatrixXd const points = monge::ot::cost_matrix(Random(5).matrix(2, n), Random(6).matrix(2, n),
                                                 monge::ot::squared_euclidean{});
  for (MatrixXd const& C : {points, Random(7).matrix(n, n)}) {
    auto const r = exact(C, ones, ones);
    auto const simplex = exact(monge::ot::DenseCost<double>(C), ones, ones);
    REQUIRE(r.converged());
    REQUIRE_THAT(r.transport_cost, WithinRel(simplex.transport_cost, 1e-12));
    REQUIRE(r.duality_gap <= 1e-12 * r.transport_cost);
    REQUIRE(((C.colwise() - r.f).rowwise() - r.g.transpose()).minCoeff() >= -1e-14);
    REQUIRE(r.plan.nonZeros() == n);
    REQUIRE((r.plan * ones).isOnes(0));
  }
}

TEST_CASE("exact: scaling and shifting the cost scales and shifts the potentials", "[exact]") {
  MatrixXd const C = Random(8).matrix(40, 33);
  Weights const w(40, 33, 1, 50, 3);
  auto const r = exact(C, w.a, w.b);
  auto const scaled = exact(0x1p-70 * C, w.a, w.b);
  REQUIRE(scaled.transport_cost == 0x1p-70 * r.transport_cost);
  REQUIRE((scaled.f.array() == 0x1p-70 * r.f.array()).all());
  VectorXd const p = Random(9).matrix(40, 1), q = Random(10).matrix(33, 1);
  MatrixXd const D = (C.colwise() + p).rowwise() + q.transpose();
  double const moved = w.a.dot(p) + w.b.dot(q);
  REQUIRE_THAT(optimum(D, w.a, w.b), WithinRel(double(r.transport_cost) + moved, 1e-13));
  auto const heavy = exact(C, 8 * w.a, 8 * w.b);
  REQUIRE(heavy.transport_cost == 8 * r.transport_cost);
  for (double const factor : {0x1p-1000, 0x1p+1000}) {
    auto const extreme = exact(C, factor * w.a, factor * w.b);
    REQUIRE(extreme.converged());
    REQUIRE(extreme.transport_cost == factor * r.transport_cost);
  }
}

TEST_CASE("exact: problems that invite cycling end", "[exact]") {
  VectorXd const ones = VectorXd::Ones(200);
  REQUIRE(optimum(MatrixXd::Zero(200, 200), ones, ones) == 0);
  VectorXd const count = VectorXd::LinSpaced(200, 0, 199);
  double const expected = count.dot(count.reverse());
  REQUIRE(optimum(count * count.transpose(), ones, ones) == expected);
  MatrixXd const few = Random(11).integers(200, 200, 3);
  REQUIRE(optimum(few, ones, ones) == monge::ot::assignment(few).cost);
  Weights const w(200, 60, 0, 2, 7);
  optimum(Random(12).integers(200, 60, 2), w.a, w.b);
  VectorXd const third = VectorXd::Constant(60, 1.0 / 60),
                 fine = VectorXd::Constant(180, 1.0 / 180);
  optimum(Random(13).matrix(60, 180), third, fine);
}

TEST_CASE("exact: the same answer at every run, ties included", "[exact]") {
  MatrixXd const C = Random(14).integers(60, 60, 4);
  Weights const w(60, 60, 0, 3, 2);
  auto const r = exact(C, w.a, w.b), again = exact(C, w.a, w.b);
  REQUIRE(r.iterations == again.iterations);
  REQUIRE(MatrixXd(r.plan) == MatrixXd(again.plan));
  REQUIRE((r.f.array() == again.f.array()).all());
}

TEST_CASE("exact: a start from the optimal potentials needs nearly no pivots", "[exact]") {
  MatrixXd const X = Random(15).matrix(2, 200), Y = Random(16).matrix(2, 170);
  VectorXd a = Random(17).matrix(200, 1), b = Random(18).matrix(170, 1);
  a /= a.sum();
  b /= b.sum();
  MatrixXd const C = monge::ot::cost_matrix(X, Y, monge::ot::squared_euclidean{});
  auto const cold = exact(C, a, b);
  auto const warm = exact(C, a, b, {}, {cold.f, cold.g});
  require_optimal<double>(C, a, b, warm);
  REQUIRE(warm.iterations <= 5);
  REQUIRE(cold.iterations >= 30);
  // Any start leads to the optimum.
  auto const poor = exact(C, a, b, {}, {VectorXd(100 * Random(19).matrix(200, 1)), b});
  require_optimal<double>(C, a, b, poor);
}

TEST_CASE("exact: costs whose sums overflow are refused, the largest others are not", "[exact]") {
  double const largest = std::numeric_limits<double>::max();
  VectorXd const equal = VectorXd::Constant(3, 1. / 3), general = Eigen::Vector3d(0.2, 0.3, 0.5);
  Random random(30);
  MatrixXd C = random.matrix(3, 3);
  for (VectorXd const& b : {equal, general}) {
    for (double const huge : {largest, -largest, largest / 40}) {
      C(1, 2) = huge;
      REQUIRE(refusal([&] { (void)exact(C, equal, b); }).find("so large that sums overflow") !=
              std::string::npos);
    }
    C(1, 2) = largest / 50;
    require_optimal<double>(C, equal, b, exact(C, equal, b));
  }
}

TEST_CASE("exact: a small problem starts near its optimum with all of its mass", "[exact]") {
  for (bool const plane : {true, false}) {
    Random random(31);
    MatrixXd const X = random.matrix(2, 100), Y = random.matrix(2, 90);
    MatrixXd const C = plane ? monge::ot::cost_matrix(X, Y, monge::ot::squared_euclidean{})
                             : random.matrix(100, 90);
    VectorXd a = random.matrix(100, 1), b = random.matrix(90, 1);
    a /= a.sum();
    b /= b.sum();
    auto const best = exact(C, a, b), start = exact(C, a, b, {.max_iterations = 0});
    require_optimal<double>(C, a, b, best);
    REQUIRE(start.marginal_error <= 1e-13);
    REQUIRE(start.transport_cost <= 1.05 * best.transport_cost);  // a greedy one is at 1.7 and more
    REQUIRE(best.iterations <= 60);
  }
}

TEST_CASE("exact: weights and costs that single precision cannot hold", "[exact]") {
  Random random(32);
  MatrixXd const C = random.matrix(40, 30);
  for (double const spread : {1e-8, 1e-15, 1e-30, 1e-40, 1e-60, 0.}) {
    VectorXd a = random.matrix(40, 1), b = random.matrix(30, 1);
    a.head(20) *= spread;
    b.tail(15) *= spread;
    a /= a.sum();
    b /= b.sum();
    for (double const unit : {1., 1e-280, 1e270}) {
      CAPTURE(spread, unit);
      MatrixXd D = unit * C;
      require_optimal<double>(D, a, b, exact(D, a, b));
      for (double const never : {1e7, 1e25, inf<double>}) {  // most entries, none of them needed
        D = unit * C;
        D.leftCols(22).setConstant(never * unit);
        D.topRows(30).leftCols(29).setConstant(never * unit);
        for (Index i = 0; i < 40; ++i) D.row(i).segment(i % 30, 1) = unit * C.row(i).head(1);
        VectorXd fitting = VectorXd::Zero(30);
        for (Index i = 0; i < 40; ++i) fitting(i % 30) += a(i);
        require_optimal<double>(D, a, fitting, exact(D, a, fitting));
      }
    }
  }
}

TEST_CASE("exact: a run that is copied and resumed has the bits of one that is not", "[exact]") {
  MatrixXd C = Random(20).matrix(90, 80);
  C(3, 4) = inf<double>;
  Weights const w(90, 80, 1, 30, 6);
  auto const whole = exact(C, w.a, w.b);
  monge::ot::Exact const method(operator_of<double>(C), w.a, w.b);
  REQUIRE(support::require_resumable(method, whole) == whole.iterations);
}

TEST_CASE("exact: pivots allocate nothing", "[exact]") {
  MatrixXd const C = Random(21).matrix(700, 650);
  Weights const w(700, 650, 1, 30, 6);
  monge::ot::Exact const method(operator_of<double>(C), w.a, w.b);
  auto state = method.init();
  static_cast<void>(method.advance(state, 1));
  REQUIRE(monge::test::allocations([&] { static_cast<void>(method.advance(state, 1000)); }) == 0);
  REQUIRE(state.iterations == 1001);
}

TEST_CASE("exact: limits and the observer end a run with a plan and feasible potentials",
          "[exact]") {
  MatrixXd const C = Random(22).matrix(120, 100);
  Weights const w(120, 100, 1, 30, 5);
  auto const optimal = exact(C, w.a, w.b);
  Index calls = 0;
  auto const watch = [&](monge::Progress const& progress) {
    ++calls;
    REQUIRE(progress.error >= 0);
    return progress.iteration < 10;
  };
  for (auto const& [r, status] :
       {std::pair{exact(C, w.a, w.b, {.max_iterations = 0}), Status::iteration_limit},
        std::pair{exact(C, w.a, w.b, {.max_iterations = 10}), Status::iteration_limit},
        std::pair{exact(C, w.a, w.b, {.max_seconds = 0}), Status::time_limit},
        std::pair{exact(C, w.a, w.b, {.observe_every = 2}, {}, watch),
                  Status::stopped_by_observer}}) {
    REQUIRE(r.status == status);
    REQUIRE(r.marginal_error <= 1e-13);
    REQUIRE(r.transport_cost > optimal.transport_cost);
    REQUIRE(r.transport_cost - r.duality_gap <= optimal.transport_cost * (1 + 1e-12));
    REQUIRE(((C.colwise() - r.f).rowwise() - r.g.transpose()).minCoeff() >= -1e-14);
  }
  REQUIRE(calls == 5);
  auto const r = exact(C, w.a, w.b, {.max_iterations = 10});
  REQUIRE(r.iterations == 10);
}

TEST_CASE("exact: misuse is refused in the caller's words", "[exact]") {
  MatrixXd C = MatrixXd::Ones(3, 2);
  VectorXd const a = VectorXd::Constant(3, 2.), b = VectorXd::Constant(2, 3.);
  auto const says = [](std::string const& text, std::string const& part) {
    INFO(text);
    REQUIRE(text.find(part) != std::string::npos);
  };
  says(refusal([&] { (void)exact(C, b, b); }), "exact: cost is 3x2 but a has 2 entries");
  says(refusal([&] { (void)exact(C, a, a); }), "exact: cost is 3x2 but b has 3 entries");
  says(refusal([&] { (void)exact(C, a, VectorXd(2 * b)); }), "which differ by 6");
  says(refusal([&] { (void)exact(C, VectorXd(-a), b); }), "exact: a(0) is -2");
  says(refusal([&] { (void)exact(MatrixXd(0, 0), VectorXd(), VectorXd()); }), "cost is 0x0");
  says(refusal([&] { (void)exact(C, a, b, {.max_iterations = -1}); }), "max_iterations is -1");
  says(refusal([&] { (void)exact(C, a, b, {.observe_every = 0}); }), "observe_every is 0");
  says(refusal([&] { (void)exact(C, a, b, {}, {b, b}); }), "start has 2 and 2 potentials");
  says(refusal([&] { (void)exact(C, a, b, {}, {VectorXd(a * inf<double>), b}); }),
       "NaN or infinity in the start");
  for (double const bad : {std::nan(""), -inf<double>}) {
    C(2, 1) = bad;
    says(refusal([&] { (void)exact(C, a, b); }), "exact: cost(2, 1) is ");
    says(refusal([&] { (void)exact(C.bottomRows(2), b, b); }), "exact: cost(1, 1) is ");
  }
}
