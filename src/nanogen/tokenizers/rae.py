"""Representation autoencoder (RAE): latents are normalised patch features of a frozen encoder.

A vision transformer decodes them (`nanogen.tokenizers.vit_decoder`). The folder of an RAE contains
``encoder/`` and ``decoder/``, as ``save_pretrained`` writes them, and ``statistics.safetensors`` with
``mean`` and ``var``, float32 (C, h, w), whose header names the encoder and the data that they belong to.
An imported RAE without the encoder can only decode.
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
    """Representation autoencoder with latents ``(z - mean) / sqrt(var + epsilon)``.

    z are the encoder's patch tokens. Latents are normalised per channel and position; the decoder takes
    z itself.

    Args:
        encoder: returns the encoder. It is called at the first `encode`, so that sampling, which only
            decodes, does not load its weights and library.
        decoder: maps z to images in about [0, 1].
        mean, var: float32 (C, h, w).
        epsilon: added to the variance.
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
        """Decode to images in about [0, 1], the decoder's own range."""
        return self.decoder(latents.to(torch.get_default_dtype()) * self.std + self.mean)

    def untrained(self) -> RAE:
        """Return an RAE with the same encoder and statistics, and an untrained decoder."""
        decoder = type(self.decoder)(**self.decoder.config).to(self.mean.device)
        var = self.std.square() - self.epsilon
        rae = RAE(lambda: self.encoder, decoder, self.mean, var, self.epsilon)
        return rae.eval().requires_grad_(False)


def load(folder: Path, config: Model) -> RAE:
    """Load the autoencoder in ``folder``; raise UserError if a part is missing or does not fit."""
    if not (folder / "decoder" / "config.json").exists():
        raise UserError(
            f"{folder} is not a complete RAE: decoder/config.json is missing; make or import it again"
        )
    decoder = ViTDecoder.from_pretrained(folder / "decoder")
    mean, var = stored_statistics(folder)
    mean = torch.zeros_like(var) if mean is None else mean  # published statistics may have none
    shape = tuple(mean.shape)
    _fits(folder, "decoder", decoder.latent_shape, shape)
    _fits(folder, "variance", tuple(var.shape), shape)
    return RAE(partial(_encoder, folder, shape), decoder, mean, var, config.statistics_eps)


def _encoder(folder: Path, shape: tuple[int, ...]) -> VisionEncoder:
    from nanogen.models.encoders import load_encoder

    if not (folder / "encoder" / "config.json").exists():
        raise UserError(
            f"{folder} holds no encoder (encoder/config.json is missing): it can decode latents but not "
            "encode images; make it again, or import it with --encoder"
        )
    encoder = load_encoder(folder / "encoder").eval().requires_grad_(False)
    _fits(folder, "encoder", (encoder.width, encoder.rows, encoder.rows), shape)
    return encoder


def _fits(folder: Path, part: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise UserError(
            f"{folder}: the {part} has size {found}, but the statistics of the features have size "
            f"{expected}: they belong to different models; make or import the folder again"
        )


def write_statistics(folder: Path, mean: Tensor | None, var: Tensor, hash_: str, /, **of: str) -> None:
    """Store the statistics of an encoder's features in the folder of an RAE.

    Args:
        folder: the folder of the RAE.
        mean, var: moments of the features over a data set, float32 (C, h, w). None means a mean of 0.
        hash_: the hash of the configuration that made the RAE.
        of: the hashes of the ``encoder`` and the ``data``, if they are known.
    """
    tensors = {"var": var} if mean is None else {"mean": mean, "var": var}
    save_labelled(tensors, folder / STATISTICS, label(*FORMAT, hash_, **of))


def stored_statistics(folder: Path) -> tuple[Tensor | None, Tensor]:
    """Read the mean, or None, and the variance in the folder of an RAE, each float32 (C, h, w).

    Raises UserError if they are missing, damaged, or belong to another encoder than the folder's.
    """
    path = folder / STATISTICS
    if not path.exists():
        raise UserError(
            f"{path} (mean and variance of the encoder's features) is missing; make or import the "
            "folder again"
        )
    with readable_weights(path), safe_open(path, "pt") as file:
        about = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    _of_this_encoder(folder, about)
    if "var" not in tensors:
        raise UserError(f"{path} holds no 'var'; make or import the folder again")
    return tensors.get("mean"), tensors["var"]


def _of_this_encoder(folder: Path, about: Mapping[str, str]) -> None:
    """Raise UserError if the statistics belong to another encoder than the one in the folder.

    Released statistics, which do not name their encoder, and encoders without a card, which have no
    hash, are accepted.
    """
    path = folder / STATISTICS
    if not about.get("format", "").startswith("nanogen."):
        return
    check_label(about, path, *FORMAT, None)
    card = read_card(folder / "encoder")
    if card is not None and card["hash"] != about.get("encoder"):
        raise UserError(
            f"{path} belongs to another encoder ({about.get('encoder')}) than {folder / 'encoder'} "
            f"({card['hash']}); put the encoder's own statistics there, or make the model again"
        )
