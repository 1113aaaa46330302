"""Send a training's curve, its use of the machine, and its evaluations to trackers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from nanogen.config.entries import named
from nanogen.config.trackers import TRACKERS
from nanogen.config.train_stage import TrainStage
from nanogen.files import explained
from nanogen.training.machine import Machine

SHOWN = 64  # images of a grid
GAP = 2  # white pixels between images


class Tracker(Protocol):
    """A tracker, on the main process; the training continues after step ``start``."""

    def __init__(self, folder: Path, stage: TrainStage, start: int): ...

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record the numbers of ``step`` by name, for example ``train/loss``."""
        ...

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Record an image, uint8 (H, W, 3)."""
        ...

    def close(self) -> None: ...


class Tracking:
    """Send the same values to every tracker of a training.

    Args:
        names: the trackers (`nanogen.config.trackers`).
        folder: each tracker writes into a subfolder with its name.
        start: the step after which the training continues.
        machine: measures memory and the use of the device.

    Raises:
        UserError: a tracker is not installed, or its folder cannot be made.
    """

    def __init__(
        self, names: Sequence[str], folder: Path, stage: TrainStage, start: int, machine: Machine
    ):
        self.machine = machine
        self.trackers: list[Tracker] = []
        for name in names:
            place = folder / name
            with explained(place):
                place.mkdir(parents=True, exist_ok=True)
            self.trackers.append(named(TRACKERS[name])(place, stage, start))

    def line(self, line: Mapping[str, float]) -> None:
        """Send a line of the curve, with memory in GB and model FLOPs utilisation (MFU)."""
        values = {key: value for key, value in line.items() if key not in ("step", "seconds")}
        values["memory_gb"] = self.machine.memory_gb
        if (mfu := self.machine.mfu(line["images_per_second"])) is not None:
            values["mfu"] = mfu
        self._scalars("train", int(line["step"]), values)

    def evaluation(self, step: int, values: Mapping[str, float], images: np.ndarray) -> None:
        """Send the scores, and a grid of the first of the scored images, uint8 (N, H, W, 3)."""
        self._scalars("evaluation", step, values)
        for tracker in self.trackers:
            tracker.image(step, "samples", grid(images[:SHOWN]))

    def _scalars(self, group: str, step: int, values: Mapping[str, float]) -> None:
        for tracker in self.trackers:
            tracker.scalars(step, {f"{group}/{name}": value for name, value in values.items()})

    def close(self) -> None:
        for tracker in self.trackers:
            tracker.close()


def grid(images: np.ndarray) -> np.ndarray:
    """Arrange images, uint8 (N, S, S, 3), in a square grid with white gaps, uint8 (H, W, 3)."""
    columns = math.isqrt(len(images) - 1) + 1
    rows, cell = -(-len(images) // columns), images.shape[1] + GAP
    sheet = np.full((rows * cell - GAP, columns * cell - GAP, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = (cell * place for place in divmod(number, columns))
        sheet[top : top + cell - GAP, left : left + cell - GAP] = image
    return sheet
