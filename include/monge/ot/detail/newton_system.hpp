// SPDX-License-Identifier: MIT
/// @file
/// The linear systems of sparsified Newton steps.
#pragma once

#include <optional>

#include <monge/linalg/conjugate_gradient.hpp>
#include <monge/ot/detail/scaling_kernel.hpp>
#include <monge/ot/detail/sparse_laplacian.hpp>

namespace monge::ot::detail {

/// L x = gradient, by truncated conjugate gradients with Jacobi's preconditioner. Where that takes
/// more than 100 steps, because clusters of the plan are weakly connected (epsilon of 1e-5 of the
/// cost or less), an incomplete factorisation takes over, and `stiff` remembers it for the next
/// system. columns: of the plan.
template <RealScalar S>
linalg::ConjugateGradientResult<VectorX<S>> solve_sparse_newton(SparseLaplacian<S>& L,
                                                                Index columns,
                                                                VectorX<S> const& gradient,
                                                                double relative_tolerance,
                                                                bool& stiff) {
  linalg::ConjugateGradientOptions options{.relative_tolerance = relative_tolerance};
  Index spent = 0;
  if (!stiff) {
    options.max_iterations = 100;
    auto solved = linalg::conjugate_gradient(
        linalg::preconditioned(L, linalg::jacobi(L.diagonal())), gradient, options);
    if (solved.status == Status::converged) return solved;
    spent = solved.iterations;
    stiff = true;
  }
  // Nearly a forest: little fill. With more edges than that the cliques are cut to stars.
  Index const nodes = gradient.size() + columns;
  double const drop = L.nonzeros() <= 3 * nodes ? 0.1 : 0.9;
  bool const factorised = L.factorise(columns, drop, 8 * (L.nonzeros() + nodes));
  options.max_iterations = 400;
  auto solved =
      linalg::conjugate_gradient(linalg::preconditioned(L,
                                                        [&](VectorX<S> const& r, VectorX<S>& z) {
                                                          if (factorised) {
                                                            L.precondition(r, z);
                                                          } else {
                                                            z = r.cwiseQuotient(L.diagonal());
                                                          }
                                                        }),
                                 gradient, options);
  solved.iterations += spent;
  return solved;
}

/// What reads a cost of this kind for Newton's steps: a class with the interface of ScalingKernel.
template <CostOperator C>
struct NewtonKernelFor {
  using type = ScalingKernel<scalar_t<C>>;
};
template <CostOperator C>
using NewtonKernelOf = typename NewtonKernelFor<C>::type;

template <CostOperator C>
NewtonKernelOf<C> make_newton_kernel(EntropicProblem<C> const& problem,
                                     std::optional<double> bytes) {
  return NewtonKernelOf<C>(problem.n(), problem.m(), problem.kernel_bytes(bytes), true);
}

}  // namespace monge::ot::detail
