// SPDX-License-Identifier: MIT
// Bures-Wasserstein distances and barycentres, on the matrices that bench/peers/spd.py makes too.
// Counters: the value, and of the distance between A and A + 2^-30 E its error relative to long
// double; the residual of a barycentre recomputed by the library, and its iterations.
#include <Eigen/Core>

#include <benchmark/benchmark.h>
#include <cmath>
#include <cstdint>
#include <vector>

#include "support/streams.hpp"
#include <monge/spd/barycenter.hpp>

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;

MatrixXd uniform(Index n, std::uint64_t seed) { return bench::uniform(n, n, seed).array() - 0.5; }
MatrixXd covariance(Index n, std::uint64_t seed) {
  MatrixXd const G = uniform(n, seed);
  MatrixXd const A = G * G.transpose() + 0.01 * MatrixXd::Identity(n, n);
  return (A + A.transpose()) / 2;
}
MatrixXd direction(Index n) {
  MatrixXd const E = uniform(n, 7);
  return E + E.transpose();
}

template <class Matrix>
void measure(benchmark::State& state, Matrix const& A, Matrix const& B) {
  double d = 0;
  for (auto _ : state) {
    d = monge::spd::bures_wasserstein_distance(A, B);
    benchmark::DoNotOptimize(d);
  }
  MatrixXd const near = A + 0x1p-30 * direction(A.rows());
  using Wide = monge::MatrixX<long double>;
  long double const exact = monge::spd::bures_wasserstein_distance(
      Wide(A.template cast<long double>()), Wide(near.template cast<long double>()));
  state.counters["value"] = d;
  state.counters["near_error"] =
      std::abs(double(monge::spd::bures_wasserstein_distance(MatrixXd(A), near) / exact - 1.0L));
}

void distance(benchmark::State& state) {
  Index const n = state.range(0);
  measure(state, covariance(n, 1), covariance(n, 2));
}
void distance_fixed(benchmark::State& state) {
  measure<Eigen::Matrix3d>(state, covariance(3, 1), covariance(3, 2));
}

void barycenter(benchmark::State& state) {
  Index const n = state.range(0), count = state.range(1);
  std::vector<MatrixXd> X;
  for (Index i = 0; i < count; ++i) X.push_back(covariance(n, 10 + std::uint64_t(i)));
  monge::spd::BarycenterResult<MatrixXd> r;
  for (auto _ : state) {
    r = monge::spd::barycenter(X, VectorXd(), {.tolerance = 1e-7});
    benchmark::DoNotOptimize(r.variance);
  }
  state.counters["trace"] = r.matrix.trace();
  state.counters["residual"] = r.residual;
  state.counters["iterations"] = double(r.iterations);
}

BENCHMARK(distance_fixed)->Unit(benchmark::kMicrosecond);
BENCHMARK(distance)->Arg(3)->Arg(10)->Arg(30)->Arg(100)->Arg(200)->Unit(benchmark::kMicrosecond);
BENCHMARK(barycenter)->Args({3, 20})->Args({10, 20})->Args({50, 20})->Unit(benchmark::kMillisecond);

}  // namespace
