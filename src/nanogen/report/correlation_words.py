"""Sentences on whether the intervals support "no strong correlation", written from the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from nanogen.report.rows import Row, is_number, number

STRONG = 0.7  # from here on, one metric explains half of the other's variance (r² = 0.49)
Reading = Literal["strong", "not strong", "open", "unknown"]


def reading(row: Row) -> Reading:
    """Whether a correlation is strong according to its interval; ``open`` if both are possible."""
    low, high = row.get("pearson_low"), row.get("pearson_high")
    if not (is_number(low) and is_number(high)):
        return "unknown"
    if high <= -STRONG or low >= STRONG:
        return "strong"
    return "not strong" if max(-low, high) < STRONG else "open"


def shown(value: float) -> str:
    """A coefficient with three decimals and a true minus sign."""
    return f"{value:.3f}".replace("-", "−")


def _interval(row: Row) -> str:
    found = reading(row)
    if found == "unknown":
        return f"{row['n']} methods are too few for an interval"
    low, high = number(row, "pearson_low"), number(row, "pearson_high")
    none = f"{'in' if low <= 0 <= high else 'ex'}cludes 0"
    past = " and ".join(shown(end) for end in (-STRONG, STRONG) if low <= end <= high)
    strong = {
        "strong": f"lies beyond {shown(-STRONG if high < 0 else STRONG)}: the correlation is strong",
        "not strong": f"stays within {shown(-STRONG)} and {shown(STRONG)}: it is not strong",
        "open": f"reaches past {past}: a strong one is not ruled out",
    }[found]
    return f"95 % interval {shown(low)} to {shown(high)}, which {none} and {strong}"


def sentence(row: Row) -> str:
    """One correlation in words: methods, r, its interval, and the method that matters most."""
    guidance = "with guidance" if row["guidance"] == "yes" else "without guidance"
    head = f"{row['score']}, {guidance}, {str(row['name']).lower()} (n = {row['n']})"
    if not is_number(row.get("pearson")):
        return f"{head}: r is undefined."
    text = f"{head}: r = {shown(number(row, 'pearson'))}, {_interval(row)}."
    if is_number(row.get("without_one_low")):
        low, high = (shown(number(row, f"without_one_{end}")) for end in ("low", "high"))
        text += f" Without one method, {low} to {high}; {row['most_influential']} matters most."
    return text


def _counted(count: int, of: int) -> str:
    return "all" if count == of else "none" if not count else str(count)


def conclusion(rows: Sequence[Row]) -> str:
    """The conclusion on "no strong correlation" from one protocol's correlations with each score."""
    known = [row for row in rows if reading(row) != "unknown"]
    if not known:
        return "Too few methods for an interval: no conclusion on a strong correlation."
    readings, total = [reading(row) for row in known], len(known)
    verdict = "is neither shown nor refuted"
    if "strong" in readings:
        verdict = "does not hold"
    elif "open" not in readings:
        verdict = "holds"
    excluded, shown_, left = (
        _counted(readings.count(r), total) for r in ("not strong", "strong", "open")
    )
    some = sum(not number(r, "pearson_low") <= 0 <= number(r, "pearson_high") for r in known)
    return (
        f'"No strong correlation" {verdict}: over {max(number(r, "n") for r in known):.0f} methods the '
        f"interval rules |r| of {STRONG:g} or more out for {excluded} of {total} scores, shows it for "
        f"{shown_} and leaves it open for {left}; it excludes 0 for {_counted(some, total)}."
    )
