// SPDX-License-Identifier: MIT
#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sparse_plan.hpp>

using namespace monge;

namespace {

template <class S>
struct Solved {
  MatrixX<S> C, P;
  ot::SinkhornResult<S> r;

  Solved(Index n, Index m, double epsilon) {
    MatrixX<S> const X = support::points<S>(2, n, 1), Y = support::points<S>(2, m, 2);
    C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
    VectorX<S> a = support::weights<S>(n, 3), b = support::weights<S>(m, 4);
    a(2) = 0;
    a *= b.sum() / a.sum();
    r = ot::sinkhorn(C, a, b, {.epsilon = epsilon, .tolerance = 1e-4});
    P = ot::plan(C, r);
  }
};

}  // namespace

TEMPLATE_TEST_CASE(
    "sparse_plan: keeps the plan's own entries, and all that matter to their row or column",
    "[sparse_plan]", float, double) {
  using S = TestType;
  Solved<S> const x(530, 37, 0.02);
  double const threshold = 0.01;
  auto const sparse = ot::sparse_plan(x.C, x.r, threshold);
  MatrixX<S> expected = MatrixX<S>::Zero(530, 37);
  Index count = 0;
  for (Index j = 0; j < 37; ++j) {
    for (Index i = 0; i < 530; ++i) {
      S const p = x.P(i, j);
      if (p > 0 && (p >= S(threshold) * x.r.a(i) || p >= S(threshold) * x.r.b(j))) {
        expected(i, j) = p;
        ++count;
      }
    }
  }
  CHECK(count > 530);
  CHECK(count < 530 * 37 / 2);
  CHECK(sparse.entries.nonZeros() == count);
  CHECK(MatrixX<S>(sparse.entries) == expected);
  CHECK(sparse.entries.isCompressed());
  MatrixX<S> const rest = x.P - expected;
  double const u = double(unit_roundoff<S>);
  CHECK(
      (sparse.left_out_rows.template cast<double>() - rest.template cast<double>().rowwise().sum())
          .cwiseAbs()
          .maxCoeff() <= 40 * u);
  CHECK((sparse.left_out_cols.template cast<double>() -
         rest.template cast<double>().colwise().sum().transpose())
            .cwiseAbs()
            .maxCoeff() <= 40 * u);
  CHECK(std::abs(double(sparse.left_out) - rest.template cast<double>().sum()) <= 40 * u);
}

TEST_CASE(
    "sparse_plan: what is left out stays below the promised share, and no row with mass is empty",
    "[sparse_plan]") {
  for (double const epsilon : {1.0, 0.05, 0.002}) {
    Solved<double> const x(60, 45, epsilon);
    double const threshold = 1.0 / 60;
    auto const sparse = ot::sparse_plan(x.C, x.r, threshold);
    CHECK(double(sparse.entries.nonZeros()) <= (60 + 45) / threshold);
    Eigen::MatrixXd const kept = sparse.entries;
    for (Index i = 0; i < 60; ++i) {
      CHECK(sparse.left_out_rows(i) <= 45 * threshold * x.r.a(i) * (1 + 1e-12));
      if (x.r.a(i) > 0) CHECK(kept.row(i).sum() > 0);
    }
    for (Index j = 0; j < 45; ++j) {
      CHECK(sparse.left_out_cols(j) <= 60 * threshold * x.r.b(j) * (1 + 1e-12));
      CHECK(kept.col(j).sum() > 0);
    }
  }
}

TEST_CASE("sparse_plan: threshold 0 keeps the whole plan, and a higher threshold keeps less",
          "[sparse_plan]") {
  Solved<double> const x(40, 50, 0.05);
  auto const all = ot::sparse_plan(x.C, x.r, 0);
  CHECK(Eigen::MatrixXd(all.entries) == x.P);
  CHECK(all.left_out == 0);
  double before = 0;
  Index entries = all.entries.nonZeros() + 1;
  for (double const threshold : {0.0, 1e-4, 1e-2, 0.1, 1.0}) {
    auto const sparse = ot::sparse_plan(x.C, x.r, threshold);
    CHECK(sparse.left_out >= before);
    CHECK(sparse.entries.nonZeros() <= entries);
    before = sparse.left_out;
    entries = sparse.entries.nonZeros();
  }
}

TEST_CASE("sparse_plan_top: the k largest entries of each row, as sorting the plan finds them",
          "[sparse_plan]") {
  Solved<double> const x(45, 60, 0.05);
  for (Index const k : {Index(1), Index(3), Index(60), Index(1000)}) {
    CAPTURE(k);
    auto const sparse = ot::sparse_plan_top(x.C, x.r, k);
    Eigen::MatrixXd const top = sparse.entries;
    for (Index i = 0; i < 45; ++i) {
      std::vector<double> row(60);
      for (Index j = 0; j < 60; ++j) row[std::size_t(j)] = x.P(i, j);
      std::sort(row.rbegin(), row.rend());
      double kept = 0, rest = 0;
      for (Index place = 0; place < 60; ++place) {
        (place < k ? kept : rest) += row[std::size_t(place)];
      }
      CHECK(std::abs(top.row(i).sum() - kept) <= 1e-16);
      CHECK(std::abs(sparse.left_out_rows(i) - rest) <= 1e-16);
      CHECK((top.row(i).array() > 0).count() == (x.r.a(i) > 0 ? std::min<Index>(k, 60) : 0));
      CHECK((top.row(i).array() == 0 || top.row(i).array() == x.P.row(i).array()).all());
    }
    Eigen::VectorXd const columns = (x.P - top).colwise().sum().transpose() - sparse.left_out_cols;
    CHECK(columns.cwiseAbs().maxCoeff() <= 1e-15);
  }
}

TEST_CASE("sparse_plan_top: of equal entries those of the lowest columns", "[sparse_plan]") {
  Eigen::MatrixXd const C = Eigen::MatrixXd::Zero(3, 5);
  auto const r =
      ot::sinkhorn(C, support::uniform_weights(3), support::uniform_weights(5), {.epsilon = 1.0});
  Eigen::MatrixXd const top = ot::sparse_plan_top(C, r, 2).entries;
  CHECK((top.leftCols(2).array() > 0).all());
  CHECK(top.rightCols(3).isZero(0));
}

TEST_CASE("sparse_plan: lazy costs, row-major costs and forbidden pairs", "[sparse_plan]") {
  Solved<double> const x(30, 20, 0.05);
  Eigen::MatrixXd const X = support::points(2, 30, 1), Y = support::points(2, 20, 2);
  auto const cloud = ot::point_cloud(X, Y, ot::squared_euclidean{});
  Eigen::MatrixXd const lazy = ot::sparse_plan(cloud, x.r, 0.01).entries;
  CHECK((lazy - Eigen::MatrixXd(ot::sparse_plan(x.C, x.r, 0.01).entries)).norm() <= 1e-14);
  using RowMajor = Eigen::Matrix<double, -1, -1, Eigen::RowMajor>;
  RowMajor const C = x.C;
  CHECK(Eigen::MatrixXd(ot::sparse_plan_top(C, x.r, 2).entries) ==
        Eigen::MatrixXd(ot::sparse_plan_top(x.C, x.r, 2).entries));

  Eigen::MatrixXd forbidden = x.C;
  forbidden.col(3).head(29).setConstant(infinity);
  Eigen::VectorXd a = Eigen::VectorXd::Constant(30, 1.0 / 30), b = support::weights(20, 4);
  b *= 0.5 * a(29) / b(3);
  b.head(3) *= (1 - b(3)) / (b.sum() - b(3));
  b.tail(16) *= (1 - b(3)) / (b.sum() - b(3));
  b *= 1 / b.sum();
  auto const r = ot::sinkhorn(forbidden, a, b, {.epsilon = 0.1, .max_iterations = 200});
  auto const sparse = ot::sparse_plan(forbidden, r, 0);
  CHECK(sparse.entries.col(3).nonZeros() == 1);
}

TEST_CASE("sparse_plan: misuse is refused", "[sparse_plan]") {
  Solved<double> const x(6, 5, 0.05);
  CHECK_REFUSED(ot::sparse_plan(x.C, x.r, -0.1), "threshold is -0.1");
  CHECK_REFUSED(ot::sparse_plan(x.C, x.r, not_a_number), "threshold is nan");
  CHECK_REFUSED(ot::sparse_plan(x.C, x.r, 1.5), "between 0 and 1");
  CHECK_REFUSED(ot::sparse_plan_top(x.C, x.r, 0), "k is 0");
  CHECK_REFUSED(ot::sparse_plan(x.C.transpose(), x.r, 0.1), "cost is 5x6 but the solution has");
}
