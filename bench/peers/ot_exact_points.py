#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POT's lazy and dense simplex on the problems of bench/ot/bench_exact_points.cpp (pip install pot).

Prints seconds of processor time, the cost and the memory that the solve added to the process. The
sizes are the arguments; 1000 2000 5000 if there are none.
"""
import resource
import sys
import time

import numpy as np
import ot


def uniform(count, seed):
    """The stream of bench_exact_points.cpp: the multiplicative generator x * 48271."""
    out = np.empty(count)
    x = seed
    for k in range(count):
        x = x * 48271 % 2147483647
        out[k] = x / 2147483647
    return out


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    sizes = [int(n) for n in sys.argv[1:]] or [1000, 2000, 5000]
    print("POT", ot.__version__, "NumPy", np.__version__)
    for n in sizes:
        x = uniform(2 * n, 1).reshape(n, 2)
        y = uniform(2 * n, 2).reshape(n, 2)
        for kind in ("equal", "general"):
            a, b = np.full(n, 1 / n), np.full(n, 1 / n)
            if kind == "general":
                a, b = uniform(n, 4) + 0.01, uniform(n, 5) + 0.01
                a, b = a / a.sum(), b / b.sum()
            for name in ("lazy", "dense"):
                before, used = peak(), time.process_time()
                if name == "lazy":
                    cost = ot.solve_sample(x, y, a, b, metric="sqeuclidean", lazy=True,
                                           max_iter=10**9).value
                else:
                    cost = ot.emd2(a, b, ot.dist(x, y), numItermax=10**9)
                print(f"{name} {kind} n = {n}: {time.process_time() - used:.3f} s, cost "
                      f"{cost:.15g}, {peak() - before:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
