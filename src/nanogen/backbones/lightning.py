"""LightningDiT with in-context conditioning: one width for the whole depth, and no decoder.

The blocks are those of DDT's encoder. Time and condition are only given as tokens, so the final layer is
a norm and a Linear without modulation (see the runs of LightningDiT in the paper's Table 1).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from nanogen.backbones.embeddings import Condition, patches
from nanogen.backbones.encoder import InContextEncoder, Output


class LightningDiT(InContextEncoder):
    """LightningDiT, which is called like `DDT`.

    ``forward(x_t, t, condition)`` takes x_t (B, C, H, W) and t (B,) in [0, 1]; ``cls`` and ``absolute``
    are as in `DDT`. The constructor arguments are those of `InContextEncoder`. Those of DDT's decoder
    are accepted and ignored.
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
