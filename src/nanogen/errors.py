"""The error that a user can fix. It says what is wrong, where, and what to do; no traceback is shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in input or configuration; the command line prints its message and exits with 2."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return a hint such as ``; did you mean 'jit'?``, or the list of valid names if none is similar."""
    names = sorted(valid)
    if hint := did_you_mean(name, names):
        return hint
    return f"; valid are: {', '.join(names)}" if names else ""


def did_you_mean(name: str, valid: Iterable[str], likeness: float = 0.5) -> str:
    """Return a hint such as ``; did you mean 'jit'?``; empty if no name is similar enough.

    Args:
        likeness: the smallest similarity that is accepted, from 0 to 1 (equal).
    """
    close = difflib.get_close_matches(name, valid, n=1, cutoff=likeness)
    return f"; did you mean {close[0]!r}?" if close else ""
