"""Mean and variance of features or latents over a data set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nanogen.errors import UserError
from nanogen.models.training import batches, gather, progress

BATCH = 250


@torch.no_grad()
def feature_moments(encode: Callable[[Tensor], Tensor], images: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and variance of the features per channel and position, float32 (C, h, w).

    One pass, summed in float64; the first batch's mean is subtracted first, so that the variance
    does not come from the difference of two large sums.

    Args:
        encode: uint8 (N, H, W, 3) -> features (N, C, h, w).
    """
    shift: Tensor | None = None
    total = square = torch.zeros((), dtype=torch.float64)
    for part in progress(list(batches(len(images), BATCH)), "statistics"):
        features = encode(gather(images, part)).double()
        shift = features.mean(0) if shift is None else shift
        centred = features - shift
        total = total + centred.sum(0)
        square = square + centred.square().sum(0)
    if shift is None:
        raise UserError("there is no image to take the features' statistics from")
    mean = total / len(images)
    return (mean + shift).float(), (square / len(images) - mean.square()).float()
