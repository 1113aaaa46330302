"""A step's record: a small JSON beside each output, with information that the output does not contain.

Outputs of the same configuration are equal byte for byte, whenever and wherever they are made, and are
identified by their hash. Everything that differs between runs (time, device, command, commit) is
therefore stored beside them: in ``samples.h5.provenance`` for a file, in ``provenance.json`` inside a
model's folder. A file's record does not end in ``.json``, so that ``metrics/*.json`` are metrics only.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nanogen.errors import UserError
from nanogen.files import check_label, label, read_json, write_json
from nanogen.records import facts, usage
from nanogen.text import printable

FORMAT = ("provenance", 1)
CARD = "nanogen.json"  # a folder with this file is one output
OF_FOLDER = "provenance.json"
OF_FILE = ".provenance"
CHECKSUM_LIMIT = 1 << 32  # bytes; larger caches are identified only by the hash of their configuration


def place(output: Path) -> Path:
    """The path of the record of an output, which is a file or a folder with a card."""
    return output / OF_FOLDER if output.is_dir() else output.with_name(output.name + OF_FILE)


def checksums(output: Path) -> dict[str, str | None]:
    """Return the SHA-256 of a file, or of each file in a folder, by name; None above CHECKSUM_LIMIT."""
    inside = sorted(path for path in output.rglob("*") if path.is_file()) if output.is_dir() else []
    names = {path.relative_to(output).as_posix(): path for path in inside} or {output.name: output}
    return {name: _checksum(path) for name, path in names.items() if name != OF_FOLDER}


def _checksum(path: Path) -> str | None:
    if path.stat().st_size > CHECKSUM_LIMIT:
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def header(path: Path) -> dict[str, Any]:
    """Return the header (``nanogen.files.label``) of a JSON or HDF5 file, or of a folder's card.

    Empty for a file of another kind and for a folder without a card; raises UserError for a file that
    cannot be read.
    """
    if path.is_dir():
        path = path / CARD
        if not path.exists():
            return {}
    if path.suffix == ".json":
        content = read_json(path)
        return content if isinstance(content, dict) else {}
    if path.suffix != ".h5":
        return {}
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return {key: str(value) for key, value in file.attrs.items()}
    except OSError as error:
        raise UserError(
            f"{path} is not a readable HDF5 file ({error}); delete it and make it again"
        ) from error


def products(output: Path, hash_: str) -> list[Path]:
    """Return the outputs of a step with this hash.

    These are the file ``output``, or the folder ``output`` if it has a card, or otherwise the files with
    this hash in the folder (several steps write into a folder of metrics).
    """
    if output.is_file() or (output / CARD).is_file():
        return [output]
    if not output.is_dir():
        return []
    labelled = [path for path in sorted(output.iterdir()) if path.suffix in (".json", ".h5")]
    return [path for path in labelled if header(path).get("hash") == hash_]


def write(made: Iterable[tuple[Mapping[str, Any], Path]], argv: Sequence[str], began: datetime) -> None:
    """Write the records of a command's outputs.

    A record has the command line, device, start, duration in seconds, processor time and memory.

    Args:
        made: the JSON of each stage that the command ran, and the file or folder with its outputs.

    A command can write several files. The record of each describes the whole command; those with the
    same ``command`` and ``began`` belong together.
    """
    sums = {
        product: (stage, checksums(product))
        for stage, output in made
        for product in products(output, stage["hash"])
    }
    about = {
        "command": printable(shlex.join(["nanogen", *argv])),
        "commit": facts.commit(),
        "versions": facts.versions(),
        "device": facts.device(),
        "processes": facts.processes(),
        "began": began.isoformat(timespec="milliseconds"),
        "seconds": round((datetime.now(UTC) - began).total_seconds(), 1),
        "usage": usage.used().as_dict(),
    }
    for product, (stage, sha256) in sums.items():
        content = {**label(*FORMAT, stage["hash"]), **about, "configuration": dict(stage)}
        write_json(place(product), {**content, "sha256": sha256})


def write_usage(stage: Mapping[str, Any], output: Path, began: datetime) -> None:
    """Add the usage of this process and its children to the records of a step that the children ran.

    Records from before ``began`` belong to another run and are not changed.
    """
    share = usage.used().as_dict()
    for product in products(output, stage["hash"]):
        noted = read(product)
        if noted is not None and datetime.fromisoformat(noted["began"]) >= began:
            write_json(place(product), {**noted, "usage": share})


def is_there(output: Path) -> bool:
    """Whether an output has its own record; it has none if the step was killed before writing it."""
    noted = place(output)
    return noted.exists() and noted.stat().st_mtime_ns >= output.stat().st_mtime_ns


def read(output: Path) -> dict[str, Any] | None:
    """Read the record of an output; None if there is none. Raises UserError for another format."""
    path = place(output)
    if not path.exists():
        return None
    content = read_json(path)
    check_label(content, path, *FORMAT, None)
    return content


def read_all(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every output below ``root`` that has a record, with the record, ordered by path."""
    of_files = {path.with_name(path.name.removesuffix(OF_FILE)) for path in root.rglob(f"*{OF_FILE}")}
    of_folders = {path.parent for path in root.rglob(OF_FOLDER)}
    for output in sorted(of_files | of_folders):
        if (noted := read(output)) is not None:
            yield output, noted
