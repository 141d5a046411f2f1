#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POT and OTT-JAX on the problems of bench/ot/bench_sinkhorn_batch.cpp (pip install pot ott-jax).

Microseconds of processor time per problem of 64 x 64 to the L1 marginal error 1e-9, with the error
that was reached and the sum of the transport costs: a loop of POT's sinkhorn, POT's batched solver
(ot.batch.solve_batch, both methods), and OTT's Sinkhorn under jit and vmap. Stopping rules that are
2-norms of one marginal are set to 1e-9 / sqrt(64). One thread: run with OMP_NUM_THREADS=1
OPENBLAS_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1".
Arguments: epsilon as a share of the largest cost, number of problems, peer (pot, pot_batch,
pot_batch_log, ott, ott_anderson).
"""
import sys
import time

import numpy as np

N, P = 64, 2147483647


def stream(count):
    out = np.empty(count)
    x = 1
    for k in range(count):
        x = x * 48271 % P
        out[k] = x / P
    return out


def costs(count):
    numbers = stream(4 * N * count).reshape(count, 2, N, 2)
    c = ((numbers[:, 0, :, None] - numbers[:, 1, None, :]) ** 2).sum(-1)
    return c / c.max(axis=(1, 2), keepdims=True)


def report(name, epsilon, count, seconds, plans, c, extra=""):
    w = 1 / N
    errors = abs(plans.sum(2) - w).sum(1) + abs(plans.sum(1) - w).sum(1)
    print(f"{name} epsilon {epsilon:g}: {seconds / count * 1e6:.1f} us per problem, L1 error at most "
          f"{errors.max():.1e}, cost {(plans * c).sum():.12g} {extra}", flush=True)


def main():
    epsilon, count, peer = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    c = costs(count)
    w = np.full(N, 1 / N)
    if peer == "pot":
        import ot
        start = time.process_time()
        logs = [ot.sinkhorn(w, w, x, epsilon, numItermax=20_000, stopThr=1e-9 / 8, log=True,
                            warn=False) for x in c]
        took = time.process_time() - start
        iterations = np.mean([log["niter"] for _, log in logs])
        report(f"POT {ot.__version__} sinkhorn", epsilon, count, took,
               np.array([plan for plan, _ in logs]), c, f"{iterations:.0f} iterations")
    elif peer.startswith("pot_batch"):
        import ot
        import ot.batch
        method = "log_sinkhorn" if peer.endswith("log") else "sinkhorn"
        weights = np.tile(w, (count, 1))
        best = float("inf")
        for _ in range(2):
            start = time.process_time()
            r = ot.batch.solve_batch(c, epsilon, a=weights, b=weights, max_iter=20_000,
                                     tol=1e-9 / 8, method=method, grad="detach")
            best = min(best, time.process_time() - start)
        report(f"POT {ot.__version__} solve_batch {method}", epsilon, count, best, r.plan, c)
    else:
        import jax
        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp
        from ott.geometry import geometry
        from ott.problems.linear import linear_problem
        from ott.solvers.linear import acceleration, sinkhorn
        anderson = acceleration.AndersonAcceleration(memory=5, refresh_every=1)
        solver = sinkhorn.Sinkhorn(
            threshold=1e-9, max_iterations=20_000, inner_iterations=5, lse_mode=peer != "ott_kernel",
            anderson=anderson if peer == "ott_anderson" else None)

        @jax.jit
        @jax.vmap
        def solve(x):
            out = solver(linear_problem.LinearProblem(
                geometry.Geometry(cost_matrix=x, epsilon=epsilon)))
            return out.matrix, out.n_iters

        x = jnp.asarray(c)
        solve(x)[0].block_until_ready()
        start = time.process_time()
        plans, iterations = solve(x)
        plans.block_until_ready()
        took = time.process_time() - start
        report(f"{peer} (jax {jax.__version__})", epsilon, count, took, np.asarray(plans), c,
               f"{np.mean(np.asarray(iterations)):.0f} iterations")


if __name__ == "__main__":
    main()
