"""The layers with hand-written tangents give the values and tangents of the formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from nanogen.backbones.layers import Linear, Rotary2D
from nanogen.backbones.tangents import Gated, Normed, Projected, Turned, Waves, rotate

torch_linear = torch.nn.Linear(12, 5)
COS, SIN = Rotary2D(8, 2, 3).angles(1, 2)
WEIGHT = torch.linspace(0.5, 2, 12)


PAIR = torch.stack([WEIGHT, WEIGHT.flip(0)])[:, None]


def waves(t: Tensor) -> Tensor:
    angles = 2 * torch.pi * t[:, None] * WEIGHT
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def gated(x: Tensor) -> Tensor:
    gate, value = x.chunk(2, dim=-1)
    return F.silu(gate) * value


PARTS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[int, ...]]] = {
    "linear": (
        lambda x: Projected.apply(x, torch_linear.weight.detach(), torch_linear.bias.detach()),
        lambda x: F.linear(x, torch_linear.weight.detach(), torch_linear.bias.detach()),
        (2, 3, 12),
    ),
    "norm": (
        lambda x: Normed.apply(x, WEIGHT, 1e-6)[0],
        lambda x: x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * WEIGHT,
        (2, 3, 12),
    ),
    "positions": (
        lambda x: Turned.apply(x, COS, SIN),
        lambda x: rotate(x, COS, SIN),
        (2, 2, 9, 8),
    ),
    "norm of two parts": (
        lambda x: Normed.apply(x, PAIR, 1e-6)[0],
        lambda x: x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * PAIR,
        (3, 2, 4, 12),
    ),
    "positions of two parts": (
        lambda x: Turned.apply(x, COS[:, None, None], SIN[:, None, None]),
        lambda x: rotate(x, COS[:, None, None], SIN[:, None, None]),
        (2, 9, 2, 2, 8),
    ),
    "gate": (lambda x: Gated.apply(x)[0], gated, (2, 3, 12)),
    "waves": (lambda t: Waves.apply(t, WEIGHT), waves, (5,)),
}


@pytest.mark.parametrize("name", PARTS)
def test_value_and_tangent_are_the_formulas(name):
    ours, formula, shape = PARTS[name]
    x, dx = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    expected = torch.func.jvp(formula, (x,), (dx,))
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(ours(forward_ad.make_dual(x, dx)))
    torch.testing.assert_close(tuple(found), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(torch.func.jvp(ours, (x,), (dx,)), expected, atol=1e-6, rtol=1e-5)


def test_a_weight_that_moves_moves_the_output():
    linear, x = Linear(4, 3), torch.randn(2, 4)
    moved = torch.randn(3, 4)

    def output(weight: Tensor) -> Tensor:
        return torch.func.functional_call(linear, {"weight": weight}, (x,))

    _, tangent = torch.func.jvp(output, (linear.weight.detach(),), (moved,))
    torch.testing.assert_close(tangent, x @ moved.T)
