// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include <monge/flow/runge_kutta_methods.hpp>
#include <monge/flow/tableau.hpp>

using monge::flow::Tableau;

namespace {

// A user's own method: Kutta's third-order rule.
struct Kutta3 {
  static constexpr int stages = 3, order = 3;
  static constexpr double a[3][3] = {{}, {1. / 2}, {-1, 2}};
  static constexpr double b[3] = {1. / 6, 2. / 3, 1. / 6};
  static constexpr double c[3] = {0, 1. / 2, 1};
};
static_assert(Tableau<Kutta3>);

// Each of the following has one fault.
struct WrongRowSum : Kutta3 {
  static constexpr double c[3] = {0, 1. / 3, 1};
};
struct WrongWeights : Kutta3 {
  static constexpr double b[3] = {1. / 6, 2. / 3, 1. / 3};
};
struct TooProud : Kutta3 {
  static constexpr int order = 4;
};
struct NoOrder : Kutta3 {
  static constexpr int order = 0;
};
struct Implicit : Kutta3 {
  static constexpr double a[3][3] = {{}, {1. / 4, 1. / 4}, {-1, 2}};
};
struct WrongSize : Kutta3 {
  static constexpr double b[4] = {1. / 6, 2. / 3, 1. / 6, 0};
};
struct Nothing {};
static_assert(!Tableau<WrongRowSum>);
static_assert(!Tableau<WrongWeights>);
static_assert(!Tableau<TooProud>);
static_assert(!Tableau<NoOrder>);
static_assert(!Tableau<Implicit>);
static_assert(!Tableau<WrongSize>);
static_assert(!Tableau<Nothing>);

// A slip in one digit of a published coefficient, row sum kept, breaks the order conditions alone.
struct Slip : monge::flow::dormand_prince5 {
  static constexpr double a[7][7] = {
      {},
      {1. / 5},
      {3. / 40, 9. / 40},
      {44. / 45, -56. / 15, 32. / 9},
      {19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
      {9017. / 3168, -355. / 33, 46732. / 5247 + 1e-6, 49. / 176 - 1e-6, -5103. / 18656},
      {35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84}};
};
static_assert(!Tableau<Slip>);

struct ErrorThatDoesNotVanish : monge::flow::dormand_prince5 {
  static constexpr double error[7] = {71. / 57600,      0,         -71. / 16695, 71. / 1920,
                                      -17253. / 339200, 22. / 525, 1. / 40};
};
static_assert(!Tableau<ErrorThatDoesNotVanish>);

struct ErrorOfLowOrder : monge::flow::heun {
  static constexpr int embedded_order = 2;
};
static_assert(!Tableau<ErrorOfLowOrder>);

struct WrongInterpolant : monge::flow::tsitouras5 {
  static constexpr double interpolant[7] = {
      -1.0530884977290216, 0.1017, 2.490627285651253, -16.548102889244902, 47.37952196281928,
      -34.87065786149661,  2.6};
};
static_assert(!Tableau<WrongInterpolant>);

}  // namespace

TEST_CASE("the concept tells sound tableaus from broken ones", "[flow]") {
  STATIC_REQUIRE(Tableau<Kutta3>);
  STATIC_REQUIRE_FALSE(Tableau<Slip>);
  STATIC_REQUIRE_FALSE(Tableau<WrongInterpolant>);
}

TEST_CASE("the proof reads all 17 rooted trees up to order 5", "[flow]") {
  using monge::flow::dormand_prince5;
  using monge::flow::detail::fulfils_order;
  using monge::flow::detail::row;
  // Weights of order 4 that are not of order 5: the embedded solution b - error.
  constexpr auto embedded = [] {
    auto w = row<dormand_prince5>(dormand_prince5::b);
    for (int i = 0; i < 7; ++i) w[std::size_t(i)] -= dormand_prince5::error[i];
    return w;
  }();
  STATIC_REQUIRE(fulfils_order<dormand_prince5>(embedded, 4, 1));
  STATIC_REQUIRE_FALSE(fulfils_order<dormand_prince5>(embedded, 5, 1));
}
