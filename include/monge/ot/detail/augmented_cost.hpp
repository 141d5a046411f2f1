// SPDX-License-Identifier: MIT
/// @file
/// A cost with one row and one column more: where mass goes that is not to be moved.
#pragma once

#include <algorithm>
#include <limits>
#include <utility>

#include <monge/ot/cost.hpp>

namespace monge::ot::detail {

/// (n + 1) x (m + 1): the entries of an n x m cost, `price` in the last row and in the last column,
/// and a forbidden pair where they meet. Only the last segment of a column is copied.
template <CostOperator C>
class AugmentedCost {
 public:
  using Scalar = scalar_t<C>;

  AugmentedCost(C cost, Scalar price) : cost_(std::move(cost)), price_(price) {}

  [[nodiscard]] Index rows() const { return cost_.rows() + 1; }
  [[nodiscard]] Index cols() const { return cost_.cols() + 1; }

  Scalar const* column_segment(Index j, Index first, Index count, Scalar* scratch) const {
    Index const own = std::min(count, cost_.rows() - first);
    if (j == cost_.cols()) {
      std::fill_n(scratch, own, price_);
    } else {
      Scalar const* const c = own > 0 ? cost_.column_segment(j, first, own, scratch) : scratch;
      if (own == count) return c;
      if (c != scratch) std::copy_n(c, own, scratch);
    }
    if (own < count) {
      scratch[own] = j == cost_.cols() ? std::numeric_limits<Scalar>::infinity() : price_;
    }
    return scratch;
  }

 private:
  C cost_;
  Scalar price_;
};

}  // namespace monge::ot::detail
