"""Convert the authors' files of a representation autoencoder to a tokenizer folder and back.

The files are a decoder and statistics of the encoder's features.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.files import atomic_folder, atomic_path, label, write_json
from nanogen.identity import config_hash
from nanogen.interop.precision import KEY, as_imported, other_dtypes
from nanogen.interop.released_decoder import check_folder, read_decoder, to_released_decoder
from nanogen.interop.weights import size
from nanogen.models.card import CARD, FORMAT, read_card
from nanogen.models.encoders import copy_encoder, load_encoder
from nanogen.models.torch_files import read_torch
from nanogen.tokenizers.rae import stored_statistics, write_statistics
from nanogen.tokenizers.vit_decoder import ViTDecoder


def import_rae(
    decoder: Path,
    statistics: Path,
    model: Model,
    resolution: int,
    output: Path,
    encoder: Path | None = None,
    encoder_model: Model | None = None,
) -> None:
    """Write the tokenizer folder of the RAE ``model`` from released files.

    Args:
        decoder: the file ``decoder.pt``, a state dict.
        statistics: the file ``stats.pt`` with ``mean`` and ``var``, each (C, h, w); the mean may be
            missing or None.
        model: the resolved configuration of the RAE.
        resolution: side of the images, in pixels.
        output: the folder to write.
        encoder: the folder of its encoder. Without one the tokenizer can decode, which is enough for
            sampling, but not encode.
        encoder_model: the resolved configuration of the encoder, if there is one.

    Raises:
        UserError: a file is missing, damaged, or of another encoder or grid. Nothing is written then.
    """
    network, dtypes = read_decoder(decoder, model, resolution)
    mean, var, of_statistics = read_statistics(statistics, model)
    noted = {KEY: dtypes | of_statistics} if dtypes or of_statistics else {}
    origin = {
        part: {"file": path.name, "sha256": _sha256(path)}
        for part, path in (("decoder", decoder), ("statistics", statistics))
    }
    of_encoder = _identity(encoder, model)
    hash_ = config_hash([model.name, origin, of_encoder])
    if encoder is not None:
        assert encoder_model is not None
        _check_fit(encoder, encoder_model, model)
    with atomic_folder(output) as folder:
        network.save_pretrained(folder / "decoder")
        write_statistics(folder, mean, var, hash_, **of_encoder)
        if encoder is not None and encoder_model is not None:
            copy_encoder(encoder, encoder_model, folder / "encoder")
        card = {**label(*FORMAT, hash_), "name": model.name, "kind": model.kind, "quality": {}, **noted}
        write_json(folder / CARD, {**card, "model": model.model_dump(mode="json"), "imported": origin})


def export_rae(folder: Path, decoder: Path, statistics: Path) -> None:
    """Write the RAE in ``folder`` as a released decoder and released statistics.

    The mean in the statistics is None if the folder has none. Raises UserError if the folder is not a
    complete RAE.
    """
    weights = to_released_decoder(ViTDecoder.from_pretrained(folder / "decoder").state_dict())
    mean, var = stored_statistics(folder)
    card = read_card(folder) or {}
    moments = {"var": var} if mean is None else {"mean": mean, "var": var}
    contents: dict[Path, dict[str, Tensor | None]] = {
        decoder: {k: v.clone() for k, v in as_imported(weights, card).items()},
        statistics: {"mean": None, **as_imported(moments, card)},
    }
    for path, content in contents.items():
        with atomic_path(path) as temporary:
            torch.save(content, temporary)


def read_statistics(path: Path, model: Model) -> tuple[Tensor | None, Tensor, dict[str, str]]:
    """Read the statistics of an encoder's features from a released file.

    Returns:
        The mean or None, the variance, each float32 (C, h, w), and the types of those that are not
        float32 in the file (`other_dtypes`).

    Raises:
        UserError: the file is missing or damaged, or its shapes are not those of the latents of
            ``model``.
    """
    check_folder(path, model)
    content = read_torch(path)
    mean, var = content.get("mean"), content.get("var")
    if not isinstance(var, Tensor) or not (mean is None or isinstance(mean, Tensor)):
        raise UserError(
            f"{path} contains no statistics; expected 'var' and optionally 'mean', but it contains "
            f"{', '.join(map(str, content))[:100]}"
        )
    for values in (var,) if mean is None else (mean, var):
        if tuple(values.shape) != model.latent_shape:
            raise UserError(
                f"{path} contains statistics of features {size(values.shape)}, but {model.name} has "
                f"{size(model.latent_shape)}: they belong to another grid or encoder; give the "
                f"statistics of {model.name}"
            )
    dtypes = other_dtypes({"var": var} if mean is None else {"mean": mean, "var": var})
    return None if mean is None else mean.float(), var.float(), dtypes


def _check_fit(encoder: Path, encoder_model: Model, model: Model) -> None:
    """Raise UserError if the features of the encoder in a folder are not the latents of ``model``."""
    loaded = load_encoder(encoder, encoder_model)
    found = (loaded.width, loaded.rows, loaded.rows)
    if found != model.latent_shape:
        raise UserError(
            f"{encoder} is not the encoder of {model.name}: its features are {size(found)}, not "
            f"{size(model.latent_shape)}; give the folder of {model.encoder}"
        )


def _identity(encoder: Path | None, model: Model) -> dict[str, str]:
    """Return the hash in an encoder's card under the key ``encoder``; empty without a card.

    Raises UserError if the card belongs to another encoder than that of ``model``.
    """
    card = None if encoder is None else read_card(encoder)
    if card is None:
        return {}
    if card["name"] != model.encoder:
        raise UserError(
            f"{encoder} contains the encoder {card['name']}, but {model.name} is an RAE on "
            f"{model.encoder}; give the folder of that encoder"
        )
    return {"encoder": card["hash"]}


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
