"""Representation autoencoder: a frozen encoder's patch features, normalised; a ViT maps them back.

The folder is self-contained: ``encoder/`` and ``decoder/`` as ``save_pretrained`` writes them and
``statistics.safetensors`` with ``mean`` and ``var``, float32 (C, h, w).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nanogen.errors import UserError
from nanogen.models.encoders import VisionEncoder, load_encoder
from nanogen.tokenizers.base import Tokenizer
from nanogen.tokenizers.vit_decoder import ViTDecoder

STATISTICS = "statistics.safetensors"
EPSILON = 1e-5


class RAE(Tokenizer):
    """``(z - mean) / sqrt(var + 1e-5)`` per channel and position of the encoder's patch tokens z."""

    def __init__(self, encoder: VisionEncoder, decoder: ViTDecoder, mean: Tensor, var: Tensor):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.latent_shape = tuple(mean.shape)
        self.register_buffer("mean", mean)
        self.register_buffer("std", (var + EPSILON).sqrt())

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return (self.encoder(images) - self.mean) / self.std

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(latents.to(torch.float32))


def load(folder: Path, config: Mapping[str, Any]) -> RAE:
    """The autoencoder in ``folder``; raises UserError where a part is missing or does not fit."""
    for part in ("encoder", "decoder"):
        if not (folder / part / "config.json").exists():
            raise UserError(f"{folder} is not a whole RAE: {part}/config.json is missing")
    encoder = load_encoder(folder / "encoder")
    decoder = ViTDecoder.from_pretrained(folder / "decoder")
    mean, var = _statistics(folder / STATISTICS)
    shape = (encoder.width, encoder.rows, encoder.rows)
    if tuple(mean.shape) != shape or tuple(var.shape) != shape or decoder.latent_shape != shape:
        raise UserError(
            f"{folder}: encoder {shape}, decoder {decoder.latent_shape} and statistics "
            f"{tuple(mean.shape)} are of different sizes; they belong to different models"
        )
    return RAE(encoder, decoder, mean, var)


def _statistics(path: Path) -> tuple[Tensor, Tensor]:
    if not path.exists():
        raise UserError(f"{path} is missing: the mean and variance of the features")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}); make the model again") from error
    if "var" not in tensors:
        raise UserError(f"{path} holds no 'var'")
    var = tensors["var"]
    # the published statistics of DINOv2-B hold no mean
    return tensors.get("mean", torch.zeros_like(var)), var
