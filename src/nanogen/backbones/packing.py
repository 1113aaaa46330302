"""Sequences of a batch without padding, so that texts cost what their tokens cost.

Between attention layers, tokens of all samples are rows of one matrix. First come the tokens that every
sample has, then those of the texts. Attention needs sequences of one length, whose padding is masked.

Shapes: B samples, T tokens of a padded sequence, N tokens without padding, D width.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nanogen.transfer import sent


class Packing(NamedTuple):
    """Where the tokens of padded sequences are in packed ones, and the other way round."""

    rows: Tensor  # (N,) int64, places among the B T tokens of padded sequences
    places: Tensor  # (B T,) int64, rows of the packed tokens; N for padding
    samples: int  # B
    shared: int  # number of tokens that every sample has, before those of its text

    @classmethod
    def of(cls, mask: Tensor, shared: int, device: torch.device) -> Packing | None:
        """Build it from a mask (B, L) on the CPU, true for tokens of texts; None without padding."""
        if mask.all():
            return None
        samples, longest = mask.shape
        texts = F.pad(mask, (shared, 0), value=False).flatten().nonzero()[:, 0]
        starts = torch.arange(samples)[:, None] * (shared + longest)
        rows = torch.cat([(starts + torch.arange(shared)).flatten(), texts])
        places = torch.full((samples * (shared + longest),), len(rows))
        places[rows] = torch.arange(len(rows))
        return cls(sent(rows, device), sent(places, device), samples, shared)

    def packed(self, x: Tensor) -> Tensor:
        """Leave padding out: (B, T, D) -> (N, D)."""
        return Packed.apply(x.flatten(0, 1), self.rows, self.places)

    def padded(self, x: Tensor) -> Tensor:
        """Invert `packed`, with zeros as padding: (N, D) -> (B, T, D)."""
        return Padded.apply(x, self.rows, self.places).unflatten(0, (self.samples, -1))

    def first(self, x: Tensor, count: int) -> Tensor:
        """Return the first ``count`` tokens of every sample, which all have: (N, D) -> (B, count, D)."""
        shared = x[: self.samples * self.shared].unflatten(0, (self.samples, self.shared))
        return shared[:, :count]


# The derivative of a selection of rows adds, with atomic operations on a GPU. Here no row is selected
# twice, so it is a selection too.


class Packed(torch.autograd.Function):
    """``apply(x, rows, places)``: the rows ``rows`` of x (B T, D), (N, D)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return x.index_select(0, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return _with_zeros(g, places), None, None


class Padded(torch.autograd.Function):
    """``apply(x, rows, places)``: the rows ``places`` of x (N, D) and of zeros after it, (B T, D)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return _with_zeros(x, places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (rows,) = ctx.saved_tensors
        return g.index_select(0, rows), None, None


def _with_zeros(x: Tensor, places: Tensor) -> Tensor:
    return F.pad(x, (0, 0, 0, 1)).index_select(0, places)
