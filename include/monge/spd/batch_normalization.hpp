// SPDX-License-Identifier: MIT
/// @file
/// Riemannian batch normalisation of positive definite matrices: a layer of neural networks on
/// covariances, forward and backward.
///
///     X~ = M^-1/2 X^theta M^-1/2             power, and the metric of the generalised geometry
///     B = barycentre of the X~,  v = mean d(X~, B)^2 / theta^2
///     V = log_B X~ transported to the identity, times s / (v + epsilon)^1/2
///     Y~ = exp at W~ of V transported from the identity,  W~ = M^-1/2 W^theta M^-1/2
///     Y = (M^1/2 Y~ M^1/2)^(1/theta)
///
/// The batch Y has the barycentre W and the mean square distance s^2 v / (v + epsilon) from it, in
/// the deformed metric, as long as exp is injective (always in the affine-invariant and the
/// log-Euclidean geometry; `outside_domain` counts the matrices for which it is not). W, s and M
/// are learnt. [BN19] has the affine-invariant layer, [GBWBN] the generalised one.
///
/// backward is the exact derivative of forward, batch statistics included: matrix functions by
/// Daleckii and Krein, the mean by the implicit function theorem (detail/normalization_maps.hpp).
///
/// Cost: O(m n^3) per iteration of the barycentre (forward) and of conjugate gradients (backward).
///
/// Where the code released with [GBWBN] differs from its formulas it is followed only on request,
/// `as_released`: the variance is the mean square distance of the X~ from the identity instead of
/// B; B is one step of the fixed-point iteration from the arithmetic mean; gradients do not pass
/// through B and v; exp and log at the identity, which cancel inside the domain, are both applied,
/// which outside reflects eigenvalues; and `descend` moves along exp_W(-rate W G W), whose
/// direction is the gradient of the affine-invariant metric.
/// docs/papers/spd-batch-normalisation.md.
///
/// [GBWBN] R. Wang, S. Jin, Z. Chen, X. Luo, X.-J. Wu, Learning to normalize on the SPD manifold
///         under Bures-Wasserstein geometry, CVPR 2025 (arXiv 2504.00660), with code.
/// [BN19]  D. Brooks, O. Schwander, F. Barbaresco, J.-Y. Schneider, M. Cord, Riemannian batch
///         normalization for SPD neural networks, NeurIPS 2019.
#pragma once

#include <cmath>
#include <vector>

#include <monge/core/require.hpp>
#include <monge/core/status.hpp>
#include <monge/core/types.hpp>
#include <monge/spd/barycenter.hpp>
#include <monge/spd/detail/normalization_maps.hpp>
#include <monge/spd/generalised_bures_wasserstein.hpp>

namespace monge::spd {

/// The geometry of a normalisation layer.
enum class Geometry : unsigned char {
  affine_invariant,
  log_euclidean,
  bures_wasserstein,
  generalised_bures_wasserstein,  ///< with a learnable M
};

/// Options of BatchNormalization.
struct BatchNormalizationOptions {
  Geometry geometry = Geometry::generalised_bures_wasserstein;
  double power = 1;                   ///< theta of the deformation; not zero
  double momentum = 0.1;              ///< share of a batch in the running statistics, in (0, 1]
  double epsilon = 1e-5;              ///< added to the variance; >= 0
  BarycenterOptions barycenter = {};  ///< of the mean of a batch
  bool as_released = false;           ///< the conventions of the published code; see above
};

/// What `forward` returns and `backward` needs.
template <RealScalar S>
struct NormalizedBatch {
  std::vector<MatrixX<S>> outputs;  ///< m matrices, n x n
  S variance = 0;                   ///< v
  Status status = Status::not_run;  ///< of the barycentre
  Index outside_domain = 0;         ///< outputs for which exp is not injective

  std::vector<Spectrum<S>> inputs, results;  ///< spectra of X and of what power 1/theta is taken of
  std::vector<MatrixX<S>> powered;           ///< X^theta
  std::vector<MatrixX<S>> moved;             ///< the tangents at the identity, scaled
  std::vector<MatrixX<S>> placed;            ///< Y~
  std::vector<Spectrum<S>> folds;            ///< where as_released applies exp and log
  detail::Centred<S> centred;
  Spectrum<S> bias, placed_bias, metric;  ///< of W, W~ and M
  MatrixX<S> powered_bias;                ///< W^theta
};

/// The gradients of a loss.
template <RealScalar S>
struct BatchNormalizationGradients {
  std::vector<MatrixX<S>> inputs;   ///< with respect to the matrices of the batch, symmetric
  MatrixX<S> bias;                  ///< with respect to W, symmetric
  S scale = 0;                      ///< with respect to s
  MatrixX<S> metric;                ///< with respect to M; zero unless the geometry has one
  Status status = Status::not_run;  ///< of the solve for the derivative of the mean
};

/// The layer: parameters, running statistics, and the two passes.
///
///     spd::BatchNormalization<double> layer(n, {.power = 0.5});
///     auto batch = layer.forward(X);                       // training: batch statistics
///     auto g = layer.backward(batch, dloss_dY);
///     layer.descend(g, 0.01);
///     auto Y = layer.evaluate(X);                          // running statistics
template <RealScalar S>
class BatchNormalization {
  using Matrix = MatrixX<S>;
  using Batch = std::vector<Matrix>;

 public:
  Matrix bias;          ///< W, n x n, symmetric positive definite; starts at I
  S scale = 1;          ///< s
  Matrix metric;        ///< M, n x n, symmetric positive definite; starts at I
  Matrix running_mean;  ///< in the space of the inputs; starts at I
  S running_variance = 1;

  explicit BatchNormalization(Index n, BatchNormalizationOptions const& options = {})
      : options_(options) {
    using monge::detail::require;
    require(n >= 1, "BatchNormalization: n is ", n, "; it must be at least 1");
    require(std::isfinite(options.power) && options.power != 0, "BatchNormalization: power is ",
            options.power, "; it must be finite and not zero");
    require(options.momentum > 0 && options.momentum <= 1, "BatchNormalization: momentum is ",
            options.momentum, "; it must be in (0, 1]");
    monge::detail::require_nonnegative("BatchNormalization", "epsilon", options.epsilon);
    bias = metric = running_mean = Matrix::Identity(n, n);
  }

  [[nodiscard]] BatchNormalizationOptions const& options() const { return options_; }

  /// Normalises m matrices (n x n, symmetric positive definite) by their own statistics and moves
  /// the running ones. Refuses matrices and parameters that are not positive definite.
  [[nodiscard]] NormalizedBatch<S> forward(Batch const& X) {
    return dispatch([&](auto maps) { return train<decltype(maps)>(X); });
  }
  /// Normalises by the running statistics.
  [[nodiscard]] Batch evaluate(Batch const& X) const {
    return dispatch([&](auto maps) {
      NormalizedBatch<S> batch = prepared(X);
      run<decltype(maps)>(batch, to_base(running_mean, batch.metric), running_variance);
      return batch.outputs;
    });
  }
  /// The gradients of a loss whose gradients at the outputs are given (symmetric).
  [[nodiscard]] BatchNormalizationGradients<S> backward(NormalizedBatch<S> const& batch,
                                                        Batch const& gradients) const {
    monge::detail::require(gradients.size() == batch.outputs.size(),
                           "BatchNormalization::backward: the batch has ", batch.outputs.size(),
                           " matrices but there are ", gradients.size(), " gradients");
    return dispatch([&](auto maps) { return pull<decltype(maps)>(batch, gradients); });
  }
  /// One step of Riemannian gradient descent on W, s and M: along the geodesic against the gradient
  /// of the layer's metric (of bures_wasserstein for M).
  void descend(BatchNormalizationGradients<S> const& gradients, double rate) {
    monge::detail::require(std::isfinite(rate), "BatchNormalization::descend: rate is ", rate);
    if (options_.as_released) {
      auto const released = [&](Matrix const& W, Matrix const& G) {
        Matrix const direction = detail::product(W, detail::product(G, W));
        return bures_wasserstein{}.exp(W, S(-rate) * direction);
      };
      bias = released(bias, gradients.bias);
      if (has_metric()) metric = released(metric, gradients.metric);
    } else {
      if (options_.geometry == Geometry::affine_invariant) {
        Matrix const direction = detail::product(bias, detail::product(gradients.bias, bias));
        bias = affine_invariant{}.exp(bias, S(-rate) * direction);
      } else if (options_.geometry == Geometry::log_euclidean) {
        Spectrum<S> const log = spectrum(spd::log(bias));
        Matrix const moved = detail::rebuilt(log.vectors, log.values) -
                             S(rate) * derivative(exponential{}, log, gradients.bias);
        bias = spd::exp(moved);
      } else {
        bias = stepped(bias, gradients.bias, S(rate));
      }
      if (has_metric()) metric = stepped(metric, gradients.metric, S(rate));
    }
    scale -= S(rate) * gradients.scale;
  }

 private:
  static constexpr auto name = "batch normalisation";

  [[nodiscard]] bool has_metric() const {
    return options_.geometry == Geometry::generalised_bures_wasserstein;
  }
  template <class F>
  decltype(auto) dispatch(F const& f) const {
    switch (options_.geometry) {
      case Geometry::affine_invariant:
        return f(detail::AffineMaps<S>{});
      case Geometry::log_euclidean:
        return f(detail::LogMaps<S>{});
      default:
        return f(detail::BuresMaps<S>{});
    }
  }

  /// The gradient of the metric <U, V>_W = tr(L U) / 2 is 2 (G W + W G), and exp_W of -rate times
  /// that is (I - 2 rate G) W (I - 2 rate G).
  static Matrix stepped(Matrix const& W, Matrix const& G, S rate) {
    Matrix const A = Matrix::Identity(W.rows(), W.cols()) - 2 * rate * G;
    Matrix result = detail::product(A, detail::product(W, A));
    detail::symmetrise(result);
    return result;
  }
  static Spectrum<S> positive(Matrix const& X) {
    Spectrum<S> s = detail::positive_spectrum(name, detail::checked_symmetric(name, X), 0);
    detail::require_nonsingular(name, s);
    return s;
  }
  static Matrix congruent(Matrix const& N, Matrix const& X) {
    Matrix result = detail::product(N, detail::product(X, N));
    detail::symmetrise(result);
    return result;
  }
  static Matrix root(Spectrum<S> const& M) { return spd::evaluate(square_root{}, M); }
  static Matrix inverse_root(Spectrum<S> const& M) {
    return spd::evaluate(inverse_square_root{}, M);
  }
  [[nodiscard]] power_of theta() const { return {options_.power}; }

  /// M^-1/2 A^theta M^-1/2
  [[nodiscard]] Matrix to_base(Matrix const& A, Spectrum<S> const& M) const {
    Matrix const powered = options_.power == 1 ? A : Matrix(spd::evaluate(theta(), positive(A)));
    return has_metric() ? congruent(inverse_root(M), powered) : powered;
  }
  [[nodiscard]] Matrix from_base(Matrix const& A, Spectrum<S> const& M) const {
    Matrix const outside = has_metric() ? congruent(root(M), A) : A;
    return options_.power == 1
               ? outside
               : Matrix(spd::evaluate(power_of{1 / options_.power}, positive(outside)));
  }

  /// Checks the batch and takes powers.
  [[nodiscard]] NormalizedBatch<S> prepared(Batch const& X) const {
    monge::detail::require(!X.empty(), name, ": the batch is empty");
    NormalizedBatch<S> batch;
    batch.metric = positive(metric);
    batch.bias = positive(bias);
    batch.powered_bias = spd::evaluate(theta(), batch.bias);
    batch.placed_bias =
        positive(has_metric() ? congruent(inverse_root(batch.metric), batch.powered_bias)
                              : batch.powered_bias);
    for (Matrix const& x : X) {
      monge::detail::require(x.rows() == bias.rows() && x.cols() == bias.rows(), name,
                             ": the layer is for ", monge::detail::shape(bias), " but a matrix is ",
                             monge::detail::shape(x));
      batch.inputs.push_back(positive(x));
      batch.powered.push_back(options_.power == 1 ? detail::checked_symmetric(name, x)
                                                  : spd::evaluate(theta(), batch.inputs.back()));
    }
    return batch;
  }

  [[nodiscard]] Batch based(NormalizedBatch<S> const& batch) const {
    if (!has_metric()) return batch.powered;
    Batch X;
    Matrix const N = inverse_root(batch.metric);
    for (Matrix const& x : batch.powered) X.push_back(congruent(N, x));
    return X;
  }

  template <class Maps>
  NormalizedBatch<S> train(Batch const& X) {
    NormalizedBatch<S> batch = prepared(X);
    Batch const data = based(batch);
    S const share = 1 / S(X.size());
    auto const statistics = [&](auto const& geometry) {
      BarycenterOptions options = options_.barycenter;
      std::optional<Matrix> start;
      if (options_.as_released) {
        start = Matrix::Zero(bias.rows(), bias.cols());
        for (Matrix const& x : data) *start += share * x;
        options.max_iterations = 1;
        options.tolerance = 0;
      }
      auto const mean = barycenter(data, VectorX<S>(), geometry, options, start);
      batch.status = mean.status;
      S variance = mean.variance;
      if (options_.as_released) {
        auto chart = geometry.chart(Matrix(Matrix::Identity(bias.rows(), bias.cols())));
        variance = 0;
        for (Matrix const& x : data) {
          S const d = chart.distance(chart.operand(name, x));
          variance += share * d * d;
        }
      }
      variance /= S(options_.power * options_.power);
      S const momentum = S(options_.momentum);
      running_mean = from_base(
          geometry.geodesic(to_base(running_mean, batch.metric), mean.matrix, options_.momentum),
          batch.metric);
      running_variance = (1 - momentum) * running_variance + momentum * variance;
      run<Maps>(batch, mean.matrix, variance);
    };
    if constexpr (std::same_as<Maps, detail::AffineMaps<S>>) {
      statistics(affine_invariant{});
    } else if constexpr (std::same_as<Maps, detail::LogMaps<S>>) {
      statistics(log_euclidean{});
    } else {
      statistics(bures_wasserstein{});
    }
    return batch;
  }

  /// Centres about B, scales by the variance, biases.
  template <class Maps>
  void run(NormalizedBatch<S>& batch, Matrix const& B, S variance) const {
    std::size_t const count = batch.powered.size();
    batch.variance = variance;
    detail::Centred<S>& c = batch.centred;
    for (auto* list : {&c.tangents, &c.basis, &c.inside}) list->resize(count);
    c.values.resize(count);
    Maps::centre(based(batch), B, c);
    S const factor = scale / std::sqrt(variance + S(options_.epsilon));
    Matrix const outside = root(batch.metric);
    for (std::size_t i = 0; i < count; ++i) {
      if (options_.as_released) {  // exp and log at the identity, before and after scaling
        Matrix const once = Maps::folded(c.tangents[i], batch.folds);
        batch.moved.push_back(Maps::folded(factor * once, batch.folds));
      } else {
        batch.moved.push_back(factor * c.tangents[i]);
      }
      Matrix Y;
      if (!Maps::place(batch.placed_bias, batch.moved[i], Y)) ++batch.outside_domain;
      batch.placed.push_back(Y);
      if (has_metric()) Y = congruent(outside, Y);
      if (options_.power != 1) {
        batch.results.push_back(positive(Y));
        Y = spd::evaluate(power_of{1 / options_.power}, batch.results[i]);
      }
      batch.outputs.push_back(std::move(Y));
    }
  }

  template <class Maps>
  BatchNormalizationGradients<S> pull(NormalizedBatch<S> const& batch,
                                      Batch const& gradients) const {
    std::size_t const count = gradients.size();
    Index const n = bias.rows();
    bool const folds = !batch.folds.empty();
    Matrix const R = root(batch.metric), N = inverse_root(batch.metric);
    S const deviation = std::sqrt(batch.variance + S(options_.epsilon)), factor = scale / deviation;
    BatchNormalizationGradients<S> g;
    Matrix at_bias = Matrix::Zero(n, n), at_root = at_bias, at_inverse_root = at_bias;
    S at_factor = 0;
    Batch tangents(count);
    for (std::size_t i = 0; i < count; ++i) {
      Matrix G = detail::matching("BatchNormalization::backward", bias, gradients[i]);
      if (options_.power != 1) G = derivative(power_of{1 / options_.power}, batch.results[i], G);
      if (has_metric()) {
        Matrix const half = detail::product(G, detail::product(R, batch.placed[i]));
        at_root += half + half.transpose();
        G = congruent(R, G);
      }
      G = Maps::place_adjoint(batch.placed_bias, batch.moved[i], G, at_bias);
      Matrix V = batch.centred.tangents[i];
      if (folds) {
        Matrix const I = Matrix::Identity(n, n);
        G = derivative(detail::absolute{}, batch.folds[2 * i + 1], G);
        V = 2 * spd::evaluate(detail::absolute{}, batch.folds[2 * i]) - 2 * I;
      }
      at_factor += G.cwiseProduct(V).sum();
      G *= factor;
      if (folds) G = derivative(detail::absolute{}, batch.folds[2 * i], G);
      tangents[i] = std::move(G);
    }
    g.scale = at_factor / deviation;
    bool const through = !options_.as_released;
    if (through) {  // v = mean <V, V> / theta^2
      S const at_variance = -at_factor * scale / (2 * deviation * deviation * deviation);
      S const share = S(2 * Maps::norm_at_identity / (options_.power * options_.power)) / S(count);
      for (std::size_t i = 0; i < count; ++i) {
        tangents[i] += at_variance * share * batch.centred.tangents[i];
      }
    }
    Batch based_gradients(count);
    g.status = Maps::centre_adjoint(batch.centred, tangents, through, based_gradients);
    auto const to_input = [&](Matrix G, Matrix const& powered, Spectrum<S> const& input) {
      if (has_metric()) {
        Matrix const half = detail::product(G, detail::product(N, powered));
        at_inverse_root += half + half.transpose();
        G = congruent(N, G);
      }
      return options_.power == 1 ? G : Matrix(derivative(theta(), input, G));
    };
    for (std::size_t i = 0; i < count; ++i) {
      g.inputs.push_back(to_input(based_gradients[i], batch.powered[i], batch.inputs[i]));
    }
    detail::symmetrise(at_bias);
    g.bias = to_input(at_bias, batch.powered_bias, batch.bias);
    g.metric = Matrix::Zero(n, n);
    if (has_metric()) {
      g.metric = derivative(square_root{}, batch.metric, at_root) +
                 derivative(inverse_square_root{}, batch.metric, at_inverse_root);
    }
    return g;
  }

  BatchNormalizationOptions options_;
};

}  // namespace monge::spd
