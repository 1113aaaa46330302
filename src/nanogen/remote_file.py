"""Download a file from a URL: resumable, checked by its SHA-256, and complete or absent.

Used for files that are on no hub, such as the release of a repository.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from nanogen.errors import UserError
from nanogen.files import explained, read_text, write_text
from nanogen.stand_ins import stand_in

log = logging.getLogger(__name__)
TIMEOUT = 60  # seconds without an answer
COMPLETE = 416  # the HTTP status of a request for a range that begins after the last byte
_ON = ("1", "on", "true", "yes")


def offline() -> bool:
    """Return whether HF_HUB_OFFLINE forbids downloads; it also applies to files that are on no hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in _ON


def fetch_file(source: Mapping[str, Any], folder: Path, instead: str) -> Path:
    """Return the path of a file in ``folder``, which is downloaded unless it is already there.

    If ``source`` has no ``sha256``, the checksum of the first copy is stored beside the file
    (NAME.sha256), and later copies are compared with it.

    Args:
        source: ``url`` and ``sha256`` (`nanogen.config.model_schema.RemoteFile`).
        folder: the file is named as in the URL, and an incomplete download ``.NAME.partial``.
        instead: what else the user can do; ends the error messages.

    Raises UserError if access, network or disk fail, or if the content has another checksum.
    """
    url = source["url"]
    path = folder / PurePosixPath(urlsplit(url).path).name
    note = path.with_name(f"{path.name}.sha256")
    sha256 = source["sha256"] or _noted(note)
    if path.exists():
        found = _sha256(path)
        if sha256 and found != sha256:
            raise UserError(f"{path} is not the file at {url}: its SHA-256 differs; remove it")
        if not sha256:
            write_text(note, f"{found}\n")
        return path
    if offline():
        raise UserError(
            f"{url} is to be downloaded, but HF_HUB_OFFLINE is set: unset it, put a copy at {path}, "
            f"or {instead}"
        )
    started, partial = time.monotonic(), path.with_name(f".{path.name}.partial")
    with explained(path), _explained(url, f"put a copy at {path}, or {instead}"):
        folder.mkdir(parents=True, exist_ok=True)
        _receive(url, partial)
        found = _sha256(partial)
        if sha256 and found != sha256:
            partial.unlink()
            raise UserError(f"{url} has SHA-256 {found}, not {sha256}: it was changed; {instead}")
        _refuse_stand_in(partial, url)
        if not sha256:
            write_text(note, f"{found}\n")
        partial.replace(path)
    log.info("%s: %s in %.1f s", path, url, time.monotonic() - started)
    return path


def _noted(note: Path) -> str | None:
    return read_text(note).strip() if note.exists() else None


def _refuse_stand_in(partial: Path, url: str) -> None:
    """Refuse and remove a web page or a pointer that arrived instead of a file."""
    if said := stand_in(partial):
        partial.unlink()
        raise UserError(f"{url} is {said}")


def _sha256(path: Path) -> str:
    with explained(path, "read"), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _receive(url: str, partial: Path) -> None:
    """Append what is missing to ``partial``, or write it again if the server cannot resume."""
    start = partial.stat().st_size if partial.exists() else 0
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if start and error.code == COMPLETE:
            return
        raise
    with answer:
        start = start if answer.status == 206 else 0
        with open(partial, "ab" if start else "wb") as file:
            shutil.copyfileobj(answer, file)
        length = answer.headers.get("Content-Length")
    if length is not None and partial.stat().st_size < start + int(length):
        raise ConnectionError("the connection ended early")


@contextmanager
def _explained(url: str, instead: str) -> Iterator[None]:
    """Turn network errors into a UserError that says what to do."""
    try:
        yield
    except HTTPError as error:
        raise UserError(
            f"{url} cannot be downloaded (status {error.code}); try again later (what has arrived is "
            f"kept), {instead}"
        ) from error
    except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
        raise UserError(
            f"{url} did not arrive ({error}); check the network and start again (what has arrived is "
            f"kept), {instead}"
        ) from error
