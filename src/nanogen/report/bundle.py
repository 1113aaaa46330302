"""Tables, figures and numbers of a study in one archive; equal files give identical bytes."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

from nanogen.config.paths import Paths
from nanogen.config.study_schema import Study
from nanogen.errors import UserError
from nanogen.files import atomic_path, explained, label
from nanogen.identity import config_hash

FORMAT = ("bundle", 1)
MANIFEST = "manifest.json"
CHECKSUMS = "SHA256SUMS"  # as `sha256sum --check` reads it
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the earliest date that an archive can store; the real one is left out
READABLE = 0o644 << 16


def pack(study: Study, inputs: Iterable[Path], output: Path) -> None:
    """Write the archive: the files, named by their path in the study's folder, and a manifest.

    Raises UserError if a file is missing or is outside the study's folder.
    """
    root = Path(Paths(study).root)
    contents = {name_in(root, path): _read(path) for path in inputs}
    sums = {name: hashlib.sha256(contents[name]).hexdigest() for name in sorted(contents)}
    listed = [{"file": n, "bytes": len(contents[n]), "sha256": digest} for n, digest in sums.items()]
    about = {**label(*FORMAT, config_hash(sums)), "study": study.study, "files": listed}
    contents[MANIFEST] = (json.dumps(about, indent=1) + "\n").encode()
    contents[CHECKSUMS] = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
    with atomic_path(output) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(contents):
            archive.writestr(_member(name), contents[name])


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, EARLIEST)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.create_system = 3  # Unix, on every platform
    member.external_attr = READABLE
    return member


def name_in(root: Path, path: Path) -> str:
    """The name of a file below the study's folder; raises UserError if it is outside."""
    if not path.is_relative_to(root):
        raise UserError(f"{path} lies outside {root}, the study's folder; name files of the study")
    return path.relative_to(root).as_posix()


def _read(path: Path) -> bytes:
    with explained(path, "read"):
        return path.read_bytes()
