// SPDX-License-Identifier: MIT
#include <limits>
#include <stdexcept>
#include <string>

#include "support/catch.hpp"
#include <monge/core/require.hpp>

using namespace monge;
using detail::require;

namespace {

std::string refusal(auto const&... parts) {
  try {
    require(false, parts...);
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("a refusal joins shapes, numbers and words") {
  Eigen::MatrixXd const C(5, 7);
  Eigen::VectorXd const a(6);
  CHECK(refusal("sinkhorn: cost is ", detail::shape(C), " but a has ", a.size(), " entries") ==
        "sinkhorn: cost is 5x7 but a has 6 entries");
  CHECK(refusal("shape ", detail::shape(a), ", transposed ", detail::shape(a.transpose())) ==
        "shape 6x1, transposed 1x6");
  CHECK(refusal(std::string("text "), std::string_view("view "), "literal") == "text view literal");
  CHECK(refusal(1, ' ' == 32, 0u, -7L, std::size_t(9)) == "110-79");
  CHECK(refusal(0.05, " ", 1e-300, " ", 1.0f / 3, " ", 2.5L, " ", 100000.0) ==
        "0.05 1e-300 0.333333 2.5 100000");
  CHECK(refusal().empty());
}

TEST_CASE("infinities and NaN are named without the sign of a NaN") {
  CHECK(refusal(infinity, " ", -infinity) == "inf -inf");
  CHECK(refusal(not_a_number) == "nan");
  CHECK(refusal(-not_a_number) == "nan");
  CHECK(refusal(-std::numeric_limits<float>::quiet_NaN()) == "nan");
  CHECK(refusal(std::numeric_limits<long double>::max()) == "1.18973e+4932");
  CHECK(refusal(-std::numeric_limits<long double>::denorm_min()).size() < 40);
}

TEST_CASE("what holds is not refused") {
  CHECK_NOTHROW(require(true, "never seen"));
  CHECK_NOTHROW(require(true));
}

TEST_CASE("require_positive takes positive finite numbers only") {
  for (double good : {1e-300, std::numeric_limits<double>::denorm_min(), 1.0, 1e300}) {
    CHECK_NOTHROW(detail::require_positive("f", "x", good));
  }
  for (double bad : {0.0, -0.0, -1.0, infinity, -infinity, not_a_number}) {
    CHECK_THROWS_AS(detail::require_positive("f", "x", bad), std::invalid_argument);
  }
  CHECK_THROWS_WITH(detail::require_positive("sinkhorn", "epsilon", -0.5),
                    "sinkhorn: epsilon is -0.5; it must be positive and finite");
  CHECK_THROWS_WITH(detail::require_positive("sinkhorn", "epsilon", -not_a_number),
                    "sinkhorn: epsilon is nan; it must be positive and finite");
}

TEST_CASE("require_nonnegative takes zero too") {
  for (double good : {0.0, -0.0, 1e-300, 1e300}) {
    CHECK_NOTHROW(detail::require_nonnegative("f", "x", good));
  }
  for (double bad : {-1e-300, infinity, -infinity, not_a_number}) {
    CHECK_THROWS_AS(detail::require_nonnegative("f", "x", bad), std::invalid_argument);
  }
  CHECK_THROWS_WITH(detail::require_nonnegative("sinkhorn", "tolerance", infinity),
                    "sinkhorn: tolerance is inf; it must be at least 0 and finite");
}

TEST_CASE("require_limits refuses limits that no run could honour") {
  CHECK_NOTHROW(detail::require_limits("f", 0, 0));
  CHECK_NOTHROW(detail::require_limits("f", std::numeric_limits<Index>::max(), infinity));
  CHECK_THROWS_WITH(detail::require_limits("f", -1, 1),
                    "f: max_iterations is -1; it must be at least 0");
  CHECK_THROWS_WITH(detail::require_limits("f", 1, -0.1),
                    "f: max_seconds is -0.1; it must be at least 0");
  CHECK_THROWS_WITH(detail::require_limits("f", 1, not_a_number),
                    "f: max_seconds is nan; it must be at least 0");
}
