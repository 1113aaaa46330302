"""Folders of captioned photographs: each picture with a .txt or .json of the same name beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nanogen.data.captioned_files import caption_of, pictures
from nanogen.data.crop import load
from nanogen.data.source import Example, in_order, readable
from nanogen.data.stage import DataStage
from nanogen.data.tar_samples import UnreadableSample
from nanogen.data.webdataset import captions
from nanogen.errors import UserError
from nanogen.files import damage


class Captioned:
    """One split of a folder of captioned pictures as a source, without classes (label 0).

    A .txt holds one caption; a .json has ``short`` and ``dense``, ``caption`` or ``text``.
    """

    def __init__(self, stage: DataStage, left_out: frozenset[str] = frozenset()):
        if not stage.root:
            raise UserError("data.root is missing: say in which folder the captioned pictures lie")
        self.stage, self.left_out, self.root = stage, left_out, Path(stage.root)
        self.classes = ["image"]
        self.resolution = stage.resolution
        found = [f for f in pictures(self.root, stage.split) if self._name(f) not in left_out]
        if not found:
            raise UserError(f"data.root: {self.root} holds no readable pictures with captions")
        self.files = found[: stage.images]

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()

    def __len__(self) -> int:
        return len(self.files)

    def _example(self, file: Path) -> tuple[str, Example | str]:
        """The picture's name, and its example or why it cannot be read."""
        name, caption = self._name(file), caption_of(file)
        if caption is None:
            return name, "it has no caption (.txt or .json) beside it"
        try:
            short, dense = captions(caption.read_bytes(), caption.suffix)
            return name, Example(load(file, self.resolution), 0, short, dense)
        except UnreadableSample as error:
            return name, str(error)
        except Exception as error:  # Pillow's formats raise whatever their parsers stumble over
            return name, damage(error, file)

    def examples(self) -> Iterator[Example]:
        return readable(in_order(self._example, self.files))

    def without(self, names: set[str]) -> Captioned:
        return Captioned(self.stage, self.left_out | names)
