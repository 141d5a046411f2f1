// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include <monge/optim/line_search.hpp>

using monge::Index;
using monge::optim::Verdict;
using monge::optim::WolfeSearch;

namespace {

struct Searched {
  Verdict verdict;
  double step, value, slope;
  Index evaluations;
  bool saw_non_finite;
};

/// Runs the machine on phi, which returns a (value, slope) pair.
template <class Phi>
Searched search(Phi phi, double first, double c1 = 1e-4, double c2 = 0.9) {
  WolfeSearch<double> machine(c1, c2, 30);
  auto const [value, slope] = phi(0.0);
  machine.begin(value, slope, first, 4e-16 * std::abs(value));
  for (;;) {
    auto const [v, s] = phi(machine.step());
    Verdict const verdict = machine.observe(v, s);
    if (verdict != Verdict::evaluate) {
      return {verdict, machine.step(), v, s, machine.evaluations(), machine.saw_non_finite()};
    }
  }
}

struct Pair {
  double value, slope;
};

// The test functions of More and Thuente (1994), eqs. (5.1) to (5.3).
Pair rational(double t) {
  double const q = t * t + 2;
  return {-t / q, (t * t - 2) / (q * q)};
}
Pair quintic(double t) {
  double const u = t + 0.004;
  return {std::pow(u, 5) - 2 * std::pow(u, 4), 5 * std::pow(u, 4) - 8 * std::pow(u, 3)};
}
Pair wavy(double t) {  // beta = 0.01, l = 39
  double const beta = 0.01, l = 39, pi = 3.14159265358979323846;
  double base, slope;
  if (t <= 1 - beta) {
    base = 1 - t;
    slope = -1;
  } else if (t >= 1 + beta) {
    base = t - 1;
    slope = 1;
  } else {
    base = (t - 1) * (t - 1) / (2 * beta) + beta / 2;
    slope = (t - 1) / beta;
  }
  return {base + 2 * (1 - beta) / (l * pi) * std::sin(l * pi / 2 * t),
          slope + (1 - beta) * std::cos(l * pi / 2 * t)};
}

}  // namespace

TEST_CASE("an accepted step satisfies both strong Wolfe conditions, from steps far off") {
  struct Case {
    Pair (*phi)(double);
    double c1, c2;
  };
  // The constants of the paper's tables 1 to 3.
  auto const [phi, c1, c2] =
      GENERATE(Case{rational, 1e-3, 0.1}, Case{quintic, 0.1, 0.1001}, Case{wavy, 0.1, 0.1001},
               Case{rational, 1e-4, 0.9}, Case{quintic, 1e-4, 0.9}, Case{wavy, 1e-4, 0.9});
  double const first = GENERATE(1e-3, 1e-1, 1.0, 1e1, 1e3);
  CAPTURE(c1, c2, first);
  Pair const start = phi(0);
  Searched const r = search(phi, first, c1, c2);
  REQUIRE(r.verdict == Verdict::strong_wolfe);
  CHECK(r.value <= start.value + c1 * r.step * start.slope);
  CHECK(std::abs(r.slope) <= -c2 * start.slope);
  CHECK(r.evaluations <= 16);  // the paper needs up to 12 on these
}

TEST_CASE("a good first step is taken as it is") {
  auto const parabola = [](double t) { return Pair{(t - 1) * (t - 1), 2 * (t - 1)}; };
  Searched const r = search(parabola, 1);
  CHECK(r.evaluations == 1);
  CHECK(r.step == 1);
}

TEST_CASE("on a parabola the second trial is the minimiser") {
  auto const parabola = [](double t) { return Pair{(t - 1) * (t - 1), 2 * (t - 1)}; };
  double const first = GENERATE(0.3, 3.0, 17.0);
  Searched const r = search(parabola, first, 1e-4, 0.01);
  CHECK(r.evaluations == 2);
  CHECK_THAT(r.step, Catch::Matchers::WithinAbs(1, 1e-12));
}

TEST_CASE("NaN and infinity end the interval and the step shrinks") {
  double const bad =
      GENERATE(std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity());
  auto const barrier = [bad](double t) {  // minimum at 0.5, not defined from 1 on
    return t >= 1
               ? Pair{bad, bad}
               : Pair{-std::log(t + 0.1) - 0.7 * std::log(1 - t), -1 / (t + 0.1) + 0.7 / (1 - t)};
  };
  Searched const r = search(barrier, 50);
  CHECK(r.verdict == Verdict::strong_wolfe);
  CHECK(r.saw_non_finite);
  CHECK(r.step < 1);
}

TEST_CASE("a ray without a minimum is left in few evaluations") {
  auto const line = [](double t) { return Pair{-t, -1}; };
  Searched const r = search(line, 1);
  CHECK(r.verdict == Verdict::exhausted);
  CHECK(r.value < -1e40);
  CHECK(r.evaluations <= 30);
}

TEST_CASE("values that rise against the slope exhaust the search, which never throws") {
  auto const liar = [](double t) { return Pair{t, -1}; };
  Searched const r = search(liar, 1);
  CHECK(r.verdict == Verdict::exhausted);
}

TEST_CASE("where values are equal to rounding the slopes decide") {
  // The offset hides every change of value but for one unit in the last place, the wrong way; the
  // minimiser of the slopes is 3.
  auto const hidden = [](double t) { return Pair{t > 0 ? 1e20 + 16384 : 1e20, 1e-3 * (t - 3)}; };
  Searched const r = search(hidden, 100, 1e-4, 0.1);
  CHECK(r.verdict == Verdict::within_rounding);
  CHECK(std::abs(r.step - 3) <= 0.3);
}
