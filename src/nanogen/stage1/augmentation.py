"""Differentiable augmentation of a discriminator's inputs (Zhao et al. 2020, arXiv 2006.10738).

All random numbers are arguments, so the same draws change an image in the same way.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen.config.tokenizer_schema import Augmentation

DRAWS = 7  # per image: brightness, saturation, contrast, shift and hole in rows and in columns
PARTS = 3  # per batch: whether there is a translation, a change of colours, a cutout
# Indices of an image's draws: for the original, for its reconstruction, and for the reconstruction that
# is computed again for the discriminator only.
REAL, FAKE, AGAIN = range(3)


def augmented(images: Tensor, draws: Tensor, strength: Augmentation) -> Tensor:
    """Apply translation, then colour, then cutout; differentiable with respect to the images.

    Args:
        images: (B, 3, H, W) in about [-1, 1].
        draws: (B, 10) uniform in [0, 1): seven for the image, three to decide whether each part is
            applied. If the probability is 1, the last three are not needed.
        strength: ``color`` (1: as published), ``translation`` and ``cutout`` (the largest shift and the
            hole's side, as shares of the image's side); 0 leaves a part out. ``probability`` is that of
            each part; for ``symmetric`` see `with_hole`.
    """
    shift, colors, hole = draws[:, 3:5], draws[:, :3], draws[:, 5:DRAWS]
    parts = (
        (strength.translation, lambda x: translated(x, shift, strength.translation)),
        (strength.color, lambda x: recoloured(x, colors, strength.color)),
        (strength.cutout, lambda x: with_hole(x, hole, strength.cutout, strength.symmetric)),
    )
    for index, (amount, change) in enumerate(parts):
        if not amount:
            continue
        changed = change(images)
        if strength.probability < 1:
            happens = draws[:, DRAWS + index] < strength.probability
            changed = torch.where(happens.view(-1, 1, 1, 1), changed, images)
        images = changed
    return images


def recoloured(images: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Change the colours of images.

    At strength 1, U(-1/2, 1/2) is added to the brightness, saturation is multiplied by U(0, 2), and
    contrast by U(1/2, 3/2).
    """
    brightness, saturation, contrast = (strength * (draws - 0.5)).view(-1, 3, 1, 1, 1).unbind(1)
    images = images + brightness
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (1 + 2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (1 + contrast)


def translated(images: Tensor, draws: Tensor, share: float) -> Tensor:
    """Shift by whole pixels, at most ``share`` of the side in each direction, padding with zeros."""
    most = round(share * images.shape[-1])
    first = (draws * (2 * most + 1)).long()  # (B, 2)
    padded = F.pad(images, (most, most, most, most)).permute(0, 2, 3, 1)
    rows, columns = (
        first[:, axis, None] + torch.arange(images.shape[2 + axis], device=images.device)
        for axis in (0, 1)
    )
    which = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def with_hole(images: Tensor, draws: Tensor, share: float, symmetric: bool = False) -> Tensor:
    """Set a square to zero, ``share`` of the side wide, with its centre anywhere in the image.

    The centre of a square with an even side is between two pixels. If ``symmetric``, it can also be
    after the last pixel, as it can be before the first.
    """
    side = max(1, round(share * images.shape[-1]))
    behind = int(symmetric and side % 2 == 0)
    inside = []
    for axis in (0, 1):
        size = images.shape[2 + axis]
        first = (draws[:, axis, None] * (size + behind)).long() - side // 2
        place = torch.arange(size, device=images.device)
        inside.append((place >= first) & (place < first + side))
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(hole, 0.0)
