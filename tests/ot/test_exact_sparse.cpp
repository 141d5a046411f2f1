// SPDX-License-Identifier: MIT
// Oracles: every answer is checked by complementary slackness on the stored entries, recomputed
// here; the optimum by the dense `exact` with absent entries forbidden and by LEMON's network
// simplex; infeasible problems by a set of rows that has more mass than all columns it reaches.
#define EIGEN_RUNTIME_NO_MALLOC
#include <Eigen/SparseCore>

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
#include <monge/ot/exact_sparse.hpp>

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::MatrixX;
using monge::Status;
using monge::VectorX;
using monge::ot::exact;
using monge::ot::ExactResult;
using support::dense;
using support::Random;
using support::refusal;
using Sparse = Eigen::SparseMatrix<double>;
using SparseRows = Eigen::SparseMatrix<double, Eigen::RowMajor>;

template <class S>
constexpr S inf = std::numeric_limits<S>::infinity();

/// Integer weights and a graph that can carry them: a plan along random arcs, and as many others.
struct Problem {
  Sparse C;
  VectorXd a, b;

  Problem(Index n, Index m, Index arcs, Index spread, std::uint64_t seed, Index costs = 1000)
      : C(n, m), a(VectorXd::Zero(n)), b(VectorXd::Zero(m)) {
    Random random(seed);
    std::vector<Eigen::Triplet<double>> entries;
    for (Index k = 0; k < arcs; ++k) {
      Index const i = k < n ? k : random.below(n), j = k < m ? k : random.below(m);
      entries.emplace_back(int(i), int(j), double(random.below(costs) - costs / 5));
      entries.emplace_back(int(random.below(n)), int(random.below(m)), double(random.below(costs)));
      double const mass = double(random.below(spread));
      a(i) += mass;
      b(j) += mass;
    }
    C.setFromTriplets(entries.begin(), entries.end(), [](double, double last) { return last; });
  }
};

template <class S>
void require_optimal(Eigen::SparseMatrix<S> const& C, VectorX<S> const& a, VectorX<S> const& b,
                     ExactResult<S> const& r) {
  support::require_optimal<S>(dense(C), a, b, r);
}

/// A proof that the arcs cannot carry more than the plan does: the rows that still have mass, and
/// all that could send to where these send, fill every column that they reach.
void require_most(Sparse const& C, VectorXd const& a, VectorXd const& b,
                  ExactResult<double> const& r) {
  VectorXd const rest = a - r.plan * VectorXd::Ones(C.cols());
  VectorXd const room = b - r.plan.transpose() * VectorXd::Ones(C.rows());
  REQUIRE(rest.minCoeff() >= 0);
  REQUIRE(room.minCoeff() >= 0);
  REQUIRE(rest.sum() > 0);
  std::vector<bool> row(std::size_t(C.rows())), column(std::size_t(C.cols()));
  for (Index i = 0; i < C.rows(); ++i) row[std::size_t(i)] = rest(i) > 0;
  for (bool grows = true; grows;) {
    grows = false;
    for (Index j = 0; j < C.cols(); ++j) {
      for (Sparse::InnerIterator x(C, j); x; ++x) {
        if (!row[std::size_t(x.row())] || column[std::size_t(j)]) continue;
        column[std::size_t(j)] = grows = true;
      }
      for (Sparse::InnerIterator x(r.plan, j); x; ++x) {
        if (!column[std::size_t(j)] || row[std::size_t(x.row())]) continue;
        row[std::size_t(x.row())] = grows = true;
      }
    }
  }
  double supply = 0, demand = 0;
  for (Index i = 0; i < C.rows(); ++i) supply += row[std::size_t(i)] ? a(i) : 0;
  for (Index j = 0; j < C.cols(); ++j) demand += column[std::size_t(j)] ? b(j) : 0;
  REQUIRE(supply - demand == rest.sum());
}

#ifdef MONGE_TEST_LEMON
TEST_CASE("exact_sparse: the optimum is that of LEMON's network simplex", "[exact_sparse]") {
  for (auto [n, m] : {std::pair{3, 5}, {1, 1}, {60, 60}, {200, 31}, {300, 280}}) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      for (Index arcs : {Index(std::max(n, m)), Index(6 * std::max(n, m))}) {
        Problem const p(n, m, arcs, seed % 2 ? 2 : 50, seed + 1, seed / 2 ? 1000000 : 4);
        if (p.a.sum() == 0) continue;
        auto const r = exact(p.C, p.a, p.b);
        require_optimal<double>(p.C, p.a, p.b, r);
        REQUIRE(r.transport_cost == support::network_simplex(dense(p.C), p.a, p.b));
      }
      // Weights that the graph may not be able to carry.
      Problem const p(n, m, 2 * n, 9, seed);
      VectorXd const a = VectorXd::Constant(n, m), b = VectorXd::Constant(m, n);
      auto const r = exact(p.C, a, b);
      double const expected = support::network_simplex(dense(p.C), a, b);
      if (expected < inf<double>) {
        require_optimal<double>(p.C, a, b, r);
        REQUIRE(r.transport_cost == expected);
      } else {
        REQUIRE(r.status == Status::infeasible);
        require_most(p.C, a, b, r);
      }
    }
  }
}
#endif

TEST_CASE("exact_sparse: absent is forbidden, and the dense simplex agrees", "[exact_sparse]") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    Problem const p(40, 33, seed % 2 ? 60 : 200, 20, seed);
    auto const r = exact(p.C, p.a, p.b), full = exact(dense(p.C), p.a, p.b);
    require_optimal<double>(p.C, p.a, p.b, r);
    REQUIRE(full.converged());
    REQUIRE(r.transport_cost == full.transport_cost);
  }
}

TEST_CASE("exact_sparse: a stored zero is free", "[exact_sparse]") {
  Sparse C(2, 2);
  C.insert(0, 0) = 3;
  C.insert(1, 1) = 2;
  C.insert(0, 1) = 0;
  C.insert(1, 0) = 0;
  VectorXd const ones = VectorXd::Ones(2);
  auto const r = exact(C, ones, ones);
  require_optimal<double>(C, ones, ones, r);
  REQUIRE(r.transport_cost == 0);
  C.prune([](Index, Index, double x) { return x != 0; });
  auto const dear = exact(C, ones, ones);
  REQUIRE(dear.transport_cost == 5);
  C.coeffRef(0, 0) = inf<double>;
  REQUIRE(exact(C, ones, ones).status == Status::infeasible);
}

TEST_CASE("exact_sparse: orders, positions, expressions and loose storage give the same answer",
          "[exact_sparse]") {
  Problem p(50, 60, 150, 20, 3);
  auto const r = exact(p.C, p.a, p.b);
  auto const same = [&](ExactResult<double> const& other) {
    REQUIRE(other.iterations == r.iterations);
    REQUIRE(other.transport_cost == r.transport_cost);
    REQUIRE((other.f.array() == r.f.array()).all());
    REQUIRE(MatrixXd(other.plan) == MatrixXd(r.plan));
  };
  same(exact(SparseRows(p.C), p.a.transpose(), p.b));
  same(exact(Eigen::SparseMatrix<double, Eigen::ColMajor, std::int64_t>(p.C), p.a, p.b));
  Sparse loose = p.C;
  loose.reserve(Eigen::VectorXi::Constant(60, 80));
  REQUIRE(!loose.isCompressed());
  same(exact(loose, p.a, p.b));
  auto const doubled = exact(2 * p.C, p.a, p.b);
  REQUIRE(doubled.transport_cost == 2 * r.transport_cost);
  Sparse const turned = p.C.transpose();
  auto const mirrored = exact(turned, p.b, p.a);
  require_optimal<double>(turned, p.b, p.a, mirrored);
  REQUIRE(mirrored.transport_cost == r.transport_cost);
  same(exact(turned.transpose(), p.a, p.b));
}

TEMPLATE_TEST_CASE("exact_sparse: real weights and costs of all scales are certified",
                   "[exact_sparse]", float, double, long double) {
  using S = TestType;
  std::uint64_t seed = 0;
  for (double scale : {1e-12, 1.0, 1e12}) {
    for (auto [n, m] : {std::pair{1, 1}, {1, 30}, {30, 1}, {120, 90}}) {
      Problem const p(n, m, 4 * std::max(n, m), 30, ++seed);
      Random random(seed);
      Eigen::SparseMatrix<S> C = p.C.template cast<S>();
      for (Index k = 0; k < C.nonZeros(); ++k)
        C.valuePtr()[k] = S((random.uniform() - 0.2) * scale);
      VectorX<S> a = p.a.template cast<S>(), b = p.b.template cast<S>();
      a /= a.sum();
      b /= b.sum();
      require_optimal<S>(C, a, b, exact(C, a, b));
    }
  }
}

TEST_CASE("exact_sparse: blocks that balance up to rounding only are solved", "[exact_sparse]") {
  // The one arc between the blocks may lead out of the block that lacks mass: it cannot help, and
  // the potentials of the blocks must part for it.
  for (float const more : {0.f, 1e-6f, -1e-6f}) {
    Random random(3);
    Eigen::SparseMatrix<float> C(6, 10);
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 5; ++j) {
        C.insert(i, j) = float(random.uniform());
        C.insert(i + 3, j + 5) = float(100 * random.uniform());
      }
    }
    C.insert(5, 0) = -500;
    Eigen::VectorXf a = Eigen::VectorXf::Constant(6, 1.f / 3),
                    b = Eigen::VectorXf::Constant(10, 1.f / 5);
    a(0) += more;
    a(5) -= more;
    require_optimal<float>(C, a, b, exact(C, a, b));
  }
}

TEST_CASE("exact_sparse: a graph that cannot carry the mass is infeasible, with a proof",
          "[exact_sparse]") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Problem p(40, 30, 60, 9, seed);
    // A row that may send to one column only gets more than the column can take.
    Index const j = p.C.cols() - 1;
    VectorXd a(41);
    a << p.a, p.b(j) + 5;
    p.b(0) += p.b(j) + 5;
    Sparse C(41, 30);
    std::vector<Eigen::Triplet<double>> entries{{40, int(j), -3.0}};
    for (Index k = 0; k < p.C.cols(); ++k)
      for (Sparse::InnerIterator x(p.C, k); x; ++x)
        entries.emplace_back(int(x.row()), int(k), x.value());
    C.setFromTriplets(entries.begin(), entries.end());
    auto const r = exact(C, a, p.b);
    REQUIRE(r.status == Status::infeasible);
    REQUIRE(r.duality_gap == inf<double>);
    REQUIRE(r.marginal_error > 0);
    require_most(C, a, p.b, r);
    REQUIRE(((dense(C).colwise() - r.f).rowwise() - r.g.transpose()).minCoeff() >= -1e-9);
  }
  Sparse const nothing(3, 4);
  auto const none = exact(nothing, VectorXd::Constant(3, 4.), VectorXd::Constant(4, 3.));
  REQUIRE(none.status == Status::infeasible);
  REQUIRE(none.plan.nonZeros() == 0);
  REQUIRE(none.marginal_error == 2);
}

TEST_CASE("exact_sparse: nodes without mass stay empty, with the largest potential",
          "[exact_sparse]") {
  Problem p(30, 25, 90, 9, 5);
  VectorXd a(33), b(27);
  a << p.a, 0, 0, 0;
  b << p.b, 0, 0;
  Sparse C(33, 27);
  std::vector<Eigen::Triplet<double>> entries{{30, 3, 7.}, {30, 25, -90.}, {31, 8, -500.}};
  for (Index k = 0; k < 25; ++k)
    for (Sparse::InnerIterator x(p.C, k); x; ++x)
      entries.emplace_back(int(x.row()), int(k), x.value());
  C.setFromTriplets(entries.begin(), entries.end());
  auto const r = exact(C, a, b);
  require_optimal<double>(C, a, b, r);
  REQUIRE(r.transport_cost == exact(p.C, p.a, p.b).transport_cost);
  REQUIRE(r.f(31) == -500 - r.g(8));
  REQUIRE(r.f(32) == 0);  // no arc at all
  REQUIRE(r.g(26) == 0);
}

TEST_CASE("exact_sparse: ties and zero flows do not make it cycle", "[exact_sparse]") {
  Index const n = 150;
  std::vector<Eigen::Triplet<double>> entries;
  for (int i = 0; i < n; ++i)
    for (int k = 0; k < 7; ++k) entries.emplace_back(i, int((i + k * k) % n), double(k % 2));
  Sparse C(n, n);
  C.setFromTriplets(entries.begin(), entries.end());
  VectorXd const ones = VectorXd::Ones(n);
  auto const r = exact(C, ones, ones), again = exact(C, ones, ones);
  require_optimal<double>(C, ones, ones, r);
  REQUIRE(r.transport_cost == 0);
  REQUIRE(MatrixXd(r.plan) == MatrixXd(again.plan));
  REQUIRE((r.f.array() == again.f.array()).all());
}

TEST_CASE("exact_sparse: a start from the optimal potentials needs nearly no pivots",
          "[exact_sparse]") {
  Problem const p(400, 300, 2000, 90, 7, 1000000);
  auto const cold = exact(p.C, p.a, p.b);
  auto const warm = exact(p.C, p.a, p.b, {}, {cold.f, cold.g});
  require_optimal<double>(p.C, p.a, p.b, warm);
  REQUIRE(warm.iterations <= 10);
  REQUIRE(cold.iterations >= 300);
  VectorXd const f = VectorXd::LinSpaced(400, -1e6, 1e6), g = VectorXd::LinSpaced(300, 0, 1e6);
  require_optimal<double>(p.C, p.a, p.b, exact(p.C, p.a, p.b, {}, {f, g}));
}

TEST_CASE("exact_sparse: a plan is a start, and a poor one does no harm", "[exact_sparse]") {
  Problem const p(300, 250, 1500, 90, 17, 1000000);
  auto const cold = exact(p.C, p.a, p.b);
  for (monge::ot::ExactStart<double> const& start :
       {monge::ot::ExactStart<double>{.plan = cold.plan}, {cold.f, cold.g, cold.plan}}) {
    auto const warm = exact(p.C, p.a, p.b, {}, start);
    require_optimal<double>(p.C, p.a, p.b, warm);
    REQUIRE(warm.transport_cost == cold.transport_cost);
    REQUIRE(warm.iterations < cold.iterations / 10);
  }
  // Entries that the cost does not store, wrong marginals, nodes without mass.
  VectorXd a = p.a, b = p.b;
  a(0) += a(1);
  a(1) = 0;
  MatrixXd const full = MatrixXd::Ones(300, 250) + MatrixXd::Identity(300, 250);
  auto const expected = exact(p.C, a, b), r = exact(p.C, a, b, {}, {.plan = full.sparseView()});
  REQUIRE(r.status == expected.status);
  if (r.converged()) REQUIRE(r.transport_cost == expected.transport_cost);
}

TEST_CASE("exact_sparse: partial transport and extra mass agree with the dense simplex",
          "[exact_sparse]") {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Problem const p(40, 33, seed % 2 ? 50 : 200, 20, seed, 1000);
    MatrixXd const full = dense(p.C);
    double const mass = std::floor(0.7 * p.a.sum());
    auto const r = exact(p.C, p.a, p.b, {.mass = mass}), d = exact(full, p.a, p.b, {.mass = mass});
    REQUIRE(r.converged());
    REQUIRE(d.converged());
    REQUIRE(r.transport_cost == d.transport_cost);
    REQUIRE(r.plan.sum() == mass);
    REQUIRE((r.plan * VectorXd::Ones(33) + r.left_a - p.a).isZero(1e-9));
    REQUIRE((r.plan.transpose() * VectorXd::Ones(40) + r.left_b - p.b).isZero(1e-9));
    // The duals prove it: feasible, and of the same value.
    REQUIRE(((full.colwise() - r.f).rowwise() - r.g.transpose()).minCoeff() - r.mass_price >=
            -1e-9);
    REQUIRE(r.f.maxCoeff() <= 1e-9);
    REQUIRE(r.g.maxCoeff() <= 1e-9);
    double const dual = p.a.dot(r.f) + p.b.dot(r.g) + mass * r.mass_price;
    REQUIRE(std::abs(dual - r.transport_cost) <= 1e-9 * (1 + std::abs(dual)));
    auto const again = exact(SparseRows(p.C), p.a, p.b, {.mass = mass}, {r.f, r.g, r.plan});
    REQUIRE(again.transport_cost == r.transport_cost);
    REQUIRE(again.iterations <= 2);
    // More columns' mass than rows': what there is of the rows is moved.
    VectorXd const more = 2 * p.b;
    auto const charged = exact(p.C, p.a, more, {.extra_mass_penalty = 3});
    auto const expected = exact(full, p.a, more, {.extra_mass_penalty = 3});
    REQUIRE(charged.converged());
    REQUIRE(charged.transport_cost == expected.transport_cost);
    REQUIRE(charged.penalty == 3 * p.b.sum());
    REQUIRE(charged.left_a.isZero(0));
    REQUIRE(charged.mass_price == 0);
    double const value = p.a.dot(charged.f) + more.dot(charged.g);
    REQUIRE(std::abs(value - charged.transport_cost - charged.penalty) <=
            1e-9 * (1 + std::abs(value)));
  }
  // Of three pairs, no two of which meet, two units pass, not more.
  Sparse C(3, 3);
  for (int k = 0; k < 3; ++k) C.insert(k, k) = k + 1;
  VectorXd const ones = VectorXd::Ones(3);
  REQUIRE(exact(C, ones, ones, {.mass = 2}).transport_cost == 3);
  C.coeffRef(0, 0) = inf<double>;
  REQUIRE(exact(C, ones, ones, {.mass = 2.5}).status == Status::infeasible);
  REQUIRE(exact(C, ones, ones, {.mass = 2}).converged());
}

TEST_CASE("exact_sparse: a run that is copied and resumed has the bits of one that is not",
          "[exact_sparse]") {
  Problem const p(200, 180, 700, 30, 8);
  auto const whole = exact(p.C, p.a, p.b);
  monge::ot::ExactSparse<double> const method(p.C, p.a, p.b);
  REQUIRE(support::require_resumable(method, whole) == whole.iterations);

  auto fresh = method.init();
  static_cast<void>(method.advance(fresh, 1));
  REQUIRE(monge::test::allocations([&] { static_cast<void>(method.advance(fresh, 300)); }) == 0);
}

TEST_CASE("exact_sparse: limits and the observer end a run with feasible potentials",
          "[exact_sparse]") {
  Problem const p(120, 100, 800, 30, 9, 100000);
  auto const optimal = exact(p.C, p.a, p.b);
  Index calls = 0;
  auto const watch = [&](monge::Progress const& progress) {
    ++calls;
    REQUIRE(progress.error >= 0);
    return progress.iteration < 50;
  };
  for (auto const& [r, status] :
       {std::pair{exact(p.C, p.a, p.b, {.max_iterations = 0}), Status::iteration_limit},
        std::pair{exact(p.C, p.a, p.b, {.max_iterations = 60}), Status::iteration_limit},
        std::pair{exact(p.C, p.a, p.b, {.max_seconds = 0}), Status::time_limit},
        std::pair{exact(p.C, p.a, p.b, {.observe_every = 10}, {}, watch),
                  Status::stopped_by_observer}}) {
    REQUIRE(r.status == status);
    REQUIRE(r.duality_gap >= r.transport_cost - optimal.transport_cost);
    REQUIRE(((dense(p.C).colwise() - r.f).rowwise() - r.g.transpose()).minCoeff() >= -1e-9);
  }
  REQUIRE(calls == 5);
}

TEST_CASE("exact_sparse: misuse is refused in the caller's words", "[exact_sparse]") {
  Sparse C(3, 2);
  C.insert(2, 1) = 1;
  VectorXd const a = VectorXd::Constant(3, 2.), b = VectorXd::Constant(2, 3.);
  auto const says = [](std::string const& text, std::string const& part) {
    INFO(text);
    REQUIRE(text.find(part) != std::string::npos);
  };
  says(refusal([&] { (void)exact(C, b, b); }), "exact: cost is 3x2 but a has 2 entries");
  says(refusal([&] { (void)exact(C, a, a); }), "exact: cost is 3x2 but b has 3 entries");
  says(refusal([&] { (void)exact(C, a, VectorXd(2 * b)); }), "which differ by 6");
  says(refusal([&] { (void)exact(C, VectorXd(-a), b); }), "exact: a(0) is -2");
  says(refusal([&] { (void)exact(Sparse(0, 0), VectorXd(), VectorXd()); }), "cost is 0x0");
  says(refusal([&] { (void)exact(C, a, b, {.max_iterations = -1}); }), "max_iterations is -1");
  says(refusal([&] { (void)exact(C, a, b, {}, {b, b}); }), "start has 2 and 2 potentials");
  says(refusal([&] { (void)exact(C, a, b, {}, {.plan = Sparse(2, 3)}); }),
       "the plan to start from is 2x3 but the cost is 3x2");
  says(refusal([&] { (void)exact(C, a, b, {.mass = 7}); }), "mass is 7; it must be positive");
  says(refusal([&] { (void)exact(C, a, b, {.mass = 2}, {b, b}); }), "start has 2 and 2");
  says(refusal([&] { (void)exact(C, a, b, {.extra_mass_penalty = 1, .mass = 1}); }),
       "both mass and extra_mass_penalty");
  for (double const bad : {std::nan(""), -inf<double>}) {
    C.coeffRef(2, 1) = bad;
    says(refusal([&] { (void)exact(C, a, b); }), "exact: cost(2, 1) is ");
    says(refusal([&] { (void)exact(SparseRows(C), a, b); }), "exact: cost(2, 1) is ");
  }
}

}  // namespace
