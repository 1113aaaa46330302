"""Save and load backbones as config.json and model.safetensors, the layout of ``save_pretrained``."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nanogen import parameters
from nanogen.backbones.ddt import DDT
from nanogen.backbones.encoder import InContextEncoder
from nanogen.backbones.lightning import LightningDiT
from nanogen.config.train_stage import BackboneStage
from nanogen.errors import UserError
from nanogen.files import read_json, write_json
from nanogen.identity import seed_for
from nanogen.weights import readable_weights

CLASSES: dict[str, type[InContextEncoder]] = {"ddt": DDT, "lightning": LightningDiT}


def build(stage: BackboneStage) -> InContextEncoder:
    """Build the untrained network of a stage; its weights depend on seed, method and task."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(stage.seed, "init", stage.method, stage.task))
        return CLASSES[stage.backbone.kind](**_keys(stage))


def _keys(stage: BackboneStage) -> dict[str, Any]:
    return {
        "latent": stage.latent,
        "conditioner": stage.conditioner.model_dump(mode="json"),
        "text_width": stage.text_width,
        "absolute_time": stage.objective.kind == "meanflow",
        **dict(stage.backbone),
        **stage.heads.keys(),
    }


def parameter_count(stage: BackboneStage) -> int:
    """Return the number of parameters of a stage's network."""
    return _count(stage.backbone.kind, json.dumps(_keys(stage)))


@cache  # most methods of a study share a few architectures
def _count(kind: str, keys: str) -> int:
    return parameters.parameter_count(lambda: CLASSES[kind](**json.loads(keys)))


def _class_name(backbone: type[InContextEncoder]) -> str:
    return f"nanogen.{backbone.__name__}"


def save(folder: Path, model: InContextEncoder, weights: dict[str, Tensor]) -> None:
    named = _class_name(CLASSES[model.config["kind"]])  # fully_shard changes the class of a network
    write_json(folder / "config.json", {"model_class": named, **model.config})
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "model.safetensors")


def load(folder: Path) -> InContextEncoder:
    """Load the network in ``folder``; raises UserError if files are missing or do not fit."""
    config = read_json(folder / "config.json")
    named = config.pop("model_class", None)
    found = next((c for c in CLASSES.values() if _class_name(c) == named), None)
    if found is None:
        known = " or a ".join(map(_class_name, CLASSES.values()))
        raise UserError(f"{folder}/config.json does not describe a {known}")
    model = found(**{**config, "latent": tuple(config["latent"])})
    load_weights(model, folder / "model.safetensors")
    return model


def load_weights(model: nn.Module, path: Path) -> None:
    """Load all weights; raises UserError unless names and shapes match."""
    with readable_weights(path):
        weights = load_file(path)
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise UserError(f"{path} does not hold this network's weights: {error}") from error
