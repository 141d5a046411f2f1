// SPDX-License-Identifier: MIT
/// @file
/// The vocabulary of every signature: indices, scalars, plain dense types and the concepts that
/// public functions use for Eigen arguments.
///
/// Points are columns: a sample set is d x n, a batch of states is d x n, weights are an n vector.
#pragma once

#include <Eigen/Core>

#include <concepts>
#include <limits>
#include <type_traits>

namespace monge {

using Index = Eigen::Index;  ///< signed, as in Eigen

/// A column of any length.
template <class S>
using VectorX = Eigen::Matrix<S, Eigen::Dynamic, 1>;
/// A column-major matrix of any size.
template <class S>
using MatrixX = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;

/// "Without limit", and a cost that forbids a pair.
inline constexpr double infinity = std::numeric_limits<double>::infinity();
/// A quiet NaN.
inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// float, double and long double: the scalars of transport and of the optimisers.
template <class S>
concept RealScalar = std::floating_point<S>;

/// A RealScalar, or a type with real arithmetic that Eigen knows, such as an automatic
/// differentiation scalar: the scalars of integrators, paths and losses.
template <class S>
concept FieldScalar = RealScalar<S> || (std::is_class_v<S> && !Eigen::NumTraits<S>::IsComplex &&
                                        !Eigen::NumTraits<S>::IsInteger && requires(S s) {
                                          { s + s* s - s / s } -> std::convertible_to<S>;
                                          { s < s } -> std::convertible_to<bool>;
                                        });

/// The scalar that sums over many entries of type S are kept in: double for float, else S itself.
template <class S>
using wide_t = std::conditional_t<std::same_as<S, float>, double, S>;

/// The scalar of an Eigen expression or of a cost operator.
template <class T>
using scalar_t = typename std::remove_cvref_t<T>::Scalar;

namespace detail {
template <class D>
void as_matrix(Eigen::MatrixBase<D> const&);
}  // namespace detail

/// Any dense Eigen matrix expression: matrices, blocks, maps, references, products, transposes...
/// (Arrays are not matrices; write `.matrix()`.)
template <class T>
concept MatrixExpr = requires(T const& t) { detail::as_matrix(t); };

/// A MatrixExpr that is a row or a column at compile time.
template <class T>
concept VectorExpr = MatrixExpr<T> && bool(std::remove_cvref_t<T>::IsVectorAtCompileTime);

/// A MatrixExpr over float, double or long double.
template <class T>
concept RealMatrixExpr = MatrixExpr<T> && RealScalar<scalar_t<T>>;

/// A VectorExpr over float, double or long double.
template <class T>
concept RealVectorExpr = VectorExpr<T> && RealScalar<scalar_t<T>>;

/// A vector with the scalar of T, so that mixed precision is refused where it is written.
template <class V, class T>
concept VectorLike = VectorExpr<V> && std::same_as<scalar_t<V>, scalar_t<T>>;

/// A matrix with the scalar of T.
template <class M, class T>
concept MatrixLike = MatrixExpr<M> && std::same_as<scalar_t<M>, scalar_t<T>>;

/// u, the distance from 1 to the next number of type S.
template <RealScalar S>
inline constexpr S unit_roundoff = std::numeric_limits<S>::epsilon();

namespace detail {

/// A row or column expression as a column: what a `Ref<VectorX<S> const>` parameter binds to.
template <VectorExpr V>
decltype(auto) as_column(V const& v) {
  if constexpr (V::ColsAtCompileTime == 1) {
    return (v);
  } else {
    return v.transpose();
  }
}

}  // namespace detail
}  // namespace monge
