"""Record the SHA-256 of downloaded files, and check that a revision's content never changes.

The record of ``NAME`` is the file ``NAME.sha256.json`` next to it.
"""

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
    """Return the SHA-256 of each of ``files`` in ``folder``, by name."""
    found = {}
    for name in files:
        with open(folder / name, "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def note(repository: Repository, hashes: Mapping[str, str], commit: str, output: Path) -> None:
    """Record the checksums of the files that ``output`` was made from."""
    content = {"repository": repository.name, "revision": repository.revision, "commit": commit}
    write_json(_path(output), {**content, "sha256": dict(hashes)})


def check_noted(
    repository: Repository, hashes: Mapping[str, str], commit: str, output: Path, pin: str
) -> None:
    """Check that the files of this revision have the content of the first download.

    Args:
        repository: what the files were downloaded from.
        hashes: the SHA-256 of each file.
        commit: the commit that was downloaded.
        output: the folder whose record to compare with; without a record nothing is checked.
        pin: how a study pins the revision, with COMMIT for the commit; for the error message.

    Raises:
        UserError: the content of a file differs.
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
