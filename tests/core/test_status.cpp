// SPDX-License-Identifier: MIT
#include <string_view>

#include "support/catch.hpp"
#include <monge/core/status.hpp>

using monge::message;
using monge::Status;

// All enumerators with their names; the switch below makes the compiler complain about a new one.
#define MONGE_STATUS_NAMES(X)                                                            \
  X(converged)                                                                           \
  X(running) X(not_run) X(iteration_limit) X(evaluation_limit) X(time_limit)             \
      X(stopped_by_observer) X(precision_limit) X(infeasible) X(unbounded) X(non_finite) \
          X(step_too_small) X(line_search_failed) X(breakdown)

namespace {

struct Named {
  Status status;
  std::string_view name;
};
#define MONGE_NAMED(s) Named{Status::s, #s},
constexpr Named all[] = {MONGE_STATUS_NAMES(MONGE_NAMED)};

#define MONGE_CASE(s) case Status::s:
constexpr bool listed(Status status) {
  switch (status) { MONGE_STATUS_NAMES(MONGE_CASE) return true; }
  return false;
}

/// The message begins with the name, whose underscores are written as spaces or hyphens.
constexpr bool starts_with_name(std::string_view text, std::string_view name) {
  if (text.size() < name.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    bool const same = name[i] == '_' ? text[i] == ' ' || text[i] == '-' : text[i] == name[i];
    if (!same) return false;
  }
  return text.size() == name.size() || text[name.size()] == ':';
}

}  // namespace

static_assert(message(Status::converged) == "converged");
static_assert(static_cast<int>(Status::converged) == 0 && Status{} == Status::converged);
static_assert(sizeof(Status) == 1);
static_assert(message(static_cast<Status>(200)) == "unknown status");

TEST_CASE("every status has a message that starts with its name and says what to try next") {
  unsigned char next = 0;
  for (Named const& one : all) {
    CAPTURE(one.name);
    CHECK(listed(one.status));
    CHECK(static_cast<unsigned char>(one.status) == next++);  // none is left out of the list
    CHECK(starts_with_name(message(one.status), one.name));
    CHECK((one.status == Status::converged ||
           message(one.status).find(';') != std::string_view::npos));
  }
  CHECK(message(static_cast<Status>(next)) == "unknown status");
}
