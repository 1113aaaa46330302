"""Reconstruction quality of a tokenizer, for its card."""

from __future__ import annotations

import numpy as np
import torch

from nanogen.data.pixels import to_unit
from nanogen.metrics.similarity import psnr
from nanogen.models.batching import batches, gather
from nanogen.stage1.statistics import BATCH
from nanogen.tokenizers.base import Tokenizer


@torch.no_grad()
def reconstruction_quality(tokenizer: Tokenizer, images: np.ndarray) -> dict[str, float]:
    """Return ``psnr`` (dB, mean over images) and ``latent_std`` (of normalised latents).

    Args:
        images: uint8 (N, H, W, 3).
    """
    decibels, latents = [], []
    for part in batches(len(images), BATCH):
        batch = gather(images, part)
        latents.append(tokenizer.encode(batch))
        decibels.append(psnr(to_unit(tokenizer.decode_uint8(latents[-1])), to_unit(batch)))
    return {"psnr": float(torch.cat(decibels).mean()), "latent_std": float(torch.cat(latents).std())}
