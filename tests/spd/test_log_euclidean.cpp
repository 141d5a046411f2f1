// SPDX-License-Identifier: MIT
#include "support/metric_laws.hpp"
#include <monge/spd/log_euclidean.hpp>

using namespace monge;
using namespace monge::test;

TEST_CASE("the log-Euclidean metric obeys the laws of a metric", "[spd]") {
  for (Index n : {1, 2, 5, 13}) {
    CAPTURE(n);
    Triple const p = triple(n, 30);
    check_distance(spd::log_euclidean{}, p, 1e-13);
    check_geodesics(spd::log_euclidean{}, p, 1e-11);
    check_inner(spd::log_euclidean{}, p, 1e-11);
    check_transport(spd::log_euclidean{}, p, 1e-11);
  }
  check_refusals(spd::log_euclidean{});
}

TEST_CASE("log-Euclidean distances agree with arithmetic of 60 digits", "[spd]") {
  MatrixXd A(3, 3), B(3, 3);
  A << 4, 1, 0, 1, 3, 1, 0, 1, 2;
  B << 2, -1, 0, -1, 5, 1, 0, 1, 1;
  spd::log_euclidean const metric;
  CHECK(std::abs(metric.distance(A, B) / 1.5230435474365788752 - 1) < 2e-15);
  Eigen::Vector3d const units(1, 0x1p-10, 0x1p-20);
  MatrixXd const D = units.asDiagonal();
  CHECK(std::abs(metric.distance(MatrixXd(D * A * D), MatrixXd(D * B * D)) / 1.1297868595677997439 -
                 1) < 1e-13);
}
