// SPDX-License-Identifier: MIT
/// @file
/// Explicit Runge-Kutta integration of dx/dt = v(t, x) as an iterative method: a value with
/// init / advance / error / finish on a copyable State, driven by `iterate`.
///
/// A native step is one attempted step, accepted or rejected. An adaptive step is accepted if
///
///     sqrt(mean_i (e_i / (absolute_tolerance + relative_tolerance max(|x_i|, |y_i|)))^2) <= 1
///
/// where e is the tableau's estimate of the local error and y the state after the step. NaN at a
/// trial stage shrinks the step; NaN of the field at an accepted state ends the run there. Time is
/// added up with compensation (Kahan 1965), so that a million steps land where they should.
///
/// Cost of a step of an s-stage method on n entries: s evaluations of the field (s - 1 if its last
/// stage is the next step's first) and about s^2 / 2 + 2 s reads of n entries. Memory: s + 4 states
/// and the saved ones. Nothing is allocated after init.
///
/// Source: Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, 2nd ed., Springer
/// 1993, II.4 (step control, starting step) and II.6 (continuous extension).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/flow/detail/stage_kernels.hpp>
#include <monge/flow/integrate_options.hpp>
#include <monge/flow/runge_kutta_methods.hpp>
#include <monge/flow/step_control.hpp>
#include <monge/flow/velocity_field.hpp>

namespace monge::flow {

namespace detail {

/// What a step works on: the stages, the trial state, and the part of its error known so far.
template <class X, int Slots>
struct Workspace {
  std::array<X, Slots> k;
  X y, e;
};

}  // namespace detail

/// All that a run knows: copy it to resume from it, bit for bit. X is the plain type of the state.
template <Tableau T, class X>
struct RungeKuttaState {
  // One slot for each stage, and one for the derivative at the end if no stage is that.
  static constexpr int slots = T::stages + (detail::first_same_as_last<T>() ? 0 : 1);

  X x;                        ///< the last accepted state
  double t = 0;               ///< its time
  double lost = 0;            ///< what rounding added to t so far: the exact time is t - lost
  double next_step = 0;       ///< signed step to try next
  double error = infinity;    ///< scaled local error of the last attempt; infinite if unknown
  detail::StepMemory memory;  ///< what the step controller remembers
  Index accepted = 0;         ///< steps
  Index rejected = 0;         ///< steps
  Index evaluations = 0;      ///< calls of the field
  std::vector<X> saved;       ///< the first `saved_count` are the states at save_at
  Index saved_count = 0;

  bool fresh = false;                ///< is work.k[0] the derivative at (t, x)?
  detail::Workspace<X, slots> work;  ///< all else in here is unspecified between steps
};

/// The integrator of one initial value problem, for stepping by hand; `integrate` does it all.
/// Refers to the field, which must outlive it; owns everything else.
template <Tableau T, class X, VelocityField<X> F>
class RungeKutta {
 public:
  using State = RungeKuttaState<T, X>;

  /// From x0 at t0 to t1, before or after t0. Throws std::invalid_argument on misuse.
  RungeKutta(T, F& field, X x0, double t0, double t1, IntegrateOptions options = {});

  [[nodiscard]] State init() const;
  [[nodiscard]] Advance advance(State& s, Index k) const;
  [[nodiscard]] double error(State const& s) const { return s.error; }
  [[nodiscard]] Status finish(State& s, Status status) const;

 private:
  using Workspace = detail::Workspace<X, State::slots>;
  static constexpr bool embedded = EmbeddedTableau<T>;
  static constexpr bool first_same_as_last = detail::first_same_as_last<T>();
  static constexpr int end_slot = State::slots - 1;  // where the derivative at the end goes

  // Those that see the workspace are always inlined; stage_kernels.hpp says why.
  template <int End, int Stage = 1>
  [[gnu::always_inline]] void evaluate_stages(State const& s, Workspace& w, double h) const;
  [[nodiscard]] double starting_step(State& s) const;
  [[nodiscard]] double smallest_step(double t) const;
  [[nodiscard, gnu::always_inline]] Status step(State& s, Workspace& w) const;
  [[nodiscard, gnu::always_inline]] Status fixed_step(State& s, Workspace& w) const;
  [[nodiscard, gnu::always_inline]] Status adaptive_step(State& s, Workspace& w) const;
  [[nodiscard, gnu::always_inline]] double error_of_trial(State& s, Workspace& w, double h) const;
  [[gnu::always_inline]] void accept(State& s, Workspace& w, double h, bool last,
                                     bool end_known) const;
  [[nodiscard]] bool save(State& s, Workspace& w, double h, double t_next, bool end_known) const;

  F* field_;
  X x0_;
  double t0_, t1_;
  IntegrateOptions options_;
};

template <Tableau T, class X, VelocityField<X> F>
RungeKutta<T, X, F>::RungeKutta(T, F& field, X x0, double t0, double t1, IntegrateOptions options)
    : field_(&field), x0_(std::move(x0)), t0_(t0), t1_(t1), options_(std::move(options)) {
  detail::require_options(options_, embedded, t0_, t1_);
  monge::detail::require(x0_.size() > 0, "integrate: the start x0 is ", monge::detail::shape(x0_),
                         "; it needs at least one entry");
  bool finite = true;
  for (Index i = 0; i < x0_.size(); ++i) {
    finite = finite && std::isfinite(detail::plain_value(x0_.data()[i]));
  }
  monge::detail::require(finite,
                         "integrate: the start x0 has NaN or infinite entries; it must be finite");
}

template <Tableau T, class X, VelocityField<X> F>
auto RungeKutta<T, X, F>::init() const -> State {
  State s;
  s.x = s.work.y = x0_;
  for (X& k : s.work.k) k = x0_;
  if (embedded) s.work.e = x0_;
  s.t = t0_;
  s.saved.assign(options_.save_at.size(), x0_);
  while (s.saved_count < Index(s.saved.size()) && options_.save_at[s.saved_count] == t0_) {
    ++s.saved_count;  // holds x0 already
  }
  if (t0_ == t1_) {
    return s;
  }
  X& slope = s.work.k[0];
  (*field_)(s.t, s.x, slope);
  s.evaluations = 1;
  s.fresh = true;
  monge::detail::require(slope.rows() == x0_.rows() && slope.cols() == x0_.cols(),
                         "integrate: the field wrote ", monge::detail::shape(slope),
                         " for a state of ", monge::detail::shape(x0_),
                         "; dx must keep the shape of x");
  double size = 0;
  if (options_.step) {
    size = *options_.step;
  } else {
    size = options_.initial_step ? *options_.initial_step : starting_step(s);
    size = std::max(std::min(size, options_.max_step), smallest_step(t0_));
  }
  s.next_step = t1_ > t0_ ? size : -size;
  return s;
}

/// Stages Stage + 1 .. End in the numbering of the tableau's source; k[0] is there already.
template <Tableau T, class X, VelocityField<X> F>
template <int End, int Stage>
inline void RungeKutta<T, X, F>::evaluate_stages(State const& s, Workspace& w, double h) const {
  if constexpr (Stage < End) {
    detail::combine<detail::StageRow<T, Stage>>(w.y, s.x, w.k, h);
    (*field_)(s.t + T::c[Stage] * h, w.y, w.k[Stage]);
    evaluate_stages<End, Stage + 1>(s, w, h);
  }
}

/// The heuristic of Hairer, Norsett, Wanner I, II.4: a step whose explicit Euler error is about one
/// per cent of the tolerance. Uses y and k[1] as scratch.
template <Tableau T, class X, VelocityField<X> F>
double RungeKutta<T, X, F>::starting_step(State& s) const {
  double const span = std::abs(t1_ - t0_), direction = t1_ > t0_ ? 1 : -1;
  if constexpr (!embedded) {
    return span;
  } else {
    X const& v0 = s.work.k[0];
    X& v1 = s.work.k[1];
    if (!v0.allFinite()) {
      return span;  // the first step finds out
    }
    detail::ErrorScale const scale{options_.absolute_tolerance, options_.relative_tolerance};
    auto const norm = [&](X const& v, double weight, X const& w) {
      return std::sqrt(detail::error_sum(v, weight, w, s.x, s.x, scale) / double(s.x.size()));
    };
    double const d0 = norm(s.x, 0, s.x), d1 = norm(v0, 0, v0);
    double const h0 = std::min(d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : 0.01 * d0 / d1, span);
    s.work.y = s.x + scalar_t<X>(direction * h0) * v0;
    (*field_)(t0_ + direction * h0, s.work.y, v1);
    ++s.evaluations;
    double const d2 = norm(v1, -1, v0) / h0;
    double const most = std::max(d1, d2);
    double const h1 = most <= 1e-15 ? std::max(1e-6, 1e-3 * h0)
                                    : std::pow(0.01 / most, 1.0 / (T::embedded_order + 1));
    double const h = std::min({100 * h0, h1, span});
    return h > 0 ? h : h0;  // NaN at the trial point: begin with the smaller guess
  }
}

/// A smaller step would hardly move t.
template <Tableau T, class X, VelocityField<X> F>
double RungeKutta<T, X, F>::smallest_step(double t) const {
  constexpr double u = unit_roundoff<double>;
  return std::max({options_.min_step, 4 * u * std::abs(t), 4 * u * u * std::abs(t1_ - t0_)});
}

template <Tableau T, class X, VelocityField<X> F>
Advance RungeKutta<T, X, F>::advance(State& s, Index k) const {
  Status status = s.t == t1_ ? Status::converged : Status::running;
  Index done = 0;
  while (status == Status::running && done < k) {
    if constexpr (detail::is_small<X>) {
      Workspace w;
      w.k[0] = s.work.k[0];
      status = step(s, w);
      s.work.k[0] = w.k[0];
    } else {
      status = step(s, s.work);
    }
    ++done;
    if (s.t == t1_) {
      status = Status::converged;
    }
  }
  return {status, done};
}

template <Tableau T, class X, VelocityField<X> F>
inline Status RungeKutta<T, X, F>::step(State& s, Workspace& w) const {
  if (!s.fresh) {
    (*field_)(s.t, s.x, w.k[0]);
    ++s.evaluations;
  }
  if constexpr (embedded) {
    return options_.step ? fixed_step(s, w) : adaptive_step(s, w);
  } else {
    return fixed_step(s, w);
  }
}

template <Tableau T, class X, VelocityField<X> F>
inline Status RungeKutta<T, X, F>::fixed_step(State& s, Workspace& w) const {
  // A step that misses t1 by rounding alone is the last one: no sliver is left over.
  double const remaining = (t1_ - s.t) + s.lost;
  bool const last = std::abs(s.next_step) * (1 + 1e-10) >= std::abs(remaining);
  double const h = last ? remaining : s.next_step;
  // The last stage of a first-same-as-last method is left to the next step.
  constexpr int stages = T::stages - (first_same_as_last ? 1 : 0);
  evaluate_stages<stages>(s, w, h);
  s.evaluations += stages - 1;
  if (!detail::combine_and_check<detail::WeightRow<T>>(w.y, s.x, w.k, h)) {
    return Status::non_finite;
  }
  accept(s, w, h, last, false);
  return Status::running;
}

template <Tableau T, class X, VelocityField<X> F>
inline Status RungeKutta<T, X, F>::adaptive_step(State& s, Workspace& w) const {
  constexpr double k = std::min(T::order, T::embedded_order) + 1;
  // One per cent longer rather than a sliver at the end.
  double const remaining = (t1_ - s.t) + s.lost, left = std::abs(remaining);
  bool const last = std::abs(s.next_step) * 1.01 >= left && left <= options_.max_step;
  double const h = last ? remaining : s.next_step;
  double const error2 = error_of_trial(s, w, h);
  s.error = error2 >= 0 ? std::sqrt(error2) : infinity;
  if (error2 <= 1) {
    accept(s, w, h, last, first_same_as_last);
    double const factor = s.memory.accept(options_.control, k, error2);
    // A branch, not an arithmetic: a kept step does not wait for the error to be known.
    if (factor < 1 || factor > options_.control.steady_growth) {
      double const next = std::min(std::abs(h) * factor, options_.max_step);
      s.next_step = std::copysign(std::max(next, smallest_step(s.t)), h);
    }
    return Status::running;
  }
  ++s.rejected;
  s.fresh = true;
  bool const finite = std::isfinite(error2);
  if (!finite) {
    s.work.k[0] = w.k[0];
    if (!s.work.k[0].allFinite()) {
      return Status::non_finite;
    }
  }
  s.next_step = h * s.memory.reject(options_.control, k, error2);
  if (std::abs(s.next_step) < smallest_step(s.t)) {
    return finite ? Status::step_too_small : Status::non_finite;
  }
  return Status::running;
}

/// Puts the trial state after a step h into y; returns the mean square of its scaled error.
template <Tableau T, class X, VelocityField<X> F>
inline double RungeKutta<T, X, F>::error_of_trial(State& s, Workspace& w, double h) const {
  detail::ErrorScale const scale{options_.absolute_tolerance, options_.relative_tolerance};
  double const n = double(s.x.size());
  s.evaluations += T::stages - 1;
  if constexpr (first_same_as_last) {
    // The trial state has to be there before its derivative, so one pass forms it with the part of
    // the error that is known, and a second one adds the last stage and measures.
    constexpr int end = T::stages - 1;
    evaluate_stages<T::stages - 1>(s, w, h);
    detail::combine_with_error<detail::WeightRow<T>, detail::ErrorRow<T, 1>>(w.y, w.e, s.x, w.k, h);
    (*field_)(s.t + h, w.y, w.k[end]);
    return detail::error_sum(w.e, h * T::error[end], w.k[end], s.x, w.y, scale) / n;
  } else {
    evaluate_stages<T::stages>(s, w, h);
    return detail::combine_and_measure<detail::WeightRow<T>, detail::ErrorRow<T, 0>>(w.y, s.x, w.k,
                                                                                     h, scale) /
           n;
  }
}

/// Makes the trial state the state. `end_known`: its derivative is in the end slot.
template <Tableau T, class X, VelocityField<X> F>
inline void RungeKutta<T, X, F>::accept(State& s, Workspace& w, double h, bool last,
                                        bool end_known) const {
  double const increment = h - s.lost, t_next = last ? t1_ : s.t + increment;
  if (s.saved_count < Index(s.saved.size())) {
    if constexpr (detail::is_small<X>) {
      // On a copy, so that the address of w never leaves the registers.
      s.work.y = w.y;
      detail::copy_stages<end_slot>(s.work.k, w.k);
      if (end_known) s.work.k[end_slot] = w.k[end_slot];
      end_known = save(s, s.work, h, t_next, end_known);
      if (end_known) w.k[end_slot] = s.work.k[end_slot];
    } else {
      end_known = save(s, w, h, t_next, end_known);
    }
  }
  s.lost = last ? 0 : (t_next - s.t) - increment;
  s.t = t_next;
  detail::take(s.x, w.y);
  if (end_known) {
    detail::take(w.k[0], w.k[end_slot]);
  }
  s.fresh = end_known;
  ++s.accepted;
}

/// Fills in the saved states up to t_next; true if the derivative there is known afterwards.
template <Tableau T, class X, VelocityField<X> F>
bool RungeKutta<T, X, F>::save(State& s, Workspace& w, double h, double t_next,
                               bool end_known) const {
  for (; s.saved_count < Index(s.saved.size()); ++s.saved_count) {
    double const t = options_.save_at[s.saved_count];
    X& out = s.saved[s.saved_count];
    if (h > 0 ? t > t_next : t < t_next) {
      break;
    }
    if (t == t_next) {
      out = w.y;
    } else {
      if (!end_known) {
        (*field_)(t_next, w.y, w.k[end_slot]);
        ++s.evaluations;
        end_known = true;
      }
      detail::interpolate<T>(out, (t - s.t) / h, h, s.x, w.y, w.k);
    }
  }
  return end_known;
}

/// A tolerance below the rounding of the state cannot have been kept, whatever the estimate says.
template <Tableau T, class X, VelocityField<X> F>
Status RungeKutta<T, X, F>::finish(State& s, Status status) const {
  using Real = std::conditional_t<RealScalar<scalar_t<X>>, scalar_t<X>, double>;
  double const u = static_cast<double>(unit_roundoff<Real>);
  if (status != Status::converged || options_.step || options_.relative_tolerance >= u) {
    return status;
  }
  for (Index i = 0; i < s.x.size(); ++i) {
    double const size = std::abs(detail::plain_value(s.x.data()[i]));
    if (options_.absolute_tolerance + options_.relative_tolerance * size < u * size) {
      return Status::precision_limit;
    }
  }
  return status;
}

}  // namespace monge::flow
