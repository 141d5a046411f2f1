// SPDX-License-Identifier: MIT
#include <Eigen/SparseCore>

#include <cmath>
#include <limits>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_sparse.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using Sparse = Eigen::SparseMatrix<double>;

namespace {

/// Pairs of points in the plane that are at most `reach` apart, and every pair (i, i mod m).
struct Problem {
  MatrixXd dense;  // +infinity for absent pairs
  Sparse sparse;
  VectorXd a, b;
};

Problem near_pairs(Index n, Index m, double reach, std::uint64_t seed = 1) {
  MatrixXd const X = support::points(2, n, seed), Y = support::points(2, m, seed + 1);
  Problem p{MatrixXd::Constant(n, m, infinity), Sparse(n, m), support::weights(n, seed + 2),
            VectorXd::Zero(m)};
  std::vector<Eigen::Triplet<double>> entries;
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < m; ++j) {
      double const c = (X.col(i) - Y.col(j)).squaredNorm();
      if (c > reach * reach && j != i % m) continue;
      p.dense(i, j) = c;
      entries.emplace_back(int(i), int(j), c);
    }
  }
  p.sparse.setFromTriplets(entries.begin(), entries.end());
  // The marginals of some coupling with total support, so that there is one.
  MatrixXd P = MatrixXd::Zero(n, m);
  for (auto const& e : entries) P(e.row(), e.col()) = 1.0 + double((e.row() * 7 + e.col()) % 5);
  P /= P.sum();
  p.a = P.rowwise().sum();
  p.b = P.colwise().sum().transpose();
  return p;
}

double marginal_error(Sparse const& P, VectorXd const& a, VectorXd const& b) {
  return (P * VectorXd::Ones(P.cols()) - a).lpNorm<1>() +
         (P.transpose() * VectorXd::Ones(P.rows()) - b).lpNorm<1>();
}

}  // namespace

TEST_CASE("sinkhorn sparse: the dense problem with infinite costs has the same answer",
          "[sinkhorn_sparse]") {
  for (auto const& [n, m] : {std::pair<Index, Index>{60, 80}, {200, 33}, {1, 5}, {5, 1}, {1, 1}}) {
    for (double const epsilon : {0.5, 0.05, 0.005}) {
      CAPTURE(n, m, epsilon);
      Problem const p = near_pairs(n, m, 0.7);
      auto const r = ot::sinkhorn(p.dense, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-12});
      auto const s = ot::sinkhorn(p.sparse, p.a, p.b, {.epsilon = epsilon, .tolerance = 1e-12});
      REQUIRE(s.status == Status::converged);
      REQUIRE(r.status == Status::converged);
      CHECK(std::abs(s.transport_cost - r.transport_cost) < 1e-11);
      CHECK(std::abs(s.regularised_cost - r.regularised_cost) < 1e-10);
      CHECK(std::abs(s.dual_value - r.dual_value) < 1e-10);
      Sparse const P = ot::plan(p.sparse, s);
      CHECK(P.nonZeros() == p.sparse.nonZeros());
      CHECK((MatrixXd(P) - ot::plan(p.dense, r)).lpNorm<Eigen::Infinity>() < 1e-11);
      CHECK(std::abs(marginal_error(P, s.a, s.b) - s.marginal_error) < 1e-14);
    }
  }
}

TEST_CASE("sinkhorn sparse: a full pattern is the dense problem, a stored zero is free",
          "[sinkhorn_sparse]") {
  MatrixXd C = support::matrix(20, 30, 3);
  C(4, 5) = 0;
  Sparse S = C.sparseView(1.0, -1.0);  // keeps the zero
  REQUIRE(S.nonZeros() == 600);
  VectorXd const a = support::weights(20, 4), b = support::weights(30, 5);
  auto const r = ot::sinkhorn(C, a, b, {.epsilon = 0.1, .tolerance = 1e-13});
  auto const s = ot::sinkhorn(S, a, b, {.epsilon = 0.1, .tolerance = 1e-13});
  REQUIRE(s.status == Status::converged);
  CHECK((r.f - s.f).lpNorm<Eigen::Infinity>() < 1e-11);
  CHECK(ot::plan(S, s).coeff(4, 5) > 0);
  Eigen::SparseMatrix<double, Eigen::RowMajor> const by_rows(S);
  auto const t = ot::sinkhorn(by_rows, a.transpose(), b, {.epsilon = 0.1, .tolerance = 1e-13});
  CHECK((t.f.array() == s.f.array()).all());
  auto const twice = ot::sinkhorn(2 * S, a, b, {.epsilon = 0.2, .tolerance = 1e-13});
  CHECK((twice.f - 2 * s.f).lpNorm<Eigen::Infinity>() < 1e-11);
  auto const transposed =
      ot::sinkhorn(Sparse(S.transpose()), b, a, {.epsilon = 0.1, .tolerance = 1e-13});
  CHECK((transposed.g - s.f).lpNorm<Eigen::Infinity>() < 1e-11);
  auto const again = ot::sinkhorn(S, a, b, {.epsilon = 0.1, .tolerance = 1e-11}, {s.f, s.g});
  CHECK(again.iterations <= 2);
}

TEST_CASE("sinkhorn sparse: patterns that cannot carry the marginals", "[sinkhorn_sparse]") {
  VectorXd const half = VectorXd::Constant(2, 0.5);
  Sparse C(2, 2);
  C.insert(0, 0) = 1;
  CHECK(ot::sinkhorn(C, half, half, {.epsilon = 1.0}).status == Status::infeasible);
  C.insert(1, 1) = 2;  // two parts of equal masses
  auto const r = ot::sinkhorn(C, half, half, {.epsilon = 1.0});
  CHECK(r.status == Status::converged);
  CHECK(std::abs(r.transport_cost - 1.5) < 1e-12);
  Eigen::Vector2d const uneven(0.3, 0.7);  // two parts of unequal masses
  CHECK(ot::sinkhorn(C, uneven, half, {.epsilon = 1.0}).status == Status::infeasible);
  // Connected, but two rows with 0.9 have one column with 0.3: the dual grows without bound.
  Sparse D(3, 3);
  D.insert(0, 0) = D.insert(1, 0) = D.insert(2, 0) = D.insert(2, 1) = D.insert(2, 2) = 0.1;
  Eigen::Vector3d const rows(0.45, 0.45, 0.1), third = Eigen::Vector3d::Constant(1.0 / 3);
  CHECK(ot::sinkhorn(D, rows, third, {.epsilon = 0.1}).status == Status::infeasible);
  CHECK(ot::sinkhorn(D, rows, third, {.epsilon = 0.1, .annealing = 1}).status ==
        Status::infeasible);
  MatrixXd dense = MatrixXd::Constant(3, 3, infinity);  // the same by a dense cost
  dense.col(0).setConstant(0.1);
  dense.row(2).setConstant(0.1);
  CHECK(ot::sinkhorn(dense, rows, third, {.epsilon = 0.1}).status == Status::infeasible);
  // A row without mass needs no partner; an infinite entry is no partner.
  Sparse E(3, 2);
  E.insert(0, 0) = 1;
  E.insert(1, 1) = 1;
  Eigen::Vector3d const zero(0.5, 0.5, 0);
  auto const z = ot::sinkhorn(E, zero, half, {.epsilon = 1.0});
  CHECK(z.status == Status::converged);
  CHECK(z.f(2) == 0);
  E.insert(2, 1) = 3;  // it has one all the same: its potential is a soft transform
  auto const soft = ot::sinkhorn(E, zero, half, {.epsilon = 1.0});
  CHECK(soft.status == Status::converged);
  CHECK(std::abs(soft.f(2) - (3 - soft.g(1) - std::log(0.5))) < 1e-12);
  E.coeffRef(1, 1) = infinity;
  CHECK(ot::sinkhorn(E, zero, half, {.epsilon = 1.0}).status == Status::infeasible);
}

TEST_CASE("sinkhorn sparse: any epsilon, mass and precision", "[sinkhorn_sparse]") {
  Problem const p = near_pairs(50, 40, 0.8, 11);
  for (double const epsilon : {1e-6, 1e-4, 1e-2, 1.0, 1e3}) {
    CAPTURE(epsilon);
    auto const r =
        ot::sinkhorn(p.sparse, p.a * 7, p.b * 7, {.epsilon = epsilon, .max_iterations = 2000});
    CHECK(r.f.allFinite());
    CHECK(std::isfinite(r.marginal_error));
    CHECK((r.status == Status::converged) == (r.marginal_error <= r.tolerance));
    if (epsilon >= 1e-2) CHECK(r.status == Status::converged);
  }
  auto const r = ot::sinkhorn(p.sparse, p.a, p.b, {.epsilon = 0.05});
  Eigen::VectorXf const a = p.a.cast<float>(), b = p.b.cast<float>();
  auto const s =
      ot::sinkhorn(Eigen::SparseMatrix<float>(p.sparse.cast<float>()), a, b, {.epsilon = 0.05});
  REQUIRE(s.status == Status::converged);
  CHECK((s.f.cast<double>() - r.f).lpNorm<Eigen::Infinity>() < 1e-4);
  for (auto const acceleration : {ot::Acceleration::none, ot::Acceleration::over_relaxation}) {
    auto const t =
        ot::sinkhorn(p.sparse, p.a, p.b, {.epsilon = 0.05, .acceleration = acceleration});
    REQUIRE(t.status == Status::converged);
    CHECK((t.f - r.f).lpNorm<Eigen::Infinity>() < 1e-6);
  }
  VectorXd tiny = VectorXd::Constant(3, 1e-300);
  tiny(0) = 1;
  auto const t = ot::sinkhorn(Sparse(MatrixXd::Ones(3, 3).sparseView()), tiny, tiny,
                              {.epsilon = 0.1, .tolerance = 1e-13});
  CHECK(t.status == Status::converged);
}

TEST_CASE("sinkhorn sparse: large patterns, threads, steps without allocation",
          "[sinkhorn_sparse]") {
  Problem const p = near_pairs(400, 300, 0.3, 21);
  ot::SinkhornOptions options{.epsilon = 0.02, .tolerance = 1e-11};
  auto const serial = ot::sinkhorn(p.sparse, p.a, p.b, options);
  REQUIRE(serial.status == Status::converged);
  options.parallel = parallel::threads(3);
  auto const threaded = ot::sinkhorn(p.sparse, p.a, p.b, options);
  CHECK((threaded.f.array() == serial.f.array()).all());
  CHECK(threaded.marginal_error == serial.marginal_error);
  ot::Sinkhorn const method(ot::detail::SparseCost<double>(p.sparse), p.a, p.b, {.epsilon = 1e-3});
  auto state = method.init();
  CHECK(test::allocations([&] { static_cast<void>(method.advance(state, 50)); }) == 0);
  // A stop by the observer keeps potentials to go on from.
  auto const stopped = ot::sinkhorn(p.sparse, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-11}, {},
                                    [](Progress const& progress) { return progress.error > 1e-4; });
  CHECK(stopped.status == Status::stopped_by_observer);
  CHECK(ot::sinkhorn(p.sparse, p.a, p.b, {.epsilon = 0.02, .tolerance = 1e-11},
                     {stopped.f, stopped.g})
            .converged());
}

TEST_CASE("sinkhorn sparse: the large entries of the plan", "[sinkhorn_sparse]") {
  Problem const p = near_pairs(60, 50, 0.8, 31);
  auto const r = ot::sinkhorn(p.sparse, p.a, p.b, {.epsilon = 0.02});
  Sparse const P = ot::plan(p.sparse, r);
  auto const kept = ot::sparse_plan(p.sparse, r, 0.05);
  auto const dense = ot::sparse_plan(p.dense, r, 0.05);
  CHECK(kept.entries.nonZeros() == dense.entries.nonZeros());
  CHECK(kept.entries.nonZeros() < P.nonZeros());
  CHECK((MatrixXd(kept.entries) - MatrixXd(dense.entries)).lpNorm<Eigen::Infinity>() < 1e-15);
  CHECK((kept.left_out_rows - dense.left_out_rows).lpNorm<Eigen::Infinity>() < 1e-15);
  CHECK(std::abs(kept.entries.sum() + kept.left_out - P.sum()) < 1e-14);
}

TEST_CASE("sinkhorn sparse: misuse is refused in the caller's words", "[sinkhorn_sparse]") {
  Sparse C(2, 3);
  C.insert(0, 1) = 1;
  VectorXd const a = VectorXd::Constant(2, 0.5), b = VectorXd::Constant(3, 1.0 / 3);
  CHECK_REFUSED(ot::sinkhorn(C, b, b, {.epsilon = 1.0}),
                "cost is 2x3 but a has 3 entries; a needs one entry per row");
  CHECK_REFUSED(ot::sinkhorn(C, a, b, {}), "epsilon is not set");
  C.coeffRef(0, 1) = not_a_number;
  CHECK_REFUSED(ot::sinkhorn(C, a, b, {.epsilon = 1.0}), "sinkhorn: cost(0, 1) is nan");
  C.coeffRef(0, 1) = -infinity;
  CHECK_REFUSED(ot::sinkhorn(C, a, b, {.epsilon = 1.0}), "sinkhorn: cost(0, 1) is -inf");
  CHECK_REFUSED(ot::sinkhorn(Sparse(0, 0), VectorXd(0), VectorXd(0), {.epsilon = 1.0}),
                "at least one row");
  CHECK_REFUSED(ot::plan(Sparse(4, 4), ot::SinkhornResult<double>{}), "pass the cost");
}
