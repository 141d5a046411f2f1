// SPDX-License-Identifier: MIT
// Sinkhorn-Newton on the problems of the papers it comes from: random assignment, pairs of images
// and of feature clouds, an exponential against two normals, and points in the plane. The same
// problems are made by bench/peers/ot_sinkhorn_newton.py.
//
//     ot_bench_sinkhorn_newton [--data=DIR] [--history] [benchmark options]
//
// DIR holds train-images-idx3-ubyte (Fashion-MNIST, unpacked) and pca60_train_feature*.npy (the
// ImageNet features of the SSNS paper); without it these rows are left out. --history prints the
// marginal error against reads, seconds and entries of the Hessian instead.
#include <array>
#include <benchmark/benchmark.h>
#include <chrono>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/streams.hpp"
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_newton.hpp>

namespace {

using namespace monge;

struct Problem {
  MatrixX<double> C;
  VectorX<double> a, b;
};

VectorX<double> uniform(Index n) { return VectorX<double>::Constant(n, 1.0 / double(n)); }

/// Uniform in [0, 1).
Problem assignment(Index n, std::uint64_t seed) {
  return {bench::splitmix(n, n, seed), uniform(n), uniform(n)};
}

Problem plane(Index n) {
  MatrixX<double> X(2, n), Y(2, n);
  double const step[2] = {0.7548776662466927, 0.5698402909980532};
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < 2; ++i) {
      X(i, j) = std::fmod(0.5 + double(j + 1) * step[i], 1.0);
      double const y = std::fmod(0.25 + double(j + 1) * step[i], 1.0);
      Y(i, j) = y * y;
    }
  }
  Problem p{ot::cost_matrix(X, Y, ot::squared_euclidean{}), uniform(n), uniform(n)};
  p.C /= p.C.maxCoeff();
  return p;
}

/// [TQ24]: exponential against two normals on a line.
Problem synthetic(Index n) {
  Problem p{MatrixX<double>(n, n), VectorX<double>(n), VectorX<double>(n)};
  auto const at = [&](Index i) { return 5.0 * double(i) / double(n - 1); };
  auto const bell = [](double x, double mean, double sd) {
    double const z = (x - mean) / sd;
    return std::exp(-0.5 * z * z) / sd;
  };
  for (Index i = 0; i < n; ++i) {
    p.a(i) = std::exp(-at(i));
    p.b(i) = 0.2 * bell(at(i), 1, 0.2) + 0.8 * bell(at(i), 3, 0.5);
    for (Index j = 0; j < n; ++j) p.C(i, j) = (at(i) - at(j)) * (at(i) - at(j)) / 25;
  }
  p.a /= p.a.sum();
  p.b /= p.b.sum();
  return p;
}

/// Half of the mass on one point; and two clouds that do not overlap, one weight of 1e-300.
Problem heavy_atom(Index n) {
  Problem p = plane(n);
  p.a *= 0.5;
  p.a(0) += 0.5;
  return p;
}
Problem disjoint(Index n) {
  Problem p = plane(n);
  p.C.array() += 9.0;  // far apart
  p.C /= 10.0;
  p.a(1) = 1e-300;
  p.a /= p.a.sum();
  return p;
}

std::string data;

std::string contents(std::string const& name) {
  std::ifstream file(data + "/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

constexpr std::array<std::array<Index, 2>, 5> pairs{
    {{34860, 45815}, {2, 54698}, {239, 43981}, {37372, 54698}, {17390, 49947}}};

/// [TQ24]: two 28 x 28 images, slightly smoothed; pixel distances over their maximum.
bool images(Index pair, bool l1, Problem& p) {
  static std::string const raw = contents("train-images-idx3-ubyte");
  if (raw.size() < 16 + 60'000 * 784) return false;
  auto const measure = [&](Index image) {
    VectorX<double> w(784);
    for (Index k = 0; k < 784; ++k) {
      w(k) = double(std::uint8_t(raw[std::size_t(16 + image * 784 + k)]));
    }
    return VectorX<double>((1 - 0.01 / 8) * w.array() / w.sum() + 0.01 / (8 * 784));
  };
  p.a = measure(pairs[std::size_t(pair)][0]);
  p.b = measure(pairs[std::size_t(pair)][1]);
  p.C.resize(784, 784);
  for (Index i = 0; i < 784; ++i) {
    for (Index j = 0; j < 784; ++j) {
      double const dy = double(i / 28 - j / 28), dx = double(i % 28 - j % 28);
      p.C(i, j) = l1 ? std::abs(dy) + std::abs(dx) : dy * dy + dx * dx;
    }
  }
  p.C /= p.C.maxCoeff();
  return true;
}

/// A float32 matrix in C order from a .npy file, a point per column.
MatrixX<double> npy(std::string const& name) {
  std::string const raw = contents(name);
  if (raw.size() < 10) return {};
  std::size_t const header = 10 + std::uint8_t(raw[8]) + 256 * std::size_t(std::uint8_t(raw[9]));
  std::string const text = raw.substr(10, header - 10);
  std::size_t const at = text.find('(');
  Index const n = std::stol(text.substr(at + 1));
  Index const d = std::stol(text.substr(text.find(',', at) + 1));
  bool const wide = text.find("f8") != std::string::npos;
  MatrixX<double> X(d, n);
  if (wide) {
    std::memcpy(X.data(), raw.data() + header, std::size_t(n * d) * 8);
  } else {
    MatrixX<float> narrow(d, n);
    std::memcpy(narrow.data(), raw.data() + header, std::size_t(n * d) * 4);
    X = narrow.cast<double>();
  }
  return X;
}

/// [TQ24]: features of one class of images against those of another.
bool features(Index pair, bool l1, Problem& p) {
  MatrixX<double> const X = npy("pca60_train_feature1.npy");
  MatrixX<double> const Y = npy("pca60_train_feature" + std::to_string(pair + 2) + ".npy");
  if (X.size() == 0 || Y.size() == 0) return false;
  if (l1) {
    p.C = ot::cost_matrix(X, Y,
                          [](auto const& x, auto const& y) { return (x - y).cwiseAbs().sum(); });
  } else {
    p.C = ot::cost_matrix(X, Y, ot::squared_euclidean{});
  }
  p.C /= p.C.maxCoeff();
  p.a = uniform(X.cols());
  p.b = uniform(Y.cols());
  return true;
}

void solve(benchmark::State& state, Problem const& p, ot::SinkhornNewtonOptions const& options) {
  ot::SinkhornNewtonResult<double> r;
  for (auto _ : state) r = ot::sinkhorn_newton(p.C, p.a, p.b, options);
  Index newton = 0, inner = 0;
  for (ot::NewtonRecord const& record : r.history) {
    newton += record.step > 0;
    inner += record.inner_iterations;
  }
  state.SetLabel(std::string(message(r.status)).substr(0, 24));
  state.counters["marginal_error"] = r.marginal_error;
  state.counters["reads"] = double(r.iterations);
  state.counters["newton"] = double(newton);
  state.counters["cg"] = double(inner);
  state.counters["transport_cost"] = double(r.transport_cost);
}

/// range: n, eta, seed, policy, warm-up (-1: the default, annealed).
void random_assignment(benchmark::State& state) {
  ot::SinkhornNewtonOptions options{.epsilon = 1 / double(state.range(1)), .tolerance = 1e-12};
  options.policy = ot::NewtonPolicy(state.range(3));
  if (state.range(4) >= 0) {
    options.warmup_iterations = state.range(4);
    options.annealing = 1;
  }
  solve(state, assignment(state.range(0), std::uint64_t(state.range(2))), options);
}

/// range: n, epsilon in millionths.
template <Problem (*Make)(Index)>
void points(benchmark::State& state) {
  solve(state, Make(state.range(0)), {.epsilon = 1e-6 * double(state.range(1)), .tolerance = 1e-9});
}
void plain_points(benchmark::State& state) {
  Problem const p = plane(state.range(0));
  ot::SinkhornResult<double> r;
  for (auto _ : state) {
    r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 1e-6 * double(state.range(1)), .tolerance = 1e-9});
  }
  state.counters["marginal_error"] = r.marginal_error;
  state.counters["reads"] = double(r.iterations);
  state.counters["transport_cost"] = double(r.transport_cost);
}

/// range: pair, L1 cost, epsilon in millionths.
template <bool (*Make)(Index, bool, Problem&)>
void from_data(benchmark::State& state) {
  Problem p;
  if (!Make(state.range(0), state.range(1) != 0, p)) {
    state.SkipWithError("no data; pass --data=DIR");
    return;
  }
  solve(state, p, {.epsilon = 1e-6 * double(state.range(2)), .tolerance = 1e-8});
}

void history(Problem const& p, ot::SinkhornNewtonOptions options, char const* name) {
  std::vector<Progress> seen;
  auto const r = ot::sinkhorn_newton(p.C, p.a, p.b, options, {}, [&](Progress const& progress) {
    seen.push_back(progress);
    return true;
  });
  std::printf("%s: status %d, error %.2e\n  step epsilon error nonzeros cg alpha seconds\n", name,
              int(r.status), r.marginal_error);
  auto from = seen.begin();  // a step may take several iterations
  for (std::size_t k = 0; k < r.history.size(); ++k) {
    ot::NewtonRecord const& x = r.history[k];
    auto const at = std::find_if(from, seen.end(),
                                 [&](Progress const& y) { return y.error == x.marginal_error; });
    if (at != seen.end()) from = at;
    std::printf("  %ld %.3e %.3e %ld %ld %.3g %.5f\n", long(k + 1), x.epsilon, x.marginal_error,
                long(x.nonzeros), long(x.inner_iterations), x.step,
                at != seen.end() ? at->seconds : std::nan(""));
  }
}

void pairs_of_data(benchmark::internal::Benchmark* b) {
  for (long const epsilon : {10'000L, 1'000L}) {
    for (long const l1 : {1L, 0L}) {
      for (long pair = 0; pair < 5; ++pair) b->Args({pair, l1, epsilon});
    }
  }
  b->Unit(benchmark::kMillisecond);
}

}  // namespace

// The paper's problem, ten seeds; then eta, policies and warm-up; then growth.
BENCHMARK(random_assignment)
    ->ArgsProduct({{500}, {1200}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {0}, {-1}})
    ->ArgsProduct({{500}, {100, 300, 5000}, {0}, {0}, {-1}})
    ->ArgsProduct({{500}, {1200}, {0}, {0, 1, 2}, {0, 20, 100}})
    ->ArgsProduct({{250, 1000, 2000}, {1200}, {0}, {0}, {-1}})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(points<plane>)
    ->Name("plane")
    ->ArgsProduct({{1000, 2000, 4000}, {10'000, 1'000, 100}})
    ->Args({1000, 10})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(plain_points)
    ->Name("plane_sinkhorn")
    ->ArgsProduct({{1000, 2000, 4000}, {10'000, 1'000, 100}})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(points<synthetic>)->Name("synthetic")->Args({1000, 1000})->Unit(benchmark::kMillisecond);
BENCHMARK(points<heavy_atom>)
    ->Name("heavy_atom")
    ->Args({1000, 1000})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(points<disjoint>)->Name("disjoint")->Args({1000, 1000})->Unit(benchmark::kMillisecond);
BENCHMARK(from_data<images>)->Name("images")->Apply(pairs_of_data);
BENCHMARK(from_data<features>)->Name("features")->Apply(pairs_of_data);

int main(int argc, char** argv) {
  std::vector<char*> rest;
  bool print = false;
  for (int k = 0; k < argc; ++k) {
    std::string const argument = argv[k];
    if (argument.rfind("--data=", 0) == 0) {
      data = argument.substr(7);
    } else if (argument == "--history") {
      print = true;
    } else {
      rest.push_back(argv[k]);
    }
  }
  if (print) {
    Problem const p = assignment(500, 0);
    for (auto const& [name, policy] : {std::pair{"adaptive", ot::NewtonPolicy::adaptive},
                                       {"sns", ot::NewtonPolicy::sns},
                                       {"ssns", ot::NewtonPolicy::ssns}}) {
      ot::SinkhornNewtonOptions options{.epsilon = 1.0 / 1200, .tolerance = 1e-12};
      options.policy = policy;
      options.annealing = 1;
      options.warmup_iterations = policy == ot::NewtonPolicy::ssns ? 0 : 20;
      history(p, options, name);
    }
    history(p, {.epsilon = 1.0 / 1200, .tolerance = 1e-12}, "annealed");
    return 0;
  }
  int count = int(rest.size());
  benchmark::Initialize(&count, rest.data());
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
