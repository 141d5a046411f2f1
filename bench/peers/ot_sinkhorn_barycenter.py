#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POT's convolutional barycentres on the problems of bench/ot/bench_sinkhorn_barycenter.cpp.

pip install pot. Prints milliseconds of processor time, iterations and POT's own stopping error. POT
compares K with exp(-|x - y|^2 / reg) on the unit square: reg = epsilon. One thread: run with
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.
"""
import argparse
import time
import warnings

import numpy as np
import ot

warnings.simplefilter("ignore")


def blobs(n):
    x = (np.arange(n) + 0.5) / n
    X, Y = np.meshgrid(x, x, indexing="ij")
    result = []
    for u, v in ((0.3, 0.3), (0.7, 0.35), (0.35, 0.7), (0.6, 0.65)):
        a = np.exp(-((X - u) ** 2 + (Y - v) ** 2) / 0.01) + 1e-6
        result.append(a / a.sum())
    return np.array(result)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--epsilon", type=float, default=1e-2)
    parser.add_argument("--iterations", type=int, default=10000)
    args = parser.parse_args()
    A = blobs(args.n)
    for name, solve in (("blurred", ot.bregman.convolutional_barycenter2d),
                        ("debiased", ot.bregman.convolutional_barycenter2d_debiased)):
        for method in ("sinkhorn", "sinkhorn_log"):
            start = time.process_time()
            _, log = solve(A, args.epsilon, method=method, numItermax=args.iterations, stopThr=1e-9,
                           log=True, warn=False)
            took = (time.process_time() - start) * 1e3
            print(f"POT {ot.__version__} {name} {method} n = {args.n}, epsilon {args.epsilon:g}: "
                  f"{took:.0f} ms, {10 * len(log['err'])} iterations or so, "
                  f"stopping error {log['err'][-1]:.1e}", flush=True)


if __name__ == "__main__":
    main()
