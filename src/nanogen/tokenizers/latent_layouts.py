"""How each class of autoencoder of diffusers takes an image and lays out its latent.

A layout stands between pictures (N, 3, H, W) and the network's input, and between the network's
latent and the latents (N, C, h, w) that a backbone sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from nanogen.errors import UserError, nearest


class Plane:
    """AutoencoderKL: the network takes a picture and its latent is used as it is.

    Attributes:
        normalisations: how the class can carry its latents' statistics, its own way first
            (`nanogen.tokenizers.normalisation`).
    """

    normalisations: tuple[str, ...] = ("scale", "scale-shift", "channel")
    fold = 1  # side of the cells that become channels

    def enter(self, images: Tensor) -> Tensor:
        """Pictures -> the network's input."""
        return images

    def leave(self, output: Tensor) -> Tensor:
        """The network's output -> pictures."""
        return output

    def pack(self, latent: Tensor) -> Tensor:
        """The network's latent -> (N, C, h, w)."""
        return latent

    def unpack(self, latents: Tensor) -> Tensor:
        """The inverse of `pack`."""
        return latents

    def channels(self, config: Mapping[str, Any]) -> int:
        """C, from the network's own configuration."""
        return int(config["latent_channels"]) * self.fold**2

    def reduction(self, config: Mapping[str, Any]) -> int:
        """Pixels of a picture's side for each cell of the latent's."""
        return 2 ** (len(config["block_out_channels"]) - 1) * self.fold

    def arguments(
        self, channels: int, resolution: int, architecture: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Constructor arguments for a latent of ``channels`` of pictures of ``resolution``."""
        levels = len(architecture.get("block_out_channels", (64,)))
        return {
            "latent_channels": channels // self.fold**2,
            "sample_size": resolution,
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            **architecture,
        }


class FoldedPlane(Plane):
    """AutoencoderKLFlux2: 2x2 cells become one with four times the channels, in the order of
    `torch.pixel_unshuffle`; a BatchNorm inside the network carries the statistics of the result."""

    normalisations = ("batch-norm",)
    fold = 2

    def pack(self, latent: Tensor) -> Tensor:
        return F.pixel_unshuffle(latent, self.fold)

    def unpack(self, latents: Tensor) -> Tensor:
        return F.pixel_shuffle(latents, self.fold)


class Film(Plane):
    """AutoencoderKLQwenImage: a video autoencoder, to which a picture is a film of one frame."""

    normalisations = ("channel",)

    def enter(self, images: Tensor) -> Tensor:
        return images[:, :, None]

    def leave(self, output: Tensor) -> Tensor:
        return output[:, :, 0]

    def pack(self, latent: Tensor) -> Tensor:
        return latent[:, :, 0]

    def unpack(self, latents: Tensor) -> Tensor:
        return latents[:, :, None]

    def channels(self, config: Mapping[str, Any]) -> int:
        return int(config["z_dim"])

    def reduction(self, config: Mapping[str, Any]) -> int:
        return 2 ** len(config["temperal_downsample"])  # diffusers' spelling

    def arguments(
        self, channels: int, resolution: int, architecture: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {"z_dim": channels, **architecture}


LAYOUTS: dict[str, Plane] = {
    "AutoencoderKL": Plane(),
    "AutoencoderKLFlux2": FoldedPlane(),
    "AutoencoderKLQwenImage": Film(),
}


def layout_of(class_name: str) -> Plane:
    """The layout of a class; raises UserError where the class is not known."""
    if class_name not in LAYOUTS:
        raise UserError(
            f"the latents of {class_name!r} are not known{nearest(class_name, LAYOUTS)}; known are "
            f"{', '.join(LAYOUTS)}"
        )
    return LAYOUTS[class_name]
