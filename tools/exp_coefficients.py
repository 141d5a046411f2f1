#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The minimax polynomials of include/monge/core/exp.hpp.

exp(r) = 1 + r + r^2 q(r) on |r| <= ln(2)/2: q is fitted by the Remez exchange so that the relative
error of exp(r) is equioscillating. Needs mpmath. Prints the coefficients, lowest degree first.
"""
import mpmath as mp

mp.mp.dps = 50
HALF = mp.log(2) / 2 * (1 + mp.mpf(10) ** -6)  # the reduction may overshoot by a rounding error
ORIGIN = mp.mpf(10) ** -3  # the weight vanishes at 0, where a node would make the system singular


def q(r):
    return (mp.exp(r) - 1 - r) / r**2


def weight(r):
    return r**2 * mp.exp(-r)


def error(r, c):
    return weight(r) * (q(r) - mp.polyval(c[::-1], r))


def remez(degree, rounds=12, grid=2001):
    count = degree + 2
    nodes = [HALF * mp.cos(mp.pi * (count - 1 - i) / (count - 1)) for i in range(count)]
    points = [-HALF + 2 * HALF * i / mp.mpf(grid) for i in range(grid + 1)]  # even count: never 0
    for _ in range(rounds):
        nodes = [x if abs(x) > ORIGIN / 1000 else ORIGIN for x in nodes]
        system = mp.matrix(count, count)
        right = mp.matrix(count, 1)
        for i, x in enumerate(nodes):
            for k in range(degree + 1):
                system[i, k] = x**k
            system[i, degree + 1] = (-1) ** i / weight(x)
            right[i] = q(x)
        solution = mp.lu_solve(system, right)
        c = [solution[k] for k in range(degree + 1)]
        values = [error(x, c) for x in points]
        extrema = []
        for i, v in enumerate(values):
            left = abs(values[i - 1]) if i > 0 else 0
            after = abs(values[i + 1]) if i + 1 < len(values) else 0
            if abs(v) >= left and abs(v) >= after:
                if extrema and mp.sign(values[extrema[-1]]) == mp.sign(v):
                    if abs(v) > abs(values[extrema[-1]]):
                        extrema[-1] = i
                else:
                    extrema.append(i)
        if len(extrema) < count:
            break
        while len(extrema) > count:
            extrema.pop(0 if abs(values[extrema[0]]) < abs(values[extrema[-1]]) else -1)
        nodes = [points[i] for i in extrema]
    return c, max(abs(v) for v in values)


for name, degree in (("double", 9), ("float", 4)):
    coefficients, worst = remez(degree)
    print(f"{name}: degree {degree}, relative error {mp.nstr(worst, 3)}")
    for value in coefficients:
        print(f"  {float(value).hex():24s} {float(value)!r}")
