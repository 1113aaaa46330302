"""How well a tokenizer gives images back."""

from __future__ import annotations

import numpy as np
import torch

from nanogen.models.moments import BATCH
from nanogen.models.training import batches, gather, psnr
from nanogen.tokenizers.base import Tokenizer, to_signed


@torch.no_grad()
def reconstruction_quality(tokenizer: Tokenizer, images: np.ndarray) -> dict[str, float]:
    """``psnr`` (dB, of the images as they are stored) and ``latent_std`` (of normalised latents).

    Args:
        images: uint8 (N, H, W, 3).
    """
    squared, latents = 0.0, []
    for part in batches(len(images), BATCH):
        batch = gather(images, part)
        latents.append(tokenizer.encode(batch))
        error = to_signed(tokenizer.decode_uint8(latents[-1])) - to_signed(batch)
        squared += error.double().square().mean((1, 2, 3)).sum().item()
    return {"psnr": psnr(squared / len(images)), "latent_std": float(torch.cat(latents).std())}
