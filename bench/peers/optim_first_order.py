#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch's optimisers on the vectors of bench/optim/bench_first_order.cpp, one thread.

Prints nanoseconds of processor time per entry and step, the least of several runs; Adam both as it is by default and
with fused=True.
"""
import time

import torch


def nanoseconds(make, n, scalar):
    x = torch.nn.Parameter(torch.randn(n, dtype=scalar))
    x.grad = torch.randn(n, dtype=scalar)
    optimiser = make([x])
    steps = max(5, 2000000 // n)
    best = float("inf")
    for _ in range(7):
        start = time.process_time()
        for _ in range(steps):
            optimiser.step()
        best = min(best, (time.process_time() - start) / steps / n * 1e9)
    return best


def main():
    torch.set_num_threads(1)
    print("torch", torch.__version__)
    rules = {
        "descent": lambda p: torch.optim.SGD(p, lr=0.01, fused=True),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, fused=True),
        "adam": lambda p: torch.optim.Adam(p),
        "adam, fused": lambda p: torch.optim.Adam(p, fused=True),
    }
    for scalar in (torch.float64, torch.float32):
        for name, make in rules.items():
            for n in (10000, 1000000):
                print(f"{name} {scalar} n = {n}: {nanoseconds(make, n, scalar):.2f}")


if __name__ == "__main__":
    main()
