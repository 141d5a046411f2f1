// SPDX-License-Identifier: MIT
/// @file
/// `Parallel` over OpenMP, for programs that use OpenMP anyway: one runtime then owns all threads.
/// Needs the compiler's flag (`-fopenmp`, or the target `monge::openmp`). Not part of any umbrella.
///
///     auto const policy = monge::openmp::threads(4);
#pragma once

#include <exception>
#include <memory>
#include <utility>

#include <monge/core/parallel.hpp>
#include <monge/core/require.hpp>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace monge::openmp {

#ifdef _OPENMP

namespace detail {

/// A team of `workers` threads per region; the runtime keeps its threads between regions and makes
/// them in the first one, so that one may allocate. Inside a parallel region, ours or the caller's,
/// tasks run in the calling thread.
class Team final : public Executor {
 public:
  explicit Team(int workers) : workers_(workers) {}

  [[nodiscard]] int workers() const override { return workers_; }

  void run(Index tasks, Task task, void* context) override {
    std::exception_ptr exception;
    Index thrower = tasks;
    // No exception may leave a worksharing loop.
    auto const attempt = [&](Index t, int worker) {
      try {
        task(context, t, worker);
      } catch (...) {
#pragma omp critical(monge_openmp_exception)
        if (t < thrower) {
          thrower = t;
          exception = std::current_exception();
        }
      }
    };
    if (tasks <= 1 || omp_in_parallel()) {
      for (Index t = 0; t < tasks; ++t) {
        attempt(t, 0);
      }
    } else {
#pragma omp parallel for num_threads(workers_) schedule(dynamic, 1)
      for (Index t = 0; t < tasks; ++t) {
        attempt(t, omp_get_thread_num());
      }
    }
    if (exception) [[unlikely]] {
      std::rethrow_exception(std::move(exception));
    }
  }

 private:
  int workers_;
};

}  // namespace detail

/// A policy of n workers. n = 0: as many as OpenMP would use here (OMP_NUM_THREADS); n = 1: serial.
/// Refuses n < 0.
[[nodiscard]] inline Parallel threads(int n = 0) {
  monge::detail::require(n >= 0, "openmp::threads: n is ", n,
                         "; it must be at least 1, or 0 for OpenMP's own choice");
  if (n == 0) {
    n = omp_get_max_threads();
  }
  return n > 1 ? Parallel{std::make_shared<detail::Team>(n)} : parallel::serial();
}

#else

/// Without OpenMP there is no such policy, and a serial one in its place would hide that.
template <class Number = int>
[[nodiscard]] Parallel threads(Number = 0) {
  static_assert(!sizeof(Number), "openmp::threads needs OpenMP: compile with -fopenmp");
  return {};
}

#endif

}  // namespace monge::openmp
