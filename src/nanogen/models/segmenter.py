"""A small U-Net (Ronneberger et al. 2015, arXiv 1505.04597) that classifies every pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _double(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [
            nn.Conv2d(width, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class Segmenter(nn.Module):
    """Map images (N, 3, H, W) to logits (N, classes, H, W).

    Class 0 is the background. H and W are at least 4.
    """

    def __init__(self, classes: int, width: int = 12):
        super().__init__()
        self.fine = _double(3, width)
        self.middle = _double(width, 2 * width)
        self.coarse = _double(2 * width, 4 * width)
        self.up_middle = _double(6 * width, 2 * width)
        self.up_fine = _double(3 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        middle = self.middle(F.max_pool2d(fine, 2))
        coarse = self.coarse(F.max_pool2d(middle, 2))
        coarse = F.interpolate(coarse, middle.shape[-2:])
        middle = self.up_middle(torch.cat([coarse, middle], 1))
        middle = F.interpolate(middle, fine.shape[-2:])
        fine = self.up_fine(torch.cat([middle, fine], 1))
        return self.head(fine)
