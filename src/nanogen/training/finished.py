"""The folder of a finished training: the model that is sampled from, its curve and its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from nanogen.backbones import save
from nanogen.files import atomic_folder, label, write_json
from nanogen.training.learner import Learner
from nanogen.training.watch import Watch


def write(
    stage: dict[str, Any], output: Path, learner: Learner, average: dict[str, Tensor], watch: Watch
) -> None:
    """Write the folder ``output``, of the averaged weights; the main process does."""
    curve = watch.logs[0].read_text()
    with atomic_folder(output) as folder:
        save(folder, learner.model, average)
        if watch.kept:
            watch.kept.write(folder)
        for file in watch.logs:
            (folder / file.name).write_text(file.read_text())
        write_json(folder / "stage.json", stage)
        parameters = sum(p.numel() for p in learner.model.parameters())
        card = label("model", 1, stage["hash"], name=stage["method"], kind="backbone")
        quality = {"parameters": parameters, **_totals(curve)}
        write_json(folder / "nanogen.json", {**card, "quality": quality})


def _totals(curve: str) -> dict[str, float]:
    lines = [json.loads(line) for line in curve.splitlines()]
    seconds = sum(line["seconds"] for line in lines)
    images = sum(line["seconds"] * line["images_per_second"] for line in lines)
    return {
        "loss": lines[-1]["loss"],
        "seconds": round(seconds, 1),
        "images_per_second": round(images / max(seconds, 1e-9), 1),
    }
