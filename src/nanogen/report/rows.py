"""Rows of a table as in a CSV file, with cells of text, numbers or nothing."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeGuard

from nanogen.errors import UserError
from nanogen.files import read_text

Value = str | int | float | None
Row = dict[str, Value]


# Columns whose cells are text, also if they look like numbers: a method can be named 2024 or NaN.
TEXT = {
    "method", "name", "family", "source", "space", "tokenizer", "hash", "claim", "section", "verdict",
}  # fmt: skip


def _value(key: str, text: str) -> Value:
    if key in TEXT:
        return text or None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


def read_rows(path: Path | str, needs: Iterable[str] = ()) -> list[Row]:
    """The rows of a CSV file with a header line; an empty cell is None.

    Raises UserError if the file is missing, has no rows, has a row of another length than the header,
    or lacks a column of ``needs``.
    """
    path = Path(path)
    text = read_text(path)
    header, *lines = [line for line in csv.reader(io.StringIO(text)) if line] or [[]]
    missing = [key for key in needs if key not in header]
    if missing:
        raise UserError(f"{path} has no column {missing[0]!r}; its columns are: {', '.join(header)}")
    if twice := [key for key in header if header.count(key) > 1]:
        raise UserError(f"{path} has two columns {twice[0]!r}; remove one")
    if not lines:
        raise UserError(f"{path} holds no rows; delete it and make it again")
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise UserError(f"{path}, line {number}: {len(line)} cells, the header has {len(header)}")
    return [dict(zip(header, map(_value, header, line), strict=True)) for line in lines]


def csv_text(rows: Iterable[Row], keys: Sequence[str]) -> str:
    """CSV of the columns ``keys``; numbers in full precision (``repr``), None as an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(keys)
    for row in rows:
        values = (row.get(key) for key in keys)
        writer.writerow(["" if v is None else repr(v) if isinstance(v, float) else v for v in values])
    return buffer.getvalue()


def is_number(value: Value) -> TypeGuard[int | float]:
    """Whether a cell holds a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def number(row: Row, key: str) -> float:
    """Return a cell as a finite number; raises a UserError that names the row if it is not one."""
    value = row.get(key)
    if not is_number(value):
        raise UserError(f"{row.get('name', row.get('method'))}: {key} is {value!r}, not a number")
    return float(value)
