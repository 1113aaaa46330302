"""Photographs with classes as users have them: a tree of folders, or an exported data set."""

from __future__ import annotations

import logging
from pathlib import Path

from nanogen.errors import UserError
from nanogen.files import explained

log = logging.getLogger(__name__)
LAYOUT = (
    "expected ROOT/train/CLASS/* and ROOT/val/CLASS/*, or parquet or Arrow files of the splits train "
    "and validation"
)


def is_exported(root: Path | str) -> bool:
    """Whether tables lie in ``root``; a tree of class folders is not searched for them, it is large."""
    from nanogen.data.exported_tables import TABLES

    root = Path(root)
    train = root / "train"
    inside = train.iterdir() if train.is_dir() else root.rglob("*")
    return any(file.suffix in TABLES for file in inside)


def class_names(root: Path | str) -> list[str]:
    """The classes of a data set by label; UserError where there are none.

    Of a tree these are the names of its training folders, sorted.
    """
    if is_exported(root):
        from nanogen.data import exported_tables

        return exported_tables.class_names(Path(root))
    return [folder.name for folder in class_folders(Path(root) / "train")]


def class_folders(folder: Path) -> list[Path]:
    """Folders of classes by name; hidden ones are none."""
    if not folder.is_dir():
        raise UserError(f"data.root: there is no folder {folder}; {LAYOUT}")
    with explained(folder, "read"):
        entries = [e for e in folder.iterdir() if not e.name.startswith(".")]
        classes = sorted((e for e in entries if e.is_dir()), key=lambda e: e.name)
    if not classes:
        raise UserError(f"data.root: {folder} holds no class folders; {LAYOUT}")
    if len(classes) < len(entries):
        log.warning("%s: %d files outside any class folder", folder, len(entries) - len(classes))
    return classes
