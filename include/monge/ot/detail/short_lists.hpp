// SPDX-License-Identifier: MIT
/// @file
/// Short lists of near slots, one per line, that stand in for whole lines of the cost matrix.
///
/// `assignment` never raises a price, so that a reduced cost c - price does not fall from one scan
/// of a line to the next. What a scan has found to be at least `bound` away stays so, and the slots
/// that are listed tell the nearest of all slots and the runner-up as long as both are within the
/// bound. When they are not, the line is scanned again and listed anew. A look at a list takes some
/// dozens of entries in place of a pass over n, and no bit of a price or a distance depends on it.
///
/// The idea comes from A. Volgenant, Linear and semi-assignment problems: a core oriented approach,
/// Computers and Operations Research 23 (1996) 917-932, where an optimum on lists is tested against
/// the whole matrix, and the lists are mended if it fails. With the bound every step is exact by
/// itself, so there is nothing to test.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <tuple>

#include <monge/ot/detail/assignment_lines.hpp>

namespace monge::ot::detail {

/// Begins empty lists, and the workspace of searches in them.
template <RealScalar S>
void begin_lists(AssignmentState<S>& state) {
  constexpr Index room = 128;
  Index const lines = state.slot_of_line.size(), slots = state.price.size();
  ShortLists<S>& lists = state.lists;
  lists.room = room;
  lists.entries.resize(std::size_t(lines * room));
  lists.count.setZero(lines);
  lists.bound.setConstant(lines, -unreachable<S>);
  lists.block_lows.setZero(state.least.size());
  lists.near.setZero(slots + 1);
  lists.reach.setConstant(slots, unreachable<S>);
  lists.reached_from.setZero(slots);
}

/// Scans a line in full and lists what is near: about 32 slots, twice as many if it has been listed
/// before. The distances of the scan stay in `state`.
template <RealScalar S>
void list_line(Lines<S> const& lines, Index line, AssignmentState<S>& state) {
  ShortLists<S>& lists = state.lists;
  S const* const cost = &lines.coeffRef(0, line);
  scan_line<true>(cost, S(0), state);
  Index const blocks = state.least.size(), slots = state.price.size();

  // Of entries in random order this rank among the least of the blocks has so many below it.
  double const wanted = lists.is_new(line) ? 32 : 64;
  Index const rank =
      std::min(blocks - 1, Index(double(blocks) * (1 - std::exp(-wanted / double(blocks)))));
  lists.block_lows = state.least;
  S* const lows = lists.block_lows.data();
  std::nth_element(lows, lows + rank, lows + blocks);
  S bound = lows[rank];

  std::int32_t* const near = lists.near.data();
  Index count = 0;
  for (Index block = 0; block < blocks; ++block) {
    if (!(state.least(block) <= bound)) continue;
    Index const end = std::min((block + 1) * path_block, slots);
    for (Index j = block * path_block; j < end; ++j) {  // without a branch
      near[count] = std::int32_t(j);
      count += state.distance(j) <= bound;
    }
  }
  if (count > lists.room) {
    std::nth_element(near, near + lists.room, near + count, [&](Index i, Index j) {
      S const x = state.distance(i), y = state.distance(j);
      return x < y || (x == y && i < j);
    });
    bound = state.distance(near[lists.room]);
    count = lists.room;
  }
  auto* const list = lists.of(line);
  for (Index k = 0; k < count; ++k) list[k] = {cost[near[k]], near[k]};
  lists.count(line) = std::int32_t(count);
  lists.bound(line) = bound;
}

/// The nearest slot of a line and the next one with their reduced costs; -1 if there is none.
template <RealScalar S>
struct NearestSlots {
  Index first = -1, second = -1;
  S low = unreachable<S>, runner_up = unreachable<S>;

  void see(Index slot, S reach) {
    if (reach < low) {
      second = first;
      runner_up = low;
      first = slot;
      low = reach;
    } else if (reach < runner_up) {
      second = slot;
      runner_up = reach;
    }
  }
};

/// The two nearest slots of a line: by its list if that tells, else by a scan.
template <RealScalar S>
NearestSlots<S> nearest_slots(Lines<S> const& lines, Index line, AssignmentState<S>& state) {
  ShortLists<S> const& lists = state.lists;
  if (lists.used()) {
    NearestSlots<S> nearest;
    auto const* const list = lists.of(line);
    for (Index k = 0; k < lists.count(line); ++k) {
      nearest.see(list[k].slot, list[k].cost - state.price(list[k].slot));
    }
    if (nearest.runner_up < lists.bound(line)) return nearest;
    list_line(lines, line, state);
  } else {
    scan_line<true>(&lines.coeffRef(0, line), S(0), state);
  }
  NearestSlots<S> nearest;
  std::tie(nearest.first, nearest.low) = take_nearest(state);
  if (nearest.first >= 0) std::tie(nearest.second, nearest.runner_up) = take_nearest(state);
  return nearest;
}

}  // namespace monge::ot::detail
