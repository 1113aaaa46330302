"""Conversions between the value ranges of images: bytes, [0, 1] and [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor


def to_signed(images: Tensor) -> Tensor:
    """Convert uint8 (N, H, W, 3) in [0, 255] to float (N, 3, H, W) in [-1, 1], of the default dtype."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise TypeError(f"expected uint8 (N, H, W, 3), got {images.dtype} {tuple(images.shape)}")
    return images.permute(0, 3, 1, 2).to(torch.get_default_dtype()).div_(127.5).sub_(1.0)


def to_unit(images: Tensor) -> Tensor:
    """Convert uint8 (N, H, W, 3) in [0, 255] to float32 (N, 3, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 255


def to_uint8(images: Tensor) -> Tensor:
    """Convert float (N, 3, H, W) in [-1, 1] to uint8 (N, H, W, 3), rounded to the nearest level."""
    levels = images.to(torch.float32).add(1.0).mul_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def truncated(images: Tensor) -> Tensor:
    """Convert float (N, 3, H, W) in [0, 1] to uint8 (N, H, W, 3), truncated as in the authors' code.

    The product with 255 has the precision of the images, which is 8 bits for bfloat16.
    """
    levels = images.clamp(0, 1).mul(255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


TO_BYTES = {"rounded": to_uint8, "truncated": truncated}  # by the key ``sampling.pixels``
