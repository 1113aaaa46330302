"""A user's photographs with classes: a tree of folders, or an exported data set."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

from nanogen.data.walk import entries, walk
from nanogen.errors import UserError
from nanogen.text import check_storable

LAYOUT = (
    "expected ROOT/train/CLASS/* and ROOT/val/CLASS/*, or parquet or Arrow files of the splits train "
    "and validation"
)


def is_exported(root: Path | str) -> bool:
    """Whether ``root`` contains tables. Class folders are not searched, since they can be large."""
    from nanogen.data.exported_tables import is_table

    root = Path(root)
    train = root / "train"
    if not root.is_dir():
        return False
    files = entries(train).files if train.is_dir() else walk(root).files
    return any(map(is_table, files))


def class_names(root: Path | str) -> list[str]:
    """Return the names of a data set's classes by label; raise UserError if there are none.

    For a tree of folders they are the sorted names of the training folders.
    """
    if is_exported(root):
        from nanogen.data import exported_tables

        return exported_tables.class_names(Path(root))
    return list(class_folders(Path(root) / "train"))


def class_folders(folder: Path) -> dict[str, Path]:
    """Return the folder of each class, by name; raise UserError if there are none.

    Names are converted to Unicode's composed form (NFC), since macOS stores the decomposed one. Two
    folders that differ only in this form, or a name that is not text, are refused.
    """
    if not folder.is_dir():
        raise UserError(f"data.root: there is no folder {folder}; {LAYOUT}")
    found = entries(folder)
    classes: dict[str, Path] = {}
    for path in sorted(found.folders, key=lambda path: _name(path)):
        other = classes.setdefault(_name(path), path)
        if other is not path:
            raise UserError(
                f"data.root: {folder} has two folders {_name(path)!r}, whose names differ in Unicode "
                f"form only ({os.fsencode(other.name)!r}, {os.fsencode(path.name)!r}); merge them"
            )
    if not classes:
        raise UserError(f"data.root: {folder} holds no class folders; {LAYOUT}")
    return classes


def outside_classes(folder: Path) -> str:
    """Describe the files next to the class folders, which are ignored; empty if there are none."""
    found = entries(folder)
    others = Counter(file.suffix.lower() for file in found.files)
    return replace(found, files=[], others=others).passed_over


def _name(folder: Path) -> str:
    check_storable(folder.name, f"data.root: the name of the class folder {os.fsencode(folder)!r}")
    return unicodedata.normalize("NFC", folder.name)
