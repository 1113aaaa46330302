"""Train autoencoders of the classes of diffusers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.data.pixels import to_signed
from nanogen.errors import UserError, nearest
from nanogen.models.initialisation import checked, seeded
from nanogen.models.loading import LibraryNetwork, load_network, network_class, save_network
from nanogen.stage1.batches import Batch, side_of
from nanogen.stage1.selection import Labelled, images_of_classes
from nanogen.stage1.statistics import feature_moments
from nanogen.stage1.terms import Reconstructed, Term
from nanogen.tokenizers import normalisation
from nanogen.tokenizers.latent_layouts import Plane, layout_of
from nanogen.tokenizers.vae import VAE
from nanogen.training.processes import Processes

LOG_VARIANCE = -6.0  # of the posterior at the start of training
SCALE_IMAGES = 2000  # enough for a standard deviation over all cells to three digits


def build(model: Model, resolution: int) -> LibraryNetwork:
    """Build an untrained autoencoder with the configured class, architecture and latent size.

    Raises UserError if the class does not accept the architecture, or if its latents have another size.
    """
    layout = layout_of(model.model_class)
    network_type = network_class(model.model_class)
    keys = checked(model.architecture, inspect.signature(network_type).parameters, model.name)
    channels, rows, _ = model.latent_shape
    try:
        network = network_type(**layout.arguments(channels, resolution, keys))
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise UserError(
            f"config/models/{model.name}.yaml: 'architecture' does not fit {model.model_class}: {error}"
        ) from error
    cells = resolution // layout.reduction(network.config)
    if (layout.channels(network.config), cells) != (channels, rows):
        raise UserError(
            f"config/models/{model.name}.yaml: with this architecture, images of {resolution} pixels "
            f"have {layout.channels(network.config)} latent channels and {cells} latent rows, not "
            f"{channels} and {rows}"
        )
    _narrow_posterior(network)
    return network


@torch.no_grad()
def _narrow_posterior(network: Any) -> None:
    """Start with a narrow posterior: noise as wide as the prior's would hide the image at first."""
    last = network.encoder.conv_out if network.quant_conv is None else network.quant_conv
    last.bias[len(last.bias) // 2 :] = LOG_VARIANCE


def _way(model: Model) -> str:
    """Return how this network stores the statistics of its latents."""
    possible = layout_of(model.model_class).normalisations
    way = model.normalisation or possible[0]
    if way not in possible:
        raise UserError(
            f"config/models/{model.name}.yaml: {model.model_class} does not support normalisation "
            f"{way!r}{nearest(way, possible)}; choose {' or '.join(possible)}"
        )
    return way


class Coder(nn.Module):
    """An autoencoder whose forward pass maps images to reconstructions, as DDP requires."""

    def __init__(self, network: LibraryNetwork, layout: Plane):
        super().__init__()
        self.network, self.layout = network, layout

    def forward(self, target: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstructions, and the mean and log-variance of the posterior.

        Args:
            target: images (N, 3, H, W) in [-1, 1].
            noise: standard normal noise in the network's layout.
        """
        posterior = self.network.encode(self.layout.enter(target)).latent_dist
        sampled = posterior.mean + posterior.std * noise
        output = self.layout.leave(self.network.decode(sampled).sample)
        return output, posterior.mean, posterior.logvar


class VAETraining:
    """An autoencoder that learns to reconstruct images from samples of its posterior.

    The attributes are those of `nanogen.stage1.rae.DecoderTraining`. If ``folders`` has an autoencoder
    ``start``, training continues from it.
    """

    def __init__(
        self,
        stage: ModelStage,
        train: Labelled,
        folders: Mapping[str, Path],
        group: Processes,
    ):
        model = stage.model
        self.train, self.group, self.model, self.shape = train, group, model, model.latent_shape
        self.layout, self.way = layout_of(model.model_class), _way(model)
        with seeded(stage.seed, "build", model.name, "weights"):
            network = _network(model, train.images.shape[1], folders.get("start"))
        self.terms: dict[str, Term] = {}
        self.learned = Coder(network, self.layout)
        self.last: Tensor = network.decoder.conv_out.weight
        self.noise = _reached(self.learned, side_of(train.images, stage))

    def reconstructed(self, network: nn.Module, batch: Batch) -> Reconstructed:
        """Reconstruct a batch with ``network``, which is `learned` as wrapped for all processes."""
        target = to_signed(batch.images)
        return Reconstructed(batch.images, target, *network(target, batch.noise))

    def sampled(self, made: Reconstructed, noise: Tensor) -> Tensor:
        """Return the posterior sample behind ``made``, which has the same ``noise``.

        These are unnormalised latents (B, C, h, w) in a backbone's layout, with the autograd graph.
        """
        assert made.mean is not None
        assert made.log_variance is not None
        deviation = made.log_variance.mul(0.5).exp()
        return self.layout.pack(made.mean + deviation * noise)

    def measure(self) -> None:
        """Store the statistics of its latents in the network."""
        network, device = self.learned.network.eval(), self.group.device
        raw = VAE(network, self.layout, self.shape, (1.0, 0.0)).to(device)
        images = images_of_classes(self.train, SCALE_IMAGES)
        moments = feature_moments(lambda x: raw.encode(x.to(device)), images, self.group)
        normalisation.write(network, self.way, *moments)

    def save(self, folder: Path) -> VAE:
        """Write the trained and measured tokenizer to ``folder`` and return it."""
        network = self.learned.network
        save_network(network, folder)
        epsilon = self.model.batch_norm_eps
        return VAE(network, self.layout, self.shape, epsilon=epsilon).to(self.group.device)


def _network(model: Model, resolution: int, start: Path | None) -> LibraryNetwork:
    """Return the autoencoder in the folder ``start``, or an untrained one."""
    if start is None:
        return build(model, resolution)
    return load_network(start, model.model_class).requires_grad_(True)


def _reached(coder: Coder, side: int) -> tuple[int, ...]:
    """Freeze parameters that get no gradient (layers for video): processes would wait for theirs.

    Returns the shape of one image's latent in the network's layout.
    """
    target = torch.zeros(1, 3, side, side)
    posterior = coder.network.encode(coder.layout.enter(target)).latent_dist
    output, *_ = coder(target, torch.zeros_like(posterior.mean))
    output.sum().backward()
    for parameter in coder.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None
    return tuple(posterior.mean.shape[1:])
