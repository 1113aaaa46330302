"""Embed latents, times and conditions as tokens (paper, section 2.1: in-context conditioning)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nanogen.backbones.layers import Linear, RMSNorm
from nanogen.backbones.tangents import carried, dual, moving_waves, stacked, waves
from nanogen.transfer import sent


@dataclass(frozen=True)
class Condition:
    """The condition of a batch: class labels, or text features with their mask."""

    labels: Tensor | None = None  # (B,) int64
    tokens: Tensor | None = None  # (B, L, width of the text encoder)
    mask: Tensor | None = None  # (B, L) true for real tokens; on the CPU, which leaves padding out

    @classmethod
    def from_text(cls, features: np.ndarray, mask: np.ndarray, tokens: int) -> Condition:
        """Build the condition from text features (B, L, width) and the mask (B, L) of real tokens.

        At most ``tokens`` of each text are used. Padding only enters attention as masked keys, so
        dropping it does not change any result (see the golden test against the reference code).
        """
        return cls(
            tokens=torch.from_numpy(features[:, :tokens]).float(),
            mask=torch.from_numpy(mask[:, :tokens]),
        )

    def to(self, device: torch.device) -> Condition:
        """Move labels or features to the device."""
        labels, tokens = (None if v is None else sent(v, device) for v in (self.labels, self.tokens))
        return Condition(labels, tokens, self.mask)

    def trimmed(self) -> Condition:
        """Leave out what is padding in all texts, at their end."""
        if self.tokens is None or self.mask is None:
            return self
        mask = self.mask.cpu()
        longest = int((mask.any(dim=0).nonzero()[:, 0] + 1).max()) if mask.any() else 0
        return Condition(tokens=self.tokens[:, :longest], mask=mask[:, :longest])

    def rows(self, rows: slice) -> Condition:
        """Return the condition of some of the samples."""
        return Condition(*(None if v is None else v[rows] for v in vars(self).values()))

    @property
    def length(self) -> int:
        """The number of the texts' tokens, padding included; 0 for labels."""
        return 0 if self.tokens is None else self.tokens.shape[1]

    def followed_by(self, other: Condition) -> Condition:
        """Concatenate the conditions of two batches, which must have the same kind and length."""
        parts = zip(vars(self).values(), vars(other).values(), strict=True)
        return Condition(*(None if a is None else torch.cat([a, b]) for a, b in parts))


def patches(x: Tensor, patch: int) -> Tensor:
    """Split images (B, C, H, W) into patches (B, H/p * W/p, C * p * p), each in the order (C, p, p)."""
    b, c, h, w = x.shape
    x = x.view(b, c, h // patch, patch, w // patch, patch)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(b, -1, c * patch * patch)


def unpatch(tokens: Tensor, patch: int, channels: int, rows: int, columns: int) -> Tensor:
    """Join patches (B, rows * columns, p * p * C), each in the order (p, p, C), to (B, C, H, W)."""
    x = tokens.view(-1, rows, columns, patch, patch, channels)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, rows * patch, columns * patch)


def learned_tokens(tokens: int, width: int) -> nn.Parameter:
    """Return learned tokens (tokens, width), initially from N(0, 1 / width)."""
    return nn.Parameter(torch.randn(tokens, width) / math.sqrt(width))


class TimeEmbedding(nn.Module):
    """Gaussian Fourier features of t and an MLP; the tokens are learned vectors plus this embedding."""

    def __init__(self, width: int, tokens: int, frequencies: int = 256):
        super().__init__()
        # a parameter even if it is frozen, because published parameter counts include it
        self.frequencies = nn.Parameter(torch.randn(frequencies), requires_grad=False)
        first, last = Linear(2 * frequencies, width), Linear(width, width)
        self.mlp = nn.Sequential(first, nn.SiLU(), last)
        for linear in (first, last):
            nn.init.normal_(linear.weight, std=0.02)
        self.tokens = learned_tokens(tokens, width)

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``t`` (B,) in [0, 1] to the base embedding (B, D) and tokens (B, tokens, D)."""
        base = self.mlp(self._waves(t.float()))
        return base, self.tokens + base[:, None]

    def _waves(self, t: Tensor) -> Tensor:
        if carried(t, (self.frequencies,)):
            return dual(moving_waves(stacked(t), self.frequencies))
        return waves(t, self.frequencies)


class LabelConditioner(nn.Module):
    """Class embedding (the last row is the null class) plus learned token vectors."""

    def __init__(self, width: int, classes: int, tokens: int):
        super().__init__()
        self.classes = classes
        self.table = nn.Embedding(classes + 1, width)
        nn.init.normal_(self.table.weight, std=0.02)
        self.tokens = learned_tokens(tokens, width)

    def forward(self, condition: Condition) -> tuple[Tensor, None]:
        return self.tokens + self.table(condition.labels)[:, None], None

    def dropped(self, condition: Condition, where: Tensor) -> Condition:
        """Replace the class with the null class where ``where`` (B,), on the CPU, is true."""
        labels = condition.labels
        assert labels is not None
        return Condition(labels=labels.masked_fill(sent(where, labels.device), self.classes))

    def null(self, condition: Condition) -> Condition:
        """Return the null class for every sample of ``condition``."""
        assert condition.labels is not None
        return Condition(labels=torch.full_like(condition.labels, self.classes))


class TextConditioner(nn.Module):
    """RMS norm and a Linear from the text encoder's width; padding tokens are masked as keys."""

    def __init__(self, width: int, text_width: int):
        super().__init__()
        self.norm = RMSNorm(text_width)
        self.linear = Linear(text_width, width)

    def forward(self, condition: Condition) -> tuple[Tensor, Tensor | None]:
        """Return tokens (B, L, width) and, if there are any, their mask (B, L) on the CPU."""
        condition = condition.trimmed()
        return self.linear(self.norm(condition.tokens)), condition.mask if condition.length else None

    def dropped(self, condition: Condition, where: Tensor) -> Condition:
        """Replace the text with the null prompt, which has no tokens, where ``where`` (B,) is true.

        ``where`` is on the CPU.
        """
        assert condition.mask is not None
        return Condition(tokens=condition.tokens, mask=condition.mask & ~where[:, None])

    def null(self, condition: Condition) -> Condition:
        """Return the null prompt for every sample of ``condition``."""
        assert condition.tokens is not None
        assert condition.mask is not None
        return Condition(tokens=condition.tokens[:, :0], mask=condition.mask[:, :0])


Conditioning = LabelConditioner | TextConditioner
