// SPDX-License-Identifier: MIT
// CHECK_REFUSED(expression, "part of the message"): misuse is an invalid_argument that says so.
#pragma once

#include <stdexcept>
#include <string>

#include "support/catch.hpp"

#define CHECK_REFUSED(expression, part)             \
  do {                                              \
    std::string refusal;                            \
    try {                                           \
      static_cast<void>(expression);                \
      refusal = "(accepted)";                       \
    } catch (std::invalid_argument const& error) {  \
      refusal = error.what();                       \
    }                                               \
    CAPTURE(refusal);                               \
    CHECK(refusal.find(part) != std::string::npos); \
  } while (false)
