"""Functions that the configuration's lists name as ``module:function``, imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any


def named(entry: str) -> Any:
    """Return the function or class that an ``entry`` names, e.g. ``nanogen.sampling.solvers:euler``."""
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)
