"""The training loop of tokenizers. It is independent of their kinds and of the terms of their loss."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from nanogen.config.model_stage import ModelStage
from nanogen.files import atomic_folder
from nanogen.models.card import write_card
from nanogen.stage1.learner import Learner, OnDevice
from nanogen.stage1.selection import Labelled
from nanogen.training import checkpoint
from nanogen.training.execution import Saving
from nanogen.training.log import TrainingLog
from nanogen.training.machine import Machine
from nanogen.training.processes import Processes
from nanogen.training.stopping import Interrupted, StopRequest

log = logging.getLogger(__name__)
Learned = TypeVar("Learned")
Seen = TypeVar("Seen", covariant=True)


class Steps(Protocol[Seen]):
    """Batches by step."""

    def prefetched(self, start: int, stop: int, device: torch.device) -> Iterator[Seen]:
        """Yield the batches of steps ``start`` + 1 to ``stop``."""
        ...


def train_tokenizer(
    stage: ModelStage,
    learner: Learner[Learned],
    batches: Steps[Learned],
    val: Labelled,
    *,
    state: Path,
    output: Path,
    group: Processes,
    saving: Saving,
) -> None:
    """Train the tokenizer of a ``model`` stage from its newest checkpoint to the end.

    Args:
        val: held-out images.
        state: the folder of checkpoints and the curve.
        output: the tokenizer folder to write: averaged weights, nanogen.json and train.jsonl.
        saving: when to save, log and end.

    Raises:
        Interrupted: a signal arrived or the deadline is near; the state was saved.
        UserError: a checkpoint belongs to another configuration, or a loss is not finite.
    """
    began = time.monotonic()
    steps, start = learner.phases.steps, learner.restore(state, stage.hash)
    curve = _curve(stage, state, group, start, steps, saving.log_every) if group.main else None
    stop = StopRequest(saving.deadline)
    for step, batch in enumerate(batches.prefetched(start, steps, group.device), start + 1):
        measured = learner.step(step, batch)
        if curve:
            curve.step(step, **measured)
        # Stop only after writing a line of the curve: to agree on it takes a communication.
        code = group.largest(stop.code()) if step % saving.log_every == 0 and step < steps else 0
        if curve and (code or step % saving.checkpoint_every == 0):
            interval = curve.interval(step)
            checkpoint.save(state, stage.hash, step, learner.state(), interval)
        if code:
            group.barrier()  # the first process to end may end the others while one of them is saving
            raise Interrupted(step, steps, code)
    if curve:
        curve.close()
    learner.finish()
    if curve:
        _write(stage, output, learner, val, curve.path, began)
    group.barrier()


def _write(
    stage: ModelStage,
    output: Path,
    learner: Learner[Learned],
    val: Labelled,
    curve: Path,
    began: float,
) -> None:
    """Write the folder of the finished tokenizer; ``began`` is the start of the training."""
    with atomic_folder(output) as folder:
        tokenizer = learner.trainee.save(folder)
        quality = learner.quality(OnDevice(tokenizer, learner.group.device), val)
        write_card(folder, stage, quality, time.monotonic() - began)
        (folder / curve.name).write_text(curve.read_text())
    numbers = ", ".join(f"{key} {value:.4g}" for key, value in quality.items())
    log.info("%s: %s (%.0f s)", stage.model.name, numbers, time.monotonic() - began)


def _curve(
    stage: ModelStage, state: Path, group: Processes, start: int, steps: int, log_every: int
) -> TrainingLog:
    """Return the training log, continued after step ``start``."""
    model = stage.model
    if start:
        log.info("continuing %s after step %d", model.name, start)
    file = state / "train.jsonl"
    checkpoint.truncate_log(file, start)
    rate = f"stage1.optimizer.learning_rate in config/models/{model.name}.yaml"
    size = stage.tokenizer_training.batch_size
    machine = Machine.of(group.device, group.world)
    curve = TrainingLog(file, model.name, start, steps, log_every, size, machine, rate)
    curve.resume(checkpoint.interval(state, start))
    return curve
