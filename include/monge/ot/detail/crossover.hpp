// SPDX-License-Identifier: MIT
/// @file
/// From a plan to a basis: a forest of arcs that carries a plan of no larger cost.
///
/// The arcs of the plan are taken one by one. One that joins two trees becomes an arc of the
/// forest. One that closes a cycle is emptied around it if that costs no more, else filled from it,
/// until an arc of the cycle carries nothing; this arc is dropped. So each arc is a pivot of the
/// primal simplex whose entering arc carries something already, and takes a walk along its cycle,
/// without potentials, prices or sizes of subtrees.
///
/// Source: N. Megiddo, On finding primal- and dual-optimal bases, ORSA Journal on Computing 3
/// (1991) 63-65, for a transport problem.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <monge/ot/detail/network_simplex.hpp>

namespace monge::ot::detail {

/// An arc of a plan.
template <RealScalar W>
struct LoadedArc {
  Arc arc;
  Mass flow = 0;
  W cost = 0;
};

/// Nodes 0..n-1 are rows, n..n+m-1 columns.
template <RealScalar W>
class Crossover {
 public:
  Crossover(Index rows, std::size_t nodes) : rows_(std::int32_t(rows)), node_(nodes) {}

  void add(LoadedArc<W> const& x) {
    std::int32_t const i = x.arc.row, j = x.arc.column + rows_;
    std::int32_t const join = meet(i, j);
    if (join < 0) {
      hang(j, top_of(j), {i, 0, x.flow, x.cost});
      return;
    }
    // From i, and from j, up to the join: the arcs that lose if x gains, then one that gains, ...
    W slope = x.cost;
    std::array<Least, 2> least;  // of those that lose if x gains, and if x loses
    for (std::int32_t const end : {i, j}) {
      bool gains = false;
      for (std::int32_t v = end; v != join; v = at(v).parent, gains = !gains) {
        slope += gains ? at(v).cost : -at(v).cost;
        if (at(v).flow < least[gains].flow) least[gains] = {at(v).flow, v, end};
      }
    }
    bool const gain = slope < 0;
    if (!gain && x.flow <= least[1].flow) {
      shift(i, j, join, x.flow);
      return;
    }
    auto const [most, leaving, end] = least[!gain];
    Mass const lost = gain ? -most : most;
    shift(i, j, join, lost);
    hang(end, leaving, {end == i ? j : i, 0, x.flow - lost, x.cost});
  }

  [[nodiscard]] std::vector<Arc> forest() const {
    std::vector<Arc> arcs;
    for (std::int32_t v = 0; v < std::int32_t(node_.size()); ++v) {
      std::int32_t const w = at(v).parent;
      if (w >= 0) arcs.push_back(v < rows_ ? Arc{v, w - rows_} : Arc{w, v - rows_});
    }
    return arcs;
  }

 private:
  struct Node {
    std::int32_t parent = -1;  // -1 = none
    std::int32_t seen = 0;     // by which walk
    Mass flow = 0;             // on the arc to the parent
    W cost = 0;                // of that arc
  };
  struct Least {
    Mass flow = std::numeric_limits<Mass>::max();
    std::int32_t node = -1;  // below the arc
    std::int32_t end = -1;   // of the entering arc, on whose side it is
  };

  Node& at(std::int32_t v) { return node_[std::size_t(v)]; }
  [[nodiscard]] Node const& at(std::int32_t v) const { return node_[std::size_t(v)]; }

  [[nodiscard]] std::int32_t top_of(std::int32_t v) const {
    while (at(v).parent >= 0) v = at(v).parent;
    return v;
  }

  /// The first node above both, -1 if they are in different trees.
  std::int32_t meet(std::int32_t v, std::int32_t w) {
    ++walks_;
    auto const sees = [this](std::int32_t& x) {
      if (at(x).seen == walks_) return true;
      at(x).seen = walks_;
      x = at(x).parent;
      return false;
    };
    while (v >= 0 || w >= 0) {
      if (v >= 0 && sees(v)) return v;
      if (w >= 0 && sees(w)) return w;
    }
    return -1;
  }

  /// The arc from i to j loses `lost`, which goes around the cycle.
  void shift(std::int32_t i, std::int32_t j, std::int32_t join, Mass lost) {
    for (std::int32_t v : {i, j}) {
      for (Mass change = lost; v != join; v = at(v).parent, change = -change) at(v).flow += change;
    }
  }

  /// Cuts the arc above `top` and hangs what is below by `arc`, from `v` on.
  void hang(std::int32_t v, std::int32_t top, Node arc) {
    for (bool last = false; !last;) {
      last = v == top;
      arc.seen = at(v).seen;
      std::swap(at(v), arc);  // arc is now the one that led up from v
      std::int32_t const above = arc.parent;
      arc.parent = v;
      v = above;
    }
  }

  std::int32_t rows_, walks_ = 0;
  std::vector<Node> node_;
};

}  // namespace monge::ot::detail
