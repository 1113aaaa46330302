"""Layers of the transformer on a value and its tangent, which MeanFlow needs.

PyTorch's forward mode computes the tangent of a layer operation by operation, and also for weights,
which have no tangent here: a Linear adds products with zeros, and a norm takes ten passes. In a small
network, launching these operations takes longer than computing them. The functions of this module take
and return values and tangents stacked in one tensor: x[0] is the value, x[1] the tangent. What is linear
in x is then one operation.

The values are those of the formulas in `nanogen.backbones.layers`. Attention is in
`nanogen.backbones.attention`. Reverse-mode differentiation is not supported.

Shapes: (2, ...) with ... as in the layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.forward_ad import make_dual, unpack_dual

from nanogen.backbones.fused import inverse_rms
from nanogen.linear import linear

aten = torch.ops.aten


def carried(x: Tensor, constants: Iterable[Tensor | None]) -> bool:
    """Whether ``x`` carries a tangent (`torch.autograd.forward_ad`) and the constants do not."""
    return unpack_dual(x).tangent is not None and all(
        constant is None or unpack_dual(constant).tangent is None for constant in constants
    )


def stacked(x: Tensor) -> Tensor:
    """Stack the value and the tangent of a tensor; without a tangent, it is zero."""
    value, tangent = unpack_dual(x)
    return torch.stack([value, torch.zeros_like(value) if tangent is None else tangent])


def dual(x: Tensor) -> Tensor:
    """Invert `stacked`: return x[0] with the tangent x[1]."""
    return make_dual(x[0], x[1])


def projected(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A Linear: x weight^T + bias for x (2, ..., K) and weight (N, K)."""
    y = linear(x, weight)
    if bias is not None:
        y[0].add_(bias)
    return y


def normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """An RMS norm over the last dimension; ``weight`` broadcasts to x[0].

    The tangent of n = x / rms(x) is dx / rms(x) - n mean(n dx / rms(x)).
    """
    y = x * inverse_rms(x[0], eps)
    share = (y[0] * y[1]).mean(dim=-1, keepdim=True)
    y[1].addcmul_(y[0], share, value=-1)
    return y.mul_(weight)


def gated(x: Tensor) -> Tensor:
    """silu(gate) * value, where x (2, ..., 2 K) is gate and value side by side."""
    gate, value = x.chunk(2, dim=-1)
    y = F.silu(gate[0]) * value
    y[1].addcmul_(aten.silu_backward(gate[1], gate[0]), value[0])
    return y


def added_product(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """x + a b."""
    y = torch.addcmul(x, a, b[0])
    y[1].addcmul_(a[0], b[1])
    return y


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (1 + scale) + shift."""
    return added_product(x + shift, x, scale)


def waves(t: Tensor, frequencies: Tensor) -> Tensor:
    """Return sines, then cosines, of 2 pi t f, for t (B,) and f (K,): (B, 2 K)."""
    angles = 2 * math.pi * t[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def moving_waves(t: Tensor, frequencies: Tensor) -> Tensor:
    """`waves` of t (2, B)."""
    sines, cosines = waves(t[0], frequencies).chunk(2, dim=-1)
    rates = 2 * math.pi * t[1][:, None] * frequencies
    moved = torch.cat([cosines * rates, -sines * rates], dim=-1)
    return torch.stack([torch.cat([sines, cosines], dim=-1), moved])


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate interleaved pairs (a, b) of ``x`` (B, H, T, F): (a cos - b sin, b cos + a sin).

    ``cos`` and ``sin``, e.g. (T, F), broadcast to ``x``. They contain every value twice, ``sin`` with
    the signs (-, +) within a pair.
    """
    x32 = x.float()
    swapped = x32.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(x32 * cos, swapped, sin).to(x.dtype)
