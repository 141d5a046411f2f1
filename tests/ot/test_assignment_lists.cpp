// SPDX-License-Identifier: MIT
// What short lists promise: they change nothing but the time. Each look at a list is compared with
// the pass over the whole line for which it stands, each path with that of the search in whole
// lines, and problems large enough for lists are certified outside the solver.
#include <Eigen/Core>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include <monge/ot/assignment.hpp>
#include <monge/ot/exact.hpp>

namespace {

namespace detail = monge::ot::detail;
using Eigen::MatrixXd;
using monge::Index;
using monge::MatrixX;
using monge::Status;
using monge::VectorX;

constexpr double inf = std::numeric_limits<double>::infinity();

/// Uniform in (0, 1), or whole numbers below `levels`.
template <class S>
MatrixX<S> uniform(Index n, Index m, std::uint64_t seed, double levels = 0) {
  MatrixX<S> C = support::matrix<S>(n, m, seed);
  if (levels > 0) C = (S(levels) * C.array()).floor();
  return C;
}

MatrixXd squared_distances(Index d, Index n, Index m) {
  return monge::ot::cost_matrix(support::matrix(d, n, 1), support::matrix(d, m, 2),
                                monge::ot::squared_euclidean{});
}

template <class S>
detail::Lines<S> lines_of(MatrixX<S> const& C) {
  return {C.data(), C.rows(), C.cols(), Eigen::OuterStride<>(C.rows())};
}

/// f + g <= C, equality on the pairs, each column once.
template <class S>
void certified(MatrixX<S> const& C) {
  auto const r = monge::ot::assignment(C);
  REQUIRE(r.status == Status::converged);
  MatrixX<S> const slack = (C.colwise() - r.f).rowwise() - r.g.transpose();
  S const size = std::max(r.f.cwiseAbs().maxCoeff(), r.g.cwiseAbs().maxCoeff());
  S const rounding = 16 * std::numeric_limits<S>::epsilon() * size;
  REQUIRE(slack.minCoeff() >= -rounding);
  VectorX<Index> uses = VectorX<Index>::Zero(C.cols());
  Index pairs = 0;
  for (Index i = 0; i < C.rows(); ++i) {
    Index const j = r.row_to_column(i);
    if (j < 0) continue;
    ++pairs;
    REQUIRE(++uses(j) == 1);
    REQUIRE(slack(i, j) <= rounding);
  }
  REQUIRE(pairs == std::min(C.rows(), C.cols()));
}

}  // namespace

TEMPLATE_TEST_CASE("the nearest slots of a list are those of the line while prices fall",
                   "[assignment]", float, double) {
  using S = TestType;
  for (double levels : {0., 4., 400.}) {
    MatrixX<S> C = uniform<S>(300, 8, 3, levels);
    C.col(3).tail(298).setConstant(std::numeric_limits<S>::infinity());
    C.col(4).setConstant(std::numeric_limits<S>::infinity());
    C.col(5).setConstant(2);
    detail::AssignmentState<S> state(300, 8);
    detail::begin_lists(state);
    std::mt19937_64 engine(5);
    Index by_list = 0;
    for (int step = 0; step < 4000; ++step) {
      Index const line = Index(engine() % 8);
      S const bound = state.lists.bound(line);
      detail::NearestSlots<S> const nearest = detail::nearest_slots(lines_of(C), line, state);
      by_list += bound == state.lists.bound(line);
      VectorX<S> reach = C.col(line) - state.price;
      Index at = 0;
      S const low = reach.minCoeff(&at);
      if (!(low < std::numeric_limits<S>::infinity())) {
        REQUIRE(nearest.first == -1);
        continue;
      }
      REQUIRE(nearest.low == low);
      REQUIRE(reach(nearest.first) == low);
      reach(nearest.first) = std::numeric_limits<S>::infinity();
      REQUIRE(nearest.runner_up == reach.minCoeff());
      if (nearest.second >= 0) REQUIRE(reach(nearest.second) == nearest.runner_up);
      state.price(Index(engine() % 300)) -= S(levels > 0 ? 1 : 0.01) * S(engine() % 3);
      state.price(nearest.first) -= S(levels > 0 ? 1 : 0.02);
    }
    REQUIRE(by_list > 2000);  // the lists were used at all
  }
}

TEST_CASE("a free slot at the least distance is found in a list and beyond it", "[assignment]") {
  MatrixXd C = uniform<double>(400, 1, 9).array() + 2;
  for (Index tied : {3, 200}) {  // 200: the list is full of ties, the scan tells
    for (Index i = 0; i < tied; ++i) C(2 * i, 0) = 1;
    detail::AssignmentState<double> state(400, 1);
    detail::begin_lists(state);
    state.line_of_slot.setZero();
    auto const nearest = detail::nearest_slots(lines_of(C), 0, state);
    REQUIRE(nearest.runner_up == 1);
    REQUIRE(detail::free_slot_at(1., 0, Index(-7), state) == -7);
    state.line_of_slot(2 * (tied - 1)) = -1;
    state.line_of_slot(7) = -1;  // free, but far
    REQUIRE(detail::free_slot_at(1., 0, Index(-7), state) == 2 * (tied - 1));
  }
}

TEST_CASE("paths in lists are as short as those in whole lines", "[assignment]") {
  for (auto const& [name, C] :
       {std::pair<std::string, MatrixXd>{"uniform", uniform<double>(300, 280, 1)},
        {"plane", squared_distances(2, 260, 260)},
        {"product",
         VectorX<double>::LinSpaced(280, 1, 2) * VectorX<double>::LinSpaced(280, 1, 2).transpose()},
        {"ties", uniform<double>(270, 270, 2, 5)}}) {
    INFO(name);
    auto const lines = lines_of(C);
    detail::AssignmentState<double> in_lists(C.rows(), C.cols());
    detail::begin_lists(in_lists);
    Index beyond = 0;
    for (Index line = 0; line < C.cols(); ++line) {
      auto const before = in_lists;
      auto whole = in_lists;
      detail::Search const search = detail::ListedPath<double>(lines, line, in_lists).run();
      REQUIRE(detail::augment(lines, line, whole));
      if (search == detail::Search::beyond_lists) {
        ++beyond;
        REQUIRE(in_lists.slot_of_line == before.slot_of_line);
        REQUIRE(in_lists.price == before.price);
        auto const lists = std::move(in_lists.lists);
        in_lists = std::move(whole);
        in_lists.lists = lists;
        continue;
      }
      REQUIRE(search == detail::Search::found);
      REQUIRE(in_lists.matched == whole.matched);
      // A path of length l adds l to the dual: the sum over lines of their least reduced cost.
      double in_lists_dual = in_lists.price.sum(), whole_dual = whole.price.sum();
      for (Index i = 0; i <= line; ++i) {
        double const low = (C.col(i) - in_lists.price).minCoeff();
        in_lists_dual += low;
        whole_dual += (C.col(i) - whole.price).minCoeff();
        Index const slot = in_lists.slot_of_line(i);
        REQUIRE(slot >= 0);
        REQUIRE(in_lists.line_of_slot(slot) == i);
        REQUIRE(C(slot, i) - in_lists.price(slot) <= low + 1e-13);
      }
      REQUIRE(std::abs(in_lists_dual - whole_dual) <= 1e-12 * double(C.cols()));
    }
    REQUIRE(beyond * 4 < C.cols());
  }
}

TEST_CASE("a line without a path leaves everything as it was", "[assignment]") {
  MatrixXd C = uniform<double>(300, 4, 1);
  C.bottomRows(297).setConstant(inf);
  detail::AssignmentState<double> state(300, 4);
  detail::begin_lists(state);
  for (Index line = 0; line < 3; ++line) {
    REQUIRE(detail::ListedPath<double>(lines_of(C), line, state).run() == detail::Search::found);
  }
  auto const before = state;
  REQUIRE(detail::ListedPath<double>(lines_of(C), 3, state).run() == detail::Search::no_path);
  REQUIRE(state.price == before.price);
  REQUIRE(state.slot_of_line == before.slot_of_line);
  REQUIRE(state.matched == 3);
  REQUIRE((state.lists.reach.array() == inf).all());
}

TEST_CASE("problems with lists carry their proof", "[assignment]") {
  Index const n = 1230;
  certified(uniform<double>(n, n, 1));
  certified(uniform<double>(n, n, 1, 3));
  certified(uniform<double>(n, n, 1, 1000));
  certified(MatrixX<float>(uniform<float>(n, n, 2)));
  certified(MatrixXd(1e150 * uniform<double>(n, n, 1)));
  certified(MatrixXd(1e-150 * uniform<double>(n, n, 1).array() - 1e-151));
  certified(squared_distances(3, n, n));
  certified(squared_distances(2, 1400, 700));
  certified(squared_distances(2, 700, 1400));
  VectorX<double> const k = VectorX<double>::LinSpaced(n, 1, double(n));
  certified(MatrixXd(k * k.transpose()));
  // Below zero: where bidding begins anew from prices of zero, prices rise and lists are void.
  certified(MatrixXd((k * k.transpose()).array() - 2. * double(n * n)));
}

TEST_CASE("forbidden pairs and infeasible problems with lists", "[assignment]") {
  Index const n = 1300;
  MatrixXd C = uniform<double>(n, n, 4);
  for (double& c : C.reshaped()) c = c < 0.03 ? c : inf;
  for (Index i = 0; i < n; ++i) C(i, (i + 17) % n) = 5;  // so that there is a matching
  certified(C);
  C.col(40).setConstant(inf);
  C(3, 40) = 0.1;
  C.col(41) = C.col(40);
  auto const r = monge::ot::assignment(C);
  REQUIRE(r.status == Status::infeasible);
  REQUIRE((r.row_to_column.array() < 0).count() == 1);
}

TEST_CASE("a run with lists goes on from a copied state bit for bit", "[assignment]") {
  Index const n = 1250;
  MatrixXd const C = uniform<double>(n, n, 7);
  detail::AssignmentMethod<double> const method(lines_of(C));
  auto const whole = monge::iterate(method, {.max_iterations = 100000});
  REQUIRE(whole.status == Status::converged);
  REQUIRE(whole.state.lists.used());
  auto const part = monge::iterate(method, {.max_iterations = 9});
  REQUIRE(part.status == Status::iteration_limit);
  auto const resumed = monge::iterate(method, part.state, {.max_iterations = 100000});
  REQUIRE(resumed.state.slot_dual == whole.state.slot_dual);
  REQUIRE(resumed.state.line_dual == whole.state.line_dual);
  REQUIRE(resumed.state.slot_of_line == whole.state.slot_of_line);
}

TEST_CASE("exact takes the assignment with lists and names itself", "[assignment][exact]") {
  Index const n = 1300;
  MatrixXd C = uniform<double>(n, n, 8);
  VectorX<double> const w = VectorX<double>::Constant(n, 1. / double(n));
  auto const r = monge::ot::exact(C, w, w);
  auto const pairs = monge::ot::assignment(C);
  REQUIRE(r.converged());
  REQUIRE(r.iterations == pairs.iterations);
  REQUIRE(std::abs(r.transport_cost - double(pairs.cost) / double(n)) <= 1e-15);
  C(7, 12) = std::numeric_limits<double>::quiet_NaN();
  REQUIRE_THROWS_WITH(monge::ot::exact(C, w, w),
                      Catch::Matchers::StartsWith("exact: cost(7, 12) is NaN"));
  REQUIRE_THROWS_WITH(monge::ot::exact(MatrixXd(C.transpose()).transpose(), w, w),
                      Catch::Matchers::StartsWith("exact: cost(7, 12) is NaN"));
}
