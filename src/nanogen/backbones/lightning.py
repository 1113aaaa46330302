"""LightningDiT with in-context conditioning: one width for the whole depth, and no decoder.

The block is DDT's encoder block; time and condition enter as tokens only, so the final layer is a
norm and a Linear without modulation (paper, Table 1's runs of LightningDiT).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nanogen.backbones.embeddings import Condition, patches
from nanogen.backbones.encoder import Final, InContextEncoder, Output, initialise


class LightningDiT(InContextEncoder):
    """``forward(x_t, t, condition)`` with x_t (B, C, H, W), t (B,) in [0, 1]; ``cls`` and ``absolute``
    as of DDT.

    The keys of the configuration are DDT's; those of the decoder have no meaning here.
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
        mlp_ratio: float = 4.0,
        time_tokens: int = 4,
        head: str = "linear",
        cls_width: int | None = None,
        repa_depth: int | None = None,
        repa_width: int | None = None,
        repa_head: str = "linear",
        guidance_depth: int | None = None,
        absolute_time: bool = False,
        kind: str = "lightning",
        **decoder: Any,
    ):
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__", "decoder")}
        if unknown := [key for key in decoder if not key.startswith("decoder_")]:
            raise TypeError(f"LightningDiT has no argument {', '.join(unknown)}")
        super().__init__(
            latent=latent,
            conditioner=conditioner,
            text_width=text_width,
            patch=patch,
            width=encoder_width,
            depth=encoder_depth,
            heads=encoder_heads,
            mlp_ratio=mlp_ratio,
            time_tokens=time_tokens,
            cls_width=cls_width,
            repa_depth=repa_depth,
            repa_width=repa_width,
            repa_head=repa_head,
            guidance_depth=guidance_depth,
            absolute_time=absolute_time,
        )
        self.config = config
        pixels = (self.channels, patch) if head == "neural-field" else None
        self.final = Final(encoder_width, self.values, cls_width, pixels)
        initialise(self)

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

    def zeroed(self) -> list[nn.Linear]:
        return [*super().zeroed(), *self.final.outputs()]
