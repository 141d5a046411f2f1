#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exact transport beside its peers on the problems of bench/ot/bench_exact.cpp, in one run.

    python3 bench/peers/ot_exact.py [--ours build/bench/bench/ot_bench_exact] [--families plane ...]
                                    [--repeats 3] [sizes ...]

Peers (pip install pot scipy lapx wasserstein): POT's emd2; the EMD of Wasserstein, which takes the
squared distances of points; and, for equal weights, linear_sum_assignment of SciPy and lapjv of
lapx. Prints milliseconds of processor time, the least of the repeats, on one thread, and how far the
cost is from POT's, relative to it. --ours also runs our program on each problem, and LEMON's simplex
if the program was built with it. --skip leaves peers out. (Wasserstein 1.0.1 needs numpy < 2.)
"""
import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")


def uniform(count, seed):
    """The stream of bench_exact.cpp: the multiplicative congruential generator x * 48271."""
    p, block = 2147483647, min(count, 1 << 16)
    powers = np.empty(block, dtype=np.int64)
    power = 1
    for k in range(block):
        power = power * 48271 % p
        powers[k] = power
    out = np.empty(count)
    for first in range(0, count, block):
        part = powers[: min(block, count - first)] * seed % p
        out[first : first + len(part)] = part / p
        seed = int(part[-1])
    return out


def points(family, n, side):
    if family != "clustered":
        d = {"plane": 2, "space": 3, "high": 50}[family]
        return uniform(d * n, side).reshape(n, d)
    centres = uniform(20, 6).reshape(10, 2)
    noise = sum(uniform(2 * n, 10 * side + k).reshape(n, 2) for k in (1, 2, 3)) - 1.5
    return 0.05 * noise + centres[np.arange(n) * (2 * side - 1) % 10]


def problem(family, weights, n):
    if family == "random":
        cost = uniform(n * n, 3).reshape(n, n).T.copy()
    else:
        x, y = points(family, n, 1), points(family, n, 2)
        cost = np.zeros((n, n))
        for k in range(x.shape[1]):
            cost += (x[:, None, k] - y[None, :, k]) ** 2
    if weights in ("equal", "uniform"):
        return np.full(n, 1 / n), np.full(n, 1 / n), cost
    a, b = uniform(n, 4) + 0.01, uniform(n, 5) + 0.01
    return a / a.sum(), b / b.sum(), cost


def timed(repeats, run):
    best, value = float("inf"), None
    for _ in range(repeats):
        start = time.process_time()
        value = run()
        best = min(best, time.process_time() - start)
    return best * 1e3, value


def peers(family, weights, n, repeats, skip):
    """Yields (name, milliseconds, cost)."""
    a, b, cost = problem(family, weights, n)
    if "POT" not in skip:
        import ot

        yield "POT", *timed(repeats, lambda: ot.emd2(a, b, cost, numItermax=10**9))
    if "Wasserstein" not in skip:
        import wasserstein

        solver = wasserstein.EMD(n_iter_max=10**9)
        yield "Wasserstein", *timed(repeats, lambda: solver(a, b, cost))
    if weights == "equal" and "SciPy" not in skip:
        from scipy.optimize import linear_sum_assignment

        yield "SciPy", *timed(repeats, lambda: cost[linear_sum_assignment(cost)].sum() / n)
    if weights == "equal" and "lapx" not in skip:
        import lap

        pairs = np.arange(n)
        for name, solve in (("lapx lapjvr", lap.lapjvr), ("lapx lapjvh", lap.lapjvh)):
            yield name, *timed(repeats, lambda: cost[pairs, assigned(solve(cost), n)].sum() / n)


def assigned(answer, n):
    """The column of each row, from whichever form lapx returns."""
    columns = np.empty(n, dtype=int)
    columns[answer[-2]] = answer[-1]
    return columns


def ours(program, family, weights, n, repeats, skip):
    kinds = ("dense", "simplex", "lazy") + (() if "LEMON" in skip else ("lemon_simplex",))
    for kind in kinds:
        out = subprocess.run(
            [program, f"--benchmark_filter=^{kind}/{family}_{weights}/{n}$",
             f"--benchmark_repetitions={repeats}", "--benchmark_min_time=0.01",
             "--benchmark_format=json"], capture_output=True, text=True, check=False).stdout
        try:
            rows = [r for r in json.loads(out)["benchmarks"] if r["run_type"] == "iteration"]
        except (ValueError, KeyError):
            continue
        if rows:
            name = "LEMON" if kind == "lemon_simplex" else f"ours {kind}"
            yield name, min(r["cpu_time"] for r in rows), rows[0]["cost"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[1000, 2000, 5000])
    parser.add_argument("--ours")
    parser.add_argument("--families", nargs="*",
                        default=["plane", "clustered", "space", "high", "random"])
    parser.add_argument("--weights", nargs="*", default=["equal", "general"])
    parser.add_argument("--skip", nargs="*", default=["Wasserstein"])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for family in arguments.families:
        for weights in arguments.weights:
            for n in arguments.sizes:
                reference, rows = None, []
                for name, took, cost in peers(family, weights, n, arguments.repeats,
                                              arguments.skip):
                    reference = cost if reference is None else reference
                    rows.append((name, took, cost))
                if arguments.ours:
                    rows += ours(arguments.ours, family, weights, n, arguments.repeats,
                                 arguments.skip)
                text = ", ".join(f"{name} {took:.1f} ms ({abs(cost / reference - 1):.0e})"
                                 for name, took, cost in rows)
                print(f"{family} {weights} n = {n}: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
