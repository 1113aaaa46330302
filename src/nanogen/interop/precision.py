"""The data types of imported weights.

Imported weights become float32. The original types are recorded in the folder's card, so that an export
restores them bit for bit. The exception is float64, which float32 rounds.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

KEY = "dtypes"  # in a card: name of a tensor in the file -> its type


def other_dtypes(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return name -> type of the tensors that are not float32."""
    return {
        name: str(value.dtype).removeprefix("torch.")
        for name, value in weights.items()
        if value.dtype != torch.float32
    }


def as_imported(
    weights: Mapping[str, Tensor], card: Mapping[str, Mapping[str, str]]
) -> dict[str, Tensor]:
    """Return ``weights``, by their names in the file, in the types that ``card`` records."""
    dtypes = card.get(KEY, {})
    return {
        name: value.to(getattr(torch, dtypes[name])) if name in dtypes else value
        for name, value in weights.items()
    }
