"""Sequences of a batch without padding, so that texts cost what their tokens cost.

Between attention layers, tokens of all samples are rows of one matrix. First come the tokens that every
sample has, then those of the texts. Attention needs sequences of one length; what is at the places of
padding does not matter there, because it is masked, and no gradient reaches it.

Shapes: B samples, T tokens of a padded sequence, N tokens without padding, D width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen.transfer import sent


class Packing(NamedTuple):
    """Where the tokens of padded sequences are in packed ones, and the other way round."""

    rows: Tensor  # (N,) int64, places among the B T tokens of padded sequences
    places: Tensor  # (B T,) int64, rows of the packed tokens; padding has the row of another token
    samples: int  # B
    shared: int  # number of tokens that every sample has, before those of its text

    @classmethod
    def of(cls, mask: Tensor, shared: int, device: torch.device) -> Packing | None:
        """Build it from a mask (B, L) on the CPU, true for tokens of texts; None without padding.

        At least one token must be true.
        """
        if mask.all():
            return None
        samples, texts = mask.shape
        first = torch.arange(samples * shared).view(samples, shared)
        other = samples * shared + (mask.flatten().cumsum(0) - 1).clamp_min(0).view(samples, texts)
        real = F.pad(mask, (shared, 0), value=False).flatten().nonzero()[:, 0]
        starts = torch.arange(samples)[:, None] * (shared + texts)
        rows = torch.cat([(starts + torch.arange(shared)).flatten(), real])
        places = torch.cat([first, other], dim=1).flatten()
        return cls(sent(rows, device), sent(places, device), samples, shared)

    def packed(self, x: Tensor) -> Tensor:
        """Leave padding out: (B, T, D) -> (N, D)."""
        return x.flatten(0, 1).index_select(0, self.rows)

    def padded(self, x: Tensor) -> Tensor:
        """Invert `packed`, with other tokens as padding: (N, D) -> (B, T, D)."""
        return x.index_select(0, self.places).unflatten(0, (self.samples, -1))

    def first(self, x: Tensor, count: int) -> Tensor:
        """Return the first ``count`` tokens of every sample, which all have: (N, D) -> (B, count, D)."""
        shared = x[: self.samples * self.shared].unflatten(0, (self.samples, self.shared))
        return shared[:, :count]
