"""Linear layers, with oneDNN's matrix products on a CPU.

PyTorch multiplies float32 matrices with MKL, which does not use AVX-512 on AMD's processors. oneDNN, the
library that computes convolutions, does: it takes half the time there, and about 0.9 of it with AVX2.
PyTorch has oneDNN's product as an operator of its compiler's, without a derivative.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.autograd.function import once_differentiable

# Multiplications from which oneDNN's product is faster, in spite of 10 microseconds per call.
LARGE = 1 << 20


def reverse_mode_on_cpu(x: Tensor) -> bool:
    """Whether functions that only implement reverse mode, eagerly on a CPU, support ``x``."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and unpack_dual(x).tangent is None
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute x weight^T + bias as `torch.nn.functional.linear` does, for x (..., K), weight (N, K)."""
    if not _large(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        return Product.apply(x, weight, bias)
    return product(x, weight, bias)


def _large(x: Tensor, weight: Tensor) -> bool:
    return (
        reverse_mode_on_cpu(x)  # first, so that a compiler does not specialise on the sizes
        and x.dtype == weight.dtype == torch.float32
        and x.numel() * weight.shape[0] >= LARGE
        and torch.backends.mkldnn.is_available()
    )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute x weight^T + bias by oneDNN, without a derivative; arguments may be transposed views."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class Product(torch.autograd.Function):
    """``apply(x, weight, bias)``: `product` with its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        rows = g.reshape(-1, g.shape[-1])
        dx = product(g, weight.t()) if for_x else None
        dweight = product(rows.t(), x.reshape(-1, x.shape[-1]).t()) if for_weight else None
        return dx, dweight, rows.sum(dim=0) if for_bias else None


class Linear(nn.Linear):
    """torch's Linear, computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
