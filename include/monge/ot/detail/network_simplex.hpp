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

/// The way through the tree: apart from the nodes, so that a walk over a subtree reads little.
struct TreeLinks {
  std::int32_t child = -1;     ///< the first, -1 = none
  std::int32_t next = -1;      ///< the next sibling; of the last one, ~parent
  std::int32_t previous = -1;  ///< the sibling before, -1 = none
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
    for (int const v : order) {
      TreeNode& x = at(v);
      bool const top = x.parent == root;
      x.lacking = top ? !x.up : at(x.parent).lacking;
      lacking_parts += top && !x.up;
      attach(v, x.parent);
      if (!top) reprice(potential, v, price);
    }
    for (std::size_t k = order.size(); k-- > 0;) {
      at(at(order[k]).parent).size += at(order[k]).size;
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
    for (int v = links(top).child; v >= 0;) {
      visit(v);
      v = following(v, top);
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
    if (change > 0) {
      for (int v = tail; v != join; v = at(v).parent) at(v).flow += at(v).up ? -change : change;
      for (int v = head; v != join; v = at(v).parent) at(v).flow += at(v).up ? change : -change;
    }
    lacking_parts -= at(leaving).parent == root() && !at(leaving).up;
    int const moved = below_tail ? tail : head, parent = below_tail ? head : tail;
    std::int32_t const size = at(leaving).size;
    for (int v = at(leaving).parent; v != join; v = at(v).parent) at(v).size -= size;
    for (int v = parent; v != join; v = at(v).parent) at(v).size += size;
    hang(moved, parent, leaving, change);
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

  /// The node after v in the preorder of the tree below `top`, or -1.
  [[nodiscard]] int following(int v, int top) const {
    return links(v).child >= 0 ? links(v).child : after(v, top);
  }

  /// The node after the whole subtree of v in that order, or -1.
  [[nodiscard]] int after(int v, int top) const {
    while (v != top) {
      int const next = links(v).next;
      if (next >= 0) return next;
      v = ~next;
    }
    return -1;
  }

  void attach(int v, int parent) {
    TreeLinks& x = links(v);
    TreeLinks& above = links(parent);
    at(v).parent = parent;
    x.previous = -1;
    x.next = above.child >= 0 ? above.child : ~parent;
    if (above.child >= 0) links(above.child).previous = v;
    above.child = v;
  }

  void detach(int v) {
    TreeLinks const& x = links(v);
    if (x.next >= 0) links(x.next).previous = x.previous;
    if (x.previous >= 0) {
      links(x.previous).next = x.next;
    } else {
      links(at(v).parent).child = std::max(x.next, -1);
    }
  }

  /// Cuts the subtree of `leaving` off, turns it over so that v is its top, and hangs it below
  /// `parent`.
  void hang(int v, int parent, int leaving, Mass flow) {
    std::int32_t const size = at(leaving).size;
    std::int32_t kept = size;  // the size of v after the turn
    bool up = is_row(v);
    for (bool last = false; !last;) {
      last = v == leaving;
      TreeNode& x = at(v);
      int const old_parent = x.parent;
      std::int32_t const old_size = x.size;
      Mass const old_flow = x.flow;
      bool const old_up = x.up;
      detach(v);
      attach(v, parent);
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

  /// Adds `step` to f and subtracts it from g below `top`, or does the opposite to all other nodes
  /// if these are fewer: only differences matter.
  void shift(int top, W step) {
    bool const others = at(top).size > at(root()).size / 2;
    W const change = others ? -step : step;
    bool const split = lacking_parts > 0;
    auto const move = [&](int v) {
      potential(v) += is_row(v) ? change : -change;
      if (split && is_row(v)) {
        surplus(v) = at(v).lacking ? -std::numeric_limits<W>::infinity() : potential(v);
      }
    };
    if (!others) {
      move(top);
      for_each_below(top, move);
      return;
    }
    for (int v = links(root()).child; v >= 0;) {
      if (v == top) {
        v = after(v, root());
      } else {
        move(v);
        v = following(v, root());
      }
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
