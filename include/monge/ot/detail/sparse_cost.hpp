// SPDX-License-Identifier: MIT
/// @file
/// Costs that allow few pairs, and the reads of them: O(nonzeros) instead of O(n m).
///
/// The functions here have the names and the meaning of those in entropic_pass.hpp; overloads are
/// found by the type of the cost. The exponentials of a column are those of its stored entries, one
/// after the other.
#pragma once

#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include <monge/core/exp.hpp>
#include <monge/core/require.hpp>
#include <monge/ot/detail/entropic_input.hpp>
#include <monge/ot/detail/entropic_pass.hpp>

namespace monge::ot::detail {

/// A sparse cost that owns its entries: absent pairs are forbidden, a stored zero is free. As any
/// other operator it can be asked for a piece of a column, which then holds +infinity where no
/// entry is.
template <RealScalar S>
class SparseCost {
 public:
  using Scalar = S;
  using Matrix = Eigen::SparseMatrix<S>;

  SparseCost() = default;
  explicit SparseCost(Matrix entries) : entries_(std::move(entries)) { entries_.makeCompressed(); }

  [[nodiscard]] Index rows() const { return entries_.rows(); }
  [[nodiscard]] Index cols() const { return entries_.cols(); }
  [[nodiscard]] Index nonzeros() const { return entries_.nonZeros(); }

  /// Column j: its entries are begin(j) to begin(j + 1) of row() and value().
  [[nodiscard]] Index begin(Index j) const { return entries_.outerIndexPtr()[j]; }
  [[nodiscard]] int const* row() const { return entries_.innerIndexPtr(); }
  [[nodiscard]] S const* value() const { return entries_.valuePtr(); }

  S const* column_segment(Index j, Index first, Index count, S* scratch) const {
    std::fill_n(scratch, count, std::numeric_limits<S>::infinity());
    int const* const end = row() + begin(j + 1);
    for (int const* k = std::lower_bound(row() + begin(j), end, first);
         k < end && *k < first + count; ++k) {
      scratch[*k - first] = value()[k - row()];
    }
    return scratch;
  }

 private:
  Matrix entries_;  // n x m, compressed, column-major
};

/// As for other costs; the mean is over the stored entries. Forbidden pairs are the rule.
template <RealScalar S>
CostScale checked_scale(std::string_view function, SparseCost<S> const& cost) {
  CostScale scale;
  double sum = 0;
  Index allowed = 0;
  for (Index j = 0; j < cost.cols(); ++j) {
    for (Index k = cost.begin(j); k < cost.begin(j + 1); ++k) {
      S const c = cost.value()[k];
      if (c == std::numeric_limits<S>::infinity()) continue;
      require(std::isfinite(c), function, ": cost(", cost.row()[k], ", ", j, ") is ", c,
              "; costs must be finite, or +infinity to forbid a pair");
      scale.largest = std::max(scale.largest, double(std::abs(c)));
      sum += double(c);
      ++allowed;
    }
  }
  scale.mean = allowed > 0 ? sum / double(allowed) : 0;
  scale.forbidden = true;
  return scale;
}

/// e_k <- exp(((f_i + g) - c_k) / epsilon) for the entries of column j; returns their sum weighted
/// by w.
template <RealScalar S>
wide_t<S> column_sum(SparseCost<S> const& cost, Blur<S> at, VectorX<S> const& f,
                     VectorX<S> const& w, S g, Index j, S* e, S* /*scratch*/) {
  Index const begin = cost.begin(j), count = cost.begin(j + 1) - begin;
  int const* const row = cost.row() + begin;
  S const* const c = cost.value() + begin;
  for (Index k = 0; k < count; ++k) e[k] = ((f(row[k]) + g) - c[k]) * at.inverse;
  monge::exp(e, e, count);
  wide_t<S> sum = 0;
  for (Index k = 0; k < count; ++k) sum += wide_t<S>(w(row[k])) * wide_t<S>(e[k]);
  return sum;
}

template <RealScalar S>
S hard_column(SparseCost<S> const& cost, VectorX<S> const& f, Index j, S* /*scratch*/) {
  S highest = -std::numeric_limits<S>::infinity();
  for (Index k = cost.begin(j); k < cost.begin(j + 1); ++k) {
    highest = std::max(highest, f(cost.row()[k]) - cost.value()[k]);
  }
  return -highest;
}

/// rows.total_i <- sum_j factor_j e_ij, where factor_j = column(j, worker, e) fills e with the
/// exponentials of the entries of column j; they are added in double, chunk by chunk.
template <RealScalar S, class Column>
void accumulate_entries(SparseCost<S> const& cost, RowSums<S>& rows, Parallel const& parallel,
                        Column&& column) {
  using Wide = wide_t<S>;
  parallel_for(parallel, rows.columns.count, [&](Index chunk, int worker) {
    Wide* const sums = rows.partial.col(chunk).data();
    std::fill_n(sums, rows.partial.rows(), Wide(0));
    S* const e = rows.e.col(worker).data();
    for (Index j = rows.columns.begin(chunk); j < rows.columns.end(chunk); ++j) {
      Wide const factor = column(j, worker, e);
      if (factor == 0) continue;
      Index const begin = cost.begin(j), count = cost.begin(j + 1) - begin;
      int const* const row = cost.row() + begin;
      for (Index k = 0; k < count; ++k) sums[row[k]] += factor * Wide(e[k]);
    }
  });
  rows.total = rows.partial.col(0);
  for (Index chunk = 1; chunk < rows.columns.count; ++chunk) rows.total += rows.partial.col(chunk);
}

template <RealScalar S, class TakesPart>
void hard_rows(SparseCost<S> const& cost, VectorX<S> const& g, TakesPart&& takes_part, RowSums<S>&,
               Parallel const&, VectorX<S>& hard) {
  hard.setConstant(std::numeric_limits<S>::infinity());
  for (Index j = 0; j < cost.cols(); ++j) {
    if (!takes_part(j)) continue;
    for (Index k = cost.begin(j); k < cost.begin(j + 1); ++k) {
      S& least = hard(cost.row()[k]);
      least = std::min(least, cost.value()[k] - g(j));
    }
  }
}

template <RealScalar S>
void soft_rows(SparseCost<S> const& cost, Blur<S> at, VectorX<S> const& g, VectorX<S> const& v,
               RowSums<S>& rows, Parallel const& parallel, VectorX<S>& soft) {
  hard_rows(cost, g, [&](Index j) { return v(j) > 0; }, rows, parallel, soft);
  accumulate_entries(cost, rows, parallel, [&](Index j, int, S* e) {
    if (!(v(j) > 0)) return wide_t<S>(0);
    column_sum(cost, at, soft, soft, g(j), j, e, static_cast<S*>(nullptr));
    return wide_t<S>(v(j));
  });
  for (Index i = 0; i < soft.size(); ++i) {
    if (soft(i) < std::numeric_limits<S>::infinity()) {
      soft(i) -= S(at.epsilon * std::log(rows.total(i)));
    }
  }
}

/// Pairs without mass fall into connected parts between which nothing moves: the differences of
/// their masses, a lower bound of the marginal error of every plan.
template <RealScalar S>
double unreachable_mass(SparseCost<S> const& cost, VectorX<S> const& w, VectorX<S> const& v) {
  Index const n = cost.rows();
  std::vector<Index> parent(static_cast<std::size_t>(n + cost.cols()));
  std::iota(parent.begin(), parent.end(), Index(0));
  auto const root = [&](Index node) {
    while (parent[std::size_t(node)] != node) {
      node = parent[std::size_t(node)] = parent[std::size_t(parent[std::size_t(node)])];
    }
    return node;
  };
  for (Index j = 0; j < cost.cols(); ++j) {
    if (!(v(j) > 0)) continue;
    for (Index k = cost.begin(j); k < cost.begin(j + 1); ++k) {
      Index const i = cost.row()[k];
      if (!(w(i) > 0) || cost.value()[k] == std::numeric_limits<S>::infinity()) continue;
      parent[std::size_t(root(i))] = root(n + j);
    }
  }
  VectorX<double> surplus = VectorX<double>::Zero(n + cost.cols());
  bool partner = true;
  std::vector<bool> joined(parent.size());
  for (std::size_t node = 0; node < parent.size(); ++node) {
    Index const up = root(Index(node));
    if (up != Index(node)) joined[node] = joined[std::size_t(up)] = true;
    surplus(up) += Index(node) < n ? double(w(Index(node))) : -double(v(Index(node) - n));
  }
  for (std::size_t node = 0; node < parent.size(); ++node) {
    bool const on = Index(node) < n ? w(Index(node)) > 0 : v(Index(node) - n) > 0;
    partner = partner && (joined[node] || !on);
  }
  return partner ? surplus.cwiseAbs().sum() : infinity;
}

template <RealScalar S>
wide_t<S> measure_plan(SparseCost<S> const& cost, Blur<S> at, VectorX<S> const& f,
                       VectorX<S> const& g, VectorX<S> const& w, VectorX<S> const& v,
                       RowSums<S>& rows, Parallel const& parallel, VectorX<wide_t<S>>& sum,
                       VectorX<wide_t<S>>& paid) {
  using Wide = wide_t<S>;
  accumulate_entries(cost, rows, parallel, [&](Index j, int, S* e) {
    sum(j) = paid(j) = 0;
    if (g(j) == -std::numeric_limits<S>::infinity()) return Wide(0);
    sum(j) = column_sum(cost, at, f, w, g(j), j, e, static_cast<S*>(nullptr));
    for (Index k = cost.begin(j); k < cost.begin(j + 1); ++k) {
      Wide const part = Wide(w(cost.row()[k])) * Wide(e[k - cost.begin(j)]);
      if (part > 0) paid(j) += part * Wide(cost.value()[k]);
    }
    return Wide(v(j));
  });
  return 0;
}

}  // namespace monge::ot::detail
