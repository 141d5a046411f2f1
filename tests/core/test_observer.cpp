// SPDX-License-Identifier: MIT
#include <string>

#include "support/catch.hpp"
#include <monge/core/observer.hpp>

using monge::Observer;
using monge::Progress;

namespace {

struct Truth {  // converts to bool, explicitly and implicitly
  bool value;
  operator bool() const { return value; }
};

}  // namespace

static_assert(Observer<void (*)(Progress const&)> && Observer<bool (*)(Progress const&)> &&
              Observer<bool (&)(Progress)> && Observer<monge::Unobserved> &&
              Observer<Truth (*)(Progress const&)>);
static_assert(!Observer<int> && !Observer<void (*)(int)> && !Observer<void (*)(Progress&)> &&
              !Observer<std::string (*)(Progress const&)> && !Observer<void (*)()>);

TEST_CASE("an observer that returns nothing never stops a run, one that returns a bool may") {
  int calls = 0;
  auto silent = [&](Progress const& p) { calls += static_cast<int>(p.iteration); };
  CHECK(monge::detail::notify(silent, {3, 0.5, 0.1}));
  CHECK(calls == 3);
  auto until_small = [](Progress const& p) { return p.error > 0.1; };
  CHECK(monge::detail::notify(until_small, {1, 0.5, 0}));
  CHECK(!monge::detail::notify(until_small, {2, 0.05, 0}));
  auto converts = [](Progress const&) { return Truth{false}; };
  CHECK(!monge::detail::notify(converts, {}));
  auto counts = [n = 0](Progress const&) mutable { return ++n < 2; };
  CHECK(monge::detail::notify(counts, {}));
  CHECK(!monge::detail::notify(counts, {}));
}

TEST_CASE("before anything is known the error is infinite") {
  CHECK(Progress{}.error == monge::infinity);
  CHECK(Progress{}.iteration == 0);
  CHECK(Progress{}.seconds == 0);
}
