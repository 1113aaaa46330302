"""Object detectors for GenEval, which return a list of detections for each image.

`nanogen.metrics.geneval` decides from these whether an image shows its prompt. GenEval's own detector is
`nanogen.metrics.mask2former`. There are two small ones. The one for scenes is a segmenter, whose
connected regions are the objects. The one for photographs, which have no masks, is a classifier that
detects one object as large as the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from nanogen.config.model_schema import Model
from nanogen.errors import UserError, nearest
from nanogen.metrics import mask2former
from nanogen.metrics.extractors import prepare
from nanogen.metrics.geneval import Detection
from nanogen.models.network_files import load_weights, read_config
from nanogen.models.segmenter import Segmenter
from nanogen.models.small_inception import SmallInception

SHAPE_DETECTOR = "nanogen.ShapeDetector"
SCENES, PHOTOGRAPHS = "segmenter", "classifier"
Detections = list[Detection]


class Detector(Protocol):
    """An object detector."""

    protocol: str  # a phrase that describes how objects are detected
    classes: list[str]  # the classes that it detects, with the names in prompts

    def __call__(self, images: np.ndarray) -> list[Detections]:
        """uint8 (N, H, W, 3) -> the detections in each image, unsorted."""
        ...


def network_input(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [-1, 1]."""
    half = torch.full((3,), 0.5)
    return prepare(torch.from_numpy(np.array(images)), images.shape[1], half, half)


class ShapeDetector:
    """A detector of connected foreground regions in a segmenter's class map.

    The class of a region is the most probable one over its pixels, its score is the mean probability of
    this class, and its colour is the named colour nearest to the median of its pixels.
    """

    protocol = (
        "objects: connected regions of a segmenter trained on the scenes' masks, score: mean class "
        "probability inside the region, colour: nearest named colour of the region's median pixel"
    )

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        colors: Mapping[str, Sequence[float]],
        min_pixels: int,
    ):
        self.network, self.classes, self.min_pixels = network, list(classes), min_pixels
        self._color_names = list(colors)
        self._palette = np.array([colors[name] for name in colors], np.float64)

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray, batch: int = 100) -> np.ndarray:
        """uint8 (N, H, W, 3) -> float32 (N, 1 + classes, H, W), background first."""
        parts = [
            self.network(network_input(images[start : start + batch])).softmax(1).numpy()
            for start in range(0, len(images), batch)
        ]
        return np.concatenate(parts)

    def __call__(self, images: np.ndarray) -> list[Detections]:
        return [self._objects(*pair) for pair in zip(images, self.probabilities(images), strict=True)]

    def _objects(self, image: np.ndarray, probabilities: np.ndarray) -> Detections:
        from scipy import ndimage

        regions, _ = ndimage.label(probabilities[0] < 0.5)
        found: Detections = []
        for index, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
            inside = regions == index
            if inside.sum() < self.min_pixels:
                continue
            shares = probabilities[1:, inside].mean(1)
            best = int(shares.argmax())
            found.append(
                {
                    "cls": self.classes[best],
                    "box": [columns.start, rows.start, columns.stop, rows.stop],
                    "score": float(shares[best]),
                    "color": self._color(image[inside]),
                }
            )
        return found

    def _color(self, pixels: np.ndarray) -> str:
        distance = np.linalg.norm(self._palette - np.median(pixels, 0), axis=1)
        return self._color_names[int(distance.argmin())]


class WholeImageDetector:
    """A detector of one object per image: the most probable class, in a box as large as the image."""

    protocol = (
        "object: the whole image, of the class a classifier trained on the photographs finds most "
        "probable, with that probability as score; colours and positions are not judged"
    )

    def __init__(self, network: SmallInception, classes: Sequence[str]):
        self.network, self.classes = network, list(classes)

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray, batch: int = 100) -> np.ndarray:
        """uint8 (N, H, W, 3) -> float32 (N, classes)."""
        parts = [
            self.network(network_input(images[start : start + batch]))[1].softmax(1).numpy()
            for start in range(0, len(images), batch)
        ]
        return np.concatenate(parts)

    def __call__(self, images: np.ndarray) -> list[Detections]:
        height, width = images.shape[1:3]
        return [
            [
                {
                    "cls": self.classes[int(p.argmax())],
                    "box": [0, 0, width, height],
                    "score": float(p.max()),
                    "color": "",
                }
            ]
            for p in self.probabilities(images)
        ]


def build_detector(config: Mapping[str, Any]) -> ShapeDetector | WholeImageDetector:
    """Build the detector that a folder's config.json describes, with random weights."""
    if config["kind"] == SCENES:
        network = Segmenter(1 + len(config["shapes"]), **config["arguments"])
        return ShapeDetector(network, config["shapes"], config["colors"], config["min_pixels"])
    classifier = SmallInception(len(config["classes"]), **config["arguments"])
    return WholeImageDetector(classifier, config["classes"])


def load_detector(
    folder: Path | str,
    model: Model,
    color_classifier: tuple[Path, Model] | None = None,
) -> Detector:
    """Load the detector in ``folder``, of the class in the resolved configuration ``model``.

    Args:
        color_classifier: folder and configuration of the network that names colours, for a detector
            that does not.

    Raises UserError for a missing or damaged folder and for a class that cannot be loaded.
    """
    if model.model_class == mask2former.MASK2FORMER:
        return mask2former.load(Path(folder), model, color_classifier)
    if model.model_class != SHAPE_DETECTOR:
        known = (SHAPE_DETECTOR, mask2former.MASK2FORMER)
        raise UserError(
            f"detector {model.name}: {model.model_class} cannot be loaded"
            f"{nearest(model.model_class, known)}"
        )
    detector = build_detector(read_config(Path(folder), SHAPE_DETECTOR))
    load_weights(detector.network, Path(folder))
    return detector
