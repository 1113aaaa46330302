"""Folders of captioned photographs: each picture with a .txt or .json of the same name beside it.

Pictures lie at any depth in ROOT/{train,val}; where there are no such folders, every twentieth picture
of ROOT by name is for validation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nanogen.data.crop import load
from nanogen.data.source import Example, UnreadableFiles, in_order
from nanogen.data.webdataset import IMAGES, captions
from nanogen.errors import UserError
from nanogen.files import explained

HELD_OUT = 20  # one picture of so many is for validation


def pictures(root: Path, split: str) -> list[Path]:
    """The pictures of a split by name, hidden ones left out; raises UserError if there are none."""
    if not root.is_dir():
        raise UserError(f"data.root: there is no folder {root}; expected captioned pictures there")
    own = root / split
    found = _below(own if own.is_dir() else root)
    if not own.is_dir():
        held_out = found[HELD_OUT - 1 :: HELD_OUT]
        found = held_out if split == "val" else sorted({*found} - {*held_out})
    if not found:
        raise UserError(f"data.root: {root} holds no pictures for the split {split}")
    return found


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    with explained(folder, "read"):
        for base, folders, names in os.walk(folder, followlinks=True):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [Path(base, name) for name in names if not name.startswith(".")]
    return sorted(file for file in found if file.suffix[1:].lower() in IMAGES)


class Captioned:
    """One split of a folder of captioned pictures as a source, without classes (label 0).

    A .txt holds one caption; a .json has ``short`` and ``dense``, ``caption`` or ``text``.
    """

    def __init__(self, stage: Mapping[str, Any], left_out: frozenset[str] = frozenset()):
        data, split = stage["data"], stage["split"]
        if not data["root"]:
            raise UserError("data.root is missing: say in which folder the captioned pictures lie")
        self.stage, self.left_out, self.root = stage, left_out, Path(data["root"])
        self.classes = ["image"]
        self.resolution: int = data["resolution"]
        found = [f for f in pictures(self.root, split) if self._name(f) not in left_out]
        if not found:
            raise UserError(f"data.root: {self.root} holds no readable pictures with captions")
        self.files = found[: data[f"{split}_images"]]

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()

    def __len__(self) -> int:
        return len(self.files)

    def _example(self, file: Path) -> Example | str:
        """The example, or why it cannot be read."""
        try:
            caption = next(f for f in map(file.with_suffix, (".json", ".txt")) if f.is_file())
            short, dense = captions(caption.read_bytes(), caption.suffix[1:])
            return Example(load(file, self.resolution), 0, short, dense)
        except StopIteration:
            return "it has no caption (.txt or .json) beside it"
        except Exception as error:  # Pillow's formats raise whatever their parsers stumble over
            return str(error) or type(error).__name__

    def examples(self) -> Iterator[Example]:
        unreadable = {}
        for file, result in zip(self.files, in_order(self._example, self.files), strict=True):
            if isinstance(result, Example):
                yield result
            else:
                unreadable[self._name(file)] = result
        if unreadable:
            raise UnreadableFiles(unreadable)

    def without(self, names: set[str]) -> Captioned:
        return Captioned(self.stage, self.left_out | names)
