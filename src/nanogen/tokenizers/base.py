"""The interface of a tokenizer, and the conversions of decoded images to bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from nanogen.data.pixels import TO_BYTES

# Number of images that are decoded at a time. In the last block of a VAE, 128 images of 256 x 256 have
# 2^31 values, more than kernels with 32-bit indices can address.
DECODED = 32


class Tokenizer(nn.Module, ABC):
    """A frozen map between images and latents.

    It is a module, so that it can be moved between devices.

    Attributes:
        latent_shape: (channels, rows, columns) of one latent.
    """

    latent_shape: tuple[int, int, int]

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Encode images, uint8 (N, H, W, 3), to latents, float32 (N, C, h, w).

        The latents are normalised for the backbone.
        """

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Decode normalised latents (N, C, h, w) to images, float32 (N, 3, H, W), about [-1, 1]."""

    def decode_unit(self, latents: Tensor) -> Tensor:
        """Decode to images in about [0, 1], in the decoder's own precision."""
        return (self.decode(latents) + 1) / 2

    def decode_for(self, pixels: str, latents: Tensor) -> Tensor:
        """Decode to images (N, 3, H, W) that ``TO_BYTES[pixels]`` converts to bytes.

        See ``Sampling.pixels`` for the values of ``pixels``.
        """
        if pixels == "rounded":
            return self.decode(latents)
        with torch.autocast(latents.device.type, torch.bfloat16):
            return self.decode_unit(latents)

    def decode_uint8(self, latents: Tensor, pixels: str = "rounded") -> Tensor:
        """Decode normalised latents (N, C, h, w) to images, uint8 (N, H, W, 3)."""
        to_bytes = TO_BYTES[pixels]
        return torch.cat([to_bytes(self.decode_for(pixels, part)) for part in latents.split(DECODED)])

    def untrained(self) -> Tokenizer:
        """Return this tokenizer before its training.

        Weights that stage 1 trains are drawn from torch's generator. Latents of the trained and the
        untrained tokenizer are not interchangeable.
        """
        return self
