// SPDX-License-Identifier: MIT
#include <Eigen/Core>
#include <unsupported/Eigen/AutoDiff>

#include <cmath>
#include <numbers>
#include <vector>

#include "support/catch.hpp"
#include <monge/flow/integrate.hpp>

namespace flow = monge::flow;
using monge::Index;
using monge::Status;
using std::numbers::pi;

namespace {

auto const spin = [](double, auto const& x, auto&& dx) { dx << x(1), -x(0); };
auto const decay = [](double, auto const& x, auto& dx) { dx = -x; };
auto const pendulum = [](double, auto const& x, auto& dx) {
  using std::sin;
  dx(0) = x(1);
  dx(1) = -sin(x(0));
};
using Vector1 = Eigen::Matrix<double, 1, 1>;

flow::IntegrateOptions within(double tolerance) {
  return {.relative_tolerance = tolerance, .absolute_tolerance = tolerance};
}

}  // namespace

TEST_CASE("a full turn of the circle comes back", "[flow]") {
  auto const r = monge::flow::integrate([](double, auto const& x, auto&& dx) { dx << x(1), -x(0); },
                                        Eigen::Vector2d(1, 0), 0.0, 6.283185307179586,
                                        monge::flow::dormand_prince5{},
                                        {.relative_tolerance = 1e-10, .absolute_tolerance = 1e-10});
  CHECK(r.status == Status::converged);
  CHECK((r.x - Eigen::Vector2d(1, 0)).norm() < 2e-9);
  CHECK(r.t == 6.283185307179586);
  CHECK(r.iterations == r.accepted + r.rejected);
  CHECK(r.evaluations == 2 + 6 * r.iterations);
  CHECK(r.seconds > 0);
}

TEMPLATE_TEST_CASE("float, double and long double reach what they can", "[flow]", float, double,
                   long double) {
  using X = Eigen::Matrix<TestType, 2, 1>;
  bool const single = std::is_same_v<TestType, float>;
  double const tolerance = single ? 1e-6 : 1e-12;
  auto const r = flow::integrate(spin, X(1, 0), 0, 2, flow::dormand_prince5{}, within(tolerance));
  CHECK(r.status == Status::converged);
  double const error = double((r.x - X(TestType(std::cos(2.0)), TestType(-std::sin(2.0)))).norm());
  CHECK(error < 20 * tolerance);
}

TEST_CASE("any Eigen shape and expression is a start, evaluated once", "[flow]") {
  Eigen::Matrix3d const m = Eigen::Matrix3d::Identity();
  double const e = std::exp(-1.0);
  auto const r = [&](auto const& x0) {
    return flow::integrate(decay, x0, 0, 1, flow::dormand_prince5{}, within(1e-9)).x;
  };
  CHECK((r(m) - e * m).norm() < 1e-8);
  CHECK((r(m.col(1)) - e * m.col(1)).norm() < 1e-8);
  CHECK((r(2 * m + m.transpose()) - 3 * e * m).norm() < 1e-8);
  CHECK((r(m * m) - e * m).norm() < 1e-8);
  Eigen::Matrix<double, 3, Eigen::Dynamic, Eigen::RowMajor> const rows =
      Eigen::MatrixXd::Ones(3, 7);
  CHECK((r(rows) - e * rows).norm() < 1e-8);
  Eigen::VectorXd const v = Eigen::VectorXd::LinSpaced(37, -1, 1);  // whole blocks and a tail
  CHECK((r(v) - e * v).norm() < 1e-8);
  CHECK((r(Eigen::Map<Eigen::VectorXd const>(v.data() + 1, 20)) - e * v.segment(1, 20)).norm() <
        1e-8);
  CHECK((r(Eigen::Ref<Eigen::VectorXd const>(v)) - e * v).norm() < 1e-8);
  CHECK((r(Eigen::Matrix<double, 5, 5>::Ones()) - e * Eigen::Matrix<double, 5, 5>::Ones()).norm() <
        1e-8);

  int reads = 0;
  r(Eigen::Vector3d::NullaryExpr([&] { return double(++reads); }));
  CHECK(reads == 3);
}

TEST_CASE("a field with its own state and one that takes Ref are called as they are", "[flow]") {
  long calls = 0;
  auto counting = [calls = 0, &total = calls](double, Eigen::Ref<Eigen::VectorXd const> const& x,
                                              Eigen::Ref<Eigen::VectorXd> dx) mutable {
    total = ++calls;
    dx = -x;
  };
  auto const r = flow::integrate(counting, Eigen::VectorXd::Ones(3), 0, 1);
  CHECK(r.status == Status::converged);
  CHECK(calls == r.evaluations);
}

TEMPLATE_TEST_CASE("the error follows the tolerance", "[flow]", flow::heun, flow::bogacki_shampine3,
                   flow::dormand_prince5, flow::tsitouras5) {
  auto const error = [](double tolerance) {
    auto const r =
        flow::integrate(spin, Eigen::Vector2d(1, 0), 0, 5, TestType{}, within(tolerance));
    REQUIRE(r.status == Status::converged);
    return (r.x - Eigen::Vector2d(std::cos(5), -std::sin(5))).norm();
  };
  // Four decades; heun's error per unit step falls like tolerance^(p / (p + 1)) only.
  double const k = TestType::embedded_order + 1;
  double const slope = std::log10(error(1e-4) / error(1e-8)) / 4;
  CAPTURE(slope);
  CHECK(slope > TestType::embedded_order / k - 0.15);
  CHECK(slope < 1.25);
}

TEST_CASE("what flows forward flows back", "[flow]") {
  Eigen::Vector2d const x0(1.2, 0.3);
  for (double t1 : {7.0, -7.0}) {
    auto const there =
        flow::integrate(pendulum, x0, 0.5, t1, flow::dormand_prince5{}, within(1e-11));
    auto const back =
        flow::integrate(pendulum, there.x, t1, 0.5, flow::dormand_prince5{}, within(1e-11));
    CHECK(there.status == Status::converged);
    CHECK(back.status == Status::converged);
    CHECK(back.t == 0.5);
    CHECK(back.next_step * (0.5 - t1) > 0);
    CHECK((back.x - x0).norm() < 1e-9);
  }
}

TEST_CASE("fields may depend on time, in both directions", "[flow]") {
  auto const ramp = [](double t, auto const&, auto& dx) { dx(0) = t; };
  for (double step : {0.0, 0.3}) {
    flow::IntegrateOptions options;
    if (step > 0) options.step = step;
    CHECK(std::abs(flow::integrate(ramp, Vector1(0), 1, 3, flow::dormand_prince5{}, options).x(0) -
                   4) < 1e-14);
    CHECK(std::abs(flow::integrate(ramp, Vector1(0), 3, 1, flow::dormand_prince5{}, options).x(0) +
                   4) < 1e-14);
  }
}

TEST_CASE("an empty interval returns the start", "[flow]") {
  auto const r = flow::integrate(spin, Eigen::Vector2d(1, 2), 3, 3, flow::dormand_prince5{},
                                 {.save_at = {3, 3}});
  CHECK(r.status == Status::converged);
  CHECK(r.x == Eigen::Vector2d(1, 2));
  CHECK(r.evaluations == 0);
  REQUIRE(r.saved.size() == 2);
  CHECK(r.saved[1] == r.x);
}

TEST_CASE("fixed steps land on the end", "[flow]") {
  // The last step is shorter; a quotient of 10 up to rounding makes 10 steps, not 11.
  auto const steps = [](double step, double t1) {
    auto const r =
        flow::integrate(decay, Eigen::Vector2d(1, 2), 0, t1, flow::rk4{}, {.step = step});
    CHECK(r.status == Status::converged);
    CHECK(r.t == t1);
    // The local error of rk4 on this field is h^5 / 120 of the state, to leading order.
    double const h = std::min(step, std::abs(t1)), bound = double(r.accepted) * std::pow(h, 5) / 90;
    Eigen::Vector2d const wanted = std::exp(-t1) * Eigen::Vector2d(1, 2);
    CHECK((r.x - wanted).norm() < bound * wanted.norm());
    return r.accepted;
  };
  CHECK(steps(0.1, 1) == 10);
  CHECK(steps(0.1, 0.1 * 3) == 3);
  CHECK(steps(0.3, 1) == 4);
  CHECK(steps(0.3, -1) == 4);
  CHECK(steps(5, 0.25) == 1);
}

TEST_CASE("a batch of samples flows as each sample alone, to rounding", "[flow]") {
  Eigen::Matrix2Xd const start = Eigen::Matrix2Xd::Random(2, 23);
  auto const batched = [](double, auto const& x, auto& dx) {
    dx.row(0) = x.row(1);
    dx.row(1) = -x.row(0).array().sin().matrix();
  };
  auto const together =
      flow::integrate(batched, start, 0, 3, flow::dormand_prince5{}, {.step = 0.1});
  for (Index i = 0; i < start.cols(); ++i) {
    auto const alone =
        flow::integrate(pendulum, start.col(i), 0, 3, flow::dormand_prince5{}, {.step = 0.1});
    // Bit for bit on baseline x86-64; fused multiply-adds may be placed differently elsewhere.
    CHECK((together.x.col(i) - alone.x).norm() <= 1e-14);
  }
}

TEST_CASE("states are saved at the times asked for", "[flow]") {
  std::vector<double> const times = {0, 0.1, 0.1, 1.7, 3.9, 4};
  std::vector<double> const backward = {4, 3.9, 1.7, 0.1, 0.1, 0};
  auto const check = [](auto const& r, std::vector<double> const& at, double t0, double tolerance) {
    REQUIRE(r.status == Status::converged);
    REQUIRE(r.saved.size() == at.size());
    for (std::size_t i = 0; i < at.size(); ++i) {
      double const t = at[i] - t0;
      CHECK((r.saved[i] - Eigen::Vector2d(std::cos(t), -std::sin(t))).norm() < tolerance);
    }
    CHECK(r.saved.back() == r.x);
  };
  Eigen::Vector2d const x0(1, 0);
  flow::IntegrateOptions options = within(1e-9);
  options.save_at = times;
  check(flow::integrate(spin, x0, 0, 4, flow::dormand_prince5{}, options), times, 0, 1e-8);
  check(flow::integrate(spin, x0, 0, 4, flow::tsitouras5{}, options), times, 0, 1e-8);
  options.step = 0.03;
  check(flow::integrate(spin, x0, 0, 4, flow::rk4{}, options), times, 0, 1e-7);
  check(flow::integrate(spin, Eigen::VectorXd(x0), 0, 4, flow::dormand_prince5{}, options), times,
        0, 1e-8);
  options.save_at = backward;
  check(flow::integrate(spin, x0, 4, 0, flow::dormand_prince5{}, options), backward, 4, 1e-8);
}

TEST_CASE("saving does not change the run", "[flow]") {
  flow::IntegrateOptions options = within(1e-7);
  Eigen::Vector2d const x0(1.2, 0.3);
  auto const plain = flow::integrate(pendulum, x0, 0, 9, flow::dormand_prince5{}, options);
  options.save_at = {0.5, 1, 8.5};
  auto const saving = flow::integrate(pendulum, x0, 0, 9, flow::dormand_prince5{}, options);
  CHECK(saving.x == plain.x);
  CHECK(saving.evaluations == plain.evaluations);
}

TEST_CASE("derivatives by a parameter flow through", "[flow]") {
  using AD = Eigen::AutoDiffScalar<Eigen::Vector2d>;
  using X = Eigen::Matrix<AD, 2, 1>;
  AD const rate(0.7, 2, 0);  // the first independent variable; the second one is the start
  auto const field = [&](double, X const& x, X& dx) {
    dx(0) = -rate * x(0);
    dx(1) = x(0);
  };
  X x0;
  x0(0) = AD(1.5, 2, 1);
  x0(1) = AD(0.0);
  double const p = 0.7, t = 2, e = std::exp(-p * t);
  auto const check = [&](X const& x, double tolerance) {
    CHECK(std::abs(x(0).value() - 1.5 * e) < tolerance);
    CHECK(std::abs(x(0).derivatives()(0) + 1.5 * t * e) < tolerance);
    CHECK(std::abs(x(0).derivatives()(1) - e) < tolerance);
    CHECK(std::abs(x(1).derivatives()(0) - 1.5 * (t * e / p - (1 - e) / (p * p))) < tolerance);
    CHECK(std::abs(x(1).derivatives()(1) - (1 - e) / p) < tolerance);
  };
  auto const adaptive = flow::integrate(field, x0, 0, t, flow::dormand_prince5{}, within(1e-10));
  CHECK(adaptive.status == Status::converged);
  check(adaptive.x, 1e-8);
  auto const fixed = flow::integrate(field, x0, 0, t, flow::rk4{}, {.step = 0.01});
  CHECK(fixed.status == Status::converged);
  check(fixed.x, 1e-8);

  // The steps are those of the values alone.
  auto const values =
      flow::integrate([&](double, auto const& x, auto& dx) { dx << -p * x(0), x(0); },
                      Eigen::Vector2d(1.5, 0), 0, t, flow::dormand_prince5{}, within(1e-10));
  CHECK(values.accepted == adaptive.accepted);
}

TEST_CASE("derivatives of run-time length flow through", "[flow]") {
  using AD = Eigen::AutoDiffScalar<Eigen::VectorXd>;
  using X = Eigen::Matrix<AD, Eigen::Dynamic, 1>;
  AD const rate(0.7, 1, 0);
  auto const field = [&](double, X const& x, X& dx) { dx(0) = -rate * x(0); };
  X x0(1);
  x0(0) = AD(1.5);  // no derivatives yet
  for (auto const& options : {within(1e-9), flow::IntegrateOptions{.step = 0.01}}) {
    auto const r = flow::integrate(field, x0, 0, 2, flow::dormand_prince5{}, options);
    REQUIRE(r.status == Status::converged);
    CHECK(std::abs(r.x(0).derivatives()(0) + 3 * std::exp(-1.4)) < 1e-7);
  }
}

// ---- what goes wrong -------------------------------------------------------------------------

TEMPLATE_TEST_CASE("NaN from the field ends at the last finite state", "[flow]", Eigen::Vector2d,
                   Eigen::VectorXd) {
  auto const breaks = [](double t, auto const& x, auto& dx) {
    dx = -x;
    if (t > 0.5) dx(1) = monge::not_a_number;
  };
  TestType const x0 = Eigen::Vector2d(1, 2);
  auto const check = [&](auto method, flow::IntegrateOptions options, double reach) {
    options.save_at = {0.1, 0.9};
    auto const r = flow::integrate(breaks, x0, 0, 1, method, options);
    CHECK(r.status == Status::non_finite);
    CHECK(r.t <= 0.5);
    CHECK(r.t >= reach);
    CHECK((r.x - std::exp(-r.t) * x0).norm() < 1e-4);
    CHECK(r.saved.size() == 1);
  };
  check(flow::dormand_prince5{}, {}, 0.5 - 1e-12);
  check(flow::bogacki_shampine3{}, {}, 0.5 - 1e-12);
  check(flow::heun{}, {}, 0.5 - 1e-12);
  check(flow::rk4{}, {.step = 0.02}, 0.45);
  check(flow::dormand_prince5{}, {.step = 0.02}, 0.45);
}

TEST_CASE("NaN at the start ends at the start", "[flow]") {
  auto const broken = [](double, auto const&, auto& dx) { dx.setConstant(monge::not_a_number); };
  for (auto const& options : {flow::IntegrateOptions{}, flow::IntegrateOptions{.step = 0.1}}) {
    auto const r =
        flow::integrate(broken, Eigen::Vector2d(1, 2), 0, 1, flow::dormand_prince5{}, options);
    CHECK(r.status == Status::non_finite);
    CHECK(r.t == 0);
    CHECK(r.x == Eigen::Vector2d(1, 2));
    CHECK(r.iterations == 1);
  }
}

TEST_CASE("NaN at a trial stage is answered by a smaller step", "[flow]") {
  auto const fragile = [](double, auto const& x, auto& dx) {
    dx = -50 * x;
    if (x(0) < 0) dx(0) = monge::not_a_number;
  };
  auto const r =
      flow::integrate(fragile, Vector1(1), 0, 0.2, flow::dormand_prince5{}, {.initial_step = 0.2});
  CHECK(r.status == Status::converged);
  CHECK(r.rejected > 0);
  CHECK(std::abs(r.x(0) - std::exp(-10)) < 1e-5);
}

TEST_CASE("an overflow is not taken for a small error", "[flow]") {
  // x' = x^2 grows past the largest number at t = 1.
  auto const explodes = [](double, auto const& x, auto& dx) { dx = x.cwiseProduct(x); };
  auto const adaptive = flow::integrate(explodes, Vector1(1), 0, 2);
  CHECK(adaptive.status == Status::step_too_small);
  CHECK(std::abs(adaptive.t - 1) < 1e-6);
  CHECK(std::isfinite(adaptive.x(0)));
  auto const fixed = flow::integrate(explodes, Vector1(1), 0, 2, flow::rk4{}, {.step = 0.01});
  CHECK(fixed.status == Status::non_finite);
  CHECK(std::isfinite(fixed.x(0)));
  CHECK(fixed.t < 2);
}

TEST_CASE("the smallest and the largest step are kept", "[flow]") {
  auto const r = flow::integrate(pendulum, Eigen::Vector2d(3, 0), 0, 10, flow::dormand_prince5{},
                                 {.max_step = 0.01});
  CHECK(r.status == Status::converged);
  CHECK(r.accepted >= 1000);
  auto const s =
      flow::integrate(pendulum, Eigen::Vector2d(3, 0), 0, 10, flow::dormand_prince5{},
                      {.relative_tolerance = 1e-12, .absolute_tolerance = 1e-12, .min_step = 0.1});
  CHECK(s.status == Status::step_too_small);
  CHECK(s.t < 10);
}

TEMPLATE_TEST_CASE("a tolerance below the rounding of the state is not claimed", "[flow]", float,
                   double) {
  Eigen::Matrix<TestType, 1, 1> const x0(TestType(1));
  double const u = double(monge::unit_roundoff<TestType>);
  auto const r = flow::integrate(decay, x0, 0, 1, flow::dormand_prince5{}, within(u / 100));
  CHECK(r.status == Status::precision_limit);
  CHECK(r.t == 1);
}

TEST_CASE("limits and the observer leave a partial result", "[flow]") {
  Eigen::Vector2d const x0(1, 0);
  auto const check = [&](auto const& r, Status status) {
    CHECK(r.status == status);
    CHECK(r.t < 100);
    CHECK((r.x - Eigen::Vector2d(std::cos(r.t), -std::sin(r.t))).norm() < 1e-3);
  };
  auto const short_run =
      flow::integrate(spin, x0, 0, 100, flow::dormand_prince5{}, {.max_steps = 7});
  check(short_run, Status::iteration_limit);
  CHECK(short_run.iterations == 7);
  check(flow::integrate(spin, x0, 0, 100, flow::dormand_prince5{}, {.max_seconds = 0}),
        Status::time_limit);

  std::vector<Index> seen;
  auto const stopped = flow::integrate(spin, x0, 0, 100, flow::dormand_prince5{},
                                       {.observe_every = 4}, [&](monge::Progress const& progress) {
                                         seen.push_back(progress.iteration);
                                         CHECK(progress.error < 10);
                                         return progress.iteration < 12;
                                       });
  check(stopped, Status::stopped_by_observer);
  CHECK(seen == std::vector<Index>{4, 8, 12});
  CHECK(stopped.iterations == 12);

  // A result is a start: the rest of the run from where it stopped.
  auto const rest = flow::integrate(spin, short_run.x, short_run.t, 6, flow::dormand_prince5{},
                                    {.initial_step = std::abs(short_run.next_step)});
  CHECK(rest.status == Status::converged);
  CHECK((rest.x - Eigen::Vector2d(std::cos(6), -std::sin(6))).norm() < 1e-4);
}

// ---- problems with published answers ---------------------------------------------------------

// Hull, Enright, Fellen, Sedgwick, Comparing numerical methods for ordinary differential equations,
// SIAM Journal on Numerical Analysis 9 (1972) 603-637: t from 0 to 20. The values at the end were
// computed in quadruple precision by extrapolation.
TEST_CASE("the DETEST problems end where they should", "[flow]") {
  auto const end = [](auto const& field, auto const& x0) {
    auto const r = flow::integrate(field, x0, 0, 20, flow::dormand_prince5{}, within(1e-10));
    REQUIRE(r.status == Status::converged);
    return r.x;
  };
  auto const near = [](double value, double wanted) {
    CAPTURE(value, wanted);
    CHECK(std::abs(value - wanted) < 1e-8 * (1 + std::abs(wanted)));
  };
  // A1 to A4: scalar equations
  near(end([](double, auto const& y, auto& dy) { dy = -y; }, Vector1(1))(0),
       2.061153622438557828e-9);
  near(end([](double, auto const& y, auto& dy) { dy(0) = -y(0) * y(0) * y(0) / 2; }, Vector1(1))(0),
       0.21821789023599238127);
  near(end([](double t, auto const& y, auto& dy) { dy(0) = y(0) * std::cos(t); }, Vector1(1))(0),
       2.4916502718504145235);
  near(end([](double, auto const& y, auto& dy) { dy(0) = y(0) / 4 * (1 - y(0) / 20); },
           Vector1(1))(0),
       17.730166481314839849);
  // B1: two conflicting populations
  Eigen::Vector2d const b1 =
      end([](double, auto const& y,
             auto& dy) { dy << 2 * (y(0) - y(0) * y(1)), -(y(1) - y(0) * y(1)); },
          Eigen::Vector2d(1, 3));
  near(b1(0), 0.67618760085766066073);
  near(b1(1), 0.18608160996400298008);
  // B2: a linear chemical reaction
  Eigen::Vector3d const b2 =
      end([](double, auto const& y,
             auto& dy) { dy << -y(0) + y(1), y(0) - 2 * y(1) + y(2), y(1) - y(2); },
          Eigen::Vector3d(2, 0, 1));
  near(b2(0), 1.0000000010305768112);
  near(b2(1), 1);
  near(b2(2), 0.99999999896942318878);
  // C1: a radioactive decay chain of ten
  Eigen::VectorXd const c1 = end(
      [](double, Eigen::VectorXd const& y, Eigen::VectorXd& dy) {
        dy(0) = -y(0);
        dy.segment(1, 8) = y.head(8) - y.segment(1, 8);
        dy(9) = y(8);
      },
      Eigen::VectorXd::Unit(10, 0));
  near(c1(9), 0.9979127409508649812);
  near(c1.sum(), 1);
}

// Arenstorf (1963), in the form of Hairer, Norsett, Wanner I, (0.1): a periodic orbit of the
// restricted three-body problem that passes close to the moon.
TEMPLATE_TEST_CASE("the Arenstorf orbit closes", "[flow]", flow::dormand_prince5,
                   flow::tsitouras5) {
  auto const field = [](double, Eigen::Vector4d const& x, Eigen::Vector4d& dx) {
    constexpr double moon = 0.012277471, earth = 1 - moon;
    double const a = std::pow(std::hypot(x(0) + moon, x(1)), 3);
    double const b = std::pow(std::hypot(x(0) - earth, x(1)), 3);
    dx << x(2), x(3), x(0) + 2 * x(3) - earth * (x(0) + moon) / a - moon * (x(0) - earth) / b,
        x(1) - 2 * x(2) - earth * x(1) / a - moon * x(1) / b;
  };
  Eigen::Vector4d const x0(0.994, 0, 0, -2.00158510637908252240537862224);
  auto const r =
      flow::integrate(field, x0, 0, 17.0652165601579625588917206249, TestType{}, within(1e-12));
  CHECK(r.status == Status::converged);
  CHECK(std::hypot(r.x(0) - x0(0), r.x(1) - x0(1)) < 1e-5);
  CHECK(r.accepted < 3000);
}
