// SPDX-License-Identifier: MIT
// What the fuzz targets of entropic transport share: problems from bytes, and what `converged`
// promises, rebuilt in long double from the potentials.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "bytes.hpp"
#include <monge/core/status.hpp>
#include <monge/core/types.hpp>

namespace monge::fuzz {

/// epsilon from a share of `unit` to many times it, or any bits.
inline double epsilon(Bytes& bytes, double unit) {
  int const kind = bytes.below(8);
  if (kind == 0) return bytes.raw();
  if (kind == 1) return bytes.number<double>(1, 4);
  return unit * std::pow(10.0, bytes.below(12) - 5);
}

/// Options with epsilon, tolerance and max_iterations.
template <class Options>
Options options(Bytes& bytes, double unit) {
  Options x;
  x.epsilon = epsilon(bytes, unit);
  x.max_iterations = 50 * bytes.below(8);
  int const kind = bytes.below(4);
  if (kind == 0) x.tolerance = bytes.raw();
  if (kind == 1) x.tolerance = std::pow(10.0, -bytes.below(20));
  return x;
}

template <class S>
MatrixX<S> matrix(Bytes& bytes, Index n, Index m, S unit, int rarity) {
  MatrixX<S> C(n, m);
  for (S& entry : C.reshaped()) entry = bytes.number<S>(unit, rarity);
  return C;
}

/// Weights, mostly of equal masses.
template <class S>
struct Weights {
  VectorX<S> a, b;

  Weights(Bytes& bytes, Index n, Index m) : a(n), b(m) {
    int const rarity = 2 + bytes.below(64);
    bool const uneven = bytes.below(8) == 0;
    for (VectorX<S>* weights : {&a, &b}) {
      for (S& weight : *weights) weight = bytes.number<S>(1, rarity);
    }
    if (!uneven && b.size() > 0) b *= a.sum() / b.sum();
  }
};

/// P_ij = (a_i b_j / M) exp((f_i + g_j - C_ij) / epsilon). Weights that are subnormal relative to M
/// count as zero, as the solvers say.
template <class S, class R>
MatrixX<long double> plan(MatrixX<S> const& C, R const& r) {
  using L = long double;
  VectorX<L> const a = r.a.template cast<L>(), b = r.b.template cast<L>();
  L const mass = std::sqrt(a.sum() * b.sum());
  MatrixX<L> P(C.rows(), C.cols());
  for (Index j = 0; j < C.cols(); ++j) {
    for (Index i = 0; i < C.rows(); ++i) {
      bool const counts = std::min(a(i), b(j)) / mass >= L(std::numeric_limits<S>::min());
      L const exponent = (L(r.f(i)) + L(r.g(j)) - L(C(i, j))) / L(r.epsilon);
      P(i, j) = counts && !std::isinf(C(i, j)) ? a(i) / mass * b(j) * std::exp(exponent) : 0;
    }
  }
  return P;
}

/// What rounding of the exponent can hide from a certificate in the precision of S.
template <class S, class R>
double rounding(MatrixX<S> const& C, R const& r) {
  double largest = 0;
  for (S const c : C.reshaped()) {
    if (std::isfinite(c)) largest = std::max(largest, std::abs(double(c)));
  }
  double const scale =
      largest + double(r.f.cwiseAbs().maxCoeff()) + double(r.g.cwiseAbs().maxCoeff());
  return 8 * double(std::numeric_limits<S>::epsilon()) *
         (double(C.rows() + C.cols()) + scale / r.epsilon);
}

/// Of every result; returns whether it converged.
template <class S, class R>
bool check_end(MatrixX<S> const& C, R const& r) {
  check(r.status != Status::running && r.status != Status::not_run, "it ends");
  check(r.f.size() == C.rows() && r.g.size() == C.cols(), "one potential per row and column");
  if (r.status != Status::converged) return false;
  check(r.f.allFinite() && r.g.allFinite(), "converged => finite potentials");
  check(std::isfinite(r.transport_cost) && std::isfinite(r.regularised_cost) &&
            std::isfinite(r.dual_value) && std::isfinite(r.marginal_error),
        "converged => finite figures");
  check(r.marginal_error <= r.tolerance, "converged => error <= tolerance");
  return true;
}

/// Of a result of the balanced problem.
template <class S, class R>
void check_balanced(MatrixX<S> const& C, R const& r) {
  using L = long double;
  if (!check_end(C, r)) return;
  double const blur = rounding(C, r);
  if (blur > 1) return;
  MatrixX<L> const P = plan(C, r);
  VectorX<L> const a = r.a.template cast<L>(), b = r.b.template cast<L>();
  L const error = (P.rowwise().sum() - a).cwiseAbs().sum() +
                  (P.colwise().sum().transpose() - b).cwiseAbs().sum();
  check(error <= L(r.tolerance + blur) * std::sqrt(a.sum() * b.sum()),
        "converged => the plan of the potentials has the marginals");
}

}  // namespace monge::fuzz
