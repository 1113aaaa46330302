"""The state that a step of a tokenizer's training updates.

It is independent of the kinds of tokenizers and of the terms of their loss.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from nanogen.config.model_stage import ModelStage
from nanogen.stage1.assembly import Trainee, loss_of, trainee_of
from nanogen.stage1.batches import Batch
from nanogen.stage1.phases import Phases
from nanogen.stage1.quality import reconstruction_quality
from nanogen.stage1.selection import Labelled, images_of_classes
from nanogen.tokenizers.base import Tokenizer
from nanogen.training import checkpoint
from nanogen.training.ema import EMA
from nanogen.training.optimizer import adamw
from nanogen.training.processes import Processes
from nanogen.training.sharding import parallel

# Held-out images whose reconstructions are measured: the main process measures them while the others
# wait for it.
MEASURED = 2000
Seen = TypeVar("Seen")


class Learner(ABC, Generic[Seen]):
    """A tokenizer, its averaged weights, its optimizer, and the adversary of its loss.

    ``Seen`` is the type of a batch.
    """

    def __init__(
        self,
        stage: ModelStage,
        train: Labelled,
        folders: Mapping[str, Path],
        group: Processes,
    ):
        keys = stage.tokenizer_training
        self.keys, self.group, self.phases = keys.optimizer, group, Phases.of(keys, len(train.labels))
        self.trainee: Trainee = trainee_of(stage, train, folders, group)
        self.network = self.trainee.learned
        # before the EMA is created: this makes the weights equal on all processes
        self.wrapped = parallel(self.network, group)
        self.loss = loss_of(stage, self.phases, folders, self.trainee.terms, group)
        self.trained = [p for p in self.network.parameters() if p.requires_grad]
        optimizer = adamw(self.network, self.keys.betas, self.keys.weight_decay, eps=self.keys.eps)
        self.average = EMA(self.network, keys.ema)
        self.learned = checkpoint.Learned(self.network, optimizer, self.average)
        bf16 = keys.precision == "bf16"
        self.autocast = torch.autocast(group.device.type, torch.bfloat16, enabled=bf16)

    def restore(self, state: Path, hash_: str) -> int:
        """Load the newest checkpoint in ``state``; returns its step, or 0 if there is none.

        Raises UserError as `nanogen.training.checkpoint.newest` does.
        """
        start, tensors = checkpoint.newest(state, hash_, self.group)
        if start:
            self.load(tensors)
        return start

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Load what `state` returned."""
        self.learned.load(checkpoint.below("tokenizer", tensors))
        self.loss.load(tensors)

    def state(self) -> dict[str, Tensor]:
        """Return everything that a step changes, by name."""
        return checkpoint.under("tokenizer", self.learned.state()) | self.loss.state()

    @abstractmethod
    def step(self, step: int, batch: Seen) -> dict[str, Any]:
        """Train on one batch.

        Returns the named losses of the global batch, the gradient norm and the learning rate.
        """

    def finish(self) -> None:
        """Take the averaged weights, and measure what is saved with them. All processes call it."""
        self.network.load_state_dict(self.average.state(), strict=False)
        self.trainee.measure()

    def quality(self, tokenizer: OnDevice, val: Labelled) -> dict[str, float]:
        """Return the quality of the finished tokenizer on at most `MEASURED` held-out images."""
        return reconstruction_quality(tokenizer, images_of_classes(val, MEASURED))


class TokenizerLearner(Learner[Batch]):
    """Train a tokenizer without a backbone."""

    def step(self, step: int, batch: Batch) -> dict[str, Any]:
        rate, optimizer = self.phases.rate(step), self.learned.optimizer
        for parameters in optimizer.param_groups:
            parameters["lr"] = rate
        with self.autocast:
            made = self.trainee.reconstructed(self.wrapped, batch)
            losses, judged = self.loss(made, step, batch.augment, self.trainee.last)
        losses["loss"].backward()
        norm = clip_grad_norm_(self.trained, self.keys.clip or math.inf)
        optimizer.step()
        optimizer.zero_grad()
        self.average.update(step)
        with self.autocast:
            losses |= self.loss.learn(judged, step)
        return {**self.group.means(losses), "grad_norm": norm, "learning_rate": rate}


class OnDevice(Tokenizer):
    """A tokenizer that takes and returns CPU tensors, while ``inner`` runs on ``device``."""

    def __init__(self, inner: Tokenizer, device: torch.device):
        super().__init__()
        self.inner, self.device, self.latent_shape = inner, device, inner.latent_shape

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return self.inner.encode(images.to(self.device)).cpu()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return self.inner.decode(latents.to(self.device)).cpu()
