// SPDX-License-Identifier: MIT
#include "support/metric_laws.hpp"
#include <monge/spd/affine_invariant.hpp>
#include <monge/spd/bures_wasserstein.hpp>
#include <monge/spd/generalised_bures_wasserstein.hpp>
#include <monge/spd/log_euclidean.hpp>
#include <monge/spd/metric.hpp>

using namespace monge;
using namespace monge::test;

TEST_CASE("all geometries are metrics in the sense of the concept", "[spd]") {
  STATIC_REQUIRE(spd::Metric<spd::bures_wasserstein>);
  STATIC_REQUIRE(spd::Metric<spd::generalised_bures_wasserstein<MatrixXd>>);
  STATIC_REQUIRE(spd::Metric<spd::affine_invariant>);
  STATIC_REQUIRE(spd::Metric<spd::log_euclidean>);
  STATIC_REQUIRE(spd::Metric<spd::power_deformed<spd::bures_wasserstein>>);
  STATIC_REQUIRE_FALSE(spd::Metric<MatrixXd>);
}

TEST_CASE("a power deformation obeys the laws of a metric", "[spd]") {
  Triple const p = triple(4, 20);
  for (double theta : {0.5, -0.7, 1.4}) {
    CAPTURE(theta);
    spd::power_deformed const metric(spd::bures_wasserstein{256}, theta);
    check_distance(metric, p, 1e-13);
    check_geodesics(metric, p, 1e-11);
    check_inner(metric, p, 1e-10);
    check_transport(metric, p, 1e-8);
  }
  check_refusals(spd::power_deformed(spd::bures_wasserstein{}, 0.5));
  CHECK_REFUSED(spd::power_deformed(spd::bures_wasserstein{}, 0.0), "theta is 0");
}

TEST_CASE("theta = 1 changes nothing, and theta to zero is log-Euclidean", "[spd]") {
  Triple const p = triple(4, 20);
  spd::power_deformed const one(spd::bures_wasserstein{}, 1.0);
  CHECK(std::abs(one.distance(p.A, p.B) - spd::bures_wasserstein{}.distance(p.A, p.B)) < 1e-14);
  CHECK(apart(one.log(p.A, p.B), spd::bures_wasserstein{}.log(p.A, p.B)) < 1e-14);
  // The inner product of bures_wasserstein at the identity is a quarter of the Frobenius one.
  double const limit = spd::log_euclidean{}.distance(p.A, p.B) / 2;
  double const near =
      spd::power_deformed(spd::bures_wasserstein{}, 1e-4).distance(p.A, p.B) / limit - 1;
  double const nearer =
      spd::power_deformed(spd::bures_wasserstein{}, 1e-5).distance(p.A, p.B) / limit - 1;
  CHECK(std::abs(near) < 1e-3);
  CHECK(std::abs(near / nearer - 10) < 0.1);  // of first order in theta
}
