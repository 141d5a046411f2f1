// SPDX-License-Identifier: MIT
/// @file
/// Gradient flows of particles: the points of a cloud follow the slope of any loss of the cloud,
///
///     dx_i / dt = - n d loss(X) / dx_i,        X = (x_1, ..., x_n), d x n.
///
/// For a loss that is a function F of the measure (1/n) sum_i delta(x_i) this is its Wasserstein
/// gradient flow: n d loss / dx_i is the gradient of the first variation of F at x_i, which does
/// not depend on how many particles stand for the measure. With `mean_field = false` the factor n
/// is left out.
///
/// Method: an update rule of optim/first_order.hpp moves the cloud, `gradient_descent{.rate = h}`
/// by explicit Euler steps of length h, momentum and Adam by their own dynamics. The loss is a
/// callable, so that every divergence of `ot` fits:
///
///     [&](MatrixXd const& X, MatrixXd& G) { ...; G = ...; return value; }
///     [&](MatrixXd const& X, MatrixXd& G, RandomKey key) { ... }        // fresh directions per
///     step
///
/// The second form is chosen by a generator in the arguments. It supplies one key for the run; step
/// k has the key {word k of the run's key, 0}, so a run is a function of its start and of the key.
///
/// Cost: one evaluation per step and one more; the steps themselves allocate nothing. Explicit
/// steps are stable for h below 2 / the largest curvature of the flow; losses with kinks, such as
/// roots of powers near the target, jitter at the size of h.
///
/// When not to use it: to minimise a smooth function of positions to a tolerance take minimize with
/// lbfgs; where large steps of the measure are wanted, a proximal (JKO) step.
///
/// Source: L. Ambrosio, N. Gigli, G. Savare, Gradient Flows, Birkhauser 2008, chapter 11, for the
/// flow; the particle form is the gradient of x -> F((1/n) sum_i delta(x_i)).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/random.hpp>
#include <monge/core/require.hpp>
#include <monge/optim/first_order.hpp>

namespace monge::flow {

/// Options of `gradient_flow`.
struct GradientFlowOptions {
  Index steps = 1000;             ///< updates; at least 0
  bool mean_field = true;         ///< slopes times n: the flow of the measure
  double stationary = 0;          ///< the flow ends when `speed` is at most this; 0: only at rest
  Index save_every = 0;           ///< stride of `saved` in steps; 0: nothing is saved
  double max_seconds = infinity;  ///< wall time
  Index observe_every = 1;        ///< stride of the observer in steps; at least 1
};

/// Where the particles went.
template <RealScalar S>
struct GradientFlowResult {
  MatrixX<S> X;                   ///< d x n: the particles at the end
  S value = 0;                    ///< loss there (an estimate, if the loss is random)
  double speed = infinity;        ///< root mean square of their velocities there
  VectorX<S> values;              ///< iterations + 1: the loss before each step and at the end
  std::vector<MatrixX<S>> saved;  ///< the particles after 0, save_every, 2 save_every... steps
  Status status = Status::not_run;
  Index iterations = 0;   ///< steps
  Index evaluations = 0;  ///< calls of the loss
  double seconds = 0;     ///< wall time

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(X, value, speed, values); }
};

/// All that a flow knows; a copy is a checkpoint.
template <class R, RealScalar S>
struct GradientFlowState {
  using Memory = decltype(std::declval<R const&>().start(std::declval<MatrixX<S> const&>()));

  MatrixX<S> X, slope;  ///< d x n: the particles, and minus their velocities
  S value = std::numeric_limits<S>::infinity();
  double speed = infinity;
  Memory memory;
  Index steps = 0, evaluations = 0;
  std::vector<S> values;
  std::vector<MatrixX<S>> saved;
};

namespace detail {

/// The loss as a function of the step.
template <class F>
struct FixedLoss {
  F* loss;
  template <class X>
  auto operator()(X const& x, X& gradient, Index) const {
    return (*loss)(x, gradient);
  }
};
template <class F>
struct KeyedLoss {
  F* loss;
  RandomKey key;
  template <class X>
  auto operator()(X const& x, X& gradient, Index step) const {
    return (*loss)(x, gradient, RandomKey{random::word(key, std::uint64_t(step)), 0});
  }
};

/// A flow as an IterativeMethod: one native step moves the cloud and evaluates the loss.
template <class Loss, class R, RealScalar S>
class GradientFlow {
 public:
  using State = GradientFlowState<R, S>;

  GradientFlow(Loss loss, MatrixX<S> start, R const& rule, GradientFlowOptions const& options)
      : loss_(loss), start_(std::move(start)), rule_(rule), options_(options) {}

  [[nodiscard]] State init() const {
    State s;
    s.X = s.slope = start_;
    s.memory = rule_.start(start_);
    s.values.reserve(std::size_t(std::min<Index>(options_.steps, 1000000)) + 1);
    return s;
  }

  [[nodiscard]] Advance advance(State& s, Index k) const {
    if (s.evaluations == 0 && !look(s)) return {Status::non_finite, 0};
    for (Index taken = 0;; ++taken) {
      if (s.speed <= options_.stationary || s.steps >= options_.steps) {
        return {Status::converged, taken};
      }
      if (taken == k) return {Status::running, taken};
      rule_.step(s.X, s.slope, s.memory);
      ++s.steps;
      if (!look(s)) return {Status::non_finite, taken + 1};
    }
  }

  /// The loss.
  [[nodiscard]] double error(State const& s) const { return double(s.value); }
  [[nodiscard]] Status finish(State&, Status status) const { return status; }

 private:
  /// Evaluates at the particles; false if anything there is not finite.
  bool look(State& s) const {
    Index const d = s.X.rows(), n = s.X.cols();
    if (options_.save_every > 0 && s.steps % options_.save_every == 0) s.saved.push_back(s.X);
    s.value = static_cast<S>(loss_(std::as_const(s.X), s.slope, s.steps));
    ++s.evaluations;
    monge::detail::require(s.slope.rows() == d && s.slope.cols() == n, "gradient_flow: X is ",
                           monge::detail::shape(s.X), " but the loss wrote a gradient of ",
                           monge::detail::shape(s.slope), "; it must have the shape of X");
    if (options_.mean_field) s.slope *= S(n);
    double const square = double(s.slope.squaredNorm()) / double(n);
    s.speed = std::sqrt(square);
    s.values.push_back(s.value);
    return std::isfinite(s.value) && std::isfinite(square);
  }

  Loss loss_;
  MatrixX<S> start_;
  R rule_;
  GradientFlowOptions options_;
};

template <RealScalar S, class Loss, class R, class Watch>
GradientFlowResult<S> gradient_flow(Loss loss, MatrixX<S> start, R const& rule,
                                    GradientFlowOptions const& options, Watch&& observer) {
  using monge::detail::require;
  require(start.size() > 0, "gradient_flow: X0 is ", monge::detail::shape(start),
          "; there must be at least one particle with at least one coordinate");
  require(start.allFinite(), "gradient_flow: X0 has NaN or infinite entries");
  rule.require_valid("gradient_flow");
  require(options.steps >= 0, "gradient_flow: steps is ", options.steps, "; it must be at least 0");
  require(options.save_every >= 0, "gradient_flow: save_every is ", options.save_every,
          "; it must be at least 0");
  monge::detail::require_nonnegative("gradient_flow", "stationary", options.stationary);
  monge::detail::require_limits("gradient_flow", options.steps, options.max_seconds,
                                options.observe_every);
  GradientFlow<Loss, R, S> const method(loss, std::move(start), rule, options);
  // One more step than there are, so that the end of the flow is not taken for a limit.
  auto outcome = iterate(method, {options.steps + 1, options.max_seconds, options.observe_every},
                         std::forward<Watch>(observer));
  auto& state = outcome.state;
  GradientFlowResult<S> r;
  r.X = std::move(state.X);
  r.value = state.value;
  r.speed = state.speed;
  r.values = Eigen::Map<VectorX<S> const>(state.values.data(), Index(state.values.size()));
  r.saved = std::move(state.saved);
  r.status = outcome.status;
  r.iterations = state.steps;
  r.evaluations = state.evaluations;
  r.seconds = outcome.statistics.seconds;
  return monge::detail::certified(std::move(r));
}

}  // namespace detail

/// Lets the particles X0 (d x n) follow the slope of `loss`, a DifferentiableObjective over
/// MatrixX, by an update rule.
///
///     auto r = flow::gradient_flow(X0, loss, optim::gradient_descent{.rate = 0.01},
///                                  {.steps = 8000});
///
/// Converged means that all steps were made, or that the speed fell to `stationary`, and that
/// everything is finite; it does not mean that the loss has a minimum there. Else non_finite (the
/// particles are then those at which the loss or its gradient was not), time_limit or
/// stopped_by_observer. The observer's error is the loss.
/// @throws std::invalid_argument if X0 is empty or not finite, a number of the rule or the options
///   makes no sense, or the loss changes the shape of the gradient.
template <RealMatrixExpr X0, class F, optim::UpdateRule<MatrixX<scalar_t<X0>>> R,
          Observer Watch = Unobserved>
  requires optim::DifferentiableObjective<std::remove_reference_t<F>, MatrixX<scalar_t<X0>>>
[[nodiscard]] GradientFlowResult<scalar_t<X0>> gradient_flow(
    X0 const& start, F&& loss, R const& rule, GradientFlowOptions const& options = {},
    Watch&& observer = {}) {
  using Fixed = detail::FixedLoss<std::remove_reference_t<F>>;
  return detail::gradient_flow<scalar_t<X0>>(Fixed{&loss}, MatrixX<scalar_t<X0>>(start), rule,
                                             options, std::forward<Watch>(observer));
}

/// The same for a random loss, a StochasticObjective, with the key that the generator supplies: one
/// draw for the whole run.
template <RealMatrixExpr X0, class F, optim::UpdateRule<MatrixX<scalar_t<X0>>> R, RandomGenerator G,
          Observer Watch = Unobserved>
  requires optim::StochasticObjective<std::remove_reference_t<F>, MatrixX<scalar_t<X0>>>
[[nodiscard]] GradientFlowResult<scalar_t<X0>> gradient_flow(X0 const& start, F&& loss,
                                                             R const& rule,
                                                             GradientFlowOptions const& options,
                                                             G&& generator, Watch&& observer = {}) {
  using Keyed = detail::KeyedLoss<std::remove_reference_t<F>>;
  return detail::gradient_flow<scalar_t<X0>>(Keyed{&loss, key_from(generator)},
                                             MatrixX<scalar_t<X0>>(start), rule, options,
                                             std::forward<Watch>(observer));
}

}  // namespace monge::flow
