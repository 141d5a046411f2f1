#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POT on the samples of bench/ot/bench_wasserstein_circle.cpp (pip install pot).

Prints milliseconds of processor time, the least of three, and the cost W_p^p. One thread: run with
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1. The sizes are the arguments; 1e3 1e4 1e5 if none.
"""
import sys
import time

import numpy as np
import ot

from ot_wasserstein_1d import uniform


def least(run, repeats=3):
    best, value = np.inf, None
    for _ in range(repeats):
        start = time.process_time()
        value = run()
        best = min(best, (time.process_time() - start) * 1e3)
    return best, float(np.squeeze(value))


def main():
    sizes = [int(n) for n in sys.argv[1:]] or [1000, 10_000, 100_000]
    print("POT", ot.__version__, "NumPy", np.__version__)
    for n in sizes:
        x = uniform(n, 1)
        a = uniform(n, 3) + 0.1
        for kind in ("matched", "unequal", "general"):
            m = n * 9 // 10 if kind == "unequal" else n
            y = uniform(m, 2) ** 2
            b = uniform(m, 4) + 0.1
            weights = (a / a.sum(), b / b.sum()) if kind == "general" else (None, None)
            for p in (1, 2):
                took, value = least(lambda: ot.wasserstein_circle(x, y, *weights, p=p))
                print(f"n = {n}, {kind}, p = {p}: {took:.2f} ms, cost {value:.12g}", flush=True)
        y = uniform(n, 2) ** 2
        took, value = least(lambda: ot.semidiscrete_wasserstein2_unif_circle(y))
        print(f"n = {n}, to uniform: {took:.2f} ms, cost {value:.12g}", flush=True)


if __name__ == "__main__":
    main()
