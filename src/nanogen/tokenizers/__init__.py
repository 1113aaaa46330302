"""Tokenizers: what stands between images and the space a backbone works in.

`load_tokenizer` chooses by the model's kind; a module per kind, imported when it is asked for. A
new kind is one module with a function ``load(folder, config) -> Tokenizer`` and one line here.
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
    """The frozen tokenizer in ``folder``: on the CPU, float32, in evaluation mode.

    Args:
        folder: as `train-tokenizer` or ``save_pretrained`` writes it.
        model: its resolved configuration; where none is given, what the folder says of itself: its
            card, or the class in its `config.json`.

    Raises:
        UserError: the folder, its card or a file is missing, its weights do not fit, or its kind
            is not a tokenizer's.
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
            f"{folder}: a model of kind {model.kind!r} is no tokenizer{nearest(model.kind, LOADERS)}"
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
            "config.json names no autoencoder of diffusers"
        )
    return Model(name=folder.name, kind="vae", model_class=name)


def _size(shape: Any) -> str:
    return "x".join(map(str, shape))
