"""The tokenizer of methods in pixel space: latents are the image itself, scaled to [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from nanogen.data.pixels import to_signed
from nanogen.tokenizers.base import Tokenizer


class Pixels(Tokenizer):
    """The identity, up to scale; latents are (3, H, W) in [-1, 1]."""

    def __init__(self, resolution: int):
        super().__init__()
        self.latent_shape = (3, resolution, resolution)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return to_signed(images)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return latents.to(torch.float32)
