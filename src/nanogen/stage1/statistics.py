"""Streaming mean and variance of latents or features over a data set, mergeable over shards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from nanogen.errors import UserError
from nanogen.models.batching import batches, gather, progress
from nanogen.training.processes import Processes, share

BATCH = 250  # images that are encoded at a time, ...
PIXELS = 32 * 256**2  # ... if they have no more pixels: a VAE needs gigabytes for 32 images of 256 x 256


class Statistics:
    """Mean and variance of latents per channel and position, updated batch by batch in float64.

    Each batch is centred on its own mean before it is squared, so no precision is lost if the mean is
    much larger than the standard deviation. Partial results merge exactly up to rounding (Chan, Golub
    and LeVeque 1979).
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean = self._scatter = torch.zeros((), dtype=torch.float64)

    def update(self, batch: Tensor) -> None:
        """Add latents (N, C, h, w), on any device.

        Raises UserError if they are not finite or their shape differs from those before.
        """
        if not len(batch):
            return
        if not torch.isfinite(batch).all():
            raise UserError(
                "cannot compute statistics of latents that are not finite (NaN or infinity): check the "
                "network that encoded them and its images"
            )
        rows = batch.detach().double()
        mean = rows.mean(0)
        scatter = (rows - mean).square().sum(0)
        self._merge(len(rows), mean.cpu(), scatter.cpu())

    def merge(self, other: Statistics) -> None:
        """Add the latents that ``other`` has seen, for example on another process."""
        if other.count:
            self._merge(other.count, other._mean, other._scatter)

    def _merge(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        if self.count and mean.shape != self._mean.shape:
            raise UserError(
                f"latents of size {_size(mean)} do not belong to statistics of size {_size(self._mean)}"
            )
        total = self.count + count
        shift = mean - self._mean
        self._scatter = self._scatter + scatter + shift.square() * (self.count * count / total)
        self._mean = self._mean + shift * (count / total)
        self.count = total

    @property
    def mean(self) -> Tensor:
        """(C, h, w) float64; raises UserError before any latent was seen."""
        self._require_one()
        return self._mean

    @property
    def variance(self) -> Tensor:
        """(C, h, w) float64, divided by the number of latents; raises UserError before any was seen."""
        self._require_one()
        return self._scatter / self.count

    def _require_one(self) -> None:
        if not self.count:
            raise UserError("there are no images to compute the statistics of the features from")


def _size(values: Tensor) -> str:
    return "x".join(map(str, values.shape))


def encoded_at_once(images: np.ndarray, start: int = 0, stop: int | None = None) -> Iterator[slice]:
    """Yield slices of the images uint8 (N, H, W, 3) from ``start`` to ``stop``, a batch each."""
    size = max(1, min(BATCH, PIXELS // math.prod(images.shape[1:3])))
    for part in batches((len(images) if stop is None else stop) - start, size):
        yield slice(start + part.start, start + part.stop)


@torch.no_grad()
def feature_moments(
    encode: Callable[[Tensor], Tensor], images: np.ndarray, group: Processes | None = None
) -> tuple[Tensor, Tensor]:
    """Return mean and variance of features per channel and position, float32 (C, h, w), in one pass.

    Args:
        encode: uint8 (N, H, W, 3) -> features (N, C, h, w), on any device.
        group: processes that share the images. All of them must call this, and all get the statistics
            of all images.

    Raises UserError if there is no image or a feature is not finite.
    """
    start, stop = share(len(images), group.rank, group.world) if group else (0, len(images))
    found = Statistics()
    for part in progress(list(encoded_at_once(images, start, stop)), "statistics"):
        found.update(encode(gather(images, part)))
    if group:
        found = _merged(found, group)
    return found.mean.float(), found.variance.float()


def _merged(own: Statistics, group: Processes) -> Statistics:
    """Return the statistics of all processes, merged in the order of their ranks, on each of them."""
    whole = Statistics()
    for part in group.gathered(own):
        whole.merge(part)
    return group.shared(whole)
