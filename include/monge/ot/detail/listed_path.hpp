// SPDX-License-Identifier: MIT
/// @file
/// One augmentation of `assignment` that looks at short lists in place of whole lines.
///
/// Dijkstra's algorithm. What a line does not list is at least as far as the bound of its list, so
/// the line itself waits in the heap at that distance, and when its turn comes it is listed anew:
/// the path is a shortest one in the whole matrix. Slots at the distance that the search has come
/// to do not enter the heap but a queue, first come, first served: where costs are tied, a search
/// in breadth meets a free slot far sooner than one in the order of a heap.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <monge/ot/detail/assignment_lines.hpp>
#include <monge/ot/detail/short_lists.hpp>

namespace monge::ot::detail {

/// How a search in lists ends.
enum class Search {
  found,
  no_path,
  beyond_lists  ///< ties fill a list: only a search in whole lines can tell. Nothing has changed
};

template <RealScalar S>
class ListedPath {
 public:
  /// The shortest path of a line that is not matched to a free slot.
  ListedPath(Lines<S> const& lines, Index line, AssignmentState<S>& state)
      : lines_(lines), start_(line), state_(state), lists_(state.lists), slots_(lines.rows()) {}

  /// Takes up the line if there is a path.
  Search run() {
    lists_.heap.clear();
    lists_.touched.clear();
    lists_.settled.clear();
    std::size_t scanned = 0;
    bool beyond = false;
    look(start_, S(0));
    for (;;) {
      for (; scanned < lists_.settled.size() && level_ < length_; ++scanned) {
        Index const holder = state_.line_of_slot(lists_.settled[scanned]);
        look(holder, offset(holder));
      }
      if (lists_.heap.empty() || lists_.heap.front().first >= length_) break;
      auto const [distance, id] = lists_.heap.front();
      std::pop_heap(lists_.heap.begin(), lists_.heap.end(), Farther{});
      lists_.heap.pop_back();
      if (id >= slots_) {
        level_ = distance;
        beyond = !list_anew(id - slots_);
        if (beyond) break;
      } else if (distance == lists_.reach(id)) {
        level_ = distance;
        lists_.settled.push_back(id);
      }
    }
    // A look takes about as long whatever n is, a pass over a line of a thousand slots as long.
    state_.scans += double(1 + scanned) * std::min(1.0, 1000 / double(slots_));
    bool const found = !beyond && target_ >= 0;
    if (found) take_path();
    for (std::int32_t const j : lists_.touched) lists_.reach(j) = unreachable<S>;
    return beyond ? Search::beyond_lists : found ? Search::found : Search::no_path;
  }

 private:
  using Waiting = typename ShortLists<S>::Waiting;
  struct Farther {
    bool operator()(Waiting const& x, Waiting const& y) const { return x.first > y.first; }
  };

  void wait(S distance, Index id) {
    lists_.heap.emplace_back(distance, std::int32_t(id));
    std::push_heap(lists_.heap.begin(), lists_.heap.end(), Farther{});
  }

  /// What the reduced costs of a line exceed distances by: 0, or what makes its own pair tight.
  [[nodiscard]] S offset(Index line) const {
    Index const slot = state_.slot_of_line(line);
    return slot < 0 ? S(0) : lines_(slot, line) - state_.price(slot) - lists_.reach(slot);
  }

  void look(Index line, S offset) {
    if (lists_.is_new(line)) list_line(lines_, line, state_);
    auto const* const list = lists_.of(line);
    for (Index k = 0, count = lists_.count(line); k < count; ++k) {
      std::int32_t const j = list[k].slot;
      S const distance = std::max(level_, list[k].cost - state_.price(j) - offset);
      if (!(distance < lists_.reach(j)) || !(distance < length_)) continue;
      if (lists_.reach(j) == unreachable<S>) lists_.touched.push_back(j);
      lists_.reach(j) = distance;
      lists_.reached_from(j) = std::int32_t(line);
      if (state_.line_of_slot(j) < 0) {
        length_ = distance;
        target_ = j;
      } else if (distance == level_) {
        lists_.settled.push_back(j);
      } else {
        wait(distance, j);
      }
    }
    S const beyond = std::max(level_, lists_.bound(line) - offset);
    if (beyond < length_) wait(beyond, slots_ + line);
  }

  /// Lists a line anew and looks at it again. False if its list still ends where the search is.
  bool list_anew(Index line) {
    S const difference = offset(line);
    list_line(lines_, line, state_);
    state_.scans += 8;  // it takes two or three, and where lists do not last they do not pay
    if (!(lists_.bound(line) - difference > level_)) return false;
    look(line, difference);
    return true;
  }

  void take_path() {
    Index slot = target_;
    while (slot >= 0) {
      Index const holder = lists_.reached_from(slot);
      Index const given_up = state_.slot_of_line(holder);
      state_.line_of_slot(slot) = holder;
      state_.slot_of_line(holder) = slot;
      slot = given_up;
    }
    ++state_.matched;
    for (std::int32_t const j : lists_.settled) {
      state_.price(j) += std::min(S(0), lists_.reach(j) - length_);
    }
  }

  Lines<S> const& lines_;
  Index start_;
  AssignmentState<S>& state_;
  ShortLists<S>& lists_;
  Index slots_;
  Index target_ = -1;
  S level_ = -unreachable<S>;  // the distance that the search has come to
  S length_ = unreachable<S>;  // of the best path so far, which ends in target_
};

}  // namespace monge::ot::detail
