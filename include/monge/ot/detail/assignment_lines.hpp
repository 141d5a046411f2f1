// SPDX-License-Identifier: MIT
/// @file
/// What the kernels of `assignment` share: the costs as lines, the state of a run, and one pass
/// over a line. See augmenting_path.hpp for the terms.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

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

/// For each line the slots that were near when it was last scanned, and a bound on all others; and
/// the workspace of searches that look at these. See short_lists.hpp, listed_path.hpp.
template <RealScalar S>
struct ShortLists {
  struct Entry {
    S cost;
    std::int32_t slot;
  };
  using Waiting = std::pair<S, std::int32_t>;  ///< distance; a slot, or slots + a line

  Index room = 0;               ///< entries per line at most; 0 = lists are not in use
  std::vector<Entry> entries;   ///< lines x room
  VectorX<std::int32_t> count;  ///< lines
  VectorX<S> bound;             ///< lines; cost - price of what is not listed is at least this
  VectorX<S> block_lows;        ///< blocks; workspace of a listing
  VectorX<std::int32_t> near;   ///< slots + 1; the same

  // Of a search: what is within reach and how far it is, infinite but for the slots in `touched`.
  VectorX<S> reach;                    ///< slots
  VectorX<std::int32_t> reached_from;  ///< slots; a line
  std::vector<Waiting> heap;
  std::vector<std::int32_t> touched, settled;

  [[nodiscard]] bool used() const { return room > 0; }
  [[nodiscard]] bool is_new(Index line) const { return bound(line) == -unreachable<S>; }
  [[nodiscard]] Entry* of(Index line) { return entries.data() + line * room; }
  [[nodiscard]] Entry const* of(Index line) const { return entries.data() + line * room; }
};

/// All that a run knows: a plain value, O(slots + lines).
template <RealScalar S>
struct AssignmentState {
  // The matching and its prices: changed by the start and by each augmentation.
  VectorX<Index> slot_of_line;  ///< lines; -1 = unmatched
  VectorX<Index> line_of_slot;  ///< slots; -1 = free
  VectorX<S> price;             ///< slots
  Index matched = 0;
  bool reduced = false;  ///< no price is above the least cost of its slot

  // Lines to take up are waiting[next..count); those without a path so far are waiting[0..failed).
  VectorX<Index> waiting;  ///< lines
  Index next = 0, count = 0, failed = 0;
  bool started = false;
  bool exchanging = false;  ///< every slot is taken: a line comes in for another one or stays out
  S lift = 0;               ///< dual of the lines that stay out, once exchanging
  double scans = 0;         ///< passes over lines by augmentations, or what took as long
  Bidding<S> bidding;
  ShortLists<S> lists;

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

}  // namespace monge::ot::detail
