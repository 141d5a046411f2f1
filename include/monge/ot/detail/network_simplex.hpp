// SPDX-License-Identifier: MIT
/// @file
/// The basis of the network simplex for transport problems: a rooted spanning tree of the n rows,
/// the m columns and an artificial root, with a flow on each tree arc and a potential at each node.
///
/// Mass is counted in units of 2^-62 of the total, as integers, so that flows are exact: ties are
/// ties, and a tree that is strongly feasible (every arc without flow points towards the root)
/// stays so, which excludes cycling. No arc outside the tree has any state: it carries nothing.
///
/// Nodes without a place yet hang from the root by artificial arcs, whose cost comes before all
/// true costs (a big M that is compared first and never added). A part of the tree that hangs by an
/// arc from the root lacks mass; until no such part is left, arcs into it from the parts with a
/// surplus come first. Artificial arcs that left the tree are gone.
///
/// Source: W. H. Cunningham, A network simplex method, Mathematical Programming 11 (1976) 105-116,
/// for strongly feasible trees and the choice of the leaving arc.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include <monge/core/types.hpp>
#include <monge/ot/detail/integer_masses.hpp>

namespace monge::ot::detail {

/// A node and the arc to its parent.
struct TreeNode {
  Mass flow = 0;             ///< on the arc to the parent
  std::int32_t parent = -1;  ///< -1 = none
  std::int32_t size = 1;     ///< nodes of its subtree, itself included
  bool up = true;            ///< the arc leads to the parent (rows: always, unless it is the root)
  bool lacking = false;      ///< in a part of the tree that hangs by an arc from the root
};

/// The nodes in preorder, as a ring: the subtree of v is v and what follows, as far as v's last.
/// Apart from the nodes, so that a walk over a subtree reads little and has no branch to guess.
struct TreeLinks {
  std::int32_t next = -1, previous = -1;
  std::int32_t last = -1;  ///< of the subtree
};

/// An arc from row to column.
struct Arc {
  std::int32_t row = 0, column = 0;
};

/// Nodes 0..n-1 are rows, n..n+m-1 columns, n+m the root. W is the scalar of the potentials.
template <RealScalar W>
class TransportTree {
 public:
  VectorX<W> potential;  ///< n + m: f, then g; rows without mass hold -infinity
  VectorX<W> surplus;    ///< n: f where the part of the tree does not lack mass, else -infinity;
                         ///< kept while there are lacking parts
  std::vector<TreeNode> node;  ///< n + m + 1
  Index lacking_parts = 0;     ///< artificial arcs that leave the root; they always carry flow

  TransportTree() = default;

  /// The tree made of a forest of arcs (row to column). What the arcs cannot carry in their
  /// direction hangs from the root. `supply` has n + m entries, negative for columns; nodes with
  /// none stay outside. The potential of a part's top is kept, the others follow by price(arc).
  template <class Price>
  TransportTree(Index rows, std::vector<Mass> const& supply, std::vector<Arc> const& forest,
                VectorX<W> start, Price&& price)
      : potential(std::move(start)),
        surplus(rows),
        node(supply.size() + 1),
        links_(supply.size() + 1),
        rows_(int(rows)) {
    int const root = this->root();
    // The forest as adjacency lists, then breadth first from one node of each part.
    std::vector<int> first(supply.size() + 1), neighbour(2 * forest.size()), order;
    for (Arc const& arc : forest) {
      ++first[std::size_t(arc.row) + 1];
      ++first[std::size_t(arc.column + rows_) + 1];
    }
    std::partial_sum(first.begin(), first.end(), first.begin());
    std::vector<int> end(first.begin(), first.end() - 1);
    for (Arc const& arc : forest) {
      neighbour[std::size_t(end[std::size_t(arc.row)]++)] = arc.column + rows_;
      neighbour[std::size_t(end[std::size_t(arc.column + rows_)]++)] = arc.row;
    }
    order.reserve(supply.size());
    for (int top = 0; top < root; ++top) {
      if (supply[std::size_t(top)] == 0 || at(top).parent >= 0) continue;
      at(top).parent = root;
      order.push_back(top);
      for (std::size_t k = order.size() - 1; k < order.size(); ++k) {
        int const v = order[k];
        for (int e = first[std::size_t(v)]; e < first[std::size_t(v) + 1]; ++e) {
          int const w = neighbour[std::size_t(e)];
          if (w == at(v).parent) continue;
          at(w).parent = v;
          order.push_back(w);
        }
      }
    }
    // Flows from the leaves on; an arc that would carry less than nothing is cut.
    std::vector<Mass> excess = supply;
    for (std::size_t k = order.size(); k-- > 0;) {
      int const v = order[k];
      Mass const sent = excess[std::size_t(v)];
      bool const feasible = is_row(v) ? sent >= 0 : sent < 0;
      if (at(v).parent != root && feasible) {
        excess[std::size_t(at(v).parent)] += sent;
      } else {
        at(v).parent = root;
      }
      at(v).flow = sent < 0 ? -sent : sent;
      at(v).up = sent >= 0;
    }
    link(root, root);
    for (int const v : order) {
      TreeNode& x = at(v);
      bool const top = x.parent == root;
      x.lacking = top ? !x.up : at(x.parent).lacking;
      lacking_parts += top && !x.up;
      link(v, links(x.parent).next);
      link(x.parent, v);
      if (!top) reprice(potential, v, price);
    }
    for (std::size_t k = order.size(); k-- > 0;) {
      at(at(order[k]).parent).size += at(order[k]).size;
    }
    order.clear();
    int walk = root;
    do {
      order.push_back(walk);
      walk = links(walk).next;
    } while (walk != root);
    for (std::size_t k = 0; k < order.size(); ++k) {
      links(order[k]).last = order[k + std::size_t(at(order[k]).size) - 1];
    }
    anchor_ = potential;
    refill_surplus();
  }

  [[nodiscard]] int root() const { return int(node.size()) - 1; }
  [[nodiscard]] int rows() const { return rows_; }
  [[nodiscard]] bool is_row(int v) const { return v < rows_; }
  [[nodiscard]] TreeNode const& at(int v) const { return node[std::size_t(v)]; }

  /// The arc between v and its parent, neither of which is the root.
  [[nodiscard]] Arc arc(int v) const {
    int const w = at(v).parent;
    return is_row(v) ? Arc{v, w - rows_} : Arc{w, v - rows_};
  }

  /// Calls visit(v) for all nodes below `top`, parents first.
  template <class Visit>
  void for_each_below(int top, Visit&& visit) const {
    int v = links(top).next;
    for (std::int32_t left = at(top).size - 1; left > 0; --left) {
      visit(v);
      v = links(v).next;
    }
  }

  /// Calls visit(arc, flow) for the arcs of the plan: those that carry something, without what a
  /// row at the top of a part that lacks mass sends beyond its supply, or a column at the top of
  /// one with a surplus gets beyond its demand.
  template <class Visit>
  void for_each_flow(Visit&& visit) const {
    int top = root();
    Mass beyond = 0;
    for_each_below(root(), [&](int v) {
      if (at(v).parent == root()) {
        top = v;
        beyond = is_row(v) != at(v).up ? at(v).flow : 0;
        return;
      }
      Mass const cut = at(v).parent == top ? std::min(beyond, at(v).flow) : 0;
      beyond -= cut;
      if (at(v).flow > cut) visit(arc(v), at(v).flow - cut);
    });
  }

  /// Computes all potentials from the costs of the tree's arcs, which ends the drift of updates.
  template <class Price>
  void refresh(Price&& price) {
    reprice_all(potential, price);
    refill_surplus();
  }

  /// The potentials that refresh() would make.
  template <class Price>
  [[nodiscard]] VectorX<W> fresh_potentials(Price&& price) const {
    VectorX<W> fresh = potential;
    reprice_all(fresh, price);
    return fresh;
  }

  /// Brings the arc from `row` to `column` into the tree, whose reduced cost is `reduced`.
  void pivot(Arc entering, W reduced) {
    int const tail = entering.row, head = entering.column + rows_;
    int join = tail, other = head;
    while (join != other) {  // no node is above one that has as many below it
      int& lower = at(join).size < at(other).size ? join : other;
      lower = at(lower).parent;
    }
    // Of the arcs that block, the last one from the join along the cycle leaves: this keeps the
    // tree strongly feasible.
    Mass change = std::numeric_limits<Mass>::max();
    int leaving = tail;
    bool below_tail = true;
    for (int v = tail; v != join; v = at(v).parent) {
      if (at(v).up && at(v).flow < change) {
        change = at(v).flow;
        leaving = v;
      }
    }
    for (int v = head; v != join; v = at(v).parent) {
      if (!at(v).up && at(v).flow <= change) {
        change = at(v).flow;
        leaving = v;
        below_tail = false;
      }
    }
    lacking_parts -= at(leaving).parent == root() && !at(leaving).up;
    int const moved = below_tail ? tail : head, parent = below_tail ? head : tail;
    Mass const along = below_tail ? change : -change;  // what flows down on the side that moves
    std::int32_t const size = at(leaving).size;
    for (int v = at(leaving).parent; v != join; v = at(v).parent) {
      at(v).size -= size;
      at(v).flow -= at(v).up ? along : -along;
    }
    for (int v = parent; v != join; v = at(v).parent) {
      at(v).size += size;
      at(v).flow += at(v).up ? along : -along;
    }
    hang(moved, parent, leaving, change, along);
    bool const lacking = at(parent).lacking;
    if (lacking != at(moved).lacking) {
      at(moved).lacking = lacking;
      for_each_below(moved, [&](int v) { at(v).lacking = lacking; });
    }
    shift(moved, below_tail ? reduced : -reduced);
  }

 private:
  TreeNode& at(int v) { return node[std::size_t(v)]; }
  [[nodiscard]] TreeLinks const& links(int v) const { return links_[std::size_t(v)]; }
  TreeLinks& links(int v) { return links_[std::size_t(v)]; }

  void link(int v, int next) {
    links(v).next = next;
    links(next).previous = v;
  }

  /// Cuts the subtree of `leaving` off, turns it over so that `top` is its top, and hangs it below
  /// `parent` by an arc that carries `flow`. On its way up from `top`, `along` flows down.
  void hang(int top, int parent, int leaving, Mass flow, Mass along) {
    int const end = turn_over(top, leaving);
    link(end, links(parent).next);
    link(parent, top);
    for (int v = parent; v >= 0 && links(v).last == parent; v = at(v).parent) links(v).last = end;
    std::int32_t const size = at(leaving).size;
    std::int32_t kept = size;  // the size of v after the turn
    bool up = is_row(top);
    int v = top;
    for (bool last = false; !last;) {
      last = v == leaving;
      links(v).last = end;
      TreeNode& x = at(v);
      int const old_parent = x.parent;
      std::int32_t const old_size = x.size;
      bool const old_up = x.up;
      Mass const old_flow = x.flow - (old_up ? along : -along);
      x.parent = parent;
      x.flow = flow;
      x.up = up;
      x.size = kept;
      kept = size - old_size;
      parent = v;
      v = old_parent;
      flow = old_flow;
      up = !old_up;
    }
  }

  /// Takes the subtree of `leaving` out of the ring and brings it in the preorder of the same nodes
  /// below `top`: the subtree of `top`, then that of its parent without it, and so on. Returns the
  /// last node. Parents are still the old ones.
  int turn_over(int top, int leaving) {
    int const before_all = links(leaving).previous, end_of_all = links(leaving).last;
    int v = top;
    int end = links(v).last;         // of what has been brought in order
    int before = links(v).previous;  // v in the old order
    int after = links(end).next;     // the subtree of v in the old order
    while (v != leaving) {
      int const above = at(v).parent, last = links(above).last;
      int const before_above = links(above).previous;
      bool const at_end = links(v).last == last;
      link(end, above);
      if (at_end) {
        end = before;
      } else {
        link(before, after);
        end = last;
        after = links(last).next;
      }
      before = before_above;
      v = above;
    }
    link(before_all, after);
    for (v = at(leaving).parent; v >= 0 && links(v).last == end_of_all; v = at(v).parent) {
      links(v).last = before_all;
    }
    return end;
  }

  /// Adds `step` to f and subtracts it from g below `top`, or does the opposite to all other nodes
  /// if these are fewer: only differences matter.
  void shift(int top, W step) {
    bool const others = at(top).size > at(root()).size / 2;
    W const change = others ? -step : step;
    W const of_side[2] = {change, -change};  // of rows, of columns; a table, since no branch could
                                             // be foretold
    bool const split = lacking_parts > 0;
    auto const move = [&](int v) {
      potential(v) += of_side[v >= rows_];
      if (split && is_row(v)) {
        surplus(v) = at(v).lacking ? -std::numeric_limits<W>::infinity() : potential(v);
      }
    };
    if (!others) {
      move(top);
      for_each_below(top, move);
      return;
    }
    for (int v = links(links(top).last).next; v != top; v = links(v).next) {
      if (v != root()) move(v);
    }
    if (split) refill_surplus();
  }

  template <class Price>
  void reprice(VectorX<W>& p, int v, Price&& price) const {
    p(v) = price(arc(v)) - p(at(v).parent);
  }

  template <class Price>
  void reprice_all(VectorX<W>& p, Price&& price) const {
    // Tops of parts go back to where they began: they only move with everything else, and a detour
    // over huge costs may have cost them their digits.
    for_each_below(root(), [&](int v) {
      if (at(v).parent == root()) {
        p(v) = anchor_(v);
      } else {
        reprice(p, v, price);
      }
    });
  }

  void refill_surplus() {
    if (lacking_parts == 0) return;
    for (int i = 0; i < rows_; ++i) {
      surplus(i) = at(i).lacking ? -std::numeric_limits<W>::infinity() : potential(i);
    }
  }

  std::vector<TreeLinks> links_;  // n + m + 1
  VectorX<W> anchor_;             // n + m: the potentials of the start
  int rows_ = 0;
};

}  // namespace monge::ot::detail
