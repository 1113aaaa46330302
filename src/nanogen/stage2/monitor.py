"""Record a training while it runs: its curve, snapshots of the averaged weights, and evaluations."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from nanogen.config.cost import training_flops
from nanogen.config.train_stage import TrainStage
from nanogen.stage2.evaluation import Online
from nanogen.stage2.learner import Learner
from nanogen.stage2.snapshots import Snapshots
from nanogen.stage2.tracking import Tracking
from nanogen.training import checkpoint
from nanogen.training.execution import Execution
from nanogen.training.log import TrainingLog
from nanogen.training.machine import Machine
from nanogen.training.processes import Processes

log = logging.getLogger(__name__)


class Monitor:
    """Record a training step by step. Every process has an instance; only the main one writes.

    Args:
        online: evaluates the averaged weights during training; None for no evaluation.
    """

    def __init__(
        self,
        stage: TrainStage,
        state: Path,
        group: Processes,
        execution: Execution,
        online: Online | None,
    ):
        self.stage, self.state, self.group, self.execution = stage, state, group, execution
        self.log_every, self.online = execution.log_every, online
        keep = execution.snapshots
        self.snapshots = None if keep is None else Snapshots(keep, state, stage.hash, group)
        self.machine = Machine.of(group.device, group.world, training_flops(stage))
        self.curve: TrainingLog | None = None
        self.tracking: Tracking | None = None
        self.logs = [state / "train.jsonl", *([state / "online.jsonl"] if online else [])]

    def begin(self, start: int, learner: Learner) -> None:
        """Continue after step ``start``; raises UserError if a requested snapshot was not kept."""
        if self.group.main and self.execution.tracking:
            self._track(self.execution.tracking, start)
        if self.online:
            self.online.begin(self.logs[1], start, learner.average())
        if self.snapshots:
            self.snapshots.begin(start)
        if self.group.main:
            self.curve = self._curve(start)

    def _track(self, folder: Path, start: int) -> None:
        self.tracking = Tracking(self.execution.trackers, folder, self.stage, start, self.machine)
        if self.online:
            self.online.listen = self.tracking.evaluation

    def _curve(self, start: int) -> TrainingLog:
        stage, training = self.stage, self.stage.training
        if start:
            log.info("continuing %s on %s after step %d", stage.method, stage.task, start)
        checkpoint.truncate_log(self.logs[0], start)
        name, steps = f"{stage.method} on {stage.task}", training.steps
        batch = training.batch_size
        curve = TrainingLog(self.logs[0], name, start, steps, self.log_every, batch, self.machine)
        curve.resume(checkpoint.interval(self.state, start))
        if self.tracking:
            curve.listen = self.tracking.line
        return curve

    def step(self, step: int, measured: dict[str, Any], learner: Learner) -> None:
        """Record the measurements of a step, and keep the averaged weights if a snapshot is due."""
        if self.curve:
            self.curve.step(step, **measured)
        if self.snapshots:
            self.snapshots(step, learner.ema.state())

    def check(self, step: int) -> None:
        """Raise UserError if a number recorded since the last line is not finite."""
        if self.curve:
            self.curve.check(step)

    def interval(self, step: int) -> dict[str, Any]:
        """Return the open interval of the curve, for the checkpoint after ``step``.

        Raises UserError as `check` does. Empty on all processes but the main one.
        """
        return self.curve.interval(step) if self.curve else {}

    def evaluate(self, step: int, learner: Learner) -> None:
        """Evaluate the averaged weights if it is due; the time does not count as training time."""
        if not self.online or not self.online.due(step):
            return
        self.check(step)  # also waits for the device, whose pending steps are training time
        with self.curve.paused() if self.curve else nullcontext():
            self.online(step, learner.average())

    def close(self) -> None:
        if self.curve:
            self.curve.close()
        if self.tracking:
            self.tracking.close()
