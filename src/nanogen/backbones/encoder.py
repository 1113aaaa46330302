"""The in-context transformer with which every backbone begins (paper, section 2.1).

It processes ``[class token (REG), image, time, condition]`` tokens without modulation. Each backbone
adds a decoder or a final layer. The heads of REPA and internal guidance read the output of inner blocks.

Shapes: B batch, N image tokens, D width of the encoder, Z width of a class token, W width of patch
features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen.backbones.embeddings import (
    Condition,
    Conditioning,
    LabelConditioner,
    TextConditioner,
    TimeEmbedding,
    unpatch,
)
from nanogen.backbones.final import Final, Readout
from nanogen.backbones.layers import Attention, Linear, RMSNorm, Rotary2D, SwiGLU, patch_embedding
from nanogen.backbones.packing import Packing
from nanogen.backbones.tangents import carried, dual, stacked
from nanogen.config.schema import Conditioner
from nanogen.config.section import read
from nanogen.transfer import sent


class Output(NamedTuple):
    """The output of a backbone."""

    image: Tensor  # (B, C, H, W): velocity or clean image, depending on the run's prediction
    cls: Tensor | None = None  # (B, Z), REG: velocity of the class token
    hidden: Tensor | None = None  # (B, [1 +] N, W), REPA: predicted patch features
    base: Output | None = None  # internal guidance: the prediction of the inner head


class Encoded(NamedTuple):
    """The output of the encoder."""

    tokens: Tensor  # (B, [1 +] N, D), of the class token (with REG) and the image
    time: Tensor  # (B, D), base embedding of t
    hidden: Tensor | None  # see Output
    base: Output | None


class EncoderBlock(nn.Module):
    """Pre-norm transformer block without modulation."""

    def __init__(self, width: int, heads: int, mlp_ratio: float):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = SwiGLU(width, mlp_ratio)

    def forward(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor],
        mask: Tensor | None,
        count: int | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """Map ``x`` (B, T, D), or (N, D) with a packing, to the same shape.

        With ``count``, the result is the first tokens of every sample, (B, count, D).
        """
        if carried(x, self.parameters()):
            return dual(self.with_tangent(stacked(x), angles, mask, count))
        attended = self.attention(self.norm1(x), angles, mask, count, packing)
        x = first(x, count, packing) + attended
        return x + self.mlp(self.norm2(x))

    def with_tangent(
        self, x: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor | None, count: int | None
    ) -> Tensor:
        """Compute ``forward`` for stacked values and tangents, (2, B, T, D) to (2, B, count, D)."""
        attended = self.attention.with_tangent(self.norm1.with_tangent(x), angles, mask, count)
        x = x[:, :, :count] + attended
        return x + self.mlp.with_tangent(self.norm2.with_tangent(x))


def first(x: Tensor, count: int | None, packing: Packing | None) -> Tensor:
    """Return the first ``count`` tokens of every sample, (B, count, D), or all of ``x``."""
    if count is None:
        return x
    return x[:, :count] if packing is None else packing.first(x, count)


class ClsToken(nn.Module):
    """Embed the noisy class token as the first token of the sequence (REG): Linear and RMS norm."""

    def __init__(self, cls_width: int, width: int):
        super().__init__()
        self.linear = Linear(cls_width, width)
        self.norm = RMSNorm(width)

    def forward(self, cls: Tensor) -> Tensor:
        """Map (B, Z) to float32 (B, 1, width), also under autocast, as in the authors' code."""
        x = self.linear(cls)
        return self.norm(x.to(torch.promote_types(x.dtype, torch.float32)))[:, None]


class GridConvolution(nn.Module):
    """A 3 x 3 convolution that maps image tokens (B, rows * columns, D) to (B, rows * columns, W)."""

    def __init__(self, width: int, wanted: int, grid: tuple[int, int]):
        super().__init__()
        self.grid = grid
        self.convolution = nn.Conv2d(width, wanted, 3, padding=1)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.convolution(tokens.transpose(1, 2).unflatten(2, self.grid))
        return x.flatten(2).transpose(1, 2)


REPA_HEADS: dict[str, Callable[..., nn.Module]] = {  # (width D, width W, grid) -> head
    # those of the authors' code, of the original REPA (Yu et al. 2024, arXiv 2410.06940, section 3), and
    # of iREPA (Singh et al. 2025, arXiv 2512.10794)
    "linear": lambda width, wanted, grid: Linear(width, wanted),
    "mlp": lambda width, wanted, grid: nn.Sequential(
        Linear(width, 2048), nn.SiLU(), Linear(2048, 2048), nn.SiLU(), Linear(2048, wanted)
    ),
    "conv": GridConvolution,
}


class InContextEncoder(nn.Module):
    """The part that all backbones share: embeddings, conditioning and encoder blocks.

    Args:
        latent: (channels, rows, columns) of x.
        conditioner: the section ``conditioner`` of the configuration.
        text_width: width of the text encoder's features, if the condition is a text.
        head: how a final token becomes a patch, ``linear`` or ``neural-field`` (PixNerd).
        cls_width: Z, if the class token of the image is diffused too (REG).
        repa_depth: the block (counted from 1) whose tokens predict patch features of ``repa_width``
            channels with the head ``repa_head`` (REPA).
        guidance_depth: the block after which a second head predicts the output (internal guidance).
        absolute_time: whether t is the length of an interval, and another ``time_tokens`` tokens encode
            the time of its noisy end (MeanFlow).

    Attributes:
        config: all arguments, for ``config.json``; subclasses add theirs.
        final_layer: the class of the final layers.
    """

    final_layer: type[Readout] = Final
    final: Readout  # subclasses create it

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
        mlp_ratio: float = 4.0,
        time_tokens: int = 4,
        head: str = "linear",
        cls_width: int | None = None,
        repa_depth: int | None = None,
        repa_width: int | None = None,
        repa_head: str = "linear",
        guidance_depth: int | None = None,
        absolute_time: bool = False,
    ):
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        super().__init__()
        self.config = config
        width = encoder_width
        channels, height, columns = latent
        self.channels, self.patch = channels, patch
        self.rows, self.columns = height // patch, columns // patch
        self.values = channels * patch * patch
        self.cls_width = cls_width
        self.pixels = (channels, patch) if head == "neural-field" else None
        self.prefix = 0 if cls_width is None else 1  # tokens before the image's
        self.encoder_patches = patch_embedding(self.values, width)
        self.encoder_cls = None if cls_width is None else ClsToken(cls_width, width)
        self.time = TimeEmbedding(width, time_tokens)
        self.absolute_time = TimeEmbedding(width, time_tokens) if absolute_time else None
        told = read(Conditioner, conditioner)
        self.conditioner: Conditioning
        if told.kind == "label":
            assert told.classes is not None
            self.conditioner = LabelConditioner(width, told.classes, told.tokens)
        else:
            assert text_width is not None
            self.conditioner = TextConditioner(width, text_width)
        blocks = (EncoderBlock(width, encoder_heads, mlp_ratio) for _ in range(encoder_depth))
        self.encoder = nn.ModuleList(blocks)
        self.encoder_rotary = Rotary2D(width // encoder_heads, self.rows, self.columns)
        self.repa_depth, self.guidance_depth = repa_depth, guidance_depth
        grid = (self.rows, self.columns)
        self.repa = None if repa_depth is None else REPA_HEADS[repa_head](width, repa_width, grid)
        self.base = None if guidance_depth is None else self.final_layer(width, self.values, cls_width)

    def encode(
        self,
        cells: Tensor,
        t: Tensor,
        condition: Condition,
        cls: Tensor | None = None,
        absolute: Tensor | None = None,
    ) -> Encoded:
        """Encode noisy patches (B, N, C p p) at times (B,) and, with REG, a noisy class token (B, Z)."""
        time, time_tokens = self.time(t)
        absolute_tokens = [] if self.absolute_time is None else [self.absolute_time(absolute)[1]]
        tokens, mask = self.conditioner(condition)
        image = self.joined(self.encoder_patches(cells), self.encoder_cls, cls)
        count = image.shape[1]
        # Under autocast the time tokens are float32 and the others bfloat16. Their concatenation, the
        # residual stream of the blocks, is therefore float32, as in the authors' code.
        sequence = torch.cat([image, time_tokens, *absolute_tokens, tokens], dim=1)
        angles = self.encoder_rotary.angles(self.prefix, sequence.shape[1] - count)
        packing = None
        if mask is not None:
            packing = self.packing(mask, sequence)
            # all tokens except the text's may always be attended to
            mask = F.pad(mask, (sequence.shape[1] - mask.shape[1], 0), value=True)[:, None, None]
            mask = sent(mask, sequence.device)
        if packing is not None:
            sequence = packing.packed(sequence)
        seen: dict[int | None, Tensor] = {}
        # All tokens attend and are attended to, but after the last block only the image's are used.
        counts = [None] * (len(self.encoder) - 1) + [count]
        for depth, (block, left) in enumerate(zip(self.encoder, counts, strict=True), 1):
            sequence = block(sequence, angles, mask, left, packing)
            if depth in (self.repa_depth, self.guidance_depth):
                seen[depth] = sequence if left else first(sequence, count, packing)
        hidden = None if self.repa is None else self.repa(seen[self.repa_depth])
        base = None
        if self.base is not None:
            shallow = F.silu(seen[self.guidance_depth] + time[:, None])
            base = self.output(*self.shallow_values(shallow, cells))
        return Encoded(sequence, time, hidden, base)

    def packing(self, mask: Tensor, sequence: Tensor) -> Packing | None:
        """Return how ``sequence`` (B, T, D), which ends with texts, is packed; None: it is not.

        ``mask`` (B, L), on the CPU, is true for the tokens of texts. A derivative in forward mode is
        computed with padding (`nanogen.backbones.tangents`).
        """
        if carried(sequence, ()):
            return None
        return Packing.of(mask, sequence.shape[1] - mask.shape[1], sequence.device)

    def shallow_values(self, x: Tensor, cells: Tensor) -> tuple[Tensor, Tensor | None]:
        """Apply the second head, of internal guidance, to tokens ``x`` (B, [1 +] N, D)."""
        assert self.base is not None
        return self.base(x, cells)

    def joined(self, image: Tensor, token: ClsToken | None, cls: Tensor | None) -> Tensor:
        """Prepend the class token, if there is one, to the image tokens."""
        return image if token is None else torch.cat([token(cls), image], dim=1)

    def output(self, values: Tensor, cls: Tensor | None) -> Output:
        """Convert patches (B, N, p p C) to an image."""
        return Output(unpatch(values, self.patch, self.channels, self.rows, self.columns), cls)

    def train_frequencies(self, trained: bool) -> None:
        """Set whether the Fourier frequencies of the times are trained; initially they are frozen."""
        for embedding in (self.time, self.absolute_time):
            if embedding is not None:
                embedding.frequencies.requires_grad_(trained)

    def blocks(self) -> list[nn.Module]:
        """Return the repeated blocks, which are compiled and sharded one by one."""
        return list(self.encoder)
