// SPDX-License-Identifier: MIT
/// @file
/// A factorisation of graph Laplacians without a subtraction, exact or incomplete.
///
/// L = diag(excess) + sum_edges w_st (e_s - e_t)(e_s - e_t)' with excess, w >= 0. Eliminating
/// vertex v with neighbours s = 1..k and d = excess_v + sum_s w_s leaves a Laplacian again,
///
///     excess_s += excess_v w_s / d,     w_st += w_s w_t / d,
///
/// so every number that appears is a sum of products of nonnegative numbers, and each has nearly
/// full relative accuracy, however far the weights are spread [AXY02]. Row and column vertices of a
/// coupling are eliminated alike, those of least degree first.
///
/// Incomplete: the edges of the clique that v leaves are kept, for each neighbour t, to the
/// strongest s first until a share 1 - drop of its weight to stronger neighbours is in; the rest
/// is given to the very strongest. So degrees are kept, nothing is disconnected, constants stay in
/// the kernel, and the number of edges hardly grows: for weights that are spread over many orders
/// of magnitude most cliques are nearly stars.
///
/// Cost: O(edges log degree) while fill is small; a solve reads the factor twice.
///
/// [AXY02] A. S. Alfa, J. Xue, Q. Ye, Accurate computation of the smallest eigenvalue of a
///         diagonally dominant M-matrix, Math. Comp. 71 (2002): elimination on excess and
///         off-diagonal entries. [KS16] R. Kyng, S. Sachdeva, Approximate Gaussian elimination for
///         Laplacians, FOCS 2016: sparse cliques, which they sample; here they are chosen.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <monge/core/types.hpp>

namespace monge::ot::detail {

template <RealScalar S>
class LaplacianFactor {
 public:
  using Vertex = std::int32_t;

  /// Forgets all; `vertices` without edges and excess.
  void clear(Index vertices) {
    excess_.setZero(vertices);
    first_.assign(std::size_t(vertices), none);
    degree_.assign(std::size_t(vertices), 0);
    unique_.assign(std::size_t(vertices), 0);
    edges_.clear();
    free_ = none;
  }

  void add_excess(Index v, S excess) { excess_(v) += excess; }
  void add_edge(Vertex s, Vertex t, S weight) {
    push(s, t, weight);
    push(t, s, weight);
  }

  /// Eliminates all vertices. `drop` in [0, 1) is the share of each neighbour's edges that may be
  /// moved; 0 is exact. Gives up, and returns false, beyond `most` entries of the factor.
  bool factorise(double drop, Index most) {
    auto const count = std::size_t(excess_.size());
    weight_.assign(count, S(0));
    alive_.assign(count, true);
    order_.clear();
    pivot_.resize(excess_.size());
    begin_.assign(1, 0);
    rows_.clear();
    ratios_.clear();
    unique_ = degree_;
    fill_buckets();
    while (order_.size() < count) {
      eliminate(take_least(), S(drop));
      if (Index(rows_.size()) > most) return false;
    }
    return true;
  }

  [[nodiscard]] Index nonzeros() const { return Index(rows_.size()); }

  /// x <- inverse(L) x, all vertices.
  void solve(VectorX<S>& x) const {
    std::size_t const count = order_.size();
    for (std::size_t k = 0; k < count; ++k) {
      S& value = x(order_[k]);
      for (std::size_t p = begin_[k]; p < begin_[k + 1]; ++p) x(rows_[p]) += ratios_[p] * value;
      value *= pivot_(Index(k));
    }
    for (std::size_t k = count; k-- > 0;) {
      S sum = x(order_[k]);
      for (std::size_t p = begin_[k]; p < begin_[k + 1]; ++p) sum += ratios_[p] * x(rows_[p]);
      x(order_[k]) = sum;
    }
  }

 private:
  static constexpr std::int32_t none = -1;
  struct Edge {
    Vertex to;
    std::int32_t next;
    S weight;
  };
  struct Neighbour {
    S weight;
    Vertex vertex;
  };

  void push(Vertex from, Vertex to, S weight) {
    std::int32_t edge = free_;
    if (edge != none) {
      free_ = edges_[std::size_t(edge)].next;
      edges_[std::size_t(edge)] = {to, first_[std::size_t(from)], weight};
    } else {
      edge = std::int32_t(edges_.size());
      edges_.push_back({to, first_[std::size_t(from)], weight});
    }
    first_[std::size_t(from)] = edge;
    ++degree_[std::size_t(from)];
  }

  /// Vertices by degree; degrees only guide the order, so that stale entries are corrected when
  /// they come up.
  void fill_buckets() {
    buckets_.resize(std::size_t(most_degree) + 1);
    for (auto& bucket : buckets_) bucket.clear();
    for (Index v = excess_.size() - 1; v >= 0; --v) file(Vertex(v));
    lowest_ = 0;
  }
  void file(Vertex v) {
    int const d = std::min(degree_[std::size_t(v)], most_degree);
    buckets_[std::size_t(d)].push_back(v);
    lowest_ = std::min(lowest_, d);
  }
  Vertex take_least() {
    for (;;) {
      auto& bucket = buckets_[std::size_t(lowest_)];
      if (bucket.empty()) {
        ++lowest_;
        continue;
      }
      Vertex const v = bucket.back();
      bucket.pop_back();
      if (!alive_[std::size_t(v)]) continue;
      int const now = std::min(degree_[std::size_t(v)], most_degree);
      if (now == lowest_) return v;
      if (now > lowest_) file(v);  // smaller degrees were filed when they fell
    }
  }

  void eliminate(Vertex v, S drop) {
    alive_[std::size_t(v)] = false;
    gather(v);
    S sum = excess_(v);
    for (Neighbour const& s : near_) sum += s.weight;
    S const inverse = sum > 0 ? 1 / sum : S(0);
    pivot_(Index(order_.size())) = inverse;
    order_.push_back(v);
    for (Neighbour const& s : near_) {
      S const ratio = s.weight * inverse;
      rows_.push_back(s.vertex);
      ratios_.push_back(ratio);
      excess_(s.vertex) += excess_(v) * ratio;
    }
    begin_.push_back(rows_.size());
    S stronger = 0;  // weight of the neighbours before t
    for (std::size_t t = 0; t < near_.size(); stronger += near_[t].weight, ++t) {
      S const ratio = near_[t].weight * inverse;
      S rest = stronger;
      std::size_t s = 1;
      if (t > 0) rest -= near_[0].weight;
      for (; s < t && (drop == 0 || rest > drop * stronger); ++s) {
        join(near_[s].vertex, near_[t].vertex, near_[s].weight * ratio);
        rest -= near_[s].weight;
      }
      if (t > 0) {
        S const moved = s < t ? std::max(rest, S(0)) : S(0);
        join(near_[0].vertex, near_[t].vertex, (near_[0].weight + moved) * ratio);
      }
    }
    for (Neighbour const& s : near_) {
      auto const at = std::size_t(s.vertex);
      if (degree_[at] > 2 * unique_[at] + 8) {
        unite(s.vertex, others_);
        degree_[at] = 0;
        for (Neighbour const& t : others_) push(s.vertex, t.vertex, t.weight);
        unique_[at] = degree_[at];
      }
      file(s.vertex);
    }
  }

  /// Empties the list of v into `all`: the neighbours that are left, parallel edges added up.
  void unite(Vertex v, std::vector<Neighbour>& all) {
    all.clear();
    for (std::int32_t e = first_[std::size_t(v)]; e != none;) {
      Edge& edge = edges_[std::size_t(e)];
      auto const to = std::size_t(edge.to);
      if (alive_[to]) {
        if (weight_[to] == 0) all.push_back({S(0), edge.to});
        weight_[to] += edge.weight;
      }
      std::int32_t const next = edge.next;
      edge.next = free_;
      free_ = e;
      e = next;
    }
    first_[std::size_t(v)] = none;
    for (Neighbour& s : all) {
      s.weight = weight_[std::size_t(s.vertex)];
      weight_[std::size_t(s.vertex)] = 0;
    }
  }

  /// near_ <- the neighbours of v that are left, strongest first.
  void gather(Vertex v) {
    unite(v, near_);
    for (Neighbour const& s : near_) --degree_[std::size_t(s.vertex)];  // its edge back is dead
    std::sort(near_.begin(), near_.end(), [](Neighbour const& x, Neighbour const& y) {
      return x.weight != y.weight ? x.weight > y.weight : x.vertex < y.vertex;
    });
  }

  void join(Vertex s, Vertex t, S weight) {
    if (weight > 0) add_edge(s, t, weight);
  }

  static constexpr int most_degree = 1000;  // above it all are alike
  VectorX<S> excess_;
  std::vector<std::int32_t> first_;  // of each vertex's list in edges_
  std::vector<int> degree_;          // about its length
  std::vector<int> unique_;          // the same when its parallel edges were last united
  std::vector<Edge> edges_;
  std::int32_t free_ = none;  // list of unused edges
  std::vector<std::vector<Vertex>> buckets_;
  int lowest_ = 0;
  std::vector<S> weight_;
  std::vector<bool> alive_;
  std::vector<Neighbour> near_, others_;
  // The factor: per step the vertex, 1/d, and w/d for its neighbours.
  std::vector<Vertex> order_;
  VectorX<S> pivot_;
  std::vector<std::size_t> begin_;
  std::vector<Vertex> rows_;
  std::vector<S> ratios_;
};

}  // namespace monge::ot::detail
