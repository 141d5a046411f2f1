// SPDX-License-Identifier: MIT
// Sparse costs, cost limits and the costs on which lines bid. Oracles: all matchings of small
// problems, the dense solver, closed forms, and the conditions of optimality recomputed here.
#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/assignment.hpp>

namespace {

using Eigen::MatrixXd;
using monge::Index;
using monge::infinity;
using monge::MatrixX;
using monge::Status;
using monge::VectorX;
using monge::ot::assignment;
using monge::ot::AssignmentResult;

/// The finite entries.
template <int order = Eigen::ColMajor, class S>
Eigen::SparseMatrix<S, order> sparse(MatrixX<S> const& C) {
  std::vector<Eigen::Triplet<S>> entries;
  for (Index j = 0; j < C.cols(); ++j) {
    for (Index i = 0; i < C.rows(); ++i) {
      if (C(i, j) < S(infinity)) entries.emplace_back(int(i), int(j), C(i, j));
    }
  }
  Eigen::SparseMatrix<S, order> matrix(C.rows(), C.cols());
  matrix.setFromTriplets(entries.begin(), entries.end());
  return matrix;
}

template <class S = double>
MatrixX<S> with_holes(Index n, Index m, double density, std::uint64_t seed, bool whole = false) {
  MatrixX<S> C = support::matrix<S>(n, m, seed);
  if (whole) C = (C.array() * 5).floor();
  MatrixXd const chance = support::matrix(n, m, seed + 500);
  for (Index k = 0; k < C.size(); ++k) {
    if (chance(k) > density) C(k) = S(infinity);
  }
  return C;
}

/// The least cost of a matching of `pairs` pairs by trying everything; with a limit, of any size,
/// each row without a column costing it.
void try_rows(MatrixXd const& C, double limit, Index row, std::vector<bool>& taken, Index pairs,
              double cost, Index& most, double& least) {
  if (row == C.rows()) {
    bool const better =
        limit < infinity ? cost < least : pairs > most || (pairs == most && cost < least);
    if (better) {
      most = pairs;
      least = cost;
    }
    return;
  }
  for (Index j = 0; j < C.cols(); ++j) {
    if (taken[std::size_t(j)] || !(C(row, j) < infinity)) continue;
    taken[std::size_t(j)] = true;
    try_rows(C, limit, row + 1, taken, pairs + 1, cost + C(row, j), most, least);
    taken[std::size_t(j)] = false;
  }
  try_rows(C, limit, row + 1, taken, pairs, cost + (limit < infinity ? limit : 0), most, least);
}

struct Best {
  Index pairs = -1;
  double cost = infinity;
};
Best brute_force(MatrixXd const& C, double limit) {
  Best best;
  std::vector<bool> taken(std::size_t(C.cols()), false);
  try_rows(C, limit, 0, taken, 0, 0, best.pairs, best.cost);
  return best;
}

/// All that a converged result promises. Returns cost + limit (rows without a column).
template <class S>
double check(MatrixX<S> const& C, AssignmentResult<S> const& r, double limit) {
  INFO(std::string(message(r.status)));
  REQUIRE(r.converged());
  Index const n = C.rows(), m = C.cols();
  double const u = std::numeric_limits<S>::epsilon();
  std::vector<bool> used(std::size_t(m), false);
  double cost = 0, size = 0;
  Index pairs = 0;
  for (Index i = 0; i < n; ++i) {
    Index const j = r.row_to_column(i);
    if (j < 0) {
      if (limit < infinity) REQUIRE(r.f(i) == S(limit));
      continue;
    }
    REQUIRE(C(i, j) < S(infinity));
    REQUIRE_FALSE(used[std::size_t(j)]);
    used[std::size_t(j)] = true;
    cost += double(C(i, j));
    ++pairs;
  }
  if (limit == infinity) REQUIRE(pairs == std::min(n, m));
  size = std::abs(cost) + r.f.template cast<double>().cwiseAbs().sum() +
         r.g.template cast<double>().cwiseAbs().sum();
  double const bound = limit < infinity ? std::abs(limit) : 0;  // duals are formed against it
  double const largest = double(r.f.cwiseAbs().maxCoeff()) + double(r.g.cwiseAbs().maxCoeff());
  for (Index j = 0; j < m; ++j) {
    if (limit < infinity) {
      REQUIRE(r.g(j) <= 4 * u * largest);
      if (!used[std::size_t(j)]) REQUIRE(std::abs(double(r.g(j))) <= 4 * u * largest);
    }
    for (Index i = 0; i < n; ++i) {
      REQUIRE(double(r.f(i)) + double(r.g(j)) <= double(C(i, j)) + 8 * u * (largest + bound));
    }
  }
  double const value = limit < infinity ? cost + limit * double(n - pairs) : cost;
  double const dual = r.f.template cast<double>().sum() + r.g.template cast<double>().sum();
  REQUIRE(std::abs(double(r.cost) - cost) <= 8 * u * size);
  REQUIRE(std::abs(value - dual) <= 64 * u * size);
  REQUIRE(double(r.duality_gap) <= 64 * u * size);
  return value;
}

TEST_CASE("sparse costs have the least cost over all matchings, for every small shape") {
  Index infeasible = 0;
  for (Index n = 1; n <= 5; ++n) {
    for (Index m = 1; m <= 6; ++m) {
      for (std::uint64_t seed = 0; seed < 24; ++seed) {
        CAPTURE(n, m, seed);
        MatrixXd const C = with_holes(n, m, 0.35 + 0.1 * double(seed % 6), seed, seed % 2 == 1);
        Best const best = brute_force(C, infinity);
        auto const r = assignment(sparse(C)), rows = assignment(sparse<Eigen::RowMajor>(C));
        CHECK((r.row_to_column.array() >= 0).count() == best.pairs);
        CHECK(rows.row_to_column == r.row_to_column);
        if (best.pairs == std::min(n, m)) {
          CHECK(std::abs(check(C, r, infinity) - best.cost) <= 1e-14);
        } else {
          ++infeasible;
          CHECK(r.status == Status::infeasible);
          CHECK(r.duality_gap == infinity);
        }
      }
    }
  }
  CHECK(infeasible > 50);
}

TEST_CASE("a cost limit leaves out what is not worth it, dense and sparse, in every shape") {
  for (Index n = 1; n <= 5; ++n) {
    for (Index m = 1; m <= 5; ++m) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        for (double limit : {-0.5, 0.0, 0.2, 0.5, 1.0, 30.0}) {
          CAPTURE(n, m, seed, limit);
          MatrixXd const C =
              with_holes(n, m, 0.5 + 0.1 * double(seed % 6), seed, seed % 2 == 1).array() - 0.25;
          Best const best = brute_force(C, limit);
          Eigen::Matrix<double, -1, -1, Eigen::RowMajor> const by_rows = C;
          for (auto const& r :
               {assignment(C, {.cost_limit = limit}), assignment(by_rows, {.cost_limit = limit}),
                assignment(sparse(C), {.cost_limit = limit})}) {
            CHECK(std::abs(check(C, r, limit) - best.cost) <= 1e-13);
          }
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("sparse and dense agree on larger problems, with and without a limit", "", float,
                   double) {
  using S = TestType;
  double const u = std::numeric_limits<S>::epsilon();
  for (auto [n, m] : {std::pair<Index, Index>{120, 120}, {80, 150}, {150, 80}}) {
    for (double density : {0.1, 0.3, 1.0}) {
      CAPTURE(n, m, density);
      MatrixX<S> C = with_holes<S>(n, m, density, 7);
      for (Index k = 0; k < std::min(n, m); ++k) C(k, k) = 2;  // feasible
      double const whole = check(C, assignment(sparse(C)), infinity);
      CHECK(std::abs(whole - check(C, assignment(C), infinity)) <= 64 * u * whole);
      for (double limit : {0.02, 0.1, 0.6}) {
        double const value = check(C, assignment(sparse(C), {.cost_limit = limit}), limit);
        CHECK(std::abs(value - check(C, assignment(C, {.cost_limit = limit}), limit)) <=
              64 * u * value);
      }
    }
  }
}

TEST_CASE("a limit above every cost changes nothing, one below every cost matches nobody") {
  MatrixXd const C = support::matrix(40, 60, 3, 1, 2);
  auto const free = assignment(C), high = assignment(C, {.cost_limit = 1e3}),
             low = assignment(C, {.cost_limit = 0.99});
  CHECK(high.row_to_column == free.row_to_column);
  CHECK((low.row_to_column.array() == -1).all());
  CHECK(low.cost == 0);
  check(C, low, 0.99);
  // The matched pairs fall monotonically with the limit.
  Index last = 41;
  for (double limit : {3.0, 1.5, 1.2, 1.1, 1.05, 1.02, 1.0}) {
    Index const pairs = (assignment(C, {.cost_limit = limit}).row_to_column.array() >= 0).count();
    CHECK(pairs <= last);
    last = pairs;
  }
}

TEST_CASE("stored zeros are free, stored infinities forbid, absent entries too") {
  Eigen::SparseMatrix<double> C(3, 3);
  C.insert(0, 0) = 0;
  C.insert(1, 1) = 5;
  C.insert(1, 0) = 1;
  C.insert(0, 1) = 7;
  C.insert(2, 2) = infinity;
  auto const r = assignment(C);
  CHECK(r.status == Status::infeasible);
  CHECK(r.row_to_column(2) == -1);
  C.coeffRef(2, 2) = -3;
  auto const s = assignment(C);
  CHECK(s.converged());
  CHECK(s.cost == 2);
}

TEST_CASE("the published sparse 4 x 4 cases and points on a ring of neighbours") {
  // SciPy's sparse cases: optimum 0 + 0 + 0 on a permutation, and 452 / 102 of the textbook.
  MatrixXd C(3, 3);
  C << 400, 150, 400, 400, 450, 600, 300, 225, 300;
  CHECK(assignment(sparse(C)).cost == 850);
  MatrixXd D(3, 3);
  D << 10, 10, 8, 9, 8, 1, 9, 7, 4;
  CHECK(assignment(sparse(D)).cost == 18);
  MatrixXd E(3, 4);
  E << 10, 10, 8, 11, 9, 8, 1, 1, 9, 7, 4, 10;
  CHECK(assignment(sparse(E)).cost == 15);
  // n places on a ring; each may keep its own (1) or take the next (0): all move on.
  Index const n = 3000;
  Eigen::SparseMatrix<double> ring(n, n);
  for (Index i = 0; i < n; ++i) {
    ring.insert(i, i) = 1;
    ring.insert(i, (i + 1) % n) = i + 1 < n ? 0 : 1500;
  }
  auto const r = assignment(ring);
  CHECK(r.converged());
  CHECK(r.cost == 1500);
  ring.coeffRef(n - 1, 0) = 3500;
  CHECK(assignment(ring).cost == 3000);
}

TEST_CASE("costs on which lines bid are solved to the same promises") {
  Index const n = 300;
  Eigen::VectorXd const k = Eigen::VectorXd::LinSpaced(n, 1, double(n));
  SECTION("Machol and Wien: paired in opposite order") {
    MatrixXd const C = k * k.transpose();
    auto const r = assignment(C);
    check(C, r, infinity);
    CHECK(r.cost == k.dot(k.reverse()));
    for (Index i = 0; i < n; ++i) REQUIRE(r.row_to_column(i) == n - 1 - i);
  }
  SECTION("products of real numbers, in double and float, against sorting") {
    Eigen::VectorXd a = support::matrix(n, 1, 1).col(0), b = support::matrix(n, 1, 2).col(0);
    MatrixXd const C = a * b.transpose();
    std::sort(a.data(), a.data() + n);
    std::sort(b.data(), b.data() + n, [](double u, double v) { return u > v; });
    CHECK(std::abs(check(C, assignment(C), infinity) - a.dot(b)) <= 1e-12 * a.dot(b));
    MatrixX<float> const single = C.cast<float>();
    CHECK(std::abs(check(single, assignment(single), infinity) - a.dot(b)) <= 1e-5 * a.dot(b));
  }
  SECTION("clusters far apart, with forbidden pairs and with huge ones in their place") {
    MatrixXd const X = support::points(2, n, 3).array().cube(), Y = support::points(2, n, 4);
    MatrixXd C(n, n);
    for (Index j = 0; j < n; ++j) {
      for (Index i = 0; i < n; ++i) {
        C(i, j) = (X.col(i) - Y.col(j)).squaredNorm() + 8 * X(0, i) * Y(1, j);
      }
    }
    MatrixXd huge = C;
    MatrixXd const chance = support::matrix(n, n, 5);
    for (Index e = 0; e < C.size(); ++e) {
      if (chance(e) < 0.2) {
        C(e) = infinity;
        huge(e) = 1e30;
      }
    }
    double const value = check(C, assignment(C), infinity);
    CHECK(std::abs(check(huge, assignment(huge), infinity) - value) <= 1e-12 * std::abs(value));
    CHECK(std::abs(check(C, assignment(sparse(C)), infinity) - value) <= 1e-12 * std::abs(value));
  }
  SECTION("no full matching: bidding ends, and the matching is as large as can be") {
    MatrixXd C = k * k.transpose();
    C.block(10, 20, 21, n - 20).setConstant(infinity);  // 21 rows share 20 columns
    auto const r = assignment(C);
    CHECK(r.status == Status::infeasible);
    CHECK((r.row_to_column.array() >= 0).count() == n - 1);
  }
  SECTION("stopped and resumed in the middle, bit for bit") {
    MatrixXd const C = k * k.transpose();
    namespace detail = monge::ot::detail;
    detail::AssignmentMethod<double> const method(
        detail::Lines<double>(C.data(), n, n, Eigen::OuterStride<>(n)));
    auto const whole = monge::iterate(method, {.max_iterations = 100000});
    REQUIRE(whole.status == Status::converged);
    REQUIRE(whole.state.bidding.tried);
    REQUIRE(whole.statistics.iterations > 200);
    for (Index stop : {20, 80, 150}) {
      auto part = monge::iterate(method, {.max_iterations = stop});
      auto const resumed = monge::iterate(method, part.state, {.max_iterations = 100000});
      CHECK(resumed.state.slot_dual == whole.state.slot_dual);
      CHECK(resumed.state.slot_of_line == whole.state.slot_of_line);
      // The duals of a partial run bound the optimum from below.
      CHECK(part.state.slot_dual.sum() + part.state.line_dual.sum() <=
            whole.state.cost * (1 + 1e-12));
    }
  }
}

TEST_CASE("limits and observers of sparse problems") {
  MatrixXd const C = with_holes(200, 220, 0.2, 9);
  double last = infinity;
  Index calls = 0;
  auto const r = assignment(sparse(C), {}, [&](monge::Progress const& progress) {
    CHECK(progress.error < last);
    last = progress.error;
    ++calls;
  });
  CHECK(r.converged());
  CHECK(calls == r.iterations);
  CHECK(last == 0);
  auto const stopped = assignment(
      sparse(C), {}, [](monge::Progress const& progress) { return progress.iteration < 3; });
  CHECK(stopped.status == Status::stopped_by_observer);
  CHECK(stopped.duality_gap == infinity);
  CHECK(stopped.f.sum() + stopped.g.sum() <= double(r.cost) + 1e-12);
  CHECK(assignment(sparse(C), {.max_seconds = 0}).status == Status::time_limit);
}

TEST_CASE("misuse of sparse costs and limits is refused in the caller's words") {
  Eigen::SparseMatrix<double> C(2, 3);
  CHECK_REFUSED(assignment(Eigen::SparseMatrix<double>(0, 3)), "assignment: cost is 0x3");
  C.insert(1, 2) = std::numeric_limits<double>::quiet_NaN();
  CHECK_REFUSED(assignment(C), "assignment: cost(1, 2) is nan");
  C.coeffRef(1, 2) = -infinity;
  CHECK_REFUSED(assignment(C), "assignment: cost(1, 2) is -inf");
  C.coeffRef(1, 2) = 1;
  CHECK_REFUSED(assignment(C, {.cost_limit = monge::not_a_number}), "cost_limit is nan");
  CHECK_REFUSED(assignment(C, {.cost_limit = -infinity}), "cost_limit is -inf");
  CHECK_REFUSED(assignment(C, {.max_seconds = -1}), "max_seconds is -1");
  CHECK_REFUSED(assignment(MatrixXd(MatrixXd::Ones(2, 2)), {.cost_limit = monge::not_a_number}),
                "cost_limit is nan");
}

}  // namespace
