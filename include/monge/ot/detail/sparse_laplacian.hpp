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
#include <vector>

#include <monge/core/parallel.hpp>
#include <monge/core/simd.hpp>
#include <monge/core/types.hpp>

namespace monge::ot::detail {

template <RealScalar S>
class SparseLaplacian {
 public:
  /// Forgets the entries; their memory is kept. One store per chunk of columns, for threads; each
  /// takes its part of `most` entries and then no more.
  void clear(monge::detail::Chunks columns, Index most) {
    most_ = static_cast<std::size_t>((most + columns.count - 1) / columns.count);
    stores_.resize(static_cast<std::size_t>(columns.count));
    for (Store& store : stores_) {
      store.rows.clear();
      store.entries.clear();
      store.columns.clear();
      store.full = most_ == 0;
    }
  }

  /// Whether all columns were added in full.
  [[nodiscard]] bool complete() const {
    return std::none_of(stores_.begin(), stores_.end(), [](Store const& s) { return s.full; });
  }

  /// Adds q_i = w_i e_i / sum for those rows where it exceeds `share`. Most entries don't: blocks
  /// of rows are tested at once.
  void add_column(Index chunk, VectorX<S> const& w, S const* e, S inverse_sum, S weight, S share) {
    constexpr Index width = 8 * simd::lanes<S>;
    Store& store = stores_[static_cast<std::size_t>(chunk)];
    store.full = store.full || store.rows.size() > most_;
    if (store.full) return;
    S const least = share / inverse_sum;
    Index const n = w.size();
    Index i = 0;
    for (; i + width <= n; i += width) {
      simd::pack_t<S> largest = simd::load(w.data() + i) * simd::load(e + i);
      for (Index k = i + simd::lanes<S>; k < i + width; k += simd::lanes<S>) {
        simd::pack_t<S> const mass = simd::load(w.data() + k) * simd::load(e + k);
        largest = mass > largest ? mass : largest;
      }
      if (simd::any_above<S>(largest, least))
        add_rows(store, w, e, i, i + width, inverse_sum, least);
    }
    add_rows(store, w, e, i, n, inverse_sum, least);
    store.columns.push_back({static_cast<Index>(store.rows.size()), weight});
  }

  [[nodiscard]] Index nonzeros() const {
    Index sum = 0;
    for (Store const& store : stores_) sum += static_cast<Index>(store.rows.size());
    return sum;
  }

  /// mass_i: the full mass of row i of the normalised plan; shift: what is added to the diagonal.
  void prepare(VectorX<S> const& mass, VectorX<S> const& shift) {
    VectorX<S> kept = VectorX<S>::Zero(mass.size());
    diagonal_ = VectorX<S>::Zero(mass.size());
    for_each_column([&](S v, std::int32_t const* row, S const* q, Index count) {
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

  /// y = L x.
  void operator()(VectorX<S> const& x, VectorX<S>& y) const {
    y = extra_.cwiseProduct(x);
    for_each_column([&](S v, std::int32_t const* row, S const* q, Index count) {
      S mean = 0;
      for (Index k = 0; k < count; ++k) mean += q[k] * x(row[k]);
      for (Index k = 0; k < count; ++k) y(row[k]) += v * q[k] * (x(row[k]) - mean);
    });
  }

 private:
  struct Column {
    Index end;
    S weight;
  };
  struct Store {
    std::vector<std::int32_t> rows;
    std::vector<S> entries;
    std::vector<Column> columns;
    bool full = false;
  };

  static void add_rows(Store& store, VectorX<S> const& w, S const* e, Index first, Index end,
                       S inverse_sum, S least) {
    for (Index i = first; i < end; ++i) {
      S const mass = w(i) * e[i];
      if (mass > least) {
        store.rows.push_back(static_cast<std::int32_t>(i));
        store.entries.push_back(mass * inverse_sum);
      }
    }
  }

  template <class Visit>
  void for_each_column(Visit&& visit) const {
    for (Store const& store : stores_) {
      Index begin = 0;
      for (Column const& column : store.columns) {
        visit(column.weight, store.rows.data() + begin, store.entries.data() + begin,
              column.end - begin);
        begin = column.end;
      }
    }
  }

  std::vector<Store> stores_;
  std::size_t most_ = 0;
  VectorX<S> extra_, diagonal_;
};

}  // namespace monge::ot::detail
