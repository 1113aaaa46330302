"""DDT, the decoupled diffusion transformer, with in-context conditioning (paper, section 2.1).

A deep, narrow encoder processes ``[image, time, condition]`` tokens and returns one semantic vector per
image token. A shallow, wide decoder processes the noisy image again, modulated by these vectors.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen.backbones.embeddings import Condition, patches
from nanogen.backbones.encoder import ClsToken, InContextEncoder, Output
from nanogen.backbones.final import ModulatedFinal, modulate
from nanogen.backbones.layers import (
    Attention,
    Linear,
    RMSNorm,
    Rotary2D,
    SwiGLU,
    patch_embedding,
    zero_linear,
)
from nanogen.backbones.tangents import added_product, carried, dual, modulated, stacked


class DecoderBlock(nn.Module):
    """Block with per-token modulation: ``s`` determines shift, scale and gate of both branches."""

    def __init__(self, width: int, heads: int, mlp_ratio: float):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = SwiGLU(width, mlp_ratio)
        self.modulation = zero_linear(width, 6 * width)

    def forward(self, x: Tensor, s: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        """Map ``x`` (B, T, D) to the same shape; ``s`` (B, T, D) has already passed through a SiLU."""
        if carried(x, self.parameters()):
            return dual(self.with_tangent(stacked(x), stacked(s), angles))
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(s).chunk(6, dim=-1)
        x = torch.addcmul(x, gate1, self.attention(modulate(self.norm1(x), shift1, scale1), angles))
        return torch.addcmul(x, gate2, self.mlp(modulate(self.norm2(x), shift2, scale2)))

    def with_tangent(self, x: Tensor, s: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        """Compute ``forward`` for stacked values and tangents, each (2, B, T, D)."""
        parts = self.modulation.with_tangent(s).chunk(6, dim=-1)
        shift1, scale1, gate1, shift2, scale2, gate2 = parts
        y = modulated(self.norm1.with_tangent(x), shift1, scale1)
        x = added_product(x, self.attention.with_tangent(y, angles), gate1)
        y = modulated(self.norm2.with_tangent(x), shift2, scale2)
        return added_product(x, self.mlp.with_tangent(y), gate2)


class DDT(InContextEncoder):
    """The paper's backbone.

    ``forward(x_t, t, condition)`` takes x_t (B, C, H, W) and t (B,) in [0, 1]. With REG it also takes
    ``cls``, the noisy class token (B, cls_width) at the same times. With ``absolute_time``, t is the
    length of an interval, and ``absolute`` (B,) is the time of its noisy end (MeanFlow). The other
    constructor arguments are those of `InContextEncoder`.
    """

    final_layer = ModulatedFinal

    def __init__(
        self,
        *,
        decoder_width: int = 2048,
        decoder_depth: int = 2,
        decoder_heads: int = 16,
        kind: str = "ddt",
        **encoder: Any,
    ):
        super().__init__(**encoder)
        self.config |= {
            "decoder_width": decoder_width,
            "decoder_depth": decoder_depth,
            "decoder_heads": decoder_heads,
            "kind": kind,
        }
        encoder_width, mlp_ratio = self.config["encoder_width"], self.config["mlp_ratio"]
        self.decoder_patches = patch_embedding(self.values, decoder_width)
        self.decoder_cls = None if self.cls_width is None else ClsToken(self.cls_width, decoder_width)
        same = encoder_width == decoder_width
        self.project = nn.Identity() if same else Linear(encoder_width, decoder_width)
        self.decoder = nn.ModuleList(
            DecoderBlock(decoder_width, decoder_heads, mlp_ratio) for _ in range(decoder_depth)
        )
        self.final = self.final_layer(decoder_width, self.values, self.cls_width, self.pixels)
        self.decoder_rotary = Rotary2D(decoder_width // decoder_heads, self.rows, self.columns)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        condition: Condition,
        cls: Tensor | None = None,
        absolute: Tensor | None = None,
    ) -> Output:
        cells = patches(x, self.patch)  # (B, N, C p p)
        encoded = self.encode(cells, t, condition, cls, absolute)
        s = self.project(F.silu(encoded.tokens + encoded.time[:, None]))
        output = self.output(*self.decode(cells, F.silu(s), cls))
        return output._replace(hidden=encoded.hidden, base=encoded.base)

    def decode(self, cells: Tensor, s: Tensor, cls: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Decode noisy patches and the noisy class token, modulated by ``s``.

        Returns patches (B, N, p p C), and the class token (B, Z) or None.
        """
        x = self.joined(self.decoder_patches(cells), self.decoder_cls, cls)
        angles = self.decoder_rotary.angles(self.prefix, 0)
        for block in self.decoder:
            x = block(x, s, angles)
        return self.final(x, s, cells)

    def shallow_values(self, x: Tensor, cells: Tensor) -> tuple[Tensor, Tensor | None]:
        assert self.base is not None
        return self.base(x, F.silu(x), cells)

    def blocks(self) -> list[nn.Module]:
        return [*self.encoder, *self.decoder]
