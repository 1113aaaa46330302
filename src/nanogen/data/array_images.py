"""Validation images in one file, uint8 (N, side, side, 3), the form of sets prepared for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nanogen.data.class_names import class_names
from nanogen.data.image_sets import open_images
from nanogen.data.source import Example
from nanogen.data.stage import DataStage
from nanogen.errors import UserError

UNKNOWN = -1  # the file does not say which class an image is of
CLASSES = 1000  # of ImageNet


class ArrayImages:
    """The images of an .npz file in its order; raises UserError if none of its arrays fits."""

    def __init__(self, stage: DataStage):
        if stage.split != "val":
            raise UserError(
                f"data {stage.name}: {stage.file} holds validation images; what needs training images "
                "needs another data.source"
            )
        path = next(Path(stage.root or "").rglob(str(stage.file)), None)
        if path is None:
            raise UserError(f"data {stage.name}: there is no file {stage.file} below {stage.root}")
        self.images = open_images(path, None)
        if self.images.side != stage.resolution:
            raise UserError(
                f"{path} holds images of {self.images.side} pixels, not of {stage.resolution} as "
                "data.resolution says"
            )
        self.count = min(len(self.images), stage.images)
        self.classes = class_names(stage.name, stage.source, None, CLASSES)

    def __len__(self) -> int:
        return self.count

    def examples(self) -> Iterator[Example]:
        """All examples in order; their classes are unknown."""
        rows = (image for batch in self.images.batches(256) for image in batch)
        for _, image in zip(range(self.count), rows, strict=False):
            yield Example(image, UNKNOWN, "", "")
