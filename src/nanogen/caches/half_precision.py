"""Conversion of the numbers in caches to float16."""

from __future__ import annotations

import numpy as np

from nanogen.errors import UserError


def finite_half(values: np.ndarray, what: str) -> np.ndarray:
    """Convert ``values`` to float16; raise UserError if one is not finite or out of range."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise UserError(f"{what} are not finite numbers below 65504, so float16 cannot hold them")
    return half
