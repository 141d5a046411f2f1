// SPDX-License-Identifier: MIT
// The Sinkhorn divergence of Kronecker points, squared Euclidean cost, equal weights: value and
// gradient with respect to the first cloud. epsilon = 2 blur^2, which is GeomLoss's blur. The same
// points are made by bench/peers/ot_sinkhorn_divergence.py.
#include <benchmark/benchmark.h>
#include <cmath>

#include <monge/ot/sinkhorn_divergence.hpp>

namespace {

using namespace monge;

/// Kronecker points in the unit cube of dimension d; `warp` pushes them towards the origin.
template <class S>
MatrixX<S> points(Index d, Index n, double offset, bool warp) {
  // Powers of the inverse of the root of x^(d + 1) = x + 1.
  double root = 1.5;
  for (int k = 0; k < 60; ++k) root = std::pow(1 + root, 1.0 / double(d + 1));
  MatrixX<S> X(d, n);
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < d; ++i) {
      double const x = std::fmod(offset + double(j + 1) * std::pow(root, -double(i + 1)), 1.0);
      X(i, j) = S(warp ? x * x : x);
    }
  }
  return X;
}

template <class S>
void value_and_gradient(benchmark::State& state) {
  Index const d = state.range(0), n = state.range(1);
  double const blur = double(state.range(2)) * 1e-3;
  double const tolerance = std::pow(10.0, -double(state.range(3)));
  MatrixX<S> const X = points<S>(d, n, 0.5, false), Y = points<S>(d, n, 0.25, true);
  ot::SinkhornDivergenceResult<S> r;
  for (auto _ : state) {
    r = ot::sinkhorn_divergence(X, Y,
                                {.epsilon = ot::epsilon_of_blur(blur), .tolerance = tolerance});
    benchmark::DoNotOptimize(ot::divergence_gradient(X, Y, r).X.data());
  }
  state.counters["value"] = double(r.value);
  state.counters["marginal_error"] = r.marginal_error;
  state.counters["cross"] = double(r.cross.iterations);
  state.counters["self"] = double(r.self_a.iterations);
}

}  // namespace

BENCHMARK(value_and_gradient<double>)
    ->ArgNames({"d", "n", "blur_per_mille", "digits"})
    ->Args({2, 1000, 50, 9})
    ->Args({2, 1000, 50, 4})
    ->Args({2, 1000, 10, 9})
    ->Args({3, 4000, 50, 9})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(value_and_gradient<float>)
    ->ArgNames({"d", "n", "blur_per_mille", "digits"})
    ->Args({2, 1000, 50, 4})
    ->Args({3, 4000, 50, 4})
    ->Unit(benchmark::kMillisecond);
