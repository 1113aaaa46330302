"""Compare the matrix products of a Linear on a CPU: PyTorch's default and oneDNN's.

    python bench/linear.py [--quick]

One thread computes the output, the gradient of the input and that of the weight in float32. The two
libraries take turns; speeds are medians of five rounds with their range.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # reads the number of threads
from torch import Tensor

from nanogen.linear import product

# rows, inputs and outputs: the small study's encoder and decoder, a middle size, the paper's decoder
SIZES = ((448, 96, 288), (256, 128, 768), (1056, 384, 2048), (1024, 2048, 4096))
ROUNDS, SECONDS = 5, 0.2


def products(rows: int, inputs: int, outputs: int) -> dict[str, tuple[Callable, Callable]]:
    """What is computed: by PyTorch's default, and by oneDNN."""
    x, weight, g = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(rows, outputs)
    return {
        "output": (lambda: torch.nn.functional.linear(x, weight), lambda: product(x, weight)),
        "input's gradient": (lambda: g @ weight, lambda: product(g, weight.t())),
        "weight's gradient": (lambda: g.t() @ x, lambda: product(g.t(), x.t())),
    }


def speed(function: Callable[[], Tensor], operations: float, least: float) -> float:
    """GFLOP per second of processor time."""
    count, began = 0, time.process_time()
    while time.process_time() - began < least or not count:
        function()
        count += 1
    return operations * count / (time.process_time() - began) / 1e9


def ranged(values: list[float], form: str) -> str:
    middle, least, most = (f"{value:{form}}" for value in (median(values), min(values), max(values)))
    return f"{middle} ({least} to {most})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="each product once")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    print("| rows x inputs x outputs | product | default, GFLOP/s | oneDNN, GFLOP/s | times faster |")
    print("|---|---|---:|---:|---:|")
    for size in SIZES[:1] if args.quick else SIZES:
        operations = 2.0 * size[0] * size[1] * size[2]
        for name, both in products(*size).items():
            turns = []
            for _ in range(2 if args.quick else ROUNDS + 1):
                turns.append([speed(f, operations, 0 if args.quick else SECONDS) for f in both])
            default, own = map(list, zip(*turns[1:], strict=True))  # the first round warms up
            ratios = [b / a for a, b in zip(default, own, strict=True)]
            print(
                f"| {size[0]} x {size[1]} x {size[2]} | {name} | {ranged(default, '.0f')} | "
                f"{ranged(own, '.0f')} | {ranged(ratios, '.2f')} |"
            )


if __name__ == "__main__":
    main()
