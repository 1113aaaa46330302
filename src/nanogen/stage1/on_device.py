"""A tokenizer on another device, seen from the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from nanogen.tokenizers.base import Tokenizer


class OnDevice(Tokenizer):
    """Takes and gives tensors of the CPU, while ``inner`` works on its ``device``."""

    def __init__(self, inner: Tokenizer, device: torch.device):
        super().__init__()
        self.inner, self.device, self.latent_shape = inner, device, inner.latent_shape

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return self.inner.encode(images.to(self.device)).cpu()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return self.inner.decode(latents.to(self.device)).cpu()
