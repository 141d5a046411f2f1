// SPDX-License-Identifier: MIT
// Exact transport: points (in the plane, clustered there, in 3 and 50 dimensions) under the squared
// distance and random dense costs, equal and general weights, dense and lazy. Counters: the cost
// (bench/peers/ot_exact.py makes the same problems, runs peers on them and compares), the certified
// gap relative to it, and the pivots. With LEMON (templates only) its network simplex on the full
// graph as well, on masses in units of 2^-40 and costs in double.
#include <Eigen/Core>

#include <benchmark/benchmark.h>
#include <cstdint>
#include <vector>

#include "support/streams.hpp"
#include <monge/ot/exact.hpp>

#if __has_include(<lemon/network_simplex.h>)
#define MONGE_BENCH_LEMON
#ifndef LEMON_ONLY_TEMPLATES
#define LEMON_ONLY_TEMPLATES
#endif
#include <lemon/network_simplex.h>
#include <lemon/smart_graph.h>
#endif

namespace {

using monge::Index;
using monge::MatrixX;
using monge::VectorX;

using bench::uniform;

enum Family { plane, clustered, space, high, random_costs };

/// n points of a family, in columns; `side` is 1 or 2.
MatrixX<double> points(Family family, Index n, std::uint64_t side) {
  if (family != clustered) {
    return uniform(family == plane ? 2 : family == space ? 3 : 50, n, side);
  }
  MatrixX<double> const centres = uniform(2, 10, 6);
  MatrixX<double> X = MatrixX<double>::Constant(2, n, -0.075);
  for (std::uint64_t k : {1, 2, 3}) X += 0.05 * uniform(2, n, 10 * side + k);
  for (Index i = 0; i < n; ++i) X.col(i) += centres.col(i * Index(2 * side - 1) % 10);
  return X;
}

MatrixX<double> cost_of(Family family, Index n) {
  if (family == random_costs) return uniform(n, n, 3);
  return monge::ot::cost_matrix(points(family, n, 1), points(family, n, 2),
                                monge::ot::squared_euclidean{});
}

enum Weights { equal, general };

VectorX<double> weights(Weights kind, Index n, std::uint64_t seed) {
  VectorX<double> w = VectorX<double>::Ones(n);
  if (kind == general) w = uniform(n, 1, seed).array() + 0.01;
  return w / w.sum();
}

template <class C>
void run(benchmark::State& state, C const& cost, Weights kind) {
  VectorX<double> const a = weights(kind, cost.rows(), 4), b = weights(kind, cost.cols(), 5);
  monge::ot::ExactResult<double> r;
  for (auto _ : state) {
    r = monge::ot::exact(cost, a, b);
    benchmark::ClobberMemory();
  }
  state.counters["cost"] = r.transport_cost;
  state.counters["relative_gap"] = r.duality_gap / r.transport_cost;
  state.counters["pivots"] = double(r.iterations);
  state.counters["converged"] = r.converged();
}

void dense(benchmark::State& state, Family family, Weights kind) {
  run(state, cost_of(family, state.range(0)), kind);
}

/// The simplex where `exact` might solve an assignment.
void simplex(benchmark::State& state, Family family, Weights kind) {
  run(state, monge::ot::DenseCost<double>(cost_of(family, state.range(0))), kind);
}

void lazy(benchmark::State& state, Family family, Weights kind) {
  Index const n = state.range(0);
  run(state,
      monge::ot::point_cloud(points(family, n, 1), points(family, n, 2),
                             monge::ot::squared_euclidean{}),
      kind);
}

#ifdef MONGE_BENCH_LEMON
/// Weights in units of 2^-40 of the mass, with what rounding leaves on the first.
std::vector<std::int64_t> in_units(VectorX<double> const& weights) {
  std::vector<std::int64_t> units;
  std::int64_t rest = std::int64_t(1) << 40;
  for (double const w : weights) {
    units.push_back(std::int64_t(w * 0x1p40));
    rest -= units.back();
  }
  units[0] += rest;
  return units;
}

/// Only the run is timed: the graph is made once, which takes about as long.
void lemon_simplex(benchmark::State& state, Family family, Weights kind) {
  using Graph = lemon::SmartDigraph;
  using Simplex = lemon::NetworkSimplex<Graph, std::int64_t, double>;
  Index const n = state.range(0);
  MatrixX<double> const C = cost_of(family, n);
  auto const a = in_units(weights(kind, n, 4)), b = in_units(weights(kind, n, 5));
  Graph graph;
  graph.reserveNode(int(2 * n));
  graph.reserveArc(int(n * n));
  std::vector<Graph::Node> rows, columns;
  for (Index k = 0; k < n; ++k) rows.push_back(graph.addNode());
  for (Index k = 0; k < n; ++k) columns.push_back(graph.addNode());
  Graph::ArcMap<double> cost(graph);
  Graph::NodeMap<std::int64_t> supply(graph);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    supply[rows[i]] = a[i];
    supply[columns[i]] = -b[i];
    for (std::size_t j = 0; j < columns.size(); ++j) {
      cost[graph.addArc(rows[i], columns[j])] = C(Index(i), Index(j));
    }
  }
  double total = 0;
  for (auto _ : state) {
    Simplex simplex(graph);
    simplex.costMap(cost).supplyMap(supply);
    if (simplex.run() != Simplex::OPTIMAL) state.SkipWithError("LEMON found no optimum");
    total = simplex.totalCost<double>() * 0x1p-40;
  }
  state.counters["cost"] = total;
}
#endif

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (Index n : {1000, 2000, 5000, 10000}) benchmark->Arg(n);
  benchmark->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(dense, plane_equal, plane, equal)->Apply(sizes);
BENCHMARK_CAPTURE(simplex, plane_equal, plane, equal)->Apply(sizes);
BENCHMARK_CAPTURE(dense, plane_general, plane, general)->Apply(sizes);
BENCHMARK_CAPTURE(lazy, plane_general, plane, general)->Apply(sizes);
BENCHMARK_CAPTURE(dense, clustered_equal, clustered, equal)->Apply(sizes);
BENCHMARK_CAPTURE(dense, clustered_general, clustered, general)->Apply(sizes);
BENCHMARK_CAPTURE(dense, space_general, space, general)->Apply(sizes);
BENCHMARK_CAPTURE(dense, high_general, high, general)->Apply(sizes);
BENCHMARK_CAPTURE(dense, random_equal, random_costs, equal)->Apply(sizes);
BENCHMARK_CAPTURE(simplex, random_equal, random_costs, equal)->Apply(sizes);
BENCHMARK_CAPTURE(dense, space_equal, space, equal)->Apply(sizes);
BENCHMARK_CAPTURE(dense, high_equal, high, equal)->Apply(sizes);
BENCHMARK_CAPTURE(dense, random_general, random_costs, general)->Apply(sizes);
#ifdef MONGE_BENCH_LEMON
void few(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(1000)->Arg(2000)->Arg(5000)->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(lemon_simplex, plane_equal, plane, equal)->Apply(few);
BENCHMARK_CAPTURE(lemon_simplex, plane_general, plane, general)->Apply(few);
BENCHMARK_CAPTURE(lemon_simplex, clustered_general, clustered, general)->Apply(few);
BENCHMARK_CAPTURE(lemon_simplex, random_general, random_costs, general)->Apply(few);
#endif

}  // namespace
