// SPDX-License-Identifier: MIT
#include <memory>
#include <stdexcept>
#include <vector>

#include "support/catch.hpp"
#include "support/executor_laws.hpp"
#include <monge/core/parallel.hpp>

using monge::Executor;
using monge::Index;
using monge::Parallel;
using monge::detail::Chunks;
using monge::detail::parallel_for;

namespace {

/// Runs the tasks backwards and deals them to its workers in turn: an executor of the user's.
class Backwards final : public Executor {
 public:
  int regions = 0;
  [[nodiscard]] int workers() const override { return 3; }
  void run(Index tasks, Task task, void* context) override {
    ++regions;
    for (Index t = tasks - 1; t >= 0; --t) {
      task(context, t, static_cast<int>(t % 3));
    }
  }
};

}  // namespace

TEST_CASE("chunks cover 0 .. n - 1 exactly once, in order, without empty ones") {
  for (Index narrowest : {1, 16, 64, 100}) {
    for (Index most : {1, 2, 16, 64}) {
      for (Index n : {0, 1, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 99999, 1 << 20}) {
        CAPTURE(n, narrowest, most);
        Chunks const chunks(n, narrowest, most);
        CHECK(chunks.size == n);
        CHECK(chunks.width % 16 == 0);
        CHECK(chunks.width >= narrowest);
        CHECK(chunks.count <= most);
        Index at = 0;
        for (Index c = 0; c < chunks.count; ++c) {
          CHECK(chunks.begin(c) == at);
          CHECK(chunks.begin(c) % 16 == 0);
          CHECK(chunks.end(c) > at);
          CHECK((c + 1 == chunks.count || chunks.end(c) - at == chunks.width));
          at = chunks.end(c);
        }
        CHECK(at == n);
      }
    }
  }
  CHECK(Chunks{}.count == 0);
  CHECK(Chunks(1000).count == 16);  // 62.5, made 64 by the narrowest width
  CHECK(Chunks(100).count == 2);
}

TEST_CASE("the default policy is serial: every task in order, as worker 0, in the calling thread") {
  Parallel const policy;
  CHECK(policy.executor == nullptr);
  CHECK(policy.workers() == 1);
  CHECK(monge::parallel::serial().executor == nullptr);
  std::vector<Index> order;
  parallel_for(policy, 5, [&](Index task, int worker) {
    order.push_back(task);
    CHECK(worker == 0);
  });
  CHECK(order == std::vector<Index>{0, 1, 2, 3, 4});
  monge::test::check_every_task_runs_once(policy);
  CHECK_THROWS_AS(parallel_for(policy, 3, [](Index, int) { throw std::runtime_error("no"); }),
                  std::runtime_error);
}

TEST_CASE("any runtime can stand behind Parallel, and the results keep their bits") {
  auto const executor = std::make_shared<Backwards>();
  Parallel const policy{executor};
  CHECK(policy.workers() == 3);
  monge::test::check_every_task_runs_once(policy);
  monge::test::check_regions_follow_each_other(policy);
  monge::test::check_bits_of_serial(policy);

  Parallel const copy = policy;
  CHECK(copy.executor == policy.executor);
}

TEST_CASE("a region of one task does not trouble the executor") {
  auto const executor = std::make_shared<Backwards>();
  int runs = 0;
  parallel_for(Parallel{executor}, 1, [&](Index, int worker) { runs += 1 + worker; });
  parallel_for(Parallel{executor}, 0, [&](Index, int) { ++runs; });
  CHECK(runs == 1);
  CHECK(executor->regions == 0);
}

TEST_CASE("bodies may be temporaries, lvalues and const") {
  Parallel const policy{std::make_shared<Backwards>()};
  struct Sum {
    long* total;
    void operator()(Index task, int) const { *total += task; }
  };
  long total = 0;
  Sum const constant{&total};
  Sum variable{&total};
  parallel_for(policy, 4, constant);
  parallel_for(policy, 4, variable);
  parallel_for(policy, 4, Sum{&total});
  CHECK(total == 18);
}
