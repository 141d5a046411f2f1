#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints tests/core/data/normal_quantiles.inc: normal deviates of chosen words with 50 digits from
mpmath (1.3.0 was used), independent of the library's arithmetic.

    python3 tests/support/oracles/normal_quantiles.py > tests/core/data/normal_quantiles.inc
"""
from mpmath import erfinv, mp, mpf, nstr, sqrt

mp.dps = 50


def quantile(word, bits):
    """The standard normal quantile at the midpoint of the cell that the leading bits name."""
    u = (mpf(word >> (64 - bits)) + mpf(1) / 2) / mpf(2) ** bits
    # erfinv loses nothing here: 2 u - 1 is exact in 50 digits.
    return sqrt(mpf(2)) * erfinv(2 * u - 1)


words = {0, 2**64 - 1, 2**63 - 1, 2**63, 2**62, 3 * 2**62}
words |= {2**k for k in range(11, 64)}  # tails down to the smallest cell
words |= {2**63 + 2**k for k in range(11, 62)}  # the centre up close
for border in (mpf("0.075"), mpf("0.925"), mp.exp(-25), 1 - mp.exp(-25)):  # where formulas change
    at = int(border * 2**64)
    words |= {at - 2**13, at, at + 2**13}
state = 1
for _ in range(150):  # the rest of the line, by a linear congruential generator
    state = (6364136223846793005 * state + 1442695040888963407) % 2**64
    words.add(state)

print("// Made by tests/support/oracles/normal_quantiles.py: word, quantile of its 52-bit cell, quantile")
print("// of its 63-bit cell.")
for word in sorted(words):
    print("{0x%016Xu, %sL, %sL}," % (word, nstr(quantile(word, 52), 25), nstr(quantile(word, 63), 25)))
