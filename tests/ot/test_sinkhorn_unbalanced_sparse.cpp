// SPDX-License-Identifier: MIT
#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/entropic.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/sinkhorn_sparse.hpp>
#include <monge/ot/sinkhorn_unbalanced.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using Sparse = Eigen::SparseMatrix<double>;
using Options = ot::SinkhornUnbalancedOptions;

namespace {

using support::check_equal, support::largest;

/// Pairs of points in the plane that are at most `reach` apart, and (i, i mod m) for every i.
struct Problem {
  MatrixXd dense;  // +infinity for absent pairs
  Sparse sparse;
  VectorXd a, b;

  Problem(Index n, Index m, double reach)
      : dense(MatrixXd::Constant(n, m, infinity)),
        sparse(n, m),
        a(1.5 * support::weights(n, 3)),
        b(0.7 * support::weights(m, 4)) {
    MatrixXd const X = support::points(2, n, 1), Y = support::points(2, m, 2);
    std::vector<Eigen::Triplet<double>> entries;
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < m; ++j) {
        double const c = (X.col(i) - Y.col(j)).squaredNorm();
        if (c > reach * reach && j != i % m) continue;
        dense(i, j) = c;
        entries.emplace_back(int(i), int(j), c);
      }
    }
    sparse.setFromTriplets(entries.begin(), entries.end());
  }
};

}  // namespace

TEST_CASE("sinkhorn_unbalanced: with few pairs the answer is that of the dense cost",
          "[sinkhorn_unbalanced_sparse]") {
  Problem const p(40, 30, 0.7);
  for (auto const& [rho_a, rho_b] :
       {std::pair(0.05, 0.05), {1.0, 0.1}, {100.0, 1e4}, {infinity, 0.5}, {0.3, infinity}}) {
    CAPTURE(rho_a, rho_b);
    Options const options{.epsilon = 0.05, .rho_a = rho_a, .rho_b = rho_b, .tolerance = 1e-11};
    auto const r = ot::sinkhorn_unbalanced(p.sparse, p.a, p.b, options);
    check_equal(r, ot::sinkhorn_unbalanced(p.dense, p.a, p.b, options), 1e-9);
    MatrixXd const P = ot::plan(p.sparse, r);
    CHECK(largest(P.rowwise().sum() - r.rows) <= 1e-13);
    CHECK(largest(P.colwise().sum().transpose() - r.cols) <= 1e-13);
    CHECK(std::abs(r.regularised_cost - r.dual_value) <= 1e-8);
    if (rho_a == infinity) CHECK(largest(r.rows - p.a) <= 1e-10);
    if (rho_b == infinity) CHECK(largest(r.cols - p.b) <= 1e-10);
  }
}

TEST_CASE("sinkhorn_unbalanced: infinite prices on few pairs are sinkhorn on them",
          "[sinkhorn_unbalanced_sparse]") {
  Problem p(40, 40, 0.7);
  p.a.setConstant(1.0 / 40);
  p.b = p.a;
  auto const exact = ot::sinkhorn(p.sparse, p.a, p.b, {.epsilon = 0.05, .tolerance = 1e-12});
  auto const r = ot::sinkhorn_unbalanced(p.sparse, p.a, p.b, {.epsilon = 0.05, .tolerance = 1e-12});
  REQUIRE(r.converged());
  CHECK(largest(r.f - exact.f) <= 1e-9);
  CHECK(std::abs(r.dual_value - exact.dual_value) <= 1e-11);
  double before = infinity;
  for (double const rho : {1.0, 1e2, 1e4, 1e6}) {
    auto const near =
        ot::sinkhorn_unbalanced(p.sparse, p.a, p.b, {.epsilon = 0.05, .rho_a = rho, .rho_b = rho});
    REQUIRE(near.converged());
    double const gap = exact.regularised_cost - near.regularised_cost;
    CHECK(gap > 0);
    CHECK(gap < before);
    CHECK(gap <= 3 / rho);
    before = gap;
  }
}

TEST_CASE("sinkhorn_unbalanced: zero weights, rows without entries and stored infinities",
          "[sinkhorn_unbalanced_sparse]") {
  Problem p(40, 30, 0.7);
  p.a(4) = p.a(11) = p.b(0) = 0;
  Options options{.epsilon = 0.05, .rho_a = 0.4, .rho_b = 2, .tolerance = 1e-11};
  check_equal(ot::sinkhorn_unbalanced(p.sparse, p.a, p.b, options),
              ot::sinkhorn_unbalanced(p.dense, p.a, p.b, options), 1e-9);
  // Sums that underflow unless the largest term is found among the columns with mass.
  Options const sharp{.epsilon = 1e-3, .rho_a = 0.4, .rho_b = 2, .tolerance = 1e-9, .annealing = 1};
  Problem far(40, 30, 0.7);
  far.sparse *= 8;
  far.dense *= 8;
  for (Index j = 0; j < 30; j += 3) far.b(j) = 0;
  check_equal(ot::sinkhorn_unbalanced(far.sparse, far.a, far.b, sharp),
              ot::sinkhorn_unbalanced(far.dense, far.a, far.b, sharp), 1e-7);
  // Column 7 has no entries, those of row 3 are stored and infinite.
  p.dense.col(7).setConstant(infinity);
  p.dense.row(3).setConstant(infinity);
  p.sparse.prune([](Index, Index j, double) { return j != 7; });
  for (Index j = 0; j < 30; ++j) {
    for (Sparse::InnerIterator entry(p.sparse, j); entry; ++entry) {
      if (entry.row() == 3) entry.valueRef() = infinity;
    }
  }
  auto const r = ot::sinkhorn_unbalanced(p.sparse, p.a, p.b, options);
  check_equal(r, ot::sinkhorn_unbalanced(p.dense, p.a, p.b, options), 1e-9);
  CHECK(r.rows(3) == 0);
  CHECK(r.cols(7) == 0);
  options.rho_a = infinity;
  CHECK(ot::sinkhorn_unbalanced(p.sparse, p.a, p.b, options).status == Status::infeasible);
  // No entries at all.
  auto const nothing =
      ot::sinkhorn_unbalanced(Sparse(40, 30), p.a, p.b, {.epsilon = 0.05, .rho_a = 1, .rho_b = 2});
  CHECK(nothing.transported_mass == 0);
  double const mass_a = p.a.sum(), mass_b = p.b.sum();
  CHECK(std::abs(nothing.regularised_cost - mass_a - 2 * mass_b -
                 0.05 * std::sqrt(mass_a * mass_b)) <= 1e-12);
}

TEST_CASE("sinkhorn_unbalanced: two constraints that the pattern cannot carry are infeasible",
          "[sinkhorn_unbalanced_sparse]") {
  // Two rows with 0.9 have one column with 0.3, although all weights have partners.
  Sparse C(3, 3);
  C.insert(0, 0) = C.insert(1, 0) = C.insert(2, 0) = C.insert(2, 1) = C.insert(2, 2) = 0.1;
  MatrixXd dense = MatrixXd::Constant(3, 3, infinity);
  dense.col(0).setConstant(0.1);
  dense.row(2).setConstant(0.1);
  Eigen::Vector3d const a(0.45, 0.45, 0.1), b = Eigen::Vector3d::Constant(1.0 / 3);
  for (auto const& options : {Options{.epsilon = 0.1}, Options{.epsilon = 0.1, .annealing = 1},
                              Options{.epsilon = 0.1, .acceleration = ot::Acceleration::none}}) {
    auto const r = ot::sinkhorn_unbalanced(C, a, b, options);
    CHECK(r.status == Status::infeasible);
    CHECK(r.iterations <= 200);
    CHECK(ot::sinkhorn_unbalanced(dense, a, b, options).status == Status::infeasible);
  }
  // One price is enough to pay for what cannot be moved.
  CHECK(ot::sinkhorn_unbalanced(C, a, b, {.epsilon = 0.1, .rho_b = 1}).converged());
  // Two parts whose masses differ by little are told apart by a look.
  Sparse D(2, 2);
  D.insert(0, 0) = D.insert(1, 1) = 1;
  Eigen::Vector2d const near(0.5 + 1e-6, 0.5 - 1e-6), half(0.5, 0.5);
  auto const r = ot::sinkhorn_unbalanced(D, near, half, {.epsilon = 0.1});
  CHECK(r.status == Status::infeasible);
  CHECK(r.iterations == 0);
  CHECK(ot::sinkhorn_unbalanced(D, near, half, {.epsilon = 0.1, .tolerance = 1e-5}).converged());
}

TEST_CASE("sinkhorn_unbalanced: few pairs row by row, with threads, and of a large problem",
          "[sinkhorn_unbalanced_sparse]") {
  // 10 000 points of a line and their neighbours: 1e8 pairs, of which 110 000 are allowed.
  Index const n = 10'000;
  std::vector<Eigen::Triplet<double>> entries;
  for (Index j = 0; j < n; ++j) {
    for (Index i = std::max<Index>(0, j - 5); i <= std::min(n - 1, j + 5); ++i) {
      entries.emplace_back(int(i), int(j), double((i - j) * (i - j)));
    }
  }
  Sparse C(n, n);
  C.setFromTriplets(entries.begin(), entries.end());
  VectorXd const a = 3 * support::weights(n, 6), b = support::weights(n, 7);
  Options options{.epsilon = 0.5, .rho_a = 5, .rho_b = 20, .tolerance = 1e-10};
  auto const r = ot::sinkhorn_unbalanced(C, a, b, options);
  REQUIRE(r.converged());
  CHECK(std::abs(r.regularised_cost - r.dual_value) <= 1e-8);
  auto const turned =
      ot::sinkhorn_unbalanced(Eigen::SparseMatrix<double, Eigen::RowMajor>(C), a, b, options);
  CHECK(turned.f == r.f);
  options.parallel = parallel::threads(3);
  auto const threaded = ot::sinkhorn_unbalanced(C, a, b, options);
  CHECK(threaded.f == r.f);
  CHECK(threaded.g == r.g);
  CHECK(threaded.rows == r.rows);
  CHECK(threaded.dual_value == r.dual_value);
}

TEST_CASE("sinkhorn_unbalanced: few pairs in float, from a start, without allocations",
          "[sinkhorn_unbalanced_sparse]") {
  Problem const p(40, 30, 0.7);
  Options const options{.epsilon = 0.05, .rho_a = 0.3, .rho_b = 3};
  auto const r = ot::sinkhorn_unbalanced(p.sparse, p.a, p.b, options);
  auto const narrow = ot::sinkhorn_unbalanced(p.sparse.cast<float>(), p.a.cast<float>(),
                                              p.b.cast<float>(), options);
  CHECK(narrow.converged());
  CHECK(largest(narrow.f.cast<double>() - r.f) <= 1e-4);
  auto const again = ot::sinkhorn_unbalanced(p.sparse, p.a, p.b, options, {r.f, r.g});
  CHECK(again.converged());
  CHECK(again.iterations <= 2);
  ot::SinkhornUnbalanced const method(ot::detail::SparseCost<double>(p.sparse), p.a, p.b,
                                      {.epsilon = 0.01, .rho_a = 1, .rho_b = 1});
  auto state = method.init();
  CHECK(method.advance(state, 10).steps == 10);
  CHECK(test::allocations([&] { static_cast<void>(method.advance(state, 20)); }) == 0);
}

TEST_CASE("sinkhorn_unbalanced: misuse is refused for few pairs too",
          "[sinkhorn_unbalanced_sparse]") {
  Problem p(6, 5, 0.7);
  CHECK_REFUSED(ot::sinkhorn_unbalanced(p.sparse, p.a, p.b, {.rho_a = 1}), "epsilon is not set");
  CHECK_REFUSED(ot::sinkhorn_unbalanced(p.sparse, p.b, p.a, {.epsilon = 0.1, .rho_a = 1}),
                "cost is 6x5 but a has 5 entries");
  CHECK_REFUSED(
      ot::sinkhorn_unbalanced(Sparse(0, 5), VectorXd(0), p.b, {.epsilon = 0.1, .rho_a = 1}),
      "needs at least one row and one column");
  p.sparse.coeffRef(2, 2) = not_a_number;
  CHECK_REFUSED(ot::sinkhorn_unbalanced(p.sparse, p.a, p.b, {.epsilon = 0.1, .rho_a = 1}),
                "sinkhorn_unbalanced: cost(2, 2) is nan");
}
