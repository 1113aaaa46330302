"""The layers with explicit tangents give the values and tangents of the formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from nanogen.backbones.ddt import DecoderBlock
from nanogen.backbones.encoder import EncoderBlock
from nanogen.backbones.layers import Linear, RMSNorm, Rotary2D
from nanogen.backbones.tangents import added_product, gated, modulated, moving_waves, normed, projected

torch_linear = torch.nn.Linear(12, 5).requires_grad_(False)
WEIGHT = torch.linspace(0.5, 2, 12)
PAIR = torch.stack([WEIGHT, WEIGHT.flip(0)])[:, None]


def norm(x: Tensor, weight: Tensor) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * weight


def waves(t: Tensor) -> Tensor:
    angles = 2 * torch.pi * t[:, None] * WEIGHT
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def gate(x: Tensor) -> Tensor:
    opened, value = x.chunk(2, dim=-1)
    return F.silu(opened) * value


# name -> (with tangents stacked, formula, shapes of the arguments)
LAYERS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[tuple[int, ...]]]] = {
    "linear": (
        lambda x: projected(x, torch_linear.weight, torch_linear.bias),
        lambda x: F.linear(x, torch_linear.weight, torch_linear.bias),
        [(2, 3, 12)],
    ),
    "linear without bias": (
        lambda x: projected(x, torch_linear.weight, None),
        lambda x: F.linear(x, torch_linear.weight),
        [(2, 3, 12)],
    ),
    "norm": (lambda x: normed(x, WEIGHT, 1e-6), lambda x: norm(x, WEIGHT), [(2, 3, 12)]),
    "norm of two parts": (
        lambda x: normed(x, PAIR, 1e-6),
        lambda x: norm(x, PAIR),
        [(3, 2, 4, 12)],
    ),
    "gate": (gated, gate, [(2, 3, 12)]),
    "sum with a product": (added_product, lambda x, a, b: x + a * b, [(2, 3, 4)] * 3),
    "modulation": (modulated, lambda x, a, b: x * (1 + b) + a, [(2, 3, 4)] * 3),
    "waves": (lambda t: moving_waves(t, WEIGHT), waves, [(5,)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_value_and_tangent_are_the_formulas(name):
    ours, formula, shapes = LAYERS[name]
    generator = torch.Generator().manual_seed(1)
    arguments = [torch.randn(2, *shape, generator=generator) for shape in shapes]
    values, tangents = zip(*arguments, strict=True)
    expected = torch.func.jvp(formula, values, tangents)
    torch.testing.assert_close(tuple(ours(*arguments)), expected, atol=1e-6, rtol=1e-5)


def random(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


ANGLES = Rotary2D(8, 2, 3).angles(0, 3)
GRID = Rotary2D(8, 3, 3).angles(0, 0)
MASK = torch.tensor([[[[True] * 9]], [[[True] * 7 + [False] * 2]]])
MODULES: dict[str, tuple[Callable[[], torch.nn.Module], tuple[Any, ...]]] = {
    "linear": (lambda: Linear(16, 5), ()),
    "norm": (lambda: RMSNorm(16), ()),
    "block": (lambda: EncoderBlock(16, 2, 4.0), (ANGLES, None, 9)),
    "masked block": (lambda: EncoderBlock(16, 2, 4.0), (ANGLES, MASK, 9)),
    "last block": (lambda: EncoderBlock(16, 2, 4.0), (ANGLES, MASK, 6)),
    "decoder block": (
        lambda: DecoderBlock(16, 2, 4.0),
        (torch.linspace(-1, 1, 288).view(2, 9, 16), GRID),
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_the_tangents_of_modules_are_those_of_their_formulas(name):
    """With tangents of the weights, even of zero, modules use their formulas."""
    made, others = MODULES[name]
    module, generator = random(made()), torch.Generator().manual_seed(1)
    x, dx = torch.randn(2, 2, 9, 16, generator=generator)
    weights = {name: value.detach() for name, value in module.named_parameters()}

    def formula(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(module, weights, (x, *others))

    still = {name: torch.zeros_like(value) for name, value in weights.items()}
    expected = torch.func.jvp(formula, (weights, x), (still, dx))
    with torch.no_grad(), forward_ad.dual_level():
        found = forward_ad.unpack_dual(module(forward_ad.make_dual(x, dx), *others))
    torch.testing.assert_close(tuple(found), expected, atol=2e-5, rtol=1e-4)
    with torch.no_grad():
        found = torch.func.jvp(lambda x: module(x, *others), (x,), (dx,))
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(module(x, *others), expected[0], atol=2e-5, rtol=1e-4)


def test_the_condition_of_a_decoder_block_moves_too():
    block, generator = random(DecoderBlock(16, 2, 4.0)), torch.Generator().manual_seed(1)
    primals = tuple(torch.randn(2, 2, 9, 16, generator=generator))
    tangents = tuple(torch.randn(2, 2, 9, 16, generator=generator))
    step = 1e-2
    with torch.no_grad():
        found = torch.func.jvp(lambda x, s: block(x, s, GRID), primals, tangents)[1]
        ahead, behind = (
            block(*(x + sign * step * dx for x, dx in zip(primals, tangents, strict=True)), GRID)
            for sign in (1, -1)
        )
    difference = (ahead - behind) / (2 * step)
    assert (found - difference).norm() < 1e-2 * difference.norm()


def test_a_weight_that_moves_moves_the_output():
    linear, x = Linear(4, 3), torch.randn(2, 4)
    moved = torch.randn(3, 4)

    def output(weight: Tensor) -> Tensor:
        return torch.func.functional_call(linear, {"weight": weight}, (x,))

    _, tangent = torch.func.jvp(output, (linear.weight.detach(),), (moved,))
    torch.testing.assert_close(tangent, x @ moved.T)
