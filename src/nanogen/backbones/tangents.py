"""Layers of the transformer with explicit forward-mode derivatives, which MeanFlow needs.

PyTorch computes the tangent of a layer operation by operation, and also for weights, which have no
tangent here: a Linear adds products with zeros, and a norm takes ten passes. Attention is in
`nanogen.backbones.attention`. Values are those of the formulas in `nanogen.backbones.layers`.
Reverse-mode differentiation through these functions is not supported.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual


def carried(x: Tensor, *constants: Tensor) -> bool:
    """Whether ``x`` carries a tangent (`torch.autograd.forward_ad`) and the constants do not."""
    return unpack_dual(x).tangent is not None and all(unpack_dual(c).tangent is None for c in constants)


class Part(torch.autograd.Function):
    """Base class of functions of one tensor and of constants; subclasses define ``forward``, ``jvp``."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.set_materialize_grads(False)  # constants have no tangents
        ctx.save_for_forward(*(x for x in inputs if isinstance(x, Tensor)))
        ctx.numbers = [x for x in inputs if not isinstance(x, Tensor)]


class Projected(Part):
    """``apply(x, weight, bias)``: a Linear."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, *_: None) -> Tensor:
        _, weight, _ = ctx.saved_tensors
        return F.linear(dx, weight)


class Normed(Part):
    """``apply(x, weight, eps)``: an RMS norm over the last dimension."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, eps: float) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, eps)

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, *_: None) -> Tensor:
        """Return (dx - x r^2 mean(x dx)) r weight, where r = 1 / rms(x)."""
        x, weight = ctx.saved_tensors
        squared = 1 / (x.square().mean(dim=-1, keepdim=True) + ctx.numbers[0])
        share = (x * dx).mean(dim=-1, keepdim=True) * squared
        return torch.addcmul(dx, x, share, value=-1).mul_(squared.sqrt()).mul_(weight)


class Turned(Part):
    """``apply(x, cos, sin)``: `rotate`, which is linear in x."""

    @staticmethod
    def forward(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        turned = pairs * torch.complex(cos[:, ::2], sin[:, 1::2])
        return torch.view_as_real(turned).flatten(-2).to(x.dtype)

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, *_: None) -> Tensor:
        _, cos, sin = ctx.saved_tensors
        return Turned.forward(dx, cos, sin)


class Gated(Part):
    """``apply(x)``: silu(gate) * value, where x (..., 2 K) is gate and value side by side."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        gate, value = x.chunk(2, dim=-1)
        return F.silu(gate) * value

    @staticmethod
    def jvp(ctx: Any, dx: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        (gate, value), (dgate, dvalue) = x.chunk(2, dim=-1), dx.chunk(2, dim=-1)
        opening = torch.ops.aten.silu_backward(dgate, gate)
        return torch.addcmul(opening * value, F.silu(gate), dvalue)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate interleaved pairs (a, b) of ``x`` (B, H, T, F): (a cos - b sin, b cos + a sin).

    ``cos`` and ``sin`` (T, F) contain every value twice, ``sin`` with the signs (-, +) within a pair.
    """
    x32 = x.float()
    swapped = x32.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(x32 * cos, swapped, sin).to(x.dtype)
