// SPDX-License-Identifier: MIT
/// @file
/// What `weight_gradient(r)` returns for the results of every solver: derivatives of a value of
/// transport with respect to the weights. Which value, and along which changes, is said at the
/// overload for the result.
#pragma once

#include <monge/core/types.hpp>

namespace monge::ot {

/// Derivatives with respect to the weights.
template <RealScalar S>
struct WeightGradient {
  VectorX<S> a;  ///< n
  VectorX<S> b;  ///< m
};

}  // namespace monge::ot
