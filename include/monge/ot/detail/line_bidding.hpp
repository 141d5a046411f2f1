// SPDX-License-Identifier: MIT
/// @file
/// How `assignment` settles most lines without a search: column reduction, augmenting row
/// reduction, and bids with a step that shrinks.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <monge/ot/detail/assignment_lines.hpp>
#include <monge/ot/detail/short_lists.hpp>

namespace monge::ot::detail {

/// Column reduction: price(j) = least cost of slot j, its line in `reached`. One read of the
/// matrix; `check(i)` sees each line just before.
template <RealScalar S, class Check>
void reduce_columns(Lines<S> const& lines, AssignmentState<S>& state, Check&& check) {
  constexpr S none = std::numeric_limits<S>::max();
  state.price.setConstant(none);
  state.reached.setConstant(-1);
  for (Index i = 0; i < lines.cols(); ++i) {
    check(i);
    lower_prices(&lines.coeffRef(0, i), i, state);
  }
  for (Index j = 0; j < lines.rows(); ++j) {
    if (state.price(j) == none) state.price(j) = 0;  // no line may take this slot
  }
}

/// The pairs that column reduction leaves tight: the first line that attains the price of a slot
/// takes it if it has none, then lines without a slot take the first free one that is as near.
/// Needs at least as many lines as slots, since all slots end up taken.
///
/// Where costs are tied this settles nearly every line by a look at a few entries. Elsewhere there
/// is nothing to find, so the looks are counted: what is found pays for more.
template <RealScalar S>
void take_tight_slots(Lines<S> const& lines, AssignmentState<S>& state) {
  auto const pair = [&](Index i, Index j) {
    state.slot_of_line(i) = j;
    state.line_of_slot(j) = i;
    ++state.matched;
  };
  Index const slots = lines.rows();
  for (Index j = 0; j < slots; ++j) {
    Index const i = state.reached(j);
    if (i >= 0 && state.slot_of_line(i) < 0) pair(i, j);
  }
  VectorX<Index>& free = state.reached;  // from here on: free slots, ascending from `first`
  Index first = 0, count = 0;
  for (Index j = 0; j < slots; ++j) {
    if (state.line_of_slot(j) < 0) free(count++) = j;
  }
  Index left = 16 * slots;
  for (Index i = 0; i < lines.cols() && left > 0 && first < count; ++i) {
    if (state.slot_of_line(i) >= 0) continue;
    S const* const cost = &lines.coeffRef(0, i);
    Index k = first;
    while (k < count && cost[free(k)] > state.price(free(k))) ++k;
    left -= k - first;
    if (k == count) continue;
    pair(i, free(k));
    for (; k > first; --k) free(k) = free(k - 1);
    ++first;
    left += slots / 8;
  }
}

/// A free slot of the line at this reduced cost, its least one; `otherwise` if there is none.
/// Follows `nearest_slots`, whose two are not looked at.
template <RealScalar S>
Index free_slot_at(S level, Index line, Index otherwise, AssignmentState<S> const& state) {
  ShortLists<S> const& lists = state.lists;
  if (lists.used() && level < lists.bound(line)) {  // the list has all that are as near
    auto const* const list = lists.of(line);
    for (Index k = 0; k < lists.count(line); ++k) {
      Index const j = list[k].slot;
      if (list[k].cost - state.price(j) <= level && state.line_of_slot(j) < 0) return j;
    }
    return otherwise;
  }
  for (Index block = 0; block < state.least.size(); ++block) {
    if (!(state.least(block) <= level)) continue;
    Index const begin = block * path_block;
    Index const end = std::min(begin + path_block, state.price.size());
    for (Index j = begin; j < end; ++j) {
      if (state.distance(j) <= level && state.line_of_slot(j) < 0) return j;
    }
  }
  return otherwise;
}

/// Augmenting row reduction: a free line takes its nearest slot and lowers the slot's price to the
/// point where the runner-up is as near; the line that held it goes on. Lines that this leaves
/// without a slot stay in `waiting`.
///
/// Two deviations from Jonker and Volgenant. The number of passes over lines is bounded, because
/// with real costs the bidding takes very long (in their form it need not end). And a price is not
/// lowered by far more than the costs seen so far, so that one huge entry, used to forbid a pair,
/// does not drown the digits of the others.
template <RealScalar S>
void reduce_rows(Lines<S> const& lines, AssignmentState<S>& state, Index passes) {
  constexpr S far = 1024;
  S scale = state.price.cwiseAbs().maxCoeff();
  for (int round = 0; round < 2 && passes > 0; ++round) {
    Index kept = 0, next = 0;
    while (next < state.count && passes > 0) {
      Index const line = state.waiting(next++);
      --passes;
      auto const [nearest, second, low, runner_up] = nearest_slots(lines, line, state);
      if (nearest < 0) {
        state.waiting(kept++) = line;
        continue;
      }
      scale = std::max(scale, std::abs(low));
      S const lowered = state.price(nearest) - (runner_up - low);
      bool const lower = lowered < state.price(nearest) && runner_up - low <= far * scale;
      Index slot = nearest;
      if (lower) {
        state.price(nearest) = lowered;
      } else if (state.line_of_slot(nearest) >= 0) {
        if (!(runner_up <= low)) {
          state.waiting(kept++) = line;
          continue;
        }
        slot = state.line_of_slot(second) < 0 ? second : free_slot_at(low, line, second, state);
      }
      Index const previous = state.line_of_slot(slot);
      state.line_of_slot(slot) = line;
      state.slot_of_line(line) = slot;
      if (previous < 0) {
        ++state.matched;
      } else {
        state.slot_of_line(previous) = -1;
        if (lower) {
          state.waiting(--next) = previous;
        } else {
          state.waiting(kept++) = previous;
        }
      }
    }
    while (next < state.count) {
      state.waiting(kept++) = state.waiting(next++);
    }
    state.count = kept;
  }
}

/// All lines are waiting again, the first on top of the stack.
template <RealScalar S>
void clear_matching(AssignmentState<S>& state) {
  Index const lines = state.slot_of_line.size();
  state.slot_of_line.setConstant(-1);
  state.line_of_slot.setConstant(-1);
  state.matched = state.next = state.failed = 0;
  state.count = lines;
  for (Index i = 0; i < lines; ++i) state.waiting(i) = lines - 1 - i;
}

/// Begins scaled bidding if prices differ enough to tell its first step: a tenth of a typical
/// reduced cost, but not far beyond the prices, so that huge entries that forbid pairs have no say.
template <RealScalar S>
void begin_bidding(Lines<S> const& lines, AssignmentState<S>& state) {
  constexpr Index most = 32;  // lines and slots that are looked at
  constexpr S far = 1024;
  state.bidding.tried = true;
  Index const n = lines.cols();
  Index const stride = (n + most - 1) / most;
  std::array<S, most * most> sample;
  std::size_t count = 0;
  for (Index i = 0; i < n; i += stride) {
    scan_line<true>(&lines.coeffRef(0, i), S(0), state);
    S const low = state.least.minCoeff();
    if (!(low < unreachable<S>)) continue;
    for (Index j = 0; j < n; j += stride) sample[count++] = state.distance(j) - low;
  }
  if (count == 0) return;
  auto const middle = sample.begin() + std::ptrdiff_t(count / 2);
  std::nth_element(sample.begin(), middle, sample.begin() + std::ptrdiff_t(count));
  S const largest = state.price.cwiseAbs().maxCoeff();
  S const step = std::min(*middle / 5, far * largest);
  S const floor = 64 * unit_roundoff<S> * (largest + 16 * step);
  if (!(step > floor)) return;
  state.bidding.on = true;
  state.bidding.step = step;
  state.bidding.last = std::max(step / S(n), floor);
  state.bidding.far = far * step;
  state.bidding.left = 100 * n;
  state.price.setZero();
  state.reduced = false;
  state.lists = {};  // prices rise here, and later every other bid would outdate a list
  clear_matching(state);
}

/// Up to `bids` bids. A line on the stack takes its nearest slot and lowers its price until the
/// runner-up is nearer by the step; who held it goes on. When all have a slot, all bid again with a
/// tenth of the step, from the prices that they have. The matching is dropped at the end: prices
/// are what matters, for near the optimum paths are short.
template <RealScalar S>
void bid(Lines<S> const& lines, AssignmentState<S>& state, Index bids) {
  Bidding<S>& bidding = state.bidding;
  for (; bids > 0 && bidding.left > 0; --bids, --bidding.left) {
    if (state.count == state.failed) {
      if (bidding.step <= bidding.last) break;
      bidding.step /= 10;
      clear_matching(state);
    }
    Index const line = state.waiting(--state.count);
    scan_line<true>(&lines.coeffRef(0, line), S(0), state);
    auto const [nearest, low] = take_nearest(state);
    S const rise = nearest < 0 ? unreachable<S> : state.least.minCoeff() - low + bidding.step;
    if (!(rise <= bidding.far)) {  // it waits below the others
      if (state.count > state.failed) state.waiting(state.count) = state.waiting(state.failed);
      state.waiting(state.failed++) = line;
      ++state.count;
      continue;
    }
    Index const previous = state.line_of_slot(nearest);
    state.price(nearest) -= rise;
    state.line_of_slot(nearest) = line;
    state.slot_of_line(line) = nearest;
    if (previous >= 0) {
      state.slot_of_line(previous) = -1;
      state.waiting(state.count++) = previous;
    } else {
      ++state.matched;
    }
  }
  if (bids == 0 && bidding.left > 0) return;
  bidding.on = false;
  clear_matching(state);
  std::reverse(state.waiting.data(), state.waiting.data() + state.count);
  reduce_rows(lines, state, 3 * lines.cols());
}

}  // namespace monge::ot::detail
