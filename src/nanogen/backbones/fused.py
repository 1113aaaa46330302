"""Layers of the transformer for CPUs, with explicit derivatives.

A small network spends most of a step on passes over memory and on launching operations, not on matrix
products. An explicit derivative needs few of both. The values are those of the formulas in
`nanogen.backbones.layers`, which are used where `nanogen.linear.reverse_mode_on_cpu` is false; only the
order of summation differs.

Shapes: B batch, T tokens, D width, H heads, F = D / H features per head.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Attention weights are kept up to this number of tokens: the fast kernel's overhead is larger there.
SHORT = 128

aten = torch.ops.aten


def inverse_rms(x: Tensor, eps: float) -> Tensor:
    """Return 1 / sqrt(mean of squares + eps) over the last dimension, (..., 1)."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm.square_().mul_(1 / x.shape[-1]).add_(eps).rsqrt_()


class RMSNormed(torch.autograd.Function):
    """``apply(x, weight, eps)``: x (..., D) / rms(x) * weight (D,)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        inverse = inverse_rms(x, eps)
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        """Apply the backward pass of a layer norm with mean zero, plus the mean that it subtracts."""
        x, weight, inverse = ctx.saved_tensors
        width = x.shape[-1]
        g = g.contiguous()
        zero = torch.zeros_like(inverse)
        every = (True, True, False)
        dx, dweight, _ = aten.native_layer_norm_backward(
            g, x, (width,), zero, inverse, weight, None, every
        )
        taken = (g.view(-1, width) @ weight).view_as(inverse)
        return dx.addcmul_(taken, inverse, value=1 / width), dweight, None


class GatedSiLU(torch.autograd.Function):
    """``apply(x)``: silu(gate) * value (..., K), where x (..., 2 K) is gate and value side by side."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        gate, value = x.chunk(2, dim=-1)
        opened = F.silu(gate)
        if not ctx.needs_input_grad[0]:
            return opened.mul_(value)
        ctx.save_for_backward(x, opened)
        return opened * value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        x, opened = ctx.saved_tensors
        gate, value = x.chunk(2, dim=-1)
        dx = torch.empty_like(x)
        dgate, dvalue = dx.chunk(2, dim=-1)
        torch.mul(g, opened, out=dvalue)
        torch.mul(g, value, out=dgate)
        aten.silu_backward.grad_input(dgate, gate, grad_input=dgate)
        return dx


class RotatedAttention(torch.autograd.Function):
    """``apply(qkv, weights, turns, bias, eps)``: attention with normalised and rotated queries and keys.

    ``qkv`` is (B, T, 3, H, F), and the result (B, T, D). ``weights`` (2, F) are the scales of the norms
    of queries and keys. ``turns``, complex (T, F / 2), rotate pairs of features. ``bias`` (B, 1, 1, T)
    is added to the scores unless it is None.
    """

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, weights: Tensor, turns: Tensor, bias: Tensor | None, eps: float
    ) -> Tensor:
        B, T, _, H, width = qkv.shape
        both = qkv[:, :, :2]
        inverse = inverse_rms(both, eps)
        scales = weights[:, None].expand(2, H, width).contiguous()
        turns = turns[:, None, None].expand(T, 2, H, -1).contiguous()
        turned = (both * inverse).mul_(scales)
        pairs(turned).mul_(turns)
        q, k, v = (x.transpose(1, 2) for x in (turned[:, :, 0], turned[:, :, 1], qkv[:, :, 2]))
        softmax = Short if T <= SHORT else Long
        y, kept = softmax.forward(q, k, v, bias)
        ctx.softmax = softmax
        ctx.save_for_backward(qkv, scales, turns, inverse, *kept)
        return y.transpose(1, 2).reshape(B, T, H * width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        qkv, scales, turns, inverse, *kept = ctx.saved_tensors
        B, T, _, H, width = qkv.shape
        both = qkv[:, :, :2]
        dq, dk, dv = ctx.softmax.backward(g.view(B, T, H, width).transpose(1, 2), kept)
        dqkv = torch.empty_like(qkv)
        dqkv[:, :, 2] = dv.transpose(1, 2)
        dboth = torch.empty_like(both, memory_format=torch.contiguous_format)
        dboth[:, :, 0], dboth[:, :, 1] = dq.transpose(1, 2), dk.transpose(1, 2)
        pairs(dboth).mul_(turns.conj())
        # y = w x / rms(x): dw = sum of dy x / rms, dx = (w dy - x mean(w dy x / rms) / rms) / rms.
        product = (both * dboth).mul_(inverse)
        share = (product * scales).sum(dim=-1, keepdim=True).mul_(inverse)
        dweights = product.sum(dim=(0, 1)).sum(dim=1)
        dboth.mul_(scales).addcmul_(both, share, value=-1 / width)
        torch.mul(dboth, inverse, out=dqkv[:, :, :2])
        return dqkv, dweights, None, None, None


def pairs(x: Tensor) -> Tensor:
    """View neighbouring features (..., F) as complex numbers (..., F / 2), in the same memory."""
    return torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))


class Short:
    """Softmax attention by matrix products, which keeps the weights, for q, k, v (B, H, T, F)."""

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        B, H, T, width = q.shape
        q, k, v = (x.reshape(B * H, T, width) for x in (q, k, v))
        scale = width**-0.5
        if bias is None:
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
        else:
            added = bias.expand(B, H, 1, T).reshape(B * H, 1, T)
            scores = torch.baddbmm(added, q, k.transpose(1, 2), alpha=scale)
        weights = scores.softmax(dim=-1)
        return torch.bmm(weights, v).view(B, H, T, width), [q, k, v, weights]

    @staticmethod
    def backward(g: Tensor, kept: list[Tensor]) -> list[Tensor]:
        q, k, v, weights = kept
        shape = g.shape
        g = g.reshape_as(v)
        dv = torch.bmm(weights.transpose(1, 2), g)
        dweights = torch.bmm(g, v.transpose(1, 2))
        dscores = aten._softmax_backward_data(dweights, weights, -1, weights.dtype)
        dscores.mul_(q.shape[-1] ** -0.5)
        dq, dk = torch.bmm(dscores, k), torch.bmm(dscores.transpose(1, 2), q)
        return [x.view(shape) for x in (dq, dk, dv)]


class Long:
    """The same by PyTorch's kernel, which keeps one number per query instead of the weights."""

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        y, sums = aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=bias)
        return y, [q, k, v, y, sums, *([] if bias is None else [bias])]

    @staticmethod
    def backward(g: Tensor, kept: list[Tensor]) -> list[Tensor]:
        q, k, v, y, sums, *bias = kept
        kernel = aten._scaled_dot_product_flash_attention_for_cpu_backward
        return kernel(g, q, k, v, y, sums, 0.0, False, attn_mask=bias[0] if bias else None)
