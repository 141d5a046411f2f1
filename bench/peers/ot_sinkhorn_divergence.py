#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""GeomLoss and OTT on the problems of bench/ot/bench_sinkhorn_divergence.cpp.

pip install geomloss torch ott-jax. Value and gradient with respect to the first cloud; prints
milliseconds of processor time, the value in our convention (GeomLoss has half the cost: times 2),
and its relative distance from the value that the C++ bench prints, given as --value. One thread:
run with
OMP_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1".
"""
import argparse
import time

import numpy as np


def points(d, n, offset, warp):
    root = 1.5
    for _ in range(60):
        root = (1 + root) ** (1 / (d + 1))
    x = np.fmod(offset + np.arange(1, n + 1)[:, None] * root ** -np.arange(1.0, d + 1), 1.0)
    return x * x if warp else x


def best(run, seconds):
    times, begin = [], time.perf_counter()
    while not times or (time.perf_counter() - begin < seconds and len(times) < 7):
        start = time.process_time()
        value = run()
        times.append((time.process_time() - start) * 1e3)
    return min(times), value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--d", type=int, default=2)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--blur", type=float, default=0.05)
    parser.add_argument("--value", type=float, default=float("nan"))
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--library", default="both")
    parser.add_argument("--single", action="store_true", help="OTT in float")
    args = parser.parse_args()
    x, y = points(args.d, args.n, 0.5, False), points(args.d, args.n, 0.25, True)

    def report(name, run):
        milliseconds, value = best(run, args.seconds)
        print(f"{name:44s} {milliseconds:9.1f} ms  value {value:.9f}  "
              f"off by {abs(value - args.value) / abs(args.value):.1e}", flush=True)

    if args.library in ("both", "geomloss"):
        import torch
        from geomloss import SamplesLoss
        torch.set_num_threads(1)
        for dtype in (torch.float64, torch.float32):
            for scaling in (0.5, 0.9, 0.99):
                loss = SamplesLoss("sinkhorn", p=2, blur=args.blur, scaling=scaling,
                                   backend="tensorized")
                b = torch.tensor(y, dtype=dtype)

                def run():
                    a = torch.tensor(x, dtype=dtype, requires_grad=True)
                    value = loss(a, b)
                    torch.autograd.grad(value, [a])
                    return 2 * value.item()

                report(f"geomloss {str(dtype)[6:]} scaling {scaling}", run)
    if args.library in ("both", "ott"):
        import jax
        jax.config.update("jax_enable_x64", not args.single)
        import jax.numpy as jnp
        from ott.geometry import pointcloud
        from ott.tools import sinkhorn_divergence
        epsilon = 2 * args.blur**2
        for threshold in (1e-4,) if args.single else (1e-9, 1e-4):
            u, v = jnp.asarray(x), jnp.asarray(y)

            def divergence(u, v):
                return sinkhorn_divergence.sinkhorn_divergence(
                    pointcloud.PointCloud, u, v, epsilon=epsilon,
                    solve_kwargs={"threshold": threshold, "max_iterations": 20000})[0]

            both = jax.jit(jax.value_and_grad(divergence))

            def run():
                value, gradient = both(u, v)
                gradient.block_until_ready()
                return float(value)

            run()  # compiles
            report(f"ott {u.dtype} threshold {threshold:g}", run)


if __name__ == "__main__":
    main()
