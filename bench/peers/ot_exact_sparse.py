#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""POT's simplex on sparse costs and SciPy's sparse matching on the problems of
bench/ot/bench_exact_sparse.cpp (pip install pot scipy).

Prints milliseconds (median of three; wall and processor time) and the cost. The sizes are the
arguments; 1000 3000 10000 if there are none.
"""
import sys
import time

import numpy as np
import ot
import scipy
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching


def stream(seed):
    x = seed
    while True:
        x = x * 48271 % 2147483647
        yield x / 2147483647


def graph(n, arcs):
    numbers = stream(3)
    entries = {}
    for i in range(n):
        for k in range(arcs):
            j = i if k == 0 else int(next(numbers) * n)
            entries[i, j] = next(numbers)
    rows, columns = zip(*entries)
    return csr_matrix((list(entries.values()), (rows, columns)), shape=(n, n))


def measure(name, solve):
    wall, processor = [], []
    for _ in range(3):
        start, used = time.perf_counter(), time.process_time()
        cost = solve()
        processor.append((time.process_time() - used) * 1e3)
        wall.append((time.perf_counter() - start) * 1e3)
    print(f"{name}: {sorted(wall)[1]:.1f} ms, processor {sorted(processor)[1]:.1f} ms, "
          f"cost {cost:.15g}", flush=True)


def main():
    sizes = [int(n) for n in sys.argv[1:]] or [1000, 3000, 10000]
    print("POT", ot.__version__, "SciPy", scipy.__version__, "NumPy", np.__version__)
    for arcs in (10, 100):
        for n in sizes:
            cost = graph(n, arcs)
            for weights in ("equal", "general"):
                numbers = stream(4)
                a = np.ones(n) if weights == "equal" else np.array(
                    [next(numbers) + 0.01 for _ in range(n)])
                a /= a.sum()

                def transport():
                    plan, log = ot.emd(a, a, cost.tocoo(), numItermax=10**9, log=True)
                    return log["cost"]

                measure(f"POT {arcs} arcs {weights} n = {n}", transport)
            def matching():
                rows, columns = min_weight_full_bipartite_matching(cost)
                return cost[rows, columns].sum() / n

            measure(f"SciPy {arcs} arcs equal n = {n}", matching)


if __name__ == "__main__":
    main()
