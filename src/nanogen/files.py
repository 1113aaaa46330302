"""Atomic writes, and headers that identify what made a file.

Every output is written in a hidden folder beside its final path (`nanogen.hidden`) and then renamed, so
a file that exists under its final name is complete. Every file that the project reads back has a header
with a format name, a format version and the hash of the configuration that made it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from nanogen import __version__
from nanogen.errors import UserError
from nanogen.hidden import hidden_folder
from nanogen.stand_ins import stand_in, stand_in_of
from nanogen.text import decoded, parsed


@contextmanager
def explained(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn the operating system's errors about ``path`` into a UserError with a readable message."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        number = _error_number(error)
        if number is None:
            raise
        raise UserError(f"cannot {doing} {path}: {_sentence(number, error, path)}") from error


def _error_number(error: Exception) -> int | None:
    """Return the errno of an error; None if it is not an error of the operating system.

    safetensors and tokenizers are written in Rust and give the number only in the error's text.
    """
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def _sentence(number: int, error: Exception, path: Path) -> str:
    if number == errno.ENOENT:
        return f"{getattr(error, 'filename', None) or path} does not exist"
    if number in (errno.EACCES, errno.EPERM):
        return "no permission; change the folder's rights or choose another"
    if number == errno.EAGAIN:
        return "it is in use by another process; wait until that has ended"
    if number in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        return "its file system has no locks; set HDF5_USE_FILE_LOCKING=FALSE if it is HDF5"
    if number in (errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN):
        return f"its disk does not answer ({os.strerror(number)}); mount it again"
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and start again, finished parts are kept"
    return os.strerror(number) if number else str(error)


def damage(error: Exception, path: Path) -> str:
    """Return why the content of ``path`` cannot be read, if the content is at fault.

    Raises UserError if the system is at fault, e.g. a disk that does not answer: the file may be intact
    then and must be neither skipped nor deleted. A MemoryError is raised unchanged.
    """
    if isinstance(error, UserError | MemoryError):
        raise error
    number = _error_number(error)
    if number and path.is_symlink() and number in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        return "a link that leads nowhere"
    if number == errno.EISDIR:
        return "a link back to a folder that contains it"
    if number:
        raise UserError(f"cannot read {path}: {_sentence(number, error, path)}") from error
    return stand_in(path) or str(error).strip() or type(error).__name__


def damage_inside(error: Exception, content: bytes) -> str:
    """Return `damage` for ``content`` that has already been read from an archive."""
    if isinstance(error, UserError | MemoryError):
        raise error
    said = re.sub(r" <_io\.BytesIO object at \w+>", "", str(error))  # Pillow's name for bytes
    return stand_in_of(content) or said.strip() or type(error).__name__


@contextmanager
def folder_beside(path: Path | str) -> Iterator[Path]:
    """Yield an empty hidden folder beside ``path``, which is removed when the block ends.

    If the process is killed, the next one that writes ``path`` removes it (`nanogen.hidden`).
    """
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = hidden_folder(path)
        try:
            yield hidden
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


def scratch_folder() -> AbstractContextManager[Path]:
    """Return a context with a temporary folder on this machine's own disk, removed at its end."""
    return folder_beside(Path(tempfile.gettempdir(), "nanogen"))


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary file name; it becomes ``path`` if the block succeeds, else it is removed."""
    path = Path(path)
    with folder_beside(path) as hidden:
        temporary = hidden / path.name
        yield temporary
        _finish(temporary)
        temporary.replace(path)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield an empty temporary folder; it replaces ``path`` if the block succeeds."""
    path = Path(path)
    with folder_beside(path) as hidden:
        temporary = hidden / path.name
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file() and not file.is_symlink():
                _finish(file)
        remove_folder(path)
        temporary.replace(path)


def _finish(file: Path) -> None:
    """Flush the file to the disk and set the permissions that the umask gives.

    Some libraries write files that other users cannot read.
    """
    with open(file, "rb") as handle:
        os.fsync(handle.fileno())
    umask = os.umask(0o077)
    os.umask(umask)
    file.chmod(0o666 & ~umask | file.stat().st_mode & 0o111)


def remove_folder(path: Path) -> None:
    """Remove a folder, if it exists. This is atomic: a killed process does not leave half of it."""
    if path.is_dir():
        with folder_beside(path) as hidden:
            path.replace(hidden / path.name)


def write_text(path: Path | str, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_text(path: Path | str) -> str:
    """Return a file's text (`nanogen.text.decoded`); raises UserError if it cannot be read."""
    path = Path(path)
    with explained(path, "read"):
        content = path.read_bytes()
    return decoded(content, path)


def read_json(path: Path | str) -> Any:
    """Parse a JSON file that this program wrote. Raises UserError if it is missing or damaged."""
    return parsed(read_text(path), path, "delete it and make it again")


def label(kind: str, version: int, hash_: str, /, **more: Any) -> dict[str, Any]:
    """Return a file's or folder's header: ``format``, ``format_version``, ``hash``, program version."""
    return {
        "format": f"nanogen.{kind}",
        "format_version": version,
        "hash": hash_,
        "nanogen": __version__,
        **more,
    }


def check_label(found: Any, path: Path | str, kind: str, version: int, hash_: str | None) -> None:
    """Raise UserError unless ``found`` (a header) is of this kind, version and hash (None: any)."""
    # Compared as text: HDF5 attributes may be arrays, whose comparison is not a single boolean.
    found = {key: str(value) for key, value in dict(found).items()}
    version_found = found.get("format_version", "-1")
    if found.get("format") != f"nanogen.{kind}":
        raise UserError(f"{path} is not a nanogen.{kind} file (its format is {found.get('format')!r})")
    if version_found != str(version):
        raise UserError(
            f"{path} has format version {found.get('format_version')}, this program reads {version}; "
            "delete it and make it again"
        )
    if hash_ is not None and found.get("hash") != hash_:
        raise UserError(
            f"{path} was made by another configuration: it carries hash {found.get('hash')}, "
            f"this study expects {hash_}; delete it to make it again, or correct the configuration"
        )
