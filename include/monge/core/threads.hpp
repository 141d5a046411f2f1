// SPDX-License-Identifier: MIT
/// @file
/// A pool of threads behind `Parallel`. Link with the platform's threads (`-pthread`).
///
///     auto const policy = monge::parallel::threads(4);  // keep it: starting threads takes time
///
/// The calling thread is worker 0. The others sleep between parallel regions; for about 50
/// microseconds after a region they stay awake, because a method's regions follow each other
/// closely. A region does not wait for sleepers: who wakes up after the last task was taken is not
/// missed, so a small region costs little more than its tasks and one wake-up call.
///
/// Tasks are handed out one by one in their order, so the assignment of tasks to workers differs
/// from run to run; results do not, because tasks know nothing of each other.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <monge/core/parallel.hpp>
#include <monge/core/require.hpp>

namespace monge {
namespace detail {

/// The tasks of one parallel region, shared by the workers that take part.
class Region {
 public:
  Region() = default;
  Region(Index tasks, Executor::Task task, void* context) { set(tasks, task, context); }

  void set(Index tasks, Executor::Task task, void* context) {
    tasks_ = tasks;
    task_ = task;
    context_ = context;
    next_.store(0, std::memory_order_relaxed);
  }
  /// True in a thread while it works on any region.
  [[nodiscard]] static bool& inside() {
    thread_local bool marker = false;
    return marker;
  }
  /// Runs tasks until none is left.
  void work(int worker) {
    bool const outer = std::exchange(inside(), true);
    for (Index task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) {
      try {
        task_(context_, task, worker);
      } catch (...) {
        std::lock_guard const lock(mutex_);
        if (!exception_ || task < thrower_) {
          exception_ = std::current_exception();
          thrower_ = task;
        }
      }
    }
    inside() = outer;
  }
  /// The exception of the lowest-numbered task that threw, or null. To be called after all workers
  /// have left.
  [[nodiscard]] std::exception_ptr take_exception() { return std::exchange(exception_, nullptr); }

 private:
  Index tasks_ = 0;
  Executor::Task task_ = nullptr;
  void* context_ = nullptr;
  std::mutex mutex_;
  std::exception_ptr exception_;
  Index thrower_ = 0;
  alignas(64) std::atomic<Index> next_{0};
};

/// `workers` - 1 threads and the caller. Any thread may call `run`. From within a task, of this or
/// another pool, and while another thread is using the pool, it runs the tasks in the calling
/// thread: nothing ever waits for a pool, so pools cannot deadlock.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(int workers) {
    threads_.reserve(static_cast<std::size_t>(workers - 1));
    try {
      for (int worker = 1; worker < workers; ++worker) {
        threads_.emplace_back([this, worker] { serve(worker); });
      }
    } catch (...) {  // the system has no more threads: let those that started end
      dismiss();
      throw;
    }
  }
  ThreadPool(ThreadPool const&) = delete;
  ThreadPool& operator=(ThreadPool const&) = delete;
  ~ThreadPool() override { dismiss(); }

  [[nodiscard]] int workers() const override { return static_cast<int>(threads_.size()) + 1; }

  void run(Index tasks, Task task, void* context) override {
    std::exception_ptr exception;
    if (tasks <= 1 || Region::inside() || busy_.exchange(true, std::memory_order_acquire)) {
      Region alone(tasks, task, context);
      alone.work(0);
      exception = alone.take_exception();
    } else {
      region_.set(tasks, task, context);
      guests_.store(door_open, std::memory_order_release);
      calls_.fetch_add(1, std::memory_order_release);
      calls_.notify_all();
      region_.work(0);
      guests_.fetch_and(~door_open, std::memory_order_relaxed);
      await(guests_, [](int guests) { return guests == 0; });
      exception = region_.take_exception();
      busy_.store(false, std::memory_order_release);
    }
    if (exception) [[unlikely]] {
      std::rethrow_exception(std::move(exception));
    }
  }

 private:
  // guests_ counts the threads inside the region, and says by one more bit whether it may be
  // entered. The region's other members change only while the door is shut and nobody is inside.
  static constexpr int door_open = 1 << 30;

  /// Returns the first value of the atomic that satisfies `done`: looks again and again for a
  /// while, then sleeps. (Reading the clock is the pause between looks. Yielding instead would give
  /// the rest of the time slice away when the machine is busy, and the wait would last
  /// milliseconds.)
  template <class Done>
  static int await(std::atomic<int>& value, Done const& done) {
    using Clock = std::chrono::steady_clock;
    auto const patience = Clock::now() + std::chrono::microseconds(50);
    do {
      if (int const seen = value.load(std::memory_order_acquire); done(seen)) {
        return seen;
      }
    } while (Clock::now() < patience);
    for (;;) {
      int const seen = value.load(std::memory_order_acquire);
      if (done(seen)) {
        return seen;
      }
      value.wait(seen, std::memory_order_acquire);
    }
  }

  [[nodiscard]] bool enter() {
    int guests = guests_.load(std::memory_order_relaxed);
    while (guests & door_open) {
      if (guests_.compare_exchange_weak(guests, guests + 1, std::memory_order_acquire,
                                        std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }
  void leave() {
    if (guests_.fetch_sub(1, std::memory_order_release) == 1) {  // last out, and the door is shut
      guests_.notify_one();
    }
  }

  /// The life of a thread of the pool.
  void serve(int worker) {
    for (int heard = 0;;) {
      heard = await(calls_, [heard](int calls) { return calls != heard; });
      if (dismissed_.load(std::memory_order_relaxed)) {
        return;
      }
      if (enter()) {
        region_.work(worker);
        leave();
      }
    }
  }
  void dismiss() {
    dismissed_.store(true, std::memory_order_relaxed);
    calls_.fetch_add(1, std::memory_order_release);
    calls_.notify_all();
  }

  Region region_;
  alignas(64) std::atomic<int> guests_{0};
  alignas(64) std::atomic<int> calls_{0};  // counts regions; overflow wraps round
  std::atomic<bool> busy_{false};
  std::atomic<bool> dismissed_{false};
  std::vector<std::jthread> threads_;  // last: joined before the rest goes
};

}  // namespace detail

namespace parallel {

/// A policy of n workers: the calling thread and n - 1 threads that live as long as the policy or a
/// copy of it. n = 0: as many as the machine runs at once; n = 1: serial. Refuses n < 0.
///
/// Any number of threads may use one policy: while one of them has the pool, the others do their
/// work themselves, as do regions inside a task. Throws std::system_error if the system refuses to
/// start a thread.
[[nodiscard]] inline Parallel threads(int n = 0) {
  detail::require(n >= 0, "parallel::threads: n is ", n,
                  "; it must be at least 1, or 0 for one worker per hardware thread");
  if (n == 0) {
    n = static_cast<int>(std::thread::hardware_concurrency());
  }
  return n > 1 ? Parallel{std::make_shared<detail::ThreadPool>(n)} : serial();
}

}  // namespace parallel
}  // namespace monge
