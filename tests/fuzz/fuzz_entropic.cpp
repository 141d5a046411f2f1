// SPDX-License-Identifier: MIT
// The other solvers of entropic transport: batches, Newton steps, point clouds, and unbalanced
// problems with dense, sparse and separable costs. Refused, or a result whose `converged` is true
// of the plan that its potentials determine, rebuilt in long double.
#include <array>
#include <stdexcept>
#include <vector>

#include "entropic.hpp"
#include <monge/ot/entropic.hpp>
#include <monge/ot/sinkhorn_batch.hpp>
#include <monge/ot/sinkhorn_unbalanced.hpp>

namespace {

using namespace monge;
using fuzz::Bytes;
using fuzz::check;

template <class S>
S unit(Bytes& bytes) {
  return S(std::pow(10.0, bytes.below(25) - 12));
}

template <class S>
void newton(Bytes& bytes) {
  Index const n = bytes.below(9), m = bytes.below(9);
  S const scale = unit<S>(bytes);
  auto options = fuzz::options<ot::SinkhornNewtonOptions>(bytes, double(scale));
  options.policy =
      std::array{ot::NewtonPolicy::adaptive, ot::NewtonPolicy::sns, ot::NewtonPolicy::ssns}.at(
          std::size_t(bytes.below(3)));
  if (bytes.below(2) == 1) options.annealing = 1;
  MatrixX<S> const C = fuzz::matrix<S>(bytes, n, m, scale, 2 + bytes.below(64));
  fuzz::Weights<S> const w(bytes, n, m);
  fuzz::check_balanced<S>(C, ot::sinkhorn_newton(C, w.a, w.b, options));
}

template <class S>
void batch(Bytes& bytes) {
  int const count = bytes.below(4);
  S const scale = unit<S>(bytes);
  auto const options = fuzz::options<ot::SinkhornBatchOptions>(bytes, double(scale));
  std::vector<MatrixX<S>> costs;
  std::vector<VectorX<S>> a, b;
  for (int k = 0; k < count; ++k) {
    Index const n = bytes.below(9), m = bytes.below(9);
    costs.push_back(fuzz::matrix<S>(bytes, n, m, scale, 2 + bytes.below(64)));
    fuzz::Weights<S> const w(bytes, n, m);
    a.push_back(w.a);
    b.push_back(w.b);
  }
  auto const r = ot::sinkhorn_batch(costs, a, b, options);
  check(r.size() == costs.size(), "one result per problem");
  for (std::size_t k = 0; k < r.size(); ++k) fuzz::check_balanced<S>(costs[k], r[k]);
}

/// Points on few places, so that clusters and ties are common.
template <class S>
void multiscale(Bytes& bytes) {
  Index const d = 1 + bytes.below(3), n = bytes.below(40), m = bytes.below(40);
  S const scale = unit<S>(bytes);
  auto const options =
      fuzz::options<ot::SinkhornOptions>(bytes, double(scale) * double(scale) * 64);
  int const rarity = bytes.below(4) == 0 ? 2 + bytes.below(250) : 256;
  MatrixX<S> const X = fuzz::matrix<S>(bytes, d, n, scale, rarity);
  MatrixX<S> const Y = fuzz::matrix<S>(bytes, d, m, scale, rarity);
  fuzz::Weights<S> const w(bytes, n, m);
  if (bytes.below(2) == 0) {
    auto const cloud = ot::point_cloud(X, Y, ot::squared_euclidean{});
    fuzz::check_balanced<S>(ot::cost_matrix(X, Y, ot::squared_euclidean{}),
                            ot::sinkhorn_multiscale(cloud, w.a, w.b, options));
  } else {
    auto const cloud = ot::point_cloud(X, Y, ot::euclidean{});
    fuzz::check_balanced<S>(ot::cost_matrix(X, Y, ot::euclidean{}),
                            ot::sinkhorn_multiscale(cloud, w.a, w.b, options));
  }
}

/// The marginals that the prices ask for, relative to the mass of the plan.
template <class S>
void check_unbalanced(MatrixX<S> const& C, ot::SinkhornUnbalancedResult<S> const& r) {
  using L = long double;
  if (!fuzz::check_end(C, r)) return;
  check(r.rows.allFinite() && r.cols.allFinite() && std::isfinite(r.transported_mass),
        "converged => finite marginals");
  double const blur = fuzz::rounding(C, r) + 8 * double(std::numeric_limits<S>::epsilon()) *
                                                 (double(r.f.cwiseAbs().maxCoeff()) / r.rho_a +
                                                  double(r.g.cwiseAbs().maxCoeff()) / r.rho_b);
  MatrixX<L> const P = fuzz::plan(C, r);
  L const moved = P.sum(), least = L(std::numeric_limits<S>::min());
  L const mass = std::sqrt(r.a.template cast<L>().sum() * r.b.template cast<L>().sum());
  // Below the normal range nothing is promised.
  if (blur > 1 || !(moved > least * L(1e6) * mass)) return;
  L error = 0;
  auto const side = [&](VectorX<S> const& weights, VectorX<S> const& p, double rho,
                        VectorX<L> const& sums) {
    for (Index i = 0; i < weights.size(); ++i) {
      if (!(L(weights(i)) / mass >= least)) continue;
      L const kept = rho < infinity ? std::exp(-L(p(i)) / L(rho)) : L(1);
      error += std::abs(sums(i) - L(weights(i)) * kept);
    }
  };
  side(r.a, r.f, r.rho_a, P.rowwise().sum());
  side(r.b, r.g, r.rho_b, P.colwise().sum().transpose());
  check(error <= L(r.tolerance + blur) * moved,
        "converged => the plan of the potentials has the marginals that the prices ask for");
}

template <class S>
ot::SinkhornUnbalancedOptions unbalanced_options(Bytes& bytes, double scale) {
  auto options = fuzz::options<ot::SinkhornUnbalancedOptions>(bytes, scale);
  for (double* rho : {&options.rho_a, &options.rho_b}) {
    int const kind = bytes.below(8);
    if (kind == 0) *rho = bytes.number<double>(scale, 3);
    if (kind > 2) *rho = scale * std::pow(10.0, bytes.below(9) - 4);
  }
  return options;
}

template <class S>
void unbalanced(Bytes& bytes) {
  Index const n = bytes.below(9), m = bytes.below(9);
  S const scale = unit<S>(bytes);
  auto const options = unbalanced_options<S>(bytes, double(scale));
  MatrixX<S> const C = fuzz::matrix<S>(bytes, n, m, scale, 2 + bytes.below(64));
  fuzz::Weights<S> const w(bytes, n, m);
  check_unbalanced<S>(C, ot::sinkhorn_unbalanced(C, w.a, w.b, options));
}

/// Sparse costs, priced or not.
template <class S>
void sparse(Bytes& bytes) {
  Index const n = bytes.below(9), m = bytes.below(9);
  S const scale = unit<S>(bytes);
  auto const options = unbalanced_options<S>(bytes, double(scale));
  auto const constrained = fuzz::options<ot::SinkhornOptions>(bytes, double(scale));
  MatrixX<S> C = fuzz::matrix<S>(bytes, n, m, scale, 2 + bytes.below(250));
  Eigen::SparseMatrix<S> entries(n, m);
  int const kept = 1 + bytes.below(8);
  for (Index j = 0; j < m; ++j) {
    for (Index i = 0; i < n; ++i) {
      if (bytes.below(8) < kept) {
        entries.insert(i, j) = C(i, j);
      } else {
        C(i, j) = std::numeric_limits<S>::infinity();
      }
    }
  }
  fuzz::Weights<S> const w(bytes, n, m);
  if (bytes.below(3) == 0) {
    fuzz::check_balanced<S>(C, ot::sinkhorn(entries, w.a, w.b, constrained));
  } else {
    check_unbalanced<S>(C, ot::sinkhorn_unbalanced(entries, w.a, w.b, options));
  }
}

/// Grids, priced or not.
template <class S>
void grid(Bytes& bytes) {
  int const axes = bytes.below(4);
  S const scale = unit<S>(bytes);
  auto const options = unbalanced_options<S>(bytes, double(scale));
  auto const constrained = fuzz::options<ot::SinkhornOptions>(bytes, double(scale));
  std::vector<MatrixX<S>> costs;
  Index n = 1, m = 1;
  int const rarity = 2 + bytes.below(250);
  for (int k = 0; k < axes; ++k) {
    Index const rows = bytes.below(4), cols = bytes.below(4);
    costs.push_back(fuzz::matrix<S>(bytes, rows, cols, scale, rarity));
    n *= rows;
    m *= cols;
  }
  fuzz::Weights<S> const w(bytes, n, m);
  ot::GridCost<S> const cost(costs);
  MatrixX<S> C(n, m);
  for (Index j = 0; j < m; ++j) cost.column_segment(j, 0, n, C.col(j).data());
  if (bytes.below(3) == 0) {
    fuzz::check_balanced<S>(C, ot::sinkhorn(cost, w.a, w.b, constrained));
  } else {
    check_unbalanced<S>(C, ot::sinkhorn_unbalanced(cost, w.a, w.b, options));
  }
}

template <class S>
void run(Bytes& bytes) {
  std::array const targets{newton<S>, batch<S>, multiscale<S>, unbalanced<S>, sparse<S>, grid<S>};
  try {
    targets.at(std::size_t(bytes.below(int(targets.size()))))(bytes);
  } catch (std::invalid_argument const&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  return monge::fuzz::in_double_or_float(data, size, []<class S>(Bytes& bytes) { run<S>(bytes); });
}
