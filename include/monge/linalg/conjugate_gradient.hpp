// SPDX-License-Identifier: MIT
/// @file
/// Conjugate gradients: solves A x = b for a symmetric positive (semi)definite operator.
///
/// Method: x minimises the energy x' A x / 2 - b' x over growing Krylov spaces, so the error in the
/// energy norm falls in every step and the last iterate is the best one. Per iteration: one product
/// with A, one application of the preconditioner, five passes over vectors. Memory: six vectors.
///
/// The recursive residual drifts away from b - A x by rounding. Therefore `converged` is only said
/// of the true residual: when the recursive one meets the tolerance the true one is formed, and the
/// run goes on from it if it does not. If that did not halve it since the last time, rounding has
/// the last word: Status::precision_limit, with the best x of those that were looked at.
///
/// Curvature p' A p that is not positive, beyond rounding, ends in Status::breakdown. That is what
/// truncated Newton methods wait for: x is then the last iterate, of lower energy than all before,
/// and `direction` is p. Singular A is fine as long as b is in its range: null vectors never enter.
///
/// When not to use it: if A is small and dense (factorise it), not symmetric, or indefinite on
/// purpose. Squares of |r| must not overflow or underflow: scale b to a sane size.
///
/// Source: M. R. Hestenes, E. Stiefel, Methods of conjugate gradients for solving linear systems,
/// J. Res. Natl. Bur. Stand. 49 (1952) 409-436; the preconditioned form as in Y. Saad, Iterative
/// Methods for Sparse Linear Systems, 2nd ed. 2003, Algorithm 9.1.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <concepts>
#include <optional>
#include <tuple>
#include <utility>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/core/types.hpp>

namespace monge::linalg {

namespace detail {

template <class A, class X>
concept SameScalar =
    !requires { typename A::Scalar; } || std::same_as<typename A::Scalar, typename X::Scalar>;

}  // namespace detail

/// Anything with a size that multiplies a vector: dense and sparse Eigen matrices and expressions,
/// self-adjoint views.
template <class A, class X>
concept MatrixOperator = detail::SameScalar<A, X> && requires(A const& matrix, X const& p) {
  { matrix.rows() } -> std::convertible_to<Index>;
  { matrix.cols() } -> std::convertible_to<Index>;
  matrix* p;
};

/// A symmetric operator: a MatrixOperator, or else a callable `A(p, y)` that writes A p to y, which
/// has the right size already. It is called with `X const&` and `X&`.
template <class A, class X>
concept LinearOperator = MatrixOperator<A, X> || std::invocable<A&, X const&, X&>;

/// An operator with a preconditioner M, a LinearOperator that approximates the inverse of A and is
/// symmetric positive definite. Holds what it was given: lvalues by reference, the rest by value.
template <class A, class M>
struct Preconditioned {
  A matrix;
  M preconditioner;
};

/// `conjugate_gradient(preconditioned(A, jacobi(A)), b)`
template <class A, class M>
[[nodiscard]] Preconditioned<A, M> preconditioned(A&& matrix, M&& preconditioner) {
  return {std::forward<A>(matrix), std::forward<M>(preconditioner)};
}

/// The preconditioner that divides by the diagonal.
template <class X>
struct Jacobi {
  X inverse;

  void operator()(X const& r, X& z) const { z = inverse.cwiseProduct(r); }
};

/// Jacobi's preconditioner from a matrix (anything with a `diagonal()`), or from a vector that is
/// the diagonal. Every diagonal entry must be positive and finite.
template <class A>
  requires VectorExpr<A> || requires(A const& matrix) { matrix.diagonal(); }
[[nodiscard]] auto jacobi(A const& matrix) {
  using S = typename A::Scalar;
  constexpr int size = VectorExpr<A> ? int(A::SizeAtCompileTime) : int(A::RowsAtCompileTime);
  using X = Eigen::Matrix<S, size, 1>;
  X diagonal;
  if constexpr (VectorExpr<A>) {
    diagonal = monge::detail::as_column(matrix);
  } else {
    diagonal = matrix.diagonal();
  }
  for (Index i = 0; i < diagonal.size(); ++i) {
    monge::detail::require(diagonal(i) > 0 && std::isfinite(diagonal(i)), "jacobi: diagonal entry ",
                           i, " is ", diagonal(i), "; every entry must be positive and finite");
  }
  return Jacobi<X>{diagonal.cwiseInverse()};
}

/// Options of `conjugate_gradient`. It stops when |b - A x| is at most the larger tolerance.
struct ConjugateGradientOptions {
  /// Of |b|. Unset: 1e-9 (float: 1e-5). What rounding leaves out of reach ends in precision_limit.
  std::optional<double> relative_tolerance = {};
  double absolute_tolerance = 0;  ///< in units of b
  /// Steps. Unset: 2 n + 50. Exact arithmetic ends after n; rounding delays that, and small
  /// ill-conditioned problems need the reserve.
  std::optional<Index> max_iterations = {};
  double max_seconds = infinity;  ///< wall time
  Index observe_every = 1;        ///< stride of the observer in iterations
};

/// The answer of `conjugate_gradient`.
template <class X>
struct ConjugateGradientResult {
  using Scalar = typename X::Scalar;

  X x;                       ///< the solution, or the best that was reached
  X direction;               ///< the last search direction; on breakdown one of curvature <= 0
  Scalar residual_norm = 0;  ///< |b - A x|, recomputed from x
  Status status = Status::not_run;
  Index iterations = 0;  ///< steps of this run
  double seconds = 0;    ///< wall time of this run

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(x, residual_norm); }
};

namespace detail {

/// y = A p; y keeps its size.
template <class A, class X>
void apply(A& matrix, X const& p, X& y) {
  if constexpr (MatrixOperator<A, X>) {
    y.noalias() = matrix * p;
  } else {
    matrix(p, y);
    monge::detail::require(y.size() == p.size(), "conjugate_gradient: the operator was given ",
                           p.size(), " entries and returned ", y.size(),
                           "; write A p into the second argument without resizing it");
  }
}

/// "No preconditioner", and "start from zero".
struct Identity {};
struct FromZero {};

/// The two parts of what is passed as the operator; Whole may be const.
template <class Whole>
struct Split {
  using Operator = Whole;
  using Preconditioner = Identity const;
  static constexpr Identity none{};
  static Operator& matrix(Whole& whole) { return whole; }
  static Preconditioner& preconditioner(Whole&) { return none; }
};
template <class Whole>
  requires requires(Whole& whole) { []<class A, class M>(Preconditioned<A, M> const&) {}(whole); }
struct Split<Whole> {
  using Operator = std::remove_reference_t<decltype((std::declval<Whole&>().matrix))>;
  using Preconditioner = std::remove_reference_t<decltype((std::declval<Whole&>().preconditioner))>;
  static Operator& matrix(Whole& whole) { return whole.matrix; }
  static Preconditioner& preconditioner(Whole& whole) { return whole.preconditioner; }
};

}  // namespace detail

/// The method as a value that monge::iterate drives: for stepping by hand, checkpoints and
/// resumption. Keeps b; views the operator, which must outlive it.
template <class A, class X>
class ConjugateGradient {
  using Split = detail::Split<A>;
  using M = typename Split::Preconditioner;
  static constexpr bool plain = std::same_as<M, detail::Identity const>;

 public:
  using S = typename X::Scalar;

  /// Everything that changes while it runs.
  struct State {
    X x, residual, direction;                     // updated by every step
    X product, conditioned;                       // workspace: A p and M r
    S rho = 0;                                    // r' M r
    S norm = std::numeric_limits<S>::infinity();  // |r|
    S size = 0;                                   // p' inverse(M) p, by recurrence
    S stiffest = 0;                               // largest p' A p / size
    bool started = false;

    // Updated whenever the true residual is formed.
    X best;  // the x with the least of them
    S best_norm = std::numeric_limits<S>::infinity();
    S last_norm = std::numeric_limits<S>::infinity();
    S true_norm = std::numeric_limits<S>::infinity();  // of x, written by finish
  };

  ConjugateGradient(A& matrix, X b, X start, ConjugateGradientOptions const& options)
      : matrix_(&matrix), b_(std::move(b)), start_(std::move(start)) {
    S const size = b_.stableNorm();
    double const relative =
        options.relative_tolerance.value_or(std::same_as<S, float> ? 1e-5 : 1e-9);
    tolerance_ = std::max(S(relative) * size, S(options.absolute_tolerance));
    if (size == 0) {
      start_.setZero();  // the solution
    }
  }

  [[nodiscard]] State init() const {
    X const zero = X::Zero(b_.size());
    State state;
    state.x = state.best = start_;
    state.residual = state.direction = state.product = state.conditioned = zero;
    return state;
  }

  Advance advance(State& state, Index k) const {
    if (k > 0 && !state.started) {
      state.started = true;
      if (Status const status = look(state); status != Status::running) {
        return {status, 0};
      }
    }
    for (Index steps = 0; steps < k;) {
      if (Status const status = step(state); status != Status::running) {
        return {status, steps};
      }
      ++steps;
      // A fall by u since the last look is more than rounding lets the true residual follow.
      if (!(state.norm > std::max(tolerance_, unit_roundoff<S> * state.last_norm))) {
        if (Status const status = look(state); status != Status::running) {
          return {status, steps};
        }
      }
    }
    return {Status::running, k};
  }

  [[nodiscard]] double error(State const& state) const {
    return double(state.started ? state.norm : std::numeric_limits<S>::infinity());
  }

  /// Recomputes the true residual of the x that is returned. Touches nothing that the next step
  /// reads, so that a stopped run can go on.
  Status finish(State& state, Status status) const {
    if (status == Status::precision_limit) {
      state.x = state.best;
    }
    detail::apply(Split::matrix(*matrix_), state.x, state.product);
    state.true_norm = (b_ - state.product).stableNorm();
    if (status == Status::converged && !(state.true_norm <= tolerance_)) {
      status = Status::precision_limit;
    }
    return status;
  }

 private:
  /// Forms the true residual and judges it; if it is not small enough, starts afresh from it.
  Status look(State& state) const {
    detail::apply(Split::matrix(*matrix_), state.x, state.product);
    state.residual = b_ - state.product;
    state.norm = state.residual.stableNorm();
    if (!std::isfinite(state.norm)) {
      return Status::non_finite;
    }
    if (state.norm <= state.best_norm) {
      state.best_norm = state.norm;
      state.best = state.x;
    }
    if (state.norm <= tolerance_) {
      return Status::converged;
    }
    if (!(state.norm <= state.last_norm / 2)) {
      return Status::precision_limit;
    }
    state.last_norm = state.norm;
    state.rho = precondition(state);
    state.size = state.rho;
    state.direction = conditioned(state);
    return Status::running;
  }

  /// One step of the method; the residual is above the tolerance.
  Status step(State& state) const {
    if (!(state.rho > 0)) {
      return !std::isfinite(state.rho) ? Status::non_finite
             : plain                   ? Status::precision_limit  // |r|^2 underflows
                                       : Status::breakdown;                         // M is not positive definite
    }
    detail::apply(Split::matrix(*matrix_), state.direction, state.product);
    S const curvature = state.direction.dot(state.product);
    if (!std::isfinite(curvature) || !std::isfinite(state.rho)) {
      return Status::non_finite;
    }
    // In exact arithmetic p' A p / size lies between the extreme eigenvalues of M A; below u times
    // the largest seen, curvature is rounding.
    S const stiffness = curvature / state.size;
    if (!(curvature > 0) || !(stiffness > 4 * unit_roundoff<S> * state.stiffest)) {
      return Status::breakdown;
    }
    state.stiffest = std::max(state.stiffest, stiffness);
    S const length = state.rho / curvature;
    state.x += length * state.direction;
    state.residual -= length * state.product;
    S const before = state.rho;
    S const square = state.residual.squaredNorm();
    state.norm = std::sqrt(square);
    state.rho = plain ? square : precondition(state);
    S const carried = state.rho / before;
    state.size = state.rho + carried * carried * state.size;
    state.direction = conditioned(state) + carried * state.direction;
    return Status::running;
  }

  /// conditioned = M residual; returns their product.
  S precondition(State& state) const {
    if constexpr (plain) {
      return state.residual.squaredNorm();
    } else {
      detail::apply(Split::preconditioner(*matrix_), state.residual, state.conditioned);
      return state.residual.dot(state.conditioned);
    }
  }
  static X const& conditioned(State const& state) {
    return plain ? state.residual : state.conditioned;
  }

  A* matrix_;
  X b_, start_;
  S tolerance_;
};

/// Solves A x = b. A is symmetric positive (semi)definite: a dense or sparse Eigen matrix, a
/// self-adjoint view, a callable `A(p, y)` that writes A p to y, or one of them together with a
/// preconditioner (`preconditioned`). b is a vector of n finite entries, `start` another one
/// (default zero).
///
/// status: converged, iteration_limit, time_limit, stopped_by_observer, precision_limit, breakdown
/// (curvature or preconditioner not positive), non_finite (A returned NaN or infinity; x is the
/// last finite iterate). The observer's error is |r| of the recursive residual. Nothing is
/// allocated inside an iteration, by us.
template <class A, RealVectorExpr B, class Start = detail::FromZero, Observer Watch = Unobserved>
[[nodiscard]] auto conjugate_gradient(A&& matrix, B const& b,
                                      ConjugateGradientOptions const& options = {},
                                      Start const& start = {}, Watch&& observer = {}) {
  using monge::detail::require;
  using S = scalar_t<B>;
  using X = Eigen::Matrix<S, B::SizeAtCompileTime, 1>;
  using Whole = std::remove_reference_t<A>;
  using Operator = typename detail::Split<Whole>::Operator;
  using M = typename detail::Split<Whole>::Preconditioner;
  static_assert(LinearOperator<Operator, X>,
                "A must be a matrix with the scalar of b, or a callable A(X const& p, X& y)");
  static_assert(std::same_as<M, detail::Identity const> || LinearOperator<M, X>,
                "the preconditioner must be a matrix, or a callable M(X const& r, X& z)");
  Index const n = b.size();
  require(n > 0, "conjugate_gradient: b is empty; it needs at least one entry");
  require(b.allFinite(), "conjugate_gradient: b has an entry that is NaN or infinite");
  if constexpr (MatrixOperator<Operator, X>) {
    Operator& whole = detail::Split<Whole>::matrix(matrix);
    require(whole.rows() == whole.cols() && whole.rows() == n, "conjugate_gradient: A is ",
            monge::detail::shape(whole), " but b has ", n,
            " entries; A must be square with one row per entry");
  }
  monge::detail::require_nonnegative("conjugate_gradient", "relative_tolerance",
                                     options.relative_tolerance.value_or(0));
  monge::detail::require_nonnegative("conjugate_gradient", "absolute_tolerance",
                                     options.absolute_tolerance);
  Index const max_iterations = options.max_iterations.value_or(2 * n + 50);
  monge::detail::require_limits("conjugate_gradient", max_iterations, options.max_seconds,
                                options.observe_every);
  X x = X::Zero(n);
  if constexpr (!std::same_as<Start, detail::FromZero>) {
    static_assert(VectorLike<Start, B>, "start must be a vector with the scalar of b");
    require(start.size() == n, "conjugate_gradient: start has ", start.size(),
            " entries but b has ", n);
    require(start.allFinite(), "conjugate_gradient: start has an entry that is NaN or infinite");
    x = monge::detail::as_column(start);
  }
  ConjugateGradient<Whole, X> const method(matrix, monge::detail::as_column(b), std::move(x),
                                           options);
  auto [state, status, statistics] =
      iterate(method, {max_iterations, options.max_seconds, options.observe_every}, observer);
  ConjugateGradientResult<X> result;
  result.x = std::move(state.x);
  result.direction = std::move(state.direction);
  result.residual_norm = state.true_norm;
  result.status = status;
  result.iterations = statistics.iterations;
  result.seconds = statistics.seconds;
  return monge::detail::certified(std::move(result));
}

}  // namespace monge::linalg
