"""Tokenizers: maps between images and the latents that a backbone generates.

Each kind of tokenizer has a module, which `load_tokenizer` imports when it is needed. To add a kind,
write a module with a function ``load(folder, config) -> Tokenizer`` and add it to `LOADERS`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from nanogen.config.model_schema import Model
from nanogen.config.section import read
from nanogen.data.pixels import to_uint8
from nanogen.errors import UserError, nearest
from nanogen.files import read_json
from nanogen.models.card import read_card
from nanogen.tokenizers.base import Tokenizer

LOADERS = {"vae": "nanogen.tokenizers.vae", "rae": "nanogen.tokenizers.rae"}

__all__ = ["LOADERS", "Tokenizer", "load_tokenizer", "to_uint8"]


def load_tokenizer(folder: Path | str, model: Model | None = None) -> Tokenizer:
    """Load a frozen tokenizer: on the CPU, float32, in evaluation mode.

    Args:
        folder: as `train-tokenizer` or ``save_pretrained`` writes it.
        model: its resolved configuration. By default the one in the folder's card or, without a card,
            the class in its `config.json`.

    Raises:
        UserError: the folder, its card or a file is missing, its weights do not fit, or it is not a
            tokenizer.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"there is no tokenizer at {folder}; make it with `snakemake {folder}/nanogen.json`"
        )
    if model is None:
        model = _own_config(folder)
    if model.kind not in LOADERS:
        raise UserError(
            f"{folder}: a model of kind {model.kind!r} is not a tokenizer{nearest(model.kind, LOADERS)}"
        )
    tokenizer: Tokenizer = import_module(LOADERS[model.kind]).load(folder, model)
    if model.latent is not None and model.latent != tokenizer.latent_shape:
        raise UserError(
            f"{folder}: its latents are {_size(tokenizer.latent_shape)}, but the configuration of "
            f"{model.name} says {_size(model.latent)}; correct 'latent' there, or give the folder that "
            "belongs to it"
        )
    return tokenizer.eval().requires_grad_(False)


def _own_config(folder: Path) -> Model:
    card = read_card(folder) or {}
    if "model" in card:
        return read(Model, card["model"])
    config = read_json(folder / "config.json")
    name = str(config.get("_class_name"))
    if not name.startswith("AutoencoderKL"):
        raise UserError(
            f"{folder} does not say what kind of tokenizer it is: there is no nanogen.json, and its "
            "config.json does not name an autoencoder of diffusers; give the folder of a tokenizer"
        )
    return Model(name=folder.name, kind="vae", model_class=name)


def _size(shape: Any) -> str:
    return "x".join(map(str, shape))
