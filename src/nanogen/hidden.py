"""Hidden folders that processes write in, named after the process that owns them.

A folder that a killed process left is removed by the next process that writes the same output, and at
the start of the next run. Its name is ``.NAME.tmp-HOST-PROCESS-START-RANDOM``. If the process ran on
this machine and has ended, the folder is removed at once, even if another process has its id by now. For
a process on another machine this cannot be determined, and the folder is removed if nothing was written
to it for a day.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from glob import escape
from pathlib import Path

MARK = ".tmp-"
OWNER = re.compile(r"\..*\.tmp-(?P<host>[0-9a-f]{8})-(?P<process>\d+)-(?P<start>\d+)-\w+")
ABANDONED = 24 * 3600  # seconds without a write, for a process whose state is unknown


def hidden_folder(path: Path) -> Path:
    """Create a folder beside ``path`` that only this process writes in. The parent folder must exist.

    Folders that ended processes left for the same ``path`` are removed first: their space may be needed.
    """
    for left in path.parent.glob(f".{escape(path.name)}{MARK}*"):
        _remove_if_left(left)
    owner = f"{_host()}-{os.getpid()}-{_start(os.getpid()) or 0}"
    return Path(tempfile.mkdtemp(prefix=f".{path.name}{MARK}{owner}-", dir=path.parent))


def remove_left_over(root: Path) -> None:
    """Remove what ended processes left anywhere below ``root``."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            if name.startswith(".") and MARK in name:
                _remove_if_left(Path(folder, name))
        folders[:] = [name for name in folders if MARK not in name]


def remove_hidden(folder: Path) -> None:
    """Remove every hidden folder in ``folder``. No other process may write there at the same time."""
    for path in folder.glob(f".*{MARK}*"):
        _remove(path)


def _remove_if_left(path: Path) -> None:
    with suppress(OSError):  # another process removes it, or it belongs to another user
        if _is_left(path):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:  # a file of version 0.1
        path.unlink()


def _is_left(path: Path) -> bool:
    owner = OWNER.fullmatch(path.name)
    if owner and owner["host"] == _host() and _start(os.getpid()):
        return not _runs(int(owner["process"]), owner["start"])
    written = [inside.stat().st_mtime for inside in (path, *path.rglob("*"))]
    return max(written) < time.time() - ABANDONED


def _host() -> str:
    """Return an identifier of this machine, or of the container, within which process ids are unique."""
    with suppress(OSError):
        return _digest(f"{os.uname().nodename} {os.stat('/proc/self/ns/pid').st_ino}")
    return _digest(os.uname().nodename)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _runs(process: int, start: str) -> bool:
    """Return whether the process that began at ``start`` still exists and can write."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process, which /proc may hide
        return _start(process) in (start, None)
    return _start(process) == start


def _start(process: int) -> str | None:
    """Return when a process began, in clock ticks since boot.

    None if it has ended or is a zombie, or if there is no /proc.
    """
    try:
        state, *words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else words[18]
