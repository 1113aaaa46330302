"""A common interface to several classes of vision transformers, and the treatment of the last norm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from nanogen.models import timm_networks
from nanogen.models.loading import LibraryNetwork

# How an encoder's last norm is applied (docs/fidelity.md). `Model.last_norm` selects it; the default is
# that of the authors' code for the class.
PLAIN = "plain"  # without its learned scale and shift, eps 1e-5
LEARNED = "learned"  # as in its library
NONE = "none"  # not applied


@dataclass(frozen=True)
class Layout:
    """Properties of a class of the library transformers.

    Attributes:
        norm: the name of its last norm.
        last: how that norm is applied by default.
        prefixed: whether class and register tokens precede the patch tokens.
        pooled: whether the class has a pooling layer, which is not built.
        asks: whether the class resizes its position table only on request.
    """

    norm: str
    last: str
    prefixed: bool
    pooled: bool = False
    asks: bool = False

    @property
    def arguments(self) -> dict[str, bool]:
        return {"add_pooling_layer": False} if self.pooled else {}


TRANSFORMERS = {
    "Dinov2Model": Layout("layernorm", PLAIN, prefixed=True),
    "Dinov2WithRegistersModel": Layout("layernorm", PLAIN, prefixed=True),
    "DINOv3ViTModel": Layout("norm", PLAIN, prefixed=True),
    "SiglipVisionModel": Layout("post_layernorm", LEARNED, prefixed=False, asks=True),
    "ViTModel": Layout("layernorm", PLAIN, prefixed=True, pooled=True, asks=True),
}


@dataclass(frozen=True)
class TransformerParts:
    """A common interface to a vision transformer of any supported class.

    Attributes:
        tokens: normalised pixels (N, 3, H, W) -> all tokens after the last norm (N, T, width).
        layers: (the same pixels, numbers of blocks from 1) -> the patch tokens after each of these
            blocks, before the last norm, each (N, L, width).
        normed: as ``layers``, after the last norm.
        depth: number of blocks.
        prefix: number of class and register tokens, which precede the patch tokens.
        width: channels of a token.
        patch: side of a patch in pixels.
        owner, norm: the module that contains the last norm, and the norm's name in it.
        last: how the last norm is applied by default.
    """

    tokens: Callable[[Tensor], Tensor]
    layers: Callable[[Tensor, Sequence[int]], list[Tensor]]
    normed: Callable[[Tensor, Sequence[int]], list[Tensor]]
    depth: int
    prefix: int
    width: int
    patch: int
    owner: nn.Module
    norm: str
    last: str

    @classmethod
    def of(cls, network: LibraryNetwork) -> TransformerParts:
        if type(network).__name__ in TRANSFORMERS:
            return cls._of_transformers(network)

        def layers(pixels: Tensor, blocks: Sequence[int], norm: bool = False) -> list[Tensor]:
            return network.forward_intermediates(
                pixels, [b - 1 for b in blocks], norm=norm, output_fmt="NLC", intermediates_only=True
            )

        return cls(
            tokens=network.forward_features,
            layers=layers,
            normed=partial(layers, norm=True),
            depth=len(network.blocks),
            prefix=network.num_prefix_tokens,
            width=network.embed_dim,
            patch=network.patch_embed.patch_size[0],
            owner=network,
            norm="norm",
            last=NONE if timm_networks.is_eva(network) else PLAIN,
        )

    @classmethod
    def _of_transformers(cls, network: LibraryNetwork) -> TransformerParts:
        layout = TRANSFORMERS[type(network).__name__]
        owner = network.vision_model if hasattr(network, "vision_model") else network
        config = network.config
        prefix = 1 + int(getattr(config, "num_register_tokens", 0)) if layout.prefixed else 0

        depth = int(config.num_hidden_layers)

        def run(pixels: Tensor, **options: bool) -> Any:
            if layout.asks and pixels.shape[-1] != config.image_size:
                options["interpolate_pos_encoding"] = True
            return network(pixel_values=pixels, **options)

        def layers(pixels: Tensor, blocks: Sequence[int]) -> list[Tensor]:
            states = run(pixels, output_hidden_states=True).hidden_states
            return [states[block][:, prefix:] for block in blocks]

        def normed(pixels: Tensor, blocks: Sequence[int]) -> list[Tensor]:
            output, norm = run(pixels, output_hidden_states=True), getattr(owner, layout.norm)
            # It depends on the class whether the last hidden state is before or after the norm.
            states = [
                output.last_hidden_state if b == depth else norm(output.hidden_states[b]) for b in blocks
            ]
            return [state[:, prefix:] for state in states]

        return cls(
            tokens=lambda pixels: run(pixels).last_hidden_state,
            layers=layers,
            normed=normed,
            depth=depth,
            prefix=prefix,
            width=int(config.hidden_size),
            patch=int(config.patch_size),
            owner=owner,
            norm=layout.norm,
            last=layout.last,
        )

    def end(self, last: str | None = None) -> None:
        """Set how the last norm is applied: as ``last``, or by default as in the authors' code."""
        last = last or self.last
        if last == PLAIN:
            plain = nn.LayerNorm(self.width, eps=1e-5, elementwise_affine=False)
            setattr(self.owner, self.norm, plain)
        elif last == NONE:
            setattr(self.owner, self.norm, nn.Identity())
