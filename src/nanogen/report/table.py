"""A table as data: columns, rows in groups, the best values, and what a reader must know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from nanogen.report.columns import Column, printed
from nanogen.report.rows import Row

Mark = Literal["best", "second"]
# The paper's groups in the paper's order, keyed by family or, in Table 1, by space.
GROUPS = {
    "public": "Public models",
    "rae": "Latent-space (RAE)",
    "vae": "Latent-space (VAE)",
    "latent": "Latent-space",
    "pixel": "Pixel-space",
    "few-step": "One-/few-step",
}
UNRANKED = "public"  # models of others, of other sizes and data: shown, but not compared


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: e.g. ``table2``; also the label in LaTeX.
        caption: one or two sentences.
        columns: what Markdown and LaTeX print, the first is the row's name.
        rows: in order; keys are those of the columns, of ``identity`` and of ``more``.
        grouped_by: the key whose value heads a group of rows.
        notes: footnotes, one sentence or two each.
        identity, more: keys that only the CSV holds, before and after the printed ones.
        ranked: mark the best and second best value of a column.
        apart: of each group by itself, whose numbers are not comparable with the others'.
    """

    name: str
    caption: str
    columns: list[Column]
    rows: list[Row]
    grouped_by: str = "family"
    notes: list[str] = field(default_factory=list)
    identity: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    ranked: bool = True
    apart: bool = False

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
    """Which cells are the best and second best of their column: {(row index, key): mark}.

    Compared as printed, so that equal looking values share a mark. A column with fewer than two
    different values, or no direction, has none; the worst value is not marked as second best.
    """
    whole = [list(enumerate(table.rows))]
    blocks = [rows for _, rows in table.groups()] if table.apart else whole
    found: dict[tuple[int, str], Mark] = {}
    for rows in blocks if table.ranked else ():
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
    if len(order) < 2:
        return {}
    ranks: dict[float, Mark] = {order[0]: "best"}
    if order[1] != order[-1]:
        ranks[order[1]] = "second"
    return {(index, column.key): ranks[value] for index, value in cells.items() if value in ranks}
