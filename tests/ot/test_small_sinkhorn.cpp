// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/problems.hpp"
#include <monge/ot/detail/dense_laplacian.hpp>
#include <monge/ot/detail/small_sinkhorn.hpp>
#include <monge/ot/sinkhorn_batch.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

MatrixXd plane(Index n, Index m, std::uint64_t seed) {
  return ot::cost_matrix(support::points(2, n, seed), support::points(2, m, seed + 100),
                         ot::squared_euclidean{});
}

}  // namespace

TEMPLATE_TEST_CASE("small kernel: a read is two products, for any tail", "[small_sinkhorn]", float,
                   double) {
  using S = TestType;
  for (auto const& [n, m] : {std::pair<Index, Index>{1, 1}, {3, 9}, {8, 8}, {17, 5}, {64, 33}}) {
    CAPTURE(n, m);
    ot::detail::SmallKernel<S> kernel;
    kernel.resize(n, m);
    MatrixXd const K = support::matrix(n, m, 3);
    VectorXd const x = support::matrix(n, 1, 4), v = support::matrix(m, 1, 5);
    VectorX<S> padded = VectorX<S>::Zero(kernel.rows()), factors = VectorX<S>::Zero(kernel.cols());
    for (Index j = 0; j < m; ++j) {
      for (Index i = 0; i < n; ++i) kernel.column(j)[i] = S(K(i, j));
    }
    padded.head(n) = x.cast<S>();
    factors.head(m) = v.cast<S>();
    VectorX<S> rows(kernel.rows());
    kernel.read(padded.data(), rows.data(),
                [&](Index j, auto s) { return simd::load(factors.data() + j) / s; });
    VectorXd const s = K.transpose() * x, t = K * v.cwiseQuotient(s);
    double const u = double(unit_roundoff<S>);
    VectorXd const result = VectorX<S>(rows.head(n)).template cast<double>();
    double const off = (result - t).cwiseAbs().maxCoeff();
    CHECK(off < 8 * double(n + m) * u * t.maxCoeff());
    CHECK(rows.allFinite());
  }
}

TEST_CASE("sinkhorn_batch: a solver that has met the size allocates nothing", "[small_sinkhorn]") {
  MatrixXd const C = plane(20, 27, 4), D = plane(20, 27, 9);
  VectorXd const w = support::weights(20, 1), v = support::weights(27, 2);
  ot::detail::SmallSinkhorn<double> solver;
  Deadline const deadline(infinity);
  for (double const epsilon : {0.1, 1e-4}) {  // conjugate gradients; the factorisation
    ot::detail::SmallProblem<double> problem{C.data(), 20,      20,   27,          w.data(),
                                             v.data(), epsilon, 1e-9, C.maxCoeff()};
    REQUIRE(solver.solve(problem, 1000, deadline) == Status::converged);
    problem.cost = D.data();
    Status status = Status::not_run;
    CHECK(test::allocations([&] { status = solver.solve(problem, 1000, deadline); }) == 0);
    CHECK(status == Status::converged);
  }
}

TEST_CASE("small sinkhorn: solves alone nearly all that is given to it", "[small_sinkhorn]") {
  // Without the damping of its systems, or the bound on what a Newton step does to the scalings, a
  // tenth of these end half-way, some of them with potentials that are no numbers; callers go on
  // from there, so that nobody would notice.
  enum Family { clouds, clusters, light_weights };
  ot::detail::SmallSinkhorn<double> solver;
  Deadline const deadline(infinity);
  int missed = 0;
  for (auto const& [family, epsilon] :
       {std::pair{clouds, 1e-4}, {clusters, 1e-3}, {light_weights, 1e-3}}) {
    for (std::uint64_t k = 0; k < 150; ++k) {
      Index const n = 5 + Index(7 * k % 60), m = 5 + Index(11 * k % 60);
      MatrixXd X = support::matrix(2, n, 2 * k, 0, 1), Y = support::matrix(2, m, 2 * k + 1, 0, 1);
      for (MatrixXd* const points : {&X, &Y}) {
        for (Index j = 0; family == clusters && j < points->cols(); ++j) {
          points->col(j) = 0.01 * points->col(j) + Eigen::Vector2d(double(j % 3), double(j % 2));
        }
      }
      MatrixXd C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
      C /= C.maxCoeff();
      double const least = family == light_weights ? std::log(1e-30) : -2;
      VectorXd w = support::matrix(n, 1, 3 * k, least, 0).array().exp();
      VectorXd v = support::matrix(m, 1, 3 * k + 1, least, 0).array().exp();
      w /= w.sum();
      v /= v.sum();
      ot::detail::SmallProblem<double> const problem{C.data(), n,       n,    m,  w.data(),
                                                     v.data(), epsilon, 1e-9, 1.0};
      Status const status = solver.solve(problem, 20'000, deadline);
      missed += status != Status::converged;
      CHECK(solver.f().allFinite());
      CHECK(solver.g().allFinite());
    }
  }
  CHECK(missed <= 30);  // 16 here; 57 without the damping
}

TEST_CASE("dense Laplacian: solves what its edges say, however far they are spread",
          "[small_sinkhorn]") {
  Index const n = 13, m = 21;
  ot::detail::SmallKernel<double> Q;
  Q.resize(n, m);
  MatrixXd q = MatrixXd::Zero(Q.rows(), Q.cols());
  q.topLeftCorner(n, m) = support::matrix(n, m, 8, -40, 0).array().exp();
  std::copy_n(q.data(), q.size(), Q.column(0));
  VectorXd excess = VectorXd::Zero(Q.rows());
  excess.head(n) = support::matrix(n, 1, 3, -20, -5).array().exp();
  ot::detail::DenseLaplacian<double> laplacian;
  laplacian.form(Q, n);
  laplacian.factorise(excess);
  MatrixX<long double> L = -(q * q.transpose()).topLeftCorner(n, n).cast<long double>();
  for (Index i = 0; i < n; ++i) {
    L(i, i) = 0;
    L(i, i) = -L.row(i).sum() + static_cast<long double>(excess(i));
  }
  VectorXd const x = support::matrix(n, 1, 5, -1, 1);
  VectorX<long double> const rhs = L * x.cast<long double>();
  VectorXd solved = VectorXd::Zero(Q.rows());
  solved.head(n) = rhs.cast<double>();
  laplacian.solve(solved.data());
  VectorX<long double> const back = L * solved.head(n).cast<long double>() - rhs;
  CHECK(double(back.cwiseAbs().maxCoeff() / rhs.cwiseAbs().maxCoeff()) < 1e-14);
  // A positive right side has a positive solution, and no digit of it is lost: against Gauss
  // without subtraction in another order, from the last vertex to the first.
  VectorXd ones = VectorXd::Zero(Q.rows());
  ones.head(n).setOnes();
  laplacian.solve(ones.data());
  MatrixX<long double> W = (q * q.transpose()).topLeftCorner(n, n).cast<long double>();
  VectorX<long double> e = excess.head(n).cast<long double>(), y(n);
  VectorX<long double> r = VectorX<long double>::Ones(n), d(n);
  for (Index k = n - 1; k >= 0; --k) {
    d(k) = e(k) + W.row(k).head(k).sum();
    for (Index i = 0; i < k; ++i) {
      long double const ratio = W(k, i) / d(k);
      e(i) += e(k) * ratio;
      r(i) += r(k) * ratio;
      for (Index j = 0; j < k; ++j) W(i, j) += W(k, j) * ratio;
    }
  }
  for (Index k = 0; k < n; ++k) {
    long double sum = r(k);
    for (Index i = 0; i < k; ++i) sum += W(k, i) * y(i);
    y(k) = sum / d(k);
    CHECK(std::abs(ones(k) / double(y(k)) - 1) < 1e-13);
  }
}

TEST_CASE("sinkhorn_batch: float agrees with double", "[small_sinkhorn]") {
  std::vector<Eigen::MatrixXf> narrow;
  std::vector<MatrixXd> wide;
  for (std::uint64_t k = 0; k < 5; ++k) {
    wide.push_back(plane(33, 40, 3 * k));
    narrow.push_back(wide.back().cast<float>());
  }
  VectorXd const a = support::weights(33, 1), b = support::weights(40, 2);
  auto const d = ot::sinkhorn_batch(wide, a, b, {.epsilon = 0.05});
  auto const s = ot::sinkhorn_batch(narrow, a.cast<float>(), b.cast<float>(), {.epsilon = 0.05});
  for (std::size_t k = 0; k < 5; ++k) {
    REQUIRE(s[k].converged());
    CHECK(s[k].tolerance >= 1e-5);
    CHECK((s[k].f.cast<double>() - d[k].f).lpNorm<Eigen::Infinity>() < 1e-3);
    CHECK(std::abs(s[k].transport_cost - d[k].transport_cost) < 1e-4);
  }
}
