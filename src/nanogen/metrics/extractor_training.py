"""Training of the nano study's feature extractors.

The two differ in network and in what they learn, so that they do not see images the same way: the
small Inception learns the class, the ConvNeXt class and place of a scene's object or, for
photographs, by how many quarter turns the image was rotated (Gidaris et al. 2018, arXiv 1803.07728).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.metrics.extractors import SMALL_INCEPTION, pooled, prepare
from nanogen.metrics.small_inception import SmallInception
from nanogen.models import timm_networks
from nanogen.models.network_files import save_network
from nanogen.models.training import batches, seeded, train

TURNS = 4
PLACE_WEIGHT = 1.0


@dataclass(frozen=True)
class Target:
    """What a network learns of the images of one file.

    Attributes:
        outputs: how many numbers per image.
        loss: (outputs (B, n), rows (B,)) -> scalar.
        quality: (outputs (N, n) of all images) -> named numbers.
        fed: (images (B, H, W, 3), rows (B,)) -> the images the network is shown.
    """

    outputs: int
    loss: Callable[[Tensor, Tensor], Tensor]
    quality: Callable[[Tensor], dict[str, float]]
    fed: Callable[[np.ndarray, Tensor], np.ndarray] = lambda images, rows: images


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(1) == labels).float().mean())


def class_target(data: ImageFile) -> Target:
    """The image's class."""
    labels = torch.from_numpy(data.labels)
    return Target(
        len(data.classes),
        lambda out, rows: F.cross_entropy(out, labels[rows]),
        lambda out: {"accuracy": _accuracy(out, labels)},
    )


def place_target(data: ImageFile) -> Target:
    """The class and, of the first object, the box (x0, y0, x1, y1) as fractions of the side."""
    assert data.objects is not None
    labels, classes, side = torch.from_numpy(data.labels), len(data.classes), data.images.shape[2]
    boxes = torch.tensor([objects[0]["box"] for objects in data.objects], dtype=torch.float32) / side

    def loss(out: Tensor, rows: Tensor) -> Tensor:
        place = F.smooth_l1_loss(out[:, classes:], boxes[rows], beta=0.05)
        return F.cross_entropy(out[:, :classes], labels[rows]) + PLACE_WEIGHT * place

    def quality(out: Tensor) -> dict[str, float]:
        error = (out[:, classes:] - boxes).abs().mean() * side
        return {"accuracy": _accuracy(out[:, :classes], labels), "box_error_pixels": float(error)}

    return Target(classes + 4, loss, quality)


def rotation_target(data: ImageFile) -> Target:
    """By how many quarter turns an image was rotated; image i always by i modulo 4."""
    turns = torch.arange(len(data)) % TURNS

    def turned(images: np.ndarray, rows: Tensor) -> np.ndarray:
        return np.stack([np.rot90(x, k) for x, k in zip(images, turns[rows].tolist(), strict=True)])

    return Target(
        TURNS,
        lambda out, rows: F.cross_entropy(out, turns[rows]),
        lambda out: {"rotation_accuracy": _accuracy(out, turns)},
        turned,
    )


def _second_target(data: ImageFile) -> Target:
    return rotation_target(data) if data.objects is None else place_target(data)


class _WithHead(nn.Module):
    """A timm backbone and a head on its pooled features; the head is not kept."""

    def __init__(self, backbone: nn.Module, outputs: int):
        super().__init__()
        self.backbone = backbone
        width = backbone.num_features
        self.head = nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = pooled(self.backbone, self.backbone.forward_features(x))
        return features, self.head(features)


def _spread(network: nn.Module) -> None:
    """Draw weights at the scale of their fan-in: timm's 0.02 is meant for layers ten times wider."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")


Parts = tuple[nn.Module, nn.Module, dict[str, Any], Callable[[ImageFile], Target]]


def _parts(model: Mapping[str, Any], data: ImageFile) -> Parts:
    """The network to train, the part of it to keep, that part's configuration, and its target."""
    architecture, name = model["architecture"], model["model_class"]
    if name == SMALL_INCEPTION:
        arguments = {"classes": len(data.classes), **architecture}
        network: nn.Module = SmallInception(**arguments)
        return network, network, {"_class_name": name, "arguments": arguments}, class_target
    if name == timm_networks.CONVNEXT:
        backbone = timm_networks.build(name, architecture)
        _spread(backbone)
        network = _WithHead(backbone, _second_target(data).outputs)
        return network, backbone, {"_class_name": name, "arguments": architecture}, _second_target
    raise UserError(
        f"extractor {model['name']}: {name} cannot be trained here; trainable are "
        f"{SMALL_INCEPTION} and {timm_networks.CONVNEXT}, or set its source to download or path"
    )


def train_and_save(
    stage: Mapping[str, Any], train_images: ImageFile, val_images: ImageFile, folder: Path
) -> dict[str, float]:
    """Train the extractor of ``stage`` and save its config.json and weights into ``folder``.

    Returns the quality on the validation images: ``accuracy`` of the class, ``box_error_pixels``
    where boxes are learnt, ``rotation_accuracy`` where rotations are.
    """
    model = stage["model"]
    with seeded(stage["seed"], "weights", model["name"]):
        network, kept, config, target_of = _parts(model, train_images)
    mean, std = torch.tensor(model["image_mean"]), torch.tensor(model["image_std"])
    size = model["input_size"] or train_images.images.shape[1]

    def outputs(data: ImageFile, target: Target, rows: Tensor) -> Tensor:
        images = np.ascontiguousarray(target.fed(data.images[rows.numpy()], rows))
        return network(prepare(torch.from_numpy(images), size, mean, std))[1]

    target = target_of(train_images)
    train(
        network,
        lambda rows, _: target.loss(outputs(train_images, target, rows), rows),
        stage,
        len(train_images),
    )
    held_out, everything = target_of(val_images), torch.arange(len(val_images))
    with torch.inference_mode():
        parts = [outputs(val_images, held_out, everything[b]) for b in batches(len(everything), 200)]
    save_network(kept, config, folder)
    return held_out.quality(torch.cat(parts))
