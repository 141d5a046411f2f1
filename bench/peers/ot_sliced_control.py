#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The flow of bench/ot/bench_sliced_control.cpp in PyTorch, plain Monte Carlo, one thread.

--data DIR as there. Prints the exact W_2^2 (POT) at the steps of the paper and the processor seconds without
it. The arguments after DIR are the numbers of directions; 10 if there are none.
"""
import sys
import time

import numpy as np
import ot
import torch


def run(source, target, directions, seed):
    torch.manual_seed(seed)
    X = torch.tensor(source, requires_grad=True)
    Y = torch.tensor(target)
    optimiser = torch.optim.SGD([X], lr=0.01)
    seconds, values = 0.0, []
    for step in range(1, 8001):
        start = time.process_time()
        optimiser.zero_grad()
        theta = torch.nn.functional.normalize(torch.randn(3, directions, dtype=X.dtype), dim=0)
        gap = torch.sort(X @ theta, dim=0)[0] - torch.sort(Y @ theta, dim=0)[0]
        (len(X) * gap.square().mean().sqrt()).backward()
        optimiser.step()
        seconds += time.process_time() - start
        if step in (3000, 4000, 5000, 6000, 8000):
            cost = ot.dist(X.detach().numpy(), target)
            values.append(ot.emd2([], [], cost, numItermax=10000000))
    print(directions, "directions, seed", seed, " ".join(f"{v:.6g}" for v in values),
          f"{seconds:.1f} s", flush=True)


def main():
    torch.set_num_threads(1)
    data = sys.argv[sys.argv.index("--data") + 1]
    counts = [int(n) for n in sys.argv[sys.argv.index("--data") + 2:]] or [10]
    clouds = np.load(data + "/clouds/shapenet50_2048.npy").astype(np.float64)
    print("torch", torch.__version__, "POT", ot.__version__)
    for directions in counts:
        run(2 * clouds[32] - 10, 2 * clouds[33] + 10, directions, 1)


if __name__ == "__main__":
    main()
