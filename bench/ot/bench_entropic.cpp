// SPDX-License-Identifier: MIT
// What ot::entropic chooses against its choices: Sinkhorn, Newton, for small problems the way in
// the cache, and the door itself, to 1e-9, on four families of costs over their maximum. Arguments:
// n, 1e6 epsilon, family. The constants in monge/ot/entropic.hpp are from these rows.
#include <benchmark/benchmark.h>
#include <random>

#include <monge/ot/entropic.hpp>

namespace {

using namespace monge;

enum Family { plane, ten_coordinates, random_costs, two_clusters };

MatrixX<double> costs(Index n, Family family) {
  std::mt19937_64 engine(1);
  std::uniform_real_distribution<double> uniform;
  std::normal_distribution<double> normal;
  if (family == random_costs) {
    return MatrixX<double>::NullaryExpr(n, n, [&] { return uniform(engine); });
  }
  Index const d = family == ten_coordinates ? 10 : 2;
  MatrixX<double> X(d, n), Y(d, n);
  for (Index j = 0; j < n; ++j) {
    for (Index k = 0; k < d; ++k) {
      X(k, j) = family == two_clusters ? normal(engine) : uniform(engine);
      Y(k, j) =
          family == two_clusters ? 0.3 * normal(engine) + (j % 2 == 0 ? -2 : 2) : uniform(engine);
    }
  }
  return ot::cost_matrix(X, Y, ot::squared_euclidean{});
}

template <ot::EntropicMethod method>
void to_tolerance(benchmark::State& state) {
  Index const n = state.range(0);
  MatrixX<double> C = costs(n, Family(state.range(2)));
  C /= C.maxCoeff();
  VectorX<double> const w = VectorX<double>::Constant(n, 1 / double(n));
  ot::EntropicOptions const options{.epsilon = double(state.range(1)) * 1e-6,
                                    .tolerance = 1e-9,
                                    .method = method,
                                    .max_seconds = 10};
  ot::EntropicResult<double> r;
  for (auto _ : state) r = ot::entropic(C, w, w, options);
  state.counters["iterations"] = double(r.iterations);
  state.counters["marginal_error"] = r.marginal_error;
  char const* const names[] = {"automatic, ", "sinkhorn, ", "in_cache, ", "newton, ",
                               "multiscale, "};
  state.SetLabel(names[int(r.method)] + std::string(message(r.status)));
}

void rows(benchmark::internal::Benchmark* b) {
  b->ArgsProduct({{32, 100, 300, 1000},
                  {30'000, 10'000, 3'000, 1'000, 300, 100},
                  {plane, ten_coordinates, random_costs, two_clusters}})
      ->Unit(benchmark::kMillisecond);
}

void small_rows(benchmark::internal::Benchmark* b) {
  b->ArgsProduct({{32, 100},
                  {30'000, 10'000, 3'000, 1'000, 300, 100},
                  {plane, ten_coordinates, random_costs, two_clusters}})
      ->Unit(benchmark::kMillisecond);
}

}  // namespace

BENCHMARK(to_tolerance<ot::EntropicMethod::automatic>)->Name("entropic")->Apply(rows);
BENCHMARK(to_tolerance<ot::EntropicMethod::sinkhorn>)->Name("sinkhorn")->Apply(rows);
BENCHMARK(to_tolerance<ot::EntropicMethod::newton>)->Name("newton")->Apply(rows);
BENCHMARK(to_tolerance<ot::EntropicMethod::in_cache>)->Name("in_cache")->Apply(small_rows);
