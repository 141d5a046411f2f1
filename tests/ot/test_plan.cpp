// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/plan.hpp>
#include <monge/ot/sinkhorn.hpp>

using namespace monge;

TEMPLATE_TEST_CASE("plan: entries follow their formula, dense and lazy", "[plan]", float, double) {
  using S = TestType;
  S const tolerance = 20 * unit_roundoff<S>;
  Index const n = 523, m = 12;
  MatrixX<S> const X = support::points<S>(2, n, 1), Y = support::points<S>(2, m, 2);
  auto const cloud = ot::point_cloud(X, Y, ot::squared_euclidean{});
  MatrixX<S> const C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
  VectorX<S> a = support::weights<S>(n, 3) * S(2), b = support::weights<S>(m, 4) * S(2);
  a(5) = 0;
  a *= b.sum() / a.sum();
  auto const r = ot::sinkhorn(C, a, b, {.epsilon = 0.2});
  MatrixX<S> const P = ot::plan(C, r);
  for (Index j = 0; j < m; ++j) {
    for (Index i = 0; i < n; ++i) {
      S const entry = r.a(i) * r.b(j) / S(2) * std::exp((r.f(i) + r.g(j) - C(i, j)) / S(r.epsilon));
      REQUIRE(std::abs(P(i, j) - entry) <= 20 * tolerance * (entry + S(1) / S(n * m)));
    }
  }
  CHECK(P.row(5).isZero(0));
  CHECK((ot::plan(cloud, r) - P).cwiseAbs().maxCoeff() <= tolerance);
  CHECK((ot::plan(2 * C - C, r) - P).cwiseAbs().maxCoeff() <= tolerance);
}

TEMPLATE_TEST_CASE("plan: apply and marginals equal products with the formed plan", "[plan]", float,
                   double) {
  using S = TestType;
  S const tolerance = 50 * unit_roundoff<S>;
  Index const n = 70, m = 530;
  MatrixX<S> const C = support::matrix<S>(n, m, 1);
  auto const r = ot::sinkhorn(C, support::weights<S>(n, 2), support::weights<S>(m, 3),
                              {.epsilon = 0.1, .tolerance = 1e-3});
  MatrixX<S> const P = ot::plan(C, r);
  MatrixX<S> const V = support::points<S>(m, 3, 4), U = support::points<S>(n, 2, 5);
  CHECK((ot::apply(C, r, V) - P * V).cwiseAbs().maxCoeff() <= tolerance);
  CHECK((ot::apply(C, r, V.col(0)) - P * V.col(0)).cwiseAbs().maxCoeff() <= tolerance);
  CHECK((ot::apply_transpose(C, r, U) - P.transpose() * U).cwiseAbs().maxCoeff() <= tolerance);
  auto const sums = ot::marginals(C, r);
  CHECK((sums.rows - P.rowwise().sum()).cwiseAbs().maxCoeff() <= tolerance);
  CHECK((sums.cols - P.colwise().sum().transpose()).cwiseAbs().maxCoeff() <= tolerance);
  S const error = ((sums.rows - r.a).cwiseAbs().sum() + (sums.cols - r.b).cwiseAbs().sum());
  CHECK(std::abs(double(error) - r.marginal_error) <= 1000 * unit_roundoff<S>);
}

TEST_CASE("plan: a foreign cost or an empty solution is refused", "[plan]") {
  Eigen::MatrixXd const C = support::matrix(4, 5, 1);
  auto const r = ot::sinkhorn(C, support::weights(4, 2), support::weights(5, 3), {.epsilon = 0.1});
  CHECK_REFUSED(ot::plan(C.transpose(), r), "cost is 5x4 but the solution has 4 and 5 potentials");
  CHECK_REFUSED(ot::plan(Eigen::MatrixXd(0, 0), ot::SinkhornResult<double>{}),
                "the solution is empty");
  CHECK_REFUSED(ot::apply(C, r, Eigen::VectorXd::Ones(4)), "the plan is 4x5 but the values have 4");
  CHECK_REFUSED(ot::apply_transpose(C, r, Eigen::VectorXd::Ones(5)), "the values have 5 rows");
}
