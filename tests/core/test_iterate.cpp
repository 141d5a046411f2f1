// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include <monge/core/iterate.hpp>

using namespace monge;

namespace {

/// Newton's method for the square root: the smallest method that converges.
struct Root {
  double a = 2, start = 1, tolerance = 1e-12;
  struct State {
    double x = 0, error = infinity;
  };
  State init() const { return {start, infinity}; }
  Advance advance(State& s, Index k) const {
    for (Index step = 0;; ++step) {
      s.error = std::abs(s.x * s.x - a);
      if (s.error <= tolerance) return {Status::converged, step};
      if (step == k) return {Status::running, step};
      s.x = (s.x + a / s.x) / 2;
    }
  }
  double error(State const& s) const { return s.error; }
  Status finish(State&, Status status) const { return status; }
};

/// Counts to a goal, keeps a record of how it was driven, and can misbehave on the way.
struct Counter {
  Index goal = 1000000000;
  Index nan_at = -1;  // the error is NaN from this count on
  double seconds_a_step = 0;
  struct State {
    Index count = 0;
    double chaos = 0.3;  // differs in the last bit if a step is lost or repeated
    std::vector<Index> bursts;
    int finished = 0;
  };
  State init() const { return {}; }
  Advance advance(State& s, Index k) const {
    s.bursts.push_back(k);
    for (Index step = 0; step < k; ++step) {
      if (s.count >= goal) return {Status::converged, step};
      ++s.count;
      s.chaos = 3.9 * s.chaos * (1 - s.chaos);
      if (seconds_a_step > 0) {
        std::this_thread::sleep_for(std::chrono::duration<double>(seconds_a_step));
      }
    }
    return {s.count >= goal ? Status::converged : Status::running, k};
  }
  double error(State const& s) const {
    return nan_at >= 0 && s.count >= nan_at ? not_a_number : static_cast<double>(goal - s.count);
  }
  Status finish(State& s, Status status) const {
    ++s.finished;
    return status;
  }
};

/// Converges at once, but its certificate says something else.
struct Doubtful : Counter {
  Status finish(State&, Status status) const {
    return status == Status::converged ? Status::precision_limit : status;
  }
};

/// Takes a Deadline and notes what it has left.
struct Nested {
  struct State {
    std::vector<double> remaining;
    std::vector<double> elapsed;
  };
  State init() const { return {}; }
  Advance advance(State& s, Index k, Deadline const& deadline) const {
    for (Index step = 0; step < k; ++step) {
      s.remaining.push_back(deadline.remaining());
      s.elapsed.push_back(deadline.elapsed());
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      if (deadline.passed()) return {Status::time_limit, step + 1};
    }
    return {Status::running, k};
  }
  double error(State const&) const { return 1; }
  Status finish(State&, Status status) const { return status; }
};

struct NoFinish {
  struct State {};
  State init() const { return {}; }
  Advance advance(State&, Index) const { return {}; }
  double error(State const&) const { return 0; }
};

struct FrozenState : Root {  // its State cannot be copied
  struct State {
    State() = default;
    State(State const&) = delete;
  };
  State init() const { return {}; }
  Advance advance(State&, Index) const { return {}; }
  double error(State const&) const { return 0; }
  Status finish(State&, Status status) const { return status; }
};

}  // namespace

static_assert(IterativeMethod<Root> && IterativeMethod<Counter> && IterativeMethod<Doubtful> &&
              IterativeMethod<Nested>);
static_assert(!IterativeMethod<NoFinish> && !IterativeMethod<FrozenState> && !IterativeMethod<int>);
static_assert(detail::TakesDeadline<Nested> && !detail::TakesDeadline<Root>);

TEST_CASE("a run ends when the method has converged, with its steps counted") {
  auto const out = iterate(Root{}, {});
  CHECK(out.status == Status::converged);
  CHECK(std::abs(out.state.x - std::sqrt(2.0)) < 1e-12);
  CHECK(out.statistics.iterations == 5);  // 1.5, 1.4167, 1.414216, 1.41421356237469, root
  CHECK(out.statistics.evaluations == 0);
  CHECK(out.statistics.seconds >= 0);
  CHECK(out.statistics.seconds < 10);
}

TEST_CASE("a method that has converged at its start takes no step") {
  int calls = 0;
  auto const out = iterate(Root{.a = 9, .start = 3}, {}, [&](Progress const&) { ++calls; });
  CHECK(out.status == Status::converged);
  CHECK(out.statistics.iterations == 0);
  CHECK(out.state.x == 3);
  CHECK(calls == 0);
}

TEST_CASE("advance(0) only looks") {
  Root const method;
  auto state = method.init();
  Advance const look = method.advance(state, 0);
  CHECK(look.status == Status::running);
  CHECK(look.steps == 0);
  CHECK(state.x == 1);
  CHECK(state.error == 1);
}

TEST_CASE("max_iterations = 0 only looks: converged if it is, iteration_limit if not") {
  auto const far = iterate(Root{}, {.max_iterations = 0});
  CHECK(far.status == Status::iteration_limit);
  CHECK(far.statistics.iterations == 0);
  CHECK(far.state.x == 1);
  CHECK(far.state.error == 1);
  auto const there = iterate(Root{.a = 9, .start = 3}, {.max_iterations = 0});
  CHECK(there.status == Status::converged);
}

TEST_CASE("the iteration limit is exact, and reaching the goal in the last step is converging") {
  for (Index limit : {1, 2, 3, 7, 100, 12345}) {
    auto const out = iterate(Counter{}, {.max_iterations = limit});
    CHECK(out.status == Status::iteration_limit);
    CHECK(out.state.count == limit);
    CHECK(out.statistics.iterations == limit);
    CHECK(out.state.finished == 1);
    auto const just = iterate(Counter{.goal = limit}, {.max_iterations = limit});
    CHECK(just.status == Status::converged);
    CHECK(just.statistics.iterations == limit);
  }
}

TEST_CASE("bursts double, so that cheap steps are hardly interrupted") {
  auto const out = iterate(Counter{.goal = 100000}, {.max_iterations = 1000000});
  CHECK(out.status == Status::converged);
  auto const& bursts = out.state.bursts;
  // Doubling reaches 1e5 in 17 bursts; a busy machine may halve a few of them.
  CHECK(bursts.size() < 200);
  CHECK(bursts.front() == 1);
  for (std::size_t i = 1; i < bursts.size(); ++i) {
    CHECK(bursts[i] <= 2 * bursts[i - 1]);
  }
}

TEST_CASE("slow steps are taken one by one, and the time limit ends the run soon") {
  auto const out = iterate(Counter{.seconds_a_step = 0.005}, {.max_seconds = 0.03});
  CHECK(out.status == Status::time_limit);
  CHECK(out.statistics.iterations >= 1);
  CHECK(out.statistics.iterations <= 6);
  CHECK(std::all_of(out.state.bursts.begin(), out.state.bursts.end(),
                    [](Index k) { return k == 1; }));
  CHECK(out.statistics.seconds >= 0.03);
  CHECK(iterate(Counter{}, {.max_seconds = 0}).status == Status::time_limit);
}

TEST_CASE("a NaN in the error ends the run as non_finite, whatever the method says") {
  auto const out = iterate(Counter{.nan_at = 50}, {});
  CHECK(out.status == Status::non_finite);
  CHECK(out.statistics.iterations >= 50);
  CHECK(out.statistics.iterations < 1000);
  auto const claims = iterate(Counter{.goal = 50, .nan_at = 50}, {});
  CHECK(claims.status == Status::non_finite);
  int calls = 0;
  auto const watched = iterate(Counter{.nan_at = 3}, {}, [&](Progress const& p) {
    ++calls;
    CHECK((p.iteration == 3) == (p.error != p.error));
  });
  CHECK(watched.statistics.iterations == 3);
  CHECK(calls == 3);
}

TEST_CASE("finish may lower the status, and its word is final") {
  Doubtful method;
  method.goal = 5;
  CHECK(iterate(method, {}).status == Status::precision_limit);
  CHECK(iterate(method, {.max_iterations = 2}).status == Status::iteration_limit);
}

TEST_CASE("the observer sees every multiple of its stride and the last iteration") {
  for (Index stride : {1, 3, 10, 1000}) {
    for (Index goal : {1, 9, 10, 100}) {
      std::vector<Index> seen, expected;
      auto const out =
          iterate(Counter{.goal = goal}, {.observe_every = stride}, [&](Progress const& p) {
            seen.push_back(p.iteration);
            CHECK(p.error == static_cast<double>(goal - p.iteration));
            CHECK(p.seconds >= 0);
          });
      CHECK(out.status == Status::converged);
      for (Index i = stride; i <= goal; i += stride) expected.push_back(i);
      if (goal % stride != 0) expected.push_back(goal);
      CHECK(seen == expected);
    }
  }
  std::vector<Index> seen;  // a limit is a last iteration too; a stride below 1 counts as 1
  auto const out = iterate(Counter{}, {.max_iterations = 4, .observe_every = 0},
                           [&](Progress const& p) { seen.push_back(p.iteration); });
  CHECK(out.status == Status::iteration_limit);
  CHECK(seen == std::vector<Index>{1, 2, 3, 4});
}

TEST_CASE("an observer that returns false stops the run, and is not called again") {
  int calls = 0;
  auto watch = [&](Progress const& p) {
    ++calls;
    return p.iteration < 6;
  };
  auto const out = iterate(Counter{}, {.observe_every = 2}, watch);
  CHECK(out.status == Status::stopped_by_observer);
  CHECK(out.statistics.iterations == 6);
  CHECK(out.state.count == 6);
  CHECK(out.state.finished == 1);
  CHECK(calls == 3);
  // Whoever stops at the very end does not take the answer back.
  auto const done = iterate(Counter{.goal = 6}, {.observe_every = 2}, watch);
  CHECK(done.status == Status::converged);
}

TEST_CASE("being watched changes nothing") {
  auto const alone = iterate(Counter{.goal = 5000}, {.max_iterations = 10000});
  auto const watched = iterate(Counter{.goal = 5000}, {.max_iterations = 10000, .observe_every = 7},
                               [](Progress const&) {});
  CHECK(alone.state.chaos == watched.state.chaos);
  CHECK(alone.statistics.iterations == watched.statistics.iterations);
}

TEST_CASE("a run that goes on from a copied State is the uninterrupted run, bit for bit") {
  Counter const method{.goal = 5000};
  auto const whole = iterate(method, {.max_iterations = 10000});
  for (Index first : {0, 1, 17, 4999, 5000}) {
    auto const part = iterate(method, {.max_iterations = first});
    auto const checkpoint = part.state;
    auto const rest = iterate(method, checkpoint, {.max_iterations = 10000});
    CHECK(rest.status == Status::converged);
    CHECK(rest.state.chaos == whole.state.chaos);
    CHECK(rest.state.count == whole.state.count);
    CHECK(part.statistics.iterations + rest.statistics.iterations == 5000);
    CHECK(part.state.chaos == checkpoint.chaos);  // the checkpoint stays what it was
  }
  auto by_hand = method.init();
  while (method.advance(by_hand, 3).status == Status::running) {
  }
  CHECK(by_hand.chaos == whole.state.chaos);
}

TEST_CASE("a method that takes a Deadline sees the time run out") {
  auto const out = iterate(Nested{}, {.max_seconds = 0.1});
  CHECK(out.status == Status::time_limit);
  auto const& left = out.state.remaining;
  REQUIRE(left.size() >= 2);
  CHECK(left.front() <= 0.1);
  for (std::size_t i = 0; i < left.size(); ++i) {
    CHECK(left[i] >= 0);
    CHECK((i == 0 || left[i] < left[i - 1]));
    // Later readings of the clock: what is left is at most what was left.
    CHECK(left[i] + out.state.elapsed[i] >= 0.1 - 1e-12);
  }
  auto const unlimited = iterate(Nested{}, {.max_iterations = 2});
  CHECK(unlimited.state.remaining == std::vector<double>{infinity, infinity});
  CHECK(Deadline(0).passed());
  CHECK(Deadline(0).remaining() == 0);
  CHECK(Deadline(-1).remaining() == 0);
  CHECK(!Deadline(infinity).passed());
}

TEST_CASE("exceptions of the user's functions pass through") {
  CHECK_THROWS_AS(iterate(Counter{}, {},
                          [](Progress const& p) {
                            if (p.iteration == 3) throw std::runtime_error("enough");
                          }),
                  std::runtime_error);
}
