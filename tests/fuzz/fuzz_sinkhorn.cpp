// SPDX-License-Identifier: MIT
// Whatever the problem: refused, or a result whose `converged` is true of the plan that its
// potentials determine, rebuilt here in long double.
#include <algorithm>
#include <stdexcept>

#include "bytes.hpp"
#include <monge/ot/sinkhorn.hpp>

namespace {

using monge::Index;
using monge::fuzz::Bytes;
using monge::fuzz::check;

/// (|P 1 - a|_1 + |P' 1 - b|_1) / M of P_ij = (a_i b_j / M) exp((f_i + g_j - C_ij) / epsilon).
/// Weights that are subnormal relative to M count as zero, as the solver says.
template <class S>
long double marginal_error(monge::MatrixX<S> const& C, monge::ot::SinkhornResult<S> const& r) {
  using L = long double;
  monge::VectorX<L> const a = r.a.template cast<L>(), b = r.b.template cast<L>();
  L const mass = std::sqrt(a.sum() * b.sum());
  monge::MatrixX<L> P(C.rows(), C.cols());
  for (Index j = 0; j < C.cols(); ++j) {
    for (Index i = 0; i < C.rows(); ++i) {
      bool const counts = std::min(a(i), b(j)) / mass >= L(std::numeric_limits<S>::min());
      L const exponent = (L(r.f(i)) + L(r.g(j)) - L(C(i, j))) / L(r.epsilon);
      P(i, j) = counts ? a(i) / mass * b(j) * std::exp(exponent) : 0;
    }
  }
  return ((P.rowwise().sum() - a).cwiseAbs().sum() +
          (P.colwise().sum().transpose() - b).cwiseAbs().sum()) /
         mass;
}

template <class S>
void check_result(monge::MatrixX<S> const& C, monge::ot::SinkhornResult<S> const& r) {
  check(r.status != monge::Status::running && r.status != monge::Status::not_run, "it ends");
  check(r.f.size() == C.rows() && r.g.size() == C.cols(), "one potential per row and column");
  if (r.status != monge::Status::converged) return;

  check(r.f.allFinite() && r.g.allFinite(), "converged => finite potentials");
  check(std::isfinite(r.transport_cost) && std::isfinite(r.regularised_cost) &&
            std::isfinite(r.dual_value) && std::isfinite(r.marginal_error),
        "converged => finite figures");
  check(r.marginal_error <= r.tolerance, "converged => error <= tolerance");
  // What rounding of the exponent can hide from a certificate in the precision of S.
  double largest = 0;
  for (Index k = 0; k < C.size(); ++k) {
    double const entry = double(C.data()[k]);
    if (std::isfinite(entry)) largest = std::max(largest, std::abs(entry));
  }
  double const scale =
      largest + double(r.f.cwiseAbs().maxCoeff()) + double(r.g.cwiseAbs().maxCoeff());
  double const rounding = 8 * double(std::numeric_limits<S>::epsilon()) *
                          (double(C.rows() + C.cols()) + scale / r.epsilon);
  check(rounding > 1 || marginal_error(C, r) <= static_cast<long double>(r.tolerance + rounding),
        "converged => the plan of the potentials has the marginals");
}

template <class S>
void run(Bytes& bytes) {
  Index const n = bytes.below(9), m = bytes.below(9);
  S const cost_unit = S(std::pow(10.0, bytes.below(25) - 12));
  int const cost_rarity = 2 + bytes.below(64), weight_rarity = 2 + bytes.below(64);
  int const kind_of_epsilon = bytes.below(8);
  double const epsilon = kind_of_epsilon == 0 ? bytes.raw()
                         : kind_of_epsilon == 1
                             ? bytes.number<double>(1, 4)
                             : double(cost_unit) * std::pow(10.0, bytes.below(12) - 5);
  monge::ot::SinkhornOptions options{.epsilon = epsilon, .max_iterations = 50 * bytes.below(8)};
  switch (bytes.below(4)) {
    case 0:
      options.tolerance = bytes.raw();
      break;
    case 1:
      options.tolerance = std::pow(10.0, -bytes.below(20));
      break;
    default:
      break;
  }
  bool const row_major = bytes.below(2) == 1;
  bool const uneven = bytes.below(8) == 0;

  monge::MatrixX<S> C(n, m);
  for (Index j = 0; j < m; ++j) {
    for (Index i = 0; i < n; ++i) C(i, j) = bytes.number<S>(cost_unit, cost_rarity);
  }
  monge::VectorX<S> a(n), b(m);
  for (S& weight : a) weight = bytes.number<S>(1, weight_rarity);
  for (S& weight : b) weight = bytes.number<S>(1, weight_rarity);
  if (!uneven && b.size() > 0) b *= a.sum() / b.sum();

  try {
    if (row_major) {
      Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> const rows = C;
      check_result<S>(C, monge::ot::sinkhorn(rows, a, b, options));
    } else {
      check_result<S>(C, monge::ot::sinkhorn(C, a, b, options));
    }
  } catch (std::invalid_argument const&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  Bytes bytes(data, size);
  if (bytes.below(2) == 0) {
    run<double>(bytes);
  } else {
    run<float>(bytes);
  }
  return 0;
}
