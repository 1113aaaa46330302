"""The SHA-256 of what was fetched, noted beside it: the same revision must give the same content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from nanogen.errors import UserError
from nanogen.files import read_json, write_json
from nanogen.interop.hub import Repository


def _path(output: Path) -> Path:
    return output.with_name(f"{output.name}.sha256.json")


def hashes_of(folder: Path, files: Sequence[str]) -> dict[str, str]:
    """File -> the SHA-256 of its content."""
    found = {}
    for name in files:
        with open(folder / name, "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def note(repository: Repository, hashes: Mapping[str, str], commit: str, output: Path) -> None:
    """Note the content of what ``output`` was made of."""
    content = {"repository": repository.name, "revision": repository.revision, "commit": commit}
    write_json(_path(output), {**content, "sha256": dict(hashes)})


def check_noted(
    repository: Repository, hashes: Mapping[str, str], commit: str, output: Path, pin: str
) -> None:
    """Raise UserError where a file of this revision had another content when it was fetched first.

    Args:
        pin: how the study names a revision, with COMMIT for the commit; for the error's sentence.
    """
    path = _path(output)
    if not path.exists():
        return
    noted = read_json(path)
    if (noted["repository"], noted["revision"]) != (repository.name, repository.revision):
        return
    for file, found in hashes.items():
        before = noted["sha256"].get(file, found)
        if found != before:
            raise UserError(
                f"{repository.name} has changed {file}: its SHA-256 at commit {commit[:12]} is "
                f"{found[:12]}..., and was {before[:12]}... at {noted['commit'][:12]}; set "
                f"{pin.replace('COMMIT', noted['commit'])}, or remove {path} to take the new one"
            )
