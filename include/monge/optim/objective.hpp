// SPDX-License-Identifier: MIT
/// @file
/// What a function to be minimised looks like.
///
/// The variable x is a value of a plain Eigen type X: vector or matrix, fixed or dynamic. Value and
/// gradient come from one call, because they share most of their work:
///
///     value = objective(x, gradient)      X const& x, X& gradient (same shape, to be overwritten)
///
/// A lambda with `auto const&` and `auto&&` parameters fits, and so does one with `VectorXd const&`
/// and `VectorXd&`. A random one has the key of its randomness as a third argument and is the same
/// function of (x, key) whenever it is called:
///
///     value = objective(x, gradient, key)
///
/// NaN or infinity as a value means "not defined here": methods step back from it.
#pragma once

#include <concepts>
#include <type_traits>

#include <monge/core/random.hpp>
#include <monge/core/types.hpp>

namespace monge::optim {

/// A plain dense Eigen matrix or vector over float, double or long double: the type of a variable.
template <class X>
concept Variable =
    RealMatrixExpr<X> && std::same_as<X, std::remove_cvref_t<typename X::PlainObject>>;

/// `objective(x, gradient) -> value`: writes the gradient at x, of the shape of x, and returns the
/// value at x. May be called with x of any finite entries.
template <class F, class X>
concept DifferentiableObjective =
    Variable<X> && std::invocable<F&, X const&, X&> &&
    std::convertible_to<std::invoke_result_t<F&, X const&, X&>, typename X::Scalar>;

/// `objective(x, gradient, key) -> value`: an estimate of a value and its gradient, made with the
/// random numbers of the key (core/random.hpp) and no others.
template <class F, class X>
concept StochasticObjective =
    Variable<X> && std::invocable<F&, X const&, X&, RandomKey> &&
    std::convertible_to<std::invoke_result_t<F&, X const&, X&, RandomKey>, typename X::Scalar>;

}  // namespace monge::optim
