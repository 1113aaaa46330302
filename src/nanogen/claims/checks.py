"""Evaluate each kind of check: the findings, which are true, false or undecided, from the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from nanogen.claims import schema
from nanogen.claims.numbers import Number, Numbers, mean
from nanogen.identity import seed_for
from nanogen.report.columns import column
from nanogen.report.correlation_words import shown
from nanogen.report.correlations import GUIDANCE, Pair, Question
from nanogen.statistics.difference import strength_difference

MISSING = "no numbers"


@dataclass(frozen=True)
class Finding:
    """One comparison.

    Attributes:
        so: whether it is as claimed; None if that cannot be decided.
        text: a description with its numbers.
    """

    so: bool | None
    text: str


Findings = Iterator[Finding]


def _gain(first: Number, second: Number) -> tuple[float, float]:
    """Return by how much the first is better, and the largest difference that the intervals hide."""
    sign = -1 if first.column.better == "lower" else 1
    return sign * (first.value - second.value), math.hypot(first.reach, second.reach)


def _better(first: Number, second: Number) -> bool | None:
    gain, hidden = _gain(first, second)
    return None if abs(gain) <= hidden else gain > 0


def _beside(first: Number, second: Number, so: bool | None) -> str:
    hidden = _gain(first, second)[1]
    sign = {True: "better than", False: "worse than", None: "not told from"}[so]
    reach = f"reach {hidden:.{first.column.digits or 0}f}"
    return f"{first.column.heading}: {first} {sign} {second} ({reach})"


def _compared(first: Number | None, second: Number | None, what: str) -> Finding:
    if first is None or second is None:
        return Finding(None, f"{what}: {MISSING}")
    so = _better(first, second)
    return Finding(so, _beside(first, second, so))


def _extreme(numbers: dict[str, Number], best: bool) -> Number | None:
    """Return the best or worst of some numbers; None if there are none."""
    if not numbers:
        return None
    lower = next(iter(numbers.values())).column.better == "lower"
    choose = min if lower == best else max
    return choose(numbers.values(), key=lambda number: number.value)


def _best(check: schema.Best, numbers: Numbers) -> Findings:
    for where in check.columns:
        others = numbers.of_group(check.among, where)
        others.pop(check.method, None)
        yield _compared(numbers.of(check.method, where), _extreme(others, True), where)


def _order(check: schema.Order, numbers: Numbers) -> Findings:
    for where in check.columns:
        found = {name: numbers.of_group(name, where) for name in check.groups}
        for first, second in zip(check.groups, check.groups[1:], strict=False):
            if check.by == "mean":
                pair = mean(first, found[first]), mean(second, found[second])
            else:
                pair = _extreme(found[first], False), _extreme(found[second], True)
            yield _compared(*pair, f"{where}, {first} and {second}")


def _place(check: schema.Place, numbers: Numbers) -> Findings:
    for where in check.columns:
        group = numbers.of_group(check.among, where)
        own = group.pop(check.method, None)
        if own is None or not group:
            yield Finding(None, f"{where}: {MISSING}")
            continue
        told = [_better(other, own) for other in group.values()]
        n = len(group) + 1
        first, last = 1 + told.count(True), n - told.count(False)
        if check.end == "worst":
            first, last = n + 1 - last, n + 1 - first
        limit = max(1, round(check.share * n))
        inside = True if last <= limit else False if first > limit else None
        place = sorted([own, *group.values()], key=lambda x: -_gain(x, own)[0]).index(own) + 1
        ranks = f"{place} of {n}, counting from the best"
        so = inside if check.inside or inside is None else not inside
        where_ = f"among the {limit} {check.end}"
        meant = where_ if check.inside else f"not {where_}"
        yield Finding(so, f"{own.column.heading}: {own}, place {ranks} ({meant} is claimed)")


def _pairs(check: schema.Pairs, numbers: Numbers) -> Findings:
    for before, after in check.pairs:
        for where in check.columns:
            pair = numbers.of(after, where), numbers.of(before, where)
            found = _compared(*pair, f"{where}, {after} and {before}")
            if check.expect == "not worse" and None not in pair:
                found = Finding(found.so is not False, found.text)
            yield found


def _factor(check: schema.Factor, numbers: Numbers) -> Findings:
    above, below = (numbers.of_group(check.group, where) for where in (check.column, check.over))
    both = [method for method in above if method in below and below[method].value]
    if not both:
        yield Finding(None, f"{check.column} and {check.over}: {MISSING}")
    low, high = check.between
    for method in both:
        first, second = above[method], below[method]
        ratio = first.value / second.value
        wide = math.hypot(first.reach, ratio * second.reach) / second.value
        told = low <= ratio - wide and ratio + wide <= high
        out = ratio + wide < low or ratio - wide > high
        text = f"{first.name} {ratio:.2f} times ({low:g} to {high:g} is claimed)"
        yield Finding(True if told else False if out else None, text)


def _points(numbers: Numbers, fid: str, score: str) -> list[Pair]:
    """Return a pair of numbers for every method that has both."""
    return [
        Pair(method, x.name, str(row["family"]), x.value, y.value)
        for row in numbers.rows(fid.partition(".")[0])
        if (x := numbers.of(method := str(row["method"]), fid)) and (y := numbers.of(method, score))
    ]


def _chosen(points: list[Pair], of: schema.Methods) -> list[bool]:
    return [p.family in of.families and (of.below is None or p.x < of.below) for p in points]


def _heading(where: str) -> str:
    known = column(where.partition(".")[2])
    return known.heading if known else where


def _question(check: schema.Weak, numbers: Numbers, score: str) -> Question:
    """Return the question in the form of the correlation table, so that both give the same answer."""
    (guidance,) = (g for g, table in GUIDANCE.items() if check.fid.startswith(table))
    subset = "" if check.over.below is None else f"FID < {check.over.below:g}"
    points = _points(numbers, check.fid, score)
    found = (p for p, inside in zip(points, _chosen(points, check.over), strict=True) if inside)
    metric, families = score.partition(".")[2], "+".join(check.over.families)
    return Question(guidance, "fid", metric, families, subset, "", tuple(found))


def _weak(check: schema.Weak, numbers: Numbers) -> Findings:
    for score in check.scores:
        question = _question(check, numbers, score)
        relation = question.answer()
        if relation is None or relation.pearson.interval is None:
            yield Finding(None, f"{_heading(score)}: {len(question.pairs)} methods are too few")
            continue
        r, (low, high) = relation.pearson.value, relation.pearson.interval
        text = f"r {shown(r)}, {shown(low)} to {shown(high)}, {relation.n} methods"
        if numbers.face_value:
            low = high = r
        strong = high <= -check.below or low >= check.below
        so = False if strong else True if max(-low, high) < check.below else None
        yield Finding(so, f"{_heading(score)}: {text}")


def _weaker(check: schema.Weaker, numbers: Numbers) -> Findings:
    for score in check.scores:
        points = _points(numbers, check.fid, score)
        x, y = (np.array([getattr(p, axis) for p in points]) for axis in "xy")
        first, second = (np.array(_chosen(points, of), bool) for of in (check.over, check.than))
        seed = seed_for("weaker", check.fid, score)
        told = strength_difference(x, y, first, second, seed) if points else None
        if told is None:
            yield Finding(None, f"{_heading(score)}: {min(sum(first), sum(second))} methods are too few")
            continue
        whole, (low, high) = told
        text = f"|r| differs by {shown(whole)}, {shown(low)} to {shown(high)}"
        if numbers.face_value:
            low = high = whole
        so = True if high < 0 else False if low > 0 else None
        counts = f"{int(first.sum())} against {int(second.sum())} methods"
        yield Finding(so, f"{_heading(score)}: {text}, {counts}")


def _reproduced(check: schema.Reproduced, numbers: Numbers) -> Findings:
    rows = numbers.tables.get("table1", [])
    reported = {row["method"]: row for row in rows if row["source"] == "reported"}
    own = {row["method"]: row for row in rows if row["source"] != "reported"}  # the last row, a study's
    if not own:
        yield Finding(None, f"Table 1: {MISSING}")
    for where in check.columns:
        key = where.partition(".")[2]
        for method, row in own.items():
            first, second = numbers.number(row, key), numbers.number(reported.get(method, {}), key)
            if first and second:
                so = _better(first, replace(second, name="reported"))
                yield Finding(so is not False, _beside(first, replace(second, name="reported"), so))


KINDS: dict[str, Callable[..., Findings]] = {
    "best": _best,
    "order": _order,
    "place": _place,
    "pairs": _pairs,
    "factor": _factor,
    "weak": _weak,
    "weaker": _weaker,
    "reproduced": _reproduced,
}
