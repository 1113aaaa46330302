"""The interface of a tokenizer, and the ways an image is written."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from nanogen.data.pixels import to_uint8


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

    def decode_uint8(self, latents: Tensor) -> Tensor:
        """Normalised latents (N, C, h, w) -> uint8 images (N, H, W, 3), rounded."""
        return to_uint8(self.decode(latents))

    def untrained(self) -> Tokenizer:
        """This tokenizer before its training: new weights, from torch's generator, where it has any
        that stage 1 trains. Latents of one do not fit the other."""
        return self
