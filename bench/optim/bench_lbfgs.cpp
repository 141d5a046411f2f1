// SPDX-License-Identifier: MIT
// L-BFGS beside LBFGSpp (0.1.0 from Debian, or a newer one given by -I before /usr/include).
//
// family/*: evaluations over the chained Rosenbrock function, n = 2 to 1000, ten random starts
// each, same memory, both run until |g|_2 <= 1e-6; counters: the geometric mean of our evaluations
// over theirs, over the runs that both finish, for how many that is, and how many of ours and of
// theirs end at the global minimum.
// iteration/*: time per evaluation with everything around it.
#include <LBFGS.h>
#include <benchmark/benchmark.h>
#include <random>
#include <stdexcept>

#include <monge/optim/lbfgs.hpp>
#include <monge/optim/problems.hpp>

namespace {

using Eigen::VectorXd;
using monge::Index;
using namespace monge::optim;

constexpr int memory = 8;
constexpr double tolerance = 1e-6;
constexpr long most_evaluations = 60000;  // LBFGSpp can circle at the precision limit for ever

struct Run {
  long evaluations = 0;
  double value = 0, gradient_norm = 0;
  bool finished = false;
};

template <class Problem>
struct Counted {
  Problem problem;
  long calls = 0;
  double operator()(VectorXd const& x, VectorXd& g) {
    if (++calls > most_evaluations) throw std::runtime_error("too many evaluations");
    return problem(x, g);
  }
};

template <class Problem>
Run ours(Problem const& problem, VectorXd const& start) {
  Counted<Problem> f{problem};
  auto const stepper = lbfgs{.history = memory}.stepper(f, start, {.gradient_tolerance = 0});
  auto state = stepper.init();
  auto advance = stepper.advance(state, 0);
  while (advance.status == monge::Status::running && state.gradient.norm() > tolerance) {
    advance = stepper.advance(state, 1);
  }
  double const norm = state.gradient.norm();
  return {f.calls, state.value, norm, norm <= tolerance};
}

template <template <class> class Search, class Problem>
Run theirs(Problem const& problem, VectorXd x) {
  Counted<Problem> f{problem};
  LBFGSpp::LBFGSParam<double> parameters;
  parameters.m = memory;
  parameters.epsilon = tolerance;
  parameters.epsilon_rel = 0;
  parameters.max_linesearch = 100;
  parameters.linesearch = LBFGSpp::LBFGS_LINESEARCH_BACKTRACKING_STRONG_WOLFE;  // as ours
  LBFGSpp::LBFGSSolver<double, Search> solver(parameters);
  Run run;
  try {
    solver.minimize(f, x, run.value);
    VectorXd g(x.size());
    run.value = problem(x, g);
    run.gradient_norm = g.norm();
    run.finished = run.gradient_norm <= tolerance;
  } catch (std::exception const&) {
    run.finished = false;
  }
  run.evaluations = f.calls;
  return run;
}

template <template <class> class Search>
void family(benchmark::State& state) {
  double const width = double(state.range(0));
  double logarithms = 0;
  int runs = 0, common = 0, ours_global = 0, theirs_global = 0;
  for (auto _ : state) {
    for (Index n : {2, 5, 10, 20, 50, 100, 200, 500, 1000}) {
      for (unsigned k = 0; k < 10; ++k) {
        std::mt19937_64 random(1000003 + unsigned(n) * 1000 + k);
        std::uniform_real_distribution<double> uniform(-width, width);
        VectorXd start(n);
        for (Index i = 0; i < n; ++i) start(i) = uniform(random);
        problems::ChainedRosenbrock const problem{n};
        Run const a = ours(problem, start), b = theirs<Search>(problem, start);
        ++runs;
        if (a.finished && b.finished) {
          ++common;
          logarithms += std::log(double(a.evaluations) / double(b.evaluations));
          ours_global += a.value < 1e-8;
          theirs_global += b.value < 1e-8;
        }
      }
    }
  }
  state.counters["ratio"] = std::exp(logarithms / common);
  state.counters["runs"] = runs;
  state.counters["both_finish"] = common;
  state.counters["ours_global"] = ours_global;
  state.counters["theirs_global"] = theirs_global;
}
BENCHMARK(family<LBFGSpp::LineSearchBacktracking>)->Arg(2)->Arg(1)->Iterations(1);
BENCHMARK(family<LBFGSpp::LineSearchBracketing>)->Arg(2)->Arg(1)->Iterations(1);
BENCHMARK(family<LBFGSpp::LineSearchNocedalWright>)->Arg(2)->Arg(1)->Iterations(1);
#ifdef LBFGSPP_LINE_SEARCH_MORE_THUENTE_H  // not part of LBFGS.h in 0.1.0
BENCHMARK(family<LBFGSpp::LineSearchMoreThuente>)->Arg(2)->Arg(1)->Iterations(1);
#endif

template <class Problem, class Solve>
void iteration(benchmark::State& state, Solve solve) {
  Problem const problem{state.range(0)};
  VectorXd const start = problem.start();
  Run run;
  for (auto _ : state) run = solve(problem, start);
  state.counters["evaluations"] = double(run.evaluations);
  state.counters["gradient_norm"] = run.gradient_norm;
  state.counters["per_evaluation"] =
      benchmark::Counter(double(run.evaluations), benchmark::Counter::kIsIterationInvariantRate |
                                                      benchmark::Counter::kInvert);
}
template <class Problem>
void iteration_monge(benchmark::State& state) {
  iteration<Problem>(state, [](auto const& p, auto const& x) { return ours(p, x); });
}
template <class Problem>
void iteration_lbfgspp(benchmark::State& state) {
  iteration<Problem>(state, [](auto const& p, auto const& x) {
    return theirs<LBFGSpp::LineSearchBracketing>(p, x);
  });
}
BENCHMARK(iteration_monge<problems::ChainedRosenbrock>)->Arg(10)->Arg(100)->Arg(1000);
BENCHMARK(iteration_lbfgspp<problems::ChainedRosenbrock>)->Arg(10)->Arg(100)->Arg(1000);
BENCHMARK(iteration_monge<problems::ExtendedRosenbrock>)->Arg(1000)->Arg(10000);
BENCHMARK(iteration_lbfgspp<problems::ExtendedRosenbrock>)->Arg(1000)->Arg(10000);

}  // namespace

BENCHMARK_MAIN();
