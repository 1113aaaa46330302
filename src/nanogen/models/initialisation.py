"""Initial weights from a seed, and a check of architecture keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from nanogen.errors import UserError, nearest
from nanogen.identity import seed_for


@contextmanager
def seeded(*parts: str | int) -> Iterator[None]:
    """Seed torch's CPU generator from these parts within the context, and restore it afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(*parts))
        yield


def checked(architecture: Mapping[str, Any], valid: Iterable[str], name: str) -> dict[str, Any]:
    """Return ``architecture`` as a dictionary; raise UserError for a key that is not in ``valid``."""
    valid = list(valid)
    for key in architecture:
        if key not in valid:
            raise UserError(
                f"config/models/{name}.yaml: unknown key 'architecture.{key}'{nearest(key, valid)}"
            )
    return dict(architecture)
