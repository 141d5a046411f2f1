#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POT's Sinkhorn on the problems of bench/ot/bench_sinkhorn.cpp (pip install pot).

Prints milliseconds of processor time per iteration and to convergence, with the marginal error that
was reached. One thread: run with OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.
"""
import sys
import time

import numpy as np
import ot


def points(n, offset, warp):
    step = np.array([0.7548776662466927, 0.5698402909980532])
    x = np.fmod(offset + np.arange(1, n + 1)[:, None] * step, 1.0)
    return x * x if warp else x


def error(plan, w):
    return abs(plan.sum(1) - w).sum() + abs(plan.sum(0) - w).sum()


def milliseconds(run, repeats=5):
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append((time.process_time() - start) * 1e3)
    return sorted(times)[repeats // 2]


def main():
    print("POT", ot.__version__, "NumPy", np.__version__)
    methods = ("sinkhorn_log",) if "--log" in sys.argv else ("sinkhorn", "sinkhorn_log")
    for n in (1000, 2000, 4000):
        cost = ot.dist(points(n, 0.5, False), points(n, 0.25, True))
        cost /= cost.max()
        w = np.full(n, 1 / n)
        for method in methods:
            count = 50 if method == "sinkhorn" else 10 if n < 4000 else 5

            def run(iterations):
                return ot.sinkhorn(w, w, cost, 1e-2, method=method, numItermax=iterations,
                                   stopThr=0, warn=False)

            repeats = 1 if method == "sinkhorn_log" and n >= 2000 else 3
            few = milliseconds(lambda: run(1), repeats)
            many = milliseconds(lambda: run(1 + count), repeats)
            print(f"{method} n = {n}: {(many - few) / count:.3f} ms per iteration", flush=True)
    if "--log" in sys.argv:
        return
    for n, epsilon in ((1000, 1e-2), (1000, 1e-3), (2000, 1e-2)):
        cost = ot.dist(points(n, 0.5, False), points(n, 0.25, True))
        cost /= cost.max()
        w = np.full(n, 1 / n)
        for method in ("sinkhorn", "sinkhorn_log"):
            # POT stops on the 2-norm of one marginal: 1e-9 in L1 is about 1e-9 / sqrt(n) there.
            result = {}

            def run():
                result["plan"], result["log"] = ot.sinkhorn(
                    w, w, cost, epsilon, method=method, numItermax=20_000,
                    stopThr=1e-9 / np.sqrt(n), log=True, warn=False)

            took = milliseconds(run, 1)
            plan = result["plan"]
            print(f"{method} n = {n}, epsilon {epsilon:g}: {took:.1f} ms, "
                  f"{result['log']['niter']} iterations, L1 error {error(plan, w):.1e}, "
                  f"cost {(plan * cost).sum():.9f}")


if __name__ == "__main__":
    main()
