"""Translate the decoder of a representation autoencoder between the authors' released files and ours.

Our decoder fuses query, key and value; otherwise only names differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.interop.precision import other_dtypes
from nanogen.interop.reference_encoders import ENCODERS
from nanogen.interop.weights import check_names, read_weights
from nanogen.tokenizers.vit_decoder import ViTDecoder, build

# our name -> the released name
_OUTSIDE = {
    "position": "decoder_pos_embed",
    "token": "trainable_cls_token",
    "embed": "decoder_embed",
    "norm": "decoder_norm",
    "pixels": "decoder_pred",
}
_IN_BLOCK = {
    "qkv": tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
    "out": ("attention.output.dense",),
    "mlp.0": ("intermediate.dense",),
    "mlp.2": ("output.dense",),
    "norm1": ("layernorm_before",),
    "norm2": ("layernorm_after",),
}
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)\.(weight|bias)")


def released_names(name: str) -> tuple[str, ...]:
    """Return the released names of one of our parameters: three for the fused query, key and value."""
    match = _BLOCK.fullmatch(name)
    if match is None:
        part, dot, kind = name.partition(".")
        return (_OUTSIDE[part] + dot + kind,)
    number, inside, kind = match.groups()
    return tuple(f"decoder_layers.{number}.{part}.{kind}" for part in _IN_BLOCK[inside])


def to_released_decoder(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a decoder's state dict to the released names; also works on the meta device."""
    result: dict[str, Tensor] = {}
    for name, value in weights.items():
        names = released_names(name)
        result |= dict(zip(names, value.chunk(len(names)), strict=True))
    return result


def read_decoder(path: Path, model: Model, resolution: int) -> tuple[ViTDecoder, dict[str, str]]:
    """Read the decoder of an RAE from a released file.

    Args:
        path: a file as `read_weights` accepts it.
        model: the resolved configuration of the RAE.
        resolution: side of the decoded images, in pixels.

    Returns:
        The decoder, frozen and in evaluation mode, and the types of the file's tensors that are not
        float32 (`other_dtypes`).

    Raises:
        UserError: the file is missing, damaged or not a decoder, it belongs to another encoder, or a
            name or shape does not fit, or the architecture is not valid.
    """
    check_folder(path, model)
    weights = read_weights(path, "ema")
    channels, entry = model.latent_shape[0], weights.get("decoder_embed.weight")
    if entry is not None and entry.shape[-1] != channels:
        raise UserError(
            f"{path} is the decoder of another encoder: it takes features of {entry.shape[-1]} "
            f"channels, but those of {model.encoder} have {channels}; give the decoder of {model.name}"
        )
    with torch.device("meta"):
        decoder = build(model, resolution)
    expected = to_released_decoder(decoder.state_dict())
    check_names(expected, weights, str(path), f"the decoder of {model.name}")
    state = {
        name: torch.cat([weights[released].float() for released in released_names(name)])
        for name in decoder.state_dict()
    }
    decoder.load_state_dict(state, strict=True, assign=True)
    return decoder.eval().requires_grad_(False), other_dtypes(weights)


def check_folder(path: Path, model: Model) -> None:
    """Raise UserError if a file is in the released folder of another encoder."""
    folder = path.resolve().parent.name
    if ENCODERS.get(folder, model.encoder) != model.encoder:
        raise UserError(
            f"{path} belongs to the encoder {ENCODERS[folder]}, according to its folder, but "
            f"{model.name} is an RAE on {model.encoder}; give the file for that encoder"
        )
