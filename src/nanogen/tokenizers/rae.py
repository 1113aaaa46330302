"""Representation autoencoder: a frozen encoder's patch features, normalised; a ViT maps them back.

The folder is self-contained: ``encoder/`` and ``decoder/`` as ``save_pretrained`` writes them and
``statistics.safetensors`` with ``mean`` and ``var``, float32 (C, h, w), in whose header stands which
encoder and which data they are of. One that was imported may lack the encoder: it only decodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from torch import Tensor

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.files import check_label, label
from nanogen.models.card import read_card
from nanogen.tokenizers.base import Tokenizer
from nanogen.tokenizers.vit_decoder import ViTDecoder
from nanogen.weights import readable_weights, save_labelled

if TYPE_CHECKING:
    from nanogen.models.encoders import VisionEncoder

STATISTICS = "statistics.safetensors"
FORMAT = ("statistics", 1)
EPSILON = 1e-5


class RAE(Tokenizer):
    """``(z - mean) / sqrt(var + epsilon)`` per channel and position of the encoder's patch tokens z; the
    decoder is given z itself.

    ``encoder`` is called for the network at the first `encode`: sampling only decodes, and is
    spared the weights and the library of an encoder.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: Callable[[], VisionEncoder],
        decoder: ViTDecoder,
        mean: Tensor,
        var: Tensor,
        epsilon: float = EPSILON,
    ):
        super().__init__()
        self._make_encoder, self.epsilon = encoder, epsilon
        self.decoder = decoder
        channels, rows, columns = mean.shape
        self.latent_shape = channels, rows, columns
        self.register_buffer("mean", mean)
        self.register_buffer("std", (var + epsilon).sqrt())

    @cached_property
    def encoder(self) -> VisionEncoder:
        return self._make_encoder().to(self.mean.device)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return (self.encoder(images) - self.mean) / self.std

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return 2 * self.decode_unit(latents) - 1

    @torch.no_grad()
    def decode_unit(self, latents: Tensor) -> Tensor:
        """As the decoder gives them, in [0, 1]."""
        return self.decoder(latents.to(torch.get_default_dtype()) * self.std + self.mean)

    def untrained(self) -> RAE:
        """With another decoder, on the same encoder and its statistics."""
        decoder = type(self.decoder)(**self.decoder.config).to(self.mean.device)
        var = self.std.square() - self.epsilon
        rae = RAE(lambda: self.encoder, decoder, self.mean, var, self.epsilon)
        return rae.eval().requires_grad_(False)


def load(folder: Path, config: Model) -> RAE:
    """The autoencoder in ``folder``; raises UserError where a part is missing or does not fit."""
    if not (folder / "decoder" / "config.json").exists():
        raise UserError(f"{folder} is not a whole RAE: decoder/config.json is missing")
    decoder = ViTDecoder.from_pretrained(folder / "decoder")
    mean, var = stored_statistics(folder)
    mean = torch.zeros_like(var) if mean is None else mean  # published statistics may hold none
    shape = tuple(mean.shape)
    _fits(folder, "decoder", decoder.latent_shape, shape)
    _fits(folder, "variance", tuple(var.shape), shape)
    return RAE(partial(_encoder, folder, shape), decoder, mean, var, config.statistics_eps)


def _encoder(folder: Path, shape: tuple[int, ...]) -> VisionEncoder:
    from nanogen.models.encoders import load_encoder

    if not (folder / "encoder" / "config.json").exists():
        raise UserError(
            f"{folder} holds no encoder (encoder/config.json is missing): it decodes latents and makes "
            "none; make it again, or import it with --encoder"
        )
    encoder = load_encoder(folder / "encoder").eval().requires_grad_(False)
    _fits(folder, "encoder", (encoder.width, encoder.rows, encoder.rows), shape)
    return encoder


def _fits(folder: Path, part: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise UserError(
            f"{folder}: the {part} is of size {found}, the mean of the features of size {expected}; "
            "they belong to different models"
        )


def write_statistics(folder: Path, mean: Tensor | None, var: Tensor, hash_: str, /, **of: str) -> None:
    """Store an encoder's statistics in the folder of an RAE.

    Args:
        mean, var: float32 (C, h, w), of the encoder's features over a data set; the mean counts as 0
            where there is none.
        hash_: of what made the RAE.
        of: hashes of the ``encoder`` and the ``data``, where they are known.
    """
    tensors = {"var": var} if mean is None else {"mean": mean, "var": var}
    save_labelled(tensors, folder / STATISTICS, label(*FORMAT, hash_, **of))


def stored_statistics(folder: Path) -> tuple[Tensor | None, Tensor]:
    """Mean, or None, and variance in the folder of an RAE, each float32 (C, h, w).

    Raises UserError where they are missing, damaged or of another encoder than the one beside them.
    """
    path = folder / STATISTICS
    if not path.exists():
        raise UserError(f"{path} is missing: the mean and variance of the features")
    with readable_weights(path), safe_open(path, "pt") as file:
        about = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no dict
    _of_this_encoder(folder, about)
    if "var" not in tensors:
        raise UserError(f"{path} holds no 'var'")
    return tensors.get("mean"), tensors["var"]


def _of_this_encoder(folder: Path, about: Mapping[str, str]) -> None:
    """Raise UserError for statistics of another encoder than the one beside them.

    Released statistics do not say what they are of, and neither does an encoder without a card.
    """
    path = folder / STATISTICS
    if not about.get("format", "").startswith("nanogen."):
        return
    check_label(about, path, *FORMAT, None)
    card = read_card(folder / "encoder")
    if card is not None and card["hash"] != about.get("encoder"):
        raise UserError(
            f"{path} is of another encoder: of {about.get('encoder')}, but {folder / 'encoder'} holds "
            f"{card['hash']}; put the encoder's own statistics there, or make the model again"
        )
