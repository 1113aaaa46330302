"""Checks of weight files, so that a damaged one gives a clear error instead of a library's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanogen.errors import UserError
from nanogen.files import explained
from nanogen.stand_ins import stand_in

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_HEADER = 100 << 20  # bytes, the limit of safetensors


def save_labelled(tensors: Mapping[str, Tensor], path: Path, header: Mapping[str, Any]) -> None:
    """Write tensors as safetensors with the metadata ``header``, whose values become text.

    The same content always gives the same bytes. The library alone does not guarantee this: it writes
    the header's keys in a random order.
    """
    from safetensors.torch import save_file

    about = {key: str(value) for key, value in header.items()}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path, about)
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        content = json.loads(file.read(length)) | {"__metadata__": dict(sorted(about.items()))}
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
        file.seek(8)
        file.write(text.ljust(length))


@contextmanager
def readable_weights(path: Path) -> Iterator[None]:
    """Context in which ``path`` is read, with errors explained.

    Raises UserError if the file is missing, may not be read, is a Git LFS pointer or an HTML page
    instead of weights, or is truncated or damaged.
    """
    from safetensors import SafetensorError

    check_weights(path)
    try:
        with explained(path, "read"):
            yield
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({first_line(error)}); fetch or make it again") from error


def check_weights(path: Path) -> None:
    """Check a file as `readable_weights` does, without reading its tensors."""
    with explained(path, "read"), open(path, "rb"):
        said = stand_in(path)
    if not path.stat().st_size:
        raise UserError(f"{path} is damaged or not a checkpoint: it is empty; fetch it again")
    if said:
        raise UserError(f"{path} is {said}")
    if path.suffix == ".safetensors":
        _check_length(path)


def check_folder(folder: Path) -> None:
    """Check every safetensors file of a network or a pipeline as `check_weights` does."""
    for path in sorted(folder.rglob("*.safetensors")):
        check_weights(path)


def _check_length(path: Path) -> None:
    """Raise UserError if a safetensors file is shorter or longer than its header says."""
    size = path.stat().st_size
    with explained(path, "read"), open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= LONGEST_HEADER else b""
    if length > LONGEST_HEADER or len(text) < length:
        raise UserError(f"{path} is damaged: it is cut or not a safetensors file; fetch it again")
    try:
        tensors = [value for key, value in json.loads(text).items() if key != "__metadata__"]
        whole = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors), default=0)
    except (ValueError, AttributeError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise UserError(f"{path} is damaged: its header cannot be read; fetch it again") from error
    if whole != size:
        raise UserError(f"{path} has {size} of {whole} bytes; fetch or make it again")


def first_line(error: Exception) -> str:
    """Return the first line of a library's error, or its type if it has no text."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
