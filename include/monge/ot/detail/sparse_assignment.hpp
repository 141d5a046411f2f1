// SPDX-License-Identifier: MIT
/// @file
/// The method behind `assignment` for sparse costs: shortest augmenting paths in the graph of the
/// stored entries, found by Dijkstra's algorithm with a binary heap.
///
/// Lines are the smaller side, so that all of them can be matched if the problem is feasible. A
/// search costs O(e log e) for the e entries of the lines that it reaches; memory is that of the
/// entries. Ties are broken by the index of the slot. See detail/augmenting_path.hpp for the terms.
#pragma once

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <monge/core/iterate.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/detail/augmenting_path.hpp>

namespace monge::ot::detail {

/// The stored, finite entries, line by line.
template <RealScalar S>
struct SparseLines {
  struct Entry {
    Index slot;
    S cost;
  };
  Index slots = 0;
  std::vector<Index> start;  ///< lines + 1
  std::vector<Entry> entries;

  [[nodiscard]] Index lines() const { return Index(start.size()) - 1; }
  /// visit(entry) for the entries of a line.
  template <class Visit>
  void for_each(Index line, Visit&& visit) const {
    Index const end = start[std::size_t(line) + 1];
    for (Index k = start[std::size_t(line)]; k < end; ++k) visit(entries[std::size_t(k)]);
  }
};

/// Checks and sorts the entries of a sparse matrix into lines, in ascending order of their slots.
template <RealScalar S, int options, class StorageIndex>
SparseLines<S> sparse_lines(Eigen::SparseMatrix<S, options, StorageIndex> const& C,
                            bool rows_are_lines) {
  using Matrix = Eigen::SparseMatrix<S, options, StorageIndex>;
  S const largest = std::numeric_limits<S>::max() / S(8 * (C.rows() + C.cols()));
  SparseLines<S> lines;
  lines.slots = rows_are_lines ? C.cols() : C.rows();
  lines.start.assign(std::size_t(rows_are_lines ? C.rows() : C.cols()) + 1, 0);
  auto const for_each_entry = [&](auto&& visit) {
    for (Index k = 0; k < C.outerSize(); ++k) {
      for (typename Matrix::InnerIterator entry(C, k); entry; ++entry) {
        Index const line = rows_are_lines ? entry.row() : entry.col();
        Index const slot = rows_are_lines ? entry.col() : entry.row();
        if (entry.value() != unreachable<S>) visit(line, slot, entry.value());
      }
    }
  };
  for_each_entry([&](Index line, Index slot, S cost) {
    monge::detail::require(
        std::abs(cost) <= largest, "assignment: cost(", rows_are_lines ? line : slot, ", ",
        rows_are_lines ? slot : line, ") is ", cost,
        "; entries must be numbers whose sums do not overflow, and absent or +infinity forbids a "
        "pair");
    ++lines.start[std::size_t(line) + 1];
  });
  for (std::size_t k = 1; k < lines.start.size(); ++k) lines.start[k] += lines.start[k - 1];
  lines.entries.resize(std::size_t(lines.start.back()));
  std::vector<Index> next(lines.start.begin(), lines.start.end() - 1);
  for_each_entry([&](Index line, Index slot, S cost) {
    lines.entries[std::size_t(next[std::size_t(line)]++)] = {slot, cost};
  });
  return lines;
}

/// All that a run knows.
template <RealScalar S>
struct SparseAssignmentState {
  struct Reach {
    S distance;
    Index slot;
    /// Of a heap whose top is the nearest slot, of equal ones the first.
    bool operator<(Reach const& other) const {
      return distance > other.distance || (distance == other.distance && slot > other.slot);
    }
  };
  VectorX<Index> slot_of_line, line_of_slot;  ///< -1 = unmatched
  VectorX<S> price, pair_cost;                ///< slots, lines
  VectorX<Index> waiting;                     ///< lines to take up are waiting[next..count)
  Index next = 0, count = 0, matched = 0;
  bool started = false;

  // Workspace of one search: infinite distances outside the slots that it touched.
  VectorX<S> distance;
  VectorX<Index> before;  ///< the line from which a slot was reached
  std::vector<Reach> heap;
  std::vector<Index> touched, settled;

  // Written by finish: the certificate.
  VectorX<S> line_dual, slot_dual;
  wide_t<S> cost = 0, gap = 0;
};

template <RealScalar S>
class SparseAssignment {
 public:
  using State = SparseAssignmentState<S>;

  SparseAssignment(SparseLines<S> lines, S cost_limit)
      : lines_(std::move(lines)), cost_limit_(cost_limit) {}

  [[nodiscard]] State init() const {
    Index const n = lines_.lines();
    State state;
    state.slot_of_line.setConstant(n, -1);
    state.line_of_slot.setConstant(lines_.slots, -1);
    state.price.setZero(lines_.slots);
    state.pair_cost.setZero(n);
    state.waiting.setZero(n);
    state.distance.setConstant(lines_.slots, unreachable<S>);
    state.before.setZero(lines_.slots);
    return state;
  }

  Advance advance(State& state, Index k) const {
    if (k > 0 && !state.started) start(state);
    for (Index steps = 0; steps < k; ++steps) {
      if (state.next == state.count) {
        bool const full = limited() || state.matched == lines_.lines();
        return {full ? Status::converged : Status::infeasible, steps};
      }
      augment(state.waiting(state.next++), state);
    }
    return {Status::running, k};
  }

  [[nodiscard]] double error(State const& state) const {
    return double(state.started ? state.count - state.next : lines_.lines());
  }

  /// The duals of the lines, cost and gap, from the entries.
  Status finish(State& state, Status status) const {
    using W = wide_t<S>;
    bool const complete = (limited() || state.matched == lines_.lines()) && state.started &&
                          state.next == state.count;
    state.slot_dual = state.price;
    state.line_dual.setZero(lines_.lines());
    W gap = 0, size = 0;
    state.cost = 0;
    for (Index i = 0; i < lines_.lines(); ++i) {
      S dual = cost_limit_;
      lines_.for_each(i, [&](auto const& entry) {
        dual = std::min(dual, entry.cost - state.price(entry.slot));
      });
      if (!(dual < unreachable<S>)) dual = 0;  // no allowed pair: any dual is feasible
      if (Index const slot = state.slot_of_line(i); slot >= 0) {
        state.cost += W(state.pair_cost(i));
        gap += std::max(W(0), W(state.pair_cost(i)) - W(dual) - W(state.price(slot)));
      } else if (limited() && complete) {
        gap += W(cost_limit_) - W(dual);  // what feasibility would take from the bound
        dual = cost_limit_;
      }
      state.line_dual(i) = dual;
      size += W(std::abs(dual));
    }
    size += state.price.template cast<W>().cwiseAbs().sum() + std::abs(state.cost);
    state.gap = complete ? gap : W(infinity);
    if (status == Status::converged && !(state.gap <= 64 * W(unit_roundoff<S>) * size)) {
      status = Status::precision_limit;
    }
    return status;
  }

 private:
  [[nodiscard]] bool limited() const { return cost_limit_ < unreachable<S>; }

  static void match(Index line, Index slot, S cost, State& state) {
    state.slot_of_line(line) = slot;
    state.line_of_slot(slot) = line;
    state.pair_cost(line) = cost;
  }

  /// Square: each slot's price is its least cost. Then each line takes its nearest slot if it is
  /// free.
  void start(State& state) const {
    state.started = true;
    Index const n = lines_.lines();
    if (n == lines_.slots && !limited()) {
      state.price.setConstant(unreachable<S>);
      for (auto const& entry : lines_.entries) {
        state.price(entry.slot) = std::min(state.price(entry.slot), entry.cost);
      }
      for (S& price : state.price) price = price < unreachable<S> ? price : S(0);
    }
    for (Index i = 0; i < n; ++i) {
      S low = cost_limit_;
      Index slot = -1;
      S cost = 0;
      lines_.for_each(i, [&](auto const& entry) {
        S const reach = entry.cost - state.price(entry.slot);
        bool const free = state.line_of_slot(entry.slot) < 0;
        if (reach < low || (reach == low && free && slot >= 0 && state.line_of_slot(slot) >= 0)) {
          low = reach;
          slot = entry.slot;
          cost = entry.cost;
        }
      });
      if (slot >= 0 && state.line_of_slot(slot) < 0) {
        match(i, slot, cost, state);
        ++state.matched;
      } else {
        state.waiting(state.count++) = i;
      }
    }
  }

  /// Takes up one line through the shortest path to a free slot, or to a line that had better stay
  /// out; without either, nothing changes.
  void augment(Index line, State& state) const {
    state.heap.clear();
    state.touched.clear();
    state.settled.clear();
    S offset = 0, level = -unreachable<S>, out = unreachable<S>;
    Index from = line, out_line = -1, target = -1;
    for (;;) {
      if (limited() && cost_limit_ - offset < out) {
        out = cost_limit_ - offset;
        out_line = from;
      }
      lines_.for_each(from, [&](auto const& entry) {
        S const reach = entry.cost - state.price(entry.slot) - offset;
        come_nearer(entry.slot, std::max(level, reach), from, state);
      });
      Index nearest = -1;
      while (!state.heap.empty() && nearest < 0) {
        auto const top = state.heap.front();
        std::pop_heap(state.heap.begin(), state.heap.end());
        state.heap.pop_back();
        if (top.distance == state.distance(top.slot)) nearest = top.slot;
      }
      if (nearest < 0 || out <= state.distance(nearest)) break;
      level = state.distance(nearest);
      if (state.line_of_slot(nearest) < 0) {
        target = nearest;
        break;
      }
      state.settled.push_back(nearest);
      from = state.line_of_slot(nearest);
      offset = state.pair_cost(from) - state.price(nearest) - level;
    }
    bool const found = target >= 0 || out_line >= 0;
    if (found) {
      S const length = target >= 0 ? level : out;
      Index slot = target;
      if (target < 0 && out_line != line) {
        slot = state.slot_of_line(out_line);
        state.slot_of_line(out_line) = -1;
      }
      while (slot >= 0) {
        Index const holder = state.before(slot);
        Index const given_up = state.slot_of_line(holder);
        match(holder, slot, cost_of(holder, slot), state);
        slot = given_up;
      }
      if (target >= 0) ++state.matched;
      for (Index const k : state.settled) {
        state.price(k) += std::min(S(0), state.distance(k) - length);
      }
    }
    for (Index const k : state.touched) state.distance(k) = unreachable<S>;
  }

  /// A slot comes within reach, or nearer.
  static void come_nearer(Index slot, S distance, Index from, State& state) {
    if (!(distance < state.distance(slot))) return;
    if (state.distance(slot) == unreachable<S>) state.touched.push_back(slot);
    state.distance(slot) = distance;
    state.before(slot) = from;
    state.heap.push_back({distance, slot});
    std::push_heap(state.heap.begin(), state.heap.end());
  }

  [[nodiscard]] S cost_of(Index line, Index slot) const {
    auto const begin = lines_.entries.begin() + lines_.start[std::size_t(line)];
    auto const end = lines_.entries.begin() + lines_.start[std::size_t(line) + 1];
    return std::lower_bound(begin, end, slot,
                            [](auto const& entry, Index key) { return entry.slot < key; })
        ->cost;
  }

  SparseLines<S> lines_;
  S cost_limit_;
};

}  // namespace monge::ot::detail
