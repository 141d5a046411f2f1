// SPDX-License-Identifier: MIT
/// @file
/// The right-hand side of an ordinary differential equation dx/dt = v(t, x).
#pragma once

#include <concepts>

#include <monge/core/types.hpp>

namespace monge::flow {

/// A callable `field(t, x, dx)` that writes v(t, x) into `dx`, which has the shape of `x` and
/// arrives with unspecified entries. X is the plain type of the state: a vector, or a d x n batch
/// with one point per column, of fixed or dynamic size. Any return value is ignored.
///
/// The arguments are `double`, `X const&` and `X&`; a generic lambda is asked for exactly these
/// types, and parameters such as `auto const& x, auto&& dx` or `Eigen::Ref<X> dx` bind as well.
template <class F, class X>
concept VelocityField =
    MatrixExpr<X> && FieldScalar<scalar_t<X>> && std::same_as<X, typename X::PlainObject> &&
    std::invocable<F&, double, X const&, X&>;

}  // namespace monge::flow
