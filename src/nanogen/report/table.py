"""A table as data: columns, rows in groups, the best values, and notes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from nanogen.report.columns import Column, printed
from nanogen.report.noise import UNRANKED, differ, interval, is_above
from nanogen.report.rows import Row

Mark = Literal["best", "second"]
# Tables without marks: their rows are not methods that were measured alike.
UNRANKED_TABLES = {
    "table1", "times", "regimes", "seeds", "claims", "correlations", "sensitivity", "influence",
}  # fmt: skip
# Table -> key of the groups that are ranked separately, because their numbers cannot be compared.
RANKED_WITHIN = {"leaderboard": "source"}
MARKS: tuple[Mark, ...] = ("best", "second")
# The paper's groups in the paper's order, keyed by family or, in Table 1, by space.
GROUPS = {
    "public": "Public models",
    "rae": "Latent-space (RAE)",
    "vae": "Latent-space (VAE)",
    "latent": "Latent-space",
    "pixel": "Pixel-space",
    "few-step": "One-/few-step",
}


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: e.g. ``table2``; also the label in LaTeX.
        caption: one or two sentences.
        columns: the columns in Markdown and LaTeX; the first holds the row's name.
        rows: in order; their keys are those of ``columns``, ``identity`` and ``more``.
        grouped_by: the key whose value is the heading of a group of rows.
        notes: footnotes, one or two sentences each.
        identity, more: keys that only the CSV has, before and after the printed ones.
        banner: a warning shown above the table; empty: none.
    """

    name: str
    caption: str
    columns: list[Column]
    rows: list[Row]
    grouped_by: str = "family"
    notes: list[str] = field(default_factory=list)
    identity: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    banner: str = ""

    @property
    def has_intervals(self) -> bool:
        """Whether a cell is printed with its interval."""
        shown = [column.key for column in self.columns if column.with_interval]
        return any(interval(key, row) for key in shown for row in self.rows)

    @property
    def keys(self) -> list[str]:
        """The CSV's columns."""
        shown = [column.key for column in self.columns]
        head = [key for key in self.identity if key not in shown]
        after = [key for key in self.more if key not in shown and key not in head]
        split = shown.index("name") + 1 if "name" in shown else 0
        first = [key for key in head if key == "method"]
        return [*first, *shown[:split], *(k for k in head if k not in first), *shown[split:], *after]

    def groups(self) -> Iterator[tuple[str, list[tuple[int, Row]]]]:
        """(heading, [(index, row), ...]) of neighbouring rows."""
        for key, rows in groupby(enumerate(self.rows), lambda item: item[1].get(self.grouped_by)):
            yield GROUPS.get(str(key), str(key)), list(rows)


def marks(table: Table) -> dict[tuple[int, str], Mark]:
    """Marks of the best and second best cells of each column: {(row index, key): mark}.

    Values are compared as printed, so that equal ones share a mark. A column with fewer than two
    different values, or without a direction, has no marks; the worst value is never marked. Marks
    also end at the first value that is not above its chance level, or not above the next value by more
    than noise.
    """
    if table.name in UNRANKED_TABLES:
        return {}
    key, blocks = RANKED_WITHIN.get(table.name, ""), defaultdict(list)
    for index, row in enumerate(table.rows):
        blocks[row.get(key)].append((index, row))
    found: dict[tuple[int, str], Mark] = {}
    for rows in blocks.values():
        for column in table.columns:
            if column.better is not None:
                found |= _marked(column, rows)
    return found


def _marked(column: Column, rows: list[tuple[int, Row]]) -> dict[tuple[int, str], Mark]:
    cells = {
        index: float(printed(column, row[column.key]))
        for index, row in rows
        if isinstance(row.get(column.key), int | float) and row.get("family") != UNRANKED
    }
    order = sorted(set(cells.values()), reverse=column.better == "higher")
    ranks: dict[float, Mark] = {}
    for mark, value, after in zip(MARKS, order, order[1:], strict=False):
        here, next_ones = ([dict(rows)[i] for i, v in cells.items() if v == of] for of in (value, after))
        apart = all(differ(column.key, row, other) for row in here for other in next_ones)
        if not apart or any(is_above(column.key, column.chance, row) is False for row in here):
            break
        ranks[value] = mark
    return {(index, column.key): ranks[value] for index, value in cells.items() if value in ranks}
