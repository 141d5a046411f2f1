// SPDX-License-Identifier: MIT
// Oracles: product rules on the sphere of d = 2 and 3 with very many directions; in any dimension
// the closed form for covariances of rank one, E |u . z| |v . z| of normal z, and that of blocks;
// differences for the derivatives.
#include <Eigen/Core>

#include <cmath>
#include <numbers>

#include "support/catch.hpp"
#include <monge/ot/detail/gaussian_slices.hpp>

namespace {

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using monge::Index;
using monge::RandomKey;
using namespace monge::ot;
using monge::ot::detail::gaussian_slice_mean;
using monge::ot::detail::GaussianSliceMean;

/// A random covariance of this rank whose directions scale like decay^i.
MatrixXd covariance(Index d, Index rank, std::uint64_t seed, double decay = 1) {
  MatrixXd Z(d, rank), C = MatrixXd::Zero(d, d);
  monge::random::fill_normal(Z, RandomKey{seed, 0});
  for (Index i = 0; i < d; ++i) Z.row(i) *= std::pow(decay, double(i));
  for (Index k = 0; k < rank; ++k) C += Z.col(k) * Z.col(k).transpose();
  return C;
}

double mean(MatrixXd const& A, MatrixXd const& B) {
  GaussianSliceMean const g = gaussian_slice_mean(A, B, false, RandomKey{});
  CHECK(g.standard_error == 0);
  return g.mean;
}

double by_directions(MatrixXd const& A, MatrixXd const& B, Directions const& set) {
  double sum = 0;
  for (Index l = 0; l < set.count(); ++l) {
    VectorXd const t = set.theta.col(l);
    double a = 0, b = 0;
    for (Index j = 0; j < t.size(); ++j) {
      a += t(j) * A.col(j).dot(t);
      b += t(j) * B.col(j).dot(t);
    }
    sum += set.weight(l) * std::pow(std::sqrt(std::max(a, 0.0)) - std::sqrt(std::max(b, 0.0)), 2);
  }
  return sum;
}

}  // namespace

TEST_CASE("the mean over directions is that of fine product rules") {
  Directions const circle = gauss_directions(2, 40000), sphere = gauss_directions(3, 200 * 200);
  for (Index d : {2, 3}) {
    Directions const& set = d == 2 ? circle : sphere;
    for (double decay : {1.0, 0.5, 0.1}) {
      CAPTURE(d, decay);
      MatrixXd const A = covariance(d, 2 * d, 1, decay), B = covariance(d, 2 * d, 2, decay);
      double const scale = A.trace() + B.trace();
      CHECK_THAT(mean(A, B), WithinAbs(by_directions(A, B, set), 1e-10 * scale));
      CHECK_THAT(mean(A, 1e-6 * B), WithinAbs(by_directions(A, 1e-6 * B, set), 1e-10 * scale));
    }
    // A kink where one of them vanishes limits the rule, not the integral.
    MatrixXd const flat = covariance(d, d - 1, 3), full = covariance(d, d, 4);
    CHECK_THAT(mean(flat, full), WithinAbs(by_directions(flat, full, set), 2e-5 * full.trace()));
  }
}

TEST_CASE("covariances of rank one have a closed form in every dimension") {
  for (Index d : {2, 3, 6, 20}) {
    for (double cosine : {0.0, 0.3, 0.99, -0.999999}) {
      CAPTURE(d, cosine);
      VectorXd u = VectorXd::Zero(d), v = VectorXd::Zero(d);
      u(0) = 2;
      v(0) = cosine;
      v(d - 1) = std::sqrt(1 - cosine * cosine);
      // E |u . z| |v . z| = (2 / pi) (sqrt(1 - c^2) + c asin c) |u| |v|, d times that of theta.
      double const c = std::abs(cosine);
      double const product =
          2 * (2 / std::numbers::pi) * (std::sqrt(1 - c * c) + c * std::asin(c)) / double(d);
      CHECK_THAT(mean(u * u.transpose(), v * v.transpose()),
                 WithinAbs(5.0 / double(d) - 2 * product, 1e-9));
    }
  }
}

TEST_CASE("disjoint blocks of identities have a closed form in every dimension") {
  // |P z| and |Q z| are independent and chi distributed.
  auto const chi = [](double k) {
    return std::sqrt(2.0) * std::exp(std::lgamma((k + 1) / 2) - std::lgamma(k / 2));
  };
  for (Index d : {3, 6, 20, 32}) {
    Index const k = d / 3;
    VectorXd p = VectorXd::Zero(d), q = VectorXd::Ones(d);
    p.head(k).setOnes();
    q.head(k).setZero();
    MatrixXd const P = p.asDiagonal(), Q = q.asDiagonal();
    CAPTURE(d);
    CHECK_THAT(mean(P, Q),
               WithinAbs((double(d) - 2 * chi(double(k)) * chi(double(d - k))) / double(d), 1e-9));
  }
}

TEST_CASE("equal, proportional and vanishing covariances are exact") {
  for (Index d : {1, 2, 5, 20}) {
    MatrixXd const A = covariance(d, d, 1), zero = MatrixXd::Zero(d, d);
    CHECK(mean(A, A) == 0);
    CHECK_THAT(mean(A, 4 * A), WithinRel(A.trace() / double(d), 1e-14));
    CHECK_THAT(mean(A, zero), WithinRel(A.trace() / double(d), 1e-14));
    CHECK(mean(zero, zero) == 0);
  }
}

TEST_CASE("near proportional covariances keep their digits") {
  // To second order E (s1 - s2)^2 = E (theta' D theta)^2 / (4 theta' A theta), with A = 1:
  // E (theta' D theta)^2 = 2 tr D^2 / (d (d + 2)) for D of trace 0.
  Index const d = 4;
  VectorXd diagonal(d);
  diagonal << 1, -1, 2, -2;
  MatrixXd const D = diagonal.asDiagonal(), one = MatrixXd::Identity(d, d);
  for (double e : {1e-3, 1e-5, 1e-7}) {
    CHECK_THAT(mean(one, one + e * D),
               WithinRel(e * e * 2 * 10 / (4 * double(d * (d + 2))), 10 * e + 1e-6));
  }
}

TEST_CASE("symmetry, homogeneity and rotation") {
  Index const d = 5;
  MatrixXd const A = covariance(d, 6, 1, 0.6), B = covariance(d, 3, 2);
  double const value = mean(A, B);
  CHECK_THAT(mean(B, A), WithinRel(value, 1e-9));
  CHECK_THAT(mean(1e-9 * A, 1e-9 * B), WithinRel(1e-9 * value, 1e-12));
  MatrixXd Q(d, d);
  monge::random::fill_normal(Q, RandomKey{5, 0});
  detail::orthonormalise(Q);
  CHECK_THAT(mean(Q * A * Q.transpose(), Q * B * Q.transpose()), WithinRel(value, 1e-9));
}

TEST_CASE("derivatives are those of differences and of degree one") {
  for (Index d : {2, 3, 5, 20}) {
    for (double decay : {1.0, 0.5}) {
      for (bool singular : {false, true}) {
        CAPTURE(d, decay, singular);
        MatrixXd const A = covariance(d, d + 2, 1, decay);
        MatrixXd const B = covariance(d, singular ? d - 1 : d + 2, 2, decay);
        GaussianSliceMean const g = gaussian_slice_mean(A, B, true, RandomKey{});
        double const scale = A.trace() + B.trace();
        CHECK_THAT(A.cwiseProduct(g.slope_x).sum() + B.cwiseProduct(g.slope_y).sum(),
                   WithinAbs(g.mean, 1e-9 * scale));
        // Along A, so that nothing becomes indefinite, and along another covariance.
        MatrixXd const E = covariance(d, d, 3, decay);
        double const h = 1e-4;
        CHECK_THAT((mean(A + h * E, B) - mean(A - h * E, B)) / (2 * h),
                   WithinAbs(E.cwiseProduct(g.slope_x).sum(), 1e-5 * scale));
        CHECK_THAT((mean(A, B * (1 + h)) - mean(A, B * (1 - h))) / (2 * h),
                   WithinAbs(B.cwiseProduct(g.slope_y).sum(), 1e-7 * scale));
      }
    }
  }
}

TEST_CASE("in high dimensions sampled directions are unbiased and know their error") {
  Index const d = 40;
  VectorXd p = VectorXd::Ones(d), q = VectorXd::Ones(d);
  p.head(10).setZero();
  q.tail(30).setZero();
  auto const chi = [](double k) {
    return std::sqrt(2.0) * std::exp(std::lgamma((k + 1) / 2) - std::lgamma(k / 2));
  };
  double const truth = (double(d) - 2 * chi(30) * chi(10)) / double(d);
  MatrixXd const P = p.asDiagonal(), Q = q.asDiagonal();
  double sum = 0, squares = 0, errors = 0;
  int const keys = 60;
  for (int key = 0; key < keys; ++key) {
    GaussianSliceMean const g = gaussian_slice_mean(P, Q, false, {std::uint64_t(key), 0});
    sum += (g.mean - truth) / keys;
    squares += std::pow(g.mean - truth, 2) / keys;
    errors += std::pow(g.standard_error, 2) / keys;
  }
  CHECK(std::sqrt(squares) < 2e-2 * truth);
  CHECK(std::abs(sum) < 4 * std::sqrt(squares / keys));
  CHECK_THAT(std::sqrt(errors / squares), WithinAbs(1, 0.3));
  // The derivative is that of the sample.
  MatrixXd const A = covariance(d, 60, 1), B = covariance(d, 60, 2);
  GaussianSliceMean const g = gaussian_slice_mean(A, B, true, RandomKey{1, 0});
  double const h = 1e-5;
  MatrixXd const E = covariance(d, 5, 3);
  auto const sampled = [&](MatrixXd const& C) {
    return gaussian_slice_mean(C, B, false, RandomKey{1, 0}).mean;
  };
  CHECK_THAT((sampled(A + h * E) - sampled(A - h * E)) / (2 * h),
             WithinRel(E.cwiseProduct(g.slope_x).sum(), 1e-6));
}
