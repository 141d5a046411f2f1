// SPDX-License-Identifier: MIT

#include <Eigen/Core>

#include <complex>
#include <string>
#if __has_include(<unsupported/Eigen/AutoDiff>)
#include <unsupported/Eigen/AutoDiff>
#define MONGE_HAVE_AUTODIFF
#endif

#include "support/catch.hpp"
#include <monge/core/types.hpp>

using namespace monge;
using Eigen::Dynamic;

namespace {

template <class T>
using Row = Eigen::Matrix<T, 1, Dynamic>;
template <class T>
using RowMajor = Eigen::Matrix<T, Dynamic, Dynamic, Eigen::RowMajor>;
using M = Eigen::MatrixXd;
using V = Eigen::VectorXd;
#ifdef MONGE_HAVE_AUTODIFF
using Gradient = Eigen::AutoDiffScalar<Eigen::VectorXd>;
#endif

M const matrix;
V const vector;
Row<double> const row;
template <class T>
constexpr bool a_matrix = MatrixExpr<T> && RealMatrixExpr<T>;
template <class T>
constexpr bool a_vector = a_matrix<T> && VectorExpr<T> && RealVectorExpr<T>;

}  // namespace

// Every kind of dense matrix expression is a MatrixExpr, by value, reference and const reference.
static_assert(a_matrix<M> && a_matrix<M&> && a_matrix<M const&> && a_matrix<M&&>);
static_assert(a_matrix<RowMajor<float>> && a_matrix<Eigen::Matrix3f> &&
              a_matrix<Eigen::Matrix<long double, 2, 5>>);
static_assert(a_matrix<decltype(matrix + matrix)> && a_matrix<decltype(2 * matrix)> &&
              a_matrix<decltype(matrix * matrix)> && a_matrix<decltype(matrix.transpose())> &&
              a_matrix<decltype(matrix.block(0, 0, 1, 1))> && a_matrix<decltype(matrix.col(0))> &&
              a_matrix<decltype(matrix.cwiseAbs())> &&
              a_matrix<decltype(matrix.array().matrix())> &&
              a_matrix<decltype(matrix.reshaped(1, 1))> &&
              a_matrix<decltype(matrix.rowwise().sum())> && a_matrix<decltype(M::Zero(1, 1))> &&
              a_matrix<decltype(M::Random(1, 1))> && a_matrix<decltype(matrix.diagonal())> &&
              a_matrix<decltype(matrix.replicate(2, 2))>);
static_assert(a_matrix<Eigen::Map<M>> && a_matrix<Eigen::Map<M const, 0, Eigen::OuterStride<>>> &&
              a_matrix<Eigen::Ref<M>> && a_matrix<Eigen::Ref<M const>>);

// Arrays, numbers, sparse and structured matrices are not.
static_assert(!MatrixExpr<Eigen::ArrayXXd> && !MatrixExpr<decltype(matrix.array())> &&
              !MatrixExpr<double> && !MatrixExpr<int> && !MatrixExpr<double*> &&
              !MatrixExpr<std::string> && !MatrixExpr<Eigen::DiagonalMatrix<double, 3>>);
static_assert(!RealMatrixExpr<Eigen::ArrayXXd> && !RealVectorExpr<double> && !VectorExpr<double>);

// Integers, complex numbers and differentiation scalars are not real.
static_assert(MatrixExpr<Eigen::MatrixXi> && !RealMatrixExpr<Eigen::MatrixXi>);
static_assert(MatrixExpr<Eigen::MatrixXcd> && !RealMatrixExpr<Eigen::MatrixXcd>);

// A vector is one at compile time, as a row or as a column.
static_assert(a_vector<V> && a_vector<V const&> && a_vector<Row<float>> &&
              a_vector<Eigen::Vector3d> && a_vector<decltype(matrix.col(0))> &&
              a_vector<decltype(matrix.row(0))> && a_vector<decltype(matrix * vector)> &&
              a_vector<decltype(V::Ones(3))>);
static_assert(!VectorExpr<M> && !VectorExpr<decltype(matrix.block(0, 0, 1, 1))>);

// Mixed precision is refused where it is written.
static_assert(VectorLike<V, M> && VectorLike<V const&, M&> && !VectorLike<Eigen::VectorXf, M> &&
              !VectorLike<M, M> && !VectorLike<double, M>);
static_assert(MatrixLike<M, V> && MatrixLike<RowMajor<double> const&, M> &&
              !MatrixLike<Eigen::MatrixXf, M> && !MatrixLike<Eigen::ArrayXXd, M>);

static_assert(RealScalar<float> && RealScalar<double> && RealScalar<long double>);
static_assert(!RealScalar<int> && !RealScalar<bool> && !RealScalar<std::complex<double>>);
static_assert(FieldScalar<float> && FieldScalar<double> && FieldScalar<long double>);
static_assert(!FieldScalar<int> && !FieldScalar<std::complex<double>> &&
              !FieldScalar<std::string> && !FieldScalar<double*> && !FieldScalar<M>);
#ifdef MONGE_HAVE_AUTODIFF
static_assert(FieldScalar<Gradient> && FieldScalar<Eigen::AutoDiffScalar<Eigen::Vector3f>>);
static_assert(!RealScalar<Gradient>);
static_assert(VectorExpr<VectorX<Gradient>> && !RealVectorExpr<VectorX<Gradient>>);
#endif

static_assert(std::same_as<wide_t<float>, double> && std::same_as<wide_t<double>, double> &&
              std::same_as<wide_t<long double>, long double>);
static_assert(std::same_as<scalar_t<Eigen::MatrixXf const&>, float>);
static_assert(std::same_as<VectorX<double>, V> && std::same_as<MatrixX<double>, M>);
static_assert(std::signed_integral<Index>);
static_assert(1 + unit_roundoff<double> > 1 && 1 + unit_roundoff<double> / 2 == 1);

TEST_CASE("as_column hands columns through and turns rows, for a Ref to a column to bind to") {
  auto const sum = [](Eigen::Ref<V const> v) { return v.size() == 3 ? v.sum() : -1; };
  V const column = V::LinSpaced(3, 1, 3);
  Row<double> const line = column.transpose();
  CHECK(sum(detail::as_column(column)) == 6);
  CHECK(sum(detail::as_column(line)) == 6);
  CHECK(sum(detail::as_column(2 * column)) == 12);
  CHECK(sum(detail::as_column(2 * line)) == 12);
  M square = M::Identity(3, 3);
  square.row(1) = line;
  CHECK(sum(detail::as_column(square.row(1))) == 6);
  CHECK(sum(detail::as_column(square.col(2))) == 4);
  // A column passes by reference: its entries are not copied on the way.
  CHECK(&detail::as_column(column) == &column);
}

TEST_CASE("infinity and not_a_number are what they say") {
  CHECK(infinity > std::numeric_limits<double>::max());
  CHECK(not_a_number != not_a_number);
}
