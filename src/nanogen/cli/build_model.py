"""`nanogen build-model`: train one small frozen network from scratch."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from nanogen.cli.common import read_stage, stage_arguments
from nanogen.config.model_stage import ModelStage
from nanogen.errors import UserError, nearest

if TYPE_CHECKING:
    from nanogen.data.images import ImageFile

log = logging.getLogger(__name__)
Trainer = Callable[[ModelStage, "ImageFile", "ImageFile", Path], dict[str, float]]

# kind -> function (stage, train images, validation images, folder) -> quality
TRAINERS = {
    "encoder": "nanogen.small_networks.encoder:train_encoder",
    "text_encoder": "nanogen.small_networks.text_encoder:train_text_encoder",
    "extractor": "nanogen.small_networks.extractor:train_extractor",
    "detector": "nanogen.small_networks.detector:train_detector",
    "vqa": "nanogen.small_networks.vqa:train_vqa",
    "weak_scorer": "nanogen.small_networks.weak_scorer:train_weak_scorer",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "train", "val", output="the model's folder")


def run(args: argparse.Namespace) -> None:
    from nanogen.data.images import ImageFile
    from nanogen.files import atomic_folder
    from nanogen.models.card import write_card

    stage = ModelStage.from_json(read_stage(args.config, "model"))
    model = stage.model
    if model.training is None:
        raise UserError(f"config/models/{model.name}.yaml: 'training' is missing")
    train = ImageFile(args.train, stage.expects["data"])
    val = ImageFile(args.val, stage.expects["val"])
    trainer = _trainer(model.kind)
    started = time.monotonic()
    with atomic_folder(args.output) as folder:
        quality = trainer(stage, train, val, folder)
        write_card(folder, stage, quality, time.monotonic() - started)
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in quality.items())
    log.info("%s: %s (%.0f s)", model.name, numbers, time.monotonic() - started)


def _trainer(kind: str) -> Trainer:
    if kind not in TRAINERS:
        raise UserError(f"models of kind {kind!r} cannot be trained here{nearest(kind, TRAINERS)}")
    module, function = TRAINERS[kind].split(":")
    return getattr(import_module(module), function)
