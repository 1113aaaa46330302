"""Trainings of backbones in one process, in the test's own folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nanogen.config.train_stage import TrainStage
from nanogen.stage2.dataset import TrainingData
from nanogen.stage2.evaluation import Online
from nanogen.stage2.loop import train
from nanogen.training import checkpoint
from nanogen.training.execution import Execution
from nanogen.training.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))


class Stopping(TrainingData):
    """Training data that sends SIGTERM to its process while batch ``at`` is read."""

    at = -1
    reads = 0

    def load(self, rows, draws):
        if self.reads == self.at:
            os.kill(os.getpid(), signal.SIGTERM)
        self.reads += 1
        return super().load(rows, draws)


def train_in(
    folder: Path,
    stage: Mapping[str, Any],
    source: TrainingData,
    *,
    every: int = 4,
    log_every: int = 2,
    networks: Mapping[str, nn.Module] | None = None,
    online: Online | None = None,
    initial: Path | None = None,
    **execution: Any,
) -> Path:
    """Train ``stage``, given as JSON, in ``folder`` and return the model's folder.

    A checkpoint is saved every ``every`` steps. ``execution`` are further keys of
    `nanogen.training.execution.Execution`.
    """
    state, model = folder / "state", folder / "model"
    with checkpoint.locked(state):
        train(
            TrainStage.from_json(stage),
            source,
            state=state,
            output=model,
            group=ALONE,
            execution=Execution(checkpoint_every=every, log_every=log_every, **execution),
            networks=networks,
            online=online,
            initial=initial,
        )
    return model
