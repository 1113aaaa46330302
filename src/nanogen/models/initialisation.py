"""Untrained networks: the keys of their architecture, and initial weights from a seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from nanogen.errors import UserError, nearest
from nanogen.identity import seed_for


@contextmanager
def seeded(*parts: str | int) -> Iterator[None]:
    """Draw initial weights from a seed of these names; the surrounding generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(*parts))
        yield


def checked(architecture: Mapping[str, Any], valid: Iterable[str], name: str) -> dict[str, Any]:
    """``architecture`` as a dictionary; raises UserError at a key that is not among ``valid``."""
    valid = list(valid)
    for key in architecture:
        if key not in valid:
            raise UserError(
                f"config/models/{name}.yaml: unknown key 'architecture.{key}'{nearest(key, valid)}"
            )
    return dict(architecture)
