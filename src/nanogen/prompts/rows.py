"""Read prompts from the authors' data sets: tables with one row, and its ``text``, for each image.

The tables are Arrow or Parquet files of the split ``val``. A prompt has as many images as rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanogen.data.exported_tables import Table, is_of_split
from nanogen.data.walk import walk
from nanogen.errors import UserError, nearest
from nanogen.files import read_json

TEXT, TAG = "text", "tag"
SPLIT = "val"
CARD = "nanogen.json"  # records where the files came from


@dataclass(frozen=True)
class Rows:
    """The number of images of each prompt, in the order of their first rows.

    Attributes:
        images: prompt -> number of its images.
        tags: prompt -> tag, for the prompts that have one in the data set.
        origin: repository, commit and the SHA-256 of the files.
    """

    images: Mapping[str, int]
    tags: Mapping[str, str]
    origin: Mapping[str, Any]


def read_rows(folder: Path) -> Rows:
    """Read the rows of a data set that was downloaded into ``folder``.

    Raises UserError if there is no such table, or one without texts.
    """
    found = walk(folder).only({".arrow", ".parquet"}).files if folder.is_dir() else []
    tables = [Table(f) for f in found if is_of_split(f.relative_to(folder).as_posix(), SPLIT)]
    if not tables:
        raise UserError(f"{folder} holds no Arrow or parquet file of the split {SPLIT}; fetch it again")
    images: Counter[str] = Counter()
    tags: dict[str, str] = {}
    for text, tag in (row for table in tables for row in _rows(table)):
        images[text] += 1
        if tag:
            tags.setdefault(text, tag)
    if not images:
        raise UserError(f"{folder} holds no rows; fetch it again")
    card = folder / CARD
    return Rows(dict(images), tags, read_json(card)["origin"] if card.exists() else {})


def _rows(table: Table) -> Iterator[tuple[str, str | None]]:
    """Yield (text, tag) of each row; other columns are not read."""
    import pyarrow as pa

    fields = {
        field.name
        for field in table.schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    }
    if TEXT not in fields:
        raise UserError(
            f"{table.path} has columns {', '.join(table.schema.names)}; expected the prompts in a "
            f"column {TEXT!r}"
        )
    names = [TEXT, TAG] if TAG in fields else [TEXT]
    for batch in table.batches(*names):
        columns = [batch.column(name).to_pylist() for name in names]
        for values in zip(*columns, strict=True):
            text = values[0]
            if not text or not text.strip():
                raise UserError(f"{table.path} has a row without a prompt; fetch it again")
            yield text, values[1] if len(values) > 1 else None


def drawn(prompts: Sequence[Mapping[str, Any]], rows: Rows, benchmark: str) -> list[dict[str, Any]]:
    """Return those of ``prompts`` that are in the rows, with their wording and number of images.

    Texts that differ only in white space are the same. Raises UserError for a row whose text is not one
    of the prompts.
    """
    known = {_folded(prompt["prompt"]): prompt for prompt in prompts}
    for text in rows.images:
        if _folded(text) not in known:
            raise UserError(
                f"evaluation.rows.{benchmark}: {text!r} is none of the {len(known)} prompts that the "
                f"study's list has{nearest(_folded(text), known)}; list and data set do not belong "
                "together"
            )
    return [
        {**known[_folded(text)], "prompt": text, "images": count} for text, count in rows.images.items()
    ]


def _folded(text: str) -> str:
    return " ".join(text.split())
