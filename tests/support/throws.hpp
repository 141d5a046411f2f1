// SPDX-License-Identifier: MIT
// Misuse is an invalid_argument that says what is wrong: refusal(call) is its text, and
// CHECK_REFUSED(expression, "part of the message") looks for a part of it.
#pragma once

#include <stdexcept>
#include <string>

#include "support/catch.hpp"

namespace support {

template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "not refused";
}

}  // namespace support

#define CHECK_REFUSED(expression, part)                                                   \
  do {                                                                                    \
    std::string const refusal = support::refusal([&] { static_cast<void>(expression); }); \
    CAPTURE(refusal);                                                                     \
    CHECK(refusal.find(part) != std::string::npos);                                       \
  } while (false)
