"""Measure how time and memory grow with size: import, encoding, training, extraction, planning.

    python bench/growth.py [--parts NAME ...] [--rounds 5] [--figure FILE] [--markdown PAGE]

Every size is measured in separate processes, in processor time, which other work on the machine affects
less than wall time. Times are medians of all rounds with their range, and memory is the most of all
rounds. `exponent` is the slope from the previous size to this one on logarithmic scales: 1 is
proportional growth. Several training processes share this machine's cores and exchange gradients by
Gloo; the time is that of the first process.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanogen.training.processes import Processes

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- growth: begin -->", "<!-- growth: end -->"
STEPS = 3  # training steps of a round; the fastest counts
BATCH = 8
WIDTH, TOKENS = 96, 64  # value of one while the other grows
HEAD = 24


@dataclass(frozen=True)
class Measured:
    """A size, processor time in seconds, and peak memory in MiB."""

    size: int
    seconds: float
    mebibytes: float


@dataclass(frozen=True)
class Rounds:
    """What all rounds measured at a size; ``size`` is in the unit of the part."""

    size: int
    seconds: list[float]
    mebibytes: float

    @classmethod
    def of(cls, found: Sequence[Measured]) -> Rounds:
        return cls(found[0].size, [x.seconds for x in found], max(x.mebibytes for x in found))

    @property
    def typical(self) -> float:
        return median(self.seconds)

    @property
    def time(self) -> str:
        return f"{self.typical:.3g} ({min(self.seconds):.3g} to {max(self.seconds):.3g})"


@dataclass(frozen=True)
class Part:
    """What grows, its unit, and the sizes to measure; ``measure`` runs in a separate process."""

    title: str
    unit: str
    steps: Sequence[int]
    measure: Callable[[int], Measured]


def planning(scales: int) -> Measured:
    """Run `snakemake -n all` of the paper's study: all methods and tasks, and a sweep of scales."""
    sweep = {"scales": [round(1 + 0.01 * i, 2) for i in range(scales)], "images": 5000}
    words = ["-m", "snakemake", "--profile", "slurm", "-n", "all"]
    words += ["--configfile", "config/studies/paper.yaml", "--config", f"sweep={json.dumps(sweep)}"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    jobs = re.search(r"^total +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    if not jobs:
        sys.exit((done.stdout + done.stderr)[-3000:])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Measured(int(jobs[1]), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def importing(images: int) -> Measured:
    """Import small images from tar shards with one worker, decoded and copied."""
    from importing import run, stage_file, write_shards

    with tempfile.TemporaryDirectory(prefix="nanogen-bench-") as name:
        folder = Path(name)
        write_shards(folder / "shards", images, images // 1000, side=64)
        ran = run(stage_file(folder, folder / "shards", images, 64, "pixels"), folder / "train.h5", 1)
    return Measured(images, ran.processor_seconds, ran.bytes / 2**20)


def encoding(count: int) -> Measured:
    """Encode short captions with a random text encoder of the small study's size."""
    from captions import encoded, write_captions, write_encoder

    with tempfile.TemporaryDirectory(prefix="nanogen-bench-") as name:
        folder = Path(name)
        write_captions(folder / "data.h5", count, write_encoder(folder))
        seconds, mebibytes = encoded(folder, folder / "data.h5", folder / "text.h5")
    return Measured(count, seconds, mebibytes)


def of_tokens(tokens: int) -> Measured:
    return Measured(tokens, *training_step(tokens, WIDTH))


def of_width(width: int) -> Measured:
    return Measured(width, *training_step(TOKENS, width))


def of_world(world: int) -> Measured:
    """Measure a step of the first of ``world`` processes, in a process that torchrun has started."""
    if "RANK" not in os.environ:
        launched = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
        return inside("world", world, launched)
    from nanogen.training.processes import processes

    with processes() as group:
        measured = Measured(world, *training_step(TOKENS, WIDTH, group))
    if not group.main:
        sys.exit()
    return measured


def training_step(tokens: int, width: int, group: Processes | None = None) -> tuple[float, float]:
    """Processor seconds and MiB of a step: four encoder blocks, one decoder block, all of this width."""
    import torch
    from training_cases import SIZES, Case, Size, Worker

    torch.set_num_threads(1)
    side, heads = math.isqrt(tokens), width // HEAD
    latent = (4, 2 * side, 2 * side)
    SIZES["grown"] = Size((width, 4, heads), (width, 1, heads), latent, 2, BATCH, 8, width)
    worker = Worker(Case("grown"), "ours", torch.device("cpu"), group=group)
    seconds = [worker.measure("")["whole"] for _ in range(STEPS + 1)]
    return min(seconds[1:]), worker.mebibytes()


def extraction(images: int) -> Measured:
    """Extract features of 256 x 256 images with the small Inception; memory excludes the network."""
    from extraction import measured, stage_and_network

    from nanogen.files import write_json

    with tempfile.TemporaryDirectory(prefix="nanogen-bench-") as folder:
        write_json(Path(folder) / "stage.json", stage_and_network(Path(folder)))
        found = measured(Path(folder), images, batch=128)
    return Measured(images, found["processor_seconds"], found["bytes"] / 2**20)


PARTS = {
    "importing": Part("import of tar shards", "images", (4000, 16_000, 64_000), importing),
    "encoding": Part("encoding of captions", "captions", (4000, 8000, 16_000), encoding),
    "tokens": Part(f"training step, width {WIDTH}", "image tokens", (16, 64, 256, 1024), of_tokens),
    "width": Part(f"training step, {TOKENS} image tokens", "width", (96, 192, 384, 768), of_width),
    "world": Part("training step of one process", "processes", (1, 2, 4, 8), of_world),
    "extraction": Part("extraction of features", "images", (500, 1000, 2000), extraction),
    "planning": Part("plan of the paper's study", "jobs", (8, 40, 190), planning),
}


def inside(name: str, step: int, launched: Sequence[str] = ()) -> Measured:
    """Measure one size once in a fresh process, which the module in ``launched`` starts."""
    words = [sys.executable, *launched, __file__, "--inside", name, str(step)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        sys.exit(f"bench/growth.py: {name} of {step} ended with status {done.returncode}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def exponents(found: Sequence[Rounds]) -> list[float | None]:
    """Return the slope from the previous size to each size, None for the first."""
    slopes = [
        math.log(after.typical / before.typical) / math.log(after.size / before.size)
        for before, after in pairwise(found)
    ]
    return [None, *slopes]


def table(results: dict[str, list[Rounds]], load: float) -> str:
    lines = ["| what | size | processor time, s | memory, MiB | exponent |", "|---|---:|---:|---:|---:|"]
    for name, found in results.items():
        part = PARTS[name]
        for one, slope in zip(found, exponents(found), strict=True):
            grown = "" if slope is None else f"{slope:.2f}"
            lines.append(
                f"| {part.title} | {one.size:,} {part.unit} | {one.time} | "
                f"{one.mebibytes:.0f} | {grown} |"
            )
    lines += ["", f"*{datetime.date.today()}, {os.cpu_count()} cores, load {load:.1f} before.*"]
    return "\n".join(lines)


def draw(results: dict[str, list[Rounds]], path: Path) -> None:
    """Plot time by size on logarithmic scales, and memory from zero, with a column per part."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    size = (2.2 * len(results), 4)
    figure, axes = plt.subplots(2, len(results), figsize=size, squeeze=False, layout="constrained")
    for (above, below), (name, found) in zip(axes.T, results.items(), strict=True):
        sizes = [one.size for one in found]
        seconds, memory = [one.typical for one in found], [one.mebibytes for one in found]
        above.loglog(sizes, seconds, marker="o")
        above.set_yticks(seconds, [f"{value:.3g}" for value in seconds])
        below.semilogx(sizes, memory, marker="o")
        below.set_ylim(0, 1.15 * max(memory))
        for panel in (above, below):
            panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
            panel.minorticks_off()
        above.set_title(PARTS[name].title, fontsize=9)
        below.set_xlabel(PARTS[name].unit)
    axes[0, 0].set_ylabel("processor time, s")
    axes[1, 0].set_ylabel("memory, MiB")
    figure.savefig(path)


def write_page(page: Path, content: str) -> None:
    """Put ``content`` between the markers of a page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{page} has no place for the table: add the lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{content}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5, help="of each size (default: 5)")
    parser.add_argument("--most", type=int, help="sizes of each part, the smallest first")
    parser.add_argument("--figure", type=Path, help="draw the results, as PNG, SVG or PDF")
    parser.add_argument("--markdown", type=Path, help="write the table between this page's markers")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        name, step = args.inside
        print(json.dumps(asdict(PARTS[name].measure(int(step)))), flush=True)
        return
    load, results = os.getloadavg()[0], {}
    for name in args.parts:
        steps = PARTS[name].steps[: args.most]
        results[name] = [Rounds.of([inside(name, step) for _ in range(args.rounds)]) for step in steps]
        for one in results[name]:
            numbers = f"{one.time} s, {one.mebibytes:.0f} MiB"
            print(f"{PARTS[name].title}: {one.size} {PARTS[name].unit}, {numbers}", flush=True)
    found = table(results, load)
    print(found)
    if args.markdown:
        write_page(args.markdown, found)
    if args.figure:
        draw(results, args.figure)


if __name__ == "__main__":
    main()
