"""The drawn scenes as a source of images."""

from __future__ import annotations

from collections.abc import Iterator

from nanogen.data.scenes import captions, draw, render, scenes
from nanogen.data.source import Example
from nanogen.data.stage import DataStage
from nanogen.errors import UserError


class Scenes:
    """Drawn scenes, which have no files, so that none can be unreadable."""

    def __init__(self, stage: DataStage):
        self.stage = stage
        self.classes = list(scenes.CLASSES)

    def __len__(self) -> int:
        return self.stage.images

    def examples(self) -> Iterator[Example]:
        stage = self.stage
        if stage.resolution < 16:
            raise UserError(f"data.resolution is {stage.resolution}: scenes need 16 pixels or more")
        assert stage.seed is not None
        for scene in draw.draw(stage.seed, stage.split, stage.scene, stage.images):
            image, masks = render.render(scene, stage.resolution)
            objects = [
                {"shape": o.shape, "color": o.color, "size": o.size, "box": render.box(mask)}
                for o, mask in zip(scene.objects, masks, strict=False)
            ]
            yield Example(
                image, scene.label, captions.short(scene), captions.dense(scene), masks, objects
            )
