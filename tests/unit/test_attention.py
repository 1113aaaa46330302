"""Attention's forward-mode derivative against that of the plain formula."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad

from nanogen.backbones.attention import attention, tangent


def formula(q, k, v, mask=None):
    """softmax(q k^T / sqrt(F)) v, with every intermediate materialised."""
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1) @ v


def inputs(tokens: int, features: int = 16, dtype=torch.float32):
    """(q, k, v) and their tangents, on the scale of normalised queries and keys."""
    generator = torch.Generator().manual_seed(tokens)
    drawn = torch.randn(6, 2, 3, tokens, features, generator=generator).to(dtype)
    return tuple(drawn[:3]), tuple(drawn[3:])


def masks(tokens: int):
    """Masks by name: none, keys hidden per sample, keys hidden per query."""
    padding = torch.arange(tokens) < torch.tensor([tokens, tokens // 2 + 1])[:, None]
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    return {"none": None, "padding": padding[:, None, None], "causal": causal[None, None]}


@pytest.mark.parametrize("kind", ["none", "padding", "causal"])
@pytest.mark.parametrize("tokens", [5, 128, 300])  # below a block, one block, with a remainder
def test_the_tangent_is_the_formulas(tokens, kind):
    primals, tangents = inputs(tokens)
    mask = masks(tokens)[kind]
    expected = torch.func.jvp(lambda *x: formula(*x, mask), primals, tangents)
    found = torch.func.jvp(lambda *x: attention(*x, mask), primals, tangents)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_dual_tensors_give_the_same_as_the_functional_transform():
    primals, tangents = inputs(40)
    _, expected = torch.func.jvp(attention, primals, tangents)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(x, dx) for x, dx in zip(primals, tangents, strict=True)]
        found = forward_ad.unpack_dual(attention(*duals)).tangent
    torch.testing.assert_close(found, expected)


def test_a_tangent_of_one_input_alone():
    (q, k, v), (dq, _, _) = inputs(33)
    _, expected = torch.func.jvp(lambda x: formula(x, k, v), (q,), (dq,))
    _, found = torch.func.jvp(lambda x: attention(x, k, v), (q,), (dq,))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_derivative_is_the_limit_of_differences():
    primals, tangents = inputs(20, dtype=torch.float64)
    step = 1e-6
    ahead, behind = (
        attention(*(x + sign * step * dx for x, dx in zip(primals, tangents, strict=True)))
        for sign in (1, -1)
    )
    found = torch.func.jvp(attention, primals, tangents)[1]
    torch.testing.assert_close(found, (ahead - behind) / (2 * step), atol=1e-7, rtol=1e-6)


def test_the_size_of_a_block_does_not_matter():
    (q, k, v), tangents = inputs(50)
    output = formula(q, k, v)
    whole = tangent(q, k, v, output, *tangents, queries=50)
    for queries in (1, 7, 64):
        found = tangent(q, k, v, output, *tangents, queries=queries)
        torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)


def test_low_precision_rounds_the_result_only():
    primals, tangents = inputs(64, dtype=torch.bfloat16)
    exact = [tuple(x.float() for x in part) for part in (primals, tangents)]
    expected = torch.func.jvp(formula, *exact)[1]
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.func.jvp(attention, primals, tangents)[1]
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=2e-2, rtol=2e-2)


def test_without_tangents_reverse_mode_works():
    primals, _ = inputs(30)
    ours, plain = ([x.clone().requires_grad_() for x in primals] for _ in range(2))
    attention(*ours).square().sum().backward()
    formula(*plain).square().sum().backward()
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4)
