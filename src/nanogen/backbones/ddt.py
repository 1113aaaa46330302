"""DDT, the decoupled diffusion transformer, with in-context conditioning (paper, section 2.1).

A deep narrow encoder sees ``[image, time, condition]`` tokens and produces one semantic vector per
image token; a shallow wide decoder sees the noisy image again and is modulated by those vectors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen.backbones.embeddings import (
    Condition,
    LabelConditioner,
    TextConditioner,
    TimeEmbedding,
    patches,
    unpatch,
)
from nanogen.backbones.layers import Attention, RMSNorm, Rotary2D, SwiGLU


class Output(NamedTuple):
    """What a backbone returns."""

    image: Tensor  # (B, C, H, W): velocity or clean image, as the run's prediction says


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale) + shift


class EncoderBlock(nn.Module):
    """Pre-norm transformer block without modulation."""

    def __init__(self, width: int, heads: int, mlp_ratio: float):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = SwiGLU(width, mlp_ratio)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        x = x + self.attention(self.norm1(x), angles, mask)
        return x + self.mlp(self.norm2(x))


class DecoderBlock(nn.Module):
    """Block modulated per token: shift, scale and gate of both branches from ``s``."""

    def __init__(self, width: int, heads: int, mlp_ratio: float):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = SwiGLU(width, mlp_ratio)
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x: Tensor, s: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        """``x`` and ``s`` (B, T, D); ``s`` already went through a SiLU."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(s).chunk(6, dim=-1)
        x = x + gate1 * self.attention(modulate(self.norm1(x), shift1, scale1), angles, None)
        return x + gate2 * self.mlp(modulate(self.norm2(x), shift2, scale2))


class FinalLayer(nn.Module):
    """RMS norm, shift and scale from ``s``, Linear to the values of a patch."""

    def __init__(self, width: int, values: int):
        super().__init__()
        self.norm = RMSNorm(width)
        self.modulation = nn.Linear(width, 2 * width)
        self.linear = nn.Linear(width, values)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        shift, scale = self.modulation(s).chunk(2, dim=-1)
        return self.linear(modulate(self.norm(x), shift, scale))


class DDT(nn.Module):
    """The paper's backbone. ``forward(x_t, t, condition)`` with x_t (B, C, H, W), t (B,) in [0, 1].

    With ``absolute_time`` (MeanFlow), t is the length of an interval and ``absolute`` (B,) the time
    of its noisy end, told by further tokens.
    """

    def __init__(
        self,
        *,
        latent: tuple[int, int, int],
        conditioner: dict[str, Any],
        text_width: int | None = None,
        patch: int = 1,
        encoder_width: int = 1152,
        encoder_depth: int = 28,
        encoder_heads: int = 16,
        decoder_width: int = 2048,
        decoder_depth: int = 2,
        decoder_heads: int = 16,
        mlp_ratio: float = 4.0,
        time_tokens: int = 4,
        absolute_time: bool = False,
        kind: str = "ddt",
    ):
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        channels, height, width = latent
        self.channels, self.patch = channels, patch
        self.rows, self.columns = height // patch, width // patch
        values = channels * patch * patch
        self.encoder_patches = nn.Linear(values, encoder_width)
        self.decoder_patches = nn.Linear(values, decoder_width)
        self.time = TimeEmbedding(encoder_width, time_tokens)
        self.absolute_time = TimeEmbedding(encoder_width, time_tokens) if absolute_time else None
        if conditioner["kind"] == "label":
            self.conditioner = LabelConditioner(
                encoder_width, conditioner["classes"], conditioner["tokens"]
            )
        else:
            self.conditioner = TextConditioner(encoder_width, text_width)
        self.encoder = nn.ModuleList(
            EncoderBlock(encoder_width, encoder_heads, mlp_ratio) for _ in range(encoder_depth)
        )
        same = encoder_width == decoder_width
        self.project = nn.Identity() if same else nn.Linear(encoder_width, decoder_width)
        self.decoder = nn.ModuleList(
            DecoderBlock(decoder_width, decoder_heads, mlp_ratio) for _ in range(decoder_depth)
        )
        self.final = FinalLayer(decoder_width, values)
        self.encoder_rotary = Rotary2D(encoder_width // encoder_heads, self.rows, self.columns)
        self.decoder_rotary = Rotary2D(decoder_width // decoder_heads, self.rows, self.columns)
        initialise(self)

    def forward(
        self, x: Tensor, t: Tensor, condition: Condition, absolute: Tensor | None = None
    ) -> Output:
        cells = patches(x, self.patch)  # (B, N, C p p)
        time, time_tokens = self.time(t)
        if self.absolute_time is not None:
            time_tokens = torch.cat([time_tokens, self.absolute_time(absolute)[1]], dim=1)
        s = self.encode(cells, time_tokens, condition)
        s = self.project(F.silu(s + time[:, None]))
        return Output(self.decode(cells, F.silu(s)))

    def encode(self, cells: Tensor, time_tokens: Tensor, condition: Condition) -> Tensor:
        """Semantic vectors of the image tokens, (B, N, encoder width)."""
        tokens, mask = self.conditioner(condition)
        image = self.encoder_patches(cells)
        sequence = torch.cat([image, time_tokens.to(image.dtype), tokens.to(image.dtype)], dim=1)
        count = image.shape[1]
        if mask is not None:  # image and time tokens may always be attended to
            mask = F.pad(mask, (sequence.shape[1] - mask.shape[1], 0), value=True)[:, None, None]
        angles = self.encoder_rotary.angles(0, sequence.shape[1] - count)
        for block in self.encoder:
            sequence = block(sequence, angles, mask)
        return sequence[:, :count]

    def decode(self, cells: Tensor, s: Tensor) -> Tensor:
        x = self.decoder_patches(cells)
        angles = self.decoder_rotary.angles(0, 0)
        for block in self.decoder:
            x = block(x, s, angles)
        return unpatch(self.final(x, s), self.patch, self.channels, self.rows, self.columns)


def _xavier(linear: nn.Linear, parts: int = 1) -> None:
    """Xavier-uniform, each of the ``parts`` fused projections as if it stood alone."""
    for part in linear.weight.chunk(parts):
        nn.init.xavier_uniform_(part)
    nn.init.zeros_(linear.bias)


@torch.no_grad()
def initialise(model: DDT) -> None:
    """Xavier Linears; N(0, 0.02) tables, tokens and time MLP; zero modulation and final Linear."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            _xavier(module)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
    for block in (*model.encoder, *model.decoder):
        _xavier(block.attention.qkv, 3)
        _xavier(block.mlp.gate_value, 2)
    for time in filter(None, (model.time, model.absolute_time)):
        for linear in (time.mlp[0], time.mlp[2]):
            nn.init.normal_(linear.weight, std=0.02)
        nn.init.normal_(time.tokens, std=0.02)
    if isinstance(model.conditioner, LabelConditioner):
        nn.init.normal_(model.conditioner.tokens, std=0.02)
    for linear in (
        *(block.modulation for block in model.decoder),
        model.final.modulation,
        model.final.linear,
    ):
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
