"""Compare attention's forward-mode derivative, in blocks of queries, with the plain formula.

    python bench/attention.py [--quick] [--output attention.json]

Prints the time and memory of computing value and derivative with the heads of the paper's encoder (16
heads of 72), in float32, on a CPU with one thread. Times are medians of five runs with their range; the
two take turns. Memory is the growth of the peak resident size in a separate process, or the peak of
allocated memory on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

# One thread: memory is measured in a fork, which has no threads but the one that forked.
os.environ["OMP_NUM_THREADS"] = "1"

import torch  # reads the number of threads
from torch import Tensor

from nanogen.backbones.attention import attention

HEADS, FEATURES = 16, 72
Inputs = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


def formula(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(F)) v, with every intermediate of the whole sequence in memory."""
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1) @ v


def with_tangent(function: Callable[..., Tensor], inputs: Inputs) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return torch.func.jvp(function, *inputs)


def drawn(tokens: int, batch: int, device: torch.device) -> Inputs:
    """(q, k, v) and their tangents, each (batch, heads, tokens, features)."""
    generator = torch.Generator().manual_seed(tokens)
    shape = (6, batch, HEADS, tokens, FEATURES)
    values = torch.randn(shape, generator=generator).to(device)
    return tuple(values[:3]), tuple(values[3:])


def seconds(function: Callable[..., Tensor], inputs: Inputs) -> float:
    started = time.perf_counter()
    with_tangent(function, inputs)
    if inputs[0][0].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def mebibytes(function: Callable[..., Tensor], inputs: Inputs) -> float:
    """Memory beyond that of the inputs."""
    if inputs[0][0].is_cuda:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        with_tangent(function, inputs)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with_tangent(function, inputs)
        growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        os.write(writing, str(growth).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return float(os.read(reading, 64))


def row(tokens: int, batch: int, device: torch.device, repeats: int) -> dict[str, Any]:
    inputs = drawn(tokens, batch, device)
    small = drawn(8, 1, device)
    for function in (attention, formula):  # load what the first use needs, so it is not measured
        with_tangent(function, small)
    # Memory first: the peak of a process hides every smaller size after it.
    ours, plain = (mebibytes(function, inputs) for function in (attention, formula))
    turns = [[seconds(function, inputs) for function in (attention, formula)] for _ in range(repeats)]
    own, others = zip(*turns, strict=True)
    derivatives = [with_tangent(function, inputs)[1] for function in (attention, formula)]
    return {
        "tokens": tokens,
        "batch": batch,
        "seconds": spread(own),
        "seconds_plain": spread(others),
        "mib": ours,
        "mib_plain": plain,
        "difference": float((derivatives[0] - derivatives[1]).abs().max()),
    }


def spread(values: Sequence[float]) -> list[float]:
    """Median, least and most."""
    return [median(values), min(values), max(values)]


def ranged(values: Sequence[float]) -> str:
    middle, least, most = (f"{value:.2g}" for value in values)
    return f"{middle} ({least} to {most})"


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| tokens | batch | s | plain, s | MiB | plain, MiB | largest difference |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r['tokens']} | {r['batch']} | {ranged(r['seconds'])} | {ranged(r['seconds_plain'])} | "
        f"{r['mib']:.0f} | {r['mib_plain']:.0f} | {r['difference']:.0e} |"
        for r in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repetition of the smaller size")
    parser.add_argument("--batch", type=int, default=2, help="images")
    parser.add_argument("--output", type=Path, help="write the rows as JSON")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes, repeats = ((256,), 1) if args.quick else ((256, 1024), 5)
    rows = [row(tokens, args.batch, device, repeats) for tokens in sizes]
    print(table(rows))
    if args.output:
        about = {
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
            "threads": torch.get_num_threads(),
        }
        args.output.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
