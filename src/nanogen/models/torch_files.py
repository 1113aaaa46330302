"""Files of ``torch.save`` and of safetensors that others wrote; nothing in them is executed."""

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
    """The dictionary in a file: tensors and plain values, on the CPU, mapped from the file where its
    format allows it.

    Raises UserError where the file is missing, truncated, a Git LFS pointer or an HTML page, needs code
    to be read, or holds no dictionary.
    """
    try:
        with explained(path, "read"):
            check_weights(path)
            if path.suffix == ".safetensors":
                return load_file(path)
            mapped = _is_zip(path)  # files of torch before 1.6 cannot be mapped
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is no checkpoint that can be read without executing code in it; save its weights "
            "alone (a dictionary of tensors) with the program that made it"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, LookupError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path} is damaged or no checkpoint: {first}") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}; expected a dictionary of weights")
    return content


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as file:
        begins = file.read(2) == b"PK"
    if begins and not zipfile.is_zipfile(path):
        raise UserError(f"{path} is truncated; fetch it again")
    return begins
