#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The figure of docs/papers/sinkhorn-newton-sparse.md: marginal error against iterations and against
seconds, and entries of the sparse Hessian, for what the benchmark prints.

    ot_bench_sinkhorn_newton --history | python3 bench/figures/newton_history.py figure.svg

(pip install matplotlib.)
"""
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

NAMES = {
    "adaptive": "default, 20 steps of Sinkhorn first",
    "sns": "SNS, 20 steps first",
    "ssns": "SSNS, no warm-up",
    "annealed": "default, annealed",
}


def read(lines):
    """name -> rows of (step, epsilon, error, entries, cg, alpha, seconds)."""
    runs = {}
    for line in lines:
        if ": status" in line:
            rows = runs.setdefault(line.split(":")[0], [])
        elif line.split() and line.split()[0].isdigit():
            rows.append([float(x) for x in line.split()])
    return runs


def main():
    runs = read(sys.stdin)
    plt.rcParams.update({"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "monge"})
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), constrained_layout=True)
    for name, rows in runs.items():
        step, _, error, entries, _, _, seconds = zip(*rows)
        axes[0].semilogy(step, error, label=NAMES[name])
        axes[1].semilogy([1e3 * t for t in seconds], error)
        newton = [(k, n / 500**2) for k, n in zip(step, entries) if n > 0]
        axes[2].semilogy(*zip(*newton), marker=".", label=NAMES[name])
    axes[0].set(xlabel="iteration", ylabel="L1 marginal error")
    axes[1].set(xlabel="milliseconds")
    axes[2].set(xlabel="iteration", ylabel="share of the plan's entries kept")
    axes[2].legend(frameon=False, fontsize=7, loc="lower right")
    figure.savefig(sys.argv[1], metadata={"Date": None})


if __name__ == "__main__":
    main()
