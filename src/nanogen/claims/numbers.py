"""The numbers that claims are about: table cells and means of groups, each with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nanogen.claims.schema import Claims, Group, Reach
from nanogen.report.columns import Column, column, printed
from nanogen.report.finished_tables import Tables
from nanogen.report.noise import interval
from nanogen.report.rows import Row, is_number


@dataclass(frozen=True)
class Number:
    """A value, its name in texts, and its ``reach``, which is half of its 95 % interval."""

    name: str
    value: float
    reach: float
    column: Column

    def __str__(self) -> str:
        return f"{self.name} {printed(self.column, self.value)}"


@dataclass(frozen=True)
class Counts:
    """The number of images that a study's numbers are measured on.

    Attributes:
        images: number of class-conditional images.
        answers: number of judged images, by score.
    """

    images: int | None = None
    answers: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Numbers:
    """Access to the tables of one source.

    Attributes:
        tables: rows by table; Table 3 may contain a method at several training lengths.
        reaches: the reach of each column's numbers whose row has no interval, by key.
        length: the training length of Table 3's rows if a claim does not give one; None: any.
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

    def _reach(self, row: Row, key: str, value: float) -> float:
        if self.face_value:
            return 0.0
        if ends := interval(key, row):
            return (ends[1] - ends[0]) / 2
        reach = self.reaches.get(key)
        if reach is None:
            return 0.0
        if reach.relative is not None:
            fewer = (reach.images or 0) / (self.counts.images or reach.images or 1)
            return abs(value) * reach.relative * math.sqrt(fewer or 1)
        answers = (self.counts.answers or {}).get(key, reach.answers)
        inside = min(max(value, 0.0), 1.0)
        return 1.96 * math.sqrt(inside * (1 - inside) / answers) if answers else 0.0

    def number(self, row: Row, key: str) -> Number | None:
        """Return the number of a row in the column ``key``; None if there is none."""
        value, known = row.get(key), column(key)
        if known is None or not is_number(value):
            return None
        return Number(str(row.get("name")), float(value), self._reach(row, key, float(value)), known)

    def of(self, method: str, where: str) -> Number | None:
        """Return the number of a method (``NAME`` or ``NAME@STEPS``) in a column, or None."""
        name, _, length = method.partition("@")
        table, _, key = where.partition(".")
        for row in self.rows(table, int(length) if length else None):
            if row["method"] == name:
                found = self.number(row, key)
                named = f"{row['name']} at {int(length) // 1000}K" if length else str(row["name"])
                return found and Number(named, found.value, found.reach, found.column)
        return None

    def of_group(self, name: str, where: str) -> dict[str, Number]:
        """Return the numbers of a group in a column, by method; methods without one are left out."""
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
    """Return the mean of a group, named after the group and its size; None if the group is empty."""
    found = list(numbers.values())
    if not found:
        return None
    n = len(found)
    reach = math.sqrt(sum(number.reach**2 for number in found)) / n
    return Number(f"{name} ({n})", sum(number.value for number in found) / n, reach, found[0].column)
