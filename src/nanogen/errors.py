"""The error that a user can fix: it tells what, where and what to do, and has no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in input or configuration; the command line prints its sentence and exits with 2."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint such as ``; did you mean 'jit'?``, or the list of valid names if none is near."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; valid are: {', '.join(names)}" if names else ""
