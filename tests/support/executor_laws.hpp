// SPDX-License-Identifier: MIT
// What every Executor must do, as checks that a test of one calls with a policy of that executor.
#pragma once

#include <Eigen/Core>

#include <atomic>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include <monge/core/parallel.hpp>

namespace monge::test {

/// Every task runs once, under a worker number that nobody else has at the time.
inline void check_every_task_runs_once(Parallel const& policy) {
  for (Index tasks : {0, 1, 2, 3, 16, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tasks));
    std::vector<std::atomic<int>> busy(static_cast<std::size_t>(policy.workers()));
    std::atomic<int> clashes{0}, strangers{0};
    detail::parallel_for(policy, tasks, [&](Index task, int worker) {
      if (worker < 0 || worker >= policy.workers()) {
        ++strangers;
        return;
      }
      auto& mine = busy[static_cast<std::size_t>(worker)];
      clashes += mine.exchange(1) != 0;
      ++runs[static_cast<std::size_t>(task)];
      std::this_thread::yield();
      mine = 0;
    });
    CHECK(strangers == 0);
    CHECK(clashes == 0);
    bool once = true;
    for (auto const& count : runs) {
      once = once && count == 1;
    }
    CHECK(once);
  }
}

/// Results written by the tasks are there when the region returns, region after region.
inline void check_regions_follow_each_other(Parallel const& policy) {
  std::vector<long> values(37, 0);
  for (long round = 0; round < 3000; ++round) {
    detail::parallel_for(policy, 37, [&](Index task, int) {
      values[static_cast<std::size_t>(task)] += task + round;  // not atomic: the region orders it
    });
  }
  bool right = true;
  for (std::size_t i = 0; i < values.size(); ++i) {
    right = right && values[i] == 3000 * static_cast<long>(i) + 3000L * 2999 / 2;
  }
  CHECK(right);
}

/// All tasks run although some throw, the lowest-numbered exception comes out, and the executor can
/// be used again.
inline void check_exceptions(Parallel const& policy) {
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::atomic<int> runs{0};
    std::string caught;
    try {
      detail::parallel_for(policy, 50, [&](Index task, int) {
        ++runs;
        if (task % 10 == 7) {
          throw std::runtime_error("task " + std::to_string(task));
        }
      });
    } catch (std::runtime_error const& error) {
      caught = error.what();
    }
    CHECK(caught == "task 7");
    CHECK(runs == 50);
    check_every_task_runs_once(policy);
  }
}

/// A region within a task runs in the thread of the task.
inline void check_nesting(Parallel const& policy, Parallel const& other) {
  for (Parallel const& inner : {policy, other}) {
    std::atomic<int> runs{0}, elsewhere{0}, wrong{0};
    detail::parallel_for(policy, 8, [&](Index, int) {
      std::thread::id const here = std::this_thread::get_id();
      std::string caught;
      try {
        detail::parallel_for(inner, 8, [&](Index task, int worker) {
          ++runs;
          elsewhere += std::this_thread::get_id() != here;
          wrong += worker != 0;
          std::this_thread::sleep_for(std::chrono::microseconds(300));  // others could take one
          if (task == 3) throw std::runtime_error("three");
        });
      } catch (std::runtime_error const& error) {
        caught = error.what();
      }
      wrong += caught != "three";
    });
    CHECK(runs == 64);
    CHECK(elsewhere == 0);
    CHECK(wrong == 0);
  }
}

/// Several threads may use one policy at the same time.
inline void check_concurrent_users(Parallel const& policy) {
  std::vector<long> sums(4, 0);
  std::vector<std::thread> users;
  for (std::size_t u = 0; u < sums.size(); ++u) {
    users.emplace_back([&, u] {
      for (int round = 0; round < 300; ++round) {
        std::vector<long> parts(20, 0);
        detail::parallel_for(policy, 20, [&](Index task, int) {
          parts[static_cast<std::size_t>(task)] = static_cast<long>(u) + task;
        });
        for (long part : parts) sums[u] += part;
      }
    });
  }
  for (auto& user : users) user.join();
  for (std::size_t u = 0; u < sums.size(); ++u) {
    CHECK(sums[u] == 300 * (20 * static_cast<long>(u) + 190));
  }
}

/// Chunked work with partial sums in index order gives the bits of the serial policy.
inline void check_bits_of_serial(Parallel const& policy) {
  for (Index n : {1, 15, 16, 17, 1000, 100003}) {
    Eigen::VectorXd const x = Eigen::VectorXd::LinSpaced(n, 0.1, 7);
    auto const sum = [&](Parallel const& p) {
      detail::Chunks const chunks(n);
      Eigen::VectorXd partial = Eigen::VectorXd::Zero(chunks.count);
      detail::parallel_for(p, chunks.count, [&](Index c, int) {
        for (Index i = chunks.begin(c); i < chunks.end(c); ++i) partial[c] += std::sin(x[i]);
      });
      double total = 0;
      for (Index c = 0; c < chunks.count; ++c) total += partial[c];
      return total;
    };
    double const serial = sum(parallel::serial());
    for (int repeat = 0; repeat < 10; ++repeat) {
      CHECK(sum(policy) == serial);
    }
  }
}

}  // namespace monge::test
