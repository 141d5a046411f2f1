// SPDX-License-Identifier: MIT
/// @file
/// How an adaptive integrator chooses its next step from the local errors of the last ones.
///
/// With e_n the scaled local error of step n (accepted if e_n <= 1) and k = the order of the error
/// estimate plus one, the next step is h times
///
///     safety * e_n^(-(I + P + D) / k) * e_(n-1)^((P + 2 D) / k) * e_(n-2)^(-D / k)
///
/// between the limits below: the digital PID controller of Soderlind, Digital filters in adaptive
/// time-stepping, ACM Transactions on Mathematical Software 29 (2003) 1-26, Sec. 4. A rejected step
/// is repeated by the integral term alone, and the step after it does not grow (Hairer, Norsett,
/// Wanner I, II.4).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace monge::flow {

/// The coefficients of the step size controller. The defaults are the classical choice for
/// non-stiff problems, I alone with safety 0.9 and factors between 0.2 and 10 (Hairer, Norsett,
/// Wanner I, II.4, (4.13) and the code DOPRI5). Where stability bounds the steps, the smoother PI
/// control {.integral = 0.3, .proportional = 0.4} rejects fewer of them (Gustafsson 1991).
/// A step that would grow by less than `steady_growth` is kept (1.2: the code RADAU5 of the same
/// authors), which rejects fewer steps and lets the processor start the next one early.
struct StepControl {
  double safety = 0.9;         ///< aims below the tolerance by this factor; in (0, 1]
  double integral = 1;         ///< I
  double proportional = 0;     ///< P
  double derivative = 0;       ///< D
  double most_growth = 10;     ///< largest factor from one step to the next; at least 1
  double most_shrink = 0.2;    ///< smallest factor, also the answer to NaN; in (0, 0.9]
  double steady_growth = 1.2;  ///< smaller growth keeps the step; at least 1
};

namespace detail {

/// log2 to 1.2e-4, for positive normal numbers. The controller needs three digits, not sixteen, and
/// this is the same on every platform, so the sequence of steps does not depend on the C library.
inline double rough_log2(double x) {
  auto const bits = std::bit_cast<std::uint64_t>(x);
  double const exponent = static_cast<double>(static_cast<int>(bits >> 52) - 1023);
  double const m = std::bit_cast<double>((bits & 0x000fffffffffffffU) | 0x3ff0000000000000U) - 1;
  // log2(1 + m) on [0, 1]: exact at both ends, so that it is continuous.
  return exponent + m * (1 + (1 - m) * (0.438725 + m * (-0.239057 + m * 0.082130)));
}

/// 2^y to 1.1e-4 relative, for |y| < 1000.
inline double rough_exp2(double y) {
  double const whole = std::floor(y), f = y - whole;
  auto const exponent = static_cast<std::uint64_t>(static_cast<int>(whole) + 1023);
  double const power = std::bit_cast<double>(exponent << 52);
  return power * (1 + f * (1 + (f - 1) * (0.304576 + f * 0.078268)));
}

/// The controller's memory of the last two accepted steps, and its rules. A plain value.
struct StepMemory {
  double last = 0, before_last = 0;  // log2 of their scaled errors
  bool rejected = false;             // was the last attempt rejected?

  /// The factor after an accepted step whose squared scaled error is `error2`; k as above.
  double accept(StepControl const& pid, double k, double error2) {
    double const log_error = logarithm(error2);
    double const power = (pid.integral + pid.proportional + pid.derivative) * log_error -
                         (pid.proportional + 2 * pid.derivative) * last +
                         pid.derivative * before_last;
    before_last = last;
    last = log_error;
    double const most = rejected ? 1 : pid.most_growth;
    rejected = false;
    return std::clamp(pid.safety * rough_exp2(-power / k), pid.most_shrink, most);
  }

  /// The factor after a rejected one; NaN and infinity shrink it the most.
  double reject(StepControl const& pid, double k, double error2) {
    rejected = true;
    if (!std::isfinite(error2)) {
      return pid.most_shrink;
    }
    // At least a tenth smaller, whatever the coefficients: the repeated step must differ.
    return std::clamp(pid.safety * rough_exp2(-logarithm(error2) / k), pid.most_shrink, 0.9);
  }

 private:
  // Clamped where no factor can matter any more.
  static double logarithm(double error2) {
    return 0.5 * rough_log2(std::clamp(error2, 1e-30, 1e30));
  }
};

}  // namespace detail
}  // namespace monge::flow
