// SPDX-License-Identifier: MIT
// An observer takes a Progress and returns nothing or a bool.
// expect: satisf.*Observer
#include <monge/core/observer.hpp>

static bool watch(monge::Observer auto&& observer) {
  return monge::detail::notify(observer, monge::Progress{});
}

int main() {
  watch([](monge::Progress const& progress) { return progress.iteration < 3; });
  watch([](auto const&) {});
#ifdef MONGE_BAD
  watch([](monge::Progress const&, int) { return true; });
#endif
}
