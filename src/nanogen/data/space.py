"""Space on the disk, asked for before a long step begins."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from nanogen.errors import UserError

log = logging.getLogger(__name__)


def announce(path: Path, what: str, count: int, size: int, written: int = 0) -> None:
    """Log how large the file will be; raise UserError if the disk cannot hold it.

    Args:
        size: bytes in all; ``written`` of them are on the disk already.
    """
    log.info("%s: %d %s, %.1f MB", path, count, what, size / 1e6)
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    free, needed = shutil.disk_usage(folder).free, size - written
    if needed > free:
        raise UserError(
            f"{path} needs {needed / 1e9:.3g} GB, but only {free / 1e9:.3g} GB are free on its disk; "
            "free some space, or put results/ on another disk"
        )
