"""Class accuracy: the fraction of images that a classifier assigns to their intended class."""

from __future__ import annotations

import numpy as np

from nanogen.errors import UserError
from nanogen.metrics.frechet import require_finite

CONFIDENCE = 0.95


def class_accuracy(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Compute ``accuracy``, top-1, with the ends of its interval and its chance level.

    The interval is Wilson's (J. Am. Stat. Assoc. 22, 1927), which is also valid near 0 and 1. It
    assumes independent images; a set with equally many images of each class varies slightly less.
    ``accuracy_chance`` is the expected accuracy of the same predictions with the labels in random order;
    it is 1/classes if all classes have the same number of images.

    Args:
        logits: (n, classes).
        labels: the images' classes, int (n,).

    Raises UserError if there are no images, a label is out of range or a logit is not finite.
    """
    from scipy.stats import binomtest

    count, classes = logits.shape
    if not count or len(labels) != count:
        raise UserError(
            f"{count} images and {len(labels)} labels: the class accuracy needs one label each"
        )
    if wrong := [label for label in (labels.min(), labels.max()) if not 0 <= label < classes]:
        raise UserError(f"an image is of class {wrong[0]}, but the classifier knows {classes}")
    require_finite(logits, "the logits")
    top = logits.argmax(1)
    hits = int((top == labels).sum())
    interval = binomtest(hits, count).proportion_ci(CONFIDENCE, method="wilson")
    drawn, named = (np.bincount(of, minlength=classes) for of in (labels, top))
    return {
        "accuracy": hits / count,
        "accuracy_low": float(interval.low),
        "accuracy_high": float(interval.high),
        "accuracy_chance": int(drawn @ named) / count**2,
    }
