// SPDX-License-Identifier: MIT
#include <Eigen/Dense>

#include <cmath>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include <monge/ot/detail/laplacian_factor.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

struct Graph {
  ot::detail::LaplacianFactor<double> factor;
  MatrixXd dense;

  explicit Graph(Index n) : dense(MatrixXd::Zero(n, n)) { factor.clear(n); }
  void edge(int s, int t, double weight) {
    factor.add_edge(s, t, weight);
    dense(s, s) += weight;
    dense(t, t) += weight;
    dense(s, t) -= weight;
    dense(t, s) -= weight;
  }
  void excess(Index v, double value) {
    factor.add_excess(v, value);
    dense(v, v) += value;
  }
};

/// Edges between random vertices, some of them parallel, weights over `decades` orders.
Graph random_graph(int n, int edges, double decades) {
  Graph graph(n);
  MatrixXd const u = support::points(4, edges, 17);
  for (int e = 0; e < edges; ++e) {
    int const s = int(std::abs(u(0, e)) * 1e6) % n, t = int(std::abs(u(1, e)) * 1e6) % n;
    if (s != t) graph.edge(s, t, std::pow(10.0, -decades * std::abs(std::fmod(u(2, e), 1.0))));
  }
  for (int v = 0; v + 1 < n; ++v) graph.edge(v, v + 1, 0.01);
  for (int v = 0; v < n; v += 3) graph.excess(v, 0.1 * (1 + v % 5));
  return graph;
}

MatrixXd inverse(Graph const& graph) {
  Index const n = graph.dense.rows();
  MatrixXd result(n, n);
  for (Index k = 0; k < n; ++k) {
    VectorXd x = MatrixXd::Identity(n, n).col(k);
    graph.factor.solve(x);
    result.col(k) = x;
  }
  return result;
}

}  // namespace

TEST_CASE("laplacian_factor: exact, it inverts", "[laplacian_factor]") {
  for (int const edges : {0, 50, 400}) {
    Graph graph = random_graph(40, edges, 3);
    REQUIRE(graph.factor.factorise(0, 100'000));
    MatrixXd const product = graph.dense * inverse(graph);
    CHECK((product - MatrixXd::Identity(40, 40)).cwiseAbs().maxCoeff() < 1e-12);
  }
}

TEST_CASE("laplacian_factor: full relative accuracy across weak links", "[laplacian_factor]") {
  // A path: x_3 sees the sum of the resistances to the ground at vertex 0.
  for (double const weak : {1e-10, 1e-20, 1e-100}) {
    Graph graph(4);
    graph.edge(0, 1, 1.0);
    graph.edge(1, 2, weak);
    graph.edge(2, 3, 2.0);
    graph.excess(0, 0.5);
    for (double const drop : {0.0, 0.5}) {
      auto factor = graph.factor;
      REQUIRE(factor.factorise(drop, 100));
      VectorXd x = VectorXd::Unit(4, 3);
      factor.solve(x);
      CHECK(std::abs(x(3) * weak - (1 + 3.5 * weak)) < 1e-14);
      CHECK(std::abs(x(1) - 3) < 1e-14);
    }
  }
}

TEST_CASE("laplacian_factor: incomplete, it is symmetric positive definite and keeps constants",
          "[laplacian_factor]") {
  for (double const drop : {0.1, 0.5, 0.9}) {
    Graph graph = random_graph(60, 500, 6);
    REQUIRE(graph.factor.factorise(drop, 100'000));
    MatrixXd const M = inverse(graph);
    CHECK((M - M.transpose()).cwiseAbs().maxCoeff() < 1e-10 * M.cwiseAbs().maxCoeff());
    CHECK(Eigen::SelfAdjointEigenSolver<MatrixXd>(M).eigenvalues().minCoeff() > 0);
    VectorXd const excess = graph.dense.rowwise().sum();
    CHECK((M * excess - VectorXd::Ones(60)).cwiseAbs().maxCoeff() < 1e-11);
    Graph exact = random_graph(60, 500, 6);
    REQUIRE(exact.factor.factorise(0, 100'000));
    CHECK(graph.factor.nonzeros() < exact.factor.nonzeros());
    // As a preconditioner: the spectrum of the product is near 1.
    auto const spectrum = Eigen::GeneralizedSelfAdjointEigenSolver<MatrixXd>(
                              graph.dense, M.inverse(), Eigen::EigenvaluesOnly)
                              .eigenvalues()
                              .eval();
    CHECK(spectrum.maxCoeff() / spectrum.minCoeff() < 1 + 40 * drop);
  }
}

TEST_CASE("laplacian_factor: vertices on their own, reuse and a limit", "[laplacian_factor]") {
  Graph graph(3);
  graph.excess(1, 4);
  REQUIRE(graph.factor.factorise(0, 10));
  VectorXd x = VectorXd::Ones(3);
  graph.factor.solve(x);
  CHECK(x(1) == 0.25);
  CHECK(x(0) == 0);  // nothing holds it
  Graph full = random_graph(40, 800, 1);
  CHECK_FALSE(full.factor.factorise(0, 50));
  full.factor.clear(2);
  full.factor.add_edge(0, 1, 1.0);
  full.factor.add_excess(0, 1.0);
  REQUIRE(full.factor.factorise(0, 50));
  CHECK(full.factor.nonzeros() == 1);
}
