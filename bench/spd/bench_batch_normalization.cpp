// SPDX-License-Identifier: MIT
// The table of docs/papers/spd-batch-normalisation.md: a classifier of ill-conditioned covariances,
// X -> batch normalisation -> log -> linear -> softmax, with each geometry of the layer. One
// iteration trains it from `seeds` starts; the counters are the accuracy on unseen matrices in per
// cent, its standard deviation over the seeds, and the norm of the gradient of the loss at the
// inputs, the geometric mean over the batches of the last epoch.
//
// Matrices are covariances of 40 samples of N(0, S_c), 8 x 8, 4 classes. family 0: S_c = G^1/2
// exp(D_c) G^1/2 where G has the condition number 10^exponent, so that the classes differ as much
// in the small directions as in the large ones. family 1: the classes differ in the three largest
// directions, the five small ones are noise whose level changes from matrix to matrix.
#include <benchmark/benchmark.h>
#include <cmath>
#include <optional>
#include <vector>

#include <monge/core/random.hpp>
#include <monge/spd/batch_normalization.hpp>

using namespace monge;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using spd::Geometry;

namespace {

constexpr Index size = 8, classes = 4, samples = 40, count = 240, batch_size = 30, epochs = 20;
constexpr int seeds = 3;

enum Variant { none, affine, log_euclidean, bures, generalised, powered, released };
char const* const names[] = {"none", "AIM", "LEM", "BW", "GBW", "GBW+power", "GBW as released"};

MatrixXd normal(Index rows, Index cols, RandomKey key) {
  MatrixXd X(rows, cols);
  random::fill_normal(X, key);
  return X;
}

MatrixXd symmetric(RandomKey key, double norm) {
  MatrixXd const X = normal(size, size, key);
  MatrixXd const E = X + X.transpose();
  return E * (norm / E.norm());
}

struct Data {
  std::vector<MatrixXd> X;
  std::vector<Index> label;
};

/// `part` 0 is for training, 1 for testing; the classes depend on the seed alone.
Data draw(int family, double condition, std::uint64_t seed, std::uint64_t part) {
  MatrixXd const basis = spd::spectrum(symmetric({seed, 1}, 1)).vectors;
  VectorXd scales(size);
  for (Index i = 0; i < size; ++i) {
    scales(i) = std::pow(condition, -0.5 * double(i) / double(size - 1));
  }
  std::vector<MatrixXd> factors;
  for (Index c = 0; c < classes; ++c) {
    MatrixXd D = symmetric({seed, std::uint64_t(10 + c)}, family == 0 ? 0.9 : 1.2);
    if (family == 1) {
      D.bottomRows(size - 3).setZero();
      D.rightCols(size - 3).setZero();
    }
    factors.push_back(spd::exp(MatrixXd(D / 2)));
  }
  Data data;
  for (Index i = 0; i < count; ++i) {
    Index const c = i % classes;
    RandomKey const key{seed, 1000 + 10000 * part + std::uint64_t(2 * i)};
    MatrixXd Z = factors[std::size_t(c)] * normal(size, samples, key);
    VectorXd level = scales;
    if (family == 1) {
      VectorXd const noise = normal(size, 1, {seed, key.stream + 1});
      for (Index k = 3; k < size; ++k) level(k) *= std::exp(noise(k));
    }
    Z = level.asDiagonal() * Z;
    data.X.push_back(basis * (Z * Z.transpose() / double(samples)) * basis.transpose());
    data.X.back() = (data.X.back() + data.X.back().transpose()).eval() / 2;
    data.label.push_back(c);
  }
  return data;
}

/// The linear layer on log Y with its Adam moments.
struct Linear {
  MatrixXd weights = MatrixXd::Zero(classes, size* size + 1);
  MatrixXd first = weights, second = weights;
  double steps = 0;

  [[nodiscard]] static VectorXd features(MatrixXd const& log) {
    VectorXd f(size * size + 1);
    f.head(size * size) = Eigen::Map<VectorXd const>(log.data(), size * size);
    f(size * size) = 1;
    return f;
  }
  [[nodiscard]] VectorXd probabilities(VectorXd const& f) const {
    VectorXd p = weights * f;
    p = (p.array() - p.maxCoeff()).exp();
    return p / p.sum();
  }
  void adam(MatrixXd const& gradient, double rate) {
    ++steps;
    first = 0.9 * first + 0.1 * gradient;
    second = 0.999 * second + 0.001 * gradient.cwiseAbs2();
    double const a = 1 - std::pow(0.9, steps), b = 1 - std::pow(0.999, steps);
    weights.array() -= rate * (first.array() / a) / ((second.array() / b).sqrt() + 1e-8);
  }
};

struct Outcome {
  double accuracy = 0, log_gradient = 0, outside = 0;
};

Outcome train(int family, Variant variant, double condition, std::uint64_t seed) {
  Data const data = draw(family, condition, seed, 0), unseen = draw(family, condition, seed, 1);
  std::optional<spd::BatchNormalization<double>> layer;
  if (variant != none) {
    spd::BatchNormalizationOptions options;
    options.geometry = variant == affine          ? Geometry::affine_invariant
                       : variant == log_euclidean ? Geometry::log_euclidean
                       : variant == bures         ? Geometry::bures_wasserstein
                                                  : Geometry::generalised_bures_wasserstein;
    options.power = variant == powered ? 0.5 : 1;
    options.as_released = variant == released;
    options.barycenter = {.tolerance = 1e-6, .max_iterations = 100};
    layer.emplace(size, options);
    layer->scale = 0.5;
  }
  Linear linear;
  Outcome outcome;
  Index measured = 0, batches = 0;
  for (Index epoch = 0; epoch < epochs; ++epoch) {
    auto const order = random::permutation({seed, 500 + std::uint64_t(epoch)}, count);
    for (Index at = 0; at < count; at += batch_size) {
      std::vector<MatrixXd> X;
      for (Index i = at; i < at + batch_size; ++i) X.push_back(data.X[std::size_t(order(i))]);
      spd::NormalizedBatch<double> batch;
      if (layer) {
        batch = layer->forward(X);
      } else {
        batch.outputs = X;
      }
      MatrixXd at_weights = MatrixXd::Zero(classes, size * size + 1);
      std::vector<MatrixXd> gradients;
      for (Index i = 0; i < batch_size; ++i) {
        auto const s = spd::positive_spectrum(batch.outputs[std::size_t(i)], 1e-14);
        MatrixXd const log = spd::evaluate(spd::logarithm{}, s);
        VectorXd const f = Linear::features(log);
        VectorXd p = linear.probabilities(f);
        p(data.label[std::size_t(order(at + i))]) -= 1;
        p /= double(batch_size);
        at_weights += p * f.transpose();
        VectorXd const back = linear.weights.transpose() * p;
        MatrixXd const G = Eigen::Map<MatrixXd const>(back.data(), size, size);
        gradients.push_back(
            spd::derivative(spd::logarithm{}, s, MatrixXd((G + G.transpose()) / 2)));
      }
      if (layer) {
        auto g = layer->backward(batch, gradients);
        gradients = g.inputs;
        double const norm =
            std::sqrt(g.bias.squaredNorm() + g.metric.squaredNorm() + g.scale * g.scale);
        layer->descend(g, 0.05 / std::max(norm, 1.0));
        outcome.outside += double(batch.outside_domain);
      }
      linear.adam(at_weights, 0.02);
      ++batches;
      if (epoch + 1 == epochs) {
        double squared = 0;
        for (MatrixXd const& G : gradients) squared += G.squaredNorm();
        outcome.log_gradient += std::log10(squared) / 2;
        ++measured;
      }
    }
  }
  outcome.log_gradient /= double(measured);
  outcome.outside /= double(batches * batch_size);
  std::vector<MatrixXd> const Y = layer ? layer->evaluate(unseen.X) : unseen.X;
  for (std::size_t i = 0; i < Y.size(); ++i) {
    Index guess = 0;
    linear.probabilities(Linear::features(spd::log(Y[i], 1e-14))).maxCoeff(&guess);
    outcome.accuracy += guess == unseen.label[i] ? 100.0 / double(Y.size()) : 0;
  }
  return outcome;
}

void classify(benchmark::State& state) {
  int const family = int(state.range(0));
  auto const variant = Variant(state.range(1));
  double const condition = std::pow(10.0, double(state.range(2)));
  for (auto _ : state) {
    double sum = 0, squares = 0, gradient = 0, outside = 0;
    for (int seed = 1; seed <= seeds; ++seed) {
      Outcome const o = train(family, variant, condition, std::uint64_t(seed));
      sum += o.accuracy / seeds;
      squares += o.accuracy * o.accuracy / seeds;
      gradient += o.log_gradient / seeds;
      outside += o.outside / seeds;
    }
    state.counters["accuracy"] = sum;
    state.counters["deviation"] = std::sqrt(std::max(squares - sum * sum, 0.0));
    state.counters["gradient"] = std::pow(10.0, gradient);
    state.counters["outside"] = outside;
  }
  state.SetLabel(names[variant]);
}

BENCHMARK(classify)
    ->ArgNames({"family", "variant", "exponent"})
    ->ArgsProduct({{0, 1},
                   {none, affine, log_euclidean, bures, generalised, powered, released},
                   {1, 2, 4, 6, 8}})
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
