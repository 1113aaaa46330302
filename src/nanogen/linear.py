"""Linear layers, with oneDNN's matrix products where they are faster on a CPU.

PyTorch multiplies float32 matrices with MKL, which does not use AVX-512 on AMD's processors. oneDNN, the
library that computes convolutions, does. On Zen 5, whose units are 512 bits wide, it takes half the time
(`bench/linear.py`). Zen 4 and older processors have units of 256 bits, which MKL uses almost as well. On
Intel's processors both libraries use the same instructions. PyTorch has oneDNN's product as an operator
of its compiler's, without a derivative.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.autograd.function import once_differentiable

PROCESSOR = Path("/proc/cpuinfo")
ZEN_5 = 26  # AMD's "cpu family" of Zen 5


class Share(NamedTuple):
    """The products that oneDNN computes."""

    least: float  # multiplications from which it does; a call takes 10 microseconds more than MKL's
    gradients_of_weights: bool


NONE, LARGE, ALL = Share(float("inf"), False), Share(1 << 26, False), Share(1 << 20, True)


@cache
def share_of(processor: Path) -> Share:
    """Return oneDNN's share on the processor that a file like ``/proc/cpuinfo`` describes."""
    try:
        described = processor.read_text()
    except OSError:
        return NONE
    family = re.search(r"vendor_id\s*: AuthenticAMD\ncpu family\s*: (\d+)", described)
    if family is None or not torch.backends.mkldnn.is_available():
        return NONE
    return ALL if int(family[1]) >= ZEN_5 else LARGE


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
        not torch.compiler.is_compiling()  # first, so that a compiler does not specialise on the sizes
        and x.numel() * weight.shape[0] >= share_of(PROCESSOR).least
        and x.dtype == weight.dtype == torch.float32
        and reverse_mode_on_cpu(x)
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
        dweight = gradient_of_weight(rows, x.reshape(-1, x.shape[-1])) if for_weight else None
        return dx, dweight, rows.sum(dim=0) if for_bias else None


def gradient_of_weight(g: Tensor, x: Tensor) -> Tensor:
    """Compute g^T x for g (rows, N) and x (rows, K)."""
    return product(g.t(), x.t()) if share_of(PROCESSOR).gradients_of_weights else g.t() @ x


class Linear(nn.Linear):
    """torch's Linear, computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
