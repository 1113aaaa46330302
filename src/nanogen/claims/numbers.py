"""The numbers that claims are about: cells of tables, groups of methods, how far each may be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nanogen.claims.schema import Claims, Group, Reach
from nanogen.report.columns import Column, column, printed
from nanogen.report.finished_tables import Tables
from nanogen.report.rows import Row, is_number


@dataclass(frozen=True)
class Number:
    """A value, how it is called, and half of its 95 % interval."""

    name: str
    value: float
    reach: float
    column: Column

    def __str__(self) -> str:
        return f"{self.name} {printed(self.column, self.value)}"


@dataclass(frozen=True)
class Counts:
    """How much a study's numbers are measured from: images of a class set, judged images by score."""

    images: int | None = None
    answers: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Numbers:
    """Access to one source's tables.

    Attributes:
        tables: rows by table; Table 3 may hold a method at several lengths.
        length: of Table 3's rows that are meant where a claim gives none; None: any.
        reaches: by column key.
        face_value: take every number, and every correlation, as if it were exact.
    """

    tables: Tables
    claims: Claims
    reaches: Mapping[str, Reach]
    length: int | None = None
    counts: Counts = Counts()
    face_value: bool = False

    def rows(self, table: str, length: int | None = None) -> list[Row]:
        wanted = length or self.length
        found = self.tables.get(table, [])
        return [r for r in found if wanted is None or r.get("iterations") in (None, wanted)]

    def _reach(self, key: str, value: float) -> float:
        reach = self.reaches.get(key)
        if reach is None or self.face_value:
            return 0.0
        if reach.relative is not None:
            fewer = (reach.images or 0) / (self.counts.images or reach.images or 1)
            return abs(value) * reach.relative * math.sqrt(fewer or 1)
        answers = (self.counts.answers or {}).get(key, reach.answers)
        inside = min(max(value, 0.0), 1.0)
        return 1.96 * math.sqrt(inside * (1 - inside) / answers) if answers else 0.0

    def number(self, row: Row, key: str) -> Number | None:
        """A row's number in the column of this key; None where it has none."""
        value, known = row.get(key), column(key)
        if known is None or not is_number(value):
            return None
        return Number(str(row.get("name")), float(value), self._reach(key, float(value)), known)

    def of(self, method: str, where: str) -> Number | None:
        """The number of a method (``NAME`` or ``NAME@STEPS``) in a column; None where there is none."""
        name, _, length = method.partition("@")
        table, _, key = where.partition(".")
        for row in self.rows(table, int(length) if length else None):
            if row["method"] == name:
                found = self.number(row, key)
                named = f"{row['name']} at {int(length) // 1000}K" if length else str(row["name"])
                return found and Number(named, found.value, found.reach, found.column)
        return None

    def of_group(self, name: str, where: str) -> dict[str, Number]:
        """The numbers of a group's methods in a column, those that are there."""
        group = self.claims.groups[name]
        table, _, key = where.partition(".")
        return {
            str(row["method"]): found
            for row in self.rows(table)
            if _belongs(row, group) and (found := self.number(row, key)) is not None
        }


def _belongs(row: Row, group: Group) -> bool:
    chosen = row.get("family") in group.families or row["method"] in group.methods
    return chosen and row["method"] not in group.without


def mean(name: str, numbers: Mapping[str, Number]) -> Number | None:
    """The mean of a group, called by its name and how many there are; None of an empty one."""
    found = list(numbers.values())
    if not found:
        return None
    n = len(found)
    reach = math.sqrt(sum(number.reach**2 for number in found)) / n
    return Number(f"{name} ({n})", sum(number.value for number in found) / n, reach, found[0].column)
