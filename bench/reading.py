"""Compare the reading of shuffled latents with a random gather from a memory map.

    python bench/reading.py [--gigabytes 2 4] [--folder FOLDER]

Each file holds latents of 4 x 32 x 32 (SD-VAE at 256 pixels). One process reads it in batches of 256 as
training does, another gathers a permutation of all rows from numpy's memory map of the file. They take
turns. Both read the file twice, and the second time is measured: the file is then in the page cache and
memory is allocated, so the programs are compared and not a disk. Speeds and ratios are medians of five
rounds, the ratio with its range.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

from nanogen.caches.files import LATENTS
from nanogen.config import load_study, stages
from nanogen.config.train_stage import TrainStage
from nanogen.data import hdf5
from nanogen.files import label

SHAPE = (4, 32, 32)
ROW = 2 * 4 * 32 * 32  # bytes
BATCH = 256
CHUNK = 8192
ROUNDS = 5
BAR = 0.5  # of the memory map's speed


def write_file(path: Path, count: int) -> None:
    """A cache of ``count`` random latents."""
    part = np.random.default_rng(0).standard_normal((CHUNK, *SHAPE)).astype(np.float16)
    with hdf5.create(path, label(*LATENTS, "bench", tokenizer="t", tokenizer_hash="h")) as file:
        latents = file.create_dataset("latents", (count, *SHAPE), np.float16)
        for start in range(0, count, CHUNK):
            latents[start : start + CHUNK] = part[: count - start]
        file["labels"] = np.arange(count) % 1000


def memory(key: str) -> int:
    """Resident (VmRSS) or peak resident (VmHWM) bytes of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def mapped(path: Path) -> Iterator[np.ndarray]:
    """Batches gathered from a memory map in a random order of all rows."""
    with hdf5.opened(path, *LATENTS) as file:
        latents = hdf5.memmap(file, "latents")
    for epoch in range(2):
        order = np.random.default_rng(epoch).permutation(len(latents))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            yield latents[order[start : start + BATCH]]


def in_blocks(path: Path) -> Iterator[np.ndarray]:
    """Batches as training reads them."""
    from nanogen.stage2.batches import Batches
    from nanogen.stage2.dataset import Latents

    source = Latents(path, "bench")
    stage = TrainStage.from_json(stages.train(load_study("nano"), "jit", "imagenet"))
    keys = {"batch_size": BATCH, "noise_chunk": 32}
    training = stage.training.model_copy(update=keys)
    batches = Batches(source, replace(stage, method="bench", latent=SHAPE, training=training))
    for step in range(2 * (len(source) // BATCH)):
        batches.announce(step)
        yield source.latents[batches.order.rows(step * BATCH, BATCH)]


READERS: dict[str, Callable[[Path], Iterator[np.ndarray]]] = {"memmap": mapped, "blocks": in_blocks}


def measure(reader: str, path: Path) -> None:
    """Read everything twice; print the speed of the second time and the memory growth as JSON."""
    import torch  # noqa: F401  (both processes import it, to compare their memory)

    from nanogen.stage2 import dataset  # noqa: F401

    before, batches = memory("VmRSS"), READERS[reader](path)
    with hdf5.opened(path, *LATENTS) as file:
        first = len(file["latents"]) // BATCH
    deque(islice(batches, first), maxlen=0)
    started = time.perf_counter()
    count = sum(len(batch) for batch in batches)
    speed = count * ROW / (time.perf_counter() - started) / 1e9
    print(json.dumps({"speed": speed, "memory": (memory("VmHWM") - before) / 2**20}))


def run(reader: str, path: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--reader", reader, "--file", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[2, 4])
    parser.add_argument("--folder", help="where the files are written; default: the temporary folder")
    parser.add_argument("--reader", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.reader:
        measure(args.reader, args.file)
        return
    print(f"{'file':>7} {'memory map':>22} {'in blocks':>22} {'ratio':>22}   bar {BAR}")
    for size in args.gigabytes:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            path = Path(folder, "latents.h5")
            write_file(path, int(size * 1e9) // ROW)
            rounds = [{name: run(name, path) for name in READERS} for _ in range(ROUNDS)]
        speed = {name: median(r[name]["speed"] for r in rounds) for name in READERS}
        most = {name: max(r[name]["memory"] for r in rounds) for name in READERS}
        columns = [f"{speed[name]:6.2f} GB/s {most[name]:6.0f} MiB" for name in READERS]
        ratios = [r["blocks"]["speed"] / r["memmap"]["speed"] for r in rounds]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{size:4g} GB {columns[0]:>22} {columns[1]:>22} {spread:>22}", flush=True)


if __name__ == "__main__":
    main()
