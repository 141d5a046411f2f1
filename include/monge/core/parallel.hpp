// SPDX-License-Identifier: MIT
/// @file
/// Parallelism is an option value; the default is serial.
///
/// Work is cut into chunks that depend on the problem's size only, each chunk writes to its own
/// place, and partial results are added in index order. So results are bit-identical for any number
/// of threads, and the serial policy runs the very same code.
///
/// This header knows no threads. `parallel::threads(n)` is in core/threads.hpp; an OpenMP adapter
/// is in openmp/; any other runtime can implement Executor.
#pragma once

#include <algorithm>
#include <memory>

#include <monge/core/types.hpp>

namespace monge {

/// Runs independent tasks. Implementations must run every task exactly once, give each concurrent
/// caller of `task` another `worker` number below `workers()`, not return before all tasks ended,
/// allocate nothing in `run`, and rethrow the exception of the lowest-numbered task that threw.
class Executor {
 public:
  using Task = void (*)(void* context, Index task, int worker);

  Executor() = default;
  Executor(Executor const&) = delete;
  Executor& operator=(Executor const&) = delete;
  virtual ~Executor() = default;

  [[nodiscard]] virtual int workers() const = 0;
  virtual void run(Index tasks, Task task, void* context) = 0;
};

/// Which executor to use: the value that options hold. Copies share the executor.
struct Parallel {
  std::shared_ptr<Executor> executor = nullptr;  ///< null: serial, in the calling thread

  [[nodiscard]] int workers() const { return executor ? executor->workers() : 1; }
};

namespace parallel {
/// Everything in the calling thread: the default of all options.
inline Parallel serial() { return {}; }
}  // namespace parallel

namespace detail {

/// Cuts 0..size into chunks of equal width, a multiple of 16 (so that chunks start aligned if the
/// data do), at most `most` of them. Depends on the size only, never on the number of threads.
struct Chunks {
  Index size = 0, width = 16, count = 0;

  Chunks() = default;
  explicit Chunks(Index n, Index narrowest = 64, Index most = 16) : size(n) {
    Index const even = (n + most - 1) / most;
    width = std::max<Index>((std::max(narrowest, even) + 15) / 16 * 16, 16);
    count = (n + width - 1) / width;
  }
  [[nodiscard]] Index begin(Index chunk) const { return chunk * width; }
  [[nodiscard]] Index end(Index chunk) const { return std::min(size, (chunk + 1) * width); }
};

/// Calls body(task, worker) for every task below `tasks`.
template <class Body>
void parallel_for(Parallel const& policy, Index tasks, Body&& body) {
  if (!policy.executor || tasks <= 1) {
    for (Index task = 0; task < tasks; ++task) {
      body(task, 0);
    }
    return;
  }
  using B = std::remove_reference_t<Body>;
  policy.executor->run(
      tasks,
      [](void* context, Index task, int worker) { (*static_cast<B*>(context))(task, worker); },
      const_cast<void*>(static_cast<void const*>(&body)));
}

}  // namespace detail
}  // namespace monge
