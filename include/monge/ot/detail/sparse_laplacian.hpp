// SPDX-License-Identifier: MIT
/// @file
/// The sparsified Hessian of the semi-dual, kept in factored form.
///
///     L x = sum_j v_j (diag(q_j) - q_j q_j') x + (dropped + shift) x
///
/// with the columns q_j of the normalised plan, of which only the larger entries are kept. Written
/// as v_j q_ij (x_i - <q_j, x>), so that nothing cancels when a column is concentrated on one row.
#pragma once

#include <cstdint>

#include <monge/core/parallel.hpp>
#include <monge/core/types.hpp>
#include <monge/ot/detail/compressed_columns.hpp>

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
  CompressedColumns<S> columns_;
  VectorX<S> extra_, diagonal_;
};

}  // namespace monge::ot::detail
