"""Layers of the transformer with explicit forward-mode derivatives, which MeanFlow needs.

PyTorch computes the tangent of a layer operation by operation, and also for weights, which have no
tangent here: a Linear adds products with zeros, and a norm takes ten passes. Attention is in
`nanogen.backbones.attention`. Values are those of the formulas in `nanogen.backbones.layers`.
Reverse-mode differentiation through these functions is not supported.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from nanogen.backbones.fused import inverse_rms
from nanogen.linear import linear


def carried(x: Tensor, *constants: Tensor) -> bool:
    """Whether ``x`` carries a tangent (`torch.autograd.forward_ad`) and the constants do not."""
    return unpack_dual(x).tangent is not None and all(unpack_dual(c).tangent is None for c in constants)


class Part(torch.autograd.Function):
    """Base class of functions of one tensor and of constants; subclasses define ``forward``, ``jvp``."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.set_materialize_grads(False)  # constants have no tangents
        ctx.save_for_forward(*(x for x in inputs if isinstance(x, Tensor)))

    def __init_subclass__(cls) -> None:
        # `apply` asks for the signature at every call
        cls.forward.__signature__ = inspect.signature(cls.forward)  # type: ignore[attr-defined]


class Projected(Part):
    """``apply(x, weight, bias)``: a Linear."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return linear(x, weight, bias)

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, *_: None) -> Tensor:
        _, weight, _ = ctx.saved_tensors
        return linear(dx, weight)


class Normed(Part):
    """``apply(x, weight, eps)``: an RMS norm over the last dimension, and r = 1 / rms(x), (..., 1).

    ``weight`` broadcasts to ``x``.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        inverse = inverse_rms(x, eps)
        return (x * inverse).mul_(weight), inverse

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        (x, weight, _), (_, inverse) = inputs, output
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(inverse)
        ctx.save_for_forward(x, weight, inverse)

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, *_: None) -> tuple[Tensor, None]:
        """Return (dx - x r^2 mean(x dx)) r weight."""
        x, weight, inverse = ctx.saved_tensors
        share = (x * dx).mean(dim=-1, keepdim=True).mul_(inverse.square())
        return torch.addcmul(dx, x, share, value=-1).mul_(inverse).mul_(weight), None


class Turned(Part):
    """``apply(x, cos, sin)``: `rotate`, which is linear in x."""

    @staticmethod
    def forward(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        turned = pairs * torch.complex(cos[..., ::2], sin[..., 1::2])
        return torch.view_as_real(turned).flatten(-2).to(x.dtype)

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, *_: None) -> Tensor:
        _, cos, sin = ctx.saved_tensors
        return Turned.forward(dx, cos, sin)


class Gated(Part):
    """``apply(x)``: silu(gate) * value, and silu(gate), where x (..., 2 K) is gate and value."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        gate, value = x.chunk(2, dim=-1)
        opened = F.silu(gate)
        return opened * value, opened

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_forward(*inputs, output[1])

    @staticmethod
    def jvp(ctx: Any, dx: Tensor) -> tuple[Tensor, None]:
        x, opened = ctx.saved_tensors
        (gate, value), (dgate, dvalue) = x.chunk(2, dim=-1), dx.chunk(2, dim=-1)
        opening = torch.ops.aten.silu_backward(dgate, gate)
        return opening.mul_(value).addcmul_(opened, dvalue), None


class Waves(Part):
    """``apply(t, frequencies)``: sines, then cosines, of 2 pi t f, (B,) and (K,) to (B, 2 K)."""

    @staticmethod
    def forward(t: Tensor, frequencies: Tensor) -> Tensor:
        angles = 2 * math.pi * t[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    @staticmethod
    def jvp(ctx: Any, dt: Tensor, _: None) -> Tensor:
        t, frequencies = ctx.saved_tensors
        sines, cosines = Waves.forward(t, frequencies).chunk(2, dim=-1)
        rates = 2 * math.pi * dt[:, None] * frequencies
        return torch.cat([cosines * rates, -sines * rates], dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate interleaved pairs (a, b) of ``x`` (B, H, T, F): (a cos - b sin, b cos + a sin).

    ``cos`` and ``sin``, e.g. (T, F), broadcast to ``x``. They contain every value twice, ``sin`` with
    the signs (-, +) within a pair.
    """
    x32 = x.float()
    swapped = x32.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(x32 * cos, swapped, sin).to(x.dtype)
