// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/covariances.hpp"
#include "support/throws.hpp"
#include <monge/spd/gaussian.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using spd::Gaussian;

namespace {

Gaussian<double> gaussian(Index d, std::uint64_t seed, double condition = 20) {
  return {support::points(d, 1, seed).col(0), support::covariance(d, seed + 50, condition)};
}

double apart(MatrixXd const& X, MatrixXd const& Y) { return (X - Y).norm(); }

}  // namespace

TEST_CASE("in one dimension W2 is the distance of means and standard deviations", "[spd]") {
  auto const normal = [](double mean, double deviation) {
    return Gaussian<double>{VectorXd::Constant(1, mean),
                            MatrixXd::Constant(1, 1, deviation * deviation)};
  };
  CHECK(std::abs(spd::wasserstein_distance(normal(1, 2), normal(4, 6)) - 5) < 1e-15);
  CHECK(spd::wasserstein_distance(normal(1, 2), normal(1, 2)) == 0);
  CHECK(std::abs(spd::wasserstein_distance(normal(0, 1), normal(0, 0)) - 1) < 1e-15);
  auto const T = spd::optimal_map(normal(1, 2), normal(4, 6));
  CHECK(std::abs(T(MatrixXd(MatrixXd::Constant(1, 1, 3.0)))(0, 0) - 10) < 1e-14);
  auto const half = spd::displacement(normal(1, 2), normal(4, 6), 0.5);
  CHECK(std::abs(half.mean(0) - 2.5) < 1e-15);
  CHECK(std::abs(half.covariance(0, 0) - 16) < 1e-14);
}

TEST_CASE("the map pushes the mean and covariance forward, at the cost W2", "[spd]") {
  for (Index d : {2, 3, 8}) {
    auto const P = gaussian(d, 1), Q = gaussian(d, 2);
    auto const T = spd::optimal_map(P, Q);
    CHECK(apart(T.matrix * P.covariance * T.matrix.transpose(), Q.covariance) < 1e-13);
    CHECK(apart(T(P.mean), Q.mean) < 1e-14);
    MatrixXd const H = T.matrix - MatrixXd::Identity(d, d);
    double const w = spd::wasserstein_distance(P, Q);
    CHECK(std::abs((H * P.covariance * H).trace() + (P.mean - Q.mean).squaredNorm() - w * w) <
          1e-13);
    for (double t : {0.0, 0.3, 1.0}) {
      auto const R = spd::displacement(P, Q, t);
      CHECK(std::abs(spd::wasserstein_distance(P, R) - t * w) < 1e-13);
      CHECK(std::abs(spd::wasserstein_distance(R, Q) - (1 - t) * w) < 1e-13);
    }
  }
}

TEST_CASE("W2 of fitted Gaussians is a lower bound, met by affine images", "[spd]") {
  Index const n = 40;
  MatrixXd const X = support::points(3, n, 4);
  auto const P = spd::fitted_gaussian(X);
  CHECK(apart(P.mean, X.rowwise().mean()) < 1e-15);
  MatrixXd const centred = X.colwise() - P.mean;
  CHECK(apart(P.covariance, centred * centred.transpose() / double(n)) < 1e-15);
  MatrixXd const A = support::covariance(3, 5, 4);
  MatrixXd const Y = (A * X).colwise() + VectorXd(Eigen::Vector3d(1, -2, 0.5));
  // x -> A x + b with A positive definite is the gradient of a convex function: the pairing of each
  // point with its image is optimal.
  double const w = spd::wasserstein_distance(P, spd::fitted_gaussian(Y));
  CHECK(std::abs(w * w - (X - Y).squaredNorm() / double(n)) < 1e-13);
  MatrixXd const Z = Y + 0.2 * support::points(3, n, 6);
  double const bound = spd::wasserstein_distance(P, spd::fitted_gaussian(Z));
  CHECK(bound * bound < (X - Z).squaredNorm() / double(n));
  // A point of weight two counts like two points.
  MatrixXd twice(3, n + 1);
  twice << X, X.col(0);
  VectorXd w2 = VectorXd::Ones(n);
  w2(0) = 2;
  CHECK(apart(spd::fitted_gaussian(X, w2).covariance, spd::fitted_gaussian(twice).covariance) <
        1e-15);
}

TEST_CASE("the barycentre of Gaussians is one", "[spd]") {
  std::vector<Gaussian<double>> const P = {gaussian(4, 1), gaussian(4, 2), gaussian(4, 3)};
  VectorXd const w = Eigen::Vector3d(1, 2, 1);
  auto const r = spd::gaussian_barycenter(P, w, {.tolerance = 1e-12});
  REQUIRE(r.converged());
  CHECK(apart(r.gaussian.mean, (P[0].mean + 2 * P[1].mean + P[2].mean) / 4) < 1e-15);
  double value = 0;
  MatrixXd T = MatrixXd::Zero(4, 4);
  for (int i = 0; i < 3; ++i) {
    auto const k = std::size_t(i);
    value += w(i) / 4 * std::pow(spd::wasserstein_distance(r.gaussian, P[k]), 2);
    T += w(i) / 4 * spd::optimal_map(r.gaussian, P[k]).matrix;
  }
  CHECK(std::abs(r.variance - value) < 1e-13);
  CHECK(apart(T, MatrixXd::Identity(4, 4)) < 1e-10);  // the maps to the data cancel on average
}

TEST_CASE("Gaussians refuse misuse", "[spd]") {
  auto const P = gaussian(3, 1), Q = gaussian(2, 1);
  CHECK_REFUSED(spd::wasserstein_distance(P, Q), "one Gaussian has 3 dimensions and the other 2");
  CHECK_REFUSED(spd::optimal_map(Gaussian<double>{P.mean, Q.covariance}, P),
                "optimal_map: a mean has 3 entries but its covariance is 2x2");
  CHECK_REFUSED(spd::wasserstein_distance(Gaussian<double>{}, Gaussian<double>{}),
                "a mean is empty");
  CHECK_REFUSED(spd::wasserstein_distance(Gaussian<double>{P.mean / 0.0, P.covariance}, P),
                "a mean has NaN");
  CHECK_REFUSED(spd::fitted_gaussian(MatrixXd(3, 0)), "fitted_gaussian: the points 3x0");
  CHECK_REFUSED(spd::gaussian_barycenter(std::vector<Gaussian<double>>{}, VectorXd()),
                "gaussian_barycenter: there are no Gaussians");
  CHECK_REFUSED(spd::optimal_map(P, P)(MatrixXd(2, 5)), "the points are 2x5");
}
