// SPDX-License-Identifier: MIT
// Comes before everything else in every test (the build forces it in): new matrices are filled with
// NaN, so that reading one before writing it is seen; a failed assertion of Eigen is an exception,
// so that it fails one test instead of ending the program; and Eigen's malloc can be forbidden.
#pragma once

#define EIGEN_INITIALIZE_MATRICES_BY_NAN
#define EIGEN_RUNTIME_NO_MALLOC

#include <stdexcept>
#include <string>

namespace monge::test {

struct EigenAssertion : std::logic_error {
  using std::logic_error::logic_error;
};

[[noreturn]] inline void assertion_failed(char const* condition, char const* file, int line) {
  throw EigenAssertion("eigen_assert(" + std::string(condition) + ") failed at " + file + ":" +
                       std::to_string(line));
}

}  // namespace monge::test

#define eigen_assert(condition)          \
  (static_cast<bool>(condition) ? void() \
                                : ::monge::test::assertion_failed(#condition, __FILE__, __LINE__))
