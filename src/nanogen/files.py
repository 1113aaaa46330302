"""Files that are complete or absent, and that say what made them.

Everything is written to a temporary name in the same folder and renamed; what exists under its
final name is whole. Every file the project reads back carries a format name, a format version and
the hash of the configuration that made it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nanogen import __version__
from nanogen.errors import UserError


@contextmanager
def explained(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn the operating system's errors about ``path`` into a sentence (raises UserError)."""
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
    """The operating system's number of an error; safetensors and tokenizers, written in Rust, say
    it in their text only."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def _sentence(number: int, error: Exception, path: Path) -> str:
    if number == errno.ENOENT:
        return f"{getattr(error, 'filename', None) or path} does not exist"
    if number in (errno.EACCES, errno.EPERM):
        return "no permission; change the folder's rights or choose another"
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and start again, finished parts are kept"
    return os.strerror(number) if number else str(error)


def refuse_placeholder(path: Path) -> None:
    """Raise UserError for what often arrives in place of weights: a Git LFS pointer, an HTML page."""
    with open(path, "rb") as file:
        begins = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begins.startswith(b"version https://git-lfs"):
        raise UserError(
            f"{path} is a Git LFS pointer, not the weights; fetch them with `git lfs pull` in its folder"
        )
    if begins.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise UserError(
            f"{path} is an HTML page, not weights; fetch the file itself, logged in where it must be"
        )


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp-{os.getpid()}")


def remove_temporary(folder: Path) -> None:
    """Remove what killed processes were writing in ``folder``; nobody else may write there meanwhile.

    Besides our names those of safetensors, which writes a file of its own before it renames it to ours.
    """
    for path in (*folder.glob(".*.tmp-*"), *folder.glob(".tmp*")):
        path.unlink()


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary file name; it becomes ``path`` if the block ends well, else it is removed."""
    path = Path(path)
    temporary = _temporary(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield an empty temporary folder; it replaces ``path`` if the block ends well."""
    path = Path(path)
    temporary = _temporary(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path | str, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Parse a JSON file; a missing or broken one raises UserError."""
    path = Path(path)
    with explained(path, "read"):
        text = path.read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON ({error}); delete it and make it again") from error


def label(kind: str, version: int, hash_: str, /, **more: Any) -> dict[str, Any]:
    """The header of a file or folder: ``format``, ``format_version``, ``hash`` and the software."""
    return {
        "format": f"nanogen.{kind}",
        "format_version": version,
        "hash": hash_,
        "nanogen": __version__,
        **more,
    }


def check_label(found: Any, path: Path | str, kind: str, version: int, hash_: str | None) -> None:
    """Raise UserError unless ``found`` (a header) is of this kind, version and hash (None: any)."""
    found = dict(found)
    if found.get("format") != f"nanogen.{kind}":
        raise UserError(f"{path} is not a nanogen.{kind} file (its format is {found.get('format')!r})")
    if int(found.get("format_version", -1)) != version:
        raise UserError(
            f"{path} has format version {found.get('format_version')}, this program reads {version}; "
            "delete it and make it again"
        )
    if hash_ is not None and found.get("hash") != hash_:
        raise UserError(
            f"{path} was made by another configuration: it carries hash {found.get('hash')}, "
            f"this study expects {hash_}; delete it to make it again, or correct the configuration"
        )
