#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lapx and SciPy on the costs of bench/ot/bench_assignment.cpp (pip install lapx scipy).

Prints milliseconds of processor time, the least of three (of one above a second), and the cost.
Solvers that took more than a limit on a smaller problem of a family are left out of larger ones.
Arguments: sizes (500 1000 2000 5000 if there are none), families and solvers (all if none).
"""
import sys
import time

import lap
import numpy as np
import scipy
from scipy.optimize import linear_sum_assignment

LIMIT = 4e3  # milliseconds; a solver slower than this at one size skips the next


def uniform(count, seed):
    """The stream of bench_assignment.cpp: words of splitmix64, their upper 53 bits."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(float) * 2.0**-53


def points(d, n, seed):
    return uniform(d * n, seed).reshape(n, d)


def squared(x, y):
    cost = np.zeros((len(x), len(y)))
    for k in range(x.shape[1]):
        cost += (x[:, None, k] - y[None, :, k]) ** 2
    return cost


def family(name, n):
    if name == "uniform":
        return uniform(n * n, 3).reshape(n, n)
    if name == "integer10":
        return np.floor(10 * uniform(n * n, 3)).reshape(n, n)
    if name == "integer1000":
        return np.floor(1000 * uniform(n * n, 3)).reshape(n, n)
    if name == "plane":
        return squared(points(2, n, 1), points(2, n, 2))
    if name == "space":
        return squared(points(3, n, 1), points(3, n, 2))
    if name == "clusters":
        x, y = points(2, n, 1), points(2, n, 2)
        return squared(x**3, 0.5 + 0.5 * y)
    if name == "product":
        k = np.arange(1.0, n + 1)
        return np.outer(k, k)
    if name == "near_constant":
        return 1000 + 1e-3 * uniform(n * n, 3).reshape(n, n)
    if name == "low_rank":
        return uniform(n, 1)[:, None] * uniform(n, 2)[None, :]
    raise ValueError(name)


FAMILIES = ("uniform", "integer10", "integer1000", "plane", "space", "clusters", "product",
            "near_constant", "low_rank")


def main():
    sizes = [int(n) for n in sys.argv[1:] if n.isdigit()] or [500, 1000, 2000, 5000]
    names = [name for name in sys.argv[1:] if name in FAMILIES] or FAMILIES
    print("lapx", lap.__version__, "SciPy", scipy.__version__, "NumPy", np.__version__)
    solvers = [("scipy", lambda c: c[linear_sum_assignment(c)].sum()),
               ("lapjv", lambda c: lap.lapjv(c)[0]),
               ("lapjvc", lambda c: lap.lapjvc(c)[0]),
               ("lapjvs", lambda c: lap.lapjvs(c)[0]),
               ("lapjvr", lambda c: lap.lapjvr(c)[0]),
               ("lapjvh", lambda c: lap.lapjvh(c)[0])]
    solvers = [s for s in solvers if s[0] in sys.argv[1:]] or solvers
    for name in names:
        last = {}
        for n in sizes:
            cost = family(name, n)
            row = []
            for solver, run in solvers:
                if last.get(solver, 0) > LIMIT:
                    continue
                best = np.inf
                for _ in range(3):
                    start = time.process_time()
                    value = run(cost)
                    best = min(best, (time.process_time() - start) * 1e3)
                    if best > 1e3:
                        break
                last[solver] = best
                row.append(f"{solver} {best:.1f} ms ({value:.12g})")
            print(f"{name} n = {n}: " + ", ".join(row), flush=True)


if __name__ == "__main__":
    main()
