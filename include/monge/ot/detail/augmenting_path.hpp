// SPDX-License-Identifier: MIT
/// @file
/// The kernels of `assignment`: one pass over a line of costs, the start, one augmentation.
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
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include <monge/core/types.hpp>

namespace monge::ot::detail {

/// The matrix as lines: slots x lines, column-major.
template <RealScalar S>
using Lines = Eigen::Map<MatrixX<S> const, Eigen::Unaligned, Eigen::OuterStride<>>;

inline constexpr Index path_block = 64;  ///< slots whose least distance is kept together
inline constexpr Index path_chunk = 16;  ///< entries that are held in registers

template <RealScalar S>
inline constexpr S unreachable = std::numeric_limits<S>::infinity();

/// Where scaled bidding stands. Meanwhile `waiting` is a stack above those who do not bid.
template <RealScalar S>
struct Bidding {
  bool tried = false, on = false;
  S step = 0, last = 0;  ///< of the price, in this phase and in the last one
  S far = 0;             ///< nobody bids more than this at once
  Index left = 0;        ///< bids until it is given up
};

/// All that a run knows: a plain value, O(slots + lines).
template <RealScalar S>
struct AssignmentState {
  // The matching and its prices: changed by the start and by each augmentation.
  VectorX<Index> slot_of_line;  ///< lines; -1 = unmatched
  VectorX<Index> line_of_slot;  ///< slots; -1 = free
  VectorX<S> price;             ///< slots
  Index matched = 0;

  // Lines to take up are waiting[next..count); those without a path so far are waiting[0..failed).
  VectorX<Index> waiting;  ///< lines
  Index next = 0, count = 0, failed = 0;
  bool started = false;
  bool exchanging = false;  ///< every slot is taken: a line comes in for another one or stays out
  S lift = 0;               ///< dual of the lines that stay out, once exchanging
  Index scans = 0;          ///< passes over lines by augmentations
  Bidding<S> bidding;

  // Workspace of one search: distances, and the slots reached in the order of their distance.
  VectorX<S> distance, least;  ///< slots; blocks
  VectorX<Index> reached, reached_after;
  VectorX<S> reached_distance, reached_price, offset;

  // Written by finish: the certificate. Not read by any step.
  VectorX<S> line_dual, slot_dual;
  wide_t<S> cost = 0, gap = 0;

  AssignmentState() = default;
  AssignmentState(Index slots, Index lines)
      : slot_of_line(VectorX<Index>::Constant(lines, -1)),
        line_of_slot(VectorX<Index>::Constant(slots, -1)),
        price(VectorX<S>::Zero(slots)),
        waiting(VectorX<Index>::Zero(lines)),
        distance(VectorX<S>::Zero(slots)),
        least(VectorX<S>::Zero((slots + path_block - 1) / path_block)),
        reached(VectorX<Index>::Zero(slots)),
        reached_after(VectorX<Index>::Zero(slots)),
        reached_distance(VectorX<S>::Zero(slots)),
        reached_price(VectorX<S>::Zero(slots)),
        offset(VectorX<S>::Zero(slots + 1)),
        line_dual(VectorX<S>::Zero(lines)),
        slot_dual(VectorX<S>::Zero(slots)) {}
};

/// distance = cost - price - offset, or its minimum with the old distance unless `first`;
/// least(b) = minimum over block b. One read of the line.
template <bool first, RealScalar S>
void scan_line(S const* cost, S offset, AssignmentState<S>& state) {
  using Chunk = Eigen::Array<S, path_chunk, 1>;
  Index const slots = state.price.size();
  S const* const price = state.price.data();
  S* const distance = state.distance.data();
  Index block = 0, j = 0;
  for (; j + path_block <= slots; ++block) {
    Chunk low = Chunk::Constant(unreachable<S>);
    for (Index const end = j + path_block; j < end; j += path_chunk) {
      Eigen::Map<Chunk> near(distance + j);
      Chunk reach = Eigen::Map<Chunk const>(cost + j) - Eigen::Map<Chunk const>(price + j);
      if constexpr (!first) {
        reach = near.min(reach - offset);
      }
      near = reach;
      low = low.min(reach);
    }
    state.least(block) = low.minCoeff();
  }
  if (j < slots) {
    S low = unreachable<S>;
    for (; j < slots; ++j) {
      S const reach =
          first ? cost[j] - price[j] : std::min(distance[j], cost[j] - price[j] - offset);
      distance[j] = reach;
      low = std::min(low, reach);
    }
    state.least(block) = low;
  }
}

/// The nearest slot, lowest index first, and its distance; the slot is then taken out of the
/// distances, so that a second call finds the runner-up. Slot -1 if nothing is within reach.
template <RealScalar S>
std::pair<Index, S> take_nearest(AssignmentState<S>& state) {
  Index block = 0;
  S const value = state.least.minCoeff(&block);
  if (!(value < unreachable<S>)) {
    return {-1, value};
  }
  Index const begin = block * path_block;
  auto part = state.distance.segment(begin, std::min(path_block, state.price.size() - begin));
  Index within = 0;
  part.minCoeff(&within);
  part(within) = unreachable<S>;
  state.least(block) = part.minCoeff();
  return {begin + within, value};
}

/// price(j) = least cost of slot j so far and reached(j) = the first line that attains it, when
/// line i is taken in; lines come in the order of their indices.
template <RealScalar S>
void lower_prices(S const* cost, Index i, AssignmentState<S>& state) {
  using Chunk = Eigen::Array<S, path_chunk, 1>;
  Index const slots = state.price.size();
  S* const price = state.price.data();
  for (Index j = 0; j < slots; j += path_block) {
    Index const end = std::min(slots, j + path_block);
    if (end - j == path_block) {
      Chunk low = Chunk::Constant(unreachable<S>);
      for (Index k = j; k < end; k += path_chunk) {
        low = low.min(Eigen::Map<Chunk const>(cost + k) - Eigen::Map<Chunk const>(price + k));
      }
      if (low.minCoeff() >= 0) continue;  // nothing lower here: by far the most frequent case
    }
    for (Index k = j; k < end; ++k) {
      if (cost[k] < price[k]) {
        price[k] = cost[k];
        state.reached(k) = i;
      }
    }
  }
}

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

/// The first free slot at this distance, `otherwise` if there is none. The slots taken out of the
/// distances are not looked at.
template <RealScalar S>
Index free_slot_at(S level, Index otherwise, AssignmentState<S> const& state) {
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
      scan_line<true>(&lines.coeffRef(0, line), S(0), state);
      --passes;
      auto const [nearest, low] = take_nearest(state);
      if (nearest < 0) {
        state.waiting(kept++) = line;
        continue;
      }
      auto const [second, runner_up] = take_nearest(state);
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
        slot = state.line_of_slot(second) < 0 ? second : free_slot_at(low, second, state);
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
  state.scans += scanned;
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
