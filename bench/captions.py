"""Measure time, bytes and memory of the text features of many short captions.

    python bench/captions.py [--captions 20000 200000] [--rounds 5]

Writes an image file that contains only captions, the same ones as short and as dense captions, and a
tiny random text encoder. Then runs `nanogen encode-text` with one thread. Prints a table: processor time
is the median of the rounds, with its range, and memory the largest peak resident set of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import h5py
import numpy as np

from nanogen.config import load_study, stages
from nanogen.config.model_stage import ModelStage
from nanogen.files import label, write_json
from nanogen.models.card import write_card
from nanogen.small_networks.random_networks import write_random_network

WORDS = ("red", "blue", "small", "large", "dog", "house", "river", "boat", "tree", "cloud")
BLOCK = 100_000


def captions(start: int, stop: int) -> list[str]:
    """Short captions, all different."""
    return [f"a {WORDS[i % 10]} {WORDS[i // 10 % 10]} beside number {i}" for i in range(start, stop)]


def write_captions(path: Path, count: int, hash_: str) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update(label("images", 1, hash_, classes='["image"]', split="train", task="t2i"))
        file.attrs["side"] = 1
        file["places"], file["shards"] = np.zeros((count, 3), np.int64), json.dumps([])
        file["labels"] = np.zeros(count, np.int64)
        short = file.create_dataset("captions/short", count, h5py.string_dtype())
        for start in range(0, count, BLOCK):
            stop = min(count, start + BLOCK)
            short[start:stop] = captions(start, stop)
        file["captions/dense"] = file["captions/short"]  # the same dataset


def write_encoder(folder: Path) -> str:
    """Write the stage and a tiny random text encoder; return the hash of the data that they expect."""
    study = load_study("nano", {"models": {"qwen3": {"source": "random"}}})
    text, model = stages.text(study, "t2i", "qwen3"), stages.model(study, "qwen3")
    write_json(folder / "text.json", text)
    (folder / "qwen3").mkdir()
    write_random_network(ModelStage.from_json(model), folder / "qwen3")
    write_card(folder / "qwen3", ModelStage.from_json(model), {}, 0.0)
    return text["expects"]["data"]


def encoded(folder: Path, data: Path, output: Path) -> tuple[float, float]:
    """Encode with one thread; return processor time in seconds, and peak memory in MiB."""
    command = ["-m", "nanogen", "encode-text", "--config", folder / "text.json", "--data", data]
    command += ["--encoder", folder / "qwen3", "--output", output]
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"encode-text ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measured(folder: Path, expected: str, count: int, rounds: int) -> str:
    """The row of a number of captions."""
    data, output = folder / f"{count}.h5", folder / f"{count}-text.h5"
    write_captions(data, count, expected)
    seconds, memory, size = [], 0.0, 0.0
    for _ in range(rounds):
        processor, peak = encoded(folder, data, output)
        seconds, memory = [*seconds, processor], max(memory, peak)
        size = output.stat().st_size / count
        output.unlink()
    time = f"{median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"
    return f"| {count:,} | {time} | {memory:,.0f} MiB | {size:,.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--captions", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("| captions | processor time | memory | bytes per caption on disk |\n|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        expected = write_encoder(Path(name))
        for count in args.captions:
            print(measured(Path(name), expected, count, args.rounds), flush=True)


if __name__ == "__main__":
    main()
