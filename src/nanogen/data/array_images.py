"""Validation images in one file, uint8 (N, side, side, 3), the format of prepared evaluation sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nanogen.data.array_file import array_file
from nanogen.data.class_names import class_names
from nanogen.data.image_sets import open_images
from nanogen.data.source import Example
from nanogen.data.stage import DataStage
from nanogen.errors import UserError

UNKNOWN = -1  # label of images whose class is not in the file
CLASSES = 1000  # number of classes in ImageNet


class ArrayImages:
    """The images of an .npz file, in order; raises UserError if none of its arrays contains images."""

    def __init__(self, stage: DataStage):
        if stage.split != "val":
            raise UserError(
                f"data {stage.name}: {stage.file} contains only validation images; set another "
                "data.source for training images"
            )
        path = array_file(Path(stage.root or ""), stage.file)
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
        """Yield all examples in order; their classes are unknown."""
        rows = (image for batch in self.images.batches(256) for image in batch)
        for _, image in zip(range(self.count), rows, strict=False):
            yield Example(image, UNKNOWN, "", "")
