"""Detect stand-ins for an expected file: Git LFS or git-annex pointers, web pages, empty files."""

from __future__ import annotations

import re
from pathlib import Path

HEAD = 512  # bytes
POINTERS = {
    rb"version https://git-lfs": "a Git LFS pointer, not the weights or data; fetch them with "
    "`git lfs pull`",
    rb"(\.\.?/)*\.git/annex/objects/|/annex/objects/": "a pointer of git-annex; fetch the file "
    "itself with `git annex get`",
    rb"(?i)\s*(<!doctype html|<html|<\?xml|<head)": "an HTML page, not weights or data; fetch it again",
}


def stand_in(path: Path) -> str | None:
    """Return what ``path`` is instead of the expected file, and what to do; None if it is as expected.

    Raises OSError if the file cannot be read.
    """
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return stand_in_of(file.read(HEAD))


def stand_in_of(head: bytes) -> str | None:
    """Return the same description for a file that begins with ``head``."""
    if not head:
        return "empty; fetch it again"
    found = (said for pattern, said in POINTERS.items() if re.match(pattern, head))
    return next(found, None)
