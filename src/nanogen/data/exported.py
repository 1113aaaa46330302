"""Photographs from a data set exported by the Hugging Face library; see ``exported_tables``."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nanogen.data.crop import load_or_check
from nanogen.data.exported_tables import (
    Table,
    class_names,
    columns,
    encoded_images,
    labels_of,
    tables,
)
from nanogen.data.in_place import in_place
from nanogen.data.source import Example, Unreadable, caption, evenly
from nanogen.data.stage import DataStage
from nanogen.data.walk import below
from nanogen.errors import UserError
from nanogen.files import damage_inside

if TYPE_CHECKING:
    import pyarrow as pa


class Exported:
    """One split of an exported data set as a source of images (`nanogen.data.source`).

    Rows keep their order. If there are more than ``data.<split>_images``, that number is chosen evenly
    over the classes. Raises UserError if files are missing or damaged, or if a label is not one of the
    training split's classes.
    """

    def __init__(self, stage: DataStage, left_out: frozenset[str] = frozenset()):
        assert stage.root
        self.stage, self.left_out = stage, left_out
        self.root = Path(stage.root)
        self.side = None if in_place(stage) else stage.resolution
        self.classes = class_names(self.root)
        self.captions = [caption(name, stage.caption_template) for name in self.classes]
        self.tables = tables(self.root, stage.split)
        labels = labels_of(self.tables)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise UserError(
                f"data.root: split {stage.split} in {self.root} has labels {labels.min()} to "
                f"{labels.max()}; there are {len(self.classes)} classes, from 0"
            )
        kept = self._kept(len(labels))
        groups = [np.flatnonzero(kept & (labels == k)).tolist() for k in range(len(self.classes))]
        self.chosen = np.zeros(len(labels), bool)
        for group in evenly(groups, stage.images):
            self.chosen[group] = True

    def _names(self) -> list[str]:
        return [below(table.path, self.root) for table in self.tables]

    def _kept(self, count: int) -> np.ndarray:
        """Return which rows are not left out, bool (N,)."""
        if not self.left_out:
            return np.ones(count, bool)
        tables = zip(self._names(), self.tables, strict=True)
        return np.array([_row(t, k) not in self.left_out for t, o in tables for k in range(o.rows)])

    @property
    def count(self) -> int:
        return int(self.chosen.sum())

    def parts(self) -> list[Rows]:
        starts = np.cumsum([0, *(table.rows for table in self.tables)])
        chosen = [self.chosen[a:b] for a, b in pairwise(starts)]
        return [
            Rows(table, name, np.flatnonzero(rows), self.captions, self.side)
            for table, name, rows in zip(self.tables, self._names(), chosen, strict=True)
        ]

    def filled(self, unreadable: set[str]) -> Exported:
        return Exported(self.stage, self.left_out | unreadable)


def _row(table: str, row: int) -> str:
    return f"{table}, row {row}"


@dataclass(frozen=True)
class Rows:
    """Selected rows of one table.

    Attributes:
        table: the table.
        name: its path below the root.
        rows: the selected rows, int64 (N,), increasing.
        captions: the caption for each label.
        side: side of the square images, in pixels. None: images are only checked, and stay in the table.
    """

    table: Table
    name: str
    rows: np.ndarray
    captions: list[str]
    side: int | None

    @property
    def files(self) -> Sequence[Path]:
        return [self.table.path]

    @property
    def chosen(self) -> list[Any]:
        return [hashlib.sha256(self.rows.tobytes()).hexdigest(), self.captions]

    def examples(self) -> Iterator[Example | Unreadable]:
        start = 0
        batches = self.table.mapped_batches(*columns(self.table)) if len(self.rows) else ()
        for batch, mapped in batches:
            first, last = np.searchsorted(self.rows, [start, start + len(batch)])
            images, labels = encoded_images(batch.column(0)), batch.column(1)
            for row in self.rows[first:last].tolist():
                image, label = images[row - start], labels[row - start].as_py()
                place = mapped.place(image) if mapped and image else None
                yield self._example(_row(self.name, row), image, label, place)
            start += len(batch)

    def _example(
        self, name: str, encoded: pa.Buffer | None, k: int, place: tuple[int, int] | None
    ) -> Example | Unreadable:
        if not encoded:
            return Unreadable(name, "it holds no image, perhaps only a path")
        content = encoded.to_pybytes()
        try:
            image = load_or_check(io.BytesIO(content), self.side)
        except Exception as error:  # Pillow's parsers raise errors of any type
            return Unreadable(name, damage_inside(error, content))
        if image is None and place is None:
            raise UserError(
                f"{self.table.path} is compressed, so its images cannot stay where they are; set "
                "data.store: pixels"
            )
        return Example(image, k, self.captions[k], self.captions[k], place=place)
