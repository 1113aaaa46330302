"""Text from outside the program: decode UTF-8, split at newlines only, refuse what cannot be stored."""

from __future__ import annotations

import codecs
import json
import logging
import re
import sys
from typing import Any

from nanogen.errors import UserError

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# Control characters, characters that change the text direction, and unpaired surrogates.
CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Credentials in a URL, and tokens of the Hugging Face hub.
SECRET = re.compile(r"(://)[^/@\s]+(?=@)|(\bhf_)[A-Za-z0-9]{16,}")
BOMS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def decoded(content: bytes, where: object) -> str:
    """Decode UTF-8, without the byte order mark that some editors write.

    Raises UserError if the content has another encoding. ``where`` is what the content was read from.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        likely = next((name for bom, name in BOMS.items() if content.startswith(bom)), None)
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{where} is not UTF-8 text: {f'it is in {likely}' if likely else f'line {line} is not'}; "
            "save it as UTF-8"
        ) from error


def printable(text: str) -> str:
    """Return ``text`` for a terminal or a log, with control characters escaped and secrets masked."""
    shown = CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return SECRET.sub(lambda found: f"{found[1] or found[2]}***", shown)


def one_line(text: str) -> str:
    """Return `printable` text on one line, e.g. for a table cell: newlines and tabs become spaces."""
    return printable(re.sub(r"[\r\n\t]+", " ", text))


class _Printable(logging.Formatter):
    """Formatter that makes messages printable: they may contain file names from outside."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def log_to_terminal(level: int) -> None:
    """Log the messages of this process to standard error, with control characters escaped."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


def check_storable(text: str, what: str) -> None:
    """Raise UserError if ``text`` contains a NUL or an unpaired surrogate.

    HDF5 truncates text at a NUL. Surrogates come from JSON escapes and file names that are not UTF-8.
    """
    if reason := unstorable(text):
        raise UserError(f"{what} {reason}; correct it")


def unstorable(text: str) -> str | None:
    """Return why ``text`` cannot be stored, or None."""
    found = UNSTORABLE.search(text)
    if found is None:
        return None
    kind = "a NUL character" if found[0] == "\0" else "a character that is not Unicode text"
    return f"holds {kind} at place {found.start() + 1}"


def lines_of(text: str) -> list[str]:
    """Return the lines of a file; unlike `str.splitlines`, split at newlines only, not at U+2028."""
    lines = re.split("\r\n|\n|\r", text)
    return lines[:-1] if lines[-1] == "" else lines


def parsed(text: str, where: object, advice: str = "correct it") -> Any:
    """Return the value of a JSON text.

    Raises UserError if it is not valid JSON, if a key appears twice (Python would keep the last), or if
    a text in it cannot be stored.
    """
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: _object(pairs, where))
    except (ValueError, RecursionError) as error:  # ValueError also for an integer of too many digits
        raise UserError(f"{where} is not valid JSON ({error}); {advice}") from error
    check_texts(value, where)
    return value


def _object(pairs: list[tuple[str, Any]], where: object) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{where}: the key {twice!r} appears twice; remove one")
    return found


def check_texts(value: Any, where: object) -> None:
    """Apply `check_storable` to every text in a value of JSON or YAML."""
    remaining = [value]  # not recursive, since a file may nest as deeply as its reader allows
    while remaining:
        each = remaining.pop()
        if isinstance(each, str):
            check_storable(each, f"{where}: the text {each[:40]!r}")
        elif isinstance(each, dict):
            for key in each:
                check_storable(str(key), f"{where}: the key {str(key)[:40]!r}")
            remaining += each.values()
        elif isinstance(each, list):
            remaining += each


def human(size: float) -> str:
    """Format a number of bytes, e.g. ``503 GB`` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
