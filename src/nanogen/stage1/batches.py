"""Batches of images to train a tokenizer, with random numbers that depend only on the image's place.

The endless training sequence has places 0, 1, ... All draws of a place come from one seed, derived from
(seed, model, place); noise is drawn on the training device (`nanogen.training.draws`). A run therefore
resumes from its step number alone, and draws the same numbers on any number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from nanogen.config.model_stage import ModelStage
from nanogen.data.order import Order
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.stage1.augmentation import DRAWS, PARTS
from nanogen.training.draws import CPU, generators
from nanogen.training.prefetch import prefetched
from nanogen.training.processes import Processes
from nanogen.transfer import sent


@dataclass(frozen=True)
class Batch:
    """One process's share of a global batch, B images."""

    images: Tensor  # uint8 (B, H, W, 3)
    noise: Tensor  # (B, ...) standard normal, in the shape that the tokenizer needs
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
        stage: a ``model`` stage with ``model.stage1``.
        noise: shape of one image's noise.

    Raises UserError if processes cannot share the batch, or images are smaller than the crop.
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
        """Return this process's share of the batch of ``step``, on ``device``."""
        first = (step - 1) * self.size
        drawn = [self._image(first + place, device) for place in self.share]
        images, noise, level, augment = (torch.stack(part) for part in zip(*drawn, strict=True))
        # one draw for the whole batch, on any number of processes
        generator = torch.Generator().manual_seed(seed_for(*self.identity, "augmented", step))
        happens = torch.rand(augment.shape[1], PARTS, generator=generator).expand(len(augment), -1, -1)
        return Batch(images, noise, level, torch.cat([augment, happens], 2)).to(device)

    def prefetched(self, start: int, stop: int, device: torch.device) -> Iterator[Batch]:
        """Yield the batches of steps ``start`` + 1 to ``stop``, prepared in advance."""
        return prefetched(lambda step: self.at(step, device), range(start + 1, stop + 1), device)

    def _image(self, place: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the fields of `Batch` for one place, without the draws of the batch."""
        generator, many = generators(seed_for(*self.identity, place), device)
        level = torch.rand((), generator=generator)
        noise = torch.randn(self.noise, generator=many, device=device)
        augment = torch.rand(2, DRAWS, generator=generator)
        image = self._read(place)
        if self.spliced(place):
            image = _spliced(image, self._read(place - 1), generator)
        if self.side < image.shape[0]:
            image = _cropped(image, self.side, generator)
        # drawn last, so that the other draws are the same as before it was added
        again = torch.rand(1, DRAWS, generator=generator)
        return image, noise, level, torch.cat([augment, again])

    def spliced(self, place: int) -> bool:
        """Whether the right part of the image at a place is that of the image before it."""
        return self.keys.splice and place % 2 == 1

    def _read(self, place: int) -> Tensor:
        (row,) = self.order.rows(place, 1)
        return torch.from_numpy(np.array(self.images[row]))


def side_of(images: np.ndarray, stage: ModelStage) -> int:
    """Return the side of the training images in pixels: of the crop, or of the whole images.

    Raises UserError if the images are smaller than the crop.
    """
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
    """Replace the part of ``image`` (H, W, 3) to the right of a random column with that of ``other``.

    An autoencoder for scenes with several objects can then learn from images with one. The image's
    class is lost, but the autoencoder does not need it.
    """
    cut = int(torch.randint(image.shape[1] + 1, (), generator=generator))
    return torch.cat([image[:, :cut], other[:, cut:]], 1)


def _cropped(image: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Crop a random square, ``side`` pixels wide, from (H, W, 3)."""
    most = torch.tensor(image.shape[:2]) - side + 1
    top, left = (torch.rand(2, generator=generator) * most).long().tolist()
    return image[top : top + side, left : left + side]
