// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/cost.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

/// The operator's entries, gathered in segments of an awkward width.
template <ot::CostOperator C>
MatrixX<scalar_t<C>> entries(C const& cost, Index width = 7) {
  MatrixX<scalar_t<C>> result(cost.rows(), cost.cols());
  std::vector<scalar_t<C>> scratch(static_cast<std::size_t>(width));
  for (Index j = 0; j < cost.cols(); ++j) {
    for (Index i = 0; i < cost.rows(); i += width) {
      Index const count = std::min(width, cost.rows() - i);
      auto const* segment = cost.column_segment(j, i, count, scratch.data());
      for (Index k = 0; k < count; ++k) result(i + k, j) = segment[k];
    }
  }
  return result;
}

template <class F>
void check_against_definition(F c, double tolerance) {
  for (Index d : {1, 2, 3, 17}) {
    MatrixXd const X = support::points(d, 23, 1), Y = support::points(d, 11, 2);
    MatrixXd const dense = ot::cost_matrix(X, Y, c);
    MatrixXd const lazy = entries(ot::point_cloud(X, Y, c));
    REQUIRE(dense.rows() == 23);
    REQUIRE(dense.cols() == 11);
    for (Index i = 0; i < 23; ++i) {
      for (Index j = 0; j < 11; ++j) {
        double const definition = c(X.col(i), Y.col(j));
        REQUIRE(std::abs(dense(i, j) - definition) <= tolerance);
        REQUIRE(std::abs(lazy(i, j) - dense(i, j)) <= tolerance);
      }
    }
  }
}

/// The smallest operator that a user can write.
struct Ramp {
  using Scalar = double;
  Index rows() const { return 3; }
  Index cols() const { return 4; }
  double const* column_segment(Index j, Index first, Index count, double* scratch) const {
    for (Index k = 0; k < count; ++k) scratch[k] = double(first + k + j);
    return scratch;
  }
};
static_assert(ot::CostOperator<Ramp>);
static_assert(!ot::CostOperator<MatrixXd>);
static_assert(ot::Cost<MatrixXd>);
static_assert(!ot::Cost<Eigen::MatrixXi>);
static_assert(ot::CostOperator<ot::PointCloud<float, ot::cosine>>);

}  // namespace

TEST_CASE("Every cost equals its definition, dense and lazy", "[cost]") {
  check_against_definition(ot::squared_euclidean{}, 1e-14);
  check_against_definition(ot::euclidean{}, 1e-14);
  check_against_definition(ot::p_norm{1}, 1e-14);
  check_against_definition(ot::p_norm{2}, 1e-14);
  check_against_definition(ot::p_norm{3}, 1e-13);
  check_against_definition(ot::p_norm{1.5}, 1e-13);
  check_against_definition(ot::p_norm{infinity}, 1e-14);
  check_against_definition(ot::cosine{}, 1e-14);
  check_against_definition([](auto const& x, auto const& y) { return (x + y).sum(); }, 1e-14);
}

TEST_CASE("Costs at known points", "[cost]") {
  Eigen::Vector2d const x(3, 0), y(0, 4), origin(0, 0);
  CHECK(ot::squared_euclidean{}(x, y) == 25);
  CHECK(ot::euclidean{}(x, y) == 5);
  CHECK(ot::p_norm{1}(x, y) == 7);
  CHECK(ot::p_norm{infinity}(x, y) == 4);
  CHECK(std::abs(ot::p_norm{3}(x, y) - std::cbrt(91.0)) < 1e-14);
  CHECK(ot::cosine{}(x, y) == 1);
  CHECK(ot::cosine{}(x, origin) == 1);
  CHECK(ot::cosine{}(x, Eigen::Vector2d(-2, 0)) == 2);
  CHECK(ot::cost_matrix(x, origin, ot::cosine{})(0, 0) == 1);
}

TEST_CASE("Equal points cost nothing, wherever they are", "[cost]") {
  MatrixXd X = support::points(3, 40, 5);
  X.array() += 1e8;
  CHECK(ot::cost_matrix(X, X, ot::squared_euclidean{}).diagonal().isZero(0));
  CHECK(ot::cost_matrix(X, X, ot::euclidean{}).diagonal().isZero(0));
  CHECK(ot::cost_matrix(X, X, ot::p_norm{3}).diagonal().isZero(0));
}

TEST_CASE("Costs take any expression and the float scalar", "[cost]") {
  MatrixXd const X = support::points(3, 9, 1), Y = support::points(3, 8, 2);
  MatrixXd const C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
  Eigen::Matrix<double, -1, -1, Eigen::RowMajor> const Xr = X;
  CHECK(ot::cost_matrix(Xr, Y, ot::squared_euclidean{}) == C);
  CHECK(ot::cost_matrix(2 * X, 2 * Y, ot::squared_euclidean{}).isApprox(4 * C, 1e-15));
  CHECK(ot::cost_matrix(X.leftCols(4), Y, ot::squared_euclidean{}) == C.topRows(4));
  CHECK(ot::cost_matrix(Y, X, ot::squared_euclidean{}) == C.transpose());
  Eigen::MatrixXf const single =
      ot::cost_matrix(X.cast<float>().eval(), Y.cast<float>().eval(), ot::squared_euclidean{});
  CHECK(single.cast<double>().isApprox(C, 1e-6));
  Eigen::Matrix<double, 3, 2> const fixed = X.leftCols<2>();
  CHECK(ot::cost_matrix(fixed, Y, ot::squared_euclidean{}) == C.topRows(2));
}

TEST_CASE("A lazy cost built from temporaries may be stored", "[cost]") {
  auto const cloud = [] {
    MatrixXd const X = support::points(2, 30, 1);
    return ot::point_cloud(X * 2.0, X.rowwise().reverse(), ot::squared_euclidean{});
  }();
  MatrixXd const X = support::points(2, 30, 1);
  CHECK(entries(cloud).isApprox(
      ot::cost_matrix(X * 2.0, X.rowwise().reverse(), ot::squared_euclidean{}), 1e-15));
}

TEST_CASE("Costs by index and by a user's operator", "[cost]") {
  auto const cost = ot::index_cost(5, 6, [](Index i, Index j) { return double(i * 10 + j); });
  MatrixXd const C = entries(cost, 2);
  CHECK(C(4, 5) == 45);
  CHECK(C(0, 3) == 3);
  CHECK(entries(Ramp{})(2, 3) == 5);
  ot::DenseCost<double> const owned(C);
  CHECK(entries(owned) == C);
}

TEST_CASE("Bad points are refused in words", "[cost]") {
  MatrixXd const X = support::points(2, 4, 1), Y = support::points(3, 4, 1);
  CHECK_REFUSED(ot::point_cloud(X, Y, ot::euclidean{}), "X has 2 coordinates and Y has 3");
  CHECK_REFUSED(ot::cost_matrix(X, MatrixXd(2, 0), ot::euclidean{}), "at least one point");
  CHECK_REFUSED(ot::cost_matrix(MatrixXd(0, 3), MatrixXd(0, 3), ot::euclidean{}),
                "at least one point");
  MatrixXd bad = X;
  bad(1, 2) = std::numeric_limits<double>::quiet_NaN();
  CHECK_REFUSED(ot::point_cloud(bad, X, ot::euclidean{}), "NaN or infinity in X");
  bad(1, 2) = std::numeric_limits<double>::infinity();
  CHECK_REFUSED(ot::point_cloud(X, bad, ot::euclidean{}), "NaN or infinity in Y");
  CHECK_REFUSED(ot::point_cloud(X, X, ot::p_norm{0.5}), "p is 0.5; it must be at least 1");
}
