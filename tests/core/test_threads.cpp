// SPDX-License-Identifier: MIT
#ifndef EIGEN_RUNTIME_NO_MALLOC
#define EIGEN_RUNTIME_NO_MALLOC
#endif
#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/executor_laws.hpp"
#include <monge/core/threads.hpp>

using monge::Index;
using monge::Parallel;
namespace parallel = monge::parallel;
namespace test = monge::test;

TEST_CASE("a pool keeps the contract of an executor for any number of workers") {
  for (int n : {1, 2, 3, 8}) {
    CAPTURE(n);
    Parallel const policy = parallel::threads(n);
    REQUIRE(policy.workers() == n);
    test::check_every_task_runs_once(policy);
    test::check_regions_follow_each_other(policy);
    test::check_bits_of_serial(policy);
    test::check_concurrent_users(policy);
    if (n > 1) {  // the serial policy stops at the first exception
      test::check_exceptions(policy);
      test::check_nesting(policy, parallel::threads(3));
    }
  }
}

TEST_CASE("threads(0) asks the machine, threads(1) is the serial policy, fewer is refused") {
  CHECK(parallel::threads(0).workers() ==
        static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  CHECK(parallel::threads(1).executor == nullptr);
  CHECK_THROWS_AS(parallel::threads(-1), std::invalid_argument);
  CHECK_THROWS_WITH(parallel::threads(-2),
                    "parallel::threads: n is -2; it must be at least 1, or 0 for one worker per "
                    "hardware thread");
}

TEST_CASE("all workers of a pool take part, each in its own thread, the caller as worker 0") {
  int const n = 3;
  Parallel const policy = parallel::threads(n);
  std::atomic<int> arrived{0};
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::set<int> workers;
  bool caller_is_zero = false;
  std::thread::id const caller = std::this_thread::get_id();
  monge::detail::parallel_for(policy, n, [&](Index, int worker) {
    {
      std::lock_guard const lock(mutex);
      threads.insert(std::this_thread::get_id());
      workers.insert(worker);
      caller_is_zero = caller_is_zero || (worker == 0 && std::this_thread::get_id() == caller);
    }
    ++arrived;
    while (arrived < n) {  // no task ends before all have begun, so each needs a worker
      std::this_thread::yield();
    }
  });
  CHECK(threads.size() == 3);
  CHECK(workers == std::set<int>{0, 1, 2});
  CHECK(caller_is_zero);
}

TEST_CASE("a region wakes sleeping workers") {
  Parallel const policy = parallel::threads(2);
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // they doze off after 50 us
    std::atomic<int> arrived{0};
    monge::detail::parallel_for(policy, 2, [&](Index, int) {
      ++arrived;
      while (arrived < 2) {
        std::this_thread::yield();
      }
    });
    CHECK(arrived == 2);
  }
}

TEST_CASE("a region allocates nothing") {
  Parallel const policy = parallel::threads(2);
  std::atomic<long> sum{0};
  long const count = test::allocations([&] {
    for (int repeat = 0; repeat < 100; ++repeat) {
      monge::detail::parallel_for(policy, 40, [&](Index task, int) { sum += task; });
    }
  });
  CHECK(count == 0);
  CHECK(sum == 78000);
}

TEST_CASE("pools come and go, used or not, and copies of a policy share one") {
  for (int repeat = 0; repeat < 200; ++repeat) {
    Parallel const unused = parallel::threads(3);
    Parallel copy;
    {
      Parallel const first = parallel::threads(2);
      copy = first;
    }
    std::atomic<int> runs{0};
    monge::detail::parallel_for(copy, 5, [&](Index, int) { ++runs; });
    REQUIRE(runs == 5);
  }
}

TEST_CASE("a task may be the only one and still use the pool inside") {
  Parallel const policy = parallel::threads(2);
  std::atomic<int> arrived{0};
  monge::detail::parallel_for(policy, 1, [&](Index, int) {
    monge::detail::parallel_for(policy, 2, [&](Index, int) {
      ++arrived;
      while (arrived < 2) {
        std::this_thread::yield();
      }
    });
  });
  CHECK(arrived == 2);
}
