"""Folders of photographs in ImageFolder layout: ROOT/{train,val}/CLASS/*."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from nanogen.data.photographs import class_folders, class_names, outside_classes
from nanogen.data.picture_files import PictureFile, Run, runs
from nanogen.data.source import caption, evenly
from nanogen.data.stage import DataStage
from nanogen.data.walk import below, walk
from nanogen.errors import UserError, nearest

log = logging.getLogger(__name__)


def _files(folder: Path) -> list[Path]:
    """Return all files below a class folder, ordered by path; raise UserError if there are none.

    Links that lead nowhere or back are included, and later reported as unreadable like damaged files.
    """
    found = walk(folder)
    files = sorted([*found.files, *found.nowhere, *found.loops])
    left_out = replace(found, nowhere=[], loops=[])
    if left_out.passed_over:
        log.warning("%s: passed over %s", folder, left_out.passed_over)
    if not files:
        raise UserError(f"data.root: the class folder {folder} is empty; fill or remove it")
    return files


class Folder:
    """One split of a folder of photographs as a source (see ``nanogen.data.images``).

    If there are more files than ``data.<split>_images``, that number is chosen evenly over the classes.

    Raises UserError if a folder is missing, a class is empty, or the validation split has a class that
    the training split lacks.
    """

    def __init__(self, stage: DataStage, left_out: frozenset[str] = frozenset()):
        if not stage.root:
            raise UserError("data.root is missing: set it to the folder of the photographs")
        self.stage, self.left_out = stage, left_out
        self.root, self.side = Path(stage.root), stage.resolution
        self.classes = class_names(self.root)
        self.captions = [caption(name, stage.caption_template) for name in self.classes]
        folders = class_folders(self.root / stage.split)
        if passed := outside_classes(self.root / stage.split):
            log.warning("%s: passed over outside any class folder: %s", self.root / stage.split, passed)
        for name, folder in folders.items():
            if name not in self.classes:
                raise UserError(
                    f"data.root: {folder} is a class that {self.root / 'train'} lacks"
                    + nearest(name, self.classes)
                )
        groups = [
            [name for file in _files(folder) if (name := below(file, self.root)) not in left_out]
            for folder in folders.values()
        ]
        for folder, group in zip(folders.values(), groups, strict=True):
            if not group:
                raise UserError(f"data.root: the class folder {folder} holds no readable image")
        labels = [self.classes.index(name) for name in folders]
        chosen = evenly(groups, stage.images)
        self.pictures = [
            PictureFile(name, k, self.captions[k])
            for k, group in zip(labels, chosen, strict=True)
            for name in group
        ]

    @property
    def count(self) -> int:
        return len(self.pictures)

    def parts(self) -> list[Run]:
        return runs(self.root, self.pictures, self.side)

    def filled(self, unreadable: set[str]) -> Folder:
        return Folder(self.stage, self.left_out | unreadable)
