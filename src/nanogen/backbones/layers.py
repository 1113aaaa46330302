"""Layers of the transformer: RMS norm, rotary positions, attention and SwiGLU.

Each module draws its own initial weights, with the distributions of the authors' code. A Linear has
torch's default, weight and bias uniform within 1 / sqrt(inputs), unless a function of this module
creates it. Fused projections have the same distribution as separate ones.

``with_tangent`` is ``forward`` for values and tangents stacked as in `nanogen.backbones.tangents`.

Shapes: B batch, T tokens, D width, H heads, F = D / H features per head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen import linear
from nanogen.backbones.attention import attention, attention_with_tangent
from nanogen.backbones.fused import GatedSiLU, RMSNormed, RotatedAttention, pairs
from nanogen.backbones.packing import Packing
from nanogen.backbones.tangents import carried, dual, gated, normed, projected, rotate, stacked
from nanogen.linear import reverse_mode_on_cpu


class Linear(linear.Linear):
    """A Linear with a cheaper forward-mode derivative."""

    def forward(self, x: Tensor) -> Tensor:
        if carried(x, (self.weight, self.bias)):
            return dual(self.with_tangent(stacked(x)))
        return super().forward(x)

    def with_tangent(self, x: Tensor) -> Tensor:
        return projected(x, self.weight, self.bias)


def zero_linear(inputs: int, outputs: int) -> Linear:
    """Return a Linear whose weight and bias are initially zero."""
    made = Linear(inputs, outputs)
    nn.init.zeros_(made.weight)
    nn.init.zeros_(made.bias)
    return made


def patch_embedding(values: int, width: int) -> Linear:
    """Return the Linear that embeds the values of a patch: Xavier-uniform weight, zero bias."""
    made = Linear(values, width)
    nn.init.xavier_uniform_(made.weight)
    nn.init.zeros_(made.bias)
    return made


class RMSNorm(nn.Module):
    """Root-mean-square norm with a learned scale, computed in float32 for half-precision inputs too."""

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if reverse_mode_on_cpu(x):
            return RMSNormed.apply(x, self.weight, self.eps)
        if carried(x, (self.weight,)):
            return dual(self.with_tangent(stacked(x)))
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps).to(x.dtype)

    def with_tangent(self, x: Tensor) -> Tensor:
        return normed(x.float(), self.weight, self.eps).to(x.dtype)


class Rotary2D(nn.Module):
    """Rotary positions of a rows x columns grid: half of each head encodes rows, the other half columns.

    Pairs of features are interleaved (0-1, 2-3, ...) and rotated by position * 10000^(-2 i / (F / 2)).
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, head_width: int, rows: int, columns: int, theta: float = 10000.0):
        super().__init__()
        half = head_width // 2
        frequencies = theta ** (-torch.arange(0, half, 2, dtype=torch.float64)[: half // 2] / half)
        row, column = torch.meshgrid(
            torch.arange(rows, dtype=torch.float64),
            torch.arange(columns, dtype=torch.float64),
            indexing="ij",
        )
        angles = torch.cat(
            [row.reshape(-1, 1) * frequencies, column.reshape(-1, 1) * frequencies], dim=1
        )  # (rows * columns, F / 2)
        signs = torch.tensor([-1.0, 1.0]).repeat(half)
        cos, sin = (part.repeat_interleave(2, dim=1).float() for part in (angles.cos(), angles.sin()))
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin * signs, persistent=False)

    def angles(self, before: int, after: int) -> tuple[Tensor, Tensor]:
        """Return (cos, signed sin), each (T, F), of the grid and of unrotated tokens around it.

        ``before`` and ``after`` are the numbers of unrotated tokens.
        """
        cos = F.pad(self.cos, (0, 0, before, after), value=1.0)
        sin = F.pad(self.sin, (0, 0, before, after), value=0.0)
        return cos, sin


class Attention(nn.Module):
    """Self-attention with RMS-normalised, rotated queries and keys, and one fused projection."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads or (width // heads) % 4:
            raise ValueError(f"width {width} divided by heads {heads} is not a multiple of 4")
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.q_norm = RMSNorm(width // heads)
        self.k_norm = RMSNorm(width // heads)
        self.out = Linear(width, width)

    def forward(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor],
        mask: Tensor | None = None,
        count: int | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """Map ``x`` (B, T, D), or (N, D) with a packing, to the same shape.

        With ``count``, the result is the first tokens of every sample, (B, count, D). ``mask``
        (B, 1, 1, T) is true for tokens that may be attended to.
        """
        qkv = self.qkv(x)
        if packing is not None:
            qkv = packing.padded(qkv)
        y = self._attended(qkv.unflatten(-1, (3, self.heads, -1)), angles, mask, count)
        return self.out(y if packing is None or count is not None else packing.packed(y))

    def _attended(
        self,
        qkv: Tensor,
        angles: tuple[Tensor, Tensor],
        mask: Tensor | None,
        count: int | None,
    ) -> Tensor:
        """Compute what is between both projections: (B, T, 3, H, F) -> (B, count, D)."""
        if reverse_mode_on_cpu(qkv):
            return self._fused(qkv, angles, mask)[:, :count]
        q, k = (part.transpose(1, 2) for part in (qkv[:, :, 0], qkv[:, :, 1]))
        q, k = rotate(self.q_norm(q), *angles), rotate(self.k_norm(k), *angles)
        y = attention(q[:, :, :count], k, qkv[:, :, 2].transpose(1, 2), mask)  # (B, H, count, F)
        return y.transpose(1, 2).flatten(2)

    def with_tangent(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor],
        mask: Tensor | None = None,
        count: int | None = None,
    ) -> Tensor:
        qkv = self.qkv.with_tangent(x).unflatten(-1, (3, self.heads, -1))  # (2, B, T, 3, H, F)
        weights = torch.stack([self.q_norm.weight, self.k_norm.weight])[:, None]
        both = normed(qkv[:, :, :, :2].float(), weights, self.q_norm.eps)
        pairs(both).mul_(_turns(angles)[:, None, None])
        q, k = both.to(qkv.dtype).transpose(2, 4).unbind(3)  # (2, B, H, T, F)
        y = attention_with_tangent(q[:, :, :, :count], k, qkv[:, :, :, 2].transpose(2, 3), mask)
        return self.out.with_tangent(y.transpose(2, 3).flatten(3))

    def _fused(self, qkv: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """Compute `_attended` with explicit derivatives, for all tokens."""
        weights = torch.stack([self.q_norm.weight, self.k_norm.weight])
        turns = _turns((angles[0].to(qkv.dtype), angles[1].to(qkv.dtype)))
        bias = None
        if mask is not None:
            bias = torch.zeros_like(mask, dtype=qkv.dtype).masked_fill_(~mask, -torch.inf)
        return RotatedAttention.apply(qkv, weights, turns, bias, self.q_norm.eps)


def _turns(angles: tuple[Tensor, Tensor]) -> Tensor:
    """Return the complex numbers (T, F / 2) that rotate pairs of features."""
    cos, sin = angles
    return torch.complex(cos[:, ::2], sin[:, 1::2])


class SwiGLU(nn.Module):
    """Gated MLP: out(silu(gate x) * value x), with hidden width int(2/3 * ratio * width)."""

    def __init__(self, width: int, ratio: float = 4.0):
        super().__init__()
        hidden = int(2 / 3 * ratio * width)
        self.gate_value = Linear(width, 2 * hidden)
        self.out = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        both = self.gate_value(x)
        if reverse_mode_on_cpu(both):
            return self.out(GatedSiLU.apply(both))
        gate, value = both.chunk(2, dim=-1)
        return self.out(F.silu(gate) * value)

    def with_tangent(self, x: Tensor) -> Tensor:
        return self.out.with_tangent(gated(self.gate_value.with_tangent(x)))
