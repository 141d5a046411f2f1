// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include <monge/optim/objective.hpp>

using namespace monge::optim;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

struct Archetype {
  Archetype(Archetype const&) = delete;
  double operator()(VectorXd const&, VectorXd&);
};
struct ValueOnly {
  double operator()(VectorXd const&);
};
struct NoValue {
  void operator()(VectorXd const&, VectorXd&);
};

auto const generic = [](auto const& x, auto&& g) {
  g = 2 * x;
  return x.squaredNorm();
};
auto const typed = [](VectorXd const& x, VectorXd& g) {
  g = x;
  return 0.5F;  // converts to the scalar of x
};

static_assert(DifferentiableObjective<Archetype, VectorXd>);
static_assert(!DifferentiableObjective<Archetype, Eigen::VectorXf>);
static_assert(!DifferentiableObjective<ValueOnly, VectorXd>);
static_assert(!DifferentiableObjective<NoValue, VectorXd>);
static_assert(DifferentiableObjective<decltype(generic), VectorXd>);
static_assert(DifferentiableObjective<decltype(generic), MatrixXd>);
static_assert(DifferentiableObjective<decltype(generic), Eigen::Matrix<long double, 2, 3>>);
static_assert(DifferentiableObjective<decltype(typed), VectorXd>);
static_assert(!DifferentiableObjective<decltype(typed), MatrixXd>);
static_assert(Variable<Eigen::Vector3f>);
static_assert(!Variable<Eigen::VectorXi>);
static_assert(!Variable<Eigen::Map<VectorXd>>);  // not a value
static_assert(!Variable<double>);

}  // namespace

TEST_CASE("an objective returns the value and writes the gradient in one call") {
  VectorXd const x = VectorXd::LinSpaced(3, 1, 3);
  VectorXd g(3);
  CHECK(generic(x, g) == 14);
  CHECK(g == 2 * x);
  CHECK(double(typed(x, g)) == 0.5);
  CHECK(g == x);
}
