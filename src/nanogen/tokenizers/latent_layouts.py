"""Layouts of images and latents for each autoencoder class of diffusers.

A layout converts images (N, 3, H, W) to the network's input and back, and the network's latent to the
latents (N, C, h, w) of a backbone and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from nanogen.errors import UserError, nearest


class Plane:
    """AutoencoderKL: images and latents are used as they are.

    Attributes:
        normalisations: the ways in which the class can store statistics of its latents, its default
            first (`nanogen.tokenizers.normalisation`).
    """

    normalisations: tuple[str, ...] = ("scale", "scale-shift", "channel")
    fold = 1  # side of the cells that become channels

    def enter(self, images: Tensor) -> Tensor:
        """Convert images to the network's input."""
        return images

    def leave(self, output: Tensor) -> Tensor:
        """Convert the network's output to images."""
        return output

    def pack(self, latent: Tensor) -> Tensor:
        """Convert the network's latent to (N, C, h, w)."""
        return latent

    def unpack(self, latents: Tensor) -> Tensor:
        """Invert `pack`."""
        return latents

    def channels(self, config: Mapping[str, Any]) -> int:
        """Return C for the network's own configuration."""
        return int(config["latent_channels"]) * self.fold**2

    def reduction(self, config: Mapping[str, Any]) -> int:
        """Return the ratio of the side of an image in pixels to the side of its latent in cells."""
        return 2 ** (len(config["block_out_channels"]) - 1) * self.fold

    def arguments(
        self, channels: int, resolution: int, architecture: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the constructor arguments for latents of ``channels`` and images of ``resolution``."""
        levels = len(architecture.get("block_out_channels", (64,)))
        return {
            "latent_channels": channels // self.fold**2,
            "sample_size": resolution,
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            **architecture,
        }


class FoldedPlane(Plane):
    """AutoencoderKLFlux2: 2x2 cells become one cell with four times the channels.

    Channels are in the order of `torch.pixel_unshuffle`. A BatchNorm inside the network stores the
    statistics of the result.
    """

    normalisations = ("batch-norm",)
    fold = 2

    def pack(self, latent: Tensor) -> Tensor:
        return F.pixel_unshuffle(latent, self.fold)

    def unpack(self, latents: Tensor) -> Tensor:
        return F.pixel_shuffle(latents, self.fold)


class Film(Plane):
    """AutoencoderKLQwenImage: a video autoencoder; an image is a video of one frame."""

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
    """Return the layout of a class; raise UserError if the class is not known."""
    if class_name not in LAYOUTS:
        raise UserError(
            f"autoencoders of class {class_name!r} are not supported{nearest(class_name, LAYOUTS)}; "
            f"supported are {', '.join(LAYOUTS)}"
        )
    return LAYOUTS[class_name]
