"""A neural field per patch, PixNerd's head (Wang et al. 2025, arXiv 2507.23268, section 3).

Every pixel of a patch passes through the same small MLP, whose weights are predicted from the patch's
token. The inputs of the MLP are the noisy pixel and its position in the patch.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen.backbones.layers import Linear, RMSNorm, zero_linear


def cosine_positions(patch: int, frequencies: int) -> Tensor:
    """Return the low frequencies of a DCT basis at every pixel, (p * p, frequencies ** 2).

    They are products of cosines along rows and columns.
    """
    centres = (torch.arange(patch) + 0.5) / patch
    waves = torch.cos(math.pi * centres[:, None] * torch.arange(frequencies))  # (p, frequencies)
    return torch.einsum("yi,xj->yxij", waves, waves).reshape(patch * patch, frequencies**2)


class NeuralField(nn.Module):
    """Map tokens (B, N, D) and noisy patches (B, N, C p p) to patches (B, N, p p C).

    Args:
        width: width D of the tokens.
        channels: channels C of the image.
        patch: side of a patch in pixels.
        hidden: channels per pixel, and width of the two-layer MLP that the token predicts.
        frequencies: frequencies of the position encoding along each side of the patch.
    """

    positions: Tensor

    def __init__(self, width: int, channels: int, patch: int, hidden: int = 32, frequencies: int = 8):
        super().__init__()
        self.channels, self.hidden = channels, hidden
        frequencies = min(frequencies, patch)
        self.register_buffer("positions", cosine_positions(patch, frequencies), persistent=False)
        self.pixel = Linear(channels + frequencies**2, hidden)
        self.norm = RMSNorm(hidden)
        self.weights = Linear(width, 2 * hidden * hidden)
        self.last_norm = RMSNorm(hidden)
        self.out = zero_linear(hidden, channels)

    def forward(self, tokens: Tensor, cells: Tensor) -> Tensor:
        noisy = cells.unflatten(-1, (self.channels, -1)).transpose(-1, -2)  # (B, N, p p, C)
        positions = self.positions.to(noisy.dtype).expand(*noisy.shape[:3], -1)
        x = self.pixel(torch.cat([noisy, positions], dim=-1))  # (B, N, p p, hidden)
        # columns of unit length make the scale of the field independent of the token's scale
        first, second = F.normalize(
            self.weights(tokens).unflatten(-1, (2, self.hidden, self.hidden)), dim=-2
        ).unbind(2)
        x = x + F.silu(self.norm(x) @ first) @ second
        return self.out(self.last_norm(x)).flatten(2)
