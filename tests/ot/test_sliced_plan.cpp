// SPDX-License-Identifier: MIT
// Oracles: exact transport, transport on the line, costs and marginals recomputed from the plan,
// the two examples of POT's documentation, and laws.
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/core/threads.hpp>
#include <monge/ot/sliced_plan.hpp>

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::MatrixX;
using monge::Philox;
using monge::VectorX;
using namespace monge::ot;

/// |x_i - y_j|^p.
template <class S>
MatrixXd costs(MatrixX<S> const& X, MatrixX<S> const& Y, double p) {
  MatrixXd C(X.cols(), Y.cols());
  for (Index j = 0; j < Y.cols(); ++j) {
    for (Index i = 0; i < X.cols(); ++i) {
      C(i, j) = std::pow((X.col(i) - Y.col(j)).template cast<double>().norm(), p);
    }
  }
  return C;
}

/// The exact distance by trying everything: every point stands for some equal units of mass, the
/// units of both clouds are as many, and one of their permutations is optimal.
double least_cost(MatrixXd const& C, std::vector<Index> const& units_x,
                  std::vector<Index> const& units_y) {
  std::vector<Index> rows, columns;
  for (Index i = 0; i < C.rows(); ++i)
    rows.insert(rows.end(), std::size_t(units_x[std::size_t(i)]), i);
  for (Index j = 0; j < C.cols(); ++j)
    columns.insert(columns.end(), std::size_t(units_y[std::size_t(j)]), j);
  double best = monge::infinity;
  do {  // equal columns are not exchanged: permutations of a multiset
    double cost = 0;
    for (std::size_t k = 0; k < rows.size(); ++k) cost += C(rows[k], columns[k]);
    best = std::min(best, cost / double(rows.size()));
  } while (std::next_permutation(columns.begin(), columns.end()));
  return best;
}

/// The plan couples the weights, and its cost is the one that the result tells.
template <class S>
void require_coupling(MatrixX<S> const& X, MatrixX<S> const& Y, VectorX<S> const& a,
                      VectorX<S> const& b, double p, SlicedPlanResult<S> const& r) {
  REQUIRE(r.converged());
  double const u = std::numeric_limits<S>::epsilon();
  MatrixXd const P = MatrixXd(r.plan.template cast<double>()), C = costs(X, Y, p);
  REQUIRE(P.minCoeff() >= 0);
  double const mass = a.template cast<double>().sum();
  double const wrong = (P.rowwise().sum() - a.template cast<double>()).cwiseAbs().sum() +
                       (P.colwise().sum().transpose() - b.template cast<double>()).cwiseAbs().sum();
  REQUIRE(wrong <= 8 * double(X.cols() + Y.cols()) * u * mass);
  REQUIRE(std::abs(P.cwiseProduct(C).sum() - double(r.power)) <= 64 * u * double(r.power));
  REQUIRE(std::abs(std::pow(double(r.value), p) - double(r.power)) <= 64 * u * double(r.power));
  REQUIRE(std::abs(double(r.proportions.sum()) - 1) <= 1e-14);
}

MatrixXd const X3 = support::points(3, 24, 1), Y3 = 1.5 * support::points(3, 24, 2);

}  // namespace

TEMPLATE_TEST_CASE("both plans bracket the exact distance", "", float, double) {
  using S = TestType;
  std::vector<Index> const ones(7, 1), heavy{3, 1, 2, 1}, light{1, 2, 1, 1, 2}, single{7};
  struct Case {
    std::vector<Index> x, y;
    bool weighted;
  };
  for (double p : {1.0, 1.5, 2.0, 3.0}) {
    for (auto const& [units_x, units_y, weighted] :
         {Case{ones, ones, false}, Case{ones, ones, true}, Case{heavy, light, true},
          Case{single, ones, false}, Case{heavy, single, true}}) {
      Index const n = Index(units_x.size()), m = Index(units_y.size());
      CAPTURE(p, n, m, weighted);
      MatrixX<S> const X = support::points<S>(3, n, 1), Y = support::points<S>(3, m, 2);
      VectorX<S> a(n), b(m);
      for (Index i = 0; i < n; ++i) a(i) = S(units_x[std::size_t(i)]) / S(7);
      for (Index j = 0; j < m; ++j) b(j) = S(units_y[std::size_t(j)]) / S(7);
      SlicedPlanOptions const options{.p = p, .projections = 12};
      auto const least = weighted ? min_pivot_sliced(X, Y, a, b, options, Philox(1))
                                  : min_pivot_sliced(X, Y, options, Philox(1));
      auto const mean = weighted ? expected_sliced(X, Y, a, b, options, Philox(1))
                                 : expected_sliced(X, Y, options, Philox(1));
      require_coupling<S>(X, Y, a, b, p, least);
      require_coupling<S>(X, Y, a, b, p, mean);
      double const optimum = least_cost(costs(X, Y, p), units_x, units_y);
      double const u = 64 * double(std::numeric_limits<S>::epsilon());
      REQUIRE(double(least.power) >= optimum * (1 - u));
      REQUIRE(double(least.lower_power) <= optimum * (1 + u));
      REQUIRE(least.lower_power > 0);
      REQUIRE(least.power == least.costs.minCoeff());
      REQUIRE(double(mean.power) >= double(least.power) * (1 - u));
      REQUIRE(mean.lower_power == least.lower_power);
      REQUIRE(mean.costs == least.costs);
    }
  }
}

TEST_CASE("a basis of directions bounds from below by more than one of them") {
  auto const basis = min_pivot_sliced(X3, Y3, {.projections = 3}, Philox(3));
  auto const set = directions(DirectionRule::orthogonal, 3, 3, key_from(Philox(3)));
  auto const lines = min_pivot_sliced(X3, Y3, {}, Directions{set.theta, {}, 1});
  double sum = 0, most = 0;
  for (Index k = 0; k < 3; ++k) {
    VectorXd const x = X3.transpose() * set.theta.col(k), y = Y3.transpose() * set.theta.col(k);
    double const power = wasserstein_1d(x, y).power;
    sum += power;
    most = std::max(most, power);
  }
  CHECK(std::abs(basis.lower_power - sum) <= 1e-14 * sum);
  CHECK(std::abs(lines.lower_power - most) <= 1e-14 * most);
  CHECK(lines.power == basis.power);
  // A set that only claims to be a basis is taken as single lines.
  Directions skew = set;
  skew.theta.col(2) = skew.theta.col(1);
  CHECK(min_pivot_sliced(X3, Y3, {}, skew).lower_power < sum * (1 - 1e-3));
}

TEST_CASE("on the line both are the optimal plan") {
  MatrixXd const X = support::points(1, 15, 1), Y = support::points(1, 11, 2);
  VectorXd const a = support::weights(15, 3), b = support::weights(11, 4);
  for (double p : {1.0, 2.0, 2.5}) {
    auto const exactly = wasserstein_1d(X.row(0), Y.row(0), a, b, {.p = p});
    auto const least = min_pivot_sliced(X, Y, a, b, {.p = p}, Philox(1));
    auto const mean = expected_sliced(X, Y, a, b, {.p = p}, Philox(1));
    CHECK(std::abs(least.power - exactly.power) <= 1e-14 * exactly.power);
    CHECK(std::abs(mean.power - exactly.power) <= 1e-14 * exactly.power);
    CHECK(std::abs(least.lower_power - exactly.power) <= 1e-14 * exactly.power);
    CHECK((MatrixXd(least.plan) - MatrixXd(exactly.plan)).cwiseAbs().maxCoeff() <= 1e-15);
  }
}

TEST_CASE("equal weights give a permutation, and a shifted cloud its shift") {
  VectorXd const shift = Eigen::Vector3d(1, -2, 0.5);
  auto const r = min_pivot_sliced(X3, X3.colwise() + shift, {.projections = 4}, Philox(9));
  CHECK(r.plan.nonZeros() == 24);
  CHECK((MatrixXd(r.plan) - MatrixXd::Identity(24, 24) / 24).cwiseAbs().maxCoeff() <= 1e-17);
  CHECK(std::abs(r.power - shift.squaredNorm()) <= 1e-14 * shift.squaredNorm());
  CHECK(std::abs(r.value - shift.norm()) <= 1e-14);
  auto const same = min_pivot_sliced(X3, X3, {.projections = 4}, Philox(9));
  CHECK(same.power == 0);
  CHECK(same.lower_power == 0);
}

TEST_CASE("more directions never make the cheapest plan dearer") {
  double last = monge::infinity;
  for (Index L : {1, 3, 10, 40, 160}) {
    auto const r = min_pivot_sliced(
        X3, Y3, {.projections = L, .directions = DirectionRule::monte_carlo}, Philox(5));
    CHECK(r.power <= last);
    CHECK(std::abs(r.direction.norm() - 1) <= 1e-14);
    last = r.power;
  }
}

TEST_CASE("the temperature leads from the mean of all plans to the cheapest") {
  auto const least = min_pivot_sliced(X3, Y3, {.projections = 20}, Philox(5));
  double last = monge::infinity;
  for (double beta : {0.0, 1.0, 10.0, 1e5}) {
    auto const r =
        expected_sliced(X3, Y3, {.projections = 20, .inverse_temperature = beta}, Philox(5));
    CHECK(r.power <= last);
    last = r.power;
    VectorXd const expected = (-beta * (r.costs.array() - r.costs.minCoeff())).exp();
    CHECK((r.proportions - expected / expected.sum()).norm() <= 1e-14);
    require_coupling<double>(X3, Y3, support::uniform_weights(24), support::uniform_weights(24), 2,
                             r);
  }
  CHECK(std::abs(last - least.power) <= 1e-14 * least.power);
}

TEST_CASE("the mean plan is the mean of the plans along the lines, by the rule's weights") {
  Directions const set = gauss_directions(3, 16);
  auto const r = expected_sliced(X3, Y3, {}, set);
  MatrixXd P = MatrixXd::Zero(24, 24);
  for (Index l = 0; l < set.count(); ++l) {
    VectorXd const x = X3.transpose() * set.theta.col(l), y = Y3.transpose() * set.theta.col(l);
    P += set.weight(l) * MatrixXd(wasserstein_1d(x, y).plan);
  }
  CHECK((P - MatrixXd(r.plan)).cwiseAbs().maxCoeff() <= 1e-15);
}

TEST_CASE("the examples of POT's documentation come out") {
  MatrixXd const X = (MatrixXd(2, 2) << 3, 1, 3, 1).finished();
  MatrixXd const Y = (MatrixXd(2, 2) << 2, 3, 2.5, 2).finished();
  Directions const axes{MatrixXd::Identity(2, 2), {}, 0};
  auto const least = min_pivot_sliced(X, Y, {}, axes);
  CHECK(least.power == 2.125);
  CHECK(MatrixXd(least.plan) == (MatrixXd(2, 2) << 0, 0.5, 0.5, 0).finished());
  auto const mean = expected_sliced(X, Y, {}, axes);
  CHECK(mean.power == 2.625);
  CHECK(MatrixXd(mean.plan) == MatrixXd::Constant(2, 2, 0.25));
}

TEST_CASE("a point split in two changes nothing") {
  MatrixXd Z(3, 25);
  Z << X3, X3.col(0);
  VectorXd a = support::uniform_weights(25), b = support::uniform_weights(24);
  a.setConstant(1.0 / 24);
  a(0) = a(24) = 1.0 / 48;
  auto const split = min_pivot_sliced(Z, Y3, a, b, {.p = 1, .projections = 9}, Philox(2));
  auto const whole = min_pivot_sliced(X3, Y3, {.p = 1, .projections = 9}, Philox(2));
  CHECK(std::abs(split.power - whole.power) <= 1e-13 * whole.power);
  CHECK(std::abs(split.lower_power - whole.lower_power) <= 1e-13 * whole.power);
}

TEST_CASE("threads, storage and expressions do not change the answer") {
  SlicedPlanOptions options{.projections = 13};
  auto const r = expected_sliced(X3, Y3, options, Philox(5));
  options.parallel = monge::parallel::threads(3);
  auto const threaded = expected_sliced(X3, Y3, options, Philox(5));
  CHECK(expected_sliced(X3, Y3, options, key_from(Philox(5))).power == r.power);
  CHECK(threaded.costs == r.costs);
  CHECK(threaded.power == r.power);
  CHECK(MatrixXd(threaded.plan) == MatrixXd(r.plan));
  Eigen::Matrix<double, 3, Eigen::Dynamic, Eigen::RowMajor> const rows = X3;
  CHECK(expected_sliced(rows, 2 * (Y3 / 2), {.projections = 13}, Philox(5)).power == r.power);
}

TEST_CASE("misuse is refused in the caller's words") {
  MatrixXd const X = X3, Y = Y3;
  MatrixXd spoilt = X;
  spoilt(1, 1) = monge::not_a_number;
  VectorXd const a = support::uniform_weights(24), few = support::uniform_weights(5);
  Philox rng(1);
  CHECK_REFUSED(min_pivot_sliced(X, Y.topRows(2), {}, rng),
                "min_pivot_sliced: X is 3x24 and Y is 2x24");
  CHECK_REFUSED(expected_sliced(X, spoilt, {}, rng), "expected_sliced: Y has NaN");
  CHECK_REFUSED(min_pivot_sliced(X, MatrixXd(3, 0), {}, rng), "Y has 0 points");
  CHECK_REFUSED(min_pivot_sliced(X, Y, {.p = 0.5}, rng), "p is 0.5");
  CHECK_REFUSED(min_pivot_sliced(X, Y, {.projections = 0}, rng), "projections is 0");
  CHECK_REFUSED(expected_sliced(X, Y, {.inverse_temperature = -1}, rng),
                "inverse_temperature is -1");
  CHECK_REFUSED(min_pivot_sliced(X, Y, few, a, {}, rng), "X has 24 points but a has 5 entries");
  CHECK_REFUSED(min_pivot_sliced(X, Y, a, (2 * a).eval(), {}, rng), "a sums to 1 and b to 2");
  CHECK_REFUSED(min_pivot_sliced(X, Y, {}, Directions{MatrixXd::Identity(2, 2), {}, 0}),
                "directions are 2x2");
  CHECK_REFUSED(min_pivot_sliced(X, Y, {}, Directions{}), "no directions");
  CHECK(min_pivot_sliced(1e200 * X, Y, {}, rng).status == monge::Status::non_finite);
}
