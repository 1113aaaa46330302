"""Measure the import of tar shards: speed with one worker and with all cores, kills, memory.

    python bench/importing.py [--images 200000] [--shards 100] [--kills 10] [--store places pixels]

Generates shards of small images with captions, then runs `nanogen make-data` on them: with one worker,
with one worker per core, and with one per core while it is killed at random moments (by SIGKILL; its
workers end by themselves) until it finishes. All must write the same bytes. Times are medians of all
rounds with their range. Memory is the peak of the command and its workers together (proportional set
size, sampled, without the page cache).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from nanogen.data.part_workers import cores

BAR = 1.8  # times the speed of one worker, on two cores
BYTES = 2e9
PICTURES = 64  # different images, which the shards repeat


def picture(rng: np.random.Generator, side: int) -> bytes:
    """A JPEG that is as hard to decode as a photograph: smooth areas and noise."""
    coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC), float)
    noisy = smooth + rng.normal(0, 12, smooth.shape)
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_shards(root: Path, images: int, shards: int, side: int) -> None:
    rng = np.random.default_rng(0)
    pictures = [picture(rng, side) for _ in range(PICTURES)]
    for split, count in (("train", shards), ("val", 1)):
        (root / split).mkdir(parents=True)
        for k in range(count):
            first, last = (images * place // shards for place in (k, k + 1))
            with tarfile.open(root / split / f"{k:05d}.tar", "w") as tar:
                for i in range(first, last):
                    caption = f"picture {i} of a scene with several objects".encode()
                    for suffix, content in (("jpg", pictures[i % PICTURES]), ("txt", caption)):
                        info = tarfile.TarInfo(f"{i:09d}.{suffix}")
                        info.size = len(content)
                        tar.addfile(info, io.BytesIO(content))


def stage_file(folder: Path, root: Path, images: int, side: int, store: str) -> Path:
    data = {"name": "t2i", "source": "webdataset", "scene": "single", "resolution": side}
    data |= {"root": str(root), "train_images": images, "val_images": images, "unreadable": "refuse"}
    data |= {"caption_template": "", "store": store}
    path = folder / f"{store}.json"
    stage = {"stage": "data", "hash": "bench", "seed": 0, "split": "train", "data": data}
    path.write_text(json.dumps(stage))
    return path


@dataclass
class Ran:
    """Time and memory of one run of the command; ``killed`` if it did not end by itself."""

    seconds: float
    bytes: float
    processor_seconds: float
    killed: bool


def family(pid: int) -> list[int]:
    """Ids of a process and its descendants."""
    found = [pid]
    for each in found:
        try:
            children = Path(f"/proc/{each}/task/{each}/children").read_text()
        except OSError:
            continue
        found += map(int, children.split())
    return found


def held(pid: int) -> float:
    """Proportional set size of a process in bytes: shared memory is divided among its users."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def finished_parts(output: Path) -> int:
    return sum(1 for _ in output.with_name(f".{output.name}.parts").glob("*.h5"))


def run(stage: Path, output: Path, workers: int, kill: tuple[int, float] | None = None) -> Ran:
    """Run the command. ``kill`` is (parts, seconds): kill it so long after so many finished parts."""
    command = [sys.executable, "-m", "nanogen", "make-data", "--config", str(stage)]
    command += ["--output", str(output), "--workers", str(workers)]
    started, most, moment = time.perf_counter(), 0.0, None
    before = os.times()
    process = subprocess.Popen(command)
    while process.poll() is None:
        most = max(most, sum(map(held, family(process.pid))))
        if kill and moment is None and finished_parts(output) >= kill[0]:
            moment = time.perf_counter() + kill[1]
        if moment is not None and time.perf_counter() > moment:
            workers_of_it = family(process.pid)[1:]
            process.send_signal(signal.SIGKILL)
            process.wait()
            wait_for_end(workers_of_it)
        time.sleep(0.1)
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Ran(time.perf_counter() - started, most, used, process.returncode != 0)


def wait_for_end(processes: list[int], seconds: float = 10) -> None:
    """Wait until the workers of a killed import have ended; raise SystemExit if one does not."""
    limit = time.monotonic() + seconds
    while left := [pid for pid in processes if Path(f"/proc/{pid}").exists()]:
        if time.monotonic() > limit:
            raise SystemExit(f"processes {left} outlived the import that was killed")
        time.sleep(0.05)


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def killed(stage: Path, output: Path, args: argparse.Namespace) -> tuple[int, float]:
    """Return how often the import was killed before it finished, and the seconds of all starts.

    The kills are spread over the whole import, however fast the machine is.
    """
    draw, seconds, count = random.Random(0), 0.0, 0
    for parts in sorted(draw.randrange(args.shards) for _ in range(args.kills)):
        ran = run(stage, output, cores(), (parts, draw.uniform(0, 1)))
        seconds, count = seconds + ran.seconds, count + ran.killed
        if not ran.killed:
            return count, seconds
    return count, seconds + run(stage, output, cores()).seconds


def ranged(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def measure(folder: Path, args: argparse.Namespace, store: str) -> None:
    stage = stage_file(folder, folder / "shards", args.images, args.side, store)
    ways = {"one worker": 1, f"{cores()} workers": cores()}
    times, sums = {}, {}
    for name, workers in ways.items():
        output = folder / f"{workers}.h5"
        runs = [run(stage, output, workers) for _ in range(args.rounds)]
        times[name], sums[name] = [r.seconds for r in runs], digest(output)
        typical, most = median(times[name]), max(r.bytes for r in runs)
        used = median(r.processor_seconds for r in runs)
        print(
            f"{store:>7} {name:>12} {ranged(times[name])} s {args.images / typical:9.0f} images/s "
            f"{used:8.1f} s of processor time {most / 2**20:7.0f} MiB"
        )
        output.unlink()
    ratios = [one / all_ for one, all_ in zip(*times.values(), strict=True)]
    print(f"{store:>7} {'speed':>12} {ranged(ratios)} times one worker (bar {BAR} on two cores)")
    output = folder / "killed.h5"
    count, seconds = killed(stage, output, args)
    sums["killed"] = digest(output)
    same = "the same bytes" if len(set(sums.values())) == 1 else f"OTHER BYTES: {sums}"
    print(f"{store:>7} {'killed':>12} {count} times, {seconds:.1f} s in all: {same}")
    output.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--side", type=int, default=64, help="of the images, in pixels")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5, help="of each (default: 5)")
    parser.add_argument("--store", nargs="+", choices=["places", "pixels"], default=["places", "pixels"])
    parser.add_argument("--folder", help="where shards are written; default: the temporary folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        started = time.perf_counter()
        write_shards(Path(name) / "shards", args.images, args.shards, args.side)
        size = sum(path.stat().st_size for path in Path(name).rglob("*.tar"))
        print(f"{args.images} images in {args.shards} shards, {size / 1e9:.2f} GB, ", end="")
        print(f"generated in {time.perf_counter() - started:.0f} s; memory's bar {BYTES / 1e9:.0f} GB")
        for store in args.store:
            measure(Path(name), args, store)


if __name__ == "__main__":
    main()
