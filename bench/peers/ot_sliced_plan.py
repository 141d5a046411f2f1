#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POT on problems like those of bench/ot/bench_sliced_plan.cpp and
bench/ot/bench_spherical_sliced_wasserstein.cpp, one thread: the same laws, other samples.

Prints milliseconds of processor time, the least of three runs, and the value. Clouds of more than 10000 points are
left out unless an argument says otherwise.
"""
import sys
import time

import numpy as np
import ot


def run(name, call):
    best, value = float("inf"), None
    for _ in range(3):
        start = time.process_time()
        value = call()
        best = min(best, time.process_time() - start)
    print(f"{name}: {best * 1e3:.1f} ms, {float(value):.6g}", flush=True)


def main():
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    random = np.random.default_rng(1)
    print("POT", ot.__version__, "NumPy", np.__version__)
    for n in (1000, 10000, 100000):
        if n > most:
            continue
        X, Y = random.standard_normal((n, 3)), random.standard_normal((n, 3)) * [2, 1, 1]
        run(f"min_sliced_transport_plan n = {n}", lambda: ot.min_sliced_transport_plan(
            X, Y, n_projections=50, seed=0, dense=False)[1])
        if n <= 1000:  # it forms all n^2 distances
            run(f"expected_sliced_plan n = {n}", lambda: ot.expected_sliced_plan(
                X, Y, n_projections=50, seed=0, dense=False)[1])
        run(f"max_sliced_wasserstein_distance n = {n}, 100 directions",
            lambda: ot.max_sliced_wasserstein_distance(X, Y, n_projections=100, seed=0))
        U = X / np.linalg.norm(X, axis=1, keepdims=True)
        V = Y / np.linalg.norm(Y, axis=1, keepdims=True)
        for p in (1, 2):
            run(f"sliced_wasserstein_sphere p = {p} n = {n}",
                lambda: ot.sliced_wasserstein_sphere(U, V, n_projections=50, seed=0, p=p))
        run(f"sliced_wasserstein_sphere_unif n = {n}",
            lambda: ot.sliced_wasserstein_sphere_unif(U, n_projections=50, seed=0))
        run(f"linear_sliced_wasserstein_sphere n = {n}",
            lambda: ot.linear_sliced_wasserstein_sphere(U, V, n_projections=50, seed=0))


if __name__ == "__main__":
    main()
