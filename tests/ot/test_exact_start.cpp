// SPDX-License-Identifier: MIT
// What the simplex starts from: plans that become a basis, merged costs, rough plans on a pool.
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/exact.hpp"
#include "support/problems.hpp"
#include <monge/ot/exact.hpp>

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Deadline;
using monge::Index;
using monge::Status;
using monge::ot::Exact;
using monge::ot::exact;
using monge::ot::squared_euclidean;
using support::Random;
using support::require_optimal;
using namespace monge::ot::detail;
using Cost = monge::ot::DenseCost<double>;
using Coarse = CoarseCosts<double>;

constexpr double inf = std::numeric_limits<double>::infinity();

/// The north-west corner rule along two orders.
void corner(std::vector<Mass> rest, std::vector<Index> const& rows,
            std::vector<Index> const& columns, MatrixXd const& C,
            std::vector<LoadedArc<double>>& plan) {
  std::size_t const n = rows.size();
  for (std::size_t i = 0, j = 0; i < n && j < columns.size();) {
    Mass& have = rest[std::size_t(rows[i])];
    Mass& want = rest[n + std::size_t(columns[j])];
    Mass const sent = std::min(have, -want);
    have -= sent;
    want += sent;
    plan.push_back(
        {{std::int32_t(rows[i]), std::int32_t(columns[j])}, sent, C(rows[i], columns[j])});
    have == 0 ? ++i : ++j;
  }
}

std::vector<Index> shuffled(Index n, Random& random) {
  std::vector<Index> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (Index k = n; k-- > 1;)
    std::swap(order[std::size_t(k)], order[std::size_t(random.below(k + 1))]);
  return order;
}

/// Two point sets in few clusters.
MatrixXd clustered(Index n, Index m) {
  MatrixXd const centres = support::points(2, 6, 1);
  MatrixXd X = 0.03 * support::points(2, n, 2), Y = 0.03 * support::points(2, m, 3);
  for (Index i = 0; i < n; ++i) X.col(i) += centres.col(i % 6);
  for (Index j = 0; j < m; ++j) Y.col(j) += centres.col(j * j % 6);
  return monge::ot::cost_matrix(X, Y, squared_euclidean{});
}

MatrixXd distances(Index d, Index n, Index m) {
  return monge::ot::cost_matrix(support::points(d, n, 4), support::points(d, m, 5),
                                squared_euclidean{});
}

}  // namespace

TEST_CASE("exact: a plan becomes a basis that costs no more", "[exact]") {
  Random random(1);
  for (int trial = 0; trial < 2000; ++trial) {
    Index const n = 1 + random.below(9), m = 1 + random.below(9), corners = 1 + random.below(4);
    // Integers and zeros make ties; costs have both signs.
    MatrixXd const C = trial % 2 == 0 ? MatrixXd(random.matrix(n, m).array() - 0.5)
                                      : MatrixXd(random.integers(n, m, 5).array() - 2);
    std::vector<Mass> supply(std::size_t(n + m));
    Mass total = 0;
    for (Index i = 0; i < n; ++i) total += supply[std::size_t(i)] = 1 + random.below(5);
    for (Index k = 0; k < total; ++k) --supply[std::size_t(n + random.below(m))];
    if (std::find(supply.begin(), supply.end(), 0) != supply.end()) continue;
    std::vector<LoadedArc<double>> plan;
    for (Index k = 0; k < corners; ++k) {
      corner(supply, shuffled(n, random), shuffled(m, random), C, plan);
    }
    for (Mass& mass : supply) mass *= corners;  // the plan is the sum of all
    Crossover<double> crossover(n, supply.size());
    double before = 0, after = 0;
    for (auto const& x : plan) {
      crossover.add(x);
      before += double(x.flow) * x.cost;
    }
    std::vector<Arc> const forest = crossover.forest();
    REQUIRE(spanning_forest(forest, n, supply.size()).size() == forest.size());
    TransportTree<double> const tree(n, supply, forest, VectorXd::Zero(n + m),
                                     [&](Arc arc) { return C(arc.row, arc.column); });
    REQUIRE(tree.lacking_parts == 0);
    Mass moved = 0;
    tree.for_each_flow([&](Arc arc, Mass flow) {
      REQUIRE(std::any_of(plan.begin(), plan.end(), [&](auto const& x) {
        return x.arc.row == arc.row && x.arc.column == arc.column;
      }));
      moved += flow;
      after += double(flow) * C(arc.row, arc.column);
    });
    REQUIRE(moved == total * corners);
    REQUIRE(after <= before + 1e-12);
  }
}

TEST_CASE("exact: merged costs are means over blocks, where a cost has a geometry", "[exact]") {
  Index const n = 400, m = 380;
  VectorXd a = support::weights(n, 6), b = support::weights(m, 7);
  a.head(30).setZero();
  a /= a.sum();
  auto const problem = [&](MatrixXd const& C) { return ExactProblem<Cost>(Cost(C), a, b); };
  for (MatrixXd const& C : {distances(2, n, m), distances(3, n, m), clustered(n, m)}) {
    CHECK(Coarse::of(problem(C)) != nullptr);
  }
  for (MatrixXd const& C :
       {distances(50, n, m), support::matrix(n, m, 8), MatrixXd(MatrixXd::Constant(n, m, 3))}) {
    CHECK(Coarse::of(problem(C)) == nullptr);
  }
  MatrixXd const C = distances(2, n, m);
  Blocks rows{{}, 4}, columns{{}, 4};
  Random random(9);
  for (Index const i : shuffled(n, random)) rows.order.push_back(std::int32_t(i));
  for (Index const j : shuffled(m, random)) columns.order.push_back(std::int32_t(j));
  Coarse const coarse(problem(C), rows, columns);
  auto const& merged = coarse.solver().problem();
  REQUIRE(merged.n() == 100);
  REQUIRE(merged.m() == 95);
  VectorXd const g = support::matrix(95, 1, 10);
  VectorXd const f = coarse.row_potential(g);
  for (Index I = 0; I < 100; I += 9) {
    for (Index J = 0; J < 95; J += 7) {
      double sum = 0, mass_I = 0, mass_J = 0;
      for (std::size_t p = 0; p < 4; ++p) {
        mass_I += a(rows.order[std::size_t(4 * I) + p]);
        mass_J += b(columns.order[std::size_t(4 * J) + p]);
        for (std::size_t q = 0; q < 4; ++q) {
          Index const i = rows.order[std::size_t(4 * I) + p];
          Index const j = columns.order[std::size_t(4 * J) + q];
          sum += a(i) * b(j) * C(i, j);
        }
      }
      if (mass_I == 0) continue;
      CHECK(merged.a(I) == Approx(mass_I));
      CHECK(merged.price({std::int32_t(I), std::int32_t(J)}) == Approx(sum / (mass_I * mass_J)));
    }
    Index const i = rows.order[std::size_t(4 * I)];
    double least = inf;
    for (Index J = 0; J < 95; ++J) {
      double sum = 0, mass_J = 0;
      for (std::size_t q = 0; q < 4; ++q) {
        Index const j = columns.order[std::size_t(4 * J) + q];
        mass_J += b(j);
        sum += b(j) * C(i, j);
      }
      least = std::min(least, sum / mass_J - g(J));
    }
    CHECK(f(i) == Approx(least).margin(1e-5));  // it has few digits
  }
}

TEST_CASE("exact: a large problem starts near its optimum with all of its mass", "[exact]") {
  Index const n = 420, m = 400;
  VectorXd const a = support::weights(n, 11), b = support::weights(m, 12);
  struct Row {
    char const* name;
    MatrixXd C;
    double above;
    Index pivots;
  };
  for (Row const& row :
       {Row{"plane", distances(2, n, m), 1.2, 500}, Row{"space", distances(3, n, m), 1.2, 700},
        Row{"d = 50", distances(50, n, m), 1.01, 700}, Row{"clusters", clustered(n, m), 1.05, 5000},
        Row{"random", support::matrix(n, m, 13), 1.1, 800}}) {
    INFO(row.name);
    auto const best = exact(row.C, a, b), start = exact(row.C, a, b, {.max_iterations = 0});
    require_optimal<double>(row.C, a, b, best);
    CHECK(start.marginal_error <= 1e-13);
    CHECK(start.transport_cost <= row.above * best.transport_cost);
    CHECK(best.iterations <= row.pivots);  // of a greedy start: 4 to 20 times as many
    CHECK(best.iterations > 0);
  }
}

TEMPLATE_TEST_CASE("exact: large problems of every kind", "[exact]", float, double) {
  using S = TestType;
  Random random(14);
  for (auto const& [n, m] : {std::pair<Index, Index>{380, 370}, {1900, 70}, {70, 1900}}) {
    auto const narrow = [](MatrixXd const& C) { return monge::MatrixX<S>(C.cast<S>()); };
    monge::MatrixX<S> const plane = narrow(distances(2, n, m));
    monge::MatrixX<S> ties = narrow(random.integers(n, m, 4)), holes = plane, never = plane;
    for (Index k = 0; k < n * m / 3; ++k) {
      holes(random.below(n), random.below(m)) = S(inf);
      never(random.below(n), random.below(m)) = S(1e30);
    }
    for (monge::MatrixX<S> const& C :
         {plane, ties, holes, never, monge::MatrixX<S>(monge::MatrixX<S>::Constant(n, m, S(-2))),
          monge::MatrixX<S>(plane * S(1e-30)), monge::MatrixX<S>(plane * S(1e30))}) {
      for (bool const zeros : {false, true}) {
        CAPTURE(n, m, zeros);
        // Integers: masses are equal without rounding.
        VectorXd a = random.integers(n, 1, 9).array() + (zeros ? 0 : 1), b(m);
        b.setOnes();
        if (zeros) b.head(m / 3).setZero();
        a *= std::max(1., std::ceil(b.sum() / a.sum()));
        b *= std::max(1., std::floor(a.sum() / b.sum()));
        double const rest = a.sum() - b.sum();
        (rest > 0 ? b(m - 1) : a(0)) += std::abs(rest);
        require_optimal<S>(C, a.cast<S>(), b.cast<S>(), exact(C, a.cast<S>(), b.cast<S>()));
      }
    }
  }
}

TEST_CASE("exact: a start on merged costs goes on where a deadline cut it", "[exact]") {
  Index const n = 1060, m = 1050;
  MatrixXd const C = distances(2, n, m);
  VectorXd const a = support::weights(n, 15), b = support::weights(m, 16);
  Exact const method(Cost(C), a, b);
  auto const whole = monge::iterate(method, {.max_iterations = std::numeric_limits<Index>::max()});
  REQUIRE(whole.status == Status::converged);
  auto state = method.init();
  Deadline const passed(0);
  Index merged = 0, cuts = 0;
  while (method.advance(state, 1000, passed).status != Status::converged) {
    merged += !state.start.coarse.empty();
    auto const copy = state;
    state = copy;
    ++cuts;
  }
  REQUIRE(merged > 0);
  REQUIRE(cuts > 20);
  REQUIRE(state.iterations == whole.state.iterations);
  REQUIRE(state.tree.potential == whole.state.tree.potential);
}
