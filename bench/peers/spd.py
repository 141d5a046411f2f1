#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POT on the problems of bench/spd/bench_bures_wasserstein.cpp.

pip install pot mpmath. Prints microseconds (median of repetitions), the value, and the
relative error of the distance between A and A + 2^-30 E (against mpmath, n <= 10). One thread:
set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 before.
"""
import statistics
import time

import numpy as np
import ot


def uniform(n, seed):
    """The stream of the C++ program: the multiplicative congruential generator x * 48271."""
    out = np.empty(n * n)
    x = seed
    for k in range(n * n):
        x = x * 48271 % 2147483647
        out[k] = x / 2147483647 - 0.5
    return out.reshape(n, n).T.copy()


def covariance(n, seed):
    g = uniform(n, seed)
    a = g @ g.T + 0.01 * np.eye(n)
    return (a + a.T) / 2


def median(call, seconds=1.0):
    call()
    spent, times = 0.0, []
    while spent < seconds and len(times) < 2000:
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
        spent += times[-1]
    return statistics.median(times) * 1e6, result


def exact(a, b):
    import mpmath as mp

    mp.mp.dps = 50
    x, y = mp.matrix(a.tolist()), mp.matrix(b.tolist())
    e, q = mp.eigsy(x)
    n = len(e)
    r = q * mp.diag([mp.sqrt(v) for v in e]) * q.T
    c = r * y * r
    f = mp.eigsy((c + c.T) / 2, eigvals_only=True)
    trace = sum(x[i, i] + y[i, i] for i in range(n))
    return mp.sqrt(trace - 2 * sum(mp.sqrt(v) for v in f))


def main():
    print("POT", ot.__version__, "NumPy", np.__version__)
    for n in (3, 10, 30, 100, 200):
        a, b = covariance(n, 1), covariance(n, 2)
        zero = np.zeros(n)
        micro, d = median(lambda: ot.gaussian.bures_wasserstein_distance(zero, zero, a, b))
        e = uniform(n, 7)
        near = a + 2.0**-30 * (e + e.T)
        computed = float(ot.gaussian.bures_wasserstein_distance(zero, zero, a, near))
        line = f"POT distance n = {n}: {micro:.1f} us, value {float(d):.15g}"
        if n <= 10:
            line += f", relative error near: {abs(float(computed / exact(a, near)) - 1):.2g}"
        print(line, flush=True)
    for n, count in ((3, 20), (10, 20), (50, 20)):
        x = np.stack([covariance(n, 10 + i) for i in range(count)])
        means = np.zeros((count, n))
        micro, (_, c) = median(
            lambda: ot.gaussian.bures_wasserstein_barycenter(means, x, eps=1e-7, num_iter=1000)
        )
        print(f"POT barycentre n = {n}, {count} matrices: {micro / 1e3:.2f} ms, "
              f"trace {np.trace(c):.12g}", flush=True)


if __name__ == "__main__":
    main()
