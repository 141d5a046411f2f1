#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A loop of POT's emd2 over the problems of bench/ot/bench_exact_batch.cpp (pip install pot).

Prints milliseconds for 1000 problems of 100 x 100 and the sum of the costs. One thread: POT's emd
uses no more.
"""
import time

import numpy as np
import ot

N, PROBLEMS, P = 100, 1000, 2147483647


def stream(count):
    out = np.empty(count)
    x = 1
    for k in range(count):
        x = x * 48271 % P
        out[k] = x / P
    return out


def problems(plane, general):
    each = (4 * N if plane else N * N) + (2 * N if general else 0)
    numbers = stream(each * PROBLEMS).reshape(PROBLEMS, each)
    for row in numbers:
        if plane:
            x, y = row[: 2 * N].reshape(N, 2), row[2 * N : 4 * N].reshape(N, 2)
            cost = ((x[:, None] - y[None]) ** 2).sum(2)
        else:
            cost = row[: N * N].reshape(N, N).T.copy()
        a = b = np.full(N, 1 / N)
        if general:
            a, b = row[-2 * N : -N] + 0.01, row[-N:] + 0.01
            a, b = a / a.sum(), b / b.sum()
        yield a, b, cost


def main():
    print("POT", ot.__version__)
    for plane in (True, False):
        for general in (False, True):
            ready = list(problems(plane, general))
            best = float("inf")
            for _ in range(3):
                start = time.process_time()
                total = sum(ot.emd2(a, b, cost) for a, b, cost in ready)
                best = min(best, time.process_time() - start)
            print(f"{'plane' if plane else 'random'} {'general' if general else 'equal'}: "
                  f"{best * 1e3:.0f} ms, cost {total:.15g}", flush=True)


if __name__ == "__main__":
    main()
