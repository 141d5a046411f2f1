// SPDX-License-Identifier: MIT
/// @file
/// The sparsified Hessian of the semi-dual, kept in factored form.
///
///     L x = sum_j v_j (diag(q_j) - q_j q_j') x + (dropped + shift) x
///
/// with the columns q_j of the normalised plan, of which only the larger entries are kept. Written
/// as v_j q_ij (x_i - <q_j, x>), so that nothing cancels when a column is concentrated on one row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include <monge/core/parallel.hpp>
#include <monge/core/types.hpp>
#include <monge/ot/detail/compressed_columns.hpp>
#include <monge/ot/detail/laplacian_factor.hpp>

namespace monge::ot::detail {

template <RealScalar S>
class SparseLaplacian {
 public:
  /// Forgets the entries; at most about `most` of the next ones are taken.
  void clear(monge::detail::Chunks columns, Index most) { columns_.clear(columns, most); }

  /// Whether all columns were added in full.
  [[nodiscard]] bool complete() const { return columns_.complete(); }

  /// Adds q_i = w_i e_i / sum for those rows where it exceeds `share`.
  void add_column(Index chunk, VectorX<S> const& w, S const* e, S inverse_sum, S weight, S share) {
    columns_.add_column(chunk, w, S(0), e, share / inverse_sum, weight,
                        [&](Index i) { return w(i) * e[i] * inverse_sum; });
  }

  /// The same where e_k belongs to rows[k].
  void add_column(Index chunk, VectorX<S> const& w, std::int32_t const* rows, S const* e,
                  Index count, S inverse_sum, S weight, S share) {
    columns_.add_column(chunk, w, rows, e, count, share / inverse_sum, weight,
                        [&](Index k) { return w(rows[k]) * e[k] * inverse_sum; });
  }

  [[nodiscard]] Index nonzeros() const { return columns_.nonzeros(); }

  /// Keeps the `count` largest entries v_j q_ij and those equal to the last of them [TSGY24].
  void keep_largest(Index count) {
    if (nonzeros() <= count) return;
    std::vector<S> const sizes = masses();
    std::vector<S> sorted = sizes;
    auto const last = sorted.begin() + std::max<Index>(count - 1, 0);
    std::nth_element(sorted.begin(), last, sorted.end(), std::greater<S>());
    S const least = *last;
    columns_.filter([&](std::size_t k) { return sizes[k] >= least; });
  }

  /// Drops the smallest entries of each column up to a total of `bound`, and takes back the largest
  /// of those in rows, of mass `mass`, that lost more than twice as much [TQ24].
  void drop_mass(S bound, VectorX<S> const& mass) {
    std::vector<S> const sizes = masses();
    std::vector<char> kept(sizes.size(), 1);
    std::vector<std::int32_t> row_of(sizes.size());
    VectorX<S> lost = mass;  // of each row
    std::vector<std::size_t> order;
    std::size_t first = 0;
    columns_.for_each_column([&](S v, std::int32_t const* row, S const* q, Index count) {
      order.clear();
      S dropped = v;
      for (Index k = 0; k < count; ++k) {
        dropped -= v * q[k];
        row_of[first + std::size_t(k)] = row[k];
        order.push_back(first + std::size_t(k));
      }
      std::sort(order.begin(), order.end(),
                [&](std::size_t x, std::size_t y) { return sizes[x] < sizes[y]; });
      dropped = std::max(dropped, S(0));
      for (std::size_t const k : order) {
        dropped += sizes[k];
        if (dropped <= bound) {
          kept[k] = 0;
        } else {
          lost(row_of[k]) -= sizes[k];
        }
      }
      first += std::size_t(count);
    });
    order.clear();
    for (std::size_t k = 0; k < sizes.size(); ++k) {
      if (kept[k] == 0 && lost(row_of[k]) > 2 * bound) order.push_back(k);
    }
    std::sort(order.begin(), order.end(),
              [&](std::size_t x, std::size_t y) { return sizes[x] > sizes[y]; });
    for (std::size_t const k : order) {
      if (lost(row_of[k]) <= 2 * bound) continue;
      kept[k] = 1;
      lost(row_of[k]) -= sizes[k];
    }
    columns_.filter([&](std::size_t k) { return kept[k] != 0; });
  }

  /// mass_i: the full mass of row i of the normalised plan; shift: what is added to the diagonal.
  void prepare(VectorX<S> const& mass, VectorX<S> const& shift) {
    VectorX<S> kept = VectorX<S>::Zero(mass.size());
    diagonal_ = VectorX<S>::Zero(mass.size());
    columns_.for_each_column([&](S v, std::int32_t const* row, S const* q, Index count) {
      for (Index k = 0; k < count; ++k) {
        kept(row[k]) += v * q[k];
        diagonal_(row[k]) += v * q[k] * (1 - q[k]);
      }
    });
    extra_ = (mass - kept).cwiseMax(S(0)) + shift;
    diagonal_ += extra_;
    for (Index i = 0; i < mass.size(); ++i) {
      if (!(diagonal_(i) > unit_roundoff<S> * mass(i))) {  // a row without entries, or without mass
        S const floor = mass(i) > 0 ? unit_roundoff<S> * mass(i) : S(1);
        extra_(i) += floor;
        diagonal_(i) += floor;
      }
    }
  }

  [[nodiscard]] VectorX<S> const& diagonal() const { return diagonal_; }

  /// Factorises L with the columns as vertices of their own, see laplacian_factor.hpp, so that
  /// precondition() can be used; false if this takes more than `most` entries.
  bool factorise(Index columns, double drop, Index most) {
    Index const n = extra_.size();
    factor_.clear(n + columns);
    for (Index i = 0; i < n; ++i) factor_.add_excess(i, extra_(i));
    auto j = static_cast<std::int32_t>(n);
    columns_.for_each_column([&](S v, std::int32_t const* row, S const* q, Index count) {
      S rest = 1;
      for (Index k = 0; k < count; ++k) {
        factor_.add_edge(row[k], j, v * q[k]);
        rest -= q[k];
      }
      factor_.add_excess(j, v * std::max(rest, S(0)));
      ++j;
    });
    work_.resize(n + columns);
    return factor_.factorise(drop, most);
  }
  [[nodiscard]] Index factor_nonzeros() const { return factor_.nonzeros(); }

  /// z = M^-1 r for what was factorised.
  void precondition(VectorX<S> const& r, VectorX<S>& z) {
    Index const n = r.size();
    work_.head(n) = r;
    work_.tail(work_.size() - n).setZero();
    factor_.solve(work_);
    z = work_.head(n);
  }

  /// y_j = the mean of x over the rows of column j.
  void column_means(VectorX<S> const& x, VectorX<S>& y) const {
    Index j = 0;
    columns_.for_each_column([&](S, std::int32_t const* row, S const* q, Index count) {
      S sum = 0, whole = 0;
      for (Index k = 0; k < count; ++k) sum += q[k] * x(row[k]), whole += q[k];
      y(j++) = whole > 0 ? sum / whole : S(0);
    });
  }

  /// y = L x.
  void operator()(VectorX<S> const& x, VectorX<S>& y) const {
    y = extra_.cwiseProduct(x);
    columns_.for_each_column([&](S v, std::int32_t const* row, S const* q, Index count) {
      S mean = 0;
      for (Index k = 0; k < count; ++k) mean += q[k] * x(row[k]);
      for (Index k = 0; k < count; ++k) y(row[k]) += v * q[k] * (x(row[k]) - mean);
    });
  }

 private:
  /// v_j q_ij of all entries, in order.
  [[nodiscard]] std::vector<S> masses() const {
    std::vector<S> result;
    columns_.for_each_column([&](S v, std::int32_t const*, S const* q, Index count) {
      for (Index k = 0; k < count; ++k) result.push_back(v * q[k]);
    });
    return result;
  }

  CompressedColumns<S> columns_;
  VectorX<S> extra_, diagonal_, work_;
  LaplacianFactor<S> factor_;
};

}  // namespace monge::ot::detail
