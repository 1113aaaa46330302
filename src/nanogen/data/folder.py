"""Folders of photographs in ImageFolder layout: ROOT/{train,val}/CLASS/*."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from nanogen.data.crop import load
from nanogen.data.photographs import class_folders, class_names
from nanogen.data.source import Example, UnreadableFiles, caption, evenly, in_order
from nanogen.data.stage import DataStage
from nanogen.errors import UserError, nearest
from nanogen.files import explained

log = logging.getLogger(__name__)


def _files(folder: Path) -> list[Path]:
    """All files below a class folder by name, hidden ones left out; UserError if there are none."""
    found: list[Path] = []
    with explained(folder, "read"):
        for base, folders, names in os.walk(folder, followlinks=True):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [Path(base, name) for name in names if not name.startswith(".")]
    if not found:
        raise UserError(f"data.root: the class folder {folder} is empty; fill or remove it")
    return sorted(found)


class Folder:
    """One split of a folder of photographs as a source (see ``nanogen.data.images``).

    Raises UserError where a folder is missing, a class is empty, or validation has a class that
    training lacks. More files than ``data.<split>_images`` are taken evenly over the classes.
    """

    def __init__(self, stage: DataStage, left_out: frozenset[str] = frozenset()):
        if not stage.root:
            raise UserError("data.root is missing: say where the photographs lie")
        self.stage, self.left_out = stage, left_out
        self.root = Path(stage.root)
        self.classes = class_names(self.root)
        self.resolution = stage.resolution
        self.captions = [caption(name, stage.caption_template) for name in self.classes]
        folders = class_folders(self.root / stage.split)
        for folder in folders:
            if folder.name not in self.classes:
                raise UserError(
                    f"data.root: {folder} is a class that {self.root / 'train'} lacks"
                    + nearest(folder.name, self.classes)
                )
        groups = [[f for f in _files(folder) if self._name(f) not in left_out] for folder in folders]
        for folder, group in zip(folders, groups, strict=True):
            if not group:
                raise UserError(f"data.root: the class folder {folder} holds no readable image")
        labels = [self.classes.index(folder.name) for folder in folders]
        chosen = evenly(groups, stage.images)
        self.files = [(f, k) for k, group in zip(labels, chosen, strict=True) for f in group]

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()

    def __len__(self) -> int:
        return len(self.files)

    def _example(self, item: tuple[Path, int]) -> Example | str:
        """The example, or why its file cannot be read."""
        file, k = item
        try:
            image = load(file, self.resolution)
        except Exception as error:  # Pillow's formats raise whatever their parsers stumble over
            return str(error) or type(error).__name__
        return Example(image, k, self.captions[k], self.captions[k])

    def examples(self) -> Iterator[Example]:
        unreadable = {}
        for (file, _), result in zip(self.files, in_order(self._example, self.files), strict=True):
            if isinstance(result, Example):
                yield result
            else:
                unreadable[self._name(file)] = result
        if unreadable:
            raise UnreadableFiles(unreadable)

    def without(self, names: set[str]) -> Folder:
        return Folder(self.stage, self.left_out | names)
