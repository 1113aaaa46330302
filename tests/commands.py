"""Command lines that several tests give to `nanogen`."""

from __future__ import annotations

from pathlib import Path

from nanogen.files import write_json


def train(folder: Path, stage: dict, images: Path, log_every: int) -> list[str]:
    """The words of `nanogen train` of the stage: files below ``folder``, no checkpoint on the way."""
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
