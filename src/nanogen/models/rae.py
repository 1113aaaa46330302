"""Stage 1: the decoder of a representation autoencoder on a frozen encoder's features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from nanogen.errors import UserError
from nanogen.models.encoders import copy_encoder, load_encoder
from nanogen.models.losses import reconstruction_loss
from nanogen.models.quality import reconstruction_quality
from nanogen.models.training import gather, seeded, spliced, train
from nanogen.stage1.statistics import feature_moments
from nanogen.tokenizers.base import to_signed
from nanogen.tokenizers.rae import RAE, STATISTICS
from nanogen.tokenizers.vit_decoder import ViTDecoder


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
    mean, var = feature_moments(encoder, images.images)
    with seeded(stage["seed"], "build", model["name"], "weights"):
        decoder = ViTDecoder(latent=shape, resolution=images.images.shape[1], **model["architecture"])
    rae = RAE(lambda: encoder, decoder, mean, var)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        batch = spliced(gather(images.images, rows), generator)
        latents = rae.encode(batch)
        sigma = options["noise"] * torch.rand(len(rows), 1, 1, 1, generator=generator)
        output = decoder(latents + sigma * torch.randn(latents.shape, generator=generator))
        return reconstruction_loss(output, to_signed(batch), options)

    train(decoder, loss, stage, len(images))
    copy_encoder(encoder_folder, encoder.preprocessing, folder / "encoder")
    decoder.save_pretrained(folder / "decoder")
    save_file({"mean": mean, "var": var}, folder / STATISTICS)
    return reconstruction_quality(rae, val.images)
