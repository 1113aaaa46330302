"""Batches of end-to-end tuning: images for the VAE, and noise, times and classes for the backbone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nanogen.backbones.embeddings import Condition
from nanogen.config.model_stage import ModelStage
from nanogen.identity import seed_for
from nanogen.objectives.batch import Batch
from nanogen.stage1 import batches as stage1
from nanogen.training.draws import CPU, generators
from nanogen.training.prefetch import prefetched
from nanogen.training.processes import Processes


@dataclass(frozen=True)
class JointBatch:
    """One process's share of a global batch: the same images for the VAE and for the backbone."""

    pictures: stage1.Batch
    latents: Batch  # without ``x`` and ``patches``, which the networks compute


class JointBatches:
    """Batches of one process by step, counted from 1, with one seed per place (`stage1.batches`).

    A spliced image has no class, so the backbone gets the null class.

    Args:
        images: uint8 (N, H, W, 3).
        labels: the classes of the images, (N,).
        stage: a ``model`` stage with ``end_to_end``.
        noise: shape of one image's latent in the network's layout.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        stage: ModelStage,
        noise: tuple[int, ...],
        group: Processes,
    ):
        self.pictures = stage1.Batches(images, stage, noise, group)
        assert stage.joint is not None
        self.labels, self.latent = labels, stage.joint.latent
        classes = stage.joint.conditioner.classes
        assert classes is not None, "the backbone is conditioned on the classes of images"
        self.classes = classes

    def at(self, step: int, device: torch.device = CPU) -> JointBatch:
        """Return this process's share of the batch of ``step``, on ``device``."""
        first = (step - 1) * self.pictures.size
        places = [first + place for place in self.pictures.share]
        drawn = [self._draws(place, device) for place in places]
        noise, normal, uniform = (torch.stack(part) for part in zip(*drawn, strict=True))
        condition = Condition(labels=torch.tensor([self._label(place) for place in places]))
        latents = Batch(
            x=noise.new_empty(0),
            noise=noise,
            normal=normal,
            uniform=uniform,
            other_normal=normal,
            condition=condition,
            step=step - 1,
        )
        return JointBatch(self.pictures.at(step, device), latents.to(device))

    def prefetched(self, start: int, stop: int, device: torch.device) -> Iterator[JointBatch]:
        """Yield the batches of steps ``start`` + 1 to ``stop``, prepared in advance."""
        return prefetched(lambda step: self.at(step, device), range(start + 1, stop + 1), device)

    def _draws(self, place: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        host, many = generators(seed_for(*self.pictures.identity, "end-to-end", place), device)
        return (
            torch.randn(*self.latent, generator=many, device=device),
            torch.randn((), generator=host),
            torch.rand((), generator=host),
        )

    def _label(self, place: int) -> int:
        if self.pictures.spliced(place):
            return self.classes
        (row,) = self.pictures.order.rows(place, 1)
        return int(self.labels[row])
