"""Hidden folders that processes write in. Their names say whose they are. What a killed process left is
removed by the next process that writes the same thing, and at the start of the next run.

A name is ``.NAME.tmp-HOST-PROCESS-START-RANDOM``: of a process on this machine that has ended, which is
certain, it is removed at once, also where another process has its number by now. Of a process on another
machine that cannot be told, and it is removed when it was not written to for a day.
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
ABANDONED = 24 * 3600  # seconds without a write, of a process that cannot be asked after


def hidden_folder(path: Path) -> Path:
    """A new folder beside ``path``, whose folder must exist, for this process alone to write in.

    What ended processes left of the same ``path`` is removed first: its space may be needed.
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
    """Remove whatever was being written in ``folder``; nobody else may write there meanwhile."""
    for path in folder.glob(f".*{MARK}*"):
        _remove(path)


def _remove_if_left(path: Path) -> None:
    with suppress(OSError):  # somebody else removes it, or it is somebody else's
        if _is_left(path):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:  # of version 0.1
        path.unlink()


def _is_left(path: Path) -> bool:
    owner = OWNER.fullmatch(path.name)
    if owner and owner["host"] == _host() and _start(os.getpid()):
        return not _runs(int(owner["process"]), owner["start"])
    written = [inside.stat().st_mtime for inside in (path, *path.rglob("*"))]
    return max(written) < time.time() - ABANDONED


def _host() -> str:
    """This machine, or the container on it: where a number names one process."""
    with suppress(OSError):
        return _digest(f"{os.uname().nodename} {os.stat('/proc/self/ns/pid').st_ino}")
    return _digest(os.uname().nodename)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _runs(process: int, start: str) -> bool:
    """Whether the process that began at ``start`` is still there and can write."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's, of which /proc may say nothing
        return _start(process) in (start, None)
    return _start(process) == start


def _start(process: int) -> str | None:
    """When a process began, in ticks since the system's start; None where it has ended, is only not yet
    waited for, or where there is no /proc."""
    try:
        state, *words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else words[18]
