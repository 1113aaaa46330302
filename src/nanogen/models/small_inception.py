"""A small classifier like Inception (Szegedy et al. 2015, arXiv 1409.4842).

The nano study uses it instead of Inception-v3: its pooled features define FID, its logits IS.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Mixed(nn.Module):
    """Four parallel branches with growing receptive fields, concatenated to 4 * width channels."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.point = _conv(inputs, width, 1)
        self.near = nn.Sequential(_conv(inputs, width, 1), _conv(width, width, 3))
        self.far = nn.Sequential(_conv(inputs, width, 1), _conv(width, width, 3), _conv(width, width, 3))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), _conv(inputs, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.point(x), self.near(x), self.far(x), self.pooled(x)], 1)


class SmallInception(nn.Module):
    """Map images (N, 3, H, W) to pooled features (N, 4 * width) and logits (N, classes).

    The logits have no bias, like those that torch-fidelity uses for IS.
    """

    def __init__(self, classes: int, width: int = 24, stem: int = 24):
        super().__init__()
        self.body = nn.Sequential(
            _conv(3, stem, 3, stride=2),
            Mixed(stem, width // 2),
            nn.MaxPool2d(2),
            Mixed(2 * width, width),
            nn.MaxPool2d(2),
            Mixed(4 * width, width),
        )
        self.width = 4 * width
        self.classes = classes
        self.head = nn.Linear(self.width, classes, bias=False)

    def pooled(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Pool feature maps (N, 4 * width, h, w) to features, and compute logits."""
        features = maps.mean((2, 3))
        return features, self.head(features)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.pooled(self.body(x))
