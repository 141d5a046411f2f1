// SPDX-License-Identifier: MIT
// Linked with monge::openmp, which brings the compiler's OpenMP flag.
#include <stdexcept>

#include "support/catch.hpp"
#include "support/executor_laws.hpp"
#include <monge/openmp/parallel.hpp>

#ifdef _OPENMP

using monge::Parallel;
namespace openmp = monge::openmp;
namespace test = monge::test;

TEST_CASE("a team keeps the contract of an executor for any number of workers") {
  for (int n : {1, 2, 3, 8}) {
    CAPTURE(n);
    Parallel const policy = openmp::threads(n);
    REQUIRE(policy.workers() == n);
    test::check_every_task_runs_once(policy);
    test::check_regions_follow_each_other(policy);
    test::check_bits_of_serial(policy);
    test::check_concurrent_users(policy);
    if (n > 1) {
      test::check_exceptions(policy);
      test::check_nesting(policy, openmp::threads(3));
    }
  }
}

TEST_CASE("openmp::threads(0) asks OpenMP, and fewer than none is refused") {
  CHECK(openmp::threads(0).workers() == omp_get_max_threads());
  CHECK(openmp::threads(1).executor == nullptr);
  CHECK_THROWS_AS(openmp::threads(-1), std::invalid_argument);
  CHECK_THROWS_WITH(
      openmp::threads(-2),
      "openmp::threads: n is -2; it must be at least 1, or 0 for OpenMP's own choice");
}

TEST_CASE("inside the caller's own parallel region tasks run in the calling thread") {
  Parallel const policy = openmp::threads(2);
  int wrong = 0, runs = 0;
#pragma omp parallel num_threads(2) reduction(+ : wrong, runs)
  {
    std::thread::id const here = std::this_thread::get_id();
    monge::detail::parallel_for(policy, 10, [&](monge::Index, int worker) {
      ++runs;
      wrong += worker != 0 || std::this_thread::get_id() != here;
    });
  }
  CHECK(runs == 20);
  CHECK(wrong == 0);
}

#endif
