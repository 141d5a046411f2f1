#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POT's sliced Wasserstein distance on the sizes of bench/ot/bench_sliced_wasserstein.cpp.

Prints milliseconds for L = 100 directions on NumPy and on torch, value alone and with gradients of
both clouds, beside the value (pip install pot torch). The arguments are the number of threads (1) and
then the sizes n (1000 10000 100000). The best of several runs, in processor time on one thread and in
wall time on more. One thread: run with OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.
"""
import sys
import time

import numpy as np
import ot
import torch

projections = 100


def clouds(n, d, scalar):
    random = np.random.default_rng(1)
    x, y = random.standard_normal((2, n, d))
    return x.astype(scalar), (1.5 * y).astype(scalar)


def milliseconds(call, repeats, clock):
    times = []
    for _ in range(repeats):
        start = clock()
        result = call()
        times.append(clock() - start)
    return min(times) * 1e3, float(result)


def numpy_value(x, y):
    return ot.sliced_wasserstein_distance(x, y, n_projections=projections, seed=0)


def torch_value(x, y):
    with torch.no_grad():
        return ot.sliced_wasserstein_distance(x, y, n_projections=projections, seed=0)


def torch_sorts(x, y):
    """What the authors of the control variates run: no POT in between."""
    with torch.no_grad():
        theta = torch.randn(projections, x.shape[1], dtype=x.dtype)
        theta /= theta.norm(dim=1, keepdim=True)
        u = torch.sort(theta @ x.T, dim=-1)[0]
        v = torch.sort(theta @ y.T, dim=-1)[0]
        return ((u - v) ** 2).mean().sqrt()


def torch_gradient(x, y, sorts):
    x = x.clone().requires_grad_()
    y = y.clone().requires_grad_()
    if sorts:
        theta = torch.randn(projections, x.shape[1], dtype=x.dtype)
        theta /= theta.norm(dim=1, keepdim=True)
        value = ((torch.sort(theta @ x.T, dim=-1)[0] -
                  torch.sort(theta @ y.T, dim=-1)[0]) ** 2).mean()
    else:
        value = ot.sliced_wasserstein_distance(x, y, n_projections=projections, seed=0)
    value.backward()
    return value.detach()


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    sizes = [int(n) for n in sys.argv[2:]] or [1000, 10000, 100000]
    print("POT", ot.__version__, "NumPy", np.__version__, "torch", torch.__version__,
          "threads", threads)
    for scalar in (np.float64, np.float32):
        for d in (3, 64):
            for n in sizes:
                x, y = clouds(n, d, scalar)
                tx, ty = torch.from_numpy(x), torch.from_numpy(y)
                repeats = max(2, min(20, 100000 // n))
                rows = [("POT NumPy", lambda: numpy_value(x, y)),
                        ("POT torch", lambda: torch_value(tx, ty)),
                        ("torch.sort", lambda: torch_sorts(tx, ty)),
                        ("POT torch gradients", lambda: torch_gradient(tx, ty, False)),
                        ("torch.sort gradients", lambda: torch_gradient(tx, ty, True))]
                for name, call in rows:
                    took, value = milliseconds(call, repeats, clock)
                    print(f"{name} {scalar.__name__} d = {d} n = {n}: {took:.1f} ms ({value:.5f})",
                          flush=True)


if __name__ == "__main__":
    main()
