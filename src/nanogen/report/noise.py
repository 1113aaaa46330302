"""What the intervals of scores show: which scores differ, and which are above chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from nanogen.config import metrics
from nanogen.config.schema import Task
from nanogen.report.rows import Row, is_number

TEXT_TO_IMAGE: Task = "t2i"
UNRANKED = "public"  # trained by others, with other sizes and data: shown, but not compared
AT_CHANCE = "Text-to-image is at chance in this study"


def interval(key: str, row: Row) -> tuple[float, float] | None:
    """The ends of the 95 % interval of a row's score; None if the row has none."""
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    return (float(low), float(high)) if is_number(low) and is_number(high) else None


def differ(key: str, first: Row, second: Row) -> bool:
    """Whether two rows' scores differ by more than noise explains.

    The noise of a difference is the root of the sum of squares of the two intervals' sides that face
    each other. Rows of one study share prompts and therefore noise, so this errs on the side of no
    difference. A score without an interval counts as exact.
    """
    higher, lower = sorted((first, second), key=lambda row: -float(row[key] or 0))
    top, bottom = float(higher[key] or 0), float(lower[key] or 0)
    above, below = interval(key, higher), interval(key, lower)
    sides = (top - above[0] if above else 0.0, below[1] - bottom if below else 0.0)
    return top - bottom > math.hypot(*sides)


def is_above(key: str, chance: str, row: Row) -> bool | None:
    """Whether the interval of a row's score is above its chance level, which has the key ``chance``;
    None if the row lacks either."""
    ends, level = interval(key, row), row.get(chance)
    return ends[0] > float(level) if ends and is_number(level) else None


class AgainstChance(NamedTuple):
    """A score of several methods: how many have an interval and a chance level, and the names of those
    whose interval is above it."""

    heading: str
    methods: int
    above: tuple[str, ...]

    def __str__(self) -> str:
        methods = " methods" if self.methods > 1 else " method"
        if not self.above:
            return f"{self.heading} above chance for none of {self.methods}{methods}"
        if len(self.above) == self.methods:
            return f"{self.heading} above chance for all {self.methods}{methods}"
        return f"{self.heading} above chance for {len(self.above)} of {self.methods}{methods}"


def against_chance(rows: Sequence[Row], task: Task = TEXT_TO_IMAGE) -> list[AgainstChance]:
    """For each main score of a task, the rows in which its interval is above its chance level.

    Public models are left out, and scores for which no row has an interval and a chance level.
    """
    found = []
    for score in metrics.main_scores(task):
        known = [
            (str(row["name"]), above)
            for row in rows
            if row.get("family") != UNRANKED
            and (above := is_above(score.key, score.chance, row)) is not None
        ]
        if known:
            names = tuple(name for name, above in known if above)
            found.append(AgainstChance(score.heading, len(known), names))
    return found


def is_at_chance(rows: Sequence[Row]) -> bool:
    """Whether no row's text-to-image score is above chance, of those whose interval is known."""
    found = against_chance(rows)
    return bool(found) and not any(score.above for score in found)


def sentence(rows: Sequence[Row]) -> str:
    """A sentence on which text-to-image scores are above chance; empty without intervals."""
    found = against_chance(rows)
    if not found:
        return ""
    told = "; ".join(map(str, found))
    return f"By their 95 % intervals: {told}."
