// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/covariances.hpp"
#include "support/throws.hpp"
#include <monge/spd/batch_normalization.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using spd::Geometry;
using Batch = std::vector<MatrixXd>;
using Layer = spd::BatchNormalization<double>;

namespace {

Batch batch(Index count, Index n, double condition, std::uint64_t seed = 10) {
  Batch X;
  for (Index i = 0; i < count; ++i) {
    X.push_back((1 + 0.2 * double(i)) * support::covariance(n, seed + std::uint64_t(i), condition));
  }
  return X;
}

MatrixXd symmetrised(MatrixXd const& X) { return (X + X.transpose()) / 2; }
double apart(MatrixXd const& X, MatrixXd const& Y) { return (X - Y).norm(); }

struct Case {
  Geometry geometry;
  double power;
};
std::vector<Case> const cases = {{Geometry::affine_invariant, 1},
                                 {Geometry::log_euclidean, 1},
                                 {Geometry::bures_wasserstein, 1},
                                 {Geometry::bures_wasserstein, 0.5},
                                 {Geometry::generalised_bures_wasserstein, 1},
                                 {Geometry::generalised_bures_wasserstein, 0.7}};

/// A layer whose parameters are not the trivial ones.
Layer layer(Case const& c, Index n, bool as_released = false) {
  Layer result(n, {.geometry = c.geometry,
                   .power = c.power,
                   .epsilon = 1e-3,
                   .barycenter = {.tolerance = 1e-14},
                   .as_released = as_released});
  result.bias = 1.5 * support::covariance(n, 3, 4);
  result.scale = 0.3;
  if (c.geometry == Geometry::generalised_bures_wasserstein) {
    result.metric = support::covariance(n, 4, 3);
  }
  return result;
}

/// Calls f with the metric in which the layer normalises.
template <class F>
void with_metric(Layer const& layer, F const& f) {
  double const theta = layer.options().power;
  switch (layer.options().geometry) {
    case Geometry::affine_invariant:
      return f(spd::affine_invariant{});
    case Geometry::log_euclidean:
      return f(spd::log_euclidean{});
    case Geometry::bures_wasserstein:
      return f(spd::power_deformed(spd::bures_wasserstein{}, theta));
    default:
      return f(spd::power_deformed(spd::generalised_bures_wasserstein(layer.metric), theta));
  }
}

}  // namespace

TEST_CASE("after the layer the mean is the bias and the variance the target", "[spd]") {
  for (Case const& c : cases) {
    for (double condition : {10.0, 1e4}) {
      CAPTURE(int(c.geometry), c.power, condition);
      Layer bn = layer(c, 5);
      auto const r = bn.forward(batch(7, 5, condition));
      CHECK(r.outside_domain == 0);
      with_metric(bn, [&](auto const& metric) {
        // The mean: the logs at the bias cancel, which is the equation of a barycentre.
        MatrixXd sum = MatrixXd::Zero(5, 5);
        double variance = 0;
        for (MatrixXd const& Y : r.outputs) {
          sum += metric.log(bn.bias, Y) / 7;
          variance += std::pow(metric.distance(bn.bias, Y), 2) / 7;
        }
        CHECK(metric.norm(bn.bias, symmetrised(sum)) < 1e-9);
        double const target = 0.09 * r.variance / (r.variance + 1e-3);
        CHECK(std::abs(variance / target - 1) < 1e-9);
        auto const mean = spd::barycenter(r.outputs, VectorXd(), metric, {.tolerance = 1e-10});
        CHECK(apart(mean.matrix, bn.bias) < 1e-8);
      });
    }
  }
}

TEST_CASE("gradients agree with central differences", "[spd]") {
  Index const n = 3;
  double const h = 1e-5;
  for (bool constant_input : {false, true}) {
    for (Case const& c : cases) {
      CAPTURE(int(c.geometry), c.power, constant_input);
      Batch X = batch(4, n, 20);
      if (constant_input) {  // equal eigenvalues, where naive divided differences are 0 / 0
        X[0] = MatrixXd::Identity(n, n);
        X[1] = 2 * MatrixXd::Identity(n, n);
      }
      Batch G;
      for (std::uint64_t i = 0; i < 4; ++i) G.push_back(support::symmetric(n, 60 + i));
      Layer bn = layer(c, n);
      if (constant_input) bn.bias = MatrixXd::Identity(n, n);
      auto const loss = [&](Layer at, Batch const& data) {
        auto const r = at.forward(data);
        double sum = 0;
        for (std::size_t i = 0; i < 4; ++i) sum += G[i].cwiseProduct(r.outputs[i]).sum();
        return sum;
      };
      Layer const before = bn;
      auto const r = bn.forward(X);
      auto const g = bn.backward(r, G);
      CHECK(g.status == Status::converged);
      double size = std::abs(g.scale) + g.bias.norm() + g.metric.norm();
      for (auto const& part : g.inputs) size += part.norm();
      double const tolerance = 1e-8 * size;
      MatrixXd const E = support::symmetric(n, 80);
      for (std::size_t i = 0; i < 4; ++i) {
        Batch up = X, down = X;
        up[i] += h * E;
        down[i] -= h * E;
        double const slope = (loss(before, up) - loss(before, down)) / (2 * h);
        CHECK(std::abs(slope - g.inputs[i].cwiseProduct(E).sum()) < tolerance);
      }
      auto const parameter = [&](auto const& change) {
        Layer up = before, down = before;
        change(up, h);
        change(down, -h);
        return (loss(up, X) - loss(down, X)) / (2 * h);
      };
      CHECK(std::abs(parameter([&](Layer& l, double t) { l.bias += t * E; }) -
                     g.bias.cwiseProduct(E).sum()) < tolerance);
      CHECK(std::abs(parameter([&](Layer& l, double t) { l.scale += t; }) - g.scale) < tolerance);
      CHECK(std::abs(parameter([&](Layer& l, double t) { l.metric += t * E; }) -
                     g.metric.cwiseProduct(E).sum()) < tolerance);
    }
  }
}

TEST_CASE("gradients stay right for condition numbers of 1e8", "[spd]") {
  // A change of a matrix within its own scales, X (I + t E) X^1/2-like, so that it stays positive.
  Index const n = 3;
  for (Case const& c : cases) {
    CAPTURE(int(c.geometry), c.power);
    Batch const X = batch(4, n, 1e8);
    Layer const before = layer(c, n);
    Layer bn = before;
    Batch G;
    for (std::uint64_t i = 0; i < 4; ++i) G.push_back(support::symmetric(n, 60 + i));
    auto const loss = [&](Batch const& data) {
      Layer at = before;
      auto const r = at.forward(data);
      double sum = 0;
      for (std::size_t i = 0; i < 4; ++i) sum += G[i].cwiseProduct(r.outputs[i]).sum();
      return sum;
    };
    auto const r = bn.forward(X);
    auto const g = bn.backward(r, G);
    MatrixXd const root = spd::sqrt(X[1]);
    MatrixXd const E = symmetrised(root * support::symmetric(n, 81) * root);
    double const h = 1e-3;
    Batch up = X, down = X;
    up[1] += h * E;
    down[1] -= h * E;
    double const slope = (loss(up) - loss(down)) / (2 * h);
    double const exact = g.inputs[1].cwiseProduct(E).sum();
    CHECK(std::abs(slope - exact) < 2e-5 * std::max(std::abs(exact), 0.1));
  }
}

TEST_CASE("as released: one step, variance about the identity, constant statistics", "[spd]") {
  Index const n = 4;
  Batch const X = batch(5, n, 10);
  MatrixXd const I = MatrixXd::Identity(n, n);
  for (Case const& c : {cases[4], cases[5]}) {
    Layer bn = layer(c, n, true);
    auto const r = bn.forward(X);
    // The published formulas, written out with matrix functions alone.
    auto const congruent = [](MatrixXd const& N, MatrixXd const& A) {
      return symmetrised(N * A * N);
    };
    MatrixXd const N = spd::inverse_sqrt(bn.metric), R = spd::sqrt(bn.metric);
    Batch P;
    MatrixXd mean = MatrixXd::Zero(n, n);
    double variance = 0;
    for (MatrixXd const& x : X) {
      P.push_back(congruent(N, spd::power(x, c.power)));
      mean += P.back() / 5;
      MatrixXd const root = spd::sqrt(P.back());
      variance += (P.back().trace() + n - 2 * root.trace()) / 5 / (c.power * c.power);
    }
    MatrixXd const g = spd::sqrt(mean), inverse = spd::inverse_sqrt(mean);
    MatrixXd inner = MatrixXd::Zero(n, n);
    for (MatrixXd const& p : P) inner += spd::sqrt(congruent(g, p)) / 5;
    MatrixXd const B = congruent(inverse, symmetrised(inner * inner));
    MatrixXd const W = congruent(N, spd::power(bn.bias, c.power));
    auto const at_b = spd::positive_spectrum(B), at_w = spd::positive_spectrum(W);
    CHECK(std::abs(r.variance - variance) < 1e-13);
    MatrixXd const b = spd::sqrt(B), b_inverse = spd::inverse_sqrt(B);
    for (std::size_t i = 0; i < 5; ++i) {
      MatrixXd const half = b * spd::sqrt(congruent(b, P[i])) * b_inverse;
      MatrixXd V = at_b.vectors.transpose() * (half + half.transpose() - 2 * B) * at_b.vectors;
      for (Index j = 0; j < n; ++j) {
        for (Index k = 0; k < n; ++k) V(j, k) *= std::sqrt(2 / (at_b.values(j) + at_b.values(k)));
      }
      V = symmetrised(at_b.vectors * V * at_b.vectors.transpose());
      MatrixXd const moved = I + V + V * V / 4;
      MatrixXd const tangent =
          bn.scale / std::sqrt(variance + 1e-3) * (2 * spd::sqrt(symmetrised(moved)) - 2 * I);
      MatrixXd T = at_w.vectors.transpose() * tangent * at_w.vectors;
      for (Index j = 0; j < n; ++j) {
        for (Index k = 0; k < n; ++k) T(j, k) *= std::sqrt((at_w.values(j) + at_w.values(k)) / 2);
      }
      T = symmetrised(at_w.vectors * T * at_w.vectors.transpose());
      MatrixXd const L = spd::lyapunov(W, T);
      MatrixXd const Y = congruent(R, symmetrised(W + T + L * W * L));
      CHECK(apart(r.outputs[i], spd::power(Y, 1 / c.power)) < 1e-12);
    }
    // Constant statistics: moving one matrix alone, the others' outputs are not held to change.
    Batch G(5, MatrixXd::Zero(n, n));
    G[2] = support::symmetric(n, 5);
    auto const gradients = bn.backward(r, G);
    CHECK(gradients.inputs[0].norm() == 0);
    CHECK(gradients.inputs[2].norm() > 0);
  }
}

TEST_CASE("as released: outside the domain eigenvalues are reflected, and gradients know",
          "[spd]") {
  Index const n = 3;
  Batch const X = batch(4, n, 1e3);
  Layer bn(n, {.geometry = Geometry::bures_wasserstein, .as_released = true});
  bn.scale = 4;  // far too large for exp to be injective
  auto const r = bn.forward(X);
  auto const& V = r.moved;
  bool reflected = false;
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(spd::spectrum(MatrixXd(MatrixXd::Identity(n, n) + V[i] / 2)).values(0) >= 0);
    reflected = reflected || r.folds[2 * i + 1].values(0) < 0;
  }
  CHECK(reflected);
  // With the statistics held, the derivative of the outputs by the scale.
  Batch G;
  for (std::uint64_t i = 0; i < 4; ++i) G.push_back(support::symmetric(n, 60 + i));
  auto const loss = [&](double scale) {
    Layer at(n, bn.options());
    at.scale = scale;
    auto const q = at.forward(X);
    double sum = 0;
    for (std::size_t i = 0; i < 4; ++i) sum += G[i].cwiseProduct(q.outputs[i]).sum();
    return sum;
  };
  double const slope = (loss(4 + 1e-6) - loss(4 - 1e-6)) / 2e-6;
  CHECK(std::abs(bn.backward(r, G).scale - slope) < 1e-7 * std::abs(slope));
}

TEST_CASE("running statistics approach those of the batches", "[spd]") {
  Batch const X = batch(6, 4, 30);
  for (Case const& c : cases) {
    CAPTURE(int(c.geometry), c.power);
    Layer bn = layer(c, 4);
    auto const first = bn.forward(X);
    CHECK(std::abs(bn.running_variance - (0.9 + 0.1 * first.variance)) < 1e-14);
    for (int k = 0; k < 300; ++k) static_cast<void>(bn.forward(X));
    auto const trained = bn.forward(X);
    Batch const evaluated = bn.evaluate(X);
    for (std::size_t i = 0; i < 6; ++i) CHECK(apart(evaluated[i], trained.outputs[i]) < 1e-10);
    with_metric(bn, [&](auto const& metric) {
      auto const mean = spd::barycenter(X, VectorXd(), metric, {.tolerance = 1e-13});
      CHECK(apart(bn.running_mean, mean.matrix) < 1e-10);
    });
  }
}

TEST_CASE("descent lowers a loss and keeps the parameters positive definite", "[spd]") {
  Batch const X = batch(6, 4, 30);
  MatrixXd const goal = 2 * support::covariance(4, 33, 10);
  for (bool as_released : {false, true}) {
    for (Case const& c : cases) {
      CAPTURE(int(c.geometry), c.power, as_released);
      Layer bn = layer(c, 4, as_released);
      double first = 0, last = 0;
      for (int k = 0; k < 60; ++k) {
        auto const r = bn.forward(X);
        Batch G;
        last = 0;
        for (MatrixXd const& Y : r.outputs) {
          G.push_back(symmetrised(Y - goal) / 6);
          last += (Y - goal).squaredNorm() / 12;
        }
        if (k == 0) first = last;
        bn.descend(bn.backward(r, G), 0.05);
      }
      CHECK(last < 0.5 * first);
      CHECK(spd::positive_spectrum(bn.bias).values(0) > 0);
      CHECK(spd::positive_spectrum(bn.metric).values(0) > 0);
    }
  }
}

TEST_CASE("the layer refuses misuse", "[spd]") {
  CHECK_REFUSED(Layer(0), "BatchNormalization: n is 0");
  CHECK_REFUSED(Layer(2, {.power = 0}), "power is 0");
  CHECK_REFUSED(Layer(2, {.momentum = 0}), "momentum is 0");
  CHECK_REFUSED(Layer(2, {.epsilon = -1}), "epsilon is -1");
  Layer bn(3);
  CHECK_REFUSED(bn.forward({}), "the batch is empty");
  CHECK_REFUSED(bn.forward({MatrixXd::Identity(2, 2)}), "the layer is for 3x3 but a matrix is 2x2");
  CHECK_REFUSED(bn.forward({MatrixXd::Zero(3, 3)}), "the matrix is singular");
  auto const r = bn.forward({MatrixXd::Identity(3, 3), 2 * MatrixXd::Identity(3, 3)});
  CHECK_REFUSED(bn.backward(r, {}), "the batch has 2 matrices but there are 0 gradients");
}
