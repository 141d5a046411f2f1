// SPDX-License-Identifier: MIT
/// @file
/// Exact optimal transport, without regularisation:
///
///     minimise <C, P>  over P >= 0 with row sums a and column sums b.
///
/// Method: the primal network simplex. A basis is a spanning tree of rows and columns; a pivot
/// brings in an arc with C_ij < f_i + g_j and drops one of the cycle that it closes. Arcs outside
/// the tree carry nothing and need no memory. Pricing looks first through a pool of a few dozen
/// arcs per column that were worth a look before, at the start the cheapest of each column; only if
/// none of these is left does it search the cost, for the best arc of each piece of a column, found
/// by one vectorised minimum. The best of a list of up to 200 enters. So the cost itself is read a
/// few times only, and a lazy cost is solved in O(n + m) memory.
///
/// It starts from a rough entropic plan on the pool (detail/rough_plan.hpp), which a crossover makes
/// a basis (detail/crossover.hpp). The potentials that choose the pool come from the same problem
/// with alike rows and columns merged by fours, if a stored cost has a geometry
/// (detail/coarse_costs.hpp; a quarter of its memory while it starts), else f_i = min_j C_ij. Up to
/// 2^17 stored entries there is no pool: the rough plan is on all pairs, and searches read the cost.
///
/// Ties and zeros in the weights cannot make it cycle: flows are integers (2^-62 of the mass) and
/// the tree stays strongly feasible. Results do not depend on the run. A square dense problem with
/// equal weights is solved as an assignment if n <= 1000 or its reductions leave few rows.
///
/// When not to use it: for a rough answer, or from some ten thousand points on, where sinkhorn
/// followed by exact_gap is cheaper.
///
/// Source: W. H. Cunningham, A network simplex method, Mathematical Programming 11 (1976) 105-116;
/// pricing by candidate lists as in M. D. Grigoriadis, An efficient implementation of the network
/// simplex method, Mathematical Programming Study 26 (1986) 83-111; the pool is close to the list
/// of C. Gottschlich, D. Schuhmacher, The shortlist method for fast computation of the earth
/// mover's distance, PLoS ONE 9 (2014) e110214, but holds the arcs of least reduced cost and takes
/// in what searches of the cost find. The parted big M is ours; see detail/network_simplex.hpp.
#pragma once

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <optional>
#include <utility>
#include <vector>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/assignment.hpp>
#include <monge/ot/detail/exact_answer.hpp>
#include <monge/ot/detail/exact_pricing.hpp>
#include <monge/ot/detail/exact_result.hpp>
#include <monge/ot/detail/exact_start.hpp>
#include <monge/ot/detail/exact_unequal.hpp>

namespace monge::ot {

/// The network simplex as a value that monge::iterate drives: for stepping by hand, checkpoints and
/// resumption. One native step is one pivot; the first also makes the start, with the pivots of
/// merged problems, and goes on where a time limit cut it (merging, a read of the cost or two, and
/// the start of up to 2^17 stored entries, below a millisecond or two, are not cut). Owns its cost
/// and marginals; it is the balanced problem, without the options for unequal masses.
///
///     ot::Exact const method(ot::DenseCost<double>(C), a, b);
///     auto run = iterate(method, {.max_iterations = 1000});
///     auto checkpoint = run.state;                                   // any number of copies
///     auto r = method.result(iterate(method, checkpoint, limits));   // as if never interrupted
template <CostOperator C>
class Exact {
 public:
  using S = scalar_t<C>;
  using W = wide_t<S>;  // costs are read as S; all else is W

  /// Everything that changes while it runs. Copy it to keep a checkpoint.
  struct State {
    bool started = false;
    detail::StartProgress<S> start;
    detail::TransportTree<W> tree;
    detail::PricingState<W> pricing;
    std::vector<detail::Mass> supply;  // the problem's, less what was shed
    Index since_refresh = 0;           // pivots since the potentials were computed afresh
    W shed = infinity;                 // the largest cost of idle arcs when they were last shed
    Index iterations = 0;              // pivots
    detail::ExactAnswer<W> answer;     // written by finish
  };

  /// Refuses misuse with std::invalid_argument, as exact() does. One read of the cost.
  Exact(C cost, VectorX<S> a, VectorX<S> b, ExactStart<S> start = {})
      : problem_(std::move(cost), std::move(a), std::move(b)), start_(std::move(start)) {
    detail::check_start("exact", detail::shape(problem_.cost), start_);
    detail::check_plan("exact", detail::shape(problem_.cost), start_.plan);
  }

  [[nodiscard]] detail::ExactProblem<C> const& problem() const { return problem_; }

  [[nodiscard]] State init() const { return {}; }

  [[nodiscard]] Advance advance(State& state, Index k,
                                Deadline const& deadline = Deadline(infinity)) const {
    if (k > 0 && !begin(state, deadline)) return {Status::time_limit, 0};
    detail::Pricing<C> const pricing(problem_);
    for (Index steps = 0; steps < k;) {
      if (state.since_refresh >= problem_.n() + problem_.m()) refresh(state);
      detail::Found const found = pricing.choose(state.pricing, state.tree, deadline);
      if (found == detail::Found::interrupted) return {Status::time_limit, steps};
      if (found == detail::Found::nothing) {
        if (state.since_refresh > 0) {
          refresh(state);  // by potentials that have drifted: ask again by fresh ones
        } else if (!shed_idle_arcs(state)) {
          return {Status::converged, steps};
        }
        continue;
      }
      bring_in_best(state);
      ++state.iterations;
      ++steps;
    }
    return {Status::running, k};
  }

  /// The largest violation of f_i + g_j <= C_ij among the arcs last listed.
  [[nodiscard]] double error(State const& state) const { return state.pricing.worst; }

  /// Feasible potentials, and cost, marginals and gap recomputed from the cost: one read of it, two
  /// if rows have no mass. A run whose time ended before its start was made gets the plan of the
  /// north-west corner rule.
  [[nodiscard]] Status finish(State& state, Status status) const {
    detail::ExactCertificate<C> const certificate(problem_);
    if (status != Status::time_limit) static_cast<void>(begin(state, Deadline(infinity)));
    if (!state.started) {
      state.answer = certificate.of_plan(corner());
      return status;
    }
    state.answer = certificate.of_tree(state.tree, state.tree.fresh_potentials(exact_cost()),
                                       status == Status::converged);
    return detail::judged(status, state.answer);
  }

  /// The result of a finished run.
  [[nodiscard]] ExactResult<S> result(Outcome<State> const& run) const {
    auto const weight = [this](detail::Mass flow) { return problem_.weight(flow); };
    auto const of = [&](detail::TransportTree<W> const& tree) {
      return detail::result_of(run, detail::carried_by(tree, weight), problem_.a, problem_.b);
    };
    return run.state.started ? of(run.state.tree) : of(corner());
  }

 private:
  [[nodiscard]] auto exact_cost() const {
    return [this](detail::Arc arc) { return problem_.price(arc); };
  }

  void refresh(State& state) const {
    state.tree.refresh(exact_cost());
    state.since_refresh = 0;
    shed_idle_arcs(state);
  }

  /// Makes the start; false if the deadline passed before.
  bool begin(State& state, Deadline const& deadline) const {
    if (state.started) return true;
    detail::StartMaker<C> const maker(problem_, start_);
    if (!maker.advance(state.start, state.pricing.pool, deadline)) return false;
    plant(state);
    if (maker.may_lack(state.start) && !give_all_mass(state)) {
      state.start = {};
      state.start.greedy = true;
      static_cast<void>(maker.advance(state.start, state.pricing.pool, Deadline(infinity)));
      plant(state);
    }
    state.start = {};
    state.started = true;
    return true;
  }

  /// The tree of the start, and no candidates.
  void plant(State& state) const {
    state.supply = problem_.supply;
    state.tree = detail::TransportTree<W>(problem_.n(), state.supply, state.start.forest,
                                          state.start.potential, exact_cost());
    state.pricing.candidates.clear();
    detail::Pricing<C>(problem_).reserve(state.pricing);
    state.since_refresh = 0;
  }

  /// The forest of a small problem may lack mass. The few pivots that end this belong to the start,
  /// so that a run that stops early has a plan. False if they do not, or only by arcs that cost a
  /// million times more than any before: the greedy start avoids such better.
  bool give_all_mass(State& state) const {
    constexpr W far = 0x1p20;
    Deadline const never(infinity);
    detail::Pricing<C> const pricing(problem_);
    W const before = dearest(state.tree);
    for (Index left = problem_.n() + problem_.m(); state.tree.lacking_parts > 0; --left) {
      if (left == 0) return false;
      if (pricing.choose(state.pricing, state.tree, never) != detail::Found::some) return false;
      bring_in_best(state);
    }
    return dearest(state.tree) <= far * before;
  }

  /// The largest |C_ij| of the arcs of a tree.
  W dearest(detail::TransportTree<W> const& tree) const {
    W largest = 0;
    tree.for_each_below(tree.root(), [&](int v) {
      if (tree.at(v).parent == tree.root()) return;
      largest = std::max(largest, std::abs(problem_.price(tree.arc(v))));
    });
    return largest;
  }

  /// A pivot with the last of the candidates.
  static void bring_in_best(State& state) {
    auto const [cost, reduced, arc] = state.pricing.candidates.back();
    state.pricing.candidates.pop_back();
    state.tree.pivot(arc, reduced);
    ++state.since_refresh;
  }

  /// Arcs of the tree that carry nothing, or no more than the rounding of weights to units leaves,
  /// but cost far more than those of the plan (1e32 for "never", say) lift the potentials beyond
  /// them so high that small costs drown. If there are any, they go, with what they carry, and so
  /// do all that are idle; the parts of the tree that this leaves are balanced. Each time their
  /// cost must have fallen by the same factor, so this ends.
  bool shed_idle_arcs(State& state) const {
    constexpr W far = 1024;
    detail::Mass const few = state.tree.lacking_parts > 0 ? 0 : problem_.n() + problem_.m();
    detail::TransportTree<W> const& tree = state.tree;
    W carrying = 0, idle = 0;
    tree.for_each_below(tree.root(), [&](int v) {
      if (tree.at(v).parent == tree.root()) return;
      W& largest = tree.at(v).flow > few ? carrying : idle;
      largest = std::max(largest, std::abs(problem_.price(tree.arc(v))));
    });
    if (!(idle > far * carrying && idle * far < state.shed)) return false;
    state.shed = idle;
    std::vector<detail::Arc> plan;
    std::vector<detail::Mass> supply = state.supply;
    tree.for_each_below(tree.root(), [&](int v) {
      detail::Mass const flow = tree.at(v).flow;
      if (tree.at(v).parent == tree.root() || flow == 0) return;
      detail::Arc const arc = tree.arc(v);
      detail::Mass& have = supply[std::size_t(arc.row)];
      detail::Mass& want = supply[std::size_t(problem_.n() + arc.column)];
      bool const dear = std::abs(problem_.price(arc)) > far * carrying;
      if (dear && flow <= few && flow < have && flow < -want) {
        have -= flow;
        want += flow;
      } else {
        plan.push_back(arc);
      }
    });
    VectorX<W> potential = VectorX<W>::Zero(problem_.n() + problem_.m());
    for (Index i = 0; i < problem_.n(); ++i) {
      if (!problem_.has_row(i)) potential(i) = tree.potential(i);
    }
    state.supply = std::move(supply);
    state.tree = {problem_.n(), state.supply, plan, std::move(potential), exact_cost()};
    state.pricing.candidates.clear();
    return true;
  }

  [[nodiscard]] detail::TransportTree<W> corner() const {
    VectorX<W> const zero = VectorX<W>::Zero(problem_.n() + problem_.m());
    return {problem_.n(), problem_.supply, detail::corner_forest(problem_), zero, exact_cost()};
  }

  detail::ExactProblem<C> problem_;
  ExactStart<S> start_;
};

namespace detail {

/// Runs the simplex on one problem. `moved`: the mass to move, if not all.
template <CostOperator C, class Watch>
ExactResult<scalar_t<C>> solve_exact(C cost, VectorX<scalar_t<C>> a, VectorX<scalar_t<C>> b,
                                     std::optional<wide_t<scalar_t<C>>> moved,
                                     ExactOptions const& options, ExactStart<scalar_t<C>> start,
                                     Watch&& observer) {
  using S = scalar_t<C>;
  auto const solve = [&](AugmentedCost<C> whole, VectorX<S> rows, VectorX<S> columns,
                         ExactStart<S> from) {
    Exact<AugmentedCost<C>> const method(std::move(whole), std::move(rows), std::move(columns),
                                         std::move(from));
    return method.result(iterate(
        method, {options.max_iterations, options.max_seconds, options.observe_every}, observer));
  };
  if (!moved) {
    return solve(AugmentedCost<C>(std::move(cost)), std::move(a), std::move(b), std::move(start));
  }
  VectorX<S> scratch(segment_width);
  return solve_partial(
      a, b, *moved, start,
      [&](Index j, VectorX<S> const& f) { return hard_column(cost, f, j, scratch.data()); },
      [&](Index i, Index j) { return *cost.column_segment(j, i, 1, scratch.data()); },
      [&](S price, VectorX<S> const& rows, VectorX<S> const& columns, ExactStart<S> from) {
        return solve(AugmentedCost<C>(cost, price), rows, columns, std::move(from));
      });
}

/// Equal weights on both sides of a square cost: a permutation is optimal. `most_left`: rows that
/// the reductions may leave; if they leave more the result is `not_run`.
template <RealScalar S, RealMatrixExpr C, class Watch>
ExactResult<S> solve_as_assignment(C const& cost, VectorX<S> a, VectorX<S> b,
                                   ExactOptions const& options, Index most_left, Watch&& observer) {
  balance<S>("exact", shape(cost), a, b);
  AssignmentOptions const limits{options.max_seconds, options.observe_every};
  AssignmentResult<S> pairs;
  if constexpr (is_row_major<C>) {
    pairs = assign<S>("exact", cost.transpose(), true, limits, observer, most_left);
  } else {
    pairs = assign<S>("exact", cost, false, limits, observer, most_left);
  }
  if (pairs.status == Status::not_run) return {};
  ExactResult<S> r;
  r.a = std::move(a);
  r.b = std::move(b);
  r.f = pairs.f;
  r.g = pairs.g;
  r.left_a = r.left_b = VectorX<S>::Zero(r.a.size());
  std::vector<Eigen::Triplet<S>> entries;
  for (Index i = 0; i < r.a.size(); ++i) {
    Index const j = pairs.row_to_column(i);
    if (j >= 0) entries.emplace_back(int(i), int(j), r.a(i));
  }
  r.plan.resize(r.a.size(), r.b.size());
  r.plan.setFromTriplets(entries.begin(), entries.end());
  double const missing = double(r.a.size()) - double(entries.size());
  r.marginal_error = 2 * missing / double(r.a.size());
  r.transport_cost = wide_t<S>(r.a(0)) * pairs.cost;
  r.duality_gap = wide_t<S>(r.a(0)) * pairs.duality_gap;
  r.status = pairs.status;
  r.iterations = pairs.iterations;
  r.seconds = pairs.seconds;
  return r;
}

}  // namespace detail

/// The optimal plan between weights a (n) and b (m) for the cost C (n x m), with its proof.
///
///     auto r = monge::ot::exact(C, a, b);
///     auto r = monge::ot::exact(monge::ot::point_cloud(X, Y, squared_euclidean{}), a, b);
///
/// C is a matrix expression (a row-major matrix is solved as its transpose, without a copy) or a
/// CostOperator. Entries may be negative; +infinity forbids a pair; NaN, -infinity and entries so
/// large that sums overflow (beyond the largest double / (8 (n + m))) are refused.
/// Weights are nonnegative and finite; masses that differ by at most 8 (n + m) u relative to their
/// mean are rescaled to it, a larger difference is refused. Zero weights are allowed: their
/// potentials are the largest that are feasible. Weights below 2^-63 of the mass count as zero.
/// `start`: duals or a plan near the optimum, such as those of a similar problem, save most pivots.
///
///     auto r = exact(C, a, b, {.extra_mass_penalty = 2});  // masses differ: the smaller is moved
///     auto r = exact(C, a, b, {.mass = 0.5});              // half a unit is moved
///
/// minimise <C, P> over P 1 <= a, P' 1 <= b with the mass of P given, min(sum a, sum b) or `mass`;
/// left_a and left_b say what stays where. The optimum of <C, P> + penalty is <a, f> + <b, g>, that
/// of partial transport <a, f> + <b, g> + mass mass_price, with f <= 0 and g <= 0 that vanish
/// where mass stays; duality_gap certifies both. Nothing n x m is copied.
///
/// Converged means that the marginals hold to 8 (n + m) u of the mass and that duality_gap <=
/// 64 u (|cost| + sum a |f| + sum b |g| + mass |mass_price|), else precision_limit. `infeasible` if
/// the allowed pairs cannot carry the mass: the plan is then what they could, at no promised cost,
/// and marginal_error says what is missing. iteration_limit, time_limit and stopped_by_observer
/// return the plan that was reached; f and g are feasible whatever the status. The observer's error
/// is the largest violation of f_i + g_j <= C_ij among the arcs last listed. Throws
/// std::invalid_argument for misuse.
template <Cost C, VectorLike<C> A, VectorLike<C> B, Observer Watch = Unobserved>
[[nodiscard]] ExactResult<scalar_t<C>> exact(C const& cost, A const& a, B const& b,
                                             ExactOptions const& options = {},
                                             ExactStart<scalar_t<C>> const& start = {},
                                             Watch&& observer = {}) {
  using S = scalar_t<C>;
  detail::require_limits("exact", options.max_iterations, options.max_seconds,
                         options.observe_every);
  VectorX<S> const rows = detail::as_column(a), columns = detail::as_column(b);
  std::optional<wide_t<S>> const moved = detail::moved_mass<S>(
      detail::shape(cost), rows, columns, options.mass, options.extra_mass_penalty);
  auto const finished = [&](ExactResult<S> r) {
    return detail::with_penalty(std::move(r), options.extra_mass_penalty, moved.has_value());
  };
  if constexpr (CostOperator<C>) {
    return finished(detail::solve_exact(detail::CostReference<C>(cost), rows, columns, moved,
                                        options, start, observer));
  } else {
    bool const uniform = rows.size() == cost.rows() && columns.size() == cost.cols() &&
                         rows.size() == columns.size() && rows.size() > 0 &&
                         (rows.array() == rows(0)).all() && (columns.array() == columns(0)).all();
    if (uniform && !moved && options.max_iterations == ExactOptions{}.max_iterations &&
        start.f.size() + start.g.size() + start.plan.size() == 0) {
      // Of seven families, n = 700 to 5000 (docs/guide/exact.md): up to 1000 the assignment is the
      // faster road for all; beyond it depends on how many rows its reductions leave, a quarter of
      // them for points in the plane, a sixth in space, below a tenth for costs without a geometry.
      Index const n = rows.size();
      Index const most_left = n <= 1000 ? n : n <= 3000 ? n / 5 : n / 8;
      ExactResult<S> pairs =
          detail::solve_as_assignment<S>(cost, rows, columns, options, most_left, observer);
      if (pairs.status != Status::not_run) return detail::certified(std::move(pairs));
    }
    if constexpr (detail::is_row_major<C>) {
      Eigen::Ref<MatrixX<S> const> const transposed(cost.transpose());
      if (!moved) {
        VectorX<S> balanced_rows = rows, balanced_columns = columns;
        detail::balance<S>("exact", detail::shape(cost), balanced_rows, balanced_columns);
      }
      detail::check_before_transposing<S>("exact", transposed, start);
      detail::check_plan("exact", detail::shape(cost), start.plan);
      ExactResult<S> r =
          detail::solve_exact(detail::view<S>(transposed), columns, rows, moved, options,
                              ExactStart<S>{start.g, start.f, start.plan.transpose()}, observer);
      r.plan = Eigen::SparseMatrix<S>(r.plan.transpose());
      std::swap(r.f, r.g);
      std::swap(r.a, r.b);
      std::swap(r.left_a, r.left_b);
      return finished(std::move(r));
    } else {
      Eigen::Ref<MatrixX<S> const> const bound(cost);
      return finished(detail::solve_exact(detail::view<S>(bound), rows, columns, moved, options,
                                          start, observer));
    }
  }
}

}  // namespace monge::ot

#include <monge/ot/exact_points.hpp>  // the overload for clouds of points
