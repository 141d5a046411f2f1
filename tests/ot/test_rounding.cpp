// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/problems.hpp"
#include "support/throws.hpp"
#include <monge/ot/rounding.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

template <class M, class V>
double marginal_error(M const& P, V const& a, V const& b) {
  return double((P.rowwise().sum() - a).cwiseAbs().sum() +
                (P.colwise().sum().transpose() - b).cwiseAbs().sum());
}

}  // namespace

TEST_CASE("rounding meets the marginals and moves at most twice the error", "[rounding]") {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    Index const n = 3 + Index(seed), m = 25 - Index(seed);
    VectorXd const a = support::weights(n, seed), b = support::weights(m, seed + 50);
    MatrixXd const noise = support::matrix(n, m, seed + 100, 0.7, 1.2);
    MatrixXd const near = (a * b.transpose()).cwiseProduct(noise);
    MatrixXd const P = ot::round_to_coupling(near, a, b);
    CHECK(P.minCoeff() >= 0);
    CHECK(marginal_error(P, a, b) < 1e-15 * double(n + m));
    CHECK((P - near).cwiseAbs().sum() <= 2 * marginal_error(near, a, b) + 1e-14);
  }
}

TEST_CASE("rounding leaves a coupling as it is", "[rounding]") {
  VectorXd const a = support::weights(6, 1), b = support::weights(8, 2);
  MatrixXd const P = a * b.transpose();
  CHECK((ot::round_to_coupling(P, a, b) - P).cwiseAbs().maxCoeff() < 1e-16);
}

TEST_CASE("rounding from nothing gives the independent coupling", "[rounding]") {
  VectorXd const a = 3 * support::weights(6, 1), b = 3 * support::weights(8, 2);
  MatrixXd const P = ot::round_to_coupling(MatrixXd::Zero(6, 8), a, b);
  CHECK((P - a * b.transpose() / 3).cwiseAbs().maxCoeff() < 1e-15);
}

TEST_CASE("rounding with zero weights, one row, and float", "[rounding]") {
  VectorXd a = support::weights(5, 1), b = support::weights(4, 2);
  a(1) = b(3) = 0;
  a /= a.sum();
  b /= b.sum();
  MatrixXd const P = ot::round_to_coupling(support::matrix(5, 4, 3), a, b);
  CHECK(P.row(1).isZero(0));
  CHECK(P.col(3).isZero(0));
  CHECK(marginal_error(P, a, b) < 1e-15);
  VectorXd const one = VectorXd::Ones(1);
  CHECK(ot::round_to_coupling(b.transpose() * 0.3, one, b).isApprox(b.transpose()));
  Eigen::VectorXf const af = a.cast<float>(), bf = b.cast<float>();
  Eigen::MatrixXf const Pf = ot::round_to_coupling(support::matrix<float>(5, 4, 3), af, bf);
  CHECK(marginal_error(Pf, af, bf) < 1e-6);
}

TEST_CASE("rounding refuses what is no plan", "[rounding]") {
  VectorXd const a = support::weights(3, 1), b = support::weights(4, 2);
  MatrixXd P = support::matrix(3, 4, 1);
  CHECK_REFUSED(ot::round_to_coupling(P, b, a), "round_to_coupling: cost is 3x4 but a has 4");
  P(1, 1) = -0.1;
  CHECK_REFUSED(ot::round_to_coupling(P, a, b), "negative or non-finite entry");
  P(1, 1) = not_a_number;
  CHECK_REFUSED(ot::round_to_coupling(P, a, b), "negative or non-finite entry");
  P(1, 1) = 0;
  CHECK_REFUSED(ot::round_to_coupling(P, 2 * a, b), "a sums to 2 and b to 1");
}
