// SPDX-License-Identifier: MIT
// The exact solver as a method: checkpoints, deadlines in its start and its searches, starts from
// plans, and what keeps it from cycling.
#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/exact.hpp>

namespace {

using Catch::Matchers::WithinRel;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Deadline;
using monge::Index;
using monge::iterate;
using monge::Status;
using monge::ot::Exact;
using monge::ot::exact;
using monge::ot::ExactResult;
using monge::ot::ExactStart;
using support::refusal;
using Cost = monge::ot::DenseCost<double>;
using Mass = monge::ot::detail::Mass;

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr monge::Limits no_limits{.max_iterations = std::numeric_limits<Index>::max()};

ExactResult<double> solve(MatrixXd const& C, VectorXd const& a, VectorXd const& b,
                          ExactStart<double> const& start = {}) {
  Exact const method(Cost(C), a, b, start);
  return method.result(iterate(method, no_limits));
}

void require_same(ExactResult<double> const& r, ExactResult<double> const& s) {
  REQUIRE(r.status == s.status);
  REQUIRE(r.iterations == s.iterations);
  REQUIRE(r.transport_cost == s.transport_cost);
  REQUIRE(r.duality_gap == s.duality_gap);
  REQUIRE(r.f == s.f);
  REQUIRE(r.g == s.g);
  REQUIRE(MatrixXd(r.plan) == MatrixXd(s.plan));
}

/// A strongly feasible tree: every arc without flow leads towards the root. Cycling is impossible
/// as long as this holds after every pivot.
template <class Tree>
bool strongly_feasible(Tree const& tree) {
  bool holds = true;
  tree.for_each_below(tree.root(), [&](int v) {
    holds = holds && tree.at(v).flow >= 0 && (tree.at(v).flow > 0 || tree.at(v).up);
  });
  return holds;
}

}  // namespace

TEST_CASE("exact: a start that deadlines cut to pieces has the bits of one that was left alone",
          "[exact]") {
  Index const n = 300, m = 1200;  // a deadline is asked for every 219 columns
  MatrixXd const C = support::matrix(n, m, 1);
  VectorXd a = support::weights(n, 2), b = support::weights(m, 3);
  a /= a.sum();
  b /= b.sum();
  for (ExactStart<double> const& start :
       {ExactStart<double>{},
        ExactStart<double>{support::matrix(n, 1, 4), support::matrix(m, 1, 5)}}) {
    Exact const method(Cost(C), a, b, start);
    auto const whole = method.result(iterate(method, no_limits));
    REQUIRE(whole.converged());
    auto state = method.init();
    Index cuts = 0, before = 0;
    Deadline const passed(0);
    for (Status status = Status::time_limit; status != Status::converged;) {
      before += !state.started;
      auto copy = state;
      static_cast<void>(method.finish(copy, Status::time_limit));  // certifies, and is forgotten
      if (cuts % 40 == 0) static_cast<void>(method.finish(state, Status::time_limit));
      status = method.advance(state, 50, passed).status;
      ++cuts;
    }
    REQUIRE(before >= 5);
    REQUIRE(method.finish(state, Status::converged) == Status::converged);
    require_same(method.result({state, Status::converged, {}}), whole);
  }
}

TEST_CASE("exact: a run that was stopped goes on from its State", "[exact]") {
  MatrixXd const C = support::matrix(240, 210, 6);
  VectorXd const a = VectorXd::Constant(240, 7), b = VectorXd::Constant(210, 8);
  Exact const method(Cost(C), a, b);
  auto const whole = method.result(iterate(method, no_limits));
  auto run = iterate(method, {.max_iterations = 40});
  REQUIRE(run.status == Status::iteration_limit);
  auto const checkpoint = run.state;
  for (int branch = 0; branch < 2; ++branch) {
    run = iterate(method, branch == 0 ? run.state : checkpoint, no_limits);
    require_same(method.result(run), whole);
  }
}

TEST_CASE("exact: a run without time has a plan and bounds for the optimum", "[exact]") {
  MatrixXd C = support::matrix(400, 400, 7).array() - 0.3;
  VectorXd const a = support::weights(400, 8), b = support::weights(400, 9);
  auto const best = exact(C, a, b), r = exact(C, a, b, {.max_seconds = 0});
  REQUIRE(r.status == Status::time_limit);
  REQUIRE(r.iterations == 0);
  REQUIRE(r.marginal_error <= 1e-13);
  REQUIRE(r.transport_cost >= best.transport_cost);
  REQUIRE(r.transport_cost - r.duality_gap <= best.transport_cost + 1e-12);
  REQUIRE(((C.colwise() - r.f).rowwise() - r.g.transpose()).minCoeff() >= 0);
  C(0, 0) = inf;  // the corner itself
  auto const without = exact(C, a, b, {.max_seconds = 0});
  REQUIRE(without.status == Status::time_limit);
  REQUIRE(without.marginal_error > 0);
  REQUIRE(without.duality_gap == inf);
  REQUIRE(std::isfinite(without.transport_cost));
}

TEST_CASE("exact: a plan is a start", "[exact]") {
  MatrixXd const X = support::points(2, 400, 10), Y = support::points(2, 380, 11);
  MatrixXd const C = monge::ot::cost_matrix(X, Y, monge::ot::squared_euclidean{});
  VectorXd const a = support::weights(400, 12), b = support::weights(380, 13);
  auto const cold = solve(C, a, b);
  REQUIRE(cold.iterations > 200);
  auto const again = solve(C, a, b, {cold.f, cold.g, cold.plan});
  REQUIRE(again.converged());
  REQUIRE(again.iterations <= 2);
  REQUIRE_THAT(again.transport_cost, WithinRel(cold.transport_cost, 1e-14));
  auto const by_plan = solve(C, a, b, {.plan = cold.plan});
  REQUIRE(by_plan.converged());
  REQUIRE(by_plan.iterations <= 2);  // the basis is not degenerate: the plan determines it
  // Of other weights, and of a cost that has changed a little.
  VectorXd moved = a;
  moved.head(20) *= 1.5;
  moved *= a.sum() / moved.sum();
  auto const other = solve(C, moved, b), other_by_plan = solve(C, moved, b, {.plan = cold.plan});
  REQUIRE(other_by_plan.converged());
  REQUIRE_THAT(other_by_plan.transport_cost, WithinRel(other.transport_cost, 1e-13));
  MatrixXd const D = C + 0.001 * support::matrix(400, 380, 14);
  auto const near = solve(D, a, b), near_by_plan = solve(D, a, b, {cold.f, cold.g, cold.plan});
  REQUIRE_THAT(near_by_plan.transport_cost, WithinRel(near.transport_cost, 1e-13));
  REQUIRE(near_by_plan.iterations < near.iterations);
}

TEST_CASE("exact: a poor plan does no harm", "[exact]") {
  MatrixXd C = support::matrix(30, 40, 15);
  C(0, 0) = inf;
  VectorXd const a = VectorXd::Constant(30, 4), b = VectorXd::Constant(40, 3);
  auto const cold = solve(C, a, b);
  MatrixXd dense = support::matrix(30, 40, 16);  // cycles, a forbidden pair, wrong marginals
  MatrixXd empty = MatrixXd::Zero(30, 40), one = empty;
  one(29, 0) = 1e9;
  for (MatrixXd const& plan : {dense, empty, one}) {
    auto const r = solve(C, a, b, {.plan = plan.sparseView()});
    REQUIRE(r.converged());
    REQUIRE_THAT(r.transport_cost, WithinRel(cold.transport_cost, 1e-13));
    auto const rows = exact(Eigen::Matrix<double, -1, -1, Eigen::RowMajor>(C), a, b, {},
                            {.plan = plan.sparseView()});
    REQUIRE_THAT(rows.transport_cost, WithinRel(cold.transport_cost, 1e-13));
  }
  // An assignment determines n of the 2 n - 1 arcs of a basis only.
  MatrixXd const square = support::matrix(60, 60, 17);
  VectorXd const ones = VectorXd::Ones(60);
  auto const pairs = exact(square, ones, ones);
  auto const from_pairs = exact(square, ones, ones, {}, {.plan = pairs.plan});
  REQUIRE(from_pairs.converged());
  REQUIRE_THAT(from_pairs.transport_cost, WithinRel(pairs.transport_cost, 1e-13));
}

TEST_CASE("exact: a plan to start from must fit", "[exact]") {
  MatrixXd const C = MatrixXd::Ones(2, 3);
  VectorXd const a = VectorXd::Constant(2, 3.), b = VectorXd::Constant(3, 2.);
  auto const says = [&](MatrixXd const& plan, std::string const& part) {
    std::string const text =
        refusal([&] { (void)exact(C, a, b, {}, {.plan = plan.sparseView()}); });
    INFO(text);
    REQUIRE(text.find(part) != std::string::npos);
  };
  says(MatrixXd::Ones(3, 2), "the plan to start from is 3x2 but the cost is 2x3");
  MatrixXd plan = MatrixXd::Ones(2, 3);
  for (double const bad : {-1., inf, std::nan("")}) {
    plan(1, 2) = bad;
    says(plan, "at (1, 2); entries must be nonnegative and finite");
  }
}

TEST_CASE("exact: every tree on the way is strongly feasible", "[exact]") {
  Index all = 0;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    Index const n = 12 + Index(seed), m = seed % 2 ? n : 18;
    MatrixXd C = support::matrix(n, m, 20 + seed);
    if (seed % 4 < 2) C = (4 * C.array()).floor();
    if (seed % 3 == 0) C.diagonal().setConstant(inf);
    // Partial sums of both sides agree everywhere: nearly every pivot is degenerate.
    VectorXd const a = VectorXd::Constant(n, double(m)), b = VectorXd::Constant(m, double(n));
    // Potentials that are far off: the tree starts in pieces, some of which lack mass.
    ExactStart<double> start;
    if (seed % 2) start = {9 * support::matrix(n, 1, seed), 9 * support::matrix(m, 1, seed + 1)};
    Exact const method(Cost(C), a, b, start);
    auto state = method.init();
    bool holds = true;
    Index pivots = 0;
    while (method.advance(state, 1).status == Status::running) {
      holds = holds && strongly_feasible(state.tree);
      ++pivots;
    }
    REQUIRE(holds);
    all += pivots;
    REQUIRE(method.finish(state, Status::converged) == Status::converged);
  }
  REQUIRE(all > 100);
}

TEST_CASE("exact: masses in units balance to the last one", "[exact]") {
  auto const sums_of = [](auto const& a, auto const& b) {
    using S = typename std::remove_cvref_t<decltype(a)>::Scalar;
    std::vector<Mass> counts(std::size_t(a.size() + b.size()));
    monge::VectorX<S> const p = a, q = b;
    auto const mass = p.template cast<monge::wide_t<S>>().sum();
    monge::ot::detail::integer_masses<S>(p, q, mass, counts.data(), counts.data() + a.size());
    Mass left = 0, right = 0;
    for (std::size_t k = 0; k < counts.size(); ++k) {
      REQUIRE(counts[k] >= 0);
      (k < std::size_t(a.size()) ? left : right) += counts[k];
    }
    return std::pair{left, right};
  };
  for (Index n : {1, 3, 7, 60, 999}) {
    for (Index m : {1, 5, 6, 180}) {
      auto const [left, right] = sums_of(Eigen::VectorXf::Constant(n, 1.f / float(n)).eval(),
                                         Eigen::VectorXf::Constant(m, 1.f / float(m)).eval());
      REQUIRE(left == right);
      REQUIRE(left >= Mass(1) << 60);
      auto const [p, q] =
          sums_of(support::weights(n, std::uint64_t(n)), support::weights(m, std::uint64_t(m)));
      REQUIRE(p == q);
    }
  }
  // A rest of one unit, 2^-62 of the mass, is placed as well: no part of the tree may lack it.
  VectorXd const thirds = VectorXd::Constant(3, 1. / 3), fifths = VectorXd::Constant(5, 0.2);
  Exact const method(Cost(support::matrix(3, 5, 3)), thirds, fifths);
  auto state = method.init();
  while (method.advance(state, 100).status == Status::running) {
  }
  REQUIRE(state.tree.lacking_parts == 0);
  Mass unplaced = 0;
  auto const& tree = state.tree;
  tree.for_each_below(tree.root(), [&](int v) {
    if (tree.at(v).parent == tree.root()) unplaced += tree.at(v).flow;
  });
  REQUIRE(unplaced == 0);
}

TEST_CASE("exact: float costs are priced in double", "[exact]") {
  // Differences of the costs are a few of their last digits: sums of floats could not tell.
  Eigen::MatrixXf const C = 1000 + support::matrix<float>(50, 64, 30).array();
  MatrixXd const wide = C.cast<double>();
  Eigen::VectorXf a = Eigen::VectorXf::Constant(50, 0.015625f), b = Eigen::VectorXf::Ones(64) / 64;
  a.head(14).array() *= 2;
  auto const narrow = exact(C, a, b);
  auto const same = exact(wide, a.cast<double>(), b.cast<double>());
  REQUIRE(narrow.converged());
  REQUIRE(narrow.iterations == same.iterations);
  REQUIRE(narrow.transport_cost == same.transport_cost);
  REQUIRE(MatrixXd(narrow.plan.cast<double>()) == MatrixXd(same.plan));
}
