"""LightningDiT with in-context conditioning: one width for the whole depth, and no decoder.

The block is DDT's encoder block; time and condition enter as tokens only, so the final layer is a
norm and a Linear without modulation (paper, Table 1's runs of LightningDiT).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from nanogen.backbones.embeddings import Condition, patches
from nanogen.backbones.encoder import InContextEncoder, Output


class LightningDiT(InContextEncoder):
    """``forward(x_t, t, condition)`` with x_t (B, C, H, W), t (B,) in [0, 1]; ``cls`` and ``absolute``
    as of DDT.

    The arguments are InContextEncoder's; those of a decoder are DDT's, and have no meaning here.
    """

    def __init__(
        self,
        *,
        decoder_width: int | None = None,
        decoder_depth: int | None = None,
        decoder_heads: int | None = None,
        kind: str = "lightning",
        **encoder: Any,
    ):
        super().__init__(**encoder)
        self.config["kind"] = kind
        self.final = self.final_layer(
            self.config["encoder_width"], self.values, self.cls_width, self.pixels
        )

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
        output = self.output(*self.final(encoded.tokens, cells))
        return output._replace(hidden=encoded.hidden, base=encoded.base)
