// SPDX-License-Identifier: MIT
#include <cmath>
#include <memory>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include <monge/ot/detail/cluster_system.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

TEST_CASE("cluster system: with clusters of one point it makes Newton's step", "[cluster_system]") {
  using Cloud = ot::detail::TruncatedCloud<double, ot::squared_euclidean>;
  using Tree = ot::detail::CloudTree<double>;
  Index const n = 40, m = 70;
  auto const x = std::make_shared<Tree const>(support::points(2, n, 3));
  auto const y = std::make_shared<Tree const>(support::points(2, m, 4));
  Cloud const cloud(ot::squared_euclidean{}, x, y, 1e-14);
  double const epsilon = 0.1;
  VectorXd const w = support::weights(n, 5), v = support::weights(m, 6);
  VectorXd const f = 0.1 * x->coordinates().rowwise().squaredNorm();
  MatrixXd K(n, m), q(n, m);
  for (Index j = 0; j < m; ++j) {
    VectorXd scratch(n);
    double const* c = cloud.column_segment(j, 0, n, scratch.data());
    for (Index i = 0; i < n; ++i) K(i, j) = std::exp((f(i) - c[i]) / epsilon);
    q.col(j) = w.cwiseProduct(K.col(j)) / w.dot(K.col(j));
  }
  VectorXd const g = -epsilon * (K.transpose() * w).array().log();
  VectorXd const mass = q * v;
  MatrixXd const L = MatrixXd(mass.asDiagonal()) - q * v.asDiagonal() * q.transpose();

  ot::detail::SparseLaplacian<double> laplacian;
  monge::detail::Chunks const chunks(m);
  laplacian.clear(chunks, 2 * n * m);
  for (Index chunk = 0; chunk < chunks.count; ++chunk) {
    for (Index j = chunks.begin(chunk); j < chunks.end(chunk); ++j) {
      laplacian.add_column(chunk, w, K.col(j).data(), 1 / w.dot(K.col(j)), v(j), 0.0);
    }
  }
  ot::detail::ClusterSystem<double, ot::squared_euclidean> const system(
      cloud, ot::detail::Blur<double>(epsilon), g, v, mass, laplacian);
  VectorXd const gradient = w - mass;
  VectorXd step = gradient.cwiseQuotient(mass);  // what Sinkhorn's would be to first order
  system.step(cloud, f, gradient, 1e-12, {}, step);
  CHECK((L * step - gradient).lpNorm<1>() < 2e-3 * gradient.lpNorm<1>());  // truncated at 1e-3
  VectorXd const alone = gradient.cwiseQuotient(mass);
  CHECK((L * alone - gradient).lpNorm<1>() > 0.1 * gradient.lpNorm<1>());
}
