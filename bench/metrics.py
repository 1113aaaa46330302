"""Compare Frechet distance, MIND, precision and recall with the textbook formulas.

    python bench/metrics.py [--quick] [--metrics frechet mind pr] [--output metrics.json]

Prints a table; the JSON file holds the same rows. Data are random with a fixed seed. The two
implementations take turns. Times and speed-ups are medians of five rounds, the speed-ups with their
range.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy import linalg
from scipy.spatial.distance import cdist

from nanogen.metrics.distribution import draw_directions, mind
from nanogen.metrics.frechet import frechet_distance
from nanogen.metrics.neighbours import precision_recall

METRICS = ("frechet", "mind", "pr")
ROUNDS = 5


def frechet_by_square_root(
    mu1: np.ndarray, sigma1: np.ndarray, mu2: np.ndarray, sigma2: np.ndarray
) -> float:
    """The textbook way: the square root of the non-symmetric product of the covariances."""
    root = linalg.sqrtm(sigma1 @ sigma2)
    shift = mu1 - mu2
    return float(shift @ shift + np.trace(sigma1 + sigma2 - 2 * np.real(root)))


def mind_at_once(a: np.ndarray, b: np.ndarray, directions: int = 1000) -> float:
    """The formula as written: float64 features and directions as full matrices, the projections of both
    sets on all directions held at once, each column sorted, one mean over everything."""
    larger = None if len(a) == len(b) else max(len(a), len(b))
    rows, order = draw_directions(directions, a.shape[1], larger, 2020)
    count = min(len(a), len(b))
    a, b = (x if len(x) == count else x[order[:count]] for x in (a, b))
    a, b, rows = (x.astype(np.float64) for x in (a, b, rows))
    difference = np.sort(a @ rows.T, axis=0) - np.sort(b @ rows.T, axis=0)
    return float(3 * a.shape[1] * (difference**2).mean())


def mind_in_torch(a: np.ndarray, b: np.ndarray, directions: int = 1000) -> float:
    """The same in torch, which published values were computed with; both sets have equal counts."""
    import torch

    rows = torch.from_numpy(draw_directions(directions, a.shape[1], None, 2020)[0]).double()
    projected = ((torch.from_numpy(x).double() @ rows.T).sort(0).values for x in (a, b))
    return float(3 * a.shape[1] * (next(projected) - next(projected)).square().mean())


def precision_at_once(real: np.ndarray, generated: np.ndarray, k: int = 3) -> float:
    """Precision plus recall from the three whole matrices of distances."""

    def share_inside(points: np.ndarray, centres: np.ndarray) -> float:
        radii = np.sort(cdist(centres, centres), axis=1)[:, k]
        return float((cdist(points, centres) <= radii).any(1).mean())

    return share_inside(generated, real) + share_inside(real, generated)


def precision_plus_recall(real: np.ndarray, generated: np.ndarray) -> float:
    return sum(precision_recall(real, generated))


def compared(
    ours: Callable[..., float], plain: Callable[..., float], *args: Any
) -> tuple[list[float], list[list[float]]]:
    """Return the two values, and the seconds of every call of each; the two take turns."""
    values, seconds = [float("nan")] * 2, [[], []]
    for turn in range(ROUNDS + 1):
        for which, function in enumerate((ours, plain)):
            started = time.perf_counter()
            values[which] = function(*args)
            if turn:  # the first call imports what it needs
                seconds[which].append(time.perf_counter() - started)
    return values, seconds


def peak_growth(function: Callable[..., float], make: Callable[..., Any], *sizes: int) -> float:
    """MiB by which ``function(*make(*sizes))`` raises the memory of a process of its own.

    The process is spawned and makes the data itself. A fork of this process would wait forever for the
    threads of matrix products, which it does not inherit.
    """
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (function, make, *sizes))


def _growth(function: Callable[..., float], make: Callable[..., Any], *sizes: int) -> float:
    data = make(*sizes)
    function(*(x[:16] for x in data))  # import what it needs, so it is not counted
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak, on Linux
    before = memory("VmRSS")
    function(*data)
    return (memory("VmHWM") - before) / 1024


def memory(key: str) -> int:
    """Resident (VmRSS) or peak resident (VmHWM) memory of this process in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def two_sets(count: int, width: int, shift: float) -> list[np.ndarray]:
    """Two float32 sets (count, width) of normal numbers, the second shifted."""
    rng = np.random.default_rng(count)
    return [rng.normal(s, 1, (count, width)).astype(np.float32) for s in (0.0, shift)]


def row(name: str, values: list[float], seconds: list[list[float]], **more: Any) -> dict[str, Any]:
    ratios = [b / a for a, b in zip(*seconds, strict=True)]
    return {
        "case": name,
        "seconds": median(seconds[0]),
        "seconds_plain": median(seconds[1]),
        "times_faster": median(ratios),
        "range": [min(ratios), max(ratios)],
        "relative_difference": abs(values[0] - values[1]) / abs(values[1]),
        **more,
    }


def frechet_row(width: int) -> dict[str, Any]:
    rng = np.random.default_rng(width)
    moments: list[np.ndarray] = []
    for shift in (0.0, 0.3):
        features = rng.normal(shift, 1, (2 * width, width)) @ rng.normal(0, 1, (width, width))
        moments += [features.mean(0), np.cov(features.T)]
    return row(
        f"Frechet distance, d = {width}", *compared(frechet_distance, frechet_by_square_root, *moments)
    )


def mind_row(count: int, width: int, plain: Callable[..., float], name: str) -> dict[str, Any]:
    make = partial(two_sets, shift=0.3)
    sets = make(count, width)
    return row(
        f"MIND against {name}, n = {count}, d = {width}",
        *compared(mind, plain, *sets),
        mib=peak_growth(mind, make, count, width),
        mib_plain=peak_growth(plain, make, count, width),
    )


def precision_row(count: int, width: int) -> dict[str, Any]:
    make = partial(two_sets, shift=0.1)
    sets = make(count, width)
    return row(
        f"Precision and recall, n = {count}, d = {width}",
        *compared(precision_plus_recall, precision_at_once, *sets),
        mib=peak_growth(precision_plus_recall, make, count, width),
        mib_plain=peak_growth(precision_at_once, make, count, width),
    )


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| case | s | plain, s | times faster | relative difference | MiB | plain, MiB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for r in rows:
        faster = f"{r['times_faster']:.1f} ({r['range'][0]:.1f} to {r['range'][1]:.1f})"
        memory = [f"{r[key]:.0f}" if key in r else "" for key in ("mib", "mib_plain")]
        lines.append(
            f"| {r['case']} | {r['seconds']:.3g} | {r['seconds_plain']:.3g} | "
            f"{faster} | {r['relative_difference']:.0e} | {' | '.join(memory)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=METRICS)
    parser.add_argument("--output", type=Path, help="write the rows as JSON")
    args = parser.parse_args()
    widths = (64, 256) if args.quick else (64, 256, 1024, 2048)
    sizes = ((5000, 96),) if args.quick else ((5000, 96), (20000, 512), (10000, 2048))
    clouds = ((2000, 96),) if args.quick else ((5000, 96), (5000, 512))
    cases: dict[str, list[Callable[[], dict[str, Any]]]] = {
        "frechet": [partial(frechet_row, width) for width in widths],
        "mind": [
            partial(mind_row, *size, plain, name)
            for size in sizes
            for plain, name in ((mind_at_once, "numpy"), (mind_in_torch, "torch"))
        ],
        "pr": [partial(precision_row, *size) for size in clouds],
    }
    rows = [case() for name in args.metrics for case in cases[name]]
    print(table(rows))
    if args.output:
        about = {
            "python": sys.version.split()[0],
            "numpy": np.__version__,
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
        }
        args.output.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
