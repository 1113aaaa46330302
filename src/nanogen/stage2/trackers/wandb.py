"""Tracker for Weights & Biases."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError


class WeightsAndBiases:
    """A run in ``folder``, whose ID is the stage's hash, so that it can be resumed.

    Key, project and mode come from the environment (``WANDB_API_KEY``, ``WANDB_PROJECT``,
    ``WANDB_MODE``). Without a key nothing is sent: the run is offline and can be uploaded later with
    ``wandb sync``. Raises UserError if wandb is not installed.
    """

    def __init__(self, folder: Path, stage: TrainStage, start: int):
        try:
            self.wandb = importlib.import_module("wandb")
        except ImportError as error:
            raise UserError(
                "training.trackers names wandb, which is not installed: pip install wandb, or set "
                "training.trackers to [tensorboard]"
            ) from error
        if "WANDB_API_KEY" not in os.environ:
            os.environ.setdefault("WANDB_MODE", "offline")
        self.run = self.wandb.init(
            dir=str(folder),
            project=os.environ.get("WANDB_PROJECT", "nanogen"),
            name=f"{stage.method} on {stage.task}",
            id=stage.hash,
            resume="allow",
            config={key: value for key, value in stage.content.items() if key != "use"},
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        self.run.log({name: self.wandb.Image(image)}, step=step)

    def close(self) -> None:
        self.run.finish()
