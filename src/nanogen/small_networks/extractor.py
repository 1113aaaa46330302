"""Train the nano study's feature extractors, each on its own target (`extractor_targets`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.metrics.extractors import SMALL_INCEPTION, pooled, prepare
from nanogen.models import timm_networks
from nanogen.models.batching import batches
from nanogen.models.initialisation import seeded
from nanogen.models.loading import LibraryNetwork
from nanogen.models.network_files import save_network
from nanogen.models.small_inception import SmallInception
from nanogen.small_networks.extractor_targets import Target, target_of
from nanogen.small_networks.training import train

VALIDATION_BATCH = 200


class _WithHead(nn.Module):
    """A timm network with an additional head on its pooled features, for outputs that are not classes.

    The head is not saved. If the network is a classifier, its logits are the first outputs.
    """

    def __init__(self, network: LibraryNetwork, outputs: int):
        super().__init__()
        self.network = network
        width, others = network.num_features, outputs - network.num_classes
        self.head = nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, others)) if others else None

    def forward(self, x: Tensor) -> Tensor:
        features = self.network.forward_features(x)
        parts = [self.network.forward_head(features)] if self.network.num_classes else []
        if self.head is not None:
            parts.append(self.head(pooled(self.network, features)))
        return torch.cat(parts, 1)


class _Logits(nn.Module):
    """Wrap the small Inception to return only its logits."""

    def __init__(self, inception: SmallInception):
        super().__init__()
        self.inception = inception

    def forward(self, x: Tensor) -> Tensor:
        return self.inception(x)[1]


def _spread(network: nn.Module) -> None:
    """Draw weights scaled to their fan-in; timm's scale 0.02 is meant for ten times wider layers."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")


def _networks(
    model: Model, data: ImageFile, target: Target
) -> tuple[nn.Module, nn.Module, dict[str, Any]]:
    """Return the network to train, the part of it to save, and the configuration of that part."""
    architecture, name = model.architecture, model.model_class
    if name == SMALL_INCEPTION:
        arguments = {"classes": len(data.classes), **architecture}
        inception = SmallInception(**arguments)
        return _Logits(inception), inception, {"_class_name": name, "arguments": arguments}
    if name in timm_networks.MODULES:
        arguments = {**({"num_classes": target.classes} if target.classes else {}), **architecture}
        network = timm_networks.build(name, arguments)
        _spread(network)
        trained = _WithHead(network, target.outputs)
        return trained, network, {"_class_name": name, "arguments": arguments}
    raise UserError(
        f"extractor {model.name}: {name} cannot be trained here; choose one of "
        f"{', '.join([SMALL_INCEPTION, *timm_networks.MODULES])}, or set its source to download or path"
    )


def train_extractor(
    stage: ModelStage, train_images: ImageFile, val_images: ImageFile, folder: Path
) -> dict[str, float]:
    """Train the extractor of ``stage`` and save its config.json and weights in ``folder``.

    Returns its quality on the validation images, as its target defines it.
    """
    model = stage.model
    name, learns = model.name, stage.training.target
    with seeded(stage.seed, "weights", name):
        target = target_of(learns, train_images)
        network, kept, config = _networks(model, train_images, target)
    mean, std = torch.tensor(model.image_mean), torch.tensor(model.image_std)
    size = model.input_size or train_images.images.shape[1]

    def outputs(data: ImageFile, learnt: Target, rows: Tensor, generator: torch.Generator) -> Tensor:
        images = learnt.fed(np.array(data.images[rows.numpy()]), rows, generator)
        return network(prepare(torch.from_numpy(np.ascontiguousarray(images)), size, mean, std))

    train(
        nn.ModuleList([network, target.learned]),
        lambda rows, generator: target.loss(outputs(train_images, target, rows, generator), rows),
        stage,
        len(train_images),
    )
    generator = torch.Generator().manual_seed(seed_for(stage.seed, "build", name, "validation"))
    held_out = target_of(learns, val_images, target.learned)
    quality = _quality(held_out, len(val_images), lambda r: outputs(val_images, held_out, r, generator))
    save_network(kept, config, folder)
    return quality


@torch.inference_mode()
def _quality(target: Target, count: int, outputs: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Average the quality measures of the target over all ``count`` images."""
    totals: dict[str, float] = {}
    for part in batches(count, VALIDATION_BATCH):
        rows = torch.arange(count)[part]
        for key, value in target.quality(outputs(rows), rows).items():
            totals[key] = totals.get(key, 0.0) + value * len(rows) / count
    return totals
