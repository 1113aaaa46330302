"""The small VAE: AutoencoderKL trained with L1, L1 of the image's gradients and a small KL term."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nanogen.errors import UserError
from nanogen.models.loading import save_network
from nanogen.models.training import batches, checked, gather, psnr, seeded, spliced, train
from nanogen.tokenizers.base import to_signed, to_uint8

EVALUATION_BATCH = 250
LOG_VARIANCE = -6.0  # of the posterior at the start of training
SCALE_IMAGES = 2000  # enough for a standard deviation over all cells to three digits


def build(model: Mapping[str, Any], resolution: int) -> nn.Module:
    """An untrained AutoencoderKL of the configuration's architecture and latent size."""
    from diffusers import AutoencoderKL

    if model["model_class"] != "AutoencoderKL":
        raise UserError(
            f"config/models/{model['name']}.yaml: only AutoencoderKL can be trained here, not "
            f"{model['model_class']}; set its source to download or path"
        )
    keys = checked(model["architecture"], inspect.signature(AutoencoderKL).parameters, model["name"])
    levels = len(keys.get("block_out_channels", (64,)))
    channels, rows, _ = model["latent"]
    if rows * 2 ** (levels - 1) != resolution:
        raise UserError(
            f"config/models/{model['name']}.yaml: {levels} entries of block_out_channels make "
            f"{resolution // 2 ** (levels - 1)} latent rows of {resolution} pixels, not {rows}"
        )
    network = AutoencoderKL(
        **{
            "latent_channels": channels,
            "sample_size": resolution,
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            **keys,
        }
    )
    with torch.no_grad():  # a posterior as wide as the prior would drown the image in noise at first
        network.quant_conv.bias[channels:] = LOG_VARIANCE
    return network


def _gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbours in rows and in columns."""
    return images.diff(dim=2), images.diff(dim=3)


def edge_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the images' gradients; keeps edges sharp where L1 alone blurs."""
    pairs = zip(_gradients(output), _gradients(target), strict=True)
    return sum(((a - b).abs().mean() for a, b in pairs), output.new_zeros(()))


def train_vae(stage: Mapping[str, Any], images: Any, val: Any, folder: Path) -> dict[str, float]:
    """Train on ``images`` (an ImageFile), save to ``folder``; its quality on ``val``.

    Quality: ``psnr`` (dB, of the images as they are stored, from the posterior's mode) and
    ``latent_std`` (of the normalised latents, near 1).
    """
    model = stage["model"]
    options = {"kl": 1e-6, "squared": 1.0, "edge": 0.5, **model["training"]["options"]}
    with seeded(stage["seed"], "build", model["name"], "weights"):
        network = build(model, images.images.shape[1])

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        target = to_signed(spliced(gather(images.images, rows), generator))
        posterior = network.encode(target).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator)
        output = network.decode(posterior.mean + posterior.std * noise).sample
        difference = output - target
        return (
            difference.abs().mean()
            + options["squared"] * difference.square().mean()
            + options["edge"] * edge_loss(output, target)
            + options["kl"] * posterior.kl().mean()
        )

    train(network, loss, stage, len(images))
    scale = 1.0 / _latent_std(network, images.images[:SCALE_IMAGES])
    network.register_to_config(scaling_factor=scale, shift_factor=0.0)
    save_network(network, folder)
    return {
        "psnr": _psnr(network, val.images),
        "latent_std": scale * _latent_std(network, val.images[:SCALE_IMAGES]),
    }


@torch.no_grad()
def _latent_std(network: Any, images: Any) -> float:
    modes = [
        network.encode(to_signed(gather(images, part))).latent_dist.mode()
        for part in batches(len(images), EVALUATION_BATCH)
    ]
    return float(torch.cat(modes).double().std())


@torch.no_grad()
def _psnr(network: Any, images: Any) -> float:
    total = 0.0
    for part in batches(len(images), EVALUATION_BATCH):
        target = to_signed(gather(images, part))
        output = network.decode(network.encode(target).latent_dist.mode()).sample
        total += (to_signed(to_uint8(output)) - target).double().square().mean((1, 2, 3)).sum().item()
    return psnr(total / len(images))
