"""Find the tar shards of a split.

They are in ROOT/train and ROOT/val, at any depth. If there is neither of these folders, the last shard
in ROOT, ordered by path, is the validation split.
"""

from __future__ import annotations

import logging
from pathlib import Path

from nanogen.data.walk import split_folder, walk
from nanogen.errors import UserError

log = logging.getLogger(__name__)


def shards(root: Path, split: str) -> list[Path]:
    """Return the tar files of a split, ordered by path; raise UserError if there are none."""
    if not root.is_dir():
        raise UserError(f"data.root: there is no folder {root}; expected tar shards there")
    if own := split_folder(root, split):
        found = _tar_files(own)
    else:
        every = _tar_files(root)
        if len(every) == 1:
            raise UserError(
                f"data.root: {root} holds a single shard; put the splits into {root}/train and "
                f"{root}/val, or make several shards (the last is then for validation)"
            )
        found = every[-1:] if split == "val" else every[:-1]
    if not found:
        raise UserError(f"data.root: no *.tar in {root} for the split {split}")
    return found


def _tar_files(folder: Path) -> list[Path]:
    """Return all shards below ``folder``; raise UserError for a broken link."""
    found = walk(folder).only({".tar"})
    if lost := [link for link in found.nowhere if link.suffix == ".tar"]:
        raise UserError(
            f"data.root: the shard {lost[0]} is a link that leads nowhere; repair or remove it"
        )
    if found.passed_over:
        log.warning("%s: passed over %s", folder, found.passed_over)
    return found.files
