"""Reconstruction quality of a tokenizer, for its card."""

from __future__ import annotations

import numpy as np
import torch

from nanogen.data.pixels import to_unit
from nanogen.metrics.similarity import psnr
from nanogen.models.batching import gather
from nanogen.stage1.statistics import encoded_at_once
from nanogen.tokenizers.base import Tokenizer


@torch.no_grad()
def reconstruction_quality(tokenizer: Tokenizer, images: np.ndarray) -> dict[str, float]:
    """Return ``psnr`` (dB, mean over images) and ``latent_std`` (of normalised latents).

    Args:
        images: uint8 (N, H, W, 3).
    """
    decibels = total = squares = 0.0
    values = 0  # of all latents
    for part in encoded_at_once(images):
        batch = gather(images, part)
        latents = tokenizer.encode(batch)
        decibels += float(psnr(to_unit(tokenizer.decode_uint8(latents)), to_unit(batch)).double().sum())
        total += float(latents.double().sum())
        squares += float(latents.double().square().sum())
        values += latents.numel()
    variance = (squares - total**2 / values) / (values - 1)
    return {"psnr": decibels / len(images), "latent_std": max(variance, 0.0) ** 0.5}
