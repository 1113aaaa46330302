"""Tables of the correlations: their statistics, other ImageNet metrics, each method's influence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nanogen.config.study_schema import Study
from nanogen.report import correlations as asked
from nanogen.report.columns import Column, column
from nanogen.report.correlation_words import conclusion, reading, sentence
from nanogen.report.rows import Row
from nanogen.report.table import Table
from nanogen.statistics.bootstrap import FEWEST, RESAMPLES

GUIDED = {"yes": "with guidance", "no": "without guidance"}
SOURCE = "Source: the paper's Tables 2, 3 and 4."
METHOD = (
    f"Intervals: 95 %, expanded percentile bootstrap of {RESAMPLES} samples of the methods, none for "
    f"fewer than {FEWEST}. p: Student's t; permuted: how often methods paired at random give as "
    "large an |r|. Without one: the least and largest r that leaving one method out gives."
)
RANGE_NOTE = (
    "A subset chosen by its FID has a narrower range of FIDs, which by itself makes |r| smaller "
    "and its interval wider."
)
STATISTICS = [
    Column("score", "Score"),
    Column("name", "Methods"),
    Column("guidance", "Guidance"),
    Column("n", "n"),
    Column("pearson", "r", 3, group="Pearson"),
    Column("pearson_low", "95 % from", 3, group="Pearson"),
    Column("pearson_high", "to", 3, group="Pearson"),
    Column("p_value", "p", 3),
    Column("permutation_p", "p permuted", 3),
    Column("spearman", "Spearman", 3),
    Column("kendall", "Kendall", 3),
    Column("without_one_low", "r from", 3, group="Without one"),
    Column("without_one_high", "to", 3, group="Without one"),
    Column("most_influential", "Matters most"),
]
_BEHIND = (
    *("score", "axis", "metric", "families", "subset", "spearman_low", "spearman_high", "spearman_p"),
    *("kendall_low", "kendall_high", "kendall_p"),
)


def _of_whole(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that the paper's claim is about: those over all methods with latents.

    If a study has too few of these methods for an interval, rows over further families are returned.
    """
    sets = [
        [row for row in rows if row["families"] == "+".join(families) and not row["subset"]]
        for families in asked.FAMILIES
        if set(asked.LATENT) <= set(families)
    ]
    return next((found for found in sets if any(reading(row) != "unknown" for row in found)), sets[0])


def words(rows: Sequence[Row]) -> list[str]:
    """The conclusion with and without guidance, each followed by its correlations in words."""
    lines = []
    for guidance, title in GUIDED.items():
        whole = [row for row in _of_whole(rows) if row["guidance"] == guidance]
        if whole:
            lines += [f"{title.capitalize()}. {conclusion(whole)}", *map(sentence, whole)]
    return lines


def _left_out(tables: asked.Tables) -> list[str]:
    """A note on methods that lack a number and are therefore left out of its correlations."""
    notes = []
    for metric in asked.metrics(tables):
        there = {
            pair.method for g in asked.GUIDANCE for pair in asked.pairs(tables, g, "fid", metric, _ALL)
        }
        imagenet = [row for row in tables["table2"] if row["method"] not in there]
        if imagenet:
            heading = column(metric)
            assert heading is not None
            names = ", ".join(str(row["name"]) for row in imagenet)
            notes.append(
                f"Without a number of {heading.heading} or FID, and left out of its lines: {names}."
            )
    return notes


_ALL = max(asked.FAMILIES, key=len)


def _caption(study: Study | None, text: str) -> str:
    return f"{text}, {f'study {study.study}' if study else 'published numbers'}."


def statistics(study: Study | None, inputs: Sequence[Path] = ()) -> Table:
    """FID against every score: coefficients, intervals, p-values, by families and by subset."""
    tables = asked.tables_of(study, inputs)
    rows = asked.rows(asked.of_fid(tables))
    return Table(
        name="correlations",
        caption=_caption(study, "ImageNet FID against each text-to-image score over methods"),
        columns=STATISTICS[1:],
        rows=rows,
        grouped_by="score",
        notes=[*words(rows), METHOD, RANGE_NOTE, *_left_out(tables), *[SOURCE] * (study is None)],
        more=_BEHIND,
    )


def _wide(rows: Sequence[Row], key: str, parts: Sequence[str]) -> list[Row]:
    """Rows of all scores merged into one row per ``key`` and guidance."""
    found: dict[tuple[object, object], Row] = {}
    for row in rows:
        at = found.setdefault(
            (row["guidance"], row[key]), {k: row[k] for k in ("name", "guidance", "axis", "n")}
        )
        at |= {f"{part}_{row['metric']}": row.get(part) for part in parts}
    return [{**row, "protocol": GUIDED[str(row["guidance"])]} for row in found.values()]


def sensitivity(study: Study | None, inputs: Sequence[Path] = ()) -> Table:
    """Other ImageNet metrics instead of FID, over the methods with latents."""
    tables = asked.tables_of(study, inputs)
    fid = [q for q in asked.of_fid(tables) if q.families == "+".join(asked.LATENT) and not q.subset]
    fid = [replace(question, title="FID ↓") for question in fid]
    both = sorted([*fid, *asked.of_other_axes(tables)], key=lambda q: q.guidance == "no")
    rows = _wide(asked.rows(both), "axis", ("pearson", "pearson_low", "pearson_high", "p_value"))
    shown = []
    for metric in asked.metrics(tables):
        heading = column(metric)
        assert heading is not None
        for part, name in (("pearson", "r"), ("pearson_low", "95 % from"), ("pearson_high", "to")):
            shown.append(Column(f"{part}_{metric}", name, 3, group=heading.heading))
    return Table(
        name="sensitivity",
        caption=_caption(study, "Pearson's r with other ImageNet metrics instead of FID, over methods "
                         "with latents"),
        columns=[Column("name", "ImageNet metric"), Column("n", "n"), *shown],
        rows=rows,
        grouped_by="protocol",
        notes=["↓: lower is better, so that a negative r means agreement of both tasks; ↑: the reverse.",
               *[SOURCE] * (study is None)],
        more=("axis", "guidance", *(f"p_value_{metric}" for metric in asked.metrics(tables))),
    )  # fmt: skip


def influence(study: Study | None, inputs: Sequence[Path] = ()) -> Table:
    """Pearson's r with each method left out in turn, over the methods with latents."""
    tables = asked.tables_of(study, inputs)
    rows: dict[str, Row] = {}
    shown, whole = [Column("name", "Left out")], []
    for question in asked.of_fid(tables):
        if question.families != "+".join(asked.LATENT) or question.subset:
            continue
        relation = question.answer()
        heading = column(question.metric)
        assert heading is not None
        key = f"{question.metric}_{'cfg' if question.guidance == 'yes' else 'nocfg'}"
        shown.append(Column(key, GUIDED[question.guidance].split()[0], 3, group=heading.heading))
        for pair, left in zip(question.pairs, relation.influences if relation else (), strict=False):
            row = rows.setdefault(
                pair.method, {"method": pair.method, "name": pair.name, "family": pair.family}
            )
            row |= {key: left.without, f"{key}_shift": left.shift}
        if relation:
            whole.append(f"{heading.heading} {GUIDED[question.guidance]} {relation.pearson.value:.3f}")
    return Table(
        name="influence",
        caption=_caption(study, "Pearson's r of FID and each score without one method"),
        columns=shown,
        rows=list(rows.values()),
        notes=[f"With all of them: {'; '.join(whole)}." if rows else "Too few methods to leave one out.",
               "With and without: guidance on ImageNet.", *[SOURCE] * (study is None)],
        identity=("method", "family"),
        more=tuple(f"{c.key}_shift" for c in shown[1:]),
    )  # fmt: skip
