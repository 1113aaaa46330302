"""Layers with hand-written derivatives reproduce the values and gradients of the formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad, gradcheck

from nanogen.backbones.fused import SHORT, GatedSiLU, RMSNormed, RotatedAttention
from nanogen.backbones.layers import Attention, RMSNorm, Rotary2D, SwiGLU, rotate

EPS = 1e-6


def drawn(*shape: int, dtype=torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape) + shape[0])
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()


def bias_of(samples: int, tokens: int) -> torch.Tensor:
    """Attention bias that hides half of the tokens from every sample but the first."""
    hidden = torch.arange(tokens) >= torch.tensor([tokens, *[tokens // 2 + 1] * (samples - 1)])[:, None]
    return torch.zeros(samples, 1, 1, tokens, dtype=torch.float64).masked_fill(
        hidden[:, None, None], -torch.inf
    )


def turns_of(tokens: int, features: int) -> torch.Tensor:
    angles = torch.linspace(0, 5, tokens * features // 2, dtype=torch.float64).view(tokens, -1)
    return torch.polar(torch.ones_like(angles), angles)


def attention_formula(qkv, weights, turns, bias):
    """The same attention in elementary operations."""
    cos, sin = (part.repeat_interleave(2, dim=1) for part in (turns.real, turns.imag))
    signs = torch.tensor([-1.0, 1.0]).repeat(turns.shape[1])
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    q, k = (F.rms_norm(x, x.shape[-1:], w, EPS) for x, w in zip((q, k), weights, strict=True))
    q, k = (x * cos + x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2) * sin * signs for x in (q, k))
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    scores = scores if bias is None else scores + bias
    return (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


def assert_same_gradients(ours: Callable, formula: Callable, *inputs: torch.Tensor) -> None:
    value, expected = ours(*inputs), formula(*inputs)
    torch.testing.assert_close(value, expected)
    along = torch.cos(torch.arange(value.numel(), dtype=value.dtype)).view_as(value)
    found = torch.autograd.grad(value, inputs, along)
    torch.testing.assert_close(found, torch.autograd.grad(expected, inputs, along))


def test_the_norms_gradient_is_the_formulas():
    x, weight = drawn(2, 3, 10), drawn(10)
    gradcheck(lambda x, w: RMSNormed.apply(x, w, EPS), (x, weight))
    assert_same_gradients(
        lambda x, w: RMSNormed.apply(x, w, EPS), lambda x, w: F.rms_norm(x, (10,), w, EPS), x, weight
    )


def test_a_row_of_zeros_has_a_finite_norm_and_gradient():
    x = torch.zeros(2, 8, requires_grad=True)
    y = RMSNormed.apply(x, torch.ones(8), EPS)
    assert not y.any()
    assert torch.autograd.grad(y.sum(), x)[0].isfinite().all()


def test_the_gates_gradient_is_the_formulas():
    def formula(x):
        gate, value = x.chunk(2, dim=-1)
        return F.silu(gate) * value

    x = drawn(2, 3, 12)
    gradcheck(GatedSiLU.apply, (x,))
    assert_same_gradients(GatedSiLU.apply, formula, x)


@pytest.mark.parametrize("masked", [False, True])
def test_attentions_gradient_is_checked_by_differences(masked):
    qkv, weights, turns = drawn(2, 5, 3, 2, 4), drawn(2, 4), turns_of(5, 4)
    bias = bias_of(2, 5) if masked else None
    gradcheck(lambda x, w: RotatedAttention.apply(x, w, turns, bias, EPS), (qkv, weights))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tokens", [SHORT, SHORT + 1])  # stored weights; the library's kernel
def test_attentions_gradient_is_the_formulas(tokens, masked):
    qkv, weights, turns = drawn(2, tokens, 3, 2, 4), drawn(2, 4), turns_of(tokens, 4)
    bias = bias_of(2, tokens) if masked else None
    assert_same_gradients(
        lambda x, w: RotatedAttention.apply(x, w, turns, bias, EPS),
        lambda x, w: attention_formula(x, w, turns, bias),
        qkv,
        weights,
    )


@pytest.mark.parametrize("masked", [False, True])
def test_the_modules_value_is_the_one_that_carries_a_tangent(masked):
    torch.manual_seed(0)
    layer, rotary = Attention(24, 2), Rotary2D(12, 2, 3)
    torch.nn.init.normal_(layer.q_norm.weight)
    mask = torch.arange(9) < torch.tensor([9, 7])[:, None, None, None] if masked else None
    x = torch.randn(2, 9, 24)
    assert_tangents_value(lambda x: layer(x, rotary.angles(1, 2), mask), x)
    assert_tangents_value(SwiGLU(24), x)
    assert_tangents_value(RMSNorm(24), x)


@torch.no_grad()
def assert_tangents_value(module: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> None:
    with forward_ad.dual_level():
        expected = forward_ad.unpack_dual(module(forward_ad.make_dual(x, torch.ones_like(x)))).primal
    torch.testing.assert_close(module(x), expected, atol=1e-6, rtol=1e-5)


def test_the_modules_turn_as_rotate_does():
    """The complex factors of attention's rotation are the cosines and sines of the positions."""
    rotary, x = Rotary2D(8, 2, 2), torch.randn(1, 1, 5, 8)
    cos, sin = rotary.angles(1, 0)
    turned = torch.view_as_complex(x.unflatten(-1, (-1, 2))) * torch.complex(cos[:, ::2], sin[:, 1::2])
    torch.testing.assert_close(torch.view_as_real(turned).flatten(-2), rotate(x, cos, sin))
