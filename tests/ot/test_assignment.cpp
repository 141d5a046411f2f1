// SPDX-License-Identifier: MIT
// The oracle beyond brute force is LEMON's network simplex, used as templates only: if its headers
// are found, nothing needs to be linked.
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/throws.hpp"
#include <monge/ot/assignment.hpp>

#if __has_include(<lemon/network_simplex.h>)
#define MONGE_TEST_LEMON
#ifndef LEMON_ONLY_TEMPLATES
#define LEMON_ONLY_TEMPLATES
#endif
#include <lemon/network_simplex.h>
#include <lemon/smart_graph.h>
#endif

namespace {

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using Eigen::MatrixXd;
using monge::Index;
using monge::MatrixX;
using monge::Status;
using monge::VectorX;
using monge::ot::assignment;
using monge::ot::AssignmentResult;
using support::refusal;

template <class S>
constexpr S inf = std::numeric_limits<S>::infinity();

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  double uniform() { return double(engine_() >> 11) * 0x1p-53; }
  Index below(Index n) { return Index(engine_() % std::uint64_t(n)); }
  VectorX<Index> permutation(Index n) {
    VectorX<Index> order = VectorX<Index>::LinSpaced(n, 0, n - 1);
    for (Index i = n - 1; i > 0; --i) std::swap(order(i), order(below(i + 1)));
    return order;
  }

 private:
  std::mt19937_64 engine_;
};

template <class S>
MatrixX<S> uniform(Index n, Index m, std::uint64_t seed) {
  Random random(seed);
  MatrixX<S> C(n, m);
  for (Index j = 0; j < m; ++j)
    for (Index i = 0; i < n; ++i) C(i, j) = S(random.uniform());
  return C;
}

template <class S>
MatrixX<S> integers(Index n, Index m, Index range, std::uint64_t seed) {
  Random random(seed);
  MatrixX<S> C(n, m);
  for (Index j = 0; j < m; ++j)
    for (Index i = 0; i < n; ++i) C(i, j) = S(random.below(range));
  return C;
}

MatrixXd geometric(Index n, Index m, std::uint64_t seed) {
  MatrixXd const X = uniform<double>(2, n, seed), Y = uniform<double>(2, m, seed + 1000);
  MatrixXd C(n, m);
  for (Index j = 0; j < m; ++j)
    for (Index i = 0; i < n; ++i) C(i, j) = (X.col(i) - Y.col(j)).squaredNorm();
  return C;
}

struct Best {
  Index pairs = 0;
  long double cost = 0;
};

// Every matching of the smaller side, by trying all columns for each row in turn.
void try_rows(MatrixX<long double> const& C, Index row, std::vector<bool>& taken, Best so_far,
              Best& best) {
  if (row == C.rows()) {
    if (so_far.pairs > best.pairs || (so_far.pairs == best.pairs && so_far.cost < best.cost))
      best = so_far;
    return;
  }
  bool allowed = false;
  for (Index j = 0; j < C.cols(); ++j) {
    if (!(C(row, j) < inf<long double>)) continue;
    allowed = true;
    if (taken[std::size_t(j)]) continue;
    taken[std::size_t(j)] = true;
    try_rows(C, row + 1, taken, {so_far.pairs + 1, so_far.cost + C(row, j)}, best);
    taken[std::size_t(j)] = false;
  }
  if (!allowed || !C.array().isFinite().all()) try_rows(C, row + 1, taken, so_far, best);
}

template <class Matrix>
Best brute_force(Matrix const& matrix) {
  MatrixX<long double> C = matrix.template cast<long double>();
  if (C.rows() > C.cols()) C = C.transpose().eval();
  Best best{-1, 0};
  std::vector<bool> taken(std::size_t(C.cols()), false);
  try_rows(C, 0, taken, {}, best);
  return best;
}

// All promises of a result, recomputed from the cost in long double.
template <class Matrix, class S>
void check(Matrix const& matrix, AssignmentResult<S> const& r) {
  MatrixX<long double> const C = matrix.template cast<long double>();
  Index const n = C.rows(), m = C.cols();
  REQUIRE(r.row_to_column.size() == n);
  std::vector<bool> used(std::size_t(m), false);
  Index pairs = 0;
  long double cost = 0;
  for (Index i = 0; i < n; ++i) {
    Index const j = r.row_to_column(i);
    if (j < 0) {
      REQUIRE(j == -1);
      continue;
    }
    REQUIRE(j < m);
    REQUIRE_FALSE(used[std::size_t(j)]);
    REQUIRE(C(i, j) < inf<long double>);
    used[std::size_t(j)] = true;
    cost += C(i, j);
    ++pairs;
  }
  long double const u = std::numeric_limits<S>::epsilon();
  long double const wide = std::numeric_limits<monge::wide_t<S>>::epsilon();
  long double size = 0;
  for (Index i = 0; i < n; ++i)
    if (r.row_to_column(i) >= 0) size += std::abs(C(i, r.row_to_column(i)));
  REQUIRE(std::abs((long double)(r.cost) - cost) <= wide * n * size);
  if (r.status != Status::converged) return;

  REQUIRE(pairs == std::min(n, m));
  REQUIRE(r.f.size() == n);
  REQUIRE(r.g.size() == m);
  REQUIRE(r.f.allFinite());
  REQUIRE(r.g.allFinite());
  long double const f = r.f.template cast<long double>().cwiseAbs().maxCoeff();
  long double const g = r.g.template cast<long double>().cwiseAbs().maxCoeff();
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < m; ++j) {
      long double const slack = C(i, j) - (long double)(r.f(i)) - (long double)(r.g(j));
      REQUIRE(slack >= -4 * u * (f + g));
      if (r.row_to_column(i) == j) REQUIRE(slack <= 64 * u * (f + g + size));
    }
  }
  for (Index i = 0; i < n && n >= m; ++i) {
    if (n > m) REQUIRE(r.f(i) <= 0);
    if (r.row_to_column(i) < 0) REQUIRE(r.f(i) == 0);
  }
  for (Index j = 0; j < m && m > n; ++j) {
    REQUIRE(r.g(j) <= 0);
    if (!used[std::size_t(j)]) REQUIRE(r.g(j) == 0);
  }
  long double const dual =
      r.f.template cast<long double>().sum() + r.g.template cast<long double>().sum();
  long double const total = std::abs(cost) + r.f.template cast<long double>().cwiseAbs().sum() +
                            r.g.template cast<long double>().cwiseAbs().sum();
  REQUIRE(r.duality_gap >= 0);
  REQUIRE(r.duality_gap <= 64 * u * total);
  REQUIRE(std::abs(cost - dual) <= 64 * u * total);
}

template <class Matrix>
auto solved(Matrix const& C) {
  auto r = assignment(C);
  check(C, r);
  REQUIRE(r.status == Status::converged);
  return r;
}

#ifdef MONGE_TEST_LEMON
// Minimum-cost flow on the bipartite graph of the finite entries; costs must be integers.
long long network_simplex(MatrixXd const& C) {
  lemon::SmartDigraph graph;
  std::vector<lemon::SmartDigraph::Node> rows, columns;
  auto const source = graph.addNode(), sink = graph.addNode();
  for (Index i = 0; i < C.rows(); ++i) rows.push_back(graph.addNode());
  for (Index j = 0; j < C.cols(); ++j) columns.push_back(graph.addNode());
  lemon::SmartDigraph::ArcMap<long long> cost(graph, 0), capacity(graph, 1);
  for (auto node : rows) graph.addArc(source, node);
  for (auto node : columns) graph.addArc(node, sink);
  for (Index i = 0; i < C.rows(); ++i)
    for (Index j = 0; j < C.cols(); ++j)
      if (C(i, j) < inf<double>)
        cost[graph.addArc(rows[std::size_t(i)], columns[std::size_t(j)])] = (long long)(C(i, j));
  for (lemon::SmartDigraph::ArcIt arc(graph); arc != lemon::INVALID; ++arc) capacity[arc] = 1;
  lemon::NetworkSimplex<lemon::SmartDigraph, long long, long long> simplex(graph);
  simplex.upperMap(capacity).costMap(cost).stSupply(source, sink,
                                                    (long long)(std::min(C.rows(), C.cols())));
  REQUIRE(simplex.run() == decltype(simplex)::OPTIMAL);
  return simplex.totalCost<long long>();
}
#endif

}  // namespace

TEMPLATE_TEST_CASE("the cost is the least over all matchings, for every small shape",
                   "[assignment]", float, double, long double) {
  using S = TestType;
  for (Index n = 1; n <= 6; ++n) {
    for (Index m = 1; m <= 7; ++m) {
      for (std::uint64_t seed = 0; seed < 12; ++seed) {
        std::uint64_t const key = seed + 100 * std::uint64_t(n) + 1000 * std::uint64_t(m);
        MatrixX<S> C = seed % 3 == 0   ? uniform<S>(n, m, key)
                       : seed % 3 == 1 ? integers<S>(n, m, 4, key)
                                       : MatrixX<S>(uniform<S>(n, m, key).array() - S(0.5));
        auto const r = solved(C);
        long double const scale = 64 * std::numeric_limits<S>::epsilon();
        REQUIRE(std::abs((long double)(r.cost) - brute_force(C).cost) <= scale);
        // The same matrix stored by rows takes the other orientation.
        Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> const rows = C;
        REQUIRE(std::abs((long double)(solved(rows).cost - r.cost)) <= scale);
      }
    }
  }
}

TEST_CASE("the cost is the least over all permutations of eight", "[assignment]") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    MatrixXd const C = seed % 2 ? integers<double>(8, 8, 5, seed) : uniform<double>(8, 8, seed);
    REQUIRE_THAT(solved(C).cost, WithinAbs(double(brute_force(C).cost), 1e-14));
  }
}

TEST_CASE("forbidden pairs are never used and infeasibility is found exactly", "[assignment]") {
  Index infeasible = 0;
  for (Index n = 1; n <= 6; ++n) {
    for (Index m = 1; m <= 6; ++m) {
      for (std::uint64_t seed = 0; seed < 30; ++seed) {
        Random random(seed + 77 * std::uint64_t(n) + 7777 * std::uint64_t(m));
        MatrixXd C = seed % 2 ? uniform<double>(n, m, seed) : integers<double>(n, m, 3, seed);
        for (Index k = 0; k < C.size(); ++k)
          if (random.uniform() < 0.3 + 0.02 * double(seed)) C(k) = inf<double>;
        Best const best = brute_force(C);
        MatrixXd const transposed = C.transpose();
        for (auto const& r : {assignment(C), assignment(C.transpose().eval().transpose().eval())}) {
          check(C, r);
          Index const pairs = (r.row_to_column.array() >= 0).count();
          REQUIRE(pairs == best.pairs);
          if (best.pairs == std::min(n, m)) {
            REQUIRE(r.status == Status::converged);
            REQUIRE_THAT(r.cost, WithinAbs(double(best.cost), 1e-13));
          } else {
            ++infeasible;
            REQUIRE(r.status == Status::infeasible);
            REQUIRE(r.duality_gap == inf<double>);
          }
        }
        auto const other = assignment(transposed);
        check(transposed, other);
        REQUIRE((other.row_to_column.array() >= 0).count() == best.pairs);
      }
    }
  }
  REQUIRE(infeasible > 500);
}

TEST_CASE("a violator of Hall's condition makes a large problem infeasible", "[assignment]") {
  // Twenty-one rows that share twenty columns: one of them must stay alone.
  MatrixXd C = uniform<double>(60, 60, 5);
  C.block(10, 20, 21, 40).setConstant(inf<double>);
  auto const r = assignment(C);
  check(C, r);
  REQUIRE(r.status == Status::infeasible);
  REQUIRE((r.row_to_column.array() >= 0).count() == 59);
  REQUIRE(monge::message(r.status).find("infeasible") == 0);
  // One more column for them and all is well.
  C(15, 20) = 3;
  auto const feasible = solved(C);
  REQUIRE(feasible.row_to_column(15) == 20);
}

#ifdef MONGE_TEST_LEMON
TEST_CASE("the cost is that of LEMON's network simplex", "[assignment]") {
  for (Index n : {20, 47, 64, 65, 100}) {
    for (Index m : {20, 63, 100}) {
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        MatrixXd C = integers<double>(n, m, seed % 2 ? 1000000 : 20, seed + std::uint64_t(n * m));
        REQUIRE(solved(C).cost == double(network_simplex(C)));
        Random random(seed);
        for (Index k = 0; k < C.size(); ++k)
          if (random.uniform() < 0.6) C(k) = inf<double>;
        for (Index k = 0; k < std::min(n, m); ++k) C(k, k) = 900000;  // keep it feasible
        REQUIRE(solved(C).cost == double(network_simplex(C)));
      }
    }
  }
  MatrixXd const plane = (geometric(80, 80, 3) * 1e6).array().round();
  REQUIRE(solved(plane).cost == double(network_simplex(plane)));
}
#endif

TEST_CASE("published cases give their published optima", "[assignment]") {
  SECTION("the 4 x 4 whose two inverse permutations were confused has optimum 26.5") {
    MatrixXd C(4, 4);
    C << 9, 7.6, 7.5, 7, 3.5, 8.5, 5.5, 6.5, 12.5, 9.5, 9, 10.5, 4.5, 11, 9.5, 11.5;
    auto const r = solved(C);
    REQUIRE(r.cost == 26.5);
    REQUIRE(brute_force(C).cost == 26.5L);
    REQUIRE((r.row_to_column.array() == Eigen::Array<Index, 4, 1>(3, 2, 1, 0)).all());
  }
  SECTION("the textbook 3 x 3, its 3 x 4 extension and their transposes") {
    MatrixXd C(3, 4);
    C << 400, 150, 400, 1, 400, 450, 600, 2, 300, 225, 300, 3;
    REQUIRE(solved(MatrixXd(C.leftCols(3))).cost == 850);
    REQUIRE(solved(C).cost == 452);
    REQUIRE(solved(MatrixXd(C.transpose())).cost == 452);
    REQUIRE(brute_force(C).cost == 452);
  }
  SECTION("a row whose pairs all cost 1e6 takes the column that the others leave") {
    MatrixXd C(4, 4);
    C << -625, 2187.5, -156.25, 1e6, -2500, 1e6, -2500, -2500, -1015.625, -1015.625, 1e6, 1e6, 1e6,
        1e6, 1e6, 1e6;
    REQUIRE(solved(C).cost == double(brute_force(C).cost));
  }
  SECTION("entries of 1e32 that stand for forbidden pairs leave the digits of the others") {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      Random random(seed);
      MatrixXd C = uniform<double>(7, 7, seed) * 300, forbidden = C;
      VectorX<Index> const planted = random.permutation(7);
      for (Index j = 0; j < 7; ++j) {
        for (Index i = 0; i < 7; ++i) {
          if (random.uniform() < 0.5 && planted(i) != j) {
            C(i, j) = 1e32;
            forbidden(i, j) = inf<double>;
          }
        }
      }
      REQUIRE_THAT(solved(C).cost, WithinRel(double(brute_force(forbidden).cost), 1e-14));
    }
  }
}

TEST_CASE("adversarial costs end and are optimal", "[assignment]") {
  Index const n = 96;
  SECTION("Machol-Wien: c = i j, paired in opposite order") {
    MatrixXd C(n, n);
    double optimum = 0;
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) C(i, j) = double((i + 1) * (j + 1));
      optimum += double((i + 1) * (n - i));
    }
    auto const r = solved(C);
    REQUIRE(r.cost == optimum);
    for (Index i = 0; i < n; ++i) REQUIRE(r.row_to_column(i) == n - 1 - i);
    REQUIRE(solved(MatrixXd(-C)).cost == -C.diagonal().sum());
  }
  SECTION("constant") {
    for (double value : {0.0, 1.0, -0.1, 1e300, -1e300, 1e-320}) {
      auto const r = solved(MatrixXd(MatrixXd::Constant(n, n - 7, value)));
      REQUIRE_THAT(r.cost, WithinRel(double(n - 7) * value, 1e-14));
    }
  }
  SECTION("powers of two: greedy is wrong everywhere") {
    MatrixXd C(20, 20);
    for (Index i = 0; i < 20; ++i)
      for (Index j = 0; j < 20; ++j) C(i, j) = std::ldexp(1.0, int(i + j));
    double optimum = 20 * std::ldexp(1.0, 19);
    REQUIRE(solved(MatrixXd(-C)).cost == -C.diagonal().sum());
    REQUIRE(solved(C).cost == optimum);
  }
  SECTION("subnormal") {
    MatrixXd const C = integers<double>(n, n, 1000, 11);
    double const unit = std::numeric_limits<double>::denorm_min();
    REQUIRE(solved(MatrixXd(C * unit)).cost == solved(C).cost * unit);
  }
  SECTION("few values, so that everything ties") {
    for (Index range : {1, 2, 3}) {
      MatrixXd const C = integers<double>(n, n, range, 3) * 0.1;
      REQUIRE(solved(C).cost <= solved(MatrixXd(C.transpose())).cost + 1e-13);
    }
  }
  SECTION("points on a line with equal gaps and real costs") {
    MatrixXd C(n, n);
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < n; ++j) C(i, j) = std::abs(0.1 * double(i) - 0.1 * double(j) - 0.7);
    solved(C);
    Eigen::MatrixXf const single = C.cast<float>();
    solved(single);
  }
}

TEST_CASE("magnitude does not matter", "[assignment]") {
  MatrixXd const C = geometric(90, 90, 21);
  auto const r = solved(C);
  for (double factor : {0x1p-40, 0x1p+40, 0x1p-900, 0x1p+900}) {
    auto const scaled = solved(MatrixXd(C * factor));
    REQUIRE(scaled.cost == r.cost * factor);
    REQUIRE((scaled.row_to_column.array() == r.row_to_column.array()).all());
  }
  for (double factor : {1e-12, 1e12})
    REQUIRE_THAT(solved(MatrixXd(C * factor)).cost, WithinRel(r.cost * factor, 1e-13));
}

TEMPLATE_TEST_CASE("permuting rows and columns permutes the matching", "[assignment]", float,
                   double) {
  using S = TestType;
  for (auto [n, m] : {std::pair<Index, Index>{70, 70}, {40, 90}, {90, 40}}) {
    Random random(9);
    MatrixX<S> const C = uniform<S>(n, m, 31);
    VectorX<Index> const rows = random.permutation(n), columns = random.permutation(m);
    MatrixX<S> permuted(n, m);
    for (Index j = 0; j < m; ++j)
      for (Index i = 0; i < n; ++i) permuted(rows(i), columns(j)) = C(i, j);
    auto const r = solved(C), p = solved(permuted);
    for (Index i = 0; i < n; ++i) {
      Index const j = r.row_to_column(i);
      REQUIRE(p.row_to_column(rows(i)) == (j < 0 ? -1 : columns(j)));
    }
  }
}

TEST_CASE("constants added to rows and columns shift the cost and leave the matching",
          "[assignment]") {
  MatrixXd const C = integers<double>(60, 60, 1 << 30, 8);
  auto const r = solved(C);
  Eigen::VectorXd const a = integers<double>(60, 1, 1 << 20, 1),
                        b = -integers<double>(60, 1, 999, 2);
  MatrixXd const shifted = (C.colwise() + a).rowwise() + b.transpose();
  auto const s = solved(shifted);
  REQUIRE(s.cost == r.cost + a.sum() + b.sum());
  REQUIRE((s.row_to_column.array() == r.row_to_column.array()).all());
  // With more columns than rows only the rows may be shifted.
  MatrixXd const wide = C.topRows(35);
  MatrixXd const lifted = wide.colwise() + a.head(35);
  auto const w = solved(wide), l = solved(lifted);
  REQUIRE(l.cost == w.cost + a.head(35).sum());
  REQUIRE((l.row_to_column.array() == w.row_to_column.array()).all());
}

TEST_CASE("transposing the cost inverts the matching", "[assignment]") {
  for (auto [n, m] : {std::pair<Index, Index>{64, 64}, {30, 130}, {130, 30}}) {
    MatrixXd const C = uniform<double>(n, m, 12);
    auto const r = solved(C), t = solved(MatrixXd(C.transpose()));
    REQUIRE_THAT(t.cost, WithinRel(r.cost, 1e-14));
    for (Index i = 0; i < n; ++i)
      if (r.row_to_column(i) >= 0) REQUIRE(t.row_to_column(r.row_to_column(i)) == i);
  }
}

TEST_CASE("any storage and any expression gives the same answer", "[assignment]") {
  MatrixXd const big = uniform<double>(80, 90, 4);
  auto const block = big.block(3, 5, 60, 70);
  MatrixXd const C = block;
  auto const r = solved(C);
  auto same = [&](auto const& other) {
    auto const o = assignment(other);
    REQUIRE(o.status == Status::converged);
    REQUIRE_THAT(o.cost, WithinRel(r.cost, 1e-14));
    REQUIRE((o.row_to_column.array() == r.row_to_column.array()).all());
  };
  same(block);
  same(Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>(C));
  same(MatrixXd(C.transpose()).transpose());
  same(Eigen::Map<MatrixXd const, 0, Eigen::OuterStride<>>(&big(3, 5), 60, 70,
                                                           Eigen::OuterStride<>(80)));
  MatrixXd spread = MatrixXd::Zero(120, 140);
  Eigen::Map<MatrixXd, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> strided(
      spread.data(), 60, 70, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(240, 2));
  strided = C;
  same(strided);
  same(2.0 * C - C);
  same(C * MatrixXd::Identity(70, 70));
  Eigen::Matrix3d small;
  small << 4, 1, 3, 2, 0, 5, 3, 2, 2;
  REQUIRE(solved(small).cost == 5);
}

TEST_CASE("float and double agree", "[assignment]") {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    MatrixXd const C = seed % 2 ? geometric(150, 150, seed) : uniform<double>(150, 120, seed);
    Eigen::MatrixXf const single = C.cast<float>();
    auto const r = solved(MatrixXd(single.cast<double>()));
    REQUIRE_THAT(double(solved(single).cost), WithinRel(r.cost, 1e-6));
  }
  MatrixXd const whole = integers<double>(100, 100, 1000, 1);
  REQUIRE(solved(Eigen::MatrixXf(whole.cast<float>())).cost == solved(whole).cost);
}

TEST_CASE("the smallest problems", "[assignment]") {
  MatrixXd one(1, 1);
  one << -2.5;
  auto const r = solved(one);
  REQUIRE(r.cost == -2.5);
  REQUIRE(r.row_to_column(0) == 0);
  Eigen::RowVectorXd row(4);
  row << 3, 1, 2, 1;
  REQUIRE(solved(row).cost == 1);
  REQUIRE(solved(row).row_to_column(0) == 1);
  Eigen::VectorXd const column = row.transpose();
  auto const c = solved(column);
  REQUIRE(c.cost == 1);
  REQUIRE((c.row_to_column.array() >= 0).count() == 1);
  one << inf<double>;
  REQUIRE(assignment(one).status == Status::infeasible);
  REQUIRE(assignment(one).row_to_column(0) == -1);
  REQUIRE(assignment(MatrixXd(MatrixXd::Constant(3, 5, inf<double>))).status == Status::infeasible);
}

TEST_CASE("misuse is refused in the caller's words", "[assignment]") {
  REQUIRE(refusal([] { (void)assignment(MatrixXd(0, 3)); }) ==
          "assignment: cost is 0x3; it needs at least one row and one column");
  MatrixXd C = uniform<double>(4, 6, 1);
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows = C;
  C(2, 5) = rows(2, 5) = std::numeric_limits<double>::quiet_NaN();
  std::string const nan =
      "assignment: cost(2, 5) is NaN; every entry must be a number, and +infinity forbids a pair";
  REQUIRE(refusal([&] { (void)assignment(C); }) == nan);
  REQUIRE(refusal([&] { (void)assignment(rows); }) == nan);
  C(2, 5) = -inf<double>;
  REQUIRE(refusal([&] { (void)assignment(C); }) ==
          "assignment: cost(2, 5) is -infinity; no matching could be compared with it, +infinity "
          "forbids a pair");
  C(2, 5) = std::numeric_limits<double>::max();
  REQUIRE(
      refusal([&] { (void)assignment(C); }) ==
      "assignment: cost(2, 5) is 1.79769e+308, so large that sums overflow; scale the costs, or "
      "forbid the pair by +infinity");
  C(2, 5) = 0;
  REQUIRE(refusal([&] { (void)assignment(C, {.max_seconds = -1}); }) ==
          "assignment: max_seconds is -1; it must be at least 0");
  REQUIRE(refusal([&] { (void)assignment(C, {.observe_every = 0}); }) ==
          "assignment: observe_every is 0; it must be at least 1");
}

TEST_CASE("the observer sees the lines that are left and can stop the run", "[assignment]") {
  MatrixXd const C = geometric(200, 200, 2);
  double last = monge::infinity;
  Index calls = 0;
  auto const r = assignment(C, {}, [&](monge::Progress const& progress) {
    REQUIRE(progress.error < last);
    last = progress.error;
    ++calls;
  });
  REQUIRE(r.status == Status::converged);
  REQUIRE(calls == r.iterations);
  REQUIRE(last == 0);
  auto const stopped =
      assignment(C, {}, [](monge::Progress const& progress) { return progress.iteration < 5; });
  REQUIRE(stopped.status == Status::stopped_by_observer);
  REQUIRE(stopped.iterations == 5);
  REQUIRE(stopped.duality_gap == monge::infinity);
  check(C, stopped);
  auto const none = assignment(C, {.max_seconds = 0});
  REQUIRE(none.status == Status::time_limit);
}

TEST_CASE("the duals of a partial run bound the optimum from below", "[assignment]") {
  for (auto [n, m] : {std::pair<Index, Index>{250, 250}, {240, 250}, {250, 200}}) {
    MatrixXd const C = geometric(n, m, 6);
    double const optimum = solved(C).cost;
    for (Index stop : {1, 5, 15}) {
      auto const r = assignment(
          C, {}, [&](monge::Progress const& progress) { return progress.iteration < stop; });
      REQUIRE(r.status == Status::stopped_by_observer);
      MatrixXd const slack = (C.colwise() - r.f).rowwise() - r.g.transpose();
      REQUIRE(slack.minCoeff() >= -1e-14);
      if (n > m) REQUIRE(r.f.maxCoeff() <= 0);
      if (m > n) REQUIRE(r.g.maxCoeff() <= 0);
      REQUIRE(r.f.sum() + r.g.sum() <= optimum + 1e-12);
    }
  }
}

TEMPLATE_TEST_CASE("a copied state goes on to the same answer bit for bit", "[assignment]", float,
                   double) {
  using S = TestType;
  namespace detail = monge::ot::detail;
  static_assert(monge::IterativeMethod<detail::AssignmentMethod<S>>);
  for (auto [n, m] : {std::pair<Index, Index>{250, 250}, {240, 250}, {250, 200}}) {
    MatrixX<S> const C = geometric(n, m, 14).template cast<S>();
    detail::AssignmentMethod<S> const method(
        detail::Lines<S>(C.data(), n, m, Eigen::OuterStride<>(n)));
    auto const whole = monge::iterate(method, {.max_iterations = 100000});
    REQUIRE(whole.status == Status::converged);
    auto part = monge::iterate(method, {.max_iterations = 7});
    REQUIRE(part.status == Status::iteration_limit);
    auto const resumed = monge::iterate(method, part.state, {.max_iterations = 100000});
    REQUIRE(resumed.status == Status::converged);
    REQUIRE(resumed.statistics.iterations + 7 == whole.statistics.iterations);
    REQUIRE((resumed.state.line_dual.array() == whole.state.line_dual.array()).all());
    REQUIRE((resumed.state.slot_dual.array() == whole.state.slot_dual.array()).all());
    REQUIRE((resumed.state.slot_of_line.array() == whole.state.slot_of_line.array()).all());
    REQUIRE(resumed.state.cost == whole.state.cost);
    REQUIRE(resumed.state.gap == whole.state.gap);
    REQUIRE((assignment(C).row_to_column.array() == whole.state.line_of_slot.array()).all());
  }
}

TEST_CASE("large problems are optimal by their own certificate", "[assignment]") {
  solved(uniform<double>(600, 600, 1));
  solved(geometric(400, 400, 1));
  solved(integers<double>(500, 500, 100, 1));
  solved(uniform<double>(20, 5000, 1));
  solved(uniform<double>(5000, 20, 1));
  solved(MatrixX<float>(geometric(500, 450, 2).cast<float>()));
}
