"""Folders of trained models and text encoders with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nanogen.backbones import build, save
from nanogen.config.model_schema import Model
from nanogen.config.section import read
from nanogen.config.train_stage import TrainStage
from nanogen.files import label, write_json
from nanogen.small_networks.text_encoder import build as build_text_encoder
from nanogen.small_networks.text_encoder import train_tokenizer


def model_folder(folder: Path, stage: Mapping[str, Any]) -> Path:
    """Write and return the folder of a model of this ``train`` stage, with random weights."""
    torch.manual_seed(3)
    model = build(TrainStage.from_json(stage))
    weights = {k: v + 0.1 * torch.randn_like(v) for k, v in model.state_dict().items()}
    folder.mkdir(parents=True)
    save(folder, model, weights)
    write_json(folder / "stage.json", stage)
    parameters = sum(value.numel() for value in weights.values())
    card = label("model", 1, stage["hash"], name=stage["method"])
    write_json(folder / "nanogen.json", {**card, "quality": {"parameters": parameters}})
    return folder


def text_encoder_folder(folder: Path, stage: Mapping[str, Any]) -> Path:
    """Write and return the folder of the stage's text encoder, with random weights."""
    used = stage["use"]["text_encoder"]
    tokenizer = train_tokenizer(["a red circle", "two blue squares"])
    config = read(Model, used["model"])
    network = build_text_encoder(config, len(tokenizer), tokenizer.pad_token_id)
    network.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
