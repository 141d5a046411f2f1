// SPDX-License-Identifier: MIT
// Nanoseconds per entry of one step of each update rule, for float and double vectors; beside
// bench/peers/optim_first_order.py. `gradient` is the same in every step.
#include <Eigen/Core>

#include <benchmark/benchmark.h>

#include <monge/core/random.hpp>
#include <monge/optim/first_order.hpp>

namespace {

using monge::Index;
using monge::VectorX;

template <class S, class Rule>
void step(benchmark::State& state, Rule rule) {
  Index const n = state.range(0);
  VectorX<S> x(n), g(n);
  monge::random::fill_normal(x, {1, 0});
  monge::random::fill_normal(g, {2, 0});
  auto memory = rule.start(x);
  for (auto _ : state) {
    rule.step(x, g, memory);
    benchmark::DoNotOptimize(x.data());
    benchmark::ClobberMemory();
  }
  state.counters["per_entry"] = benchmark::Counter(
      double(n), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

using monge::optim::adam;
using monge::optim::gradient_descent;
using monge::optim::momentum;
template <class S>
void descent_step(benchmark::State& state) {
  step<S>(state, gradient_descent{});
}
template <class S>
void momentum_step(benchmark::State& state) {
  step<S>(state, momentum{});
}
template <class S>
void adam_step(benchmark::State& state) {
  step<S>(state, adam{});
}
BENCHMARK(descent_step<double>)->Arg(10000)->Arg(1000000);
BENCHMARK(momentum_step<double>)->Arg(10000)->Arg(1000000);
BENCHMARK(adam_step<double>)->Arg(10000)->Arg(1000000);
BENCHMARK(descent_step<float>)->Arg(10000)->Arg(1000000);
BENCHMARK(momentum_step<float>)->Arg(10000)->Arg(1000000);
BENCHMARK(adam_step<float>)->Arg(10000)->Arg(1000000);

}  // namespace
