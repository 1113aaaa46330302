"""Variational autoencoders of diffusers: latents are the posterior's mode, normalised."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nanogen.errors import UserError
from nanogen.models.loading import load_network
from nanogen.tokenizers.base import Tokenizer, to_signed

VIDEO = ("AutoencoderKLQwenImage",)


class VAE(Tokenizer):
    """``(z - shift) * scale`` of the posterior's mode z; shift and scale one number or per channel.

    A video autoencoder (Qwen-Image's) sees every image as a film of one frame.
    """

    def __init__(
        self, network: nn.Module, scale: Tensor, shift: Tensor, latent_shape: tuple[int, int, int]
    ):
        super().__init__()
        self.network = network
        self.video = type(network).__name__ in VIDEO
        self.latent_shape = latent_shape
        self.register_buffer("scale", scale.view(1, -1, 1, 1))
        self.register_buffer("shift", shift.view(1, -1, 1, 1))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        pixels = to_signed(images)
        mode = self.network.encode(pixels[:, :, None] if self.video else pixels).latent_dist.mode()
        mode = mode[:, :, 0] if self.video else mode
        return (mode - self.shift) * self.scale

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        raw = latents.to(self.scale.dtype) / self.scale + self.shift
        images = self.network.decode(raw[:, :, None] if self.video else raw).sample
        return images[:, :, 0] if self.video else images


def normalisation(config: Mapping[str, Any], given: Any) -> tuple[Tensor, Tensor]:
    """(scale, shift), each float32 (1,) or (C,).

    The first that is given of: the configuration's ``scaling``; per channel, the network's own
    ``latents_mean`` and ``latents_std``; the network's ``scaling_factor`` and ``shift_factor``.
    """
    if given is None and config.get("latents_std") is not None:
        return 1.0 / torch.tensor(config["latents_std"]), torch.tensor(config["latents_mean"])
    if given is None:
        given = (config.get("scaling_factor") or 1.0, config.get("shift_factor") or 0.0)
    return torch.tensor([float(given[0])]), torch.tensor([float(given[1])])


def load(folder: Path, config: Mapping[str, Any]) -> VAE:
    """The autoencoder in ``folder``; raises UserError where it cannot be loaded whole."""
    network = load_network(folder, config["model_class"])
    own = network.config
    channels = int(own["z_dim"] if "z_dim" in own else own["latent_channels"])
    scale, shift = normalisation(own, config.get("scaling"))
    if config.get("latent"):
        _, rows, columns = config["latent"]
    else:
        if "sample_size" not in own:
            raise UserError(f"{folder}: its config.json does not say the images' size; set 'latent'")
        rows = columns = int(own["sample_size"]) // 2 ** (len(own["block_out_channels"]) - 1)
    return VAE(network, scale, shift, (channels, rows, columns))
