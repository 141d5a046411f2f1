// SPDX-License-Identifier: MIT
// monge::flow::integrate beside Boost.Odeint: the same problem, tolerance and start in one run.
// Counters: `error` against a reference, right-hand sides per call, nanoseconds per right-hand
// side.
#include <Eigen/Core>

#include <array>
#include <benchmark/benchmark.h>
#if defined(__GNUC__) && !defined(__clang__)
// Raised inside Boost's first-same-as-last steppers on fixed-size states.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <boost/numeric/odeint.hpp>
#include <boost/numeric/odeint/external/eigen/eigen.hpp>
#include <cmath>

#include <monge/flow/integrate.hpp>

// Boost.Odeint 1.74 takes any Eigen matrix for one that cannot be resized; without this its
// controlled steppers do not accept dynamic vectors.
namespace boost::numeric::odeint {
template <>
struct is_resizeable<Eigen::VectorXd> {
  using type = boost::true_type;
  static bool const value = type::value;
};
template <>
struct same_size_impl<Eigen::VectorXd, Eigen::VectorXd> {
  static bool same_size(Eigen::VectorXd const& a, Eigen::VectorXd const& b) {
    return a.size() == b.size();
  }
};
template <>
struct resize_impl<Eigen::VectorXd, Eigen::VectorXd> {
  static void resize(Eigen::VectorXd& a, Eigen::VectorXd const& b) { a.resize(b.size()); }
};
}  // namespace boost::numeric::odeint

namespace {

namespace odeint = boost::numeric::odeint;
namespace flow = monge::flow;

template <class Algebra, class X>
using DormandPrince = odeint::runge_kutta_dopri5<X, double, X, double, Algebra>;
template <class X>
using Controlled = DormandPrince<odeint::vector_space_algebra, X>;

// Inlined in both libraries: whether a compiler does so by itself depends on the rest of the file,
// and a call costs more than the arithmetic.
struct Lorenz {
  long* calls;
  template <class X>
  [[gnu::always_inline]] void operator()(double, X const& x, X& dx) const {
    ++*calls;
    dx(0) = 10 * (x(1) - x(0));
    dx(1) = x(0) * (28 - x(2)) - x(1);
    dx(2) = x(0) * x(1) - 8.0 / 3.0 * x(2);
  }
};

// The two libraries pass their arguments in another order.
template <class Field>
auto swapped(Field const& field) {
  return [field](auto const& x, auto& dx, double t) { field(t, x, dx); };
}

template <class X>
X start() {
  return Eigen::Vector3d(1, 0, 0);
}

// The flow is chaotic, so the error is read at t = 10, from a run at 1e-13.
template <class Solve>
void lorenz(benchmark::State& state, Solve const& solve) {
  long calls = 0;
  Lorenz const field{&calls};
  Eigen::Vector3d const wanted =
      flow::integrate(field, Eigen::Vector3d(1, 0, 0), 0, 10, flow::dormand_prince5{},
                      {.relative_tolerance = 1e-13, .absolute_tolerance = 1e-13})
          .x;
  double const error = (Eigen::Vector3d(solve(field, 10.0)) - wanted).norm();
  long runs = 0;
  calls = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(solve(field, 100.0));
    ++runs;
  }
  state.counters["error_at_10"] = error;
  state.counters["rhs"] = double(calls) / double(runs);
  state.counters["per_rhs"] =
      benchmark::Counter(double(calls), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

template <class X, class Method>
void monge_lorenz(benchmark::State& state) {
  lorenz(state, [](Lorenz const& field, double t1) {
    return flow::integrate(field, start<X>(), 0, t1, Method{},
                           {.relative_tolerance = 1e-8, .absolute_tolerance = 1e-8})
        .x;
  });
}

template <class X>
void odeint_lorenz(benchmark::State& state) {
  lorenz(state, [](Lorenz const& field, double t1) {
    X x = start<X>();
    odeint::integrate_adaptive(odeint::make_controlled(1e-8, 1e-8, Controlled<X>()), swapped(field),
                               x, 0.0, t1, 1e-3);
    return x;
  });
}

void hand_written_rk4(Lorenz const& field, Eigen::Vector3d& x, double h, long steps) {
  Eigen::Vector3d k1, k2, k3, k4, y;
  for (long i = 0; i < steps; ++i) {
    field(0, x, k1);
    y = x + 0.5 * h * k1;
    field(0, y, k2);
    y = x + 0.5 * h * k2;
    field(0, y, k3);
    y = x + h * k3;
    field(0, y, k4);
    x += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
  }
}

// Steps of 1e-3 to t = 10: 10 000 of them per call.
template <class Solve>
void fixed(benchmark::State& state, Solve const& solve) {
  constexpr long steps = 10000;
  long calls = 0;
  Lorenz const field{&calls};
  Eigen::Vector3d const wanted =
      flow::integrate(field, Eigen::Vector3d(1, 0, 0), 0, 10, flow::dormand_prince5{},
                      {.relative_tolerance = 1e-13, .absolute_tolerance = 1e-13})
          .x;
  Eigen::Vector3d x;
  for (auto _ : state) {
    x = solve(field, steps);
    benchmark::DoNotOptimize(x);
  }
  state.counters["error_at_10"] = (x - wanted).norm();
  state.counters["per_step"] = benchmark::Counter(
      double(steps), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

template <class X, class Method>
void monge_fixed(benchmark::State& state) {
  fixed(state, [](Lorenz const& field, long) {
    return flow::integrate(field, start<X>(), 0, 10, Method{}, {.step = 1e-3}).x;
  });
}

template <class X, class Stepper>
void odeint_fixed(benchmark::State& state) {
  fixed(state, [](Lorenz const& field, long steps) {
    X x = start<X>();
    Stepper stepper;
    odeint::integrate_n_steps(stepper, swapped(field), x, 0.0, 1e-3, std::size_t(steps));
    return x;
  });
}

void hand_fixed(benchmark::State& state) {
  fixed(state, [](Lorenz const& field, long steps) {
    Eigen::Vector3d x(1, 0, 0);
    hand_written_rk4(field, x, 1e-3, steps);
    return x;
  });
}

// 20 000 independent decays: the field is one product, so the time is that of the algebra.
template <class Solve>
void large(benchmark::State& state, Solve const& solve) {
  Eigen::Index const n = 20000;
  Eigen::VectorXd const rate = Eigen::VectorXd::LinSpaced(n, 0.5, 1.5);
  long calls = 0;
  auto const field = [&](double, auto const& x, auto& dx) {
    ++calls;
    dx = -rate.cwiseProduct(x);
  };
  Eigen::VectorXd x;
  for (auto _ : state) {
    x = solve(field, Eigen::VectorXd::Ones(n).eval());
    benchmark::DoNotOptimize(x.data());
  }
  Eigen::VectorXd const wanted = (-rate).array().exp();
  state.counters["error"] = (x - wanted).cwiseAbs().maxCoeff();
  state.counters["per_rhs"] =
      benchmark::Counter(double(calls), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

template <class Method>
void monge_large_fixed(benchmark::State& state) {
  large(state, [](auto const& field, Eigen::VectorXd const& x0) {
    return flow::integrate(field, x0, 0, 1, Method{}, {.step = 0.01}).x;
  });
}

template <class Stepper>
void odeint_large_fixed(benchmark::State& state) {
  large(state, [](auto const& field, Eigen::VectorXd x) {
    Stepper stepper;
    odeint::integrate_n_steps(stepper, swapped(field), x, 0.0, 0.01, 100);
    return x;
  });
}

void monge_large_adaptive(benchmark::State& state) {
  large(state, [](auto const& field, Eigen::VectorXd const& x0) {
    return flow::integrate(field, x0, 0, 1, flow::dormand_prince5{},
                           {.relative_tolerance = 1e-11, .absolute_tolerance = 1e-11})
        .x;
  });
}

void odeint_large_adaptive(benchmark::State& state) {
  large(state, [](auto const& field, Eigen::VectorXd x) {
    odeint::integrate_adaptive(odeint::make_controlled(1e-11, 1e-11, Controlled<Eigen::VectorXd>()),
                               swapped(field), x, 0.0, 1.0, 1e-3);
    return x;
  });
}

using V3 = Eigen::Vector3d;
using VX = Eigen::VectorXd;
template <class X>
using OdeintRk4 = odeint::runge_kutta4<X, double, X, double, odeint::vector_space_algebra>;

BENCHMARK(monge_lorenz<V3, flow::dormand_prince5>);
BENCHMARK(monge_lorenz<V3, flow::tsitouras5>);
BENCHMARK(odeint_lorenz<V3>);
BENCHMARK(monge_lorenz<VX, flow::dormand_prince5>);
BENCHMARK(odeint_lorenz<VX>);
BENCHMARK(monge_fixed<V3, flow::rk4>);
BENCHMARK(hand_fixed);
BENCHMARK(odeint_fixed<V3, OdeintRk4<V3>>);
BENCHMARK(monge_fixed<VX, flow::rk4>);
BENCHMARK(odeint_fixed<VX, OdeintRk4<VX>>);
BENCHMARK(monge_fixed<V3, flow::dormand_prince5>);
BENCHMARK(odeint_fixed<V3, Controlled<V3>>);
BENCHMARK(monge_large_fixed<flow::rk4>);
BENCHMARK(odeint_large_fixed<OdeintRk4<VX>>);
BENCHMARK(monge_large_fixed<flow::dormand_prince5>);
BENCHMARK(odeint_large_fixed<Controlled<VX>>);
BENCHMARK(monge_large_adaptive);
BENCHMARK(odeint_large_adaptive);

}  // namespace
