#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""NumPy's sort and argsort on the entries of bench/core/bench_sort.cpp's distributions.

Prints nanoseconds per entry, the median over different inputs. The sizes are the arguments; 1000
10000 100000 1000000 if there are none.
"""
import sys
import time

import numpy as np


def median_nanoseconds(call, inputs):
    times = []
    for x in inputs:
        start = time.perf_counter()
        call(x)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] / inputs.shape[1] * 1e9


def main():
    sizes = [int(n) for n in sys.argv[1:]] or [1000, 10000, 100000, 1000000]
    random = np.random.default_rng(1)
    print("NumPy", np.__version__)
    for scalar in (np.float64, np.float32):
        for family in ("normal", "heavy"):
            for n in sizes:
                x = random.standard_normal((max(5, min(200, 1000000 // n)), n))
                x = (x if family == "normal" else np.exp(3 * x)).astype(scalar)
                sort = median_nanoseconds(lambda v: v.sort(), x.copy())
                order = median_nanoseconds(np.argsort, x)
                print(f"{scalar.__name__} {family} n = {n}: sort {sort:.2f}, argsort {order:.2f}")


if __name__ == "__main__":
    main()
