"""Imported weights are float32 here; which of a file's tensors were of another type is noted in the
folder's card, so that an export gives them back to the bit, but for float64, which float32 rounds."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

KEY = "dtypes"  # of a card: a tensor's name in the file -> its type


def other_dtypes(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Name -> type, of the tensors that are not float32."""
    return {
        name: str(value.dtype).removeprefix("torch.")
        for name, value in weights.items()
        if value.dtype != torch.float32
    }


def as_imported(
    weights: Mapping[str, Tensor], card: Mapping[str, Mapping[str, str]]
) -> dict[str, Tensor]:
    """``weights`` by their names in the file, of the types that ``card`` notes."""
    dtypes = card.get(KEY, {})
    return {
        name: value.to(getattr(torch, dtypes[name])) if name in dtypes else value
        for name, value in weights.items()
    }
