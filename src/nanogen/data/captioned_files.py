"""Find the captioned images of a split.

They are in ROOT/train and ROOT/val, at any depth. If there is neither of these folders, every twentieth
image in ROOT, ordered by path, is used for validation.
"""

from __future__ import annotations

import logging
from pathlib import Path

from nanogen.data.walk import PICTURES, split_folder, walk
from nanogen.errors import UserError

HELD_OUT = 20  # one image in this number is for validation
CAPTIONS = (".json", ".txt")
log = logging.getLogger(__name__)


def pictures(root: Path, split: str) -> list[Path]:
    """Return the images of a split, ordered by path; raise UserError if there are none."""
    if not root.is_dir():
        raise UserError(f"data.root: there is no folder {root}; expected captioned images there")
    own = split_folder(root, split)
    found = walk(own or root).only(PICTURES | set(CAPTIONS))
    if found.passed_over:
        log.warning("%s: passed over %s", root, found.passed_over)
    files = found.only(PICTURES).files
    if own is None:
        held_out = files[HELD_OUT - 1 :: HELD_OUT]
        files = held_out if split == "val" else sorted({*files} - {*held_out})
    if not files:
        raise UserError(f"data.root: {root} holds no images for the split {split}")
    return files


def caption_of(picture: Path) -> Path | None:
    """Return the file with the caption of an image, or None."""
    return next((f for f in map(picture.with_suffix, CAPTIONS) if f.is_file()), None)
