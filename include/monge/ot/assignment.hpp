// SPDX-License-Identifier: MIT
/// @file
/// Optimal assignment: pair rows with columns, each at most once, at the least total cost.
///
///     minimise  sum over pairs of C(i, j)     over all matchings of min(n, m) pairs
///
/// or, with a cost limit L, of C(i, j) - L over matchings of any size; C dense or sparse.
///
/// Method: shortest augmenting paths. Lines (columns of a column-major matrix, rows of a row-major
/// one, so that every scan is contiguous and nothing is copied) are taken up one by one, each
/// through the shortest path to a free slot in the reduced costs C(i, j) - f(i) - g(j) >= 0, found
/// in the manner of Dijkstra; the prices then rise so that reduced costs stay nonnegative. Column
/// reduction (in the read that checks the entries) and a bounded augmenting row reduction settle
/// most lines beforehand. If there are more lines than slots, a line that comes later either
/// displaces another one or stays out, whichever is cheaper. If the paths of a square problem turn
/// out long, lines bid instead, with steps that shrink tenfold from phase to phase (an auction with
/// scaling), and paths are taken from the prices that this leaves, near which they are short. From
/// 1200 slots on, the row reduction and paths look at short lists of near slots with a bound on all
/// others (detail/short_lists.hpp), not at whole lines, which no longer fit a near cache. Sparse
/// costs: detail/sparse_assignment.hpp.
///
/// Cost: O(max(n, m) n m) at worst, about one pass per line in practice for random costs; memory
/// O(n + m), lists included, which have at most 128 entries per line. Ends always: each search
/// reaches every slot at most once, whatever the rounding. Ties are broken by the order of the
/// indices, so results do not depend on the run.
///
/// When not to use it: if weights are not uniform (an exact or an entropic transport), or if n is
/// in the tens of thousands and a near-optimal plan will do.
///
/// The answer carries its proof. f and g are feasible for the dual, so sum f + sum g is a lower
/// bound on every full matching; `duality_gap` is the distance to it, recomputed from C at the end.
///
/// Source: R. Jonker, A. Volgenant, A shortest augmenting path algorithm for dense and sparse
/// linear assignment problems, Computing 38 (1987) 325-340; the exchange for surplus lines is the
/// same search on the square problem whose added columns cost nothing, held as one. Bidding:
/// D. P. Bertsekas, The auction algorithm: a distributed relaxation method for the assignment
/// problem, Annals of Operations Research 14 (1988) 105-123; only its prices are used. Deviations:
/// see `take_tight_slots` and `reduce_rows`; reduction transfer is left to the row reduction.
#pragma once

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <cmath>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <utility>

#include <monge/core/certify.hpp>
#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/ot/detail/augmenting_path.hpp>
#include <monge/ot/detail/listed_path.hpp>
#include <monge/ot/detail/sparse_assignment.hpp>

namespace monge::ot {

/// Options of `assignment`. There is no tolerance: the answer is exact to rounding.
struct AssignmentOptions {
  double max_seconds = infinity;  ///< wall time; ends in time_limit with a partial matching
  Index observe_every = 1;        ///< stride of the observer in augmentations; at least 1
  double cost_limit = infinity;   ///< price of leaving a row unmatched, in units of C: a pair must
                                  ///< be worth it. Infinite: as many pairs as possible
};

/// The answer of `assignment` for an n x m cost.
template <RealScalar S>
struct AssignmentResult {
  VectorX<Index> row_to_column;  ///< n: the column paired with each row, -1 = unmatched
  wide_t<S> cost = 0;            ///< sum of C over the pairs
  VectorX<S> f, g;               ///< duals, n and m: f(i) + g(j) <= C(i, j), equal on pairs, both
                                 ///< to rounding; on the larger side <= 0, and 0 if unmatched
  wide_t<S> duality_gap = infinity;  ///< bound on cost - optimum; infinite for a partial matching
  Status status = Status::not_run;
  Index iterations = 0;  ///< augmentations after the start
  double seconds = 0;    ///< wall time of the solve

  [[nodiscard]] bool converged() const { return status == Status::converged; }
  [[nodiscard]] auto numbers() const { return std::tie(cost, f, g, duality_gap); }
};

namespace detail {

/// The iterative method behind `assignment`: one native step takes up one line, and the first step
/// also makes the start. It views the matrix, which must outlive it.
template <RealScalar S>
class AssignmentMethod {
 public:
  /// Below some 1200 slots, where a line stays in the second level of the cache, a pass over it is
  /// as fast as a look at a list (measured in all families of the bench). No answer depends on it.
  static constexpr Index list_from = 1200;

  explicit AssignmentMethod(Lines<S> const& lines, S cost_limit = unreachable<S>,
                            Index listed_from = list_from)
      : lines_(lines), cost_limit_(cost_limit), listed_from_(listed_from) {}

  /// The state before the first step. If lines are at least as many as slots, prices are those of
  /// column reduction; `check(i)` sees each line once either way, in the same read of the matrix.
  template <class Check>
  [[nodiscard]] AssignmentState<S> init(Check&& check) const {
    AssignmentState<S> state(lines_.rows(), lines_.cols());
    if (!limited() && lines_.cols() >= lines_.rows()) {
      reduce_columns(lines_, state, check);
      state.reduced = !surplus();
    } else {
      for (Index i = 0; i < lines_.cols(); ++i) check(i);
    }
    return state;
  }
  [[nodiscard]] AssignmentState<S> init() const {
    return init([](Index) {});
  }

  /// Makes the start, the first thing that a run does: reductions and bids that settle most lines.
  void begin(AssignmentState<S>& state) const {
    if (!state.started) start(state);
  }

  Advance advance(AssignmentState<S>& state, Index k) const {
    if (k > 0) begin(state);
    Index steps = 0;
    for (; steps < k; ++steps) {
      if (surplus() && !state.exchanging && state.matched == lines_.rows()) {
        begin_exchange(state);
      }
      if (is_hard(state)) begin_bidding(lines_, state);
      if (state.bidding.on) {
        bid(lines_, state, lines_.cols() / 16);
        continue;
      }
      if (state.next == state.count) {
        bool const full = limited() || state.matched == pairs();
        return {full ? Status::converged : Status::infeasible, steps};
      }
      Index const line = state.waiting(state.next++);
      if (!take_up(line, state)) state.waiting(state.failed++) = line;
    }
    return {Status::running, steps};
  }

  /// The number of lines that are not settled.
  [[nodiscard]] double error(AssignmentState<S> const& state) const {
    if (!state.started || state.bidding.on) return double(lines_.cols());
    return double(state.count - state.next);
  }

  /// Builds the duals and recomputes cost and gap from C: one pass over the matrix, two if a
  /// surplus problem was stopped early. Lines whose slot has its least cost there are left out: by
  /// the read of column reduction no reduced cost is below 0. `state` can be continued afterwards.
  Status finish(AssignmentState<S>& state, Status status) const {
    using Wide = wide_t<S>;
    S const roundoff = unit_roundoff<S>;
    state.slot_dual = state.price;
    if (surplus() && !limited()) {
      S lift = state.lift;
      if (!state.exchanging) {
        lift = -unreachable<S>;
        for (Index i = 0; i < lines_.cols(); ++i) {
          S const low = (lines_.col(i) - state.price).minCoeff();
          lift = low < unreachable<S> ? std::max(lift, low) : lift;
        }
        lift = lift > -unreachable<S> ? lift : S(0);
      }
      state.slot_dual.array() += lift;
    }
    bool const complete =
        (limited() || state.matched == pairs()) && state.started && state.next == state.count;
    S const highest = limited() ? cost_limit_ : (surplus() ? S(0) : unreachable<S>);
    Wide gap = 0, size = 0;
    state.cost = 0;
    for (Index i = 0; i < lines_.cols(); ++i) {
      Index const slot = state.slot_of_line(i);
      bool const cheapest = state.reduced && slot >= 0 && lines_(slot, i) == state.price(slot);
      S dual = cheapest ? S(0) : (lines_.col(i) - state.slot_dual).minCoeff();
      if (!(std::min(dual, highest) < unreachable<S>)) {
        dual = 0;  // no allowed pair: any dual is feasible
      }
      dual = std::min(dual, highest);
      if (slot < 0 && complete && highest < unreachable<S>) {
        gap += Wide(highest) - Wide(dual);  // what feasibility would take from the bound
        dual = highest;
      }
      if (slot >= 0) {
        Wide const cost = lines_(slot, i);
        state.cost += cost;
        gap += std::max(Wide(0), cost - Wide(dual) - Wide(state.slot_dual(slot)));
      }
      state.line_dual(i) = dual;
      size += std::abs(dual);
    }
    state.gap = complete ? gap : Wide(infinity);
    size += state.slot_dual.template cast<Wide>().cwiseAbs().sum() + std::abs(state.cost);
    if (status == Status::converged && !(state.gap <= 64 * Wide(roundoff) * size)) {
      status = Status::precision_limit;
    }
    return status;
  }

 private:
  [[nodiscard]] bool limited() const { return cost_limit_ < unreachable<S>; }
  [[nodiscard]] bool surplus() const { return lines_.cols() > lines_.rows(); }
  [[nodiscard]] Index pairs() const { return std::min(lines_.cols(), lines_.rows()); }

  /// Augmentations take long and many lines are left. Measured from n = 256 to 5000: then it pays
  /// to bid, in all families of bench/ot/bench_assignment.cpp.
  [[nodiscard]] bool is_hard(AssignmentState<S> const& state) const {
    Index const n = lines_.cols();
    return !state.bidding.tried && n == lines_.rows() && n >= 256 && !state.exchanging &&
           state.scans > 8 * double(n) && state.count - state.next > n / 16;
  }

  /// Many long lines wait.
  [[nodiscard]] bool pays_to_list(AssignmentState<S> const& state) const {
    constexpr Index longest = std::numeric_limits<std::int32_t>::max() / 2;
    return lines_.rows() >= listed_from_ && lines_.rows() <= longest && lines_.cols() <= longest &&
           state.count >= lines_.cols() / 32;
  }

  bool take_up(Index line, AssignmentState<S>& state) const {
    if (state.lists.used()) {
      Search const search = ListedPath<S>(lines_, line, state).run();
      if (search != Search::beyond_lists) return search == Search::found;
    }
    return augment(lines_, line, state);
  }

  void start(AssignmentState<S>& state) const {
    state.started = true;
    if (limited()) {  // every line may stay out from the beginning
      state.exchanging = true;
      state.lift = cost_limit_;
    } else if (lines_.cols() >= lines_.rows()) {
      take_tight_slots(lines_, state);
    }
    for (Index i = 0; i < lines_.cols(); ++i) {
      if (state.slot_of_line(i) < 0) {
        state.waiting(state.count++) = i;
      }
    }
    if (!surplus() && !limited()) {
      if (pays_to_list(state)) begin_lists(state);
      reduce_rows(lines_, state, 3 * lines_.cols());
    }
  }

  /// Every slot is taken. From here on a line may stay out at the price of the dearest line that is
  /// in, and those that found no slot before come again.
  void begin_exchange(AssignmentState<S>& state) const {
    state.exchanging = true;
    state.lift = -unreachable<S>;
    for (Index j = 0; j < lines_.rows(); ++j) {
      state.lift = std::max(state.lift, lines_(j, state.line_of_slot(j)) - state.price(j));
    }
    for (; state.failed > 0; --state.failed) {
      state.waiting(--state.next) = state.waiting(state.failed - 1);
    }
  }

  Lines<S> lines_;
  S cost_limit_;
  Index listed_from_;
};

/// Lines are rows or columns; with a limit it is always the duals of rows that reach up to it.
template <RealScalar S, class State>
AssignmentResult<S> assignment_result(State const& state, Status status,
                                      Statistics const& statistics, bool rows_are_lines, S limit) {
  AssignmentResult<S> result;
  result.row_to_column = rows_are_lines ? state.slot_of_line : state.line_of_slot;
  result.cost = state.cost;
  result.f = rows_are_lines ? state.line_dual : state.slot_dual;
  result.g = rows_are_lines ? state.slot_dual : state.line_dual;
  if (limit < unreachable<S> && !rows_are_lines) {
    result.f.array() += limit;
    result.g.array() -= limit;
  }
  result.duality_gap = state.gap;
  result.status = status;
  result.iterations = statistics.iterations;
  result.seconds = statistics.seconds;
  return result;
}

/// Refuses a limit that is no number, or so large that sums would overflow.
template <RealScalar S>
void require_limit(double limit, Index entries) {
  S const largest = std::numeric_limits<S>::max() / S(8 * entries);
  monge::detail::require(limit == infinity || std::abs(limit) <= double(largest),
                         "assignment: cost_limit is ", limit,
                         "; it must be a number whose sums do not overflow, or infinite for as "
                         "many pairs as possible");
}

/// Refuses entries of a line without a meaning, and those so large that sums would overflow.
template <RealScalar S>
void require_assignable(std::string_view function, Lines<S> const& lines, Index line,
                        bool rows_are_lines) {
  using monge::detail::require;
  S const largest = std::numeric_limits<S>::max() / S(8 * (lines.rows() + lines.cols()));
  if (lines.col(line).cwiseAbs().sum() <= largest) return;  // false for NaN and for infinity
  for (Index slot = 0; slot < lines.rows(); ++slot) {
    S const cost = lines(slot, line);
    Index const row = rows_are_lines ? line : slot, column = rows_are_lines ? slot : line;
    require(cost == cost, function, ": cost(", row, ", ", column,
            ") is NaN; every entry must be a number, and +infinity forbids a pair");
    require(cost >= -std::numeric_limits<S>::max(), function, ": cost(", row, ", ", column,
            ") is -infinity; no matching could be compared with it, +infinity forbids a pair");
    require(std::abs(cost) <= largest || cost == unreachable<S>, function, ": cost(", row, ", ",
            column, ") is ", cost,
            ", so large that sums overflow; scale the costs, or forbid the pair by +infinity");
  }
}

/// One body per scalar. `rows_are_lines`: `lines` is the transpose of the matrix that the user gave
/// to `function`, which messages name. If the start leaves more than `most_left` lines it is given
/// up: the result is `not_run`.
template <RealScalar S, class Watch>
AssignmentResult<S> assign(std::string_view function,
                           Eigen::Ref<MatrixX<S> const, 0, Eigen::OuterStride<>> const& lines,
                           bool rows_are_lines, AssignmentOptions const& options, Watch&& observer,
                           Index most_left = std::numeric_limits<Index>::max()) {
  Deadline const deadline(options.max_seconds);
  require_limit<S>(options.cost_limit, lines.rows() + lines.cols());
  S const limit = S(options.cost_limit);
  Lines<S> const view(lines.data(), lines.rows(), lines.cols(),
                      Eigen::OuterStride<>(lines.outerStride()));
  AssignmentMethod<S> const method(view, limit);
  auto start =
      method.init([&](Index line) { require_assignable(function, view, line, rows_are_lines); });
  if (most_left < lines.cols()) {
    method.begin(start);
    if (start.count - start.next > most_left) return {};
  }
  Limits const limits{.max_iterations = std::numeric_limits<Index>::max(),
                      .max_seconds = deadline.remaining(),
                      .observe_every = options.observe_every};
  auto [state, status, statistics] =
      iterate(method, std::move(start), limits, std::forward<Watch>(observer));
  statistics.seconds = deadline.elapsed();
  return monge::detail::certified(
      assignment_result<S>(state, status, statistics, rows_are_lines, limit));
}

}  // namespace detail

/// Pairs the rows of the n x m matrix C with its columns at the least total cost; min(n, m) pairs.
///
/// C is any dense Eigen expression over float, double or long double; its entries may be negative,
/// and +infinity forbids a pair. Column-major and row-major storage is read in place. NaN,
/// -infinity, an empty matrix, and finite entries beyond the scalar's maximum / (8 (n + m)) are
/// refused.
///
/// status: `converged` if duality_gap <= 64 u (|cost| + sum |f| + sum |g|), else `precision_limit`;
/// `infeasible` if no matching of min(n, m) allowed pairs exists: the matching is then one with as
/// many pairs as possible, at no promised cost; `time_limit` and `stopped_by_observer` return the
/// pairs found so far. The observer's error is the number of lines that are not yet settled; it
/// rises once if lines begin to bid.
///
/// With a cost_limit L every problem is feasible: cost + L (rows without a column) is least, and
/// sum f + sum g bounds it; f <= L, g <= 0, with f(i) = L at unmatched rows and g(j) = 0 at
/// unmatched columns.
///
/// The duals bound the optimum from below whatever the status, except `infeasible`. For n <= m all
/// g <= 0 with g(j) = 0 at unmatched columns, for n >= m likewise f at unmatched rows.
template <RealMatrixExpr Cost, Observer Watch = Unobserved>
[[nodiscard]] AssignmentResult<scalar_t<Cost>> assignment(Cost const& C,
                                                          AssignmentOptions const& options = {},
                                                          Watch&& observer = {}) {
  using S = scalar_t<Cost>;
  using monge::detail::require;
  require(C.rows() > 0 && C.cols() > 0, "assignment: cost is ", monge::detail::shape(C),
          "; it needs at least one row and one column");
  monge::detail::require_limits("assignment", 0, options.max_seconds, options.observe_every);
  if constexpr (Cost::IsRowMajor) {
    return detail::assign<S>("assignment", C.transpose(), true, options, observer);
  } else {
    return detail::assign<S>("assignment", C, false, options, observer);
  }
}

/// The same for a sparse cost: what is not stored is forbidden, a stored zero is free. Time and
/// memory go with the number of entries: a search looks at the entries of the lines that it meets.
template <RealScalar S, int options_, class StorageIndex, Observer Watch = Unobserved>
[[nodiscard]] AssignmentResult<S> assignment(
    Eigen::SparseMatrix<S, options_, StorageIndex> const& C, AssignmentOptions const& options = {},
    Watch&& observer = {}) {
  using monge::detail::require;
  require(C.rows() > 0 && C.cols() > 0, "assignment: cost is ", monge::detail::shape(C),
          "; it needs at least one row and one column");
  monge::detail::require_limits("assignment", 0, options.max_seconds, options.observe_every);
  detail::require_limit<S>(options.cost_limit, C.rows() + C.cols());
  bool const rows_are_lines = C.rows() <= C.cols();
  S const limit = S(options.cost_limit);
  detail::SparseAssignment<S> const method(detail::sparse_lines(C, rows_are_lines), limit);
  Limits const limits{.max_iterations = std::numeric_limits<Index>::max(),
                      .max_seconds = options.max_seconds,
                      .observe_every = options.observe_every};
  auto const [state, status, statistics] = iterate(method, limits, std::forward<Watch>(observer));
  return monge::detail::certified(
      detail::assignment_result<S>(state, status, statistics, rows_are_lines, limit));
}

}  // namespace monge::ot
