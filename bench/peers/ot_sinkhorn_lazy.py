#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""GeomLoss and OTT-JAX on the clouds of bench/ot/bench_sinkhorn_lazy.cpp.

    OMP_NUM_THREADS=1 python ot_sinkhorn_lazy.py ott|keops N D EPSILON TOLERANCE [--short]

EPSILON is relative to the largest cost D. OTT runs PointCloud(batch_size=...) in single precision
(--double for double) to the L1 error TOLERANCE of its own stopping rule, or for 5 iterations
(--short). GeomLoss has no stopping rule: the reduction of its online backend (KeOps) is timed per
iteration, one update of both potentials. (pip install ott-jax pykeops)
"""
import os
import sys
import time

import numpy as np

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")


def points(d, n, warp):
    primes = [p for p in range(2, 500) if all(p % q for q in range(2, int(p ** 0.5) + 1))][:d]
    x = np.fmod((0.25 if warp else 0.5) + np.arange(1, n + 1)[:, None] * np.sqrt(primes)[None], 1.0)
    return x * x if warp else x


def l1_error(x, y, f, g, epsilon):
    """Of the plan rebuilt from the potentials (absolute gauge: weights outside), in double."""
    n = len(x)
    rows, cols = np.zeros(n), np.zeros(len(y))
    for i in range(0, n, 500):
        c = ((x[i:i + 500, None, :] - y[None]) ** 2).sum(-1) if x.shape[1] < 8 else (
            (x[i:i + 500] ** 2).sum(1)[:, None] + (y ** 2).sum(1)[None] - 2 * x[i:i + 500] @ y.T)
        p = np.exp((f[i:i + 500, None] + g[None] - c) / epsilon)
        rows[i:i + 500] = p.sum(1)
        cols += p.sum(0)
    return abs(rows - 1 / n).sum() + abs(cols - 1 / len(y)).sum()


def run_ott(n, d, epsilon, tolerance, double):
    import jax
    jax.config.update("jax_enable_x64", double)
    import jax.numpy as jnp
    # OTT 0.6 asks for a name that JAX 0.10 has moved.
    from jax._src.interpreters import batching
    jax.interpreters.batching.is_vmappable = batching.is_vmappable
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn
    x, y = points(d, n, False), points(d, n, True)
    dtype = jnp.float64 if double else jnp.float32
    for batch in (256,) if "--short" in sys.argv else (1024,):
        geometry = pointcloud.PointCloud(jnp.asarray(x, dtype), jnp.asarray(y, dtype),
                                         epsilon=epsilon * d, batch_size=batch)
        solver = jax.jit(sinkhorn.Sinkhorn(threshold=tolerance, max_iterations=2000,
                                           inner_iterations=5))
        problem = linear_problem.LinearProblem(geometry)
        if batch == 256:
            short = jax.jit(sinkhorn.Sinkhorn(threshold=0, min_iterations=5, max_iterations=5,
                                              inner_iterations=5))
            compiled = short.lower(problem).compile()
            start = time.perf_counter()
            out = compiled(problem)
            out.f.block_until_ready()
            print(f"OTT batch {batch} n {n} d {d}: 5 iterations {time.perf_counter() - start:.2f} s")
        else:
            compiled = solver.lower(problem).compile()
            start = time.perf_counter()
            out = compiled(problem)
            out.f.block_until_ready()
            took = time.perf_counter() - start
            error = l1_error(x, y, np.asarray(out.f, float), np.asarray(out.g, float), epsilon * d)
            print(f"OTT batch {batch} n {n} d {d} epsilon {epsilon:g}: {took:.2f} s, "
                  f"{int(out.n_iters)} iterations, converged {bool(out.converged)}, L1 error {error:.1e}")


def run_geomloss(n, d, epsilon, double):
    import torch
    torch.set_num_threads(1)
    dtype = torch.float64 if double else torch.float32
    x = torch.tensor(points(d, n, False), dtype=dtype)
    y = torch.tensor(points(d, n, True), dtype=dtype)
    w = torch.full((n,), -np.log(n), dtype=dtype)
    h = torch.zeros(n, dtype=dtype)
    eps = epsilon * d
    from pykeops.torch import generic_logsumexp
    name = "float64" if double else "float32"
    # The reduction that GeomLoss's online backend runs for p = 2, without its half.
    lse = generic_logsumexp(f"(B - P * SqDist(X, Y))", "A = Vi(1)", f"X = Vi({d})", f"Y = Vj({d})",
                            "B = Vj(1)", "P = Pm(1)", dtype=name)
    p = torch.tensor([1 / eps], dtype=dtype)
    half = lambda u, v, b: lse(u.contiguous(), v.contiguous(), b.view(-1, 1).contiguous(), p).view(-1)
    half(x[:100], y[:100], h[:100])
    f = h.clone()
    times = []
    for _ in range(2):
        start = time.perf_counter()
        g = -eps * half(y, x, w + f / eps)
        f = -eps * half(x, y, w + g / eps)
        times.append(time.perf_counter() - start)
    print(f"KeOps {name} n {n} d {d}: {min(times):.2f} s per iteration, "
          f"{min(times) / n / n * 1e9:.2f} ns per pair")


def main():
    which, n, d = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    epsilon, tolerance = float(sys.argv[4]), float(sys.argv[5])
    double = "--double" in sys.argv
    if which == "ott":
        run_ott(n, d, epsilon, tolerance, double)
    else:
        run_geomloss(n, d, epsilon, double)


if __name__ == "__main__":
    main()
