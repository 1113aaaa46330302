"""The training loop of tokenizers. It knows neither their kinds nor the terms of their loss."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from nanogen.files import atomic_folder
from nanogen.models.card import write_card
from nanogen.models.quality import reconstruction_quality
from nanogen.stage1.assembly import Trainee, loss_of, trainee_of
from nanogen.stage1.batches import Batch, Batches
from nanogen.stage1.on_device import OnDevice
from nanogen.stage1.phases import Phases
from nanogen.training import checkpoint
from nanogen.training.distributed import Processes, parallel
from nanogen.training.ema import EMA
from nanogen.training.log import TrainingLog
from nanogen.training.stopping import Interrupted, StopRequest

log = logging.getLogger(__name__)


class Learner:
    """What a step changes: the tokenizer, its average and optimizer, and the loss's adversary."""

    def __init__(
        self,
        stage: Mapping[str, Any],
        images: np.ndarray,
        folders: Mapping[str, Path],
        group: Processes,
    ):
        keys = stage["model"]["stage1"]
        self.keys, self.group, self.phases = keys["optimizer"], group, Phases.of(keys, len(images))
        self.trainee: Trainee = trainee_of(stage, images, folders, group)
        self.network = self.trainee.learned
        self.wrapped = parallel(
            self.network, group
        )  # before the average, which it makes equal everywhere
        self.loss = loss_of(stage, self.phases, folders, self.trainee.terms, group)
        self.trained = [p for p in self.network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            self.trained,
            betas=tuple(self.keys["betas"]),
            weight_decay=self.keys["weight_decay"],
            fused=True,
        )
        self.learned = checkpoint.Learned(self.network, optimizer, EMA(self.network, keys["ema"]))
        bf16 = keys["precision"] == "bf16"
        self.autocast = torch.autocast(group.device.type, torch.bfloat16, enabled=bf16)

    def restore(self, state: Path, hash_: str) -> int:
        """Continue from the newest checkpoint in ``state``; returns its step, 0 without one."""
        start, tensors = checkpoint.newest(state, hash_)
        if start:
            self.learned.load(checkpoint.below("tokenizer", tensors))
            self.loss.load(tensors)
        return start

    def save(self, state: Path, hash_: str, step: int) -> None:
        tensors = checkpoint.under("tokenizer", self.learned.state()) | self.loss.state()
        checkpoint.save(state, hash_, step, tensors)

    def step(self, step: int, batch: Batch) -> dict[str, Any]:
        """Learn from one batch; the named losses of the global batch, gradient norm, learning rate."""
        rate, optimizer = self.phases.rate(step), self.learned.optimizer
        for parameters in optimizer.param_groups:
            parameters["lr"] = rate
        with self.autocast:
            made = self.trainee.reconstructed(self.wrapped, batch)
            losses, judged = self.loss(made, step, batch.augment, self.trainee.last)
        losses["loss"].backward()
        norm = clip_grad_norm_(self.trained, self.keys["clip"])
        optimizer.step()
        optimizer.zero_grad()
        self.learned.ema.update(step)
        means = {name: self.group.mean(value) for name, value in losses.items()}
        with self.autocast:
            learned = self.loss.learn(judged, step)
        return {**means, **learned, "grad_norm": norm, "learning_rate": rate}


def train_tokenizer(
    stage: Mapping[str, Any],
    images: np.ndarray,
    val: np.ndarray,
    folders: Mapping[str, Path],
    state: Path,
    output: Path,
    group: Processes,
    checkpoint_every: int,
    log_every: int,
) -> None:
    """Train the tokenizer of a stage `model` from its newest checkpoint in ``state`` to the end.

    ``images`` and ``val`` are uint8 (N, H, W, 3); ``folders`` its frozen networks by role
    (`network_folders`). ``output`` becomes the tokenizer's folder, of averaged weights, with its
    nanogen.json and train.jsonl. Raises Interrupted after a signal, with the state saved.
    """
    began = time.monotonic()
    learner = Learner(stage, images, folders, group)
    steps, start = learner.phases.steps, learner.restore(state, stage["hash"])
    curve = _curve(stage, state, start, steps, log_every) if group.main else None
    batches = Batches(images, stage, learner.trainee.noise, group)
    stop = StopRequest()
    for step, batch in enumerate(batches.prefetched(start, steps, group.device), start + 1):
        measured = learner.step(step, batch)
        if curve:
            curve.step(step, **measured)
        # Stop only where a line of the curve was written: the resumed curve is then the same.
        stopping = step % log_every == 0 and step < steps and group.any(stop.asked)
        if curve and (stopping or step % checkpoint_every == 0):
            curve.check(step)
            learner.save(state, stage["hash"], step)
        if stopping:
            raise Interrupted(f"stopped after step {step} of {steps}; the same command continues")
    if curve:
        curve.close()
        _write(stage, output, learner, val, curve.path, began)
    group.barrier()


def _write(
    stage: Mapping[str, Any],
    output: Path,
    learner: Learner,
    val: np.ndarray,
    curve: Path,
    began: float,
) -> None:
    """The finished tokenizer's folder, of averaged weights; ``began`` is when the training did."""
    learner.network.load_state_dict(learner.learned.ema.state(), strict=False)
    with atomic_folder(output) as folder:
        tokenizer = learner.trainee.save(folder)
        quality = reconstruction_quality(OnDevice(tokenizer, learner.group.device), val)
        write_card(folder, stage, quality, time.monotonic() - began)
        (folder / curve.name).write_text(curve.read_text())
    numbers = ", ".join(f"{key} {value:.4g}" for key, value in quality.items())
    log.info("%s: %s (%.0f s)", stage["model"]["name"], numbers, time.monotonic() - began)


def _curve(stage: Mapping[str, Any], state: Path, start: int, steps: int, log_every: int) -> TrainingLog:
    """The training log, continued after step ``start``."""
    model = stage["model"]
    if start:
        log.info("continuing %s after step %d", model["name"], start)
    file = state / "train.jsonl"
    checkpoint.truncate_log(file, start)
    rate = f"stage1.optimizer.learning_rate in config/models/{model['name']}.yaml"
    size = model["stage1"]["batch_size"]
    return TrainingLog(file, model["name"], start, steps, log_every, size, rate)
