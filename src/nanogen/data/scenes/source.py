"""The drawn scenes as a source of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nanogen.data.scenes import captions, draw, render, scenes
from nanogen.data.source import Example, ImageSource
from nanogen.errors import UserError


class Scenes:
    """They have no files, so none can be unreadable (see ``nanogen.data.images``)."""

    def __init__(self, stage: Mapping[str, Any]):
        self.stage = stage
        self.classes = list(scenes.CLASSES)

    def __len__(self) -> int:
        return int(self.stage["data"][f"{self.stage['split']}_images"])

    def examples(self) -> Iterator[Example]:
        data = self.stage["data"]
        if data["resolution"] < 16:
            raise UserError(f"data.resolution is {data['resolution']}: scenes need 16 pixels or more")
        for scene in draw.draw(self.stage["seed"], self.stage["split"], data["scene"], len(self)):
            image, masks = render.render(scene, data["resolution"])
            objects = [
                {"shape": o.shape, "color": o.color, "size": o.size, "box": render.box(mask)}
                for o, mask in zip(scene.objects, masks, strict=False)
            ]
            yield Example(
                image, scene.label, captions.short(scene), captions.dense(scene), masks, objects
            )

    def without(self, names: set[str]) -> ImageSource:
        return self
