// SPDX-License-Identifier: MIT
// What ot::entropic chooses against its choices: Sinkhorn, Newton, for small problems the way in
// the cache, and the door itself, to 1e-9, on four families of costs over their maximum. Arguments:
// n, 1e6 epsilon, family. The constants in monge/ot/entropic.hpp are from these rows. Then hard
// problems (arguments: problem, 1e6 epsilon), and the growth of each method's time with n.
#include <benchmark/benchmark.h>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "support/neighbours.hpp"
#include <monge/ot/entropic.hpp>
#include <monge/ot/grid.hpp>
#include <monge/ot/sinkhorn_sparse.hpp>

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

/// Points with weights; C over its maximum.
struct Measures {
  MatrixX<double> X, Y, C;
  VectorX<double> a, b;
};

/// Those of tests/ot/test_entropic_hard.cpp, n points each.
enum Hard { exponential_and_normals, disjoint_supports, heavy_point, spread_weights };

Measures uniform_plane(Index n) {
  std::mt19937_64 engine(1);
  std::uniform_real_distribution<double> uniform;
  auto const draw = [&] { return uniform(engine); };
  MatrixX<double> const X = MatrixX<double>::NullaryExpr(2, n, draw);
  MatrixX<double> const Y = MatrixX<double>::NullaryExpr(2, n, draw);
  VectorX<double> const w = VectorX<double>::Constant(n, 1 / double(n));
  return {X, Y, {}, w, w};
}

Measures hard_problem(Index n, Hard which) {
  Measures p = uniform_plane(n);
  switch (which) {
    case exponential_and_normals: {
      auto const x = VectorX<double>::LinSpaced(n, 0, 5).eval();
      auto const normal = [](double z) { return std::exp(-z * z / 2); };
      p.X = p.Y = x.transpose();
      for (Index i = 0; i < n; ++i) {
        p.a(i) = std::exp(-x(i));
        p.b(i) = normal((x(i) - 1) / 0.2) + 1.6 * normal((x(i) - 3) / 0.5);
      }
      break;
    }
    case disjoint_supports:
      p.X.array() += 10;
      break;
    case heavy_point:
      for (VectorX<double>* w : {&p.a, &p.b}) {
        *w *= 1e-6;
        (*w)(2) += 1 - 1e-6;
      }
      break;
    case spread_weights:
      for (Index i = 0; i < n; ++i) {
        p.a(i) = p.b(i) = std::pow(10.0, -300 * double((7 * i) % n) / double(n - 1));
      }
      break;
  }
  p.a /= p.a.sum();
  p.b /= p.b.sum();
  p.C = ot::cost_matrix(p.X, p.Y, ot::squared_euclidean{});
  double const largest = p.C.maxCoeff();
  p.C /= largest;
  p.X /= std::sqrt(largest);
  p.Y /= std::sqrt(largest);
  return p;
}

template <class Result>
void report(benchmark::State& state, Result const& r) {
  state.counters["iterations"] = double(r.iterations);
  state.counters["marginal_error"] = r.marginal_error;
  std::string_view const said = message(r.status);
  state.SetLabel(std::string(said.substr(0, said.find(':'))));
}

/// solve(p, options with epsilon and a tolerance of 1e-9).
template <class Options, class Solve>
void hard(benchmark::State& state, Solve solve) {
  Measures const p = hard_problem(300, Hard(state.range(0)));
  Options options;
  options.epsilon = double(state.range(1)) * 1e-6;
  options.tolerance = 1e-9;
  options.max_seconds = 10;
  ot::SinkhornResult<double> r;
  for (auto _ : state) r = solve(p, options);
  report(state, r);
}

void hard_sinkhorn(benchmark::State& state) {
  hard<ot::SinkhornOptions>(
      state, [](auto const& p, auto const& x) { return ot::sinkhorn(p.C, p.a, p.b, x); });
}
void hard_newton(benchmark::State& state) {
  hard<ot::SinkhornNewtonOptions>(
      state, [](auto const& p, auto const& x) { return ot::sinkhorn_newton(p.C, p.a, p.b, x); });
}
void hard_entropic(benchmark::State& state) {
  hard<ot::EntropicOptions>(
      state, [](auto const& p, auto const& x) { return ot::entropic(p.C, p.a, p.b, x); });
}
void hard_multiscale(benchmark::State& state) {
  hard<ot::SinkhornOptions>(state, [](auto const& p, auto const& x) {
    auto const cloud = ot::point_cloud(p.X, p.Y, ot::squared_euclidean{});
    return ot::sinkhorn_multiscale(cloud, p.a, p.b, x);
  });
}

/// Growth: solve(p, options) to 1e-9 at epsilon = share of the largest cost, in the plane.
template <class Options, class Solve>
void growth(benchmark::State& state, double share, bool dense, Solve solve) {
  Measures p = uniform_plane(state.range(0));
  if (dense) p.C = ot::cost_matrix(p.X, p.Y, ot::squared_euclidean{});
  Options options;
  options.epsilon = 2 * share;
  options.tolerance = 1e-9;
  ot::SinkhornResult<double> r;
  for (auto _ : state) r = solve(p, options);
  report(state, r);
}

void growth_sinkhorn(benchmark::State& state) {
  growth<ot::SinkhornOptions>(state, 1e-2, true, [](auto const& p, auto const& x) {
    return ot::sinkhorn(p.C, p.a, p.b, x);
  });
}
void growth_log_domain(benchmark::State& state) {
  growth<ot::SinkhornOptions>(state, 1e-2, true, [](auto const& p, auto x) {
    x.kernel_bytes = 0;
    return ot::sinkhorn(p.C, p.a, p.b, x);
  });
}
void growth_lazy(benchmark::State& state) {
  growth<ot::SinkhornOptions>(state, 1e-2, false, [](auto const& p, auto x) {
    x.kernel_bytes = 0;
    return ot::sinkhorn(ot::point_cloud(p.X, p.Y, ot::squared_euclidean{}), p.a, p.b, x);
  });
}
void growth_newton(benchmark::State& state) {
  growth<ot::SinkhornNewtonOptions>(state, 1e-3, true, [](auto const& p, auto const& x) {
    return ot::sinkhorn_newton(p.C, p.a, p.b, x);
  });
}
void growth_multiscale(benchmark::State& state) {
  growth<ot::SinkhornOptions>(state, 1e-3, false, [](auto const& p, auto const& x) {
    return ot::sinkhorn_multiscale(ot::point_cloud(p.X, p.Y, ot::squared_euclidean{}), p.a, p.b, x);
  });
}

/// n points on a square grid, epsilon 1e-2 of the largest cost.
void growth_grid(benchmark::State& state) {
  Index const side = Index(std::lround(std::sqrt(double(state.range(0)))));
  auto const cost = ot::grid_cost({side, side}, {.spacing = {1 / double(side), 1 / double(side)}});
  VectorX<double> a(side * side), b(side * side);
  for (Index i = 0; i < a.size(); ++i) {
    double const x = double(i % side) / double(side), y = double(i / side) / double(side);
    a(i) = 1.1 + std::sin(7 * x + 3 * y);
    b(i) = 1.1 + std::cos(5 * x) * std::sin(9 * y);
  }
  a /= a.sum();
  b /= b.sum();
  ot::SinkhornResult<double> r;
  for (auto _ : state) r = ot::sinkhorn(cost, a, b, {.epsilon = 2e-2, .tolerance = 1e-9});
  report(state, r);
}

void growth_sparse(benchmark::State& state) {
  bench::Neighbours const p = bench::neighbours(state.range(0));
  ot::SinkhornResult<double> r;
  for (auto _ : state) r = ot::sinkhorn(p.C, p.a, p.b, {.epsilon = 1, .tolerance = 1e-9});
  report(state, r);
  bench::count_entries(state, p, r.iterations);
}

void hard_rows(benchmark::internal::Benchmark* b) {
  b->ArgsProduct({{exponential_and_normals, disjoint_supports, heavy_point, spread_weights},
                  {10'000, 100, 1}})
      ->Unit(benchmark::kMillisecond);
}

void decade(benchmark::internal::Benchmark* b) {
  for (Index const n : {500, 1000, 2000, 5000}) b->Arg(n);
  b->Unit(benchmark::kMillisecond);
}

void cells(benchmark::internal::Benchmark* b) {
  for (Index const n : {1024, 4096, 16'384, 65'536}) b->Arg(n);
  b->Unit(benchmark::kMillisecond);
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
BENCHMARK(hard_sinkhorn)->Apply(hard_rows);
BENCHMARK(hard_newton)->Apply(hard_rows);
BENCHMARK(hard_entropic)->Apply(hard_rows);
BENCHMARK(hard_multiscale)->Apply(hard_rows);
BENCHMARK(growth_sinkhorn)->Apply(decade);
BENCHMARK(growth_log_domain)->Apply(decade);
BENCHMARK(growth_lazy)->Apply(decade);
BENCHMARK(growth_newton)->Apply(decade);
BENCHMARK(growth_multiscale)->Apply(decade)->Arg(20'000)->Arg(50'000);
BENCHMARK(growth_grid)->Apply(cells);
BENCHMARK(growth_sparse)->Apply(cells);
