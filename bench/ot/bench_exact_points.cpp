// SPDX-License-Identifier: MIT
// Exact transport between points, lazily: from coarse to fine and on all pairs; in the plane, in
// space and in ten clusters, equal and general weights. Counters: the cost (compare
// bench/peers/ot_exact_points.py, which makes the same points in boxes), the certified gap relative
// to it, and the pivots. Sizes from 50 000 on take a minute or more with general weights; choose by
// --benchmark_filter.
#include <Eigen/Core>

#include <benchmark/benchmark.h>
#include <cstdint>

#include "support/streams.hpp"
#include <monge/ot/exact_points.hpp>

namespace {

using monge::Index;
using monge::MatrixX;
using monge::VectorX;
using monge::ot::ExactRoad;

using bench::uniform;

enum Family { boxes, clusters };
enum Weights { equal, general };

MatrixX<double> points(Family family, Index d, Index n, std::uint64_t seed) {
  MatrixX<double> X = uniform(d, n, seed);
  if (family == clusters) {
    MatrixX<double> const centres = uniform(d, 10, seed + 7), which = uniform(1, n, seed + 9);
    for (Index k = 0; k < n; ++k) {
      X.col(k) = 0.05 * X.col(k) + centres.col(Index(10 * which(k)));
    }
  }
  return X;
}

VectorX<double> weights(Weights kind, Index n, std::uint64_t seed) {
  VectorX<double> w = VectorX<double>::Ones(n);
  if (kind == general) w = uniform(n, 1, seed).array() + 0.01;
  return w / w.sum();
}

template <class F>
void run(benchmark::State& state, F c, Index d, Family family, Weights kind, ExactRoad road) {
  Index const n = state.range(0);
  auto const cloud = point_cloud(points(family, d, n, 1), points(family, d, n, 2), c);
  VectorX<double> const a = weights(kind, n, 4), b = weights(kind, n, 5);
  monge::ot::ExactResult<double> r;
  for (auto _ : state) {
    r = monge::ot::exact(cloud, a, b, {.road = road});
    benchmark::ClobberMemory();
  }
  state.counters["cost"] = r.transport_cost;
  state.counters["relative_gap"] = r.duality_gap / r.transport_cost;
  state.counters["pivots"] = double(r.iterations);
  state.counters["converged"] = r.converged();
}

void squared(benchmark::State& state, Index d, Family family, Weights kind, ExactRoad road) {
  run(state, monge::ot::squared_euclidean{}, d, family, kind, road);
}
void distance(benchmark::State& state, Index d, Family family, Weights kind, ExactRoad road) {
  run(state, monge::ot::euclidean{}, d, family, kind, road);
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (Index n : {500, 1000, 2000, 5000, 10000, 20000, 50000, 100000}) benchmark->Arg(n);
  benchmark->Unit(benchmark::kMillisecond);
}
void small(benchmark::internal::Benchmark* benchmark) {
  for (Index n : {250, 500, 1000, 2000, 5000}) benchmark->Arg(n);
  benchmark->Unit(benchmark::kMillisecond);
}

constexpr ExactRoad levels = ExactRoad::coarse_to_fine, pairs = ExactRoad::all_pairs;

BENCHMARK_CAPTURE(squared, plane_equal, 2, boxes, equal, levels)->Apply(sizes);
BENCHMARK_CAPTURE(squared, plane_general, 2, boxes, general, levels)->Apply(sizes);
BENCHMARK_CAPTURE(squared, space_equal, 3, boxes, equal, levels)->Apply(sizes);
BENCHMARK_CAPTURE(squared, clusters_general, 2, clusters, general, levels)->Apply(sizes);
BENCHMARK_CAPTURE(distance, plane_general, 2, boxes, general, levels)->Apply(small);
BENCHMARK_CAPTURE(squared, ten_dimensions, 10, boxes, equal, levels)->Apply(small);
BENCHMARK_CAPTURE(squared, plane_equal_pairs, 2, boxes, equal, pairs)->Apply(small);
BENCHMARK_CAPTURE(squared, plane_general_pairs, 2, boxes, general, pairs)->Apply(small);
BENCHMARK_CAPTURE(squared, space_equal_pairs, 3, boxes, equal, pairs)->Apply(small);
BENCHMARK_CAPTURE(squared, ten_dimensions_pairs, 10, boxes, equal, pairs)->Apply(small);

}  // namespace
