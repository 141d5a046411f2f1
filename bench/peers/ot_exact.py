#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POT's network simplex on the problems of bench/ot/bench_exact.cpp (pip install pot).

Prints milliseconds (median of three; wall and processor time) and the cost. POT's emd uses one
thread by default. The sizes are the arguments; 1000 2000 5000 if there are none.
"""
import sys
import time

import numpy as np
import ot


def uniform(count, seed):
    """The stream of bench_exact.cpp: the multiplicative congruential generator x * 48271."""
    out = np.empty(count)
    x = seed
    for k in range(count):
        x = x * 48271 % 2147483647
        out[k] = x / 2147483647
    return out


def problem(family, weights, n):
    if family == "plane":
        x = uniform(2 * n, 1).reshape(n, 2)
        y = uniform(2 * n, 2).reshape(n, 2)
        cost = ((x[:, None, :] - y[None, :, :]) ** 2).sum(2)
    else:
        cost = uniform(n * n, 3).reshape(n, n).T.copy()
    if weights == "uniform":
        return np.full(n, 1 / n), np.full(n, 1 / n), cost
    a, b = uniform(n, 4) + 0.01, uniform(n, 5) + 0.01
    return a / a.sum(), b / b.sum(), cost


def main():
    sizes = [int(n) for n in sys.argv[1:]] or [1000, 2000, 5000]
    print("POT", ot.__version__, "NumPy", np.__version__)
    for family in ("plane", "random"):
        for weights in ("uniform", "general"):
            for n in sizes:
                a, b, cost = problem(family, weights, n)
                wall, processor = [], []
                for _ in range(3):
                    start, used = time.perf_counter(), time.process_time()
                    plan, log = ot.emd(a, b, cost, numItermax=10**9, log=True)
                    processor.append((time.process_time() - used) * 1e3)
                    wall.append((time.perf_counter() - start) * 1e3)
                print(f"{family} {weights} n = {n}: {sorted(wall)[1]:.0f} ms, processor "
                      f"{sorted(processor)[1]:.0f} ms, cost {log['cost']:.15g}", flush=True)


if __name__ == "__main__":
    main()
