// SPDX-License-Identifier: MIT
/// @file
/// c-transforms: the largest potentials that a partner allows.
///
/// (f, g) is feasible for the dual of unregularised transport, max <a, f> + <b, g>, if
/// f_i + g_j <= C_ij for all pairs. For any g the transform below is the largest feasible f, and
/// transforming twice never lowers the dual value. O(n m) and one read of the cost.
#pragma once

#include <limits>

#include <monge/core/require.hpp>
#include <monge/ot/cost.hpp>
#include <monge/ot/detail/entropic_pass.hpp>

namespace monge::ot {

/// f_i = min_j C_ij - g_j (n) for g (m). A column with g_j = -infinity takes no part; a row without
/// an allowed partner gets +infinity.
template <Cost C, VectorLike<C> G>
[[nodiscard]] VectorX<scalar_t<C>> c_transform_rows(C const& cost, G const& g) {
  using S = scalar_t<C>;
  VectorX<S> const potential = detail::as_column(g);
  return detail::with_cost(cost, [&](auto const& bound) {
    detail::require(potential.size() == bound.cols(), "c_transform_rows: cost is ",
                    detail::shape(bound), " but g has ", potential.size(),
                    " entries; g needs one entry per column");
    VectorX<S> f = VectorX<S>::Constant(bound.rows(), std::numeric_limits<S>::infinity());
    VectorX<S> scratch(detail::segment_width);
    for (Index j = 0; j < bound.cols(); ++j) {
      detail::for_each_segment(bound, j, scratch.data(), [&](Index first, Index count, S const* c) {
        auto part = f.segment(first, count).array();
        part = part.min(detail::ConstArrayMap<S>(c, count) - potential(j));
      });
    }
    return f;
  });
}

/// g_j = min_i C_ij - f_i (m) for f (n). A row with f_i = -infinity takes no part; a column without
/// an allowed partner gets +infinity.
template <Cost C, VectorLike<C> F>
[[nodiscard]] VectorX<scalar_t<C>> c_transform_columns(C const& cost, F const& f) {
  using S = scalar_t<C>;
  VectorX<S> const potential = detail::as_column(f);
  return detail::with_cost(cost, [&](auto const& bound) {
    detail::require(potential.size() == bound.rows(), "c_transform_columns: cost is ",
                    detail::shape(bound), " but f has ", potential.size(),
                    " entries; f needs one entry per row");
    VectorX<S> g(bound.cols());
    VectorX<S> scratch(detail::segment_width);
    for (Index j = 0; j < bound.cols(); ++j) {
      S least = std::numeric_limits<S>::infinity();
      detail::for_each_segment(bound, j, scratch.data(), [&](Index first, Index count, S const* c) {
        least = std::min(
            least, (detail::ConstArrayMap<S>(c, count) - potential.segment(first, count).array())
                       .minCoeff());
      });
      g(j) = least;
    }
    return g;
  });
}

}  // namespace monge::ot
