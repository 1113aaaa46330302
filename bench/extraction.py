"""Measure the peak memory of feature extraction by the number of images; extrapolate to 50,000.

    python bench/extraction.py [--images 1000 5000] [--batch-size 128]

Each size is a sample set of random 256 x 256 images. A separate process extracts their features with
the nano study's small Inception with random weights. Memory is counted after the network is loaded.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nanogen.config import load_study, stages
from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.config.section import read
from nanogen.data import hdf5
from nanogen.files import label, read_json, write_json

SIDE = 256
CHUNK = 100
PAPER = 50_000
BAR = 3e9  # bytes beyond the networks
EXTRACTOR = "inception"


def stage_and_network(folder: Path) -> dict[str, Any]:
    """Write a random network into ``folder``, and return the stage that extracts its features."""
    from nanogen.models.card import write_card
    from nanogen.small_networks.random_networks import write_random_network

    changes = {
        "evaluation": {"extractors": [EXTRACTOR], "classifier": None},
        "models": {EXTRACTOR: {"source": "random"}},
    }
    study = load_study("nano", changes)
    stage = ModelStage.from_json(stages.model(study, EXTRACTOR))
    (folder / EXTRACTOR).mkdir()
    write_random_network(replace(stage, resolution=SIDE), folder / EXTRACTOR)
    write_card(folder / EXTRACTOR, stage, {}, 0.0)
    return stages.features(study, study.methods[0], "cfg")


def write_samples(path: Path, hash_: str, count: int) -> None:
    """A sample set of ``count`` random images, uint8 (count, 256, 256, 3)."""
    rng = np.random.default_rng(count)
    header = label("samples", 1, hash_, method="random", task="imagenet", variant="cfg")
    with hdf5.create(path, header) as file:
        images = file.create_dataset("images", (count, SIDE, SIDE, 3), np.uint8)
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            images[start : start + size] = rng.integers(0, 256, (size, SIDE, SIDE, 3), np.uint8)


def memory(key: str) -> int:
    """Resident (VmRSS) or peak resident (VmHWM) bytes of this process, as Linux counts them.

    getrusage is not suitable: its peak starts at that of the process that started this one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def extract(folder: Path, batch: int) -> None:
    """Extract the features in this process, and write its memory and time to result.json."""
    from nanogen.metrics.extractors import load_extractor
    from nanogen.metrics.feature_files import write_features

    stage = read_json(folder / "stage.json")
    extractor = load_extractor(folder / EXTRACTOR, read(Model, stage["extractors"][0]))
    before, started, used = memory("VmRSS"), time.perf_counter(), time.process_time()
    del extractor
    folders = {EXTRACTOR: folder / EXTRACTOR}
    write_features(stage, folder / "samples.h5", folders, folder / "features.h5", batch)
    result = {
        "bytes": memory("VmHWM") - before,
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - used,
    }
    write_json(folder / "result.json", result)


def measured(folder: Path, count: int, batch: int) -> dict[str, float]:
    write_samples(folder / "samples.h5", read_json(folder / "stage.json")["expects"]["samples"], count)
    own = ["--inside", str(folder), "--batch-size", str(batch)]
    subprocess.run([sys.executable, __file__, *own], check=True, stderr=subprocess.DEVNULL)
    return read_json(folder / "result.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs=2, default=(1000, 5000), metavar="N")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        extract(args.inside, args.batch_size)
        return
    few, many = args.images
    with tempfile.TemporaryDirectory(prefix="nanogen-bench-") as folder:
        write_json(Path(folder) / "stage.json", stage_and_network(Path(folder)))
        results = {count: measured(Path(folder), count, args.batch_size) for count in (few, many)}
    print("| images | peak beyond the network, MiB | seconds |\n|---:|---:|---:|")
    for count, result in results.items():
        print(f"| {count} | {result['bytes'] / 2**20:.0f} | {result['seconds']:.1f} |")
    slope = (results[many]["bytes"] - results[few]["bytes"]) / (many - few)
    paper = results[many]["bytes"] + max(slope, 0) * (PAPER - many)
    print(f"per image: {slope / 1024:.2f} KiB (an image itself: {SIDE * SIDE * 3 / 1024:.0f} KiB)")
    print(f"{PAPER} images by this line: {paper / 2**30:.2f} GiB; the bar is {BAR / 1e9:.0f} GB")


if __name__ == "__main__":
    main()
