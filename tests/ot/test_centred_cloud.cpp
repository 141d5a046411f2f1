// SPDX-License-Identifier: MIT
// Oracle: the same products written with Eigen in a wider scalar, for sizes around those of tiles.
#include <Eigen/Core>

#include <vector>

#include "support/catch.hpp"
#include <monge/core/random.hpp>
#include <monge/core/threads.hpp>
#include <monge/ot/detail/centred_cloud.hpp>

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::MatrixX;
using monge::RandomKey;
using monge::VectorX;
using namespace monge::ot::detail;

template <class S>
MatrixX<S> numbers(Index rows, Index columns, std::uint64_t seed) {
  MatrixX<S> X(rows, columns);
  monge::random::fill_normal(X, RandomKey{seed, 0});
  return X;
}

template <class S>
constexpr double precision = 8 * double(std::numeric_limits<S>::epsilon());

std::vector<Index> const sizes = {1, 2, 3, 4, 5, 8, 11, 12, 13, 24, 25, 49, 70};

}  // namespace

TEMPLATE_TEST_CASE("projections of centred points are those of Eigen", "", float, double) {
  using S = TestType;
  for (Index d : {1, 2, 3, 4, 7, 8, 13, 40}) {
    VectorXd const origin = 1000 * numbers<double>(d, 1, 3).col(0);
    for (Index n : sizes) {
      MatrixX<S> const X = (numbers<double>(d, n, 1).colwise() + origin).template cast<S>();
      CentredCloud<S> cloud(X);
      cloud.measure_mean();
      cloud.centre(origin);
      MatrixXd const exact = X.template cast<double>().colwise() - origin;
      REQUIRE((cloud.remainder - exact.rowwise().mean()).norm() < 1e-12 * origin.norm());
      REQUIRE(cloud.row() >= cloud.padded() + tile_columns);
      for (Index L : {1, 2, 3, 4, 5, 8, 10, 13}) {
        MatrixX<S> const theta = numbers<S>(d, L, 2);
        VectorX<S> rows = VectorX<S>::Constant(cloud.row() * L, S(7));
        Index const half = cloud.panels() / 2;
        cloud.project(theta.data(), L, half, cloud.panels(), rows.data());
        cloud.project(theta.data(), L, 0, half, rows.data());
        MatrixXd const expected = theta.template cast<double>().transpose() * exact;
        for (Index l = 0; l < L; ++l) {
          auto const row = rows.segment(l * cloud.row(), n).template cast<double>();
          REQUIRE((row - expected.row(l).transpose()).norm() <=
                  precision<S> * theta.norm() * exact.norm());
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("panels multiply and accumulate like Eigen and touch nothing else", "", float,
                   double) {
  using S = TestType;
  for (Index rows : sizes) {
    for (Index columns : {1, 3, 4, 6, 9}) {
      Index const depth = 5, first = 2;
      MatrixX<S> const A = numbers<S>(rows, first + depth, 1);
      MatrixX<S> const B = numbers<S>(depth, 12, 2);  // room up to a multiple of four
      VectorX<S> const scale = numbers<S>(depth, 1, 3).col(0);
      Panels<S> panels;
      panels.assign(A, first, depth, [&](Index i) { return scale(i); });
      MatrixX<S> C = numbers<S>(rows + 2, columns + 2, 4);
      MatrixX<S> const before = C;
      MatrixX<S> const product =
          A.middleCols(first, depth) * scale.asDiagonal() * B.leftCols(columns);
      panels.multiply({B.data(), 1, depth}, columns, C.data(), C.rows(), true);
      MatrixX<S> expected = before;
      expected.topLeftCorner(rows, columns) += product;
      REQUIRE((C - expected).cwiseAbs().maxCoeff() < S(precision<S> * 20));
      expected = before;
      expected.topLeftCorner(rows, columns) = product;
      panels.multiply({B.data(), 1, depth}, columns, C.data(), C.rows(), false);
      REQUIRE((C - expected).cwiseAbs().maxCoeff() < S(precision<S> * 20));
      REQUIRE(C.rightCols(2) == before.rightCols(2));
      REQUIRE(C.bottomRows(2) == before.bottomRows(2));
    }
  }
}

TEMPLATE_TEST_CASE("moments are those of Eigen, with and without weights", "", float, double) {
  using S = TestType;
  for (Index d : {1, 3, 5, 13, 30}) {
    for (Index n : {1, 4, 257, 700}) {
      MatrixX<S> const X = numbers<S>(d, n, 1);
      for (bool weighted : {false, true}) {
        CentredCloud<S> cloud(X);
        VectorXd w = VectorXd::Constant(n, 1 / double(n));
        if (weighted) {
          monge::random::fill_uniform(w, RandomKey{5, 0});
          w /= w.sum();
          cloud.weights = w;
        }
        cloud.measure_mean();
        cloud.centre(VectorXd::Constant(d, 0.25));
        VectorXd const mean = X.template cast<double>() * w;
        MatrixXd const Z = X.template cast<double>().colwise() - mean;
        MatrixXd const expected = Z * w.asDiagonal() * Z.transpose();
        MatrixXd const C = cloud.covariance({});
        REQUIRE((cloud.mean - mean).norm() < 1e-13 * double(d));
        REQUIRE((C - expected).norm() < 4 * precision<S> * (double(d) + expected.norm()));
        REQUIRE(std::abs(cloud.mean_square() - expected.trace()) < 4 * precision<S> * double(d));
        REQUIRE(cloud.covariance(monge::parallel::threads(2)) == C);
      }
    }
  }
}

TEMPLATE_TEST_CASE("a square of packs transposes", "", float, double) {
  using S = TestType;
  constexpr int n = monge::simd::lanes<S>;
  monge::simd::pack_t<S> rows[n];
  Eigen::Matrix<S, n, n> M = numbers<S>(n, n, 1);
  for (int k = 0; k < n; ++k) rows[k] = monge::simd::load<S>(M.col(k).data());
  monge::simd::transpose<S>(rows);
  Eigen::Matrix<S, n, n> T;
  for (int k = 0; k < n; ++k) monge::simd::store<S>(T.col(k).data(), rows[k]);
  REQUIRE(T == M.transpose());
}
