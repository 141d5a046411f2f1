// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include <monge/flow/integrate.hpp>

namespace flow = monge::flow;
using monge::Index;
using monge::Status;

namespace {

auto const spin = [](double, auto const& x, auto&& dx) { dx << x(1), -x(0); };
auto const decay = [](double, auto const& x, auto& dx) { dx = -x; };
auto const pendulum = [](double, auto const& x, auto& dx) {
  dx(0) = x(1);
  dx(1) = -std::sin(x(0));
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
