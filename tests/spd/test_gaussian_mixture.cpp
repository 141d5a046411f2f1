// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/covariances.hpp"
#include "support/throws.hpp"
#include <monge/ot/exact.hpp>
#include <monge/spd/gaussian_mixture.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using Mixture = spd::GaussianMixture<double>;

namespace {

Mixture mixture(Index count, Index d, std::uint64_t seed) {
  Mixture P;
  P.weights = support::weights(count, seed);
  for (Index k = 0; k < count; ++k) {
    auto const s = seed + 10 * std::uint64_t(k);
    P.components.push_back({3 * support::points(d, 1, s).col(0), support::covariance(d, s, 10)});
  }
  return P;
}

auto const exactly = [](MatrixXd const& C, VectorXd const& a, VectorXd const& b) {
  return ot::exact(C, a, b);
};

double distance(Mixture const& P, Mixture const& Q) {
  return spd::mixture_transport(P, Q, exactly).distance;
}

double apart(MatrixXd const& X, MatrixXd const& Y) { return (X - Y).norm(); }

}  // namespace

TEST_CASE("MW2 is a metric on mixtures", "[spd]") {
  Mixture const P = mixture(3, 2, 1), Q = mixture(4, 2, 2), R = mixture(2, 2, 3);
  double const pq = distance(P, Q), qr = distance(Q, R), pr = distance(P, R);
  CHECK(std::abs(distance(Q, P) - pq) < 1e-13);
  CHECK(pr < pq + qr);
  CHECK(distance(P, P) < 1e-7);  // the root of a sum of squares of 1e-15
  // Splitting a component in two equal ones changes nothing.
  Mixture split = P;
  split.components.push_back(P.components[0]);
  split.weights.conservativeResize(4);
  split.weights(3) = split.weights(0) * 0.4;
  split.weights(0) *= 0.6;
  CHECK(std::abs(distance(split, Q) - pq) < 1e-13);
}

TEST_CASE("points are mixtures without width, single components Gaussians", "[spd]") {
  Mixture P = mixture(5, 3, 1), Q = mixture(6, 3, 2);
  MatrixXd X(3, 5), Y(3, 6);
  for (Index k = 0; k < 5; ++k) {
    X.col(k) = P.components[std::size_t(k)].mean;
    P.components[std::size_t(k)].covariance.setZero();
  }
  for (Index k = 0; k < 6; ++k) {
    Y.col(k) = Q.components[std::size_t(k)].mean;
    Q.components[std::size_t(k)].covariance.setZero();
  }
  auto const r = spd::mixture_transport(P, Q, exactly);
  auto const discrete =
      ot::exact(ot::cost_matrix(X, Y, ot::squared_euclidean{}), P.weights, Q.weights);
  CHECK(r.converged());
  CHECK(std::abs(r.distance * r.distance - discrete.transport_cost) < 1e-12);
  Mixture const one{VectorXd::Ones(1), {mixture(1, 3, 4).components[0]}};
  Mixture const two{VectorXd::Ones(1), {mixture(1, 3, 5).components[0]}};
  CHECK(std::abs(distance(one, two) -
                 spd::wasserstein_distance(one.components[0], two.components[0])) < 1e-14);
  MatrixXd const Z = support::points(3, 7, 8);
  auto const t = spd::mixture_transport(one, two, exactly);
  CHECK(apart(spd::mixture_map(one, two, t, Z),
              spd::optimal_map(one.components[0], two.components[0])(Z)) < 1e-13);
}

TEST_CASE("displacement runs at constant speed between the mixtures", "[spd]") {
  Mixture const P = mixture(3, 2, 1), Q = mixture(4, 2, 2);
  auto const r = spd::mixture_transport(P, Q, exactly);
  CHECK(apart(r.plan.rowwise().sum(), P.weights) < 1e-14);
  CHECK(apart(r.plan.colwise().sum().transpose(), Q.weights) < 1e-14);
  for (double t : {0.25, 0.8}) {
    Mixture const R = spd::displacement(P, Q, r, t);
    CHECK(Index(R.components.size()) <= 6);  // K + L - 1
    CHECK(std::abs(distance(P, R) - t * r.distance) < 1e-12);
    CHECK(std::abs(distance(R, Q) - (1 - t) * r.distance) < 1e-12);
  }
}

TEST_CASE("the map takes each point with its own component where they are apart", "[spd]") {
  Mixture P = mixture(2, 2, 1), Q = mixture(2, 2, 2);
  P.weights << 0.5, 0.5;
  Q.weights << 0.5, 0.5;
  P.components[0].mean << -1000, 0;
  P.components[1].mean << 1000, 0;
  Q.components[0].mean << 1000, 5;
  Q.components[1].mean << -1000, 5;
  auto const r = spd::mixture_transport(P, Q, exactly);
  CHECK(std::abs(r.plan(0, 1) - 0.5) < 1e-15);
  MatrixXd X(2, 2);
  X << -1000.5, 1001, 0.25, -1;
  MatrixXd const T = spd::mixture_map(P, Q, r, X);
  CHECK(apart(T.col(0), spd::optimal_map(P.components[0], Q.components[1])(X.col(0))) < 1e-11);
  CHECK(apart(T.col(1), spd::optimal_map(P.components[1], Q.components[0])(X.col(1))) < 1e-11);
  // Symmetry: half-way between equal components the shares are equal.
  Mixture const even{P.weights,
                     {{VectorXd(Eigen::Vector2d(-1, 0)), MatrixXd::Identity(2, 2)},
                      {VectorXd(Eigen::Vector2d(1, 0)), MatrixXd::Identity(2, 2)}}};
  auto const e = spd::mixture_transport(even, Q, exactly);
  MatrixXd const middle = MatrixXd::Zero(2, 1);
  MatrixXd mean = MatrixXd::Zero(2, 1);
  for (Index k = 0; k < 2; ++k) {
    for (Index l = 0; l < 2; ++l) {
      mean += e.plan(k, l) * spd::optimal_map(even.components[std::size_t(k)],
                                              Q.components[std::size_t(l)])(middle);
    }
  }
  CHECK(apart(spd::mixture_map(even, Q, e, middle), mean) < 1e-10);
}

TEST_CASE("mixtures refuse misuse", "[spd]") {
  Mixture const P = mixture(2, 2, 1);
  Mixture short_of = P, heavy = P, uneven = P;
  short_of.weights.conservativeResize(1);
  heavy.weights *= 2;
  uneven.components[1] = mixture(1, 3, 1).components[0];
  CHECK_REFUSED(distance(short_of, P), "a mixture has 2 components and 1 weights");
  CHECK_REFUSED(distance(P, heavy), "of sum 1; their sum is 2");
  CHECK_REFUSED(distance(uneven, P), "one Gaussian has 2 dimensions and the other 3");
  CHECK_REFUSED(distance(P, mixture(2, 3, 1)), "one Gaussian has 2 dimensions and the other 3");
  auto const r = spd::mixture_transport(P, P, exactly);
  CHECK_REFUSED(spd::mixture_map(P, P, r, MatrixXd(3, 1)), "the points are 3x1");
  CHECK_REFUSED(spd::mixture_map(P, mixture(3, 2, 1), r, MatrixXd(2, 1)), "the plan is 2x2");
}
