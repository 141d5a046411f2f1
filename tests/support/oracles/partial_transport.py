#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The optima of partial transport in tests/ot/test_exact_unequal.cpp (pip install pot scipy).

Prints, for each case, the least cost of moving a given mass, by POT's partial_wasserstein and by
SciPy's linprog (HiGHS) on: minimise <C, P> over P 1 <= a, P' 1 <= b, sum P = mass.
"""
import numpy as np
import ot
import ot.partial
from scipy.optimize import linprog


def problem(n, m, k):
    i, j = np.arange(n)[:, None], np.arange(m)[None, :]
    cost = (7 * i * i + 11 * j + 3 * i * j + k) % 29 + (5 * i + 2 * j) % 3 * 0.25 - k
    a = 1 + (np.arange(n) * (k + 2)) % 5
    b = 1 + (np.arange(m) * (k + 3)) % 7
    return cost.astype(float), a.astype(float), b.astype(float)


def linear_program(cost, a, b, mass):
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones((1, m)))
    columns = np.kron(np.ones((1, n)), np.eye(m))
    answer = linprog(cost.ravel(), A_ub=np.vstack([rows, columns]), b_ub=np.concatenate([a, b]),
                     A_eq=np.ones((1, n * m)), b_eq=[mass], method="highs")
    return answer.fun


def main():
    for n, m, k, share in ((4, 5, 0, 1), (7, 3, 2, 0.5), (12, 9, 5, 0.25), (20, 31, 11, 0.75),
                           (1, 6, 3, 0.5), (9, 9, 0, 1)):
        cost, a, b = problem(n, m, k)
        mass = share * min(a.sum(), b.sum())
        plan = ot.partial.partial_wasserstein(a, b, cost, m=mass)
        value = linear_program(cost, a, b, mass)
        print(n, m, k, mass, "POT", (plan * cost).sum(), "linprog", value)


if __name__ == "__main__":
    main()
