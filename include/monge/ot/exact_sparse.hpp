// SPDX-License-Identifier: MIT
/// @file
/// Exact optimal transport along given arcs only: the cost is a sparse matrix, a pair that it does
/// not store is forbidden, a stored zero is free.
///
///     minimise  sum over stored (i, j) of C_ij P_ij   over P >= 0 with row sums a, column sums b
///
/// Method: the network simplex of exact.hpp on the list of stored entries, kept by columns. A pivot
/// costs what it changes of the basis tree; pricing reads the arcs of a few columns, and the whole
/// list a few times in all. Memory O(n + m + nonzeros).
///
/// When not to use it: if most pairs are stored; the dense `exact` prices an arc several times
/// faster.
///
/// Source: as in exact.hpp. An arc into a part of the tree that lacks mass comes before all costs,
/// so that problems which the arcs cannot carry end with as much as they can.
#pragma once

#include <Eigen/SparseCore>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <monge/ot/detail/sparse_simplex.hpp>
#include <monge/ot/exact.hpp>

namespace monge::ot {

namespace detail {

/// The entries of a sparse matrix of either order as a list by columns. Entries of +infinity are
/// left out; NaN and -infinity are refused.
template <RealScalar S, int order, class Position>
ArcList<wide_t<S>> list_arcs(Eigen::SparseMatrix<S, order, Position> const& cost) {
  using Iterator = typename Eigen::SparseMatrix<S, order, Position>::InnerIterator;
  ArcList<wide_t<S>> arcs;
  arcs.first.assign(std::size_t(cost.cols()) + 1, 0);
  for (Index k = 0; k < cost.outerSize(); ++k) {
    for (Iterator x(cost, k); x; ++x) {
      require(x.value() > -std::numeric_limits<S>::infinity(), "exact: cost(", Index(x.row()), ", ",
              Index(x.col()), ") is ", x.value(),
              "; costs must be finite, or +infinity to forbid a pair");
      arcs.first[std::size_t(x.col()) + 1] += std::isfinite(x.value());
    }
  }
  for (std::size_t j = 1; j < arcs.first.size(); ++j) arcs.first[j] += arcs.first[j - 1];
  std::vector<std::size_t> next(arcs.first.begin(), arcs.first.end() - 1);
  arcs.row.resize(arcs.first.back());
  arcs.cost.resize(arcs.first.back());
  for (Index k = 0; k < cost.outerSize(); ++k) {
    for (Iterator x(cost, k); x; ++x) {
      if (!std::isfinite(x.value())) continue;
      std::size_t const place = next[std::size_t(x.col())]++;
      arcs.row[place] = std::int32_t(x.row());
      arcs.cost[place] = x.value();
    }
  }
  return arcs;
}

/// The arcs, and at the price given one from each row to a column more and to each column from a
/// row more, which do not meet: see exact_unequal.hpp.
template <RealScalar W>
ArcList<W> with_storage(ArcList<W> const& arcs, Index rows, W price) {
  Index const m = arcs.columns();
  ArcList<W> all;
  for (Index j = 0; j <= m; ++j) {
    if (j < m) {
      auto const from = std::ptrdiff_t(arcs.begin(j)), to = std::ptrdiff_t(arcs.end(j));
      all.row.insert(all.row.end(), arcs.row.begin() + from, arcs.row.begin() + to);
      all.cost.insert(all.cost.end(), arcs.cost.begin() + from, arcs.cost.begin() + to);
      all.row.push_back(std::int32_t(rows));
      all.cost.push_back(price);
    } else {
      for (Index i = 0; i < rows; ++i) all.row.push_back(std::int32_t(i));
      all.cost.resize(all.row.size(), price);
    }
    all.first.push_back(all.row.size());
  }
  return all;
}

}  // namespace detail

/// `exact` on the allowed pairs of a sparse cost as a value that monge::iterate drives, as Exact is
/// for dense costs. One native step is one pivot; the first also makes the start. Owns its arcs and
/// marginals; it is the balanced problem, without the options for unequal masses.
///
///     ot::ExactSparse<double> const method(C, a, b);
///     auto r = method.result(iterate(method, limits));
template <RealScalar S>
class ExactSparse {
 public:
  using W = wide_t<S>;

  /// Everything that changes while it runs. Copy it to keep a checkpoint.
  struct State {
    detail::SparseSimplexState<W> simplex;
    bool started = false;
    Index iterations = 0;           // pivots
    detail::ExactAnswer<W> answer;  // written by finish
  };

  /// Refuses misuse with std::invalid_argument, as exact() does.
  template <int order, class Position>
  ExactSparse(Eigen::SparseMatrix<S, order, Position> const& cost, VectorX<S> a, VectorX<S> b,
              ExactStart<S> start = {})
      : ExactSparse(detail::Shape{cost.rows(), cost.cols()}, detail::list_arcs(cost), std::move(a),
                    std::move(b), std::move(start)) {}

  /// The same from the arcs of a cost of the shape `size`.
  ExactSparse(detail::Shape size, detail::ArcList<W> arcs, VectorX<S> a, VectorX<S> b,
              ExactStart<S> start)
      : arcs_(std::move(arcs)), a_(std::move(a)), b_(std::move(b)), start_(std::move(start)) {
    mass_ = detail::balance<S>("exact", size, a_, b_);
    require(size.rows + size.cols < Index(std::numeric_limits<std::int32_t>::max()),
            "exact: cost is ", size, "; rows and columns together must be fewer than 2^31");
    detail::check_start("exact", size, start_);
    detail::check_plan("exact", size, start_.plan);
    supply_.resize(std::size_t(n() + m()));
    unit_ = detail::integer_masses<S>(a_, b_, mass_, supply_.data(), supply_.data() + n());
    for (Index j = 0; j < m(); ++j) supply_[std::size_t(n() + j)] *= -1;
  }

  [[nodiscard]] State init() const { return {}; }

  Advance advance(State& state, Index k) const {
    if (k > 0) begin(state);
    Index const steps = detail::SparseSimplex<W>(arcs_, supply_).advance(state.simplex, k);
    state.iterations += steps;
    return {steps < k ? Status::converged : Status::running, steps};
  }

  /// The largest violation of f_i + g_j <= C_ij among the arcs last listed.
  [[nodiscard]] double error(State const& state) const { return state.simplex.worst; }

  /// Feasible potentials, and cost, marginals and gap recomputed from the cost.
  Status finish(State& state, Status status) const {
    begin(state);
    state.simplex.tree.refresh(price());
    state.simplex.since_refresh = 0;
    detail::ExactAnswer<W> x;
    detail::measure_plan(carried(state), a_, b_, mass_, price(), x);
    make_feasible(state.simplex.tree, status == Status::converged && x.transported, x);
    detail::measure_gap(carried(state), a_, b_, price(), x);
    state.answer = std::move(x);
    return detail::judged(status, state.answer);
  }

  /// The result of a finished run.
  [[nodiscard]] ExactResult<S> result(Outcome<State> const& run) const {
    return detail::result_of(run, carried(run.state), a_, b_);
  }

 private:
  static constexpr W none = std::numeric_limits<W>::infinity();

  [[nodiscard]] auto price() const {
    return [this](detail::Arc arc) { return arcs_.price(arc); };
  }
  [[nodiscard]] auto carried(State const& state) const {
    return detail::carried_by(state.simplex.tree,
                              [this](detail::Mass flow) { return std::ldexp(W(flow), unit_); });
  }
  [[nodiscard]] Index n() const { return a_.size(); }
  [[nodiscard]] Index m() const { return b_.size(); }
  [[nodiscard]] bool has_row(Index i) const { return supply_[std::size_t(i)] != 0; }
  [[nodiscard]] bool has_column(Index j) const { return supply_[std::size_t(n() + j)] != 0; }

  void begin(State& state) const {
    if (state.started) return;
    state.started = true;
    VectorX<W> start(n() + m());
    if (start_.f.size() > 0) {
      start << start_.f.template cast<W>(), start_.g.template cast<W>();
    } else {
      reduce(start);
    }
    for (Index i = 0; i < n(); ++i) {
      if (!has_row(i)) start(i) = -none;
    }
    bool const warm = start_.f.size() > 0 || start_.plan.size() > 0;
    std::vector<detail::Arc> const forest = warm ? tightest_forest(start) : tight_forest(start);
    state.simplex.tree = detail::TransportTree<W>(n(), supply_, forest, std::move(start), price());
  }

  /// f_i = min_j C_ij, g_j = min_i C_ij - f_i, over rows and columns with mass.
  void reduce(VectorX<W>& start) const {
    start.setConstant(none);
    for (Index j = 0; j < m(); ++j) {
      if (!has_column(j)) continue;
      for (std::size_t k = arcs_.begin(j); k < arcs_.end(j); ++k) {
        W& f = start(arcs_.row[k]);
        f = std::min(f, arcs_.cost[k]);
      }
    }
    for (Index i = 0; i < n(); ++i) {
      if (start(i) == none) start(i) = 0;
    }
    for (Index j = 0; j < m(); ++j) {
      W const low = has_column(j) ? column_minimum(j, start) : none;
      start(n() + j) = low < none ? low : W(0);
    }
  }

  /// min_i C_ij - f_i over the arcs of column j; rows whose f is -infinity take no part.
  [[nodiscard]] W column_minimum(Index j, VectorX<W> const& f) const {
    W low = none;
    for (std::size_t k = arcs_.begin(j); k < arcs_.end(j); ++k) {
      low = std::min(low, arcs_.cost[k] - f(arcs_.row[k]));
    }
    return low;
  }

  /// Arcs without a cycle: of the plan given, the largest first, then among the 4 (n + m) of least
  /// reduced cost, the tightest first.
  [[nodiscard]] std::vector<detail::Arc> tightest_forest(VectorX<W> const& start) const {
    std::vector<detail::PricedArc<W>> arcs;
    arcs.reserve(arcs_.row.size());
    for (Index j = 0; j < m(); ++j) {
      if (!has_column(j)) continue;
      for (std::size_t k = arcs_.begin(j); k < arcs_.end(j); ++k) {
        W const f = start(arcs_.row[k]);
        if (f > -none) arcs.push_back(arcs_.priced(k, j, f, start(n() + j)));
      }
    }
    std::size_t const wanted = 4 * supply_.size();
    if (arcs.size() > wanted) {
      std::nth_element(arcs.begin(), arcs.begin() + std::ptrdiff_t(wanted), arcs.end(),
                       detail::before<W>);
      arcs.resize(wanted);
    }
    std::sort(arcs.begin(), arcs.end(), detail::before<W>);
    auto all = detail::plan_arcs<W>(
        start_.plan, [this](Index i) { return has_row(i); },
        [this](Index j) { return has_column(j); }, price());
    all.insert(all.end(), arcs.begin(), arcs.end());
    return detail::spanning_forest(all, n(), supply_.size());
  }

  /// Sends what it can along tight arcs. Each exhausts a row or a column, so there is no cycle.
  /// (What is left hangs from the root: pivots serve it better than the next best arcs would.)
  [[nodiscard]] std::vector<detail::Arc> tight_forest(VectorX<W> const& start) const {
    std::vector<detail::Mass> rest = supply_;
    std::vector<detail::Arc> forest;
    for (Index j = 0; j < m(); ++j) {
      detail::Mass& want = rest[std::size_t(n() + j)];
      for (std::size_t k = arcs_.begin(j); k < arcs_.end(j) && want < 0; ++k) {
        detail::Mass& have = rest[std::size_t(arcs_.row[k])];
        if (have == 0 || arcs_.cost[k] - start(arcs_.row[k]) > start(n() + j)) continue;
        detail::Mass const sent = std::min(have, -want);
        have -= sent;
        want += sent;
        forest.push_back({arcs_.row[k], std::int32_t(j)});
      }
    }
    return forest;
  }

  /// f from the tree, g_j = min_i C_ij - f_i; rows without mass get the largest f that this allows.
  void make_feasible(detail::TransportTree<W> const& tree, bool optimal,
                     detail::ExactAnswer<W>& x) const {
    x.f = tree.potential.head(n());
    x.g = tree.potential.tail(m());
    if (optimal && tree.lacking_parts > 0) lower_lacking_parts(tree, x);
    VectorX<W> least = VectorX<W>::Constant(n(), none);
    for (Index j = 0; j < m(); ++j) {
      W const low = column_minimum(j, x.f);
      x.g(j) = low < none ? low : W(0);
      for (std::size_t k = arcs_.begin(j); k < arcs_.end(j); ++k) {
        W& f = least(arcs_.row[k]);
        f = std::min(f, arcs_.cost[k] - x.g(j));
      }
    }
    for (Index i = 0; i < n(); ++i) {
      if (x.f(i) == -none) x.f(i) = least(i) < none ? least(i) : W(0);
    }
  }

  /// Artificial arcs that carry no more than rounding left over still part the tree. The potentials
  /// of the lacking parts fall together until no arc out of them is violated.
  void lower_lacking_parts(detail::TransportTree<W> const& tree, detail::ExactAnswer<W>& x) const {
    W fall = 0;
    for (Index j = 0; j < m(); ++j) {
      if (!has_column(j) || tree.at(int(n() + j)).lacking) continue;
      for (std::size_t k = arcs_.begin(j); k < arcs_.end(j); ++k) {
        if (!tree.at(arcs_.row[k]).lacking) continue;
        fall = std::max(fall, x.g(j) + x.f(arcs_.row[k]) - arcs_.cost[k]);
      }
    }
    for (Index i = 0; i < n(); ++i) {
      if (tree.at(int(i)).lacking) x.f(i) -= fall;
    }
  }

  detail::ArcList<W> arcs_;
  VectorX<S> a_, b_;
  W mass_ = 0;
  std::vector<detail::Mass> supply_;  // n + m: rows, then columns with the opposite sign
  int unit_ = 0;                      // the exponent of the unit of mass
  ExactStart<S> start_;
};

namespace detail {

template <RealScalar S, int order, class Position, class Watch>
ExactResult<S> solve_sparse(Eigen::SparseMatrix<S, order, Position> const& cost, VectorX<S> a,
                            VectorX<S> b, ExactOptions const& options, ExactStart<S> start,
                            Watch&& observer) {
  using W = wide_t<S>;
  Shape const size{cost.rows(), cost.cols()};
  Limits const limits{options.max_iterations, options.max_seconds, options.observe_every};
  auto const moved = moved_mass<S>(size, a, b, options.mass, options.extra_mass_penalty);
  ArcList<W> arcs = list_arcs(cost);
  if (!moved) {
    ExactSparse<S> const method(size, std::move(arcs), std::move(a), std::move(b),
                                std::move(start));
    return method.result(iterate(method, limits, std::forward<Watch>(observer)));
  }
  ExactResult<S> r = solve_partial(
      a, b, *moved, start,
      [&](Index j, VectorX<S> const& f) {
        W low = std::numeric_limits<W>::infinity();
        for (std::size_t k = arcs.begin(j); k < arcs.end(j); ++k) {
          low = std::min(low, arcs.cost[k] - W(f(arcs.row[k])));
        }
        return S(low);
      },
      [&](Index i, Index j) { return arcs.price({std::int32_t(i), std::int32_t(j)}); },
      [&](S price, VectorX<S> const& rows, VectorX<S> const& columns, ExactStart<S> from) {
        ExactSparse<S> const method(Shape{size.rows + 1, size.cols + 1},
                                    with_storage(arcs, size.rows, W(price)), rows, columns,
                                    std::move(from));
        return method.result(iterate(method, limits, observer));
      });
  return with_penalty(std::move(r), options.extra_mass_penalty, true);
}

}  // namespace detail

/// The optimal plan between weights a (n) and b (m) along the stored entries of a sparse cost
/// (n x m, either storage order, any sparse expression), with its proof.
///
///     Eigen::SparseMatrix<double> C(n, m);   // stored = allowed, absent = forbidden
///     auto r = monge::ot::exact(C, a, b);
///
/// Options, start, observer, result and statuses are those of the dense `exact`, partial transport
/// and extra mass included; entries of a plan to start from that the cost does not store are passed
/// over. Duals are feasible on the stored entries, and a row or column without any has the
/// potential 0. If the arcs cannot carry the mass the status is `infeasible` and the plan carries
/// as much as they can, at no promised cost: the rows that still have mass, and all that could send
/// to where these send, have more mass than all columns that they reach.
///
/// Cost: O(n + m + nonzeros) memory; time by the number of pivots, some ten per node on random
/// graphs. Throws std::invalid_argument for misuse: sizes, weights as in the dense `exact`, NaN or
/// -infinity among the entries.
template <class D, VectorLike<D> A, VectorLike<D> B, Observer Watch = Unobserved>
  requires RealScalar<scalar_t<D>>
[[nodiscard]] ExactResult<scalar_t<D>> exact(Eigen::SparseMatrixBase<D> const& cost, A const& a,
                                             B const& b, ExactOptions const& options = {},
                                             ExactStart<scalar_t<D>> const& start = {},
                                             Watch&& observer = {}) {
  using S = scalar_t<D>;
  monge::detail::require_limits("exact", options.max_iterations, options.max_seconds,
                                options.observe_every);
  VectorX<S> const rows = monge::detail::as_column(a), columns = monge::detail::as_column(b);
  auto const solve = [&](auto const& entries) {
    return detail::solve_sparse(entries, rows, columns, options, start, observer);
  };
  using Plain = Eigen::SparseMatrix<S, D::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor,
                                    typename D::StorageIndex>;
  if constexpr (std::same_as<D, Plain>) {
    return solve(cost.derived());
  } else {
    return solve(Plain(cost.derived()));
  }
}

}  // namespace monge::ot
