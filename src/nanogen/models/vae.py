"""The small VAEs of diffusers' classes, trained with L1, squared error and a small KL term."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nanogen.errors import UserError, nearest
from nanogen.models.encoders import load_encoder
from nanogen.models.loading import network_class, save_network
from nanogen.models.losses import Alignment, reconstruction_loss
from nanogen.models.quality import reconstruction_quality
from nanogen.models.training import batches, checked, gather, seeded, spliced, train
from nanogen.stage1.statistics import BATCH, feature_moments
from nanogen.tokenizers import normalisation
from nanogen.tokenizers.base import to_signed
from nanogen.tokenizers.latent_layouts import layout_of
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


def train_vae(
    stage: Mapping[str, Any], images: Any, val: Any, folder: Path, encoder_folder: Path | None = None
) -> dict[str, float]:
    """Train on ``images`` (an ImageFile), save to ``folder``; its quality on ``val``.

    Args:
        encoder_folder: of the frozen encoder that the latents are aligned with (`Alignment`), with
            the weight ``align`` of the options; none for a VAE that only reconstructs.

    Quality: ``psnr`` (dB, of the images as they are stored, from the posterior's mode),
    ``latent_std`` (of the normalised latents, near 1), and ``alignment`` (mean cosine) if aligned.
    """
    model = stage["model"]
    options = {"kl": 1e-6, "squared": 1.0, "edge": 0.5, "align": 0.0, **model["training"]["options"]}
    layout, way = layout_of(model["model_class"]), _way(model)
    encoder = load_encoder(encoder_folder) if encoder_folder else None
    shape = tuple(model["latent"])
    with seeded(stage["seed"], "build", model["name"], "weights"):
        learned = nn.ModuleDict({"network": build(model, images.images.shape[1])})
        if encoder:
            mean, _ = feature_moments(encoder, images.images[:SCALE_IMAGES])
            learned["alignment"] = Alignment(shape, mean)
    network = learned["network"]

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        batch = spliced(gather(images.images, rows), generator)
        target = to_signed(batch)
        posterior = network.encode(layout.enter(target)).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator)
        output = layout.leave(network.decode(posterior.mean + posterior.std * noise).sample)
        total = reconstruction_loss(output, target, options)
        total = total + options["kl"] * posterior.kl().sum() / len(rows)
        if encoder:
            distance = learned["alignment"](layout.pack(posterior.mean), encoder(batch))
            total = total + options["align"] * distance
        return total

    train(learned, loss, stage, len(images))
    raw = VAE(network, layout, shape, (1.0, 0.0))
    normalisation.write(network, way, *feature_moments(raw.encode, images.images[:SCALE_IMAGES]))
    save_network(network, folder)
    quality = reconstruction_quality(VAE(network, layout, shape), val.images)
    if encoder:
        quality["alignment"] = _cosine(learned["alignment"], raw, encoder, val.images[:SCALE_IMAGES])
    return quality


@torch.no_grad()
def _cosine(alignment: Alignment, raw: VAE, encoder: nn.Module, images: Any) -> float:
    parts = [gather(images, part) for part in batches(len(images), BATCH)]
    total = sum(len(part) * (1 - alignment(raw.encode(part), encoder(part))) for part in parts)
    return float(total) / len(images)
