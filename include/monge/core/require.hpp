// SPDX-License-Identifier: MIT
/// @file
/// Misuse is refused at the public door, in the caller's words, with shapes and a remedy.
/// Numerical outcomes are a Status instead, never an exception.
#pragma once

#include <concepts>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>

#include <monge/core/types.hpp>

namespace monge::detail {

inline void append(std::string& text, std::string_view part) { text += part; }
inline void append(std::string& text, std::floating_point auto value) {
  if (value != value) {  // printf would show the sign of a NaN, which means nothing
    text += "nan";
    return;
  }
  char digits[40];
  std::snprintf(digits, sizeof digits, "%.6Lg", static_cast<long double>(value));
  text += digits;
}
inline void append(std::string& text, std::integral auto value) { text += std::to_string(value); }

/// "5x7": the shape of a matrix, for messages.
struct Shape {
  Index rows, cols;
};
inline void append(std::string& text, Shape shape) {
  append(text, shape.rows);
  text += 'x';
  append(text, shape.cols);
}
inline Shape shape(auto const& matrix) { return {Index(matrix.rows()), Index(matrix.cols())}; }

/// Throws std::invalid_argument with the parts joined.
[[noreturn]] void misuse(auto const&... parts) {
  std::string text;
  (append(text, parts), ...);
  throw std::invalid_argument(text);
}

/// `require(ok, "sinkhorn: cost is ", shape(C), " but a has ", a.size(), " entries; ...")`:
/// the text is built only if `ok` is false.
void require(bool ok, auto const&... parts) {
  if (!ok) [[unlikely]] {
    misuse(parts...);
  }
}

/// Refuses a value that is not finite and positive, NaN included.
inline void require_positive(std::string_view function, std::string_view name, double value) {
  require(value > 0 && value < infinity, function, ": ", name, " is ", value,
          "; it must be positive and finite");
}

/// Refuses NaN, negative and infinite values.
inline void require_nonnegative(std::string_view function, std::string_view name, double value) {
  require(value >= 0 && value < infinity, function, ": ", name, " is ", value,
          "; it must be at least 0 and finite");
}

/// Refuses limits that no run could honour.
inline void require_limits(std::string_view function, Index max_iterations, double max_seconds,
                           Index observe_every = 1) {
  require(max_iterations >= 0, function, ": max_iterations is ", max_iterations,
          "; it must be at least 0");
  require(max_seconds >= 0, function, ": max_seconds is ", max_seconds, "; it must be at least 0");
  require(observe_every >= 1, function, ": observe_every is ", observe_every,
          "; it must be at least 1");
}

}  // namespace monge::detail
