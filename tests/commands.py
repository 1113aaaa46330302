"""`nanogen` command lines that several tests run."""

from __future__ import annotations

from pathlib import Path

from nanogen.files import write_json


def train(folder: Path, stage: dict, images: Path, log_every: int) -> list[str]:
    """Return arguments of `nanogen train`: all files below ``folder``, no interim checkpoints."""
    folder.mkdir(exist_ok=True)
    write_json(folder / "train.json", stage)
    options = {
        "--config": folder / "train.json",
        "--data": images,
        "--state": folder / "state",
        "--output": folder / "model",
        "--checkpoint-every": 1000,
        "--log-every": log_every,
    }
    return ["train", *(str(word) for pair in options.items() for word in pair)]
