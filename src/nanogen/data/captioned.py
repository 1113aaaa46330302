"""Folders of captioned photographs: each image has a .txt or .json of the same name next to it."""

from __future__ import annotations

from pathlib import Path

from nanogen.data.captioned_files import pictures
from nanogen.data.picture_files import PictureFile, Run, runs
from nanogen.data.stage import DataStage
from nanogen.data.walk import below
from nanogen.errors import UserError


class Captioned:
    """One split of a folder of captioned images as a source, without classes (label 0).

    A .txt contains one caption; a .json has ``short`` and ``dense``, ``caption`` or ``text``.
    """

    def __init__(self, stage: DataStage, left_out: frozenset[str] = frozenset()):
        if not stage.root:
            raise UserError("data.root is missing: set it to the folder of the captioned images")
        self.stage, self.left_out, self.root = stage, left_out, Path(stage.root)
        self.side = stage.resolution
        self.classes = ["image"]
        names = (below(file, self.root) for file in pictures(self.root, stage.split))
        found = [PictureFile(name) for name in names if name not in left_out]
        if not found:
            raise UserError(f"data.root: {self.root} holds no readable images with captions")
        self.pictures = found[: stage.images]

    @property
    def count(self) -> int:
        return len(self.pictures)

    def parts(self) -> list[Run]:
        return runs(self.root, self.pictures, self.side)

    def filled(self, unreadable: set[str]) -> Captioned:
        return Captioned(self.stage, self.left_out | unreadable)
