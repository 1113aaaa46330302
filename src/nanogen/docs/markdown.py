"""Tables of text in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def cell(text: object) -> str:
    """Return text for a cell: on one line, and with ``|`` escaped."""
    return " ".join(str(text).split()).replace("|", "\\|")


def plain(text: str | None) -> str:
    """Escape Markdown in text of the program; double backticks become code."""
    return re.sub(r"([<>*\[\]])", r"\\\1", text or "").replace("``", "`")


def code(value: object) -> str:
    """A value as it would be typed."""
    return f"`{value}`"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with one line per row."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines) + "\n"
