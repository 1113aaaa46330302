"""Softmax attention and its forward-mode derivative, which MeanFlow needs.

PyTorch's fast kernels have no forward-mode derivative, and its fallback materialises every intermediate
of the formula for the whole sequence. Here the tangent is computed explicitly, for one block of queries
at a time, while the primal still uses the fast kernels.

Shapes: B batch, H heads, T tokens, F features per head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from nanogen.backbones.tangents import dual, stacked

QUERIES = 128  # queries per block: the largest intermediate is (B, H, QUERIES, T)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute softmax(q k^T / sqrt(F)) v for q, k, v (B, H, T, F); returns (B, H, T, F).

    ``mask`` is boolean, true where a key may be attended to, and broadcasts to (B, H, T, T). If an input
    carries a tangent (``torch.func.jvp`` or ``torch.autograd.forward_ad``), the result carries one too,
    and reverse-mode differentiation through it is not supported.
    """
    if any(unpack_dual(x).tangent is not None for x in (q, k, v)):
        return dual(attention_with_tangent(stacked(q), stacked(k), stacked(v), mask))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def attention_with_tangent(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Compute `attention` for stacked values and tangents (2, B, H, T, F)."""
    if q.shape[-2] <= QUERIES and _exact(q):
        return _short(q.contiguous(), k.contiguous(), v.contiguous(), mask)
    made = F.scaled_dot_product_attention(q[0], k[0], v[0], attn_mask=mask)
    # Use float32 under autocast too: rounded scores would change every weight by several per cent.
    exact = torch.promote_types(q.dtype, torch.float32)
    with torch.autocast(q.device.type, enabled=False):
        (q, dq), (k, dk), (v, dv) = (x.to(exact) for x in (q, k, v))
        moved = tangent(q, k, v, made.to(exact), dq, dk, dv, mask)
    return torch.stack([made, moved.to(made.dtype)])


def _exact(q: Tensor) -> bool:
    """Whether products with ``q`` are computed in float32 or better."""
    return not torch.is_autocast_enabled(q.device.type) and q.dtype in (torch.float32, torch.float64)


def _short(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Keep all weights, which the value and the tangent share. Arguments are contiguous."""
    (q, dq), (k, dk), (v, dv) = q, k, v
    weights = _weights(q, k, mask)
    made = weights @ v
    dscores = (dq @ k.transpose(-2, -1)).add_(q @ dk.transpose(-2, -1)).mul_(q.shape[-1] ** -0.5)
    return torch.stack([made, _along(weights, dscores, v, dv, made)])


def _weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(q k^T / sqrt(F)) over the keys that ``mask`` shows, (B, H, T, T)."""
    scores = (q @ k.transpose(-2, -1)).mul_(q.shape[-1] ** -0.5)
    if mask is not None:
        scores = scores.masked_fill_(~mask, -torch.inf)
    return scores.softmax(dim=-1)


def _along(weights: Tensor, dscores: Tensor, v: Tensor, dv: Tensor, output: Tensor) -> Tensor:
    """Return the derivative of ``output`` = weights v for derivatives of the scores and values."""
    changes = weights * dscores
    lost = changes.sum(dim=-1, keepdim=True)
    return (weights @ dv).add_(changes @ v).addcmul_(lost, output, value=-1)


def tangent(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    output: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    mask: Tensor | None = None,
    queries: int = QUERIES,
) -> Tensor:
    """Compute the derivative of ``output = attention(q, k, v, mask)`` along (dq, dk, dv).

    All tensors but the mask are (B, H, T, F).

    With the weights P = softmax(S) and S = q k^T / sqrt(F), the product rule and the derivative of the
    softmax give

        dS = (dq k^T + q dk^T) / sqrt(F),  W = P * dS,  dO = P dv + W v - rowsum(W) O.

    The result is exact. Only ``queries`` rows of P and W are in memory at a time.
    """
    # one product for both terms of dS: (dq, q) times (k, dk)
    q2 = torch.cat([dq, q], dim=-1) * q.shape[-1] ** -0.5
    k2 = torch.cat([k, dk], dim=-1).transpose(-2, -1)
    parts = []
    for start in range(0, q.shape[-2], queries):
        rows = slice(start, start + queries)
        seen = mask if mask is None or mask.shape[-2] == 1 else mask[..., rows, :]
        weights = _weights(q[..., rows, :], k, seen)
        parts.append(_along(weights, q2[..., rows, :] @ k2, v, dv, output[..., rows, :]))
    return torch.cat(parts, dim=-2)
