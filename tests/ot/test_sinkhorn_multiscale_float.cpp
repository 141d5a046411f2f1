// SPDX-License-Identifier: MIT
#include <cmath>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include <monge/ot/sinkhorn.hpp>
#include <monge/ot/sinkhorn_multiscale.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

TEST_CASE("sinkhorn multiscale: float, with and without a system of clusters",
          "[sinkhorn_multiscale]") {
  for (auto const& [n, epsilon] : {std::pair<Index, double>{400, 0.05}, {1500, 0.01}}) {
    CAPTURE(n);
    MatrixXd const X = support::points(2, n, 7);
    MatrixXd const Y = support::points(2, 300, 8).array().cube().matrix();
    VectorXd const a = support::weights(n, 9), b = support::weights(300, 10);
    auto const r =
        ot::sinkhorn(ot::cost_matrix(X, Y, ot::squared_euclidean{}), a, b, {.epsilon = epsilon});
    auto const cloud = ot::point_cloud(X.cast<float>(), Y.cast<float>(), ot::squared_euclidean{});
    auto const s = ot::sinkhorn_multiscale(cloud, a.cast<float>(), b.cast<float>(),
                                           {.epsilon = epsilon, .tolerance = 2e-5});
    REQUIRE(s.status == Status::converged);
    CHECK((s.f.cast<double>() - r.f).lpNorm<Eigen::Infinity>() < 2e-4);
    CHECK(std::abs(s.transport_cost - r.transport_cost) < 1e-5);
  }
}
