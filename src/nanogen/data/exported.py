"""Photographs from a data set that the Hugging Face library exported, see ``exported_tables``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nanogen.data.crop import load
from nanogen.data.exported_tables import Table, class_names, columns, labels_of, tables
from nanogen.data.source import Example, caption, evenly, in_order, readable
from nanogen.data.stage import DataStage
from nanogen.errors import UserError
from nanogen.files import damage_inside


class Exported:
    """One split of an exported data set as a source (see ``nanogen.data.images``).

    Rows keep their order. If there are more than ``data.<split>_images``, that many are chosen evenly
    over the classes. Raises UserError if files are missing or damaged, or if a label is not one of the
    training split's classes.
    """

    def __init__(self, stage: DataStage, left_out: frozenset[str] = frozenset()):
        assert stage.root
        self.stage, self.left_out = stage, left_out
        self.root = Path(stage.root)
        self.classes = class_names(self.root)
        self.resolution = stage.resolution
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

    def __len__(self) -> int:
        return int(self.chosen.sum())

    def _kept(self, count: int) -> np.ndarray:
        """Which rows are not left out, bool (N,)."""
        if not self.left_out:
            return np.ones(count, bool)
        lengths = [(t, sum(map(len, t.batches(columns(t)[1])))) for t in self.tables]
        return np.array([self._name(t, k) not in self.left_out for t, n in lengths for k in range(n)])

    def _name(self, table: Table, row: int) -> str:
        return f"{table.path.relative_to(self.root).as_posix()}, row {row}"

    def _rows(self) -> Iterator[tuple[str, bytes | None, int]]:
        """Name, picture and label of every chosen row in order."""
        place = 0
        for table in self.tables:
            inside = 0
            for batch in table.batches(*columns(table)):
                chosen = self.chosen[place : place + len(batch)]
                pictures, labels = batch.columns
                for k in np.flatnonzero(chosen).tolist():
                    content = pictures[k].as_py()
                    content = content.get("bytes") if isinstance(content, dict) else content
                    yield self._name(table, inside + k), content, labels[k].as_py()
                place, inside = place + len(batch), inside + len(batch)

    def _example(self, row: tuple[str, bytes | None, int]) -> tuple[str, Example | str]:
        """The row's name, and the example or why it cannot be read."""
        name, content, k = row
        if not content:
            return name, "it holds no picture, perhaps only a path"
        try:
            image = load(io.BytesIO(content), self.resolution)
        except Exception as error:  # Pillow's formats raise whatever their parsers stumble over
            return name, damage_inside(error, content)
        return name, Example(image, k, self.captions[k], self.captions[k])

    def examples(self) -> Iterator[Example]:
        return readable(in_order(self._example, self._rows()))

    def without(self, names: set[str]) -> Exported:
        return Exported(self.stage, self.left_out | names)
