// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include <monge/flow/velocity_field.hpp>

using monge::flow::VelocityField;

namespace {

// The smallest model: exactly the promised types, and a call that needs a non-const object.
struct Archetype {
  void operator()(double, Eigen::Vector2d const&, Eigen::Vector2d&);
};
static_assert(VelocityField<Archetype, Eigen::Vector2d>);

struct TakesRef {
  void operator()(double, Eigen::Ref<Eigen::VectorXd const> const&,
                  Eigen::Ref<Eigen::VectorXd>) const;
};
static_assert(VelocityField<TakesRef, Eigen::VectorXd>);

struct ReturnsTheVelocity {
  Eigen::Vector2d operator()(double, Eigen::Vector2d const&) const;
};
static_assert(!VelocityField<ReturnsTheVelocity, Eigen::Vector2d>);

struct ForgetsTheTime {
  void operator()(Eigen::Vector2d const&, Eigen::Vector2d&) const;
};
static_assert(!VelocityField<ForgetsTheTime, Eigen::Vector2d>);

struct Anything {
  template <class X>
  void operator()(double, X const&, X&) const;
};
static_assert(VelocityField<Anything, Eigen::MatrixXf>);
static_assert(!VelocityField<Anything, double>);            // states are Eigen objects
static_assert(!VelocityField<Anything, Eigen::VectorXcd>);  // of real scalars
static_assert(!VelocityField<Anything, Eigen::VectorXi>);
static_assert(!VelocityField<Anything, Eigen::Map<Eigen::VectorXd>>);  // plain types
static_assert(!VelocityField<Anything, Eigen::ArrayXd>);

}  // namespace

TEST_CASE("a generic lambda is a velocity field", "[flow]") {
  auto const spin = [](double, auto const& x, auto&& dx) { dx << x(1), -x(0); };
  STATIC_REQUIRE(VelocityField<decltype(spin), Eigen::Vector2d>);
  STATIC_REQUIRE(VelocityField<decltype(spin), Eigen::VectorXf>);
}
