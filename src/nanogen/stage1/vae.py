"""Autoencoders of diffusers' classes, trained from scratch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.errors import UserError, nearest
from nanogen.models.encoders import load_encoder
from nanogen.models.loading import network_class, save_network
from nanogen.models.training import checked, seeded
from nanogen.stage1.batches import Batch, side_of
from nanogen.stage1.reconstructed import Reconstructed
from nanogen.stage1.statistics import feature_moments
from nanogen.stage1.terms import Alignment, Term
from nanogen.tokenizers import normalisation
from nanogen.tokenizers.base import to_signed
from nanogen.tokenizers.latent_layouts import Plane, layout_of
from nanogen.tokenizers.vae import VAE

LOG_VARIANCE = -6.0  # of the posterior at the start of training
SCALE_IMAGES = 2000  # enough for a standard deviation over all cells to three digits


def build(model: Mapping[str, Any], resolution: int) -> nn.Module:
    """An untrained autoencoder of the configuration's class, architecture and latent size."""
    layout = layout_of(model["model_class"])
    network_type = network_class(model["model_class"])
    keys = checked(model["architecture"], inspect.signature(network_type).parameters, model["name"])
    channels, rows, _ = model["latent"]
    try:
        network = network_type(**layout.arguments(channels, resolution, keys))
    except (ValueError, TypeError, IndexError) as error:
        raise UserError(
            f"config/models/{model['name']}.yaml: this 'architecture' is none of "
            f"{model['model_class']}: {error}"
        ) from error
    cells = resolution // layout.reduction(network.config)
    if (layout.channels(network.config), cells) != (channels, rows):
        raise UserError(
            f"config/models/{model['name']}.yaml: this architecture makes "
            f"{layout.channels(network.config)} channels and {cells} latent rows of {resolution} "
            f"pixels, not {channels} and {rows}"
        )
    _narrow_posterior(network)
    return network


@torch.no_grad()
def _narrow_posterior(network: Any) -> None:
    """A posterior as wide as the prior would drown the image in noise at first."""
    last = network.encoder.conv_out if network.quant_conv is None else network.quant_conv
    last.bias[len(last.bias) // 2 :] = LOG_VARIANCE


def _way(model: Mapping[str, Any]) -> str:
    """How this network is to carry its latents' statistics."""
    possible = layout_of(model["model_class"]).normalisations
    way = model["normalisation"] or possible[0]
    if way not in possible:
        raise UserError(
            f"config/models/{model['name']}.yaml: {model['model_class']} cannot carry normalisation "
            f"{way!r}{nearest(way, possible)}; it can be {' or '.join(possible)}"
        )
    return way


class Coder(nn.Module):
    """What is trained of a VAE: the network and, where its latents are aligned, a linear map of them.

    Args:
        fold: side of the cells that the map reads as one, and ``width`` of the features it makes;
            None: no map.
    """

    def __init__(self, network: nn.Module, layout: Plane, width: int | None = None, fold: int = 1):
        super().__init__()
        self.network, self.layout, self.fold = network, layout, fold
        if width:
            channels = layout.channels(network.config) * fold**2
            self.head = nn.Conv2d(channels, width, 1)

    def forward(self, target: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Images (N, 3, H, W) in [-1, 1] and standard normal noise in the network's layout ->
        reconstructions, mean and log-variance of the posterior, mapped latents."""
        posterior = self.network.encode(self.layout.enter(target)).latent_dist
        sampled = posterior.mean + posterior.std * noise
        output = self.layout.leave(self.network.decode(sampled).sample)
        return output, posterior.mean, posterior.logvar, self._mapped(posterior.mean)

    def _mapped(self, mean: Tensor) -> Tensor | None:
        if not hasattr(self, "head"):
            return None
        return self.head(F.pixel_unshuffle(self.layout.pack(mean), self.fold))


class VAETraining:
    """An autoencoder that learns images from samples of its posterior.

    Attributes as those of `nanogen.stage1.rae.DecoderTraining`; ``folders`` hold an ``encoder`` where
    the latents are aligned with its features.
    """

    def __init__(
        self,
        stage: Mapping[str, Any],
        images: np.ndarray,
        folders: Mapping[str, Path],
        device: torch.device,
    ):
        model = stage["model"]
        self.images, self.device, self.shape = images, device, tuple(model["latent"])
        self.layout, self.way = layout_of(model["model_class"]), _way(model)
        with seeded(stage["seed"], "build", model["name"], "weights"):
            network = build(model, images.shape[1])
            self.terms, given = {}, ()
            if "encoder" in folders:
                self.terms["align"], given = self._alignment(folders["encoder"])
            self.learned: nn.Module = Coder(network, self.layout, *given)
        self.last: Tensor = network.decoder.conv_out.weight
        self.noise = _reached(self.learned, side_of(images, model))

    def _alignment(self, folder: Path) -> tuple[Term, tuple[int, int]]:
        encoder = load_encoder(folder).eval().requires_grad_(False).to(self.device)
        mean, _ = feature_moments(lambda x: encoder(x.to(self.device)).cpu(), self.images[:SCALE_IMAGES])
        term = Alignment(encoder, mean.to(self.device))
        return term, (encoder.width, self.shape[1] // encoder.rows)

    def reconstructed(self, network: nn.Module, batch: Batch) -> Reconstructed:
        """What ``network``, which is `learned` as processes share it, makes of a batch."""
        target = to_signed(batch.images)
        return Reconstructed(batch.images, target, *network(target, batch.noise))

    def save(self, folder: Path) -> VAE:
        """Write the trained tokenizer, with its latents' statistics, to ``folder``; it is returned."""
        network = self.learned.network.eval()
        raw = VAE(network, self.layout, self.shape, (1.0, 0.0)).to(self.device)
        moments = feature_moments(
            lambda x: raw.encode(x.to(self.device)).cpu(), self.images[:SCALE_IMAGES]
        )
        normalisation.write(network, self.way, *moments)
        save_network(network, folder)
        return VAE(network, self.layout, self.shape).to(self.device)


def _reached(coder: Coder, side: int) -> tuple[int, ...]:
    """Freeze what an image does not reach (a film's time), for which processes would wait; the shape of
    one image's latent in the network's layout."""
    target = torch.zeros(1, 3, side, side)
    posterior = coder.network.encode(coder.layout.enter(target)).latent_dist
    output, *_, mapped = coder(target, torch.zeros_like(posterior.mean))
    (output.sum() + (0 if mapped is None else mapped.sum())).backward()
    for parameter in coder.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None
    return tuple(posterior.mean.shape[1:])
