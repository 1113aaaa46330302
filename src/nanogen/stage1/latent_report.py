"""Statistics of a VAE's latents on held-out images, to compare them before and after tuning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen.models.batching import gather
from nanogen.stage1.statistics import encoded_at_once

RIDGE = 1e-3  # of the probe, in units of a latent's mean variance
Encode = Callable[[Tensor], Tensor]  # uint8 (N, H, W, 3) -> float32 (N, C, h, w)


def latent_statistics(
    encode: Encode, encoder: Encode, train: np.ndarray, val: np.ndarray
) -> dict[str, float]:
    """Return statistics of the latents z of a network, before any normalisation.

    ``mean`` and ``std`` are means over channels of the absolute mean and the standard deviation of z;
    ``std_min`` and ``std_max`` are the range of the latter. ``alignment`` is the mean cosine between the
    centred patch features of a frozen encoder and their linear prediction from z (`alignment`).

    Args:
        train, val: uint8 (N, H, W, 3). The prediction is fitted on ``train``; all statistics are those
            of ``val``.
    """
    std, mean = torch.std_mean(_all(encode, val).double(), (0, 2, 3))
    return {
        "mean": float(mean.abs().mean()),
        "std": float(std.mean()),
        "std_min": float(std.min()),
        "std_max": float(std.max()),
        "alignment": alignment(encode, encoder, train, val),
    }


def alignment(encode: Encode, encoder: Encode, train: np.ndarray, val: np.ndarray) -> float:
    """Return the mean cosine on ``val``, in [-1, 1], of centred features and their prediction.

    They are predicted from the latents of the same place by a ridge regression, fitted on ``train``.
    """
    inputs, targets = _pairs(encode, encoder, train)
    shift, centre = inputs.mean(0), targets.mean(0)
    inputs = inputs - shift
    gram = inputs.T @ inputs / len(inputs)
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    weights = torch.linalg.solve(gram, inputs.T @ (targets - centre) / len(inputs))
    seen, wanted = _pairs(encode, encoder, val)
    return float(F.cosine_similarity((seen - shift) @ weights, wanted - centre, dim=1).mean())


def _pairs(encode: Encode, encoder: Encode, images: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return latents and features of every cell of the coarser grid, float64 (cells, width)."""
    latents, features = _all(encode, images), _all(encoder, images)
    rows = min(latents.shape[2], features.shape[2])
    return _cells(latents, rows), _cells(features, rows)


def _cells(grid: Tensor, rows: int) -> Tensor:
    """Map (N, C, h, w) to (N * rows * rows, C').

    The cells of a place are stacked, or averaged if the grid does not divide evenly.
    """
    fold, rest = divmod(grid.shape[2], rows)
    grid = F.adaptive_avg_pool2d(grid, rows) if rest else F.pixel_unshuffle(grid, fold)
    return grid.flatten(2).transpose(1, 2).flatten(0, 1).double()


@torch.no_grad()
def _all(encode: Encode, images: np.ndarray) -> Tensor:
    return torch.cat([encode(gather(images, part)) for part in encoded_at_once(images)])
