"""A store of outputs that several studies need: each is made once and found by its configuration's hash.

``NANOGEN_STORE`` names one folder, or several as PATH does. The first is the user's own, where new
entries are made; the others, such as a colleague's, are only read. A study's own folder holds links to
the entries of a store, so code that reads a study's files need not know about stores.

Beside each entry is a list of its files with their sizes and modification times. The list is written
last: an entry without a list, or one that does not match its list, is incomplete or was changed, and is
made again.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nanogen.errors import UserError
from nanogen.files import atomic_folder, explained, folder_beside, read_json, remove_folder, write_json

VARIABLE = "NANOGEN_STORE"
LIST = ".files"  # suffix of a list
RECORD = ".provenance"  # suffix of a file's record (`nanogen.records.record`)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One entry of a store.

    Attributes:
        kind: the folder of entries of this kind, e.g. ``networks``.
        name: its hash, and whatever else distinguishes it from other entries.
        suffix: suffix of a file; empty for a folder.
    """

    kind: str
    name: str
    suffix: str = ""

    def within(self, store: Path) -> Path:
        return store / self.kind / f"{self.name}{self.suffix}"


def stores() -> list[Path]:
    """Return the configured stores, the user's own first; empty if there are none."""
    return [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]


def found(entry: Entry) -> Path | None:
    """Return the path of a complete entry, or None if it has to be made."""
    places = (entry.within(store) for store in stores())
    return next((path for path in places if _is_whole(path)), None)


def provide(entry: Entry, output: Path, make: Callable[[Path], None]) -> None:
    """Link ``output`` to the entry, which ``make(path)`` makes first if no store has it.

    If another process is making the entry, wait for it. Raises UserError if the user's own store cannot
    be written.
    """
    path = found(entry)
    if path is None:
        path = entry.within(stores()[0])
        with _alone(path):
            if not _is_whole(path):
                _remove(path)
                make(path)
                _complete(path)
    else:
        log.info("%s: taken from the store, %s", output, path)
    _link(path, output)


def _files(path: Path) -> list[Path]:
    """Return the files of an entry, with the record of how they were made."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [file for file in (path, path.with_name(path.name + RECORD)) if file.is_file()]


def _list(path: Path) -> Path:
    return path.with_name(path.name + LIST)


def _about(file: Path) -> list[int]:
    about = file.stat()
    return [about.st_size, int(about.st_mtime)]


def _is_whole(path: Path) -> bool:
    if not path.exists():
        return False
    with suppress(UserError, OSError, AttributeError):
        listed = read_json(_list(path))
        return all(_about(path.parent / name) == about for name, about in listed.items())
    return False


def _complete(path: Path) -> None:
    """Set the permissions that the umask gives, and write the list of files."""
    umask = os.umask(0o077)
    os.umask(umask)
    with explained(path):
        for folder in [path, *path.rglob("*")] if path.is_dir() else []:
            if folder.is_dir():
                folder.chmod(0o777 & ~umask)
        files = _files(path)
        for file in files:
            file.chmod(0o666 & ~umask | file.stat().st_mode & 0o111)
        write_json(_list(path), {str(f.relative_to(path.parent)): _about(f) for f in files})


def _remove(path: Path) -> None:
    with explained(path, "remove"):
        _list(path).unlink(missing_ok=True)
        if path.is_dir():
            remove_folder(path)
        path.unlink(missing_ok=True)


def _link(path: Path, output: Path) -> None:
    """Make ``output`` a link to a file, or a folder of links to a folder's files."""
    if path.is_dir():
        with atomic_folder(output) as folder:
            for file in _files(path):
                link = folder / file.relative_to(path)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(_target(file, output / file.relative_to(path)))
        return
    for file in _files(path):
        link = output.with_name(output.name + file.name.removeprefix(path.name))
        with folder_beside(link) as hidden:
            made = hidden / link.name
            made.symlink_to(_target(file, link))
            made.replace(link)


def _target(file: Path, link: Path) -> str:
    """Return a link's target; relative if the store's path is, so that both can be moved together."""
    if file.is_absolute():
        return str(file)
    return os.path.relpath(os.path.realpath(file), os.path.realpath(link.parent))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the entry's lock, after waiting for another process that makes the entry."""
    own = stores()[0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path.with_name(f"{path.name}.lock"), "a")  # noqa: SIM115  closed below
    except OSError as error:
        raise UserError(
            f"the store {own} cannot be written ({os.strerror(error.errno or 0)}); name one of your own "
            f"before it, {VARIABLE}=MINE{os.pathsep}{own}, or as the key store of the study"
        ) from error
    with handle:
        with suppress(OSError):  # a file system without locks
            _wait(handle.fileno(), path)
        yield


def _wait(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("%s is being made by another process; waiting for it", path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
