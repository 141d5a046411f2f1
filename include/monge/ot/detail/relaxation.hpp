// SPDX-License-Identifier: MIT
/// @file
/// The over-relaxation factor of Sinkhorn's iteration, found while it runs.
///
/// Near the solution Sinkhorn is a Gauss-Seidel iteration with two blocks. If its errors fall by
/// mu^2 per iteration, the best factor is 2 / (1 + sqrt(1 - mu^2)), for which they fall by that
/// factor less one. With a factor below the best one, omega, the rate lambda that is seen tells mu:
/// (lambda + omega - 1)^2 = lambda omega^2 mu^2 (Young's relation for two-block matrices).
///
/// [LRTP22] T. Lehmann, M.-K. von Renesse, A. Sambale, A. Uschmajew, A note on overrelaxation in
///          the Sinkhorn algorithm, Optim. Lett. 16 (2022). [HY81] L. Hageman, D. Young, Applied
///          iterative methods, 1981, chapter 9 (adaptive factors).
#pragma once

#include <array>
#include <cmath>

#include <monge/core/types.hpp>

namespace monge::ot::detail {

struct Relaxation {
  double factor = 1;

  /// The errors so far are forgotten, and so is the factor.
  void restart() { *this = {}; }

  /// Takes the error of one more iteration into account.
  void observe(double error) {
    errors_[std::size_t(seen_ % window)] = error;
    ++seen_;
    if (seen_ < 2 * window || error > 0.3) return;  // the slowest mode does not yet rule
    double const past = errors_[std::size_t(seen_ % window)];
    double const rate = std::pow(error / past, 1.0 / double(window - 1));
    seen_ = 0;
    if (!(rate < 1) || rate <= factor - 1) return;
    double const sum = rate + factor - 1;
    double const mu2 = sum * sum / (rate * factor * factor);
    if (mu2 < 1) factor = std::max(factor, std::min(2 / (1 + std::sqrt(1 - mu2)), 1.99));
  }

 private:
  static constexpr Index window = 6;
  std::array<double, window> errors_{};
  Index seen_ = 0;
};

}  // namespace monge::ot::detail
