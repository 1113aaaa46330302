"""Merge entries into one table that shows both axes.

The paper recommends reporting both axes (section 3.2). An entry with only one is labelled task-specific.
Ranks compare methods of the same source, because studies differ in scale, data and protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from nanogen.config import metrics, variants
from nanogen.leaderboard.entry import Entry
from nanogen.report import paper_tables
from nanogen.report.artefacts import table_of
from nanogen.report.columns import columns
from nanogen.report.correlation_words import shown
from nanogen.report.rows import Row, is_number
from nanogen.report.table import UNRANKED, Table
from nanogen.statistics.coefficients import ENOUGH, pearson

NAME = "leaderboard"
PUBLISHED = "paper (published)"
AXES = {"imagenet": "ImageNet", "t2i": "text to image"}
BOTH = "both"
# (task, guidance) -> column -> name of the number in the metric files
SHOWN = {
    ("imagenet", "with"): {score.key: score.key for score in metrics.main_scores("imagenet")},
    ("imagenet", "without"): {f"{s.key}_unguided": s.key for s in metrics.main_scores("imagenet")},
    ("t2i", "with"): {score.key: score.key for score in metrics.main_scores("t2i")},
}
PUBLISHED_TABLES = {
    ("imagenet", "with"): table_of("imagenet", variants.GUIDED),
    ("imagenet", "without"): table_of("imagenet", variants.UNGUIDED),
    ("t2i", "with"): table_of("t2i", variants.GUIDED),
}
RANKS = {"imagenet_rank": ("fid", False), "t2i_rank": ("geneval", True)}  # key, whether higher is better
NOTE = (
    "Axes: a method with numbers on one axis only is task-specific; the paper recommends reporting both "
    "(section 3.2). Ranks and marks compare the methods of one source, which share data and protocol."
)


def table(entries: Sequence[Entry], with_published: bool) -> Table:
    """Return the leaderboard of these entries and, optionally, of the paper's own numbers."""
    rows = [_row(entry) for entry in entries] + (_published_rows() if with_published else [])
    rows = [_labelled(row) for row in sorted(rows, key=_place)]
    for _, group in groupby(rows, lambda row: row["source"]):
        _rank(list(group))
    shown_keys = [key for keys in SHOWN.values() for key in keys if any(key in row for row in rows)]
    return Table(
        name=NAME,
        caption="Methods on both axes: ImageNet and text to image.",
        columns=columns(["name", "axes", *RANKS, *shown_keys]),
        rows=rows,
        grouped_by="source",
        notes=[NOTE, *_relations(rows), *_gaps(entries), *_sources(entries, with_published)],
        identity=("method", "source", "family"),
        more=("hash",),
    )


def _row(entry: Entry) -> Row:
    about = {"method": entry.method.name, "name": entry.method.title, "family": entry.method.family}
    row: Row = {**about, "source": entry.source, "hash": entry.hash}
    for (task, guidance), keys in SHOWN.items():
        scores = entry.of(task, guidance)
        values = scores.values if scores else {}
        row |= {key: values[name] for key, name in keys.items() if name in values}
    return row


def _published_rows() -> list[Row]:
    """Return the paper's rows, one per method; text-to-image scores are after 100,000 iterations."""
    found: dict[str, Row] = {}
    for axis, name in PUBLISHED_TABLES.items():
        for source in paper_tables.comparable(name):
            about = {key: source[key] for key in ("method", "name", "family")}
            row = found.setdefault(str(source["method"]), {**about, "source": PUBLISHED, "hash": None})
            values = {key: source.get(name) for key, name in SHOWN[axis].items()}
            row |= {key: value for key, value in values.items() if is_number(value)}
    return list(found.values())


def _labelled(row: Row) -> Row:
    """Return the row with a label of the axes on which it has numbers."""
    has = [
        title
        for task, title in AXES.items()
        if any(key in row for (of, _), keys in SHOWN.items() if of == task for key in keys)
    ]
    return {**row, "axes": BOTH if len(has) == len(AXES) else f"task-specific: {', '.join(has)}"}


def _place(row: Row) -> tuple[bool, str, int, int, str]:
    """Sort key: sources by name, the paper last; in each, the paper's order of families and methods."""
    families = ("rae", "vae", "pixel", "few-step", "public")
    name, source = str(row["method"]), str(row["source"])
    order = paper_tables.rank(name, table="table3" if row["family"] == UNRANKED else "table2")
    return source == PUBLISHED, source, families.index(str(row["family"])), order, name


def _rank(rows: list[Row]) -> None:
    """Write the rank of each method among these on both axes; equal numbers share a rank."""
    for column, (key, more) in RANKS.items():
        ranked = [
            (row, float(number) * (-1 if more else 1))
            for row in rows
            if is_number(number := row.get(key)) and row["family"] != UNRANKED
        ]
        for row, value in ranked:
            row[column] = 1 + sum(other < value for _, other in ranked)


def _relations(rows: list[Row]) -> list[str]:
    """Describe, for each source, the correlation of FID and GenEval and the number of methods."""
    sentences = []
    for source, group in groupby(rows, lambda row: row["source"]):
        found = [row for row in group if row["family"] != UNRANKED]
        latent = [row for row in found if row["family"] in paper_tables.LATENT_FAMILIES]
        of_latent, of_all = _relation(latent), _relation(found)
        sentences.append(
            f"{source}, guided FID and GenEval: {of_latent} methods with latents; {of_all} methods."
        )
    return sentences


def _relation(rows: list[Row]) -> str:
    """Return Pearson's r in words, with the number of rows that have both values."""
    pairs = [row for row in rows if is_number(row.get("fid")) and is_number(row.get("geneval"))]
    x, y = (np.array([row[key] for row in pairs], float) for key in ("fid", "geneval"))
    r = float(pearson(np.ones((1, len(pairs))), x, y)[0]) if len(pairs) >= ENOUGH else np.nan
    told = f"r = {shown(r)}" if np.isfinite(r) else "r is undefined"
    return f"{told}, n = {len(pairs)} of {len(rows)}"


def _gaps(entries: Iterable[Entry]) -> list[str]:
    """Return a sentence for each missing metric: why its cells are empty."""
    return [
        f"{entry.method.title} ({entry.source}): no {metrics.title(gap.metric)} {gap.guidance} "
        f"guidance, {gap.reason}."
        for entry in entries
        for gap in entry.missing
    ]


def _sources(entries: Sequence[Entry], with_published: bool) -> list[str]:
    """Describe how each source measured its metrics."""
    notes = []
    for source in dict.fromkeys(entry.source for entry in entries):
        protocols: dict[str, list[str]] = {}
        for name, sentence in _protocols([entry for entry in entries if entry.source == source]):
            protocols.setdefault(sentence, []).append(metrics.title(name))
        told = (f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in protocols.items())
        notes += [f"{source}, {sentence}" for sentence in told]
    return [*notes, *[f"{PUBLISHED}: Tables 2 to 4, at full scale."] * with_published]


def _protocols(entries: Iterable[Entry]) -> Iterable[tuple[str, str]]:
    """Yield (metric, protocol) for every metric that the table shows."""
    for entry in entries:
        for scores in entry.scores:
            wanted = SHOWN.get((scores.task, scores.guidance), {}).values()
            for name, measured in scores.metrics.items():
                if measured.values.keys() & set(wanted):
                    yield name, measured.protocol
