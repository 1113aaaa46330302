"""The training loop of tokenizers. It knows neither their kinds nor the terms of their loss."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from nanogen.files import atomic_folder
from nanogen.models.card import write_card
from nanogen.stage1.assembly import Trainee, loss_of, trainee_of
from nanogen.stage1.batches import Batch
from nanogen.stage1.phases import Phases
from nanogen.stage1.quality import reconstruction_quality
from nanogen.tokenizers.base import Tokenizer
from nanogen.training import checkpoint
from nanogen.training.ema import EMA
from nanogen.training.execution import Saving
from nanogen.training.log import TrainingLog
from nanogen.training.optimizer import adamw
from nanogen.training.processes import Processes
from nanogen.training.sharding import parallel
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
        optimizer = adamw(self.network, self.keys["betas"], self.keys["weight_decay"])
        self.learned = checkpoint.Learned(self.network, optimizer, EMA(self.network, keys["ema"]))
        bf16 = keys["precision"] == "bf16"
        self.autocast = torch.autocast(group.device.type, torch.bfloat16, enabled=bf16)

    def restore(self, state: Path, hash_: str) -> int:
        """Continue from the newest checkpoint in ``state``; returns its step, 0 without one."""
        start, tensors = checkpoint.newest(state, hash_)
        if start:
            self.load(tensors)
        return start

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what `state` gave."""
        self.learned.load(checkpoint.below("tokenizer", tensors))
        self.loss.load(tensors)

    def state(self) -> dict[str, Tensor]:
        """Everything that a step changes, by name."""
        return checkpoint.under("tokenizer", self.learned.state()) | self.loss.state()

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

    def quality(self, tokenizer: Tokenizer, val: np.ndarray) -> dict[str, float]:
        """Numbers of the finished tokenizer on held-out images."""
        return reconstruction_quality(tokenizer, val)


class Steps(Protocol):
    """Batches by step."""

    def prefetched(self, start: int, stop: int, device: torch.device) -> Iterator[Any]:
        """Those of the steps after ``start``, to ``stop``."""
        ...


def train_tokenizer(
    stage: Mapping[str, Any],
    learner: Learner,
    batches: Steps,
    val: np.ndarray,
    *,
    state: Path,
    output: Path,
    group: Processes,
    saving: Saving,
) -> None:
    """Train the tokenizer of a stage `model` from its newest checkpoint in ``state`` to the end.

    ``val`` is uint8 (N, H, W, 3), held out. ``output`` becomes the tokenizer's folder, of averaged
    weights, with its nanogen.json and train.jsonl. Raises Interrupted after a signal or when the
    deadline is near, with the state saved.
    """
    began = time.monotonic()
    steps, start = learner.phases.steps, learner.restore(state, stage["hash"])
    curve = _curve(stage, state, start, steps, saving.log_every) if group.main else None
    stop = StopRequest(saving.deadline)
    for step, batch in enumerate(batches.prefetched(start, steps, group.device), start + 1):
        measured = learner.step(step, batch)
        if curve:
            curve.step(step, **measured)
        # Stop only where a line of the curve was written: the resumed curve is then the same.
        code = group.largest(stop.code()) if step % saving.log_every == 0 and step < steps else 0
        if curve and (code or step % saving.checkpoint_every == 0):
            curve.check(step)
            checkpoint.save(state, stage["hash"], step, learner.state())
        if code:
            group.barrier()  # the first that ends may end the others, and one of them is saving
            raise Interrupted(step, steps, code)
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
        quality = learner.quality(OnDevice(tokenizer, learner.group.device), val)
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


class OnDevice(Tokenizer):
    """Takes and gives tensors of the CPU, while ``inner`` works on its ``device``."""

    def __init__(self, inner: Tokenizer, device: torch.device):
        super().__init__()
        self.inner, self.device, self.latent_shape = inner, device, inner.latent_shape

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return self.inner.encode(images.to(self.device)).cpu()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return self.inner.decode(latents.to(self.device)).cpu()
