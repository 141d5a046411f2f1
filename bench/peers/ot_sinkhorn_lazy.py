#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""GeomLoss and OTT-JAX on the clouds of bench/ot/bench_sinkhorn_lazy.cpp.

    ot_sinkhorn_lazy.py ott      N D EPSILON TOLERANCE [--batch 1024] [--check 5] [--most 2000]
    ot_sinkhorn_lazy.py geomloss N D EPSILON TOLERANCE --scaling 0.5 [--dense]
    ot_sinkhorn_lazy.py batches  N D EPSILON           (OTT, 10 iterations with each batch_size)
    ot_sinkhorn_lazy.py keops    N D EPSILON           (one update of both potentials)

EPSILON is relative to the largest cost D; single precision, with --double double. OTT runs
PointCloud(batch_size=...) to the L1 error TOLERANCE of its own stopping rule, looked at every
--check iterations, or for --most iterations; --kernel leaves its log domain, --momentum M
over-relaxes. GeomLoss has no stopping rule: SamplesLoss(scaling=...) anneals epsilon and ends; try
values of scaling on a small N (--dense: its tensorized backend) until the error is met. Printed are
seconds of processor time after compilation and the L1 error of both marginals, rebuilt in double.

Run with OMP_NUM_THREADS=1 under `taskset -c 1` (pip install ott-jax geomloss pykeops).
"""
import argparse
import os
import time

import numpy as np

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")


def points(d, n, warp):
    primes = [p for p in range(2, 500) if all(p % q for q in range(2, int(p ** 0.5) + 1))][:d]
    x = np.fmod((0.25 if warp else 0.5) + np.arange(1, n + 1)[:, None] * np.sqrt(primes)[None], 1.0)
    return x * x if warp else x


def l1_error(x, y, f, g, epsilon):
    """Of the plan rebuilt from the potentials (absolute gauge: weights outside), in double."""
    n, m = len(x), len(y)
    rows, cols = np.zeros(n), np.zeros(m)
    squares = (y ** 2).sum(1)
    for i in range(0, n, 500):
        block = x[i:i + 500]
        exponent = 2 * block @ y.T - squares - (block ** 2).sum(1)[:, None]
        exponent += f[i:i + 500, None] + g[None]
        p = np.exp(exponent / epsilon)
        rows[i:i + 500] = p.sum(1)
        cols += p.sum(0)
    return abs(rows - 1 / n).sum() + abs(cols - 1 / m).sum()


def ott_solver(options, tolerance, check, most, least=0):
    """JAX compiles a solve of the options' problem; returned is what runs it."""
    import jax
    jax.config.update("jax_enable_x64", options.double)
    import jax.numpy as jnp
    # OTT 0.6 asks for a name that JAX 0.10 has moved.
    from jax._src.interpreters import batching
    jax.interpreters.batching.is_vmappable = batching.is_vmappable
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import acceleration, sinkhorn
    x, y = (points(options.d, options.n, warp) for warp in (False, True))
    dtype = jnp.float64 if options.double else jnp.float32
    geometry = pointcloud.PointCloud(jnp.asarray(x, dtype), jnp.asarray(y, dtype),
                                     epsilon=options.epsilon * options.d, batch_size=options.batch)
    solver = jax.jit(sinkhorn.Sinkhorn(threshold=tolerance, min_iterations=least,
                                       max_iterations=most, inner_iterations=check,
                                       lse_mode=not options.kernel,
                                       momentum=acceleration.Momentum(value=options.momentum)))
    problem = linear_problem.LinearProblem(geometry)
    compiled = solver.lower(problem).compile()

    def run():
        out = compiled(problem)
        out.f.block_until_ready()
        return out

    return x, y, run


def timed(run):
    wall, processor = time.perf_counter(), time.process_time()
    out = run()
    return out, time.process_time() - processor, time.perf_counter() - wall


def run_ott(options):
    x, y, run = ott_solver(options, options.tolerance, options.check, options.most)
    out, took, wall = timed(run)
    error = l1_error(x, y, np.asarray(out.f, float), np.asarray(out.g, float),
                     options.epsilon * options.d)
    print(f"OTT batch {options.batch} {label(options)}: {took:.2f} s ({wall:.2f} wall), "
          f"{int(out.n_iters)} iterations, converged {bool(out.converged)}, L1 error {error:.1e}")


def run_batches(options):
    for batch in (64, 128, 256, 512, 1024, 2048, 4096, None):
        if batch is not None and batch > options.n:
            continue
        options.batch = batch
        *_, run = ott_solver(options, 0, 10, 10, 10)
        run()
        _, took, _ = timed(run)
        print(f"OTT batch {batch} {label(options)}: "
              f"{took / 10 / options.n ** 2 * 1e9:.2f} ns per pair and iteration", flush=True)


def run_geomloss(options):
    import torch
    from geomloss import SamplesLoss
    torch.set_num_threads(1)
    dtype = torch.float64 if options.double else torch.float32
    epsilon = options.epsilon * options.d
    # Its cost is |x - y|^2 / 2 and its temperature blur^2.
    loss = SamplesLoss("sinkhorn", p=2, blur=(epsilon / 2) ** 0.5, scaling=options.scaling,
                       debias=False, potentials=True,
                       backend="tensorized" if options.dense else "online")
    x, y = (points(options.d, options.n, warp) for warp in (False, True))
    small, large = ([torch.tensor(p[:k], dtype=dtype) for p in (x, y)] for k in (100, options.n))
    with torch.no_grad():
        loss(*small)  # KeOps compiles
        (f, g), took, wall = timed(lambda: loss(*large))
    f, g = (2 * p.view(-1).double().numpy() for p in (f, g))
    error = l1_error(x, y, f - epsilon * np.log(len(x)), g - epsilon * np.log(len(y)), epsilon)
    print(f"GeomLoss scaling {options.scaling:g} {label(options)}: {took:.2f} s ({wall:.2f} wall), "
          f"L1 error {error:.1e}")


def run_keops(options):
    """The reduction that GeomLoss's online backend runs for p = 2, without its half."""
    import torch
    from pykeops.torch import generic_logsumexp
    torch.set_num_threads(1)
    dtype = torch.float64 if options.double else torch.float32
    n, d, epsilon = options.n, options.d, options.epsilon * options.d
    x, y = (torch.tensor(points(d, n, warp), dtype=dtype) for warp in (False, True))
    w = torch.full((n,), -np.log(n), dtype=dtype)
    lse = generic_logsumexp("(B - P * SqDist(X, Y))", "A = Vi(1)", f"X = Vi({d})", f"Y = Vj({d})",
                            "B = Vj(1)", "P = Pm(1)", dtype="float64" if options.double else "float32")
    p = torch.tensor([1 / epsilon], dtype=dtype)

    def half(u, v, b):
        return lse(u.contiguous(), v.contiguous(), b.view(-1, 1).contiguous(), p).view(-1)

    half(x[:100], y[:100], w[:100])

    def iteration():
        g = -epsilon * half(y, x, w)
        return -epsilon * half(x, y, w + g / epsilon)

    took = min(timed(iteration)[1] for _ in range(2))
    print(f"KeOps {label(options)}: {took:.2f} s, {took / n / n * 1e9:.2f} ns per pair and iteration")


def label(options):
    return (f"{'double' if options.double else 'float'} n {options.n} d {options.d} "
            f"epsilon {options.epsilon:g}")


def main():
    runs = {"ott": run_ott, "batches": run_batches, "geomloss": run_geomloss, "keops": run_keops}
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=runs)
    parser.add_argument("n", type=int)
    parser.add_argument("d", type=int)
    parser.add_argument("epsilon", type=float)
    parser.add_argument("tolerance", type=float, nargs="?", default=1e-3)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--kernel", action="store_true")
    parser.add_argument("--momentum", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--check", type=int, default=5)
    parser.add_argument("--most", type=int, default=2000)
    parser.add_argument("--scaling", type=float, default=0.5)
    options = parser.parse_args()
    runs[options.peer](options)


if __name__ == "__main__":
    main()
