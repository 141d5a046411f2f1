// SPDX-License-Identifier: MIT
/// @file
/// Lists of transport problems: what belongs to each of them, and whose fault a refusal is.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <monge/core/require.hpp>
#include <monge/core/types.hpp>
#include <monge/ot/cost.hpp>

namespace monge::ot::detail {

/// Problem k's share of a list, or what all problems have in common.
template <class List>
decltype(auto) item_of(List const& list, Index k) {
  if constexpr (VectorExpr<List>) {
    return (list);
  } else {
    return (list[std::size_t(k)]);
  }
}

template <class List>
void require_length(std::string_view function, std::string_view name, List const& list,
                    Index count) {
  if constexpr (!VectorExpr<List>) {
    require(Index(list.size()) == count, function, ": ", name, " has ", list.size(),
            " entries for ", count, " problems; give one for each, or one vector for all");
  }
}

/// Runs `solve`; what it refuses is said with the name of the problem.
template <class Solve>
void named(std::string_view function, Index i, Index j, Solve&& solve) {
  try {
    solve();
  } catch (std::invalid_argument const& refusal) {
    if (j < 0) misuse(function, ": problem ", i, ": ", std::string_view(refusal.what()));
    misuse(function, ": measures ", i, " and ", j, ": ", std::string_view(refusal.what()));
  }
}

/// A list of measures: clouds (d x n_k) with weights (n_k), equal ones if there are none.
template <RealScalar S>
struct Measures {
  std::vector<MatrixX<S>> const& clouds;
  std::vector<VectorX<S>> const& weights;

  void check(std::string_view function, std::string_view name) const {
    require(weights.empty() || weights.size() == clouds.size(), function, ": ", name, " are ",
            clouds.size(), " clouds with ", weights.size(),
            " vectors of weights; give one for each cloud, or none for equal weights");
  }
  [[nodiscard]] VectorX<S> weight(std::size_t k) const {
    if (!weights.empty()) return weights[k];
    return VectorX<S>::Constant(clouds[k].cols(), S(1) / S(std::max<Index>(clouds[k].cols(), 1)));
  }
};

/// The entries of a cost, in a workspace of the largest size that it has met.
template <CostOperator C>
Eigen::Map<MatrixX<scalar_t<C>> const> entries_of(C const& cost, MatrixX<scalar_t<C>>& workspace) {
  using S = scalar_t<C>;
  Index const n = cost.rows();
  if (workspace.size() < n * cost.cols()) workspace.resize(n, cost.cols());
  for (Index j = 0; j < cost.cols(); ++j) {
    S* const column = workspace.data() + j * n;
    S const* const filled = cost.column_segment(j, 0, n, column);
    if (filled != column) std::copy_n(filled, n, column);
  }
  return {workspace.data(), n, cost.cols()};
}

}  // namespace monge::ot::detail
