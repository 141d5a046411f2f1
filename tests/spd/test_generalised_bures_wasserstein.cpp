// SPDX-License-Identifier: MIT
#include "support/metric_laws.hpp"
#include <monge/spd/generalised_bures_wasserstein.hpp>

using namespace monge;
using namespace monge::test;

TEST_CASE("the generalised metric obeys the laws, and M = I changes nothing", "[spd]") {
  Triple const p = triple(4, 20);
  MatrixXd const M = support::covariance(4, 9, 50), I = MatrixXd::Identity(4, 4);
  spd::generalised_bures_wasserstein const metric(M), plain(I);
  check_distance(metric, p, 1e-13);
  check_geodesics(metric, p, 1e-12);
  check_inner(metric, p, 1e-10);
  check_transport(spd::generalised_bures_wasserstein(M, 256), p, 1e-7);
  check_refusals(spd::generalised_bures_wasserstein(MatrixXd(support::covariance(3, 9, 50))));
  MatrixXd const V = support::symmetric(4, 5);
  CHECK(std::abs(plain.distance(p.A, p.B) - spd::bures_wasserstein{}.distance(p.A, p.B)) < 1e-15);
  CHECK(apart(plain.log(p.A, p.B), spd::bures_wasserstein{}.log(p.A, p.B)) < 1e-14);
  CHECK(apart(plain.transport(p.A, p.B, V), spd::bures_wasserstein{}.transport(p.A, p.B, V)) <
        1e-12);
  // Its definition, with traces: M A' M' for any congruence N leaves distances with N M N' alone.
  MatrixXd const N = support::points(4, 4, 11) + 2 * I, inverse = spd::power(M, -1);
  double const d2 = std::pow(metric.distance(p.A, p.B), 2);
  MatrixXd const root = spd::sqrt(MatrixXd(spd::power(p.A, 1)));
  MatrixXd const middle = root * inverse * p.B * inverse * root;
  CHECK(std::abs(d2 - ((inverse * (p.A + p.B)).trace() -
                       2 * spd::sqrt(MatrixXd((middle + middle.transpose()) / 2)).trace())) <
        1e-12 * d2);
  auto const congruent = [&](MatrixXd const& X) {
    MatrixXd const Y = N * X * N.transpose();
    return MatrixXd((Y + Y.transpose()) / 2);
  };
  spd::generalised_bures_wasserstein const moved(congruent(M));
  CHECK(std::abs(moved.distance(congruent(p.A), congruent(p.B)) - std::sqrt(d2)) < 1e-12);
  // M = A makes it a quarter of the affine-invariant inner product tr(A^-1 V A^-1 V).
  spd::generalised_bures_wasserstein const at_a(p.A);
  MatrixXd const AV = spd::power(p.A, -1) * V;
  CHECK(std::abs(at_a.inner(p.A, V, V) / (AV * AV).trace() - 0.25) < 1e-13);
  CHECK_REFUSED(spd::generalised_bures_wasserstein(MatrixXd(-I)), "not positive semidefinite");
  CHECK_REFUSED(
      metric.distance(MatrixXd(MatrixXd::Identity(3, 3)), MatrixXd(MatrixXd::Identity(3, 3))),
      "the metric's M is 4x4 but a matrix is 3x3");
}
