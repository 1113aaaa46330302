"""Read ``torch.save`` and safetensors files without executing any code in them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nanogen.errors import UserError
from nanogen.files import explained
from nanogen.weights import check_weights


def read_torch(path: Path) -> Mapping[str, Any]:
    """Read a dictionary of tensors and plain values.

    Tensors are on the CPU, and memory-mapped where the file's format allows it.

    Raises UserError if the file is missing, truncated, a Git LFS pointer or an HTML page, if reading it
    would execute code, or if it does not contain a dictionary.
    """
    try:
        with explained(path, "read"):
            check_weights(path)
            if path.suffix == ".safetensors":
                return load_file(path)
            mapped = _is_zip(path)  # the format of torch before 1.6 cannot be memory-mapped
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} cannot be read without executing code in it; save only its weights (a dictionary "
            "of tensors) with the program that made it"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, LookupError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path} is damaged or not a checkpoint: {first}; fetch it again") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}; expected a dictionary of weights")
    return content


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as file:
        begins = file.read(2) == b"PK"
    if begins and not zipfile.is_zipfile(path):
        raise UserError(f"{path} is truncated; fetch it again")
    return begins
