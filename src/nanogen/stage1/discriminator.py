"""A discriminator on a frozen vision transformer: small heads judge its patch tokens at several depths
(Sauer et al. 2023, arXiv 2301.09515, section 4; with group norms, which see one image at a time)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.models.encoders import VisionEncoder, load_encoder

GROUPS = 8
SLOPE = 0.2


class LayerFeatures(nn.Module):
    """Patch tokens after some blocks of a frozen vision transformer, differentiable in the image.

    Args:
        layers: the blocks, counted from 1.

    Raises UserError where the network has no such block.
    """

    def __init__(self, encoder: VisionEncoder, layers: Sequence[int]):
        super().__init__()
        self.encoder, self.layers = encoder, tuple(layers)
        depth = encoder.parts.depth
        if not self.layers or min(self.layers) < 1 or max(self.layers) > depth:
            raise UserError(
                f"stage1.adversarial.layers {list(layers)}: its encoder has blocks 1 "
                f"to {depth}; name one or more of them"
            )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Float (B, 3, H, W) in [-1, 1] -> per layer (B, width, rows, rows)."""
        rows = self.encoder.rows
        found = self.encoder.parts.layers(self.encoder.preprocessing.signed(images), self.layers)
        return [tokens.transpose(1, 2).unflatten(2, (rows, rows)) for tokens in found]


class Head(nn.Module):
    """(B, width, rows, rows) -> logits (B, rows * rows), above 0 where it looks real."""

    def __init__(self, width: int):
        super().__init__()
        self.enter = _judging(width, 1)
        self.around = _judging(width, 3)
        self.logit = spectral_norm(nn.Conv2d(width, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        x = self.enter(features)
        x = (x + self.around(x)) * 0.5**0.5
        return self.logit(x).flatten(1)


def _judging(width: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(width, width, kernel, padding=kernel // 2)
    return nn.Sequential(spectral_norm(convolution), nn.GroupNorm(GROUPS, width), nn.LeakyReLU(SLOPE))


class Heads(nn.Module):
    """One head per layer: features as `LayerFeatures` gives them -> logits (B, all cells)."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.heads = nn.ModuleList(Head(width) for _ in range(layers))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return torch.cat([head(x) for head, x in zip(self.heads, features, strict=True)], 1)


def load_features(folder: Path, model: Model, layers: Sequence[int]) -> LayerFeatures:
    """The frozen encoder in ``folder`` as a discriminator's eyes; raises UserError where it cannot."""
    encoder = load_encoder(folder, model).eval().requires_grad_(False)
    return LayerFeatures(encoder, layers)
