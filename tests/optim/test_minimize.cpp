// SPDX-License-Identifier: MIT
// The front door, with a method that is not the library's own.
#include <limits>

#include "support/catch.hpp"
#include "support/throws.hpp"
#include <monge/optim/minimize.hpp>

using namespace monge;
using namespace monge::optim;
using Eigen::VectorXd;

namespace {

/// x <- x - step g until the criterion of MinimizeOptions holds.
template <class F, class X>
class DescentStepper {
 public:
  struct State {
    X x, g;
    double value = 0;
    Index evaluations = 0;
  };

  DescentStepper(F& objective, X x0, double step, MinimizeOptions const& options)
      : objective_(&objective), x0_(std::move(x0)), step_(step), options_(options) {
    optim::detail::require_problem(x0_, options);
  }

  State init() const {
    State s{x0_, X::Zero(x0_.rows(), x0_.cols())};
    look(s);
    return s;
  }
  Advance advance(State& s, Index k) const {
    for (Index done = 0;; ++done) {
      if (error(s) <= optim::detail::gradient_tolerance<double>(options_)) {
        return {Status::converged, done};
      }
      if (done == k) return {Status::running, k};
      s.x -= step_ * s.g;
      look(s);
    }
  }
  double error(State const& s) const {
    return s.g.cwiseAbs().maxCoeff() / std::max(options_.typical_value, std::abs(s.value));
  }
  Status finish(State&, Status status) const { return status; }
  MinimizeResult<X> result(State s) const {
    MinimizeResult<X> r;
    r.x = s.x;
    r.value = s.value;
    r.gradient = s.g;
    r.gradient_norm = s.g.cwiseAbs().maxCoeff();
    r.evaluations = s.evaluations;
    return r;
  }

 private:
  void look(State& s) const {
    s.value = optim::detail::evaluate(*objective_, s.x, s.g);
    ++s.evaluations;
  }

  F* objective_;
  X x0_;
  double step_;
  MinimizeOptions options_;
};

struct descent {
  double step = 0.1;

  template <class F, class X>
  auto stepper(F& objective, X const& x0, MinimizeOptions const& options) const {
    return DescentStepper<F, X>(objective, x0, step, options);
  }
};

/// (x - 1)^2 summed.
struct Bowl {
  template <class X>
  double operator()(X const& x, X& g) const {
    g = 2 * (x.array() - 1).matrix();
    return (x.array() - 1).square().sum();
  }
};
static_assert(Minimizer<descent, Bowl, VectorXd>);

}  // namespace

TEST_CASE("minimize drives any method and says how it ended") {
  auto const r = minimize(Bowl{}, VectorXd::Zero(4), descent{});
  REQUIRE(r.status == Status::converged);
  CHECK(r.converged());
  CHECK((r.x.array() - 1).abs().maxCoeff() <= 0.5e-6);
  CHECK(r.gradient_norm <= 1e-6);
  CHECK(r.evaluations == r.iterations + 1);
  CHECK(r.seconds >= 0);
  // The error shrinks by 0.8 in each step: 2 * 0.8^k <= 1e-6 first for k = 66.
  CHECK(r.iterations == 66);
}

TEST_CASE("minimize: limits, observer and a start at the minimum") {
  MinimizeOptions options;
  options.max_iterations = 7;
  auto const few = minimize(Bowl{}, VectorXd::Zero(2), descent{}, options);
  CHECK(few.status == Status::iteration_limit);
  CHECK_FALSE(few.converged());
  CHECK(few.iterations == 7);
  options.max_iterations = 1000;
  options.observe_every = 5;
  Index last = 0;
  auto const stopped = minimize(Bowl{}, VectorXd::Zero(2), descent{}, options,
                                [&](Progress const& p) { return (last = p.iteration) < 20; });
  CHECK(stopped.status == Status::stopped_by_observer);
  CHECK(last == 20);
  auto const there = minimize(Bowl{}, VectorXd::Ones(2), descent{});
  CHECK(there.converged());
  CHECK(there.iterations == 0);
  CHECK(there.evaluations == 1);
}

TEST_CASE("minimize: numbers that are not finite never count as converged") {
  auto const flat_nan = [](VectorXd const&, VectorXd& g) {
    g.setZero();
    return std::numeric_limits<double>::quiet_NaN();
  };
  CHECK(minimize(flat_nan, VectorXd::Zero(2), descent{}).status == Status::non_finite);
}

TEST_CASE("minimize: expressions and matrices are variables") {
  Eigen::Matrix2f const start = Eigen::Matrix2f::Zero();
  CHECK(minimize(Bowl{}, (start.cast<double>() * 3).transpose(), descent{})
            .x.isApproxToConstant(1, 1e-6));
}

TEST_CASE("minimize refuses misuse in words") {
  VectorXd const x0 = VectorXd::Zero(3);
  CHECK_REFUSED(minimize(Bowl{}, VectorXd(), descent{}), "minimize: x0 is 0x1");
  CHECK_REFUSED(minimize(Bowl{}, VectorXd::Constant(2, not_a_number), descent{}), "x0 has NaN");
  CHECK_REFUSED(minimize(Bowl{}, x0, descent{}, {.gradient_tolerance = -1.0}),
                "gradient_tolerance is -1");
  CHECK_REFUSED(minimize(Bowl{}, x0, descent{}, {.typical_value = 0}), "typical_value is 0");
  CHECK_REFUSED(minimize(Bowl{}, x0, descent{}, {.max_evaluations = 0}), "max_evaluations is 0");
  auto const wrong_shape = [](VectorXd const& x, VectorXd& g) {
    g = x.head(1);
    return 0.0;
  };
  CHECK_REFUSED(minimize(wrong_shape, x0, descent{}), "x is 3x1 but the objective wrote");
}
