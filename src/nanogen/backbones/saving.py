"""A backbone on disk: config.json and model.safetensors, the layout of ``save_pretrained``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nanogen.backbones.ddt import DDT
from nanogen.errors import UserError
from nanogen.files import read_json, write_json
from nanogen.identity import seed_for

CLASSES = {"ddt": DDT}


def build(stage: dict[str, Any]) -> DDT:
    """The untrained network of a ``train`` stage; its weights depend on seed, method and task."""
    backbone = stage["backbone"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(stage["seed"], "init", stage["method"], stage["task"]))
        return CLASSES[backbone["kind"]](
            latent=tuple(stage["latent"]),
            conditioner=stage["conditioner"],
            text_width=stage["text_width"],
            **backbone,
        )


def parameter_count(stage: dict[str, Any]) -> int:
    """Number of parameters, counted on the meta device: nothing is allocated."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(stage).parameters())


def save(folder: Path, model: DDT, weights: dict[str, Tensor]) -> None:
    write_json(folder / "config.json", {"model_class": "nanogen.DDT", **model.config})
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "model.safetensors")


def load(folder: Path) -> DDT:
    """The network in ``folder``; raises UserError where files are missing or do not fit."""
    config = read_json(folder / "config.json")
    if config.pop("model_class", None) != "nanogen.DDT":
        raise UserError(f"{folder}/config.json does not describe a nanogen.DDT")
    model = CLASSES[config["kind"]](**{**config, "latent": tuple(config["latent"])})
    load_weights(model, folder / "model.safetensors")
    return model


def load_weights(model: nn.Module, path: Path) -> None:
    """Load every weight, strictly."""
    if not path.exists():
        raise UserError(f"{path} does not exist")
    try:
        model.load_state_dict(load_file(path), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path} does not hold this network's weights: {error}") from error
