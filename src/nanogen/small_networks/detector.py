"""Train the nano study's detector, and measure its quality as a judge: GenEval of real images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from nanogen.config.model_stage import ModelStage
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.metrics.detector import (
    PHOTOGRAPHS,
    SCENES,
    SHAPE_DETECTOR,
    ShapeDetector,
    WholeImageDetector,
    build_detector,
    network_input,
)
from nanogen.metrics.geneval import relations, score
from nanogen.models.batching import batches, gather
from nanogen.models.initialisation import seeded
from nanogen.models.network_files import save_network
from nanogen.small_networks.training import train

SMALLEST = 0.5  # fraction of the smallest training object; smaller regions do not count as objects
COLOR_SAMPLE = 1000  # number of images whose pixels define the named colours


def true_metadata(objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the metadata of every GenEval prompt that is true of these objects ``{shape, color, box}``.

    One object gives single_object and colors, several equal ones counting. Two of different shapes give
    two_object, color_attr, and position for each relation that the judge finds between their boxes.
    """
    wanted = [{"class": o["shape"], "count": 1} for o in objects]
    colored = [{**w, "color": o["color"]} for w, o in zip(wanted, objects, strict=True)]
    if len(objects) == 1:
        return [{"tag": "single_object", "include": wanted}, {"tag": "colors", "include": colored}]
    counts = Counter((o["shape"], o["color"]) for o in objects)
    if len(counts) == 1:
        (shape, _), count = next(iter(counts.items()))
        return [
            {
                "tag": "counting",
                "include": [{"class": shape, "count": count}],
                "exclude": [{"class": shape, "count": count + 1}],
            }
        ]
    if len(objects) != 2 or objects[0]["shape"] == objects[1]["shape"]:
        return []
    found = [{"tag": "two_object", "include": wanted}, {"tag": "color_attr", "include": colored}]
    for first, second in permutations(range(2)):
        for relation in sorted(relations(objects[second]["box"], objects[first]["box"])):
            placed = {**wanted[second], "position": [relation, 0]}
            found.append({"tag": "position", "include": [wanted[first], placed]})
    return found


def class_map(masks: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Combine masks 0/1 (B, 4, H, W) and shape numbers from 1 (B, 4) to classes, int64 (B, H, W).

    Class 0 is the background.
    """
    return (masks.astype(np.int64) * shapes[:, :, None, None]).max(1)


def _named_colors(data: ImageFile) -> dict[str, list[float]]:
    """Return the mean RGB of every named colour inside the masks of the first images."""
    assert data.masks is not None
    assert data.objects is not None
    pixels: dict[str, list[np.ndarray]] = {}
    for image, masks, objects in zip(data.images[:COLOR_SAMPLE], data.masks, data.objects, strict=False):
        for mask, item in zip(masks, objects, strict=False):
            pixels.setdefault(item["color"], []).append(np.median(image[mask > 0], 0))
    return {name: np.mean(pixels[name], 0).round(1).tolist() for name in sorted(pixels)}


def _scene_config(data: ImageFile, architecture: Mapping[str, Any]) -> dict[str, Any]:
    assert data.masks is not None
    assert data.objects is not None
    areas = data.masks[:COLOR_SAMPLE].sum((2, 3), dtype=np.int64)
    return {
        "_class_name": SHAPE_DETECTOR,
        "kind": SCENES,
        "shapes": sorted({item["shape"] for objects in data.objects for item in objects}),
        "colors": _named_colors(data),
        "min_pixels": int(SMALLEST * areas[areas > 0].min()),
        "arguments": dict(architecture),
    }


def _shape_numbers(data: ImageFile, shapes: Sequence[str]) -> np.ndarray:
    """Return 1 + the index of each object's shape, 0 where there is no object, int64 (N, 4)."""
    assert data.masks is not None
    assert data.objects is not None
    numbers = np.zeros(data.masks.shape[:2], np.int64)
    for row, objects in zip(numbers, data.objects, strict=True):
        row[: len(objects)] = [1 + shapes.index(item["shape"]) for item in objects]
    return numbers


def _mask_iou(detector: ShapeDetector, data: ImageFile) -> float:
    """Return the intersection over union of true and predicted pixels, averaged over shapes."""
    assert data.masks is not None
    numbers, classes = _shape_numbers(data, detector.classes), range(1, 1 + len(detector.classes))
    common: Counter[int] = Counter()
    either: Counter[int] = Counter()
    for rows in batches(len(data), 100):
        predicted = detector.probabilities(data.images[rows]).argmax(1)
        true = class_map(data.masks[rows], numbers[rows])
        for number in classes:
            common[number] += int(((predicted == number) & (true == number)).sum())
            either[number] += int(((predicted == number) | (true == number)).sum())
    return float(np.mean([common[number] / max(1, either[number]) for number in classes]))


def _true_prompts(data: ImageFile) -> Iterator[tuple[dict[str, Any], int]]:
    assert data.objects is not None
    for image, objects in enumerate(data.objects):
        for metadata in true_metadata(objects):
            yield metadata, image


def real_score(detector: ShapeDetector, data: ImageFile) -> dict[str, float]:
    """Compute GenEval of real images for all prompts that are true of them; a perfect score is 1."""
    found = detector(data.images)
    prompts, images = zip(*_true_prompts(data), strict=True)
    return score(prompts, range(len(prompts)), [found[i] for i in images])


def _train_scenes(stage: ModelStage, data: ImageFile, detector: ShapeDetector) -> None:
    assert data.masks is not None
    masks, numbers = data.masks, _shape_numbers(data, detector.classes)

    def loss(rows: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        chosen = rows.numpy()
        target = torch.from_numpy(class_map(masks[chosen], numbers[chosen]))
        return F.cross_entropy(detector.network(network_input(data.images[chosen])), target)

    train(detector.network, loss, stage, len(data))


def _train_photographs(stage: ModelStage, data: ImageFile, detector: WholeImageDetector) -> None:
    labels = torch.from_numpy(data.labels)

    def loss(rows: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        logits = detector.network(network_input(gather(data.images, rows).numpy()))[1]
        return F.cross_entropy(logits, labels[rows])

    train(detector.network, loss, stage, len(data))


def train_detector(
    stage: ModelStage, train_images: ImageFile, val_images: ImageFile, folder: Path
) -> dict[str, float]:
    """Train the detector of ``stage`` and save its config.json and weights in ``folder``.

    Returns its quality on the validation images: for scenes ``mask_iou``, and ``geneval_real`` with the
    score of each tag (`real_score`); for photographs ``accuracy``. Raises UserError for another class.
    """
    model = stage.model
    if model.model_class != SHAPE_DETECTOR:
        raise UserError(
            f"detector {model.name}: {model.model_class} cannot be trained here; "
            f"choose {SHAPE_DETECTOR}, or set its source to download or path"
        )
    if train_images.masks is not None:
        config = _scene_config(train_images, model.architecture)
    else:
        config = {
            "_class_name": SHAPE_DETECTOR,
            "kind": PHOTOGRAPHS,
            "classes": train_images.classes,
            "arguments": {},
        }
    with seeded(stage.seed, "weights", model.name):
        detector = build_detector(config)
    if isinstance(detector, ShapeDetector):
        _train_scenes(stage, train_images, detector)
        real = real_score(detector, val_images)
        quality = {"mask_iou": _mask_iou(detector, val_images), "geneval_real": real.pop("geneval")}
        quality |= {f"real_{tag}": real[tag] for tag in real if not tag.endswith("_accuracy")}
    else:
        _train_photographs(stage, train_images, detector)
        guess = detector.probabilities(val_images.images).argmax(1)
        quality = {"accuracy": float((guess == val_images.labels).mean())}
    save_network(detector.network, config, folder)
    return quality
