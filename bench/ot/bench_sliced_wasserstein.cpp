// SPDX-License-Identifier: MIT
// Sliced Wasserstein distances of normal clouds, L = 100: value alone and with both gradients, in
// double and float, on one and two threads, without a control and with the automatic one. Counters:
// the power (compare bench/peers/ot_sliced_wasserstein.py, whose directions are other draws),
// nanoseconds per projected point, and the share of sorting.
//
// With `--data DIR` (a folder with clouds/shapenet50_2048.npy) it also prints relative
// root-mean-square errors of the controls on four pairs of clouds.
#include <Eigen/Core>

#include <algorithm>
#include <benchmark/benchmark.h>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <monge/core/detail/sort.hpp>
#include <monge/core/threads.hpp>
#include <monge/ot/sliced_wasserstein.hpp>

namespace {

using monge::Index;
using monge::MatrixX;
using monge::RandomKey;
using monge::VectorX;
using namespace monge::ot;

constexpr Index projections = 100;

template <class S>
MatrixX<S> cloud(Index d, Index n, std::uint64_t seed) {
  MatrixX<S> X(d, n);
  monge::random::fill_normal(X, RandomKey{seed, 0});
  return X;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The time that sorting alone takes for as many slices.
template <class S>
double sorting(MatrixX<S> const& X, bool with_order) {
  Index const n = X.cols();
  VectorX<S> const x = X.row(0);
  VectorX<S> copy(n);
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  monge::detail::SortScratch<S> scratch;
  Index const repeats = std::max<Index>(1, 2000000 / n);
  double seconds = 0;
  for (Index r = 0; r < repeats; ++r) {
    copy = x;
    auto const start = std::chrono::steady_clock::now();
    if (with_order) {
      monge::detail::sort_with_order(copy.data(), order.data(), n, scratch);
    } else {
      monge::detail::sort(copy.data(), n, scratch);
    }
    seconds += seconds_since(start);
  }
  return seconds / double(repeats) * 2 * double(projections);
}

enum Gradient { value, gradients };

template <class S, Gradient gradient, SlicedControl control>
void sliced(benchmark::State& state) {
  Index const n = state.range(0), d = state.range(1);
  int const threads = int(state.range(2));
  MatrixX<S> const X = cloud<S>(d, n, 1), Y = S(1.5) * cloud<S>(d, n, 2);
  SlicedWassersteinOptions options{.projections = projections, .control = control};
  if (gradient == gradients) options.answer = SlicedAnswer::gradients;
  if (threads > 1) options.parallel = monge::parallel::threads(threads);
  SlicedWassersteinResult<S> r;
  double seconds = 0;
  Index runs = 0;
  for (auto _ : state) {
    auto const start = std::chrono::steady_clock::now();
    r = sliced_wasserstein(X, Y, options, RandomKey{7, 0});
    seconds += seconds_since(start);
    ++runs;
    benchmark::DoNotOptimize(r.power);
  }
  state.counters["power"] = double(r.power);
  state.counters["ns_per_point"] = seconds / double(runs) / double(2 * n * projections) * 1e9;
  if (threads == 1) {
    state.counters["sorting"] = sorting<S>(X, gradient == gradients) / (seconds / double(runs));
  }
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (Index threads : {1, 2}) {
    for (Index d : {3, 64}) {
      for (Index n : {1000, 10000, 100000}) benchmark->Args({n, d, threads});
    }
  }
  benchmark->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK_TEMPLATE(sliced, double, value, SlicedControl::none)->Apply(sizes);
BENCHMARK_TEMPLATE(sliced, float, value, SlicedControl::none)->Apply(sizes);
BENCHMARK_TEMPLATE(sliced, double, gradients, SlicedControl::none)->Apply(sizes);
BENCHMARK_TEMPLATE(sliced, float, gradients, SlicedControl::none)->Apply(sizes);
BENCHMARK_TEMPLATE(sliced, double, value, SlicedControl::automatic)->Apply(sizes);
BENCHMARK_TEMPLATE(sliced, float, gradients, SlicedControl::automatic)->Apply(sizes);

/// Cloud k of an npy file of float32, clouds x points x 3.
class CloudFile {
 public:
  explicit CloudFile(std::string const& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<char> const bytes((std::istreambuf_iterator<char>(file)), {});
    if (bytes.size() < 128) return;
    std::uint16_t header = 0;
    std::memcpy(&header, bytes.data() + 8, 2);
    entries_.resize((bytes.size() - 10 - header) / sizeof(float));
    std::memcpy(entries_.data(), bytes.data() + 10 + header, entries_.size() * sizeof(float));
  }
  [[nodiscard]] bool found() const { return !entries_.empty(); }
  [[nodiscard]] MatrixX<double> cloud(Index k) const {
    constexpr Index points = 2048;
    return Eigen::Map<MatrixX<float> const>(entries_.data() + k * points * 3, 3, points)
        .cast<double>();
  }

 private:
  std::vector<float> entries_;
};

void print_errors(std::string const& folder) {
  CloudFile const file(folder + "/clouds/shapenet50_2048.npy");
  if (!file.found()) {
    std::printf("errors: %s has no clouds/shapenet50_2048.npy\n", folder.c_str());
    return;
  }
  struct Pair {
    char const* name;
    MatrixX<double> X, Y;
  };
  std::vector<Pair> const pairs = {
      {"A", (2 * file.cloud(32)).array() - 10, (2 * file.cloud(33)).array() + 10},
      {"B", file.cloud(32), file.cloud(33)},
      {"C", file.cloud(8), file.cloud(32)},
      {"D", file.cloud(32), file.cloud(35)}};
  struct Method {
    char const* name;
    DirectionRule rule;
    SlicedControl control;
    int harmonics;
  };
  using enum SlicedControl;
  Method const methods[] = {{"MC", DirectionRule::monte_carlo, none, 0},
                            {"LCV", DirectionRule::monte_carlo, lower_bound, 0},
                            {"UCV", DirectionRule::monte_carlo, upper_bound, 0},
                            {"centring", DirectionRule::monte_carlo, centring, 0},
                            {"GCV", DirectionRule::monte_carlo, gaussian, 0},
                            {"automatic", DirectionRule::monte_carlo, automatic, 0},
                            {"SHCV 2", DirectionRule::monte_carlo, none, 2},
                            {"SHCV 4", DirectionRule::monte_carlo, none, 4},
                            {"GCV + SHCV 4", DirectionRule::monte_carlo, gaussian, 4},
                            {"Coulomb", DirectionRule::coulomb, none, 0},
                            {"Coulomb + GCV", DirectionRule::coulomb, gaussian, 0},
                            {"Gauss", DirectionRule::gauss, none, 0},
                            {"Gauss + GCV", DirectionRule::gauss, gaussian, 0}};
  std::printf("relative root-mean-square errors of SW_2^2, 100 keys; microseconds per call\n");
  for (Pair const& pair : pairs) {
    SlicedWassersteinOptions options{.projections = 4096, .directions = DirectionRule::gauss};
    options.control = gaussian;
    double const truth = sliced_wasserstein(pair.X, pair.Y, options, RandomKey{}).power;
    std::printf("pair %s: SW_2^2 = %.9g\n", pair.name, truth);
    for (Method const& method : methods) {
      std::printf("  %-14s", method.name);
      for (Index L : {10, 100}) {
        options = {.projections = L, .directions = method.rule, .control = method.control};
        options.harmonics = method.harmonics;
        if (method.harmonics > 0 && L < 16) {
          std::printf("  L = %3ld %9s %7s", long(L), "-", "-");
          continue;
        }
        int const keys = method.rule == DirectionRule::gauss ? 1 : 100;
        double sum = 0;
        auto const start = std::chrono::steady_clock::now();
        for (int key = 0; key < keys; ++key) {
          RandomKey const random{std::uint64_t(key), 0};
          sum += std::pow(sliced_wasserstein(pair.X, pair.Y, options, random).power - truth, 2);
        }
        std::printf("  L = %3ld %9.2e %7.0f", long(L), std::sqrt(sum / keys) / truth,
                    seconds_since(start) / keys * 1e6);
      }
      std::printf("\n");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (int k = 1; k + 1 < argc; ++k) {
    if (std::strcmp(argv[k], "--data") != 0) continue;
    print_errors(argv[k + 1]);
    return 0;
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
