// SPDX-License-Identifier: MIT
// Barycentres of four blobs on a grid of the unit square, squared distance, blurred and debiased,
// to a tolerance of some digits, accelerated and by plain steps. The same histograms are made by
// bench/peers/ot_sinkhorn_barycenter.py.
#include <benchmark/benchmark.h>
#include <cmath>

#include <monge/ot/sinkhorn_barycenter.hpp>

namespace {

using namespace monge;

MatrixX<double> blobs(Index n) {
  double const centre[4][2] = {{0.3, 0.3}, {0.7, 0.35}, {0.35, 0.7}, {0.6, 0.65}};
  MatrixX<double> A(n * n, 4);
  for (Index k = 0; k < 4; ++k) {
    for (Index j = 0; j < n; ++j) {
      for (Index i = 0; i < n; ++i) {
        double const x = (double(i) + 0.5) / double(n) - centre[k][0];
        double const y = (double(j) + 0.5) / double(n) - centre[k][1];
        A(j * n + i, k) = std::exp(-(x * x + y * y) / 0.01) + 1e-6;
      }
    }
    A.col(k) /= A.col(k).sum();
  }
  return A;
}

void barycenter(benchmark::State& state) {
  Index const n = state.range(0);
  MatrixX<double> const A = blobs(n);
  auto const cost = ot::grid_cost({n, n}, {.spacing = {1 / double(n), 1 / double(n)}});
  ot::SinkhornBarycenterResult<double> r;
  for (auto _ : state) {
    bool const debiased = state.range(2) != 0;
    r = ot::sinkhorn_barycenter(A, cost,
                                {.epsilon = double(state.range(1)) * 1e-6,
                                 .debiased = debiased,
                                 .tolerance = std::pow(10.0, -double(state.range(3))),
                                 .max_iterations = 10'000,
                                 .acceleration = state.range(4) != 0 ? ot::Acceleration::anderson
                                                                     : ot::Acceleration::none});
  }
  state.counters["marginal_error"] = r.marginal_error;
  state.counters["iterations"] = double(r.iterations);
  state.counters["ms_per_iteration"] = benchmark::Counter(
      double(r.iterations) * 1e-3,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

}  // namespace

BENCHMARK(barycenter)
    ->ArgNames({"n", "epsilon_1e6", "debiased", "digits", "accelerated"})
    ->ArgsProduct({{64}, {10'000, 2'000}, {0}, {9}, {0, 1}})
    ->ArgsProduct({{64}, {10'000, 2'000, 400}, {1}, {5, 6}, {0, 1}})
    ->Args({64, 400, 1, 9, 0})
    ->Args({64, 400, 1, 9, 1})
    ->Args({256, 10'000, 1, 5, 1})
    ->Unit(benchmark::kMillisecond);
