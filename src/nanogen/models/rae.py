"""Stage 1: the decoder of a representation autoencoder on a frozen encoder's features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from nanogen.errors import UserError
from nanogen.models.encoders import VisionEncoder, load_encoder
from nanogen.models.loading import save_network
from nanogen.models.training import batches, gather, progress, psnr, seeded, spliced, train
from nanogen.models.vae import edge_loss
from nanogen.tokenizers.base import to_signed
from nanogen.tokenizers.rae import RAE, STATISTICS
from nanogen.tokenizers.vit_decoder import ViTDecoder

FEATURE_BATCH = 250


def train_rae(
    stage: Mapping[str, Any], images: Any, val: Any, folder: Path, encoder_folder: Path
) -> dict[str, float]:
    """Train a decoder on ``images`` (an ImageFile), save to ``folder``; its quality on ``val``.

    The decoder sees normalised latents with noise of a standard deviation drawn from U(0, tau) per
    image (tau is the option ``noise``), and learns L1, squared error and the L1 of gradients.
    Quality: ``psnr`` (dB) of reconstructions from clean latents; ``latent_std`` of normalised ones.
    """
    model = stage["model"]
    options = {"noise": 0.2, "squared": 1.0, "edge": 0.5, **model["training"]["options"]}
    encoder = load_encoder(encoder_folder)
    shape = (encoder.width, encoder.rows, encoder.rows)
    if shape != tuple(model["latent"]):
        raise UserError(
            f"config/models/{model['name']}.yaml: 'latent' is {tuple(model['latent'])}, but the "
            f"features of {encoder_folder} are {shape}"
        )
    mean, var = feature_statistics(encoder, images.images)
    with seeded(stage["seed"], "build", model["name"], "weights"):
        decoder = ViTDecoder(latent=shape, resolution=images.images.shape[1], **model["architecture"])
    rae = RAE(lambda: encoder, decoder, mean, var)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        batch = spliced(gather(images.images, rows), generator)
        latents = rae.encode(batch)
        sigma = options["noise"] * torch.rand(len(rows), 1, 1, 1, generator=generator)
        output = decoder(latents + sigma * torch.randn(latents.shape, generator=generator))
        target = to_signed(batch)
        difference = output - target
        return (
            difference.abs().mean()
            + options["squared"] * difference.square().mean()
            + options["edge"] * edge_loss(output, target)
        )

    train(decoder, loss, stage, len(images))
    save_network(encoder.network, folder / "encoder")
    encoder.preprocessing.write(folder / "encoder")
    decoder.save_pretrained(folder / "decoder")
    save_file({"mean": mean, "var": var}, folder / STATISTICS)
    return _quality(rae, val.images)


def feature_statistics(encoder: VisionEncoder, images: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and variance of the features per channel and position, float32 (C, h, w).

    One pass, summed in float64; the first batch's mean is subtracted first, so that the variance
    does not come from the difference of two large sums.
    """
    shift: Tensor | None = None
    total = square = torch.zeros((), dtype=torch.float64)
    for part in progress(list(batches(len(images), FEATURE_BATCH)), "statistics"):
        features = encoder(gather(images, part)).double()
        shift = features.mean(0) if shift is None else shift
        centred = features - shift
        total = total + centred.sum(0)
        square = square + centred.square().sum(0)
    if shift is None:
        raise UserError("there is no image to take the features' statistics from")
    mean = total / len(images)
    return (mean + shift).float(), (square / len(images) - mean.square()).float()


@torch.no_grad()
def _quality(rae: RAE, images: Any) -> dict[str, float]:
    squared, latents = 0.0, []
    for part in batches(len(images), FEATURE_BATCH):
        batch = gather(images, part)
        latents.append(rae.encode(batch))
        error = to_signed(rae.decode_uint8(latents[-1])) - to_signed(batch)
        squared += error.double().square().mean((1, 2, 3)).sum().item()
    return {"psnr": psnr(squared / len(images)), "latent_std": float(torch.cat(latents).std())}
