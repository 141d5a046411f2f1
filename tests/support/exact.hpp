// SPDX-License-Identifier: MIT
// What the tests of exact transport share: random numbers, complementary slackness recomputed from
// the problem, and the optimum of LEMON's network simplex where LEMON is installed.
#pragma once

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include <monge/ot/exact.hpp>

#if __has_include(<lemon/network_simplex.h>)
#define MONGE_TEST_LEMON
#ifndef LEMON_ONLY_TEMPLATES
#define LEMON_ONLY_TEMPLATES
#endif
#include <lemon/network_simplex.h>
#include <lemon/smart_graph.h>
#endif

namespace support {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  double uniform() { return double(engine_() >> 11) * 0x1p-53; }
  Eigen::Index below(Eigen::Index n) { return Eigen::Index(engine_() % std::uint64_t(n)); }
  Eigen::MatrixXd matrix(Eigen::Index n, Eigen::Index m) {
    Eigen::MatrixXd result(n, m);
    for (double& x : result.reshaped()) x = uniform();
    return result;
  }
  Eigen::MatrixXd integers(Eigen::Index n, Eigen::Index m, Eigen::Index limit) {
    return (matrix(n, m) * double(limit)).array().floor();
  }
  /// n weights of sum 1.
  Eigen::VectorXd weights(Eigen::Index n) {
    Eigen::VectorXd w = matrix(n, 1);
    return w / w.sum();
  }

 private:
  std::mt19937_64 engine_;
};

/// A sparse cost as a matrix with +infinity where nothing is stored.
template <class S>
monge::MatrixX<S> dense(Eigen::SparseMatrix<S> const& C) {
  monge::MatrixX<S> full =
      monge::MatrixX<S>::Constant(C.rows(), C.cols(), std::numeric_limits<S>::infinity());
  for (Eigen::Index j = 0; j < C.cols(); ++j) {
    for (typename Eigen::SparseMatrix<S>::InnerIterator x(C, j); x; ++x)
      full(x.row(), j) = x.value();
  }
  return full;
}

/// Everything that makes r optimal for (C, a, b), recomputed from them in long double. C: n x m,
/// +infinity = forbidden. `cost_error`: how far entries of C may be from those that were solved
/// for.
template <class S, class Costs>
void require_optimal(Costs const& C, monge::VectorX<S> const& a, monge::VectorX<S> const& b,
                     monge::ot::ExactResult<S> const& r, long double cost_error = 0) {
  using Quad = long double;
  using Vector = monge::VectorX<Quad>;
  INFO(std::string(message(r.status)));
  REQUIRE(r.converged());
  Eigen::Index const n = C.rows(), m = C.cols();
  Quad const u = std::numeric_limits<S>::epsilon();
  REQUIRE(r.plan.rows() == n);
  REQUIRE(r.plan.cols() == m);
  REQUIRE(r.plan.nonZeros() <= n + m - 1);
  Vector const f = r.f.template cast<Quad>(), g = r.g.template cast<Quad>();
  Vector const of_rows = a.template cast<Quad>(), of_columns = b.template cast<Quad>();
  Vector rows = of_rows, columns = of_columns;
  Quad size = of_rows.dot(f.cwiseAbs()) + of_columns.dot(g.cwiseAbs()), cost = 0, gap = 0;
  for (Eigen::Index j = 0; j < m; ++j) {
    for (typename Eigen::SparseMatrix<S>::InnerIterator x(r.plan, j); x; ++x) {
      REQUIRE(x.value() > 0);
      Quad const flow = x.value(), c = Quad(C(x.row(), j));
      REQUIRE(std::isfinite(c));  // only allowed pairs carry mass
      rows(x.row()) -= flow;
      columns(j) -= flow;
      cost += flow * c;
      size += flow * std::abs(c);
      gap += flow * std::abs(c - f(x.row()) - g(j));
    }
  }
  REQUIRE(rows.cwiseAbs().sum() + columns.cwiseAbs().sum() <= 8 * Quad(n + m) * u * of_rows.sum());
  for (Eigen::Index j = 0; j < m; ++j) {
    for (Eigen::Index i = 0; i < n; ++i) {
      Quad const scale = std::abs(f(i)) + std::abs(g(j)), c = Quad(C(i, j));
      if (std::isfinite(c)) REQUIRE(f(i) + g(j) <= c + 4 * u * scale + cost_error);
    }
  }
  Quad const dual = of_rows.dot(f) + of_columns.dot(g);
  REQUIRE(gap <= 100 * u * size);
  REQUIRE(std::abs(cost - dual) <= (100 + 8 * Quad(n + m)) * u * size);
  REQUIRE(std::abs(cost - Quad(r.transport_cost)) <= 8 * Quad(n + m) * u * size);
  REQUIRE(r.duality_gap >= 0);
  REQUIRE(Quad(r.duality_gap) <= 64 * u * size * (1 + 1e-6L));
}

/// A run in bursts, each on a copy of the state while the original is used for something else, has
/// the bits of `whole`. Returns its steps.
template <class Method, class S>
Eigen::Index require_resumable(Method const& method, monge::ot::ExactResult<S> const& whole) {
  using monge::Status;
  auto state = method.init();
  Eigen::Index steps = 0;
  for (Status status = Status::running; status == Status::running;) {
    auto copy = state;
    static_cast<void>(method.advance(state, 3));  // what happens here is forgotten
    auto const burst = method.advance(copy, 7);
    state = copy;
    steps += burst.steps;
    status = burst.status;
    if (steps % 70 == 0) static_cast<void>(method.finish(copy, Status::time_limit));
  }
  REQUIRE(method.finish(state, Status::converged) == Status::converged);
  auto const r = method.result({state, Status::converged, {}});
  REQUIRE(r.iterations == whole.iterations);
  REQUIRE(r.transport_cost == whole.transport_cost);
  REQUIRE((r.f.array() == whole.f.array()).all());
  REQUIRE((r.g.array() == whole.g.array()).all());
  REQUIRE(monge::MatrixX<S>(r.plan) == monge::MatrixX<S>(whole.plan));
  return steps;
}

#ifdef MONGE_TEST_LEMON
/// The optimum for integer costs and weights; infinite if the allowed pairs cannot carry the mass.
inline double network_simplex(Eigen::MatrixXd const& C, Eigen::VectorXd const& a,
                              Eigen::VectorXd const& b) {
  using Graph = lemon::SmartDigraph;
  Graph graph;
  std::vector<Graph::Node> rows, columns;
  for (Eigen::Index i = 0; i < C.rows(); ++i) rows.push_back(graph.addNode());
  for (Eigen::Index j = 0; j < C.cols(); ++j) columns.push_back(graph.addNode());
  Graph::ArcMap<long long> cost(graph, 0);
  Graph::NodeMap<long long> supply(graph, 0);
  for (std::size_t i = 0; i < rows.size(); ++i) supply[rows[i]] = (long long)(a(Eigen::Index(i)));
  for (std::size_t j = 0; j < columns.size(); ++j) {
    supply[columns[j]] = -(long long)(b(Eigen::Index(j)));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      double const c = C(Eigen::Index(i), Eigen::Index(j));
      if (std::isfinite(c)) cost[graph.addArc(rows[i], columns[j])] = (long long)(c);
    }
  }
  lemon::NetworkSimplex<Graph, long long, long long> simplex(graph);
  simplex.costMap(cost).supplyMap(supply);
  auto const end = simplex.run();
  if (end == decltype(simplex)::INFEASIBLE) return std::numeric_limits<double>::infinity();
  REQUIRE(end == decltype(simplex)::OPTIMAL);
  return double(simplex.totalCost<long long>());
}
#endif

}  // namespace support
