// SPDX-License-Identifier: MIT
/// @file
/// Entropic optimal transport by whichever method is the quickest for the problem at hand.
///
///     auto r = monge::ot::entropic(C, a, b, {.epsilon = 1e-3});
///     // r.method: what it was
///
/// Problem, certificate and answer are those of sinkhorn.hpp. What is chosen, and why:
///
///     cost                                           method
///     any of at most 7e4 pairs, unobserved           in_cache: small problems pay for bookkeeping,
///                                                      not for reads
///     point cloud, cost growing with the distance,   multiscale: a read costs what the plan is
///       d <= 3, large, small epsilon                   wide, not n m
///     any, epsilon small against the largest cost    newton: the plan is nearly sparse, and the
///                                                      steps converge quadratically
///     any other; sparse matrices; grids              sinkhorn: reads of a stored kernel are cheap
///
/// What in_cache does not bring to its end goes on as newton from the potentials that it has
/// reached. A run of sinkhorn that has not come to its end after a hundred steps goes on as newton
/// from the potentials that it has reached, so that a wrong guess costs little. The bounds were
/// measured; they stand below, and at fits_cache in sinkhorn_batch.hpp, with their provenance.
///
/// When not to use it: to time a method, or where an option of one method matters: call it.
#pragma once

#include <algorithm>
#include <concepts>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include <monge/core/observer.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/grid.hpp>
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_batch.hpp>
#include <monge/ot/sinkhorn_multiscale.hpp>
#include <monge/ot/sinkhorn_newton.hpp>
#include <monge/ot/sinkhorn_sparse.hpp>

namespace monge::ot {

/// How an entropic problem is solved.
enum class EntropicMethod : unsigned char {
  automatic,  ///< as the file comment says
  sinkhorn,   ///< sinkhorn.hpp
  /// The way of sinkhorn_batch.hpp, for one problem: Sinkhorn and Newton steps on a kernel that
  /// stays in the cache. Not for sparse matrices and grids, and not for observers.
  in_cache,
  newton,      ///< sinkhorn_newton.hpp; not for sparse matrices and grids
  multiscale,  ///< sinkhorn_multiscale.hpp; point clouds of costs that grow with the distance only
};

/// Tunables of entropic.
struct EntropicOptions {
  /// Entropic strength in units of the cost; > 0, no default (0.05 * mean cost is a good start).
  std::optional<double> epsilon = {};
  /// Bound on marginal_error; default as in sinkhorn.
  std::optional<double> tolerance = {};
  EntropicMethod method = EntropicMethod::automatic;
  double max_seconds = infinity;  ///< wall time
  Index observe_every = 10;       ///< stride of the observer, in iterations of the method
  Parallel parallel = {};         ///< threads; the result does not depend on it
};

/// The answer of entropic: that of sinkhorn, and where it is from.
template <RealScalar S>
struct EntropicResult : SinkhornResult<S> {
  /// What returned the answer; never `automatic`. `iterations` and `seconds` include those of a
  /// method that handed over to newton.
  EntropicMethod method = EntropicMethod::sinkhorn;
};

namespace detail {

/// Steps of sinkhorn after which newton takes over. Where sinkhorn is the quicker one it needs at
/// most 105 steps to 1e-9; where newton is, 257 to 32 000 (bench/ot/bench_entropic.cpp: points in
/// 2 and 10 coordinates, clusters, random costs; n = 300 and 1000; epsilon of 3e-2 to 1e-3).
inline constexpr Index patience_of_entropic = 120;
/// newton from here on, as a share of the largest cost. At 1e-3 sinkhorn still is 1.1 to 3 times
/// quicker on points in the plane; at 3e-4 newton wins on all but one of the families above, by 1.6
/// to 50 times.
inline constexpr double newton_below = 1e-3;
/// multiscale: the pairs from which on its trees pay, and the epsilon at which it skips most pairs.
inline constexpr double multiscale_pairs = 1e7, multiscale_below = 1e-2;
inline constexpr Index multiscale_coordinates = 3;

template <RealScalar S>
EntropicResult<S> answer_of(SinkhornResult<S> r, EntropicMethod method) {
  EntropicResult<S> x;
  static_cast<SinkhornResult<S>&>(x) = std::move(r);
  x.method = method;
  return x;
}

inline SinkhornOptions sinkhorn_options(EntropicOptions const& options) {
  SinkhornOptions x;
  x.epsilon = options.epsilon;
  x.tolerance = options.tolerance;
  x.max_seconds = options.max_seconds;
  x.observe_every = options.observe_every;
  x.parallel = options.parallel;
  return x;
}

/// newton, in_cache: whether the cost is read column by column.
inline void refuse_method(EntropicMethod method, bool columns, bool multiscale) {
  constexpr std::string_view advice =
      " does not take costs of this kind; leave method out or ask for sinkhorn";
  require(columns || method != EntropicMethod::newton, "entropic: newton", advice);
  require(columns || method != EntropicMethod::in_cache, "entropic: in_cache", advice);
  require(multiscale || method != EntropicMethod::multiscale,
          "entropic: multiscale takes point clouds of squared_euclidean, euclidean or p_norm only; "
          "leave method out or ask for another");
}

template <class Watch>
inline constexpr bool observes = !std::same_as<std::remove_cvref_t<Watch>, Unobserved>;

template <RealScalar S, Cost C, class A, class B>
EntropicResult<S> entropic_in_cache(C const& cost, A const& a, B const& b,
                                    EntropicOptions const& options, Potentials<S> const& start) {
  SinkhornBatchOptions x;
  x.epsilon = options.epsilon;
  x.tolerance = options.tolerance;
  x.max_seconds = options.max_seconds;
  require_limits("entropic", x.max_iterations, x.max_seconds, options.observe_every);
  BatchWorker<S> worker;
  auto const solve = [&](Eigen::Ref<MatrixX<S> const> const& entries) {
    return answer_of<S>(worker.attempt("entropic", entries, VectorX<S>(as_column(a)),
                                       VectorX<S>(as_column(b)), x, start),
                        EntropicMethod::in_cache);
  };
  if constexpr (CostOperator<C>) {
    return solve(entries_of(cost, worker.entries));
  } else {
    return solve(cost);
  }
}

/// Any cost that may be read column by column.
template <class C, class A, class B, RealScalar S, class Watch>
EntropicResult<S> entropic_by_columns(C const& cost, A const& a, B const& b,
                                      EntropicOptions const& options, Potentials<S> const& start,
                                      double share, Watch&& observer) {
  using enum EntropicMethod;
  auto const by_newton = [&](Potentials<S> const& from, double seconds) {
    SinkhornNewtonOptions x;
    x.epsilon = options.epsilon;
    x.tolerance = options.tolerance;
    x.max_seconds = seconds;
    x.observe_every = options.observe_every;
    x.parallel = options.parallel;
    return answer_of<S>(sinkhorn_newton(cost, a, b, x, from, observer), newton);
  };
  auto const go_on = [&](EntropicResult<S> const& r) {
    auto last = by_newton({r.f, r.g}, std::max(0.0, options.max_seconds - r.seconds));
    last.iterations += r.iterations;
    last.seconds += r.seconds;
    return last;
  };
  bool const choose = options.method == automatic;
  require(!observes<Watch> || options.method != in_cache,
          "entropic: in_cache does not call observers; leave method out or ask for another");
  if (options.method == in_cache ||
      (choose && !observes<Watch> && fits_cache(shape(cost).rows, shape(cost).cols, share))) {
    auto r = entropic_in_cache<S>(cost, a, b, options, start);
    return r.status == Status::running ? go_on(r) : r;
  }
  if (options.method == newton || (choose && share < newton_below)) {
    return by_newton(start, options.max_seconds);
  }
  SinkhornOptions x = sinkhorn_options(options);
  if (choose) x.max_iterations = patience_of_entropic;
  auto r = answer_of<S>(ot::sinkhorn(cost, a, b, x, start, observer), sinkhorn);
  return choose && r.status == Status::iteration_limit ? go_on(r) : r;
}

/// epsilon over the largest cost, where the choice depends on it; else 0. One read.
template <class Watch, Cost C>
double relative_epsilon(C const& cost, EntropicOptions const& options) {
  bool const small =
      !observes<Watch> && double(cost.rows()) * double(cost.cols()) <= always_in_cache;
  if (options.method != EntropicMethod::automatic || small) return 0;
  return with_cost(cost, [&](auto const& entries) {
    Strength const strength =
        checked_strength("entropic", entries, options.epsilon, options.tolerance);
    return strength.scale.largest > 0 ? strength.epsilon / strength.scale.largest : infinity;
  });
}

}  // namespace detail

/// Entropic optimal transport between weights a (n) and b (m) for the cost C (n x m). Arguments,
/// ends and what is refused are those of sinkhorn.
template <Cost C, VectorLike<C> A, VectorLike<C> B, Observer Watch = Unobserved>
[[nodiscard]] EntropicResult<scalar_t<C>> entropic(C const& cost, A const& a, B const& b,
                                                   EntropicOptions const& options,
                                                   Potentials<scalar_t<C>> const& start = {},
                                                   Watch&& observer = {}) {
  detail::refuse_method(options.method, true, false);
  double const share = detail::relative_epsilon<Watch>(cost, options);
  return detail::entropic_by_columns(cost, a, b, options, start, share, observer);
}

/// The same between the points of a cloud whose cost grows with their distance.
template <RealScalar S, class F, VectorExpr A, VectorExpr B, Observer Watch = Unobserved>
  requires(detail::grows_with_distance<F> && std::same_as<scalar_t<A>, S> &&
           std::same_as<scalar_t<B>, S>)
[[nodiscard]] EntropicResult<S> entropic(PointCloud<S, F> const& cost, A const& a, B const& b,
                                         EntropicOptions const& options,
                                         Potentials<S> const& start = {}, Watch&& observer = {}) {
  using enum EntropicMethod;
  double share = 0;
  bool multiscale_pays = false;
  if (options.method == automatic) {
    share = detail::relative_epsilon<Watch>(cost, options);
    multiscale_pays = cost.Y().rows() <= detail::multiscale_coordinates &&
                      double(cost.rows()) * double(cost.cols()) >= detail::multiscale_pairs &&
                      share <= detail::multiscale_below;
  }
  if (options.method == multiscale || multiscale_pays) {
    return detail::answer_of<S>(
        sinkhorn_multiscale(cost, a, b, detail::sinkhorn_options(options), start, observer),
        multiscale);
  }
  return detail::entropic_by_columns(cost, a, b, options, start, share, observer);
}

/// The same for a cost that allows few pairs.
template <RealSparseExpr C, VectorLike<C> A, VectorLike<C> B, Observer Watch = Unobserved>
[[nodiscard]] EntropicResult<scalar_t<C>> entropic(C const& cost, A const& a, B const& b,
                                                   EntropicOptions const& options,
                                                   Potentials<scalar_t<C>> const& start = {},
                                                   Watch&& observer = {}) {
  detail::refuse_method(options.method, false, false);
  return detail::answer_of<scalar_t<C>>(
      sinkhorn(cost, a, b, detail::sinkhorn_options(options), start, observer),
      EntropicMethod::sinkhorn);
}

/// The same on a grid.
template <RealScalar S, VectorLike<GridCost<S>> A, VectorLike<GridCost<S>> B,
          Observer Watch = Unobserved>
[[nodiscard]] EntropicResult<S> entropic(GridCost<S> const& cost, A const& a, B const& b,
                                         EntropicOptions const& options,
                                         Potentials<S> const& start = {}, Watch&& observer = {}) {
  detail::refuse_method(options.method, false, false);
  return detail::answer_of<S>(
      sinkhorn(cost, a, b, detail::sinkhorn_options(options), start, observer),
      EntropicMethod::sinkhorn);
}

}  // namespace monge::ot
