// SPDX-License-Identifier: MIT
// The sparse problem that several benchmarks solve.
#pragma once

#include <Eigen/SparseCore>

#include <benchmark/benchmark.h>
#include <cmath>
#include <vector>

#include <monge/core/types.hpp>

namespace bench {

using monge::Index;
using monge::VectorX;

/// Pairs of neighbouring cells of a grid, up to 49 in each row, and weights that
/// such pairs can carry.
struct Neighbours {
  Eigen::SparseMatrix<double> C;
  VectorX<double> a, b;
};

inline Neighbours neighbours(Index rows) {
  Index const side = Index(std::sqrt(double(rows))), n = side * side, reach = 3;
  std::vector<Eigen::Triplet<double>> entries;
  VectorX<double> a = VectorX<double>::Zero(n), b = VectorX<double>::Zero(n);
  for (Index i = 0; i < n; ++i) {
    for (Index x = -reach; x <= reach; ++x) {
      for (Index y = -reach; y <= reach; ++y) {
        Index const column = i / side + x, row = i % side + y;
        if (column < 0 || column >= side || row < 0 || row >= side) continue;
        Index const j = column * side + row;
        entries.emplace_back(int(i), int(j), double(x * x + y * y));
        double const p = 1 + std::cos(0.7 * double(i)) * std::cos(1.3 * double(j));
        a(i) += p;
        b(j) += p;
      }
    }
  }
  Eigen::SparseMatrix<double> C(n, n);
  C.setFromTriplets(entries.begin(), entries.end());
  a /= a.sum();
  b /= b.sum();
  return {C, a, b};
}

/// Nanoseconds per stored entry and iteration.
inline void count_entries(benchmark::State& state, Neighbours const& p, Index iterations) {
  state.counters["ns_per_entry"] = benchmark::Counter(
      double(iterations) * double(p.C.nonZeros()) * 1e-9,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

}  // namespace bench
