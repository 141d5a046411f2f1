#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""OTT's Grid on the problems of bench/ot/bench_grid.cpp (pip install ott-jax).

Prints milliseconds of processor time per iteration, from runs of few and more iterations, in the log
domain and in the kernel domain. One thread: run with OMP_NUM_THREADS=1
XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1".
"""
import argparse
import time

import numpy as np


def blob(n, axes, centre, width):
    x = (np.arange(n) + 0.5) / n
    grids = np.meshgrid(*[x] * axes, indexing="ij")
    square = sum((g - (centre + 0.05 * k)) ** 2 for k, g in enumerate(grids))
    a = np.exp(-square / width) + 1e-3
    return (a / a.sum()).ravel()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--axes", type=int, default=2)
    parser.add_argument("--epsilon", type=float, default=1e-2)
    parser.add_argument("--few", type=int, default=2)
    parser.add_argument("--kernel", action="store_true", help="not the log domain")
    parser.add_argument("--single", action="store_true")
    args = parser.parse_args()
    import jax
    jax.config.update("jax_enable_x64", not args.single)
    import jax.numpy as jnp
    from ott.geometry import grid
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn
    x = [jnp.asarray((np.arange(args.n) + 0.5) / args.n)] * args.axes
    geometry = grid.Grid(x=x, epsilon=args.epsilon)
    a = jnp.asarray(blob(args.n, args.axes, 0.3, 0.01))
    b = jnp.asarray(blob(args.n, args.axes, 0.6, 0.02))

    def solve(count):
        solver = sinkhorn.Sinkhorn(lse_mode=not args.kernel, threshold=0, max_iterations=count,
                                   min_iterations=count, inner_iterations=count)
        run = jax.jit(lambda a, b: solver(linear_problem.LinearProblem(geometry, a, b)).f)
        run(a, b).block_until_ready()
        times = []
        for _ in range(2):
            start = time.process_time()
            run(a, b).block_until_ready()
            times.append(time.process_time() - start)
        return min(times) * 1e3

    few, more = solve(args.few), solve(2 * args.few)
    print(f"ott grid {args.n}^{args.axes} {'kernel' if args.kernel else 'log'} "
          f"{'float32' if args.single else 'float64'}: {(more - few) / args.few:.1f} ms per iteration")


if __name__ == "__main__":
    main()
