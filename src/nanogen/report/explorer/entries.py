"""Tables 2, 3 and 4 joined by method: what the explorer plots and ranks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nanogen.config import Study, metrics
from nanogen.config.paths import Paths
from nanogen.errors import UserError
from nanogen.report import artefacts, noise, paper_tables
from nanogen.report.artefacts import table_of
from nanogen.report.columns import Column, column, columns, printed
from nanogen.report.finished_tables import of_first_seeds
from nanogen.report.results import trainings_per_method
from nanogen.report.rows import Row, read_rows
from nanogen.report.sample_sets import PARTS
from nanogen.report.style import FAMILIES
from nanogen.report.table import Table, marks

# part of a method's numbers -> the table that holds it
TABLES = {part: table_of(*scored) for part, scored in PARTS.items()}
AXES = {part: task for part, (task, _) in PARTS.items()}
GUIDANCE = [part for part, task in AXES.items() if task == "imagenet"]
FACTS = ("iterations", "params")
PUBLISHED_NOTE = (
    "The paper's own numbers, Tables 2 to 4, at full scale: ImageNet 256 × 256, text-to-image after "
    "100,000 iterations and with guidance 6.0."
)
Content = dict[str, Any]


def published_source() -> Content:
    """The paper's numbers; a method's longer trainings in Table 3 are added as ``further``."""
    source = _source(
        "published",
        "Published",
        PUBLISHED_NOTE,
        {part: paper_tables.comparable(name) for part, name in TABLES.items()},
        paper_tables.LATENT_FAMILIES,
    )
    by_method = {row["method"]: row for row in source["rows"]}
    shown = columns([score.key for score in metrics.main_scores("t2i", published=True)])
    first = paper_tables.comparable("table3")
    for row in (row for row in paper_tables.rows("table3") if row not in first):
        title = f"{_fact(row, 'iterations')} iterations"
        by_method[row["method"]]["further"].append({"title": title, "values": _numbers(row, shown)})
    return source


def measured_source(study: Study, inputs: Iterable[Path] = ()) -> Content:
    """A study's numbers from its tables (CSV), taken from ``inputs`` or from their default paths.

    Raises UserError if a table is missing or contains a method twice.
    """
    given = {path.stem: path for path in inputs if path.suffix == ".csv"}
    tables = {}
    for part, name in TABLES.items():
        if not artefacts.TABLES[name].is_of(study):
            continue
        path = given.get(name, Path(Paths(study).table(name)))
        if not path.exists():
            raise UserError(
                f"{path} does not exist; the explorer needs it: make it with `snakemake {path} "
                f"--config study={study.study}`"
            )
        tables[part] = of_first_seeds(read_rows(path, needs=("method", "name", "family")))
    families = paper_tables.LATENT_FAMILIES if study.scale == "paper" else FAMILIES
    return _source(study.study, f"Measured: {study.study}", measured_note(study), tables, families)


def measured_note(study: Study) -> str:
    """The note on how to read a study's numbers."""
    return (
        f"Measured by study {study.study}, seed {study.seed}, {trainings_per_method(study)}. Its scale "
        "is its own: compare the order of its methods with the paper's, not their values."
    )


def _source(
    key: str, title: str, note: str, tables: Mapping[str, list[Row]], families: Iterable[str]
) -> Content:
    """One source of numbers: its columns, and a row per method with its numbers on each axis.

    ``families`` are shown when the page opens: the latent-space methods, as in the paper's figure, or
    all methods of a small study, which has too few latent-space ones.
    """
    shown = {part: _numeric(rows) for part, rows in tables.items()}
    rows = _joined(tables, shown)
    text_to_image = tables.get("t2i", [])
    for guidance in GUIDANCE:
        _mark(rows, guidance, [c for part in (guidance, "t2i") for c in shown.get(part, ())])
    described = {c.key: _described(c, AXES[part]) for part in shown for c in shown[part]}
    guidances = [part for part in GUIDANCE if part in tables]
    return {
        "key": key,
        "title": title,
        "note": note,
        "warning": f"{noise.AT_CHANCE}." if noise.is_at_chance(text_to_image) else "",
        "chance": noise.sentence(text_to_image),
        "guidances": guidances,
        "families": list(families),
        "columns": list(described.values()),
        "rows": rows,
    }


def _numeric(rows: list[Row]) -> list[Column]:
    """The columns whose numbers can be plotted, without those quoted from the paper."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return [c for c in columns(list(keys)) if c.digits is not None and c.group != "Published"]


def _described(of: Column, axis: str) -> Content:
    main = [score.key for score in metrics.main_scores()]
    chances = {score.key: score.chance for metric in metrics.METRICS for score in metric.scores}
    return {
        "key": of.key,
        "title": of.title,
        "axis": axis,
        "digits": of.digits,
        "better": of.better,
        "main": of.key in main,
        "chance": chances.get(of.key, ""),
    }


def _intervals(row: Row, shown: Iterable[Column]) -> dict[str, tuple[float, float]]:
    """The 95 % intervals that a row has, by column."""
    found = ((c.key, noise.interval(c.key, row)) for c in shown)
    return {key: ends for key, ends in found if ends is not None}


def _numbers(row: Row, shown: Iterable[Column]) -> dict[str, float]:
    """The finite numbers in a row; cells that are empty, text or NaN are left out."""
    return {
        c.key: value
        for c in shown
        if isinstance(value := row.get(c.key), int | float) and math.isfinite(value)
    }


def _fact(row: Row, key: str) -> str | None:
    known = column(key)
    return printed(known, row[key]) if known and row.get(key) is not None else None


def _joined(tables: Mapping[str, list[Row]], shown: Mapping[str, list[Column]]) -> list[Content]:
    entries: dict[str, Content] = {}
    for part, rows in tables.items():
        for row in rows:
            name = str(row["method"])
            entry = entries.setdefault(
                name,
                {
                    "method": name,
                    "name": row["name"],
                    "family": row["family"],
                    "facts": {},
                    "intervals": {},
                    "further": [],
                },
            )
            if part in entry:
                raise UserError(
                    f"{TABLES[part]} has method {name} twice; the explorer needs one row of each, "
                    "remove the other"
                )
            entry[part] = _numbers(row, shown[part])
            entry["intervals"][part] = _intervals(row, shown[part])
            facts = {known.heading: _fact(row, key) for key in FACTS if (known := column(key))}
            entry["facts"] |= {heading: text for heading, text in facts.items() if text}
    return list(entries.values())


def _mark(rows: list[Content], guidance: str, shown: list[Column]) -> None:
    """Mark the values that are the best and second best of their column, as the tables do."""
    parts = (guidance, "t2i")
    flat = [
        {"family": r["family"]}
        | {key: value for part in parts for key, value in r.get(part, {}).items()}
        | {
            f"{key}_{end}": value
            for part in parts
            for key, ends in r["intervals"].get(part, {}).items()
            for end, value in zip(("low", "high"), ends, strict=True)
        }
        for r in rows
    ]
    for row in rows:
        row.setdefault("marks", {})[guidance] = {}
    for (index, key), mark in marks(Table("", "", shown, flat)).items():
        rows[index]["marks"][guidance][key] = mark
