// SPDX-License-Identifier: MIT
/// @file
/// The larger entries of a matrix, column by column, gathered while the columns pass by.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <monge/core/parallel.hpp>
#include <monge/core/simd.hpp>
#include <monge/core/types.hpp>

namespace monge::ot::detail {

template <RealScalar S>
class CompressedColumns {
 public:
  /// Takes the memory that clear(columns, most) and the columns after it may need.
  void reserve(monge::detail::Chunks columns, Index rows, Index most) {
    clear(columns, most);
    for (Store& store : stores_) {
      store.rows.reserve(most_ + static_cast<std::size_t>(rows) + 1);
      store.entries.reserve(most_ + static_cast<std::size_t>(rows) + 1);
      store.columns.reserve(static_cast<std::size_t>(columns.width));
    }
  }

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

  /// Adds entry(i) for those rows where max(w_i, floor) e_i exceeds `least`. Most entries don't:
  /// blocks of rows are tested at once.
  template <class Entry>
  void add_column(Index chunk, VectorX<S> const& w, S floor, S const* e, S least, S weight,
                  Entry&& entry) {
    using V = simd::pack_t<S>;
    constexpr Index step = simd::lanes<S>, width = 8 * step;
    Store& store = stores_[static_cast<std::size_t>(chunk)];
    store.full = store.full || store.rows.size() > most_;
    if (store.full) return;
    auto const add_rows = [&](Index first, Index end) {
      for (Index i = first; i < end; ++i) {
        if (std::max(w(i), floor) * e[i] > least) {
          store.rows.push_back(static_cast<std::int32_t>(i));
          store.entries.push_back(entry(i));
        }
      }
    };
    V const low = simd::broadcast(floor);
    auto const size = [&](Index k) {
      V const weights = simd::load(w.data() + k);
      return (weights > low ? weights : low) * simd::load(e + k);
    };
    Index const n = w.size();
    Index i = 0;
    for (; i + width <= n; i += width) {
      V largest = size(i);
      for (Index k = i + step; k < i + width; k += step) {
        V const next = size(k);
        largest = next > largest ? next : largest;
      }
      if (!simd::any_above<S>(largest, least)) continue;
      for (Index k = i; k < i + width; k += step) {
        if (simd::any_above<S>(size(k), least)) add_rows(k, k + step);
      }
    }
    add_rows(i, n);
    store.columns.push_back({static_cast<Index>(store.rows.size()), weight});
  }

  /// The same for a column of which only some rows are given.
  template <class Entry>
  void add_column(Index chunk, VectorX<S> const& w, std::int32_t const* rows, S const* e,
                  Index count, S least, S weight, Entry&& entry) {
    Store& store = stores_[static_cast<std::size_t>(chunk)];
    store.full = store.full || store.rows.size() > most_;
    if (store.full) return;
    for (Index k = 0; k < count; ++k) {
      if (!(w(rows[k]) * e[k] > least)) continue;
      store.rows.push_back(rows[k]);
      store.entries.push_back(entry(k));
    }
    store.columns.push_back({static_cast<Index>(store.rows.size()), weight});
  }

  /// visit(rows, entries, count) for the column that was added last to a chunk; returns whether it
  /// was taken in full.
  template <class Visit>
  bool visit_last(Index chunk, Visit&& visit) const {
    Store const& store = stores_[static_cast<std::size_t>(chunk)];
    if (store.full) return false;
    Index const end = store.columns.back().end;
    Index const begin = store.columns.size() > 1 ? store.columns[store.columns.size() - 2].end : 0;
    visit(store.rows.data() + begin, store.entries.data() + begin, end - begin);
    return true;
  }

  /// An empty column.
  void skip_column(Index chunk) {
    Store& store = stores_[static_cast<std::size_t>(chunk)];
    store.columns.push_back({static_cast<Index>(store.rows.size()), S(0)});
  }

  /// entry <- change(entry) for all of them.
  template <class Change>
  void transform(Change&& change) {
    for (Store& store : stores_) {
      for (S& entry : store.entries) entry = change(entry);
    }
  }

  /// Leaves out the k-th entry, counted over all columns, unless keep(k).
  template <class Keep>
  void filter(Keep&& keep) {
    std::size_t k = 0;
    for (Store& store : stores_) {
      std::size_t from = 0, to = 0;
      for (Column& column : store.columns) {
        for (; from < static_cast<std::size_t>(column.end); ++from, ++k) {
          if (!keep(k)) continue;
          store.rows[to] = store.rows[from];
          store.entries[to] = store.entries[from];
          ++to;
        }
        column.end = static_cast<Index>(to);
      }
      store.rows.resize(to);
      store.entries.resize(to);
    }
  }

  [[nodiscard]] Index nonzeros() const {
    Index sum = 0;
    for (Store const& store : stores_) sum += static_cast<Index>(store.rows.size());
    return sum;
  }

  /// visit(weight, rows, entries, count) for the columns of one chunk, in order.
  template <class Visit>
  void for_each_column_of(Index chunk, Visit&& visit) const {
    Store const& store = stores_[static_cast<std::size_t>(chunk)];
    Index begin = 0;
    for (Column const& column : store.columns) {
      visit(column.weight, store.rows.data() + begin, store.entries.data() + begin,
            column.end - begin);
      begin = column.end;
    }
  }

  template <class Visit>
  void for_each_column(Visit&& visit) const {
    for (std::size_t chunk = 0; chunk < stores_.size(); ++chunk) {
      for_each_column_of(static_cast<Index>(chunk), visit);
    }
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

  std::vector<Store> stores_;
  std::size_t most_ = 0;
};

}  // namespace monge::ot::detail
