// SPDX-License-Identifier: MIT
// Hard problems, held to the same laws by every method of entropic transport: the exponential
// distribution against two normal ones of the SSNS paper, measures that are far apart, one point
// with nearly all mass, weights from 1e-300 to 1, each for epsilon from 1e-6 to 1e3 of the largest
// cost.
#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/problems.hpp"
#include <monge/ot/entropic.hpp>
#include <monge/ot/exact.hpp>
#include <monge/ot/sinkhorn_batch.hpp>
#include <monge/ot/sinkhorn_unbalanced.hpp>

using namespace monge;
using ot::squared_euclidean;

namespace {

template <class S>
struct Problem {
  std::string_view name;
  MatrixX<S> X, Y;
  VectorX<S> a, b;
};

/// [TQ24]: an exponential distribution and 0.2 N(1, 0.2) + 0.8 N(3, 0.5) on a line.
template <class S>
Problem<S> exponential_and_normals(Index n) {
  Problem<S> p{"exponential and normals", MatrixX<S>(1, n), MatrixX<S>(1, n), VectorX<S>(n),
               VectorX<S>(n)};
  auto const normal = [](double x, double mean, double deviation) {
    double const z = (x - mean) / deviation;
    return std::exp(-z * z / 2) / deviation;
  };
  for (Index i = 0; i < n; ++i) {
    double const x = 5 * double(i) / double(n - 1);
    p.X(0, i) = p.Y(0, i) = S(x);
    p.a(i) = S(std::exp(-x));
    p.b(i) = S(0.2 * normal(x, 1, 0.2) + 0.8 * normal(x, 3, 0.5));
  }
  return p;
}

template <class S>
Problem<S> plane(std::string_view name, Index n, Index m) {
  return {name, support::points<S>(2, n, 1), support::points<S>(2, m, 2), support::weights<S>(n, 3),
          support::weights<S>(m, 4)};
}

/// Points of one cloud are ten times as far from the other as from each other.
template <class S>
Problem<S> far_apart(Index n, Index m) {
  auto p = plane<S>("disjoint supports", n, m);
  p.X.array() += S(20);
  return p;
}

template <class S>
Problem<S> heavy_atom(Index n, Index m) {
  auto p = plane<S>("one heavy point", n, m);
  for (VectorX<S>* weights : {&p.a, &p.b}) {
    *weights *= S(1e-6);
    (*weights)(2) += S(1 - 1e-6);
  }
  return p;
}

/// Weights from the smallest numbers to 1, in both, in no order; float ends at 1e-36.
template <class S>
Problem<S> spread_weights(Index n, Index m) {
  auto p = plane<S>("weights from 1e-300 to 1", n, m);
  double const decades = std::min(300.0, double(std::numeric_limits<S>::max_exponent10) - 2);
  for (VectorX<S>* weights : {&p.a, &p.b}) {
    Index const count = weights->size();
    for (Index i = 0; i < count; ++i) {
      double const at = double((7 * i) % count) / double(count - 1);
      (*weights)(i) = S(std::pow(10.0, -decades * at));
    }
  }
  return p;
}

template <class S>
std::vector<Problem<S>> problems() {
  std::vector<Problem<S>> list{exponential_and_normals<S>(60), far_apart<S>(40, 55),
                               heavy_atom<S>(45, 30), spread_weights<S>(40, 32)};
  for (auto& p : list) {
    p.a /= p.a.sum();
    p.b /= p.b.sum();
  }
  return list;
}

template <class S>
struct Answer {
  std::string_view method;
  bool newton;  // it takes Newton steps, and must arrive
  ot::SinkhornResult<S> r;
};

template <class S>
ot::SinkhornResult<S> balanced(ot::SinkhornUnbalancedResult<S> const& u) {
  ot::SinkhornResult<S> r{u.f, u.g, u.a, u.b, u.epsilon, u.tolerance};
  r.transport_cost = u.transport_cost;
  r.regularised_cost = u.regularised_cost;
  r.dual_value = u.dual_value;
  r.marginal_error = u.marginal_error;
  r.status = u.status;
  return r;
}

/// The problem by every method; those of scaling are given up after 2000 iterations.
template <class S>
std::vector<Answer<S>> solve(Problem<S> const& p, MatrixX<S> const& C, double epsilon) {
  auto const cloud = ot::point_cloud(p.X, p.Y, squared_euclidean{});
  ot::SinkhornOptions const options{.epsilon = epsilon, .max_iterations = 2000};
  ot::SinkhornOptions log_domain = options;
  log_domain.kernel_bytes = 0.0;
  std::vector const one{C};
  return {
      {"newton", true, ot::sinkhorn_newton(C, p.a, p.b, {.epsilon = epsilon})},
      {"entropic", true, ot::entropic(C, p.a, p.b, {.epsilon = epsilon})},
      {"batch", true, ot::sinkhorn_batch(one, p.a, p.b, {.epsilon = epsilon}).front()},
      {"sinkhorn", false, ot::sinkhorn(C, p.a, p.b, options)},
      {"log domain", false, ot::sinkhorn(C, p.a, p.b, log_domain)},
      {"lazy", false, ot::sinkhorn(cloud, p.a, p.b, options)},
      {"multiscale", false, ot::sinkhorn_multiscale(cloud, p.a, p.b, options)},
      {"unbalanced", false,
       balanced(
           ot::sinkhorn_unbalanced(C, p.a, p.b, {.epsilon = epsilon, .max_iterations = 2000}))},
  };
}

/// |P 1 - a|_1 + |P' 1 - b|_1 of the plan of the potentials, in long double.
template <class S>
double marginal_error(MatrixX<S> const& C, ot::SinkhornResult<S> const& r) {
  using L = long double;
  VectorX<L> const a = r.a.template cast<L>(), b = r.b.template cast<L>();
  MatrixX<L> exponent = -C.template cast<L>();
  exponent.colwise() += r.f.template cast<L>();
  exponent.rowwise() += r.g.template cast<L>().transpose();
  MatrixX<L> const P =
      a.asDiagonal() * (exponent / L(r.epsilon)).array().exp().matrix() * b.asDiagonal();
  return double((P.rowwise().sum() - a).cwiseAbs().sum() +
                (P.colwise().sum().transpose() - b).cwiseAbs().sum());
}

template <class S>
double entropy(VectorX<S> const& weights) {
  double sum = 0;
  for (S const w : weights) sum -= double(w) * std::log(double(w));
  return sum;
}

}  // namespace

TEMPLATE_TEST_CASE("entropic: hard problems by every method, at any epsilon", "[entropic_hard]",
                   double, float) {
  using S = TestType;
  double const u = double(std::numeric_limits<S>::epsilon());
  for (auto const& p : problems<S>()) {
    MatrixX<S> const C = ot::cost_matrix(p.X, p.Y, squared_euclidean{});
    double const largest = double(C.maxCoeff());
    VectorX<double> a = p.a.template cast<double>(), b = p.b.template cast<double>();
    a /= a.sum();
    b /= b.sum();
    double const exact = ot::exact(MatrixX<double>(C.template cast<double>()), a, b).transport_cost;
    for (double const share : {1e-6, 1e-4, 1e-2, 1.0, 1e3}) {
      double const epsilon = share * largest;
      auto const answers = solve<S>(p, C, epsilon);
      double const reference = double(answers.front().r.dual_value);
      double const reference_error = answers.front().r.marginal_error;
      for (auto const& [method, newton, r] : answers) {
        CAPTURE(p.name, share, method, r.status, r.marginal_error, r.tolerance);
        double const rounding = 8 * u * (double(C.rows() + C.cols()) + 2 / share);
        // How it ends: only small epsilons are hard, for float only where rounding says so.
        bool const floor = r.status == Status::precision_limit && r.marginal_error <= rounding;
        bool const slow = !newton && share <= 1e-6 && r.status == Status::iteration_limit;
        CHECK((r.converged() || (std::same_as<S, float> && floor) || slow));
        CHECK(r.f.allFinite());
        CHECK(r.g.allFinite());
        if (r.converged()) CHECK(r.marginal_error <= r.tolerance);
        CHECK(marginal_error(C, r) <= r.marginal_error + rounding);
        // Potentials differ by at most the largest cost from point to point: with the marginals
        // that is a bound on the distance from the highest dual value.
        double const error = r.marginal_error + reference_error;
        double const noise = 8 * u * (largest + epsilon);
        CHECK(std::abs(double(r.dual_value) - reference) <= 2 * error * largest + noise);
        CHECK(std::abs(double(r.regularised_cost) - double(r.dual_value)) <=
              2 * error * largest + noise);
        // The cost is that of exact transport, but for the entropy and the marginals.
        double const off = 2 * error * largest + noise;
        CHECK(double(r.transport_cost) >= exact - off);
        CHECK(double(r.transport_cost) <=
              exact + epsilon * std::min(entropy(p.a), entropy(p.b)) + off);
        // For large epsilon the weights do not see the cost.
        double const product = double((p.a.transpose() * C * p.b)(0));
        CHECK(std::abs(double(r.transport_cost) - product) <= 2 * largest / share + off);
      }
    }
  }
}

TEST_CASE("entropic: costs that exceed epsilon by more than the range of numbers",
          "[entropic_hard]") {
  MatrixX<double> C(2, 2);
  C << 0, 1e200, 1e200, 0;
  VectorX<double> const half = VectorX<double>::Constant(2, 0.5);
  std::vector const one{C};
  for (auto const& r : {ot::sinkhorn(C, half, half, {.epsilon = 1e-200}),
                        ot::SinkhornResult(ot::sinkhorn_newton(C, half, half, {.epsilon = 1e-200})),
                        ot::sinkhorn_batch(one, half, half, {.epsilon = 1e-200}).front()}) {
    CHECK((r.converged() || r.status == Status::non_finite));
    CHECK(std::isfinite(r.tolerance));
    CHECK(r.iterations <= 2000);
  }
}
