"""GenEval's own detector: Mask2Former (Cheng et al. 2022, arXiv 2112.01527) trained on COCO.

Its instances become GenEval's detections. The score of an instance is the probability of its class times
the mean of its mask's probabilities inside the mask; its box encloses the mask.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.metrics.color_classifier import ColorClassifier, crop
from nanogen.metrics.geneval import MAX_PER_CLASS, MIN_SCORE, Detection
from nanogen.models.loading import LibraryNetwork, load_network, load_processor

LONGEST_EDGE = 1333  # pixels; caps the longest edge when the shortest one is scaled to input_size
# Where the network's labels differ from the names in GenEval's prompts.
GENEVAL_NAMES = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
    "mouse": "computer mouse",
    "remote": "tv remote",
    "keyboard": "computer keyboard",
}
Instance = tuple[int, float, np.ndarray]  # class number, score, mask bool (H, W)
MASK2FORMER = "Mask2FormerForUniversalSegmentation"


def instances(
    class_logits: Tensor, mask_logits: Tensor, fed: tuple[int, int], size: tuple[int, int]
) -> Iterator[Instance]:
    """Yield instances that score above GenEval's threshold, in descending order of class probability.

    Only the Q most probable pairs of query and class are considered, so a query may occur twice.

    Args:
        class_logits: (Q, classes + 1); the last class is "no object".
        mask_logits: (Q, h, w). They are resized to ``fed``, the height and width of the network's input,
            thresholded at probability 0.5, and then resized to ``size``, those of the image.
    """
    probabilities = class_logits.softmax(-1)[:, :-1]
    best, pairs = probabilities.flatten().topk(min(len(class_logits), probabilities.numel()))
    for probability, pair in zip(best.tolist(), pairs.tolist(), strict=True):
        if probability <= MIN_SCORE:  # the mask's mean probability is below 1
            return
        query, number = divmod(pair, probabilities.shape[1])
        logits = F.interpolate(mask_logits[None, query : query + 1], fed, mode="bilinear")
        inside = logits > 0
        if not inside.any():
            continue
        score = probability * float(logits[inside].sigmoid().mean())
        mask = F.interpolate(inside.float(), size, mode="nearest")[0, 0] > 0
        if score > MIN_SCORE and mask.any():
            yield number, score, mask.cpu().numpy()


def enclosing_box(mask: np.ndarray) -> list[int]:
    """Return [x0, y0, x1, y1], x1 and y1 exclusive, of a mask bool (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def surest_per_class(found: Sequence[Instance]) -> list[Instance]:
    """Return the instances in descending order of score, limited to GenEval's number per class."""
    kept: dict[int, list[Instance]] = {}
    for instance in sorted(found, key=lambda one: -one[1]):
        kept.setdefault(instance[0], []).append(instance)
    return [one for same in kept.values() for one in same[:MAX_PER_CLASS]]


class Mask2FormerDetector:
    """Mask2Former, with CLIP for the colours of detected objects.

    Images are processed one by one, so that results do not depend on a batch.

    Attributes:
        classes: the classes that it detects, with GenEval's names.
    """

    protocol = (
        "objects: instances of Mask2Former, score: class probability times mean mask probability "
        "inside the mask, colour: CLIP zero-shot on the object's crop, the rest painted #999"
    )

    def __init__(self, network: LibraryNetwork, processor: Any, name_colors: ColorClassifier, edge: int):
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device)
        self._processor, self._name_colors = processor, name_colors
        self._size = {"shortest_edge": edge, "longest_edge": max(edge, LONGEST_EDGE)}
        labels = network.config.id2label
        self.classes: list[str] = [GENEVAL_NAMES.get(labels[i], labels[i]) for i in sorted(labels)]

    def __call__(self, images: np.ndarray) -> list[list[Detection]]:
        """uint8 (N, H, W, 3) -> for each image, the detections that score above GenEval's threshold."""
        shown = tqdm(images, desc="objects", disable=not sys.stderr.isatty() or len(images) == 1)
        return [self._objects(np.array(image)) for image in shown]

    @torch.inference_mode()
    def _objects(self, image: np.ndarray) -> list[Detection]:
        fed = self._processor(
            image, size=self._size, input_data_format="channels_last", return_tensors="pt"
        ).to(self._device)
        output = self._network(**fed)
        seen = instances(
            output.class_queries_logits[0].float(),
            output.masks_queries_logits[0].float(),
            tuple(fed["pixel_values"].shape[-2:]),
            image.shape[:2],
        )
        found = [
            (self.classes[number], enclosing_box(mask), score, mask)
            for number, score, mask in surest_per_class(list(seen))
        ]
        crops = [crop(image, mask, box) for _, box, _, mask in found]
        colors = self._name_colors(crops, [name for name, *_ in found])
        return [
            {"cls": name, "box": box, "score": score, "color": color}
            for (name, box, score, _), color in zip(found, colors, strict=True)
        ]


def load(folder: Path, model: Model, color_classifier: tuple[Path, Model] | None) -> Mask2FormerDetector:
    """Load the detector in ``folder``; ``color_classifier`` is the folder and model that names colours.

    Raises UserError if a file is missing, damaged or of another class.
    """
    from transformers import Mask2FormerImageProcessor

    if color_classifier is None:
        raise UserError(
            f"detector {model.name}: Mask2Former sees no colours; name a model that does as its "
            "'color_classifier', and give the folder of that model as color_classifier"
        )
    network = load_network(folder, MASK2FORMER)
    processor = load_processor(Mask2FormerImageProcessor, folder)
    return Mask2FormerDetector(
        network, processor, ColorClassifier.load(*color_classifier), model.required("input_size")
    )
