// SPDX-License-Identifier: MIT
/// @file
/// Explicit Runge-Kutta methods, ready to be passed to `integrate`.
///
/// Which one: dormand_prince5 or tsitouras5 with adaptive steps for most smooth problems;
/// bogacki_shampine3 for loose tolerances (above about 1e-4) and fields with kinks; rk4 for many
/// equal steps; heun and euler when an evaluation costs far more than the accuracy is worth, as in
/// sampling through a network. None of them suits stiff problems: their steps are then bound by
/// stability, not by accuracy.
///
/// Each is checked while it compiles; see tableau.hpp for the meaning of the rows.
#pragma once

#include <monge/flow/tableau.hpp>

namespace monge::flow {

/// Order 1, one evaluation per step. No error estimate: needs `step`.
struct euler {
  static constexpr int stages = 1, order = 1;
  static constexpr double a[1][1] = {{}};
  static constexpr double b[1] = {1};
  static constexpr double c[1] = {0};
};

/// Heun's method (the explicit trapezoidal rule), order 2 with an embedded Euler step.
struct heun {
  static constexpr int stages = 2, order = 2, embedded_order = 1;
  static constexpr double a[2][2] = {{}, {1}};
  static constexpr double b[2] = {1. / 2, 1. / 2};
  static constexpr double c[2] = {0, 1};
  static constexpr double error[2] = {-1. / 2, 1. / 2};
};

/// The classical method of Kutta (1901), order 4. No error estimate: needs `step`.
struct rk4 {
  static constexpr int stages = 4, order = 4;
  static constexpr double a[4][4] = {{}, {1. / 2}, {0, 1. / 2}, {0, 0, 1}};
  static constexpr double b[4] = {1. / 6, 1. / 3, 1. / 3, 1. / 6};
  static constexpr double c[4] = {0, 1. / 2, 1. / 2, 1};
};

/// Bogacki and Shampine, A 3(2) pair of Runge-Kutta formulas, Applied Mathematics Letters 2 (1989)
/// 321-325. Three evaluations per accepted step.
struct bogacki_shampine3 {
  static constexpr int stages = 4, order = 3, embedded_order = 2;
  static constexpr double a[4][4] = {{}, {1. / 2}, {0, 3. / 4}, {2. / 9, 1. / 3, 4. / 9}};
  static constexpr double b[4] = {2. / 9, 1. / 3, 4. / 9, 0};
  static constexpr double c[4] = {0, 1. / 2, 3. / 4, 1};
  static constexpr double error[4] = {-5. / 72, 1. / 12, 1. / 9, -1. / 8};
};

/// Dormand and Prince, A family of embedded Runge-Kutta formulae, Journal of Computational and
/// Applied Mathematics 6 (1980) 19-26: RK5(4)7M. Six evaluations per accepted step. The
/// interpolant of order 4 is Shampine's, in the form of Hairer, Norsett, Wanner I, II.6.
struct dormand_prince5 {
  static constexpr int stages = 7, order = 5, embedded_order = 4, interpolant_order = 4;
  static constexpr double a[7][7] = {
      {},
      {1. / 5},
      {3. / 40, 9. / 40},
      {44. / 45, -56. / 15, 32. / 9},
      {19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
      {9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
      {35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84}};
  static constexpr double b[7] = {35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784,
                                  11. / 84,  0};
  static constexpr double c[7] = {0, 1. / 5, 3. / 10, 4. / 5, 8. / 9, 1, 1};
  static constexpr double error[7] = {71. / 57600,      0,         -71. / 16695, 71. / 1920,
                                      -17253. / 339200, 22. / 525, -1. / 40};
  static constexpr double interpolant[7] = {
      -12715105075. / 11282082432,  0,
      87487479700. / 32700410799,   -10690763975. / 1880347072,
      701980252875. / 199316789632, -1453857185. / 822651844,
      69997945. / 29380423};
};

/// Tsitouras, Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying
/// assumption, Computers and Mathematics with Applications 62 (2011) 770-775. Six evaluations per
/// accepted step. Interpolant of order 4.
struct tsitouras5 {
  static constexpr int stages = 7, order = 5, embedded_order = 4, interpolant_order = 4;
  static constexpr double a[7][7] = {
      {},
      {0.161},
      {-0.008480655492356989, 0.335480655492357},
      {2.8971530571054935, -6.359448489975075, 4.3622954328695815},
      {5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525},
      {5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401,
       -0.028269050394068383},
      {0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081,
       2.324710524099774}};
  static constexpr double b[7] = {
      0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081,
      2.324710524099774,   0};
  static constexpr double c[7] = {0, 0.161, 0.327, 0.9, 0.9800255409045097, 1, 1};
  static constexpr double error[7] = {-0.00178001105222577714,
                                      -0.0008164344596567469,
                                      0.007880878010261995,
                                      -0.1447110071732629,
                                      0.5823571654525552,
                                      -0.45808210592918697,
                                      1. / 66};
  static constexpr double interpolant[7] = {
      -1.0530884977290216, 0.1017, 2.490627285651253, -16.548102889244902, 47.37952196281928,
      -34.87065786149661,  2.5};
};

}  // namespace monge::flow
