// SPDX-License-Identifier: MIT
// Sinkhorn on grids: blobs on the unit square and cube, squared distance. The time of an iteration
// (both potentials), balanced and with priced marginals, and to the tolerance 1e-9. least_ms is the
// least processor time of an iteration, as bench/peers/ot_grid.py --few reports it, which makes the
// same histograms; the other times are means.
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cmath>
#include <ctime>

#include <monge/ot/grid.hpp>
#include <monge/ot/sinkhorn_unbalanced.hpp>

namespace {

using namespace monge;

/// A blob around `centre` on a background, in `axes` dimensions of n points, first axis fastest.
template <class S>
VectorX<S> blob(Index n, Index axes, double centre, double width) {
  Index size = 1;
  for (Index k = 0; k < axes; ++k) size *= n;
  VectorX<double> a(size);
  for (Index i = 0; i < size; ++i) {
    double square = 0;
    Index rest = i;
    for (Index k = 0; k < axes; ++k) {
      double const x = (double(rest % n) + 0.5) / double(n) - (centre + 0.05 * double(k));
      square += x * x;
      rest /= n;
    }
    a(i) = std::exp(-square / width) + 1e-3;
  }
  return (a / a.sum()).cast<S>();
}

template <class S>
struct Problem {
  VectorX<S> a, b;
  ot::GridCost<S> cost;

  Problem(Index n, Index axes)
      : a(blob<S>(n, axes, 0.3, 0.01)),
        b(blob<S>(n, axes, 0.6, 0.02)),
        cost(ot::grid_cost<S>(
            std::vector<Index>(std::size_t(axes), n),
            {.p = 2, .spacing = std::vector<double>(std::size_t(axes), 1 / double(n))})) {}
};

/// Runs `body` and reports the least processor time that it took.
template <class Body>
void least_of(benchmark::State& state, Body&& body) {
  std::clock_t least = std::clock_t(-1);
  for (auto _ : state) {
    std::clock_t const begin = std::clock();
    body();
    std::clock_t const took = std::clock() - begin;
    least = least < 0 ? took : std::min(least, took);
  }
  state.counters["least_ms"] = 1e3 * double(least) / double(CLOCKS_PER_SEC);
}

template <class S>
void iteration(benchmark::State& state) {
  Problem<S> const p(state.range(0), state.range(1));
  ot::SinkhornOptions options{.epsilon = double(state.range(2)) * 1e-6, .tolerance = 0.0};
  options.acceleration = ot::Acceleration::none;
  options.annealing = 1;
  ot::SinkhornGrid<S> const method(p.cost, p.a, p.b, options);
  auto run = method.init();
  static_cast<void>(method.advance(run, 5));
  least_of(state, [&] { static_cast<void>(method.advance(run, 1)); });
  state.counters["marginal_error"] = method.error(run);
}

/// The same with rho = 0.1 on both sides, and 1.3 times the mass in b.
void unbalanced_iteration(benchmark::State& state) {
  Problem<double> const p(state.range(0), state.range(1));
  ot::SinkhornUnbalancedOptions options{
      .epsilon = double(state.range(2)) * 1e-6, .rho_a = 0.1, .rho_b = 0.1, .tolerance = 0.0};
  options.acceleration = ot::Acceleration::none;
  options.annealing = 1;
  ot::SinkhornUnbalanced<ot::GridCost<double>> const method(p.cost, p.a, VectorX<double>(1.3 * p.b),
                                                            options);
  auto run = method.init();
  static_cast<void>(method.advance(run, 5));
  least_of(state, [&] { static_cast<void>(method.advance(run, 1)); });
  state.counters["marginal_error"] = method.error(run);
}

void unbalanced_to_tolerance(benchmark::State& state) {
  Problem<double> const p(state.range(0), state.range(1));
  VectorX<double> const b = 1.3 * p.b;
  ot::SinkhornUnbalancedResult<double> r;
  for (auto _ : state) {
    r = ot::sinkhorn_unbalanced(
        p.cost, p.a, b,
        {.epsilon = double(state.range(2)) * 1e-6, .rho_a = 0.1, .rho_b = 0.1, .tolerance = 1e-9});
  }
  state.counters["marginal_error"] = r.marginal_error;
  state.counters["iterations"] = double(r.iterations);
  state.counters["transported_mass"] = double(r.transported_mass);
}

void to_tolerance(benchmark::State& state) {
  Problem<double> const p(state.range(0), state.range(1));
  ot::SinkhornResult<double> r;
  for (auto _ : state) {
    r = ot::sinkhorn(p.cost, p.a, p.b,
                     {.epsilon = double(state.range(2)) * 1e-6, .tolerance = 1e-9});
  }
  state.counters["marginal_error"] = r.marginal_error;
  state.counters["iterations"] = double(r.iterations);
  state.counters["transport_cost"] = double(r.transport_cost);
}

}  // namespace

BENCHMARK(iteration<double>)
    ->Args({256, 2, 10'000})
    ->Args({512, 2, 10'000})
    ->Args({512, 2, 1'000})
    ->Args({64, 3, 10'000})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(iteration<float>)
    ->Args({512, 2, 10'000})
    ->Args({512, 2, 1'000})
    ->Args({64, 3, 10'000})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(unbalanced_iteration)->Args({256, 2, 10'000})->Unit(benchmark::kMillisecond);
BENCHMARK(unbalanced_to_tolerance)->Args({256, 2, 10'000})->Unit(benchmark::kMillisecond);
BENCHMARK(to_tolerance)
    ->Args({256, 2, 10'000})
    ->Args({512, 2, 10'000})
    ->Args({512, 2, 1'000})
    ->Args({64, 3, 10'000})
    ->Unit(benchmark::kMillisecond);
