"""Add the remaining inputs of class accuracy to a feature file that has the classifier's logits.

These are the labels of the images, and the accuracy of the classifier on real images.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from nanogen.config.score_stages import FeaturesStage
from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.metrics.benchmark_samples import SAMPLES
from nanogen.models.card import read_card

if TYPE_CHECKING:
    from nanogen.metrics.extractors import Extractor

LABELS = "labels"
REAL_ACCURACY = "real_accuracy"


def judges(stage: FeaturesStage, extractor: Extractor) -> bool:
    """Whether ``extractor`` is the classifier of a ``features`` stage.

    Raises UserError if it is the classifier but has another number of classes than the images.
    """
    classifier = stage.classifier
    if classifier is None or classifier.name != extractor.name:
        return False
    if extractor.classes not in (None, classifier.classes):  # None is refused where logits are read
        raise UserError(
            f"evaluation.classifier {extractor.name} knows {extractor.classes} classes, but the images "
            f"are of {classifier.classes}: name an extractor that was trained on these, or set "
            "evaluation.classifier to null"
        )
    return True


def write(stage: FeaturesStage, samples: Path, folders: Mapping[str, Path], features: h5py.File) -> None:
    """Add labels and accuracy to ``features``; do nothing if the stage has no classifier."""
    if stage.classifier is None:
        return
    name = stage.classifier.name
    with hdf5.opened(samples, *SAMPLES, stage.expects["samples"]) as file:
        features[LABELS] = file["labels"][:]
    card = read_card(folders[name])
    accuracy = card["quality"].get("accuracy") if card else None
    if accuracy is not None:  # unknown for a downloaded network
        features[name].attrs[REAL_ACCURACY] = accuracy
