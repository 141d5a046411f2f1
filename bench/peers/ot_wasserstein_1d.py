#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SciPy and POT on the samples of bench/ot/bench_wasserstein_1d.cpp (pip install pot scipy).

Prints milliseconds of processor time, the least of five, and the cost. One thread: run with
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1. The sizes are the arguments; 1e4 1e5 1e6 if none.
"""
import sys
import time

import numpy as np
import ot
import scipy
from scipy.stats import wasserstein_distance


def uniform(count, seed):
    """The stream of bench_wasserstein_1d.cpp: the multiplicative congruential generator x * 48271."""
    out = np.empty(count)
    x = seed
    for k in range(count):
        x = x * 48271 % 2147483647
        out[k] = x / 2147483647
    return out


def normal(n, seed):
    u = uniform(2 * n, seed)
    return np.sqrt(-2 * np.log(u[::2])) * np.cos(2 * np.pi * u[1::2])


def least(run, repeats=5):
    best, value = np.inf, None
    for _ in range(repeats):
        start = time.process_time()
        value = run()
        best = min(best, (time.process_time() - start) * 1e3)
    return best, value


def main():
    sizes = [int(n) for n in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    print("POT", ot.__version__, "SciPy", scipy.__version__, "NumPy", np.__version__)
    for n in sizes:
        x, y = normal(n, 1), normal(n, 2) * 1.5 + 1
        a, b = uniform(n, 3) + 0.1, uniform(n, 4) + 0.1
        a, b = a / a.sum(), b / b.sum()
        for kind, u, v in (("equal", None, None), ("general", a, b)):
            rows = [("scipy wasserstein_distance p = 1", lambda: wasserstein_distance(x, y, u, v)),
                    ("ot.wasserstein_1d p = 1", lambda: ot.wasserstein_1d(x, y, u, v, p=1)),
                    ("ot.wasserstein_1d p = 2", lambda: ot.wasserstein_1d(x, y, u, v, p=2)),
                    ("ot.emd2_1d p = 1", lambda: ot.emd2_1d(x, y, u, v, metric="euclidean")),
                    ("ot.emd2_1d p = 2", lambda: ot.emd2_1d(x, y, u, v, metric="sqeuclidean"))]
            for name, run in rows:
                took, value = least(run)
                print(f"n = {n}, {kind} weights, {name}: {took:.2f} ms, cost {value:.12g}",
                      flush=True)


if __name__ == "__main__":
    main()
