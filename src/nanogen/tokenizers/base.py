"""The interface of a tokenizer, and the ways an image is written."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from nanogen.data.pixels import TO_BYTES

# Images that are decoded at a time. In a VAE's last block 128 images of 256 x 256 have 2^31 numbers,
# more than kernels with 32-bit indices can address.
DECODED = 32


class Tokenizer(nn.Module, ABC):
    """A frozen map between images and latents; a module, so that it moves between devices.

    Attributes:
        latent_shape: (channels, rows, columns) of one latent.
    """

    latent_shape: tuple[int, int, int]

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> float32 (N, C, h, w), normalised as the backbone sees them."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents (N, C, h, w) -> float32 images (N, 3, H, W), about [-1, 1]."""

    def decode_unit(self, latents: Tensor) -> Tensor:
        """The same images in about [0, 1], in the precision that the decoder ends with."""
        return (self.decode(latents) + 1) / 2

    def decode_for(self, pixels: str, latents: Tensor) -> Tensor:
        """Images (N, 3, H, W) that ``TO_BYTES[pixels]`` makes bytes of; see ``Sampling.pixels``."""
        if pixels == "rounded":
            return self.decode(latents)
        with torch.autocast(latents.device.type, torch.bfloat16):
            return self.decode_unit(latents)

    def decode_uint8(self, latents: Tensor, pixels: str = "rounded") -> Tensor:
        """Normalised latents (N, C, h, w) -> uint8 images (N, H, W, 3)."""
        to_bytes = TO_BYTES[pixels]
        return torch.cat([to_bytes(self.decode_for(pixels, part)) for part in latents.split(DECODED)])

    def untrained(self) -> Tokenizer:
        """This tokenizer before its training: new weights, from torch's generator, where it has any
        that stage 1 trains. Latents of one do not fit the other."""
        return self
