"""The interface of a tokenizer, and the ways an image is written."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


def to_signed(images: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) in [0, 255] -> float32 (N, 3, H, W) in [-1, 1]."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise TypeError(f"expected uint8 (N, H, W, 3), got {images.dtype} {tuple(images.shape)}")
    return images.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)


def to_unit(images: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) in [0, 255] -> float32 (N, 3, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 255


def to_uint8(images: Tensor) -> Tensor:
    """Float (N, 3, H, W) in [-1, 1] -> uint8 (N, H, W, 3), rounded to the nearest level."""
    levels = images.to(torch.float32).add(1.0).mul_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


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
