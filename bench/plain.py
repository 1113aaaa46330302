"""A straightforward training step and sampler, the baseline of bench/training.py.

The network has the weights and losses of this project's network, but separate projections for queries,
keys and values and for both halves of the SwiGLU, an explicit mask, torch's Linear, and a norm and
rotary positions written as they are defined. It computes the padding of texts and, in its last encoder
block, all tokens, although only the image's are used. AdamW, clipping and averaging loop over the
parameters, batches are prepared between steps, and guided sampling takes two passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.nn.utils import clip_grad_norm_

from nanogen.backbones import Condition, InContextEncoder, build
from nanogen.backbones.ddt import DecoderBlock
from nanogen.backbones.embeddings import TextConditioner
from nanogen.backbones.encoder import EncoderBlock
from nanogen.backbones.layers import Attention, Linear, RMSNorm, SwiGLU
from nanogen.config.train_stage import TrainStage
from nanogen.objectives import objective_of
from nanogen.objectives.batch import Batch
from nanogen.training.optimizer import adamw


class Norm(nn.Module):
    def __init__(self, norm: RMSNorm):
        super().__init__()
        self.weight, self.eps = nn.Parameter(norm.weight.detach().clone()), norm.eps

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.float()
        x32 = x32 * torch.rsqrt(x32.pow(2).mean(dim=-1, keepdim=True) + self.eps)
        return (x32 * self.weight).to(x.dtype)


def plain_linear(linear: nn.Linear) -> nn.Linear:
    """Return torch's Linear with the same weights."""
    return separate(linear, 1)[0]


def separate(linear: nn.Linear, parts: int) -> list[nn.Linear]:
    """Split a Linear into ``parts`` Linears of equal output size."""
    made = []
    for weight, bias in zip(linear.weight.chunk(parts), linear.bias.chunk(parts), strict=True):
        part = nn.Linear(weight.shape[1], weight.shape[0])
        part.weight, part.bias = (nn.Parameter(x.detach().clone()) for x in (weight, bias))
        made.append(part)
    return made


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary positions; ``sin`` includes the signs of the pairs."""
    x32 = x.float()
    other = torch.stack([x32[..., 1::2], x32[..., ::2]], dim=-1).flatten(-2)
    return (x32 * cos + other * sin).to(x.dtype)


class PlainAttention(nn.Module):
    def __init__(self, layer: Attention):
        super().__init__()
        self.heads = layer.heads
        self.q, self.k, self.v = separate(layer.qkv, 3)
        self.q_norm, self.k_norm = Norm(layer.q_norm), Norm(layer.k_norm)
        self.out = plain_linear(layer.out)

    def forward(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor],
        mask: Tensor | None = None,
    ) -> Tensor:
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        q, k = turned(self.q_norm(q), *angles), turned(self.k_norm(k), *angles)
        B, _, T, width = q.shape
        if mask is None:
            mask = torch.ones(B, 1, 1, T, dtype=torch.bool, device=x.device)
        mask = mask.expand(B, 1, T, T)
        if unpack_dual(q).tangent is None:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            scores = (q @ k.transpose(-2, -1) / width**0.5).masked_fill(~mask, -torch.inf)
            y = scores.softmax(dim=-1) @ v
        return self.out(y.transpose(1, 2).flatten(2))


class PlainBlock(nn.Module):
    def __init__(self, block: EncoderBlock):
        super().__init__()
        self.layers = made_plain(block)

    def forward(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor],
        mask: Tensor | None,
        count: int | None,
        packing: None,
    ) -> Tensor:
        x = x + self.layers.attention(self.layers.norm1(x), angles, mask)
        return (x + self.layers.mlp(self.layers.norm2(x)))[:, :count]


class PlainDecoderBlock(nn.Module):
    def __init__(self, block: DecoderBlock):
        super().__init__()
        self.layers = made_plain(block)

    def forward(self, x: Tensor, s: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.layers.modulation(s).chunk(6, dim=-1)
        y = self.layers.norm1(x) * (1 + scale1) + shift1
        x = x + gate1 * self.layers.attention(y, angles)
        y = self.layers.norm2(x) * (1 + scale2) + shift2
        return x + gate2 * self.layers.mlp(y)


class PlainGate(nn.Module):
    def __init__(self, layer: SwiGLU):
        super().__init__()
        self.gate, self.value = separate(layer.gate_value, 2)
        self.out = plain_linear(layer.out)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.silu(self.gate(x)) * self.value(x))


class PlainTexts(TextConditioner):
    def __init__(self, conditioner: TextConditioner):
        nn.Module.__init__(self)
        self.norm, self.linear = Norm(conditioner.norm), plain_linear(conditioner.linear)

    def forward(self, condition: Condition) -> tuple[Tensor, Tensor | None]:
        return self.linear(self.norm(condition.tokens)), condition.mask


PLAIN = {
    EncoderBlock: PlainBlock,
    DecoderBlock: PlainDecoderBlock,
    RMSNorm: Norm,
    Attention: PlainAttention,
    SwiGLU: PlainGate,
    TextConditioner: PlainTexts,
    Linear: plain_linear,
}


def made_plain(module: Any) -> Any:
    """Replace the layers of a network with plain ones, in place."""
    for name, child in module.named_children():
        plain = PLAIN.get(type(child))
        setattr(module, name, made_plain(child) if plain is None else plain(child))
    return module


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """Add noise to all weights, some of which are initially zero, so that the losses depend on all."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator, device="cpu")
        parameter.add_(noise.to(parameter.device), alpha=0.02)


def plain_network(stage: TrainStage, device: torch.device) -> InContextEncoder:
    model = build(stage)
    model.train_frequencies(stage.training.frequencies == "trained")
    randomise(model)
    made_plain(model)
    model.packing = lambda mask, sequence: None  # texts are padded to the longest
    return model.to(device)


class PlainLearner:
    """Train as `nanogen.stage2.learner.Learner` does."""

    def __init__(self, stage: TrainStage, device: torch.device):
        self.keys, self.decay = stage.training.optimizer, stage.training.ema
        self.objective = objective_of(stage)
        self.model = plain_network(stage, device)
        self.average = [p.detach().clone() for p in self.model.parameters()]
        self.optimizer = adamw(self.model, self.keys.betas, self.keys.weight_decay, fused=False)
        for group in self.optimizer.param_groups:
            group["foreach"] = False
        bf16 = stage.training.precision == "bf16"
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)

    def step(self, step: int, batch: Batch) -> dict[str, Tensor]:
        with self.autocast:
            losses = self.objective(self.model, batch, self.model.conditioner)
        losses["loss"].backward()
        clip_grad_norm_(self.model.parameters(), self.keys.clip, foreach=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.update()
        return losses

    @torch.no_grad()
    def update(self) -> None:
        for mean, weight in zip(self.average, self.model.parameters(), strict=True):
            mean.mul_(self.decay).add_(weight, alpha=1 - self.decay)


@torch.no_grad()
def plain_samples(
    model: InContextEncoder, noise: Tensor, condition: Condition, grid: Sequence[float], scale: float
) -> Tensor:
    """Euler steps along v_u + scale (v_c - v_u), with a separate pass for each velocity."""
    everywhere = torch.ones(len(noise), dtype=torch.bool)
    null = model.conditioner.dropped(condition, everywhere)
    x = noise
    for t, following in pairwise(grid):
        times = torch.full((len(x),), t, device=x.device)
        given, without = (model(x, times, c).image.float() for c in (condition, null))
        x = x - (t - following) * (without + scale * (given - without))
    return x
