"""Variational autoencoders of diffusers: latents are the normalised mode of the posterior."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from nanogen.config.model_schema import Model
from nanogen.data.pixels import to_signed
from nanogen.errors import UserError
from nanogen.models.loading import LibraryNetwork, load_network
from nanogen.tokenizers import normalisation
from nanogen.tokenizers.base import Tokenizer
from nanogen.tokenizers.latent_layouts import Plane, layout_of


class VAE(Tokenizer):
    """Variational autoencoder with latents ``(z - shift) * scale``, where z is the posterior's mode.

    Args:
        network: an autoencoder of diffusers.
        layout: the layout of its class.
        latent_shape: (channels, rows, columns) of a latent.
        given: (scale, shift), used instead of those stored in the network (one number each, or one per
            channel).
        epsilon: used instead of the one stored in the network, if it has a BatchNorm.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: LibraryNetwork,
        layout: Plane,
        latent_shape: tuple[int, int, int],
        given: tuple[float, float] | None = None,
        epsilon: float | None = None,
    ):
        super().__init__()
        self.network = network
        self.layout = layout
        self.latent_shape = latent_shape
        scale, shift = normalisation.read(network, given, epsilon)
        self.register_buffer("scale", scale.view(1, -1, 1, 1))
        self.register_buffer("shift", shift.view(1, -1, 1, 1))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        posterior = self.network.encode(self.layout.enter(to_signed(images))).latent_dist
        return (self.layout.pack(posterior.mode()) - self.shift) * self.scale

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        raw = latents.to(self.scale.dtype) / self.scale + self.shift
        return self.layout.leave(self.network.decode(self.layout.unpack(raw)).sample)

    def untrained(self) -> VAE:
        """Return a VAE of this architecture with initial weights; its latents are not normalised."""
        network = type(self.network).from_config(self.network.config).to(self.scale.device)
        vae = VAE(network, self.layout, self.latent_shape, (1.0, 0.0)).to(self.scale.device)
        return vae.eval().requires_grad_(False)


def load(folder: Path, config: Model) -> VAE:
    """Load the autoencoder in ``folder``; raise UserError if it is incomplete or damaged."""
    layout = layout_of(config.model_class)
    network = load_network(folder, config.model_class)
    own = network.config
    if config.latent:
        _, rows, columns = config.latent
    else:
        if "sample_size" not in own:
            raise UserError(f"{folder}: its config.json has no size of images; set the model's 'latent'")
        rows = columns = int(own["sample_size"]) // layout.reduction(own)
    shape = layout.channels(own), rows, columns
    return VAE(network, layout, shape, config.scaling, config.batch_norm_eps)
