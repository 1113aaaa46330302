"""What an entry of a list of the configuration names: ``module:function``, imported when it is used."""

from __future__ import annotations

import importlib
from typing import Any


def named(entry: str) -> Any:
    """The function or class of an ``entry``, e.g. ``nanogen.sampling.solvers:euler``."""
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)
