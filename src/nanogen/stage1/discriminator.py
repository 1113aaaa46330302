"""Discriminators on a frozen vision transformer, with small heads on patch tokens of several layers.

See Sauer et al. 2023, arXiv 2301.09515, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.models.encoders import VisionEncoder, load_encoder

GROUPS = 8  # of the norms of `GridHead`
SLOPE = 0.2


class LayerFeatures(nn.Module):
    """Patch tokens after some blocks of a frozen vision transformer, differentiable in the image.

    Args:
        layers: the blocks, counted from 1, in any order; repetitions are allowed.

    Raises UserError if the network has no such block.
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
        """Map float images (B, 3, H, W) in [-1, 1] to features per layer, (B, width, rows, rows)."""
        rows, blocks = self.encoder.rows, sorted(set(self.layers))
        found = self.encoder.parts.layers(self.encoder.preprocessing.signed(images), blocks)
        grids = [tokens.transpose(1, 2).unflatten(2, (rows, rows)) for tokens in found]
        return [grids[blocks.index(layer)] for layer in self.layers]


class Head(nn.Module):
    """A head that maps tokens of one layer (B, width, N) to logits (B, N), above 0 for real images.

    A circular convolution runs along the sequence of tokens, in row-major order. Each call of a
    convolution in training mode is one step of power iteration for its spectral norm. Activations are
    normalised per image and channel, over the tokens.
    """

    def __init__(self, width: int, kernel: int, epsilon: float):
        super().__init__()
        self.epsilon = epsilon  # of its norms
        self.enter = self._judging(width, 1)
        self.around = self._judging(width, kernel)
        self.logit = self.convolution(width, 1, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.enter(tokens)
        x = (x + self.around(x)) * 0.5**0.5
        return self.logit(x).flatten(1)

    def _judging(self, width: int, kernel: int) -> nn.Sequential:
        convolution = self.convolution(width, width, kernel)
        return nn.Sequential(convolution, self.norm(width), nn.LeakyReLU(SLOPE))

    def convolution(self, inputs: int, outputs: int, kernel: int) -> nn.Module:
        convolution = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="circular")
        return spectral_norm(convolution)

    def norm(self, width: int) -> nn.Module:
        return nn.GroupNorm(width, width, self.epsilon)


class GridHead(Head):
    """A head that maps (B, width, rows, rows) to logits (B, rows * rows).

    It has a convolution over the grid, and group norms with eight groups of channels.
    """

    def convolution(self, inputs: int, outputs: int, kernel: int) -> nn.Module:
        convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        return parametrizations.spectral_norm(convolution)

    def norm(self, width: int) -> nn.Module:
        return nn.GroupNorm(GROUPS, width)


class Heads(nn.Module):
    """One head per layer.

    The forward pass maps batches of features, as `LayerFeatures` returns them, to the logits of each
    batch (B, all cells), one batch at a time.
    """

    head: type[Head] = Head

    def __init__(self, width: int, layers: int, kernel: int, epsilon: float = 1e-6):
        super().__init__()
        self.heads = nn.ModuleList(self.head(width, kernel, epsilon) for _ in range(layers))

    def forward(self, *batches: Sequence[Tensor]) -> list[Tensor]:
        return [self.logits([x.flatten(2) for x in features]) for features in batches]

    def logits(self, features: Sequence[Tensor]) -> Tensor:
        """Return the logits of one batch, whose features have the layout of the heads."""
        return torch.cat([head(x) for head, x in zip(self.heads, features, strict=True)], 1)


class GridHeads(Heads):
    """Heads on the grid, which process all batches together."""

    head = GridHead

    def forward(self, *batches: Sequence[Tensor]) -> list[Tensor]:
        together = [torch.cat(layer) for layer in zip(*batches, strict=True)]
        return list(self.logits(together).split([len(features[0]) for features in batches]))


def load_features(folder: Path, model: Model, layers: Sequence[int]) -> LayerFeatures:
    """Load the frozen encoder in ``folder`` for a discriminator; raises UserError if it does not fit."""
    encoder = load_encoder(folder, model).eval().requires_grad_(False)
    return LayerFeatures(encoder, layers)
