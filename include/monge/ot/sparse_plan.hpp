// SPDX-License-Identifier: MIT
/// @file
/// The large entries of an entropic coupling, without ever forming the coupling.
///
/// For small epsilon nearly all the mass of P sits on a few entries per row. `sparse_plan` keeps
/// those that matter to their row or to their column; `sparse_plan_top` keeps the k largest of each
/// row. Both read the cost once, with n m exponentials, and need O(n + m) memory beyond the entries
/// that they keep; both say what mass they left out, row by row and column by column.
#pragma once

#include <Eigen/SparseCore>

#include <limits>
#include <vector>

#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/plan.hpp>

namespace monge::ot {

/// Some entries of a coupling, and the mass of the others.
template <RealScalar S>
struct SparsePlan {
  Eigen::SparseMatrix<S> entries;  ///< n x m, column-major, the kept P_ij > 0, none of them changed
  VectorX<wide_t<S>> left_out_rows;  ///< n: mass of the other entries of each row
  VectorX<wide_t<S>> left_out_cols;  ///< m: mass of the other entries of each column
  wide_t<S> left_out = 0;            ///< mass of all other entries
};

namespace detail {

/// Room in the int indices of Eigen::SparseMatrix.
inline void require_room(std::string_view function, Index nonzeros) {
  require(nonzeros <= std::numeric_limits<int>::max(), function, ": more than ",
          std::numeric_limits<int>::max(), " entries; keep fewer");
}

}  // namespace detail

/// The entries P_ij >= threshold * min(a_i, b_j): those that are at least the share `threshold` of
/// the weight of their row or of their column, for the cost that was solved.
///
///     auto sparse = sparse_plan(C, r, 1e-3);   // sparse.entries is an Eigen::SparseMatrix
///
/// A row (column) that carries its weight keeps at most 1/threshold entries by its own weight, so a
/// coupling keeps at most (n + m) / threshold in all; a threshold of at most 1/max(n, m) leaves no
/// row and no column empty. At most m * threshold of a row's weight and n * threshold of a column's
/// is left out, and usually far less. threshold 0 keeps all entries that are not zero.
///
/// Weights below the normal range of the scalar count as zero and have no entries.
template <Cost C, EntropicSolution R>
[[nodiscard]] SparsePlan<scalar_t<C>> sparse_plan(C const& cost, R const& r, double threshold) {
  using S = scalar_t<C>;
  using Wide = wide_t<S>;
  detail::require(threshold >= 0 && threshold <= 1, "sparse_plan: threshold is ", threshold,
                  "; it is the share of a row or column that matters, between 0 and 1");
  return detail::with_plan(cost, r, [&](auto& columns) {
    Index const n = columns.rows(), m = columns.cols();
    VectorX<S> const row_share = S(threshold) * r.a;
    SparsePlan<S> x;
    x.entries.resize(n, m);
    x.left_out_rows = VectorX<Wide>::Zero(n);
    x.left_out_cols = VectorX<Wide>::Zero(m);
    VectorX<S> p(n);
    Index count = 0;
    for (Index j = 0; j < m; ++j) {
      columns.column(j, p);
      S const column_share = S(threshold) * r.b(j);
      x.entries.startVec(j);
      detail::require_room("sparse_plan", count + n);
      for (Index i = 0; i < n; ++i) {
        S const entry = p(i);
        if (entry > 0 && (entry >= column_share || entry >= row_share(i))) {
          x.entries.insertBack(i, j) = entry;
          ++count;
        } else {
          x.left_out_rows(i) += Wide(entry);
          x.left_out_cols(j) += Wide(entry);
        }
      }
    }
    x.entries.finalize();
    x.left_out = x.left_out_cols.sum();
    return x;
  });
}

/// The k largest entries of each row (all that are not zero if there are fewer); of equal entries
/// those of the lowest columns. O(n k) memory beyond the result. For the k largest of each column
/// pass the transposed problem, or work on `sparse_plan`.
template <Cost C, EntropicSolution R>
[[nodiscard]] SparsePlan<scalar_t<C>> sparse_plan_top(C const& cost, R const& r, Index k) {
  using S = scalar_t<C>;
  using Wide = wide_t<S>;
  detail::require(k >= 1, "sparse_plan_top: k is ", k, "; keep at least one entry per row");
  return detail::with_plan(cost, r, [&](auto& columns) {
    Index const n = columns.rows(), m = columns.cols();
    Index const kept = std::min(k, m);
    detail::require_room("sparse_plan_top", n * kept);
    MatrixX<S> best = MatrixX<S>::Zero(kept, n);  // of every row in falling order
    Eigen::Matrix<Index, Eigen::Dynamic, Eigen::Dynamic> column(kept, n);
    VectorX<S> least = VectorX<S>::Zero(n);  // the last of them, contiguous
    SparsePlan<S> x;
    x.left_out_rows = VectorX<Wide>::Zero(n);
    x.left_out_cols = VectorX<Wide>::Zero(m);
    VectorX<S> p(n);
    for (Index j = 0; j < m; ++j) {
      columns.column(j, p);
      for (Index i = 0; i < n; ++i) {
        if (!(p(i) > least(i))) {
          x.left_out_rows(i) += Wide(p(i));
          x.left_out_cols(j) += Wide(p(i));
          continue;
        }
        if (least(i) > 0) {
          x.left_out_rows(i) += Wide(least(i));
          x.left_out_cols(column(kept - 1, i)) += Wide(least(i));
        }
        Index place = kept - 1;
        for (; place > 0 && best(place - 1, i) < p(i); --place) {
          best(place, i) = best(place - 1, i);
          column(place, i) = column(place - 1, i);
        }
        best(place, i) = p(i);
        column(place, i) = j;
        least(i) = best(kept - 1, i);
      }
    }
    std::vector<Eigen::Triplet<S>> entries;
    entries.reserve(static_cast<std::size_t>(n * kept));
    for (Index i = 0; i < n; ++i) {
      for (Index place = 0; place < kept && best(place, i) > 0; ++place) {
        entries.emplace_back(static_cast<int>(i), static_cast<int>(column(place, i)),
                             best(place, i));
      }
    }
    x.entries.resize(n, m);
    x.entries.setFromTriplets(entries.begin(), entries.end());
    x.left_out = x.left_out_cols.sum();
    return x;
  });
}

}  // namespace monge::ot
