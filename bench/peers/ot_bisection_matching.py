#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POT's bisection matching on the points of bench/ot/bench_bisection_matching.cpp (pip install pot).

Prints milliseconds (processor and wall time), the mean cost and, up to n = 4000, by how much it
exceeds the optimum. Run with OMP_NUM_THREADS=1.
"""
import sys
import time

import numpy as np
import ot
from scipy.optimize import linear_sum_assignment

from ot_assignment import squared, uniform


def targets(family, n):
    d = 3 if family == "space" else 2
    y = uniform(d * n, 2).reshape(n, d)
    if family in ("warped", "space"):
        return y**2
    if family == "ring":
        angle, radius = 2 * np.pi * y[:, 0], 0.8 + 0.2 * y[:, 1]
        return np.stack([0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)], 1)
    return y


def main():
    sizes = [int(n) for n in sys.argv[1:]] or [1000, 4000, 10_000, 100_000]
    print("POT", ot.__version__)
    for family in ("same", "warped", "ring", "space"):
        for n in sizes:
            y = targets(family, n)
            x = uniform(y.size, 1).reshape(y.shape)
            best = None
            if n <= 4000:
                cost = squared(x, y)
                best = cost[linear_sum_assignment(cost)].mean()
            for plans in (16, 64):
                wall, used = time.perf_counter(), time.process_time()
                _, sigma, _ = ot.compute_bspot_bijection(x, y, n_plans=plans)
                used = (time.process_time() - used) * 1e3
                wall = (time.perf_counter() - wall) * 1e3
                mean = ((x - y[sigma]) ** 2).sum(1).mean()
                error = "" if best is None else f", relative error {mean / best - 1:.4f}"
                print(f"{family} n = {n}, {plans} plans: processor {used:.1f} ms, wall {wall:.1f} "
                      f"ms, mean cost {mean:.9g}{error}", flush=True)


if __name__ == "__main__":
    main()
