// SPDX-License-Identifier: MIT
/// @file
/// The kernels of `assignment`: one augmentation.
///
/// A *line* is a contiguous column of the cost matrix as it lies in memory, a *slot* a position in
/// it. Lines are taken up one by one, each through the shortest path to a free slot in the reduced
/// costs c - price(slot) - dual(line), where the dual of a line is never stored: it is the offset
/// that makes its own pair tight.
///
/// Every pass runs over all slots in blocks, without a branch and without a list of indices, so
/// that it is vectorised on any machine. Three things make that possible. Slots that were reached
/// get the price -infinity, so that no path improves on them. Each block keeps its least distance,
/// so that the nearest slot is found without a second pass. Predecessors are not recorded but
/// found again, for the few slots on the path, as the line with the least reduced distance.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <limits>
#include <utility>

#include <monge/ot/detail/assignment_lines.hpp>
#include <monge/ot/detail/line_bidding.hpp>

namespace monge::ot::detail {

/// Moves every slot within `level` from the distances to the list of reached slots, until one of
/// them is free: returns that one, else -1.
template <RealScalar S>
Index reach_slots(S level, Index scanned, Index& count, AssignmentState<S>& state) {
  for (Index block = 0; block < state.least.size(); ++block) {
    if (!(state.least(block) <= level)) {
      continue;
    }
    Index const begin = block * path_block;
    Index const end = std::min(begin + path_block, state.price.size());
    S low = unreachable<S>;
    for (Index j = begin; j < end; ++j) {
      if (!(state.distance(j) <= level)) {
        low = std::min(low, state.distance(j));
        continue;
      }
      if (state.line_of_slot(j) < 0) {
        return j;
      }
      state.reached(count) = j;
      state.reached_after(count) = scanned;
      state.reached_distance(count) = state.distance(j);
      state.reached_price(count) = state.price(j);
      state.distance(j) = unreachable<S>;
      state.price(j) = -unreachable<S>;
      ++count;
    }
    state.least(block) = low;
  }
  return -1;
}

/// The scanned line through which a slot was reached: the one with the least reduced distance,
/// among those scanned before. 0 is the line that is taken up, s > 0 the holder of reached(s - 1).
template <RealScalar S>
Index predecessor(Lines<S> const& lines, AssignmentState<S> const& state, Index line, Index slot,
                  S price, Index scanned) {
  Index best = 0;
  S low = lines(slot, line) - price;
  for (Index s = 1; s < scanned; ++s) {
    Index const holder = state.line_of_slot(state.reached(s - 1));
    S const reach = lines(slot, holder) - price - state.offset(s);
    if (reach < low) {
      low = reach;
      best = s;
    }
  }
  return best;
}

/// Takes up one line through the shortest path to a free slot, or, when all slots are taken, to
/// the line that had better stay out. False if there is no path; the state is then as before.
template <RealScalar S>
bool augment(Lines<S> const& lines, Index line, AssignmentState<S>& state) {
  Index count = 0;    // slots reached
  Index scanned = 1;  // lines scanned; their number s - 1 belongs to reached(s - 1)
  S level = -unreachable<S>;
  S out = state.exchanging ? state.lift : unreachable<S>;  // distance of staying out
  Index out_after = 0;                                     // the scanned line that does
  Index target = -1;
  scan_line<true>(&lines.coeffRef(0, line), S(0), state);
  state.offset(0) = 0;
  for (;;) {
    if (scanned - 1 == count) {
      level = std::max(level, state.least.minCoeff());
    }
    if (out <= level || !(level < unreachable<S>)) {
      break;
    }
    target = reach_slots(level, scanned, count, state);
    if (target >= 0) {
      break;
    }
    if (scanned - 1 == count) {
      continue;
    }
    Index const slot = state.reached(scanned - 1);
    Index const holder = state.line_of_slot(slot);
    S const offset = lines(slot, holder) - state.reached_price(scanned - 1) -
                     state.reached_distance(scanned - 1);
    state.offset(scanned) = offset;
    if (state.exchanging && state.lift - offset < out) {
      out = state.lift - offset;
      out_after = scanned;
    }
    scan_line<false>(&lines.coeffRef(0, holder), offset, state);
    ++scanned;
  }

  bool const found = target >= 0 || out < unreachable<S>;
  S const length = target >= 0 ? state.distance(target) : out;
  state.scans += double(scanned);
  Index slot = target, step = scanned;
  if (target < 0 && found && out_after > 0) {
    slot = state.reached(out_after - 1);
    state.slot_of_line(state.line_of_slot(slot)) = -1;
    step = out_after;
  }
  if (slot >= 0) {
    S price = target >= 0 ? state.price(target) : state.reached_price(step - 1);
    Index before = target >= 0 ? scanned : state.reached_after(step - 1);
    for (;;) {
      step = predecessor(lines, state, line, slot, price, before);
      Index const holder = step == 0 ? line : state.line_of_slot(state.reached(step - 1));
      state.line_of_slot(slot) = holder;
      state.slot_of_line(holder) = slot;
      if (step == 0) {
        break;
      }
      slot = state.reached(step - 1);
      price = state.reached_price(step - 1);
      before = state.reached_after(step - 1);
    }
  }
  if (target >= 0) {
    ++state.matched;
  }
  for (Index k = 0; k < count; ++k) {
    S const nearer = found ? std::min(S(0), state.reached_distance(k) - length) : S(0);
    state.price(state.reached(k)) = state.reached_price(k) + nearer;
  }
  return found;
}

}  // namespace monge::ot::detail
