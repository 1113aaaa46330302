"""Batches of images for a tokenizer, every random number a function of the image's place.

The endless training sequence has places 0, 1, ...; all draws of a place come from one seed of (seed,
model, place), noise on the device that trains (`nanogen.training.draws`). So a run resumes from its step
alone, and draws the same on any number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from nanogen.backbones.embeddings import sent
from nanogen.config.model_stage import ModelStage
from nanogen.data.order import Order
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.stage1.augmentation import DRAWS, PARTS
from nanogen.training.draws import CPU, generators
from nanogen.training.prefetch import prefetched
from nanogen.training.processes import Processes


@dataclass(frozen=True)
class Batch:
    """One process's share of a global batch, B images."""

    images: Tensor  # uint8 (B, H, W, 3)
    noise: Tensor  # (B, ...) standard normal, of the size that the tokenizer asks for
    level: Tensor  # (B,) uniform in [0, 1), how strong the noise is
    augment: Tensor  # (B, 3, 10) uniform in [0, 1), for the discriminator's augmentations

    def to(self, device: torch.device) -> Batch:
        if device.type == "cpu":
            return self
        values = (getattr(self, field.name) for field in fields(self))
        return Batch(*(sent(value, device) for value in values))


class Batches:
    """Batches of one process, by step, counted from 1.

    Args:
        images: uint8 (N, H, W, 3), in memory or mapped.
        stage: a stage `model` with ``model.stage1``.
        noise: shape of one image's noise.

    Raises UserError where processes cannot share the batch, or images are smaller than the crop.
    """

    def __init__(self, images: np.ndarray, stage: ModelStage, noise: tuple[int, ...], group: Processes):
        model, self.images, self.noise = stage.model, images, noise
        self.keys = stage.tokenizer_training
        self.identity = (stage.seed, "stage1", model.name)
        self.side = side_of(images, stage)
        self.size = self.keys.batch_size
        if self.size % group.world:
            raise UserError(
                f"config/models/{model.name}.yaml: stage1.batch_size {self.size} cannot be shared "
                f"equally by {group.world} processes; choose a number that divides it"
            )
        share = self.size // group.world
        self.share = range(group.rank * share, (group.rank + 1) * share)
        self.order = Order(len(images), math.prod(images.shape[1:]), *self.identity)

    def at(self, step: int, device: torch.device = CPU) -> Batch:
        """This process's share of the batch of ``step``, on ``device``."""
        first = (step - 1) * self.size
        drawn = [self._image(first + place, device) for place in self.share]
        images, noise, level, augment = (torch.stack(part) for part in zip(*drawn, strict=True))
        # one draw for the whole batch, whatever processes share it
        generator = torch.Generator().manual_seed(seed_for(*self.identity, "augmented", step))
        happens = torch.rand(augment.shape[1], PARTS, generator=generator).expand(len(augment), -1, -1)
        return Batch(images, noise, level, torch.cat([augment, happens], 2)).to(device)

    def prefetched(self, start: int, stop: int, device: torch.device) -> Iterator[Batch]:
        """Batches of the steps after ``start``, to ``stop``."""
        return prefetched(lambda step: self.at(step, device), range(start + 1, stop + 1))

    def _image(self, place: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The fields of `Batch` for one place, without the batch's draws; what every image needs is
        drawn first."""
        generator, many = generators(seed_for(*self.identity, place), device)
        level = torch.rand((), generator=generator)
        noise = torch.randn(self.noise, generator=many, device=device)
        augment = torch.rand(2, DRAWS, generator=generator)
        image = self._read(place)
        if self.spliced(place):
            image = _spliced(image, self._read(place - 1), generator)
        if self.side < image.shape[0]:
            image = _cropped(image, self.side, generator)
        # drawn last, since it came last: what was trained without it stays what it was
        again = torch.rand(1, DRAWS, generator=generator)
        return image, noise, level, torch.cat([augment, again])

    def spliced(self, place: int) -> bool:
        """Whether the image at a place continues as the one before it."""
        return self.keys.splice and place % 2 == 1

    def _read(self, place: int) -> Tensor:
        (row,) = self.order.rows(place, 1)
        return torch.from_numpy(np.array(self.images[row]))


def side_of(images: np.ndarray, stage: ModelStage) -> int:
    """Side of what is trained on: of the crop, or of the whole images; raises UserError where the
    images are smaller than the crop."""
    side, crop = images.shape[1], stage.tokenizer_training.crop
    if crop is None:
        return side
    if crop > side:
        raise UserError(
            f"config/models/{stage.model.name}.yaml: stage1.crop {crop} is larger than the images, "
            f"which have {side} pixels; lower it, or raise data.resolution"
        )
    return crop


def _spliced(image: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """``image`` (H, W, 3), which continues as ``other`` right of a random column.

    An autoencoder for scenes with several objects learns from pictures of one; the classes of the
    picture are lost, which it does not need.
    """
    cut = int(torch.randint(image.shape[1] + 1, (), generator=generator))
    return torch.cat([image[:, :cut], other[:, cut:]], 1)


def _cropped(image: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A random square of (H, W, 3), ``side`` pixels wide."""
    most = torch.tensor(image.shape[:2]) - side + 1
    top, left = (torch.rand(2, generator=generator) * most).long().tolist()
    return image[top : top + side, left : left + side]
