// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include <monge/core/exp.hpp>

namespace {

/// Distance from y to the true value in units in the last place of the true value.
template <class S>
double ulps(S y, long double exact) {
  int exponent = 0;
  std::frexp(static_cast<S>(exact), &exponent);
  long double const unit = std::ldexp(1.0L, exponent - std::numeric_limits<S>::digits);
  return static_cast<double>(std::fabs((static_cast<long double>(y) - exact) / unit));
}

template <class S>
std::vector<S> grid(S low, S high, int count) {
  std::vector<S> x(static_cast<std::size_t>(count));
  for (int k = 0; k < count; ++k) {
    x[static_cast<std::size_t>(k)] = low + (high - low) * S(k) / S(std::max(count - 1, 1));
  }
  return x;
}

}  // namespace

TEMPLATE_TEST_CASE("exp is within 2 ulp over the whole normal range", "[exp]", float, double) {
  using K = monge::detail::ExpConstants<TestType>;
  double worst = 0;
  for (auto [low, high] : {std::pair<TestType, TestType>{K::lowest, K::highest},
                           {TestType(-1), TestType(1)},
                           {TestType(-40), TestType(0)},
                           {TestType(-1e-3), TestType(1e-3)}}) {
    std::vector<TestType> const x = grid<TestType>(low, high, 300'001);
    std::vector<TestType> y(x.size());
    monge::exp(x.data(), y.data(), monge::Index(x.size()));
    for (std::size_t k = 0; k < x.size(); ++k) {
      worst = std::max(worst, ulps(y[k], std::exp(static_cast<long double>(x[k]))));
    }
  }
  CAPTURE(worst);
  CHECK(worst < 2);
  CHECK(worst > 0.5);  // the measure itself sees rounding
}

TEMPLATE_TEST_CASE("exp gives the same bits in every position", "[exp]", float, double,
                   long double) {
  for (int count = 1; count <= 70; ++count) {
    std::vector<TestType> const x = grid<TestType>(TestType(-3.3), TestType(2.7), count);
    std::vector<TestType> y(x.size());
    monge::exp(x.data(), y.data(), count);
    for (std::size_t k = 0; k < x.size(); ++k) {
      REQUIRE(y[k] == monge::exp(x[k]));
    }
  }
}

TEMPLATE_TEST_CASE("exp is exact at the special points", "[exp]", float, double, long double) {
  using Limits = std::numeric_limits<TestType>;
  CHECK(monge::exp(TestType(0)) == 1);
  CHECK(monge::exp(-TestType(0)) == 1);
  CHECK(monge::exp(-Limits::infinity()) == 0);
  CHECK(monge::exp(Limits::infinity()) == Limits::infinity());
  CHECK(std::isnan(monge::exp(Limits::quiet_NaN())));
  CHECK(std::isnan(monge::exp(-Limits::quiet_NaN())));
  CHECK(std::isnan(monge::exp(Limits::signaling_NaN())));
  CHECK(monge::exp(-Limits::max()) == 0);
  CHECK(monge::exp(Limits::max()) == Limits::infinity());
  CHECK(monge::exp(Limits::denorm_min()) == 1);
}

TEMPLATE_TEST_CASE("exp never returns a subnormal number and never overflows early", "[exp]", float,
                   double) {
  using K = monge::detail::ExpConstants<TestType>;
  TestType x = K::lowest;
  for (int k = 0; k < 1000; ++k) {
    x = std::nextafter(x, TestType(-1e4));
    REQUIRE(monge::exp(x) == 0);
  }
  CHECK(monge::exp(K::lowest) >= std::numeric_limits<TestType>::min());
  CHECK(monge::exp(K::lowest) <= std::numeric_limits<TestType>::min() * TestType(1.0001));
  for (TestType low = TestType(-760); low < K::lowest; low += TestType(0.01)) {
    REQUIRE(monge::exp(low) == 0);
  }
  CHECK(std::isfinite(monge::exp(K::highest)));
  CHECK(monge::exp(K::highest) > std::numeric_limits<TestType>::max() * TestType(0.99));
  CHECK(std::isinf(monge::exp(std::nextafter(K::highest, TestType(1e4)))));
}

TEST_CASE("exp works in place and on nothing", "[exp]") {
  std::vector<double> x = grid(-1.0, 1.0, 37);
  std::vector<double> y(x.size());
  monge::exp(x.data(), y.data(), 37);
  monge::exp(x.data(), x.data(), 37);
  CHECK(x == y);
  monge::exp(x.data(), x.data(), 0);
  CHECK(x == y);
}
