"""The correlations behind the paper's claim: which metrics correlate over which methods.

The paper gives Pearson's r of ImageNet's FID and each of three text-to-image scores over the methods
with latents, and the same without guidance and with pixel space (section 3.2, appendix A). Here each
coefficient comes with its uncertainty, and with the results of other possible choices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from nanogen.config import variants
from nanogen.config.metrics import main_scores
from nanogen.config.study_schema import Study
from nanogen.errors import UserError
from nanogen.report import artefacts
from nanogen.report.artefacts import table_of
from nanogen.report.columns import column
from nanogen.report.finished_tables import Tables, published_tables, study_tables
from nanogen.report.rows import Row, is_number
from nanogen.statistics.relation import Relation, relate

METRICS = tuple(score.key for score in main_scores("t2i"))
# with guidance or not -> table of the ImageNet numbers
GUIDANCE = {"yes": table_of("imagenet", variants.GUIDED), "no": table_of("imagenet", variants.UNGUIDED)}
OF_TEXT = table_of("t2i", variants.GUIDED)
TABLES = (*GUIDANCE.values(), OF_TEXT)
LATENT = ("rae", "vae")
FAMILIES = {
    LATENT: "Latent space",
    (*LATENT, "pixel"): "Latent and pixel space",
    (*LATENT, "pixel", "few-step"): "All methods",
    ("rae",): "RAE latents",
    ("vae",): "VAE latents",
}
FRONTIER = 2.0  # the FID below which the paper finds "the most uncorrelated regions" (section 3.2)
OTHER_AXES = ("is", "fdr_", "mind_")  # prefixes of the columns that replace FID on the ImageNet axis


@dataclass(frozen=True)
class Pair:
    """One method's ImageNet number and text-to-image score."""

    method: str
    name: str
    family: str
    x: float
    y: float


@dataclass(frozen=True)
class Question:
    """Two numbers whose correlation is computed, and the methods that it is computed over.

    Attributes:
        guidance: whether the ImageNet samples are guided, ``yes`` or ``no``.
        axis: column of the ImageNet number, e.g. ``fid``.
        metric: column of the text-to-image score.
        families: names of the methods' families, joined by ``+``.
        subset: which of their methods; empty for all.
    """

    guidance: str
    axis: str
    metric: str
    families: str
    subset: str
    title: str
    pairs: tuple[Pair, ...]

    @property
    def what(self) -> str:
        """The question as text; it seeds the resampling."""
        return " ".join((self.guidance, self.axis, self.metric, self.families, self.subset))

    def answer(self) -> Relation | None:
        return _answer(self)


@cache  # several tables made in one process share answers
def _answer(question: Question) -> Relation | None:
    found = question.pairs
    names = [pair.name for pair in found]
    return relate(names, [p.x for p in found], [p.y for p in found], question.what)


def pairs(tables: Tables, guidance: str, axis: str, metric: str, families: Sequence[str]) -> list[Pair]:
    """The methods of these families that have both numbers, in the order of the ImageNet table."""
    scores = {row["method"]: row.get(metric) for row in tables[OF_TEXT]}
    return [
        Pair(str(row["method"]), str(row["name"]), str(row["family"]), float(x), float(y))
        for row in tables.get(GUIDANCE[guidance], [])
        if row["family"] in families
        and is_number(x := row.get(axis))
        and is_number(y := scores.get(row["method"]))
    ]


def metrics(tables: Tables) -> list[str]:
    """The text-to-image scores that Table 3 has, in the paper's order."""
    return [m for m in METRICS if any(row.get(m) is not None for row in tables[OF_TEXT])]


def axes(tables: Tables) -> list[str]:
    """The ImageNet columns besides FID, in the order of Table 2."""
    return [key for key in tables[GUIDANCE["yes"]][0] if key.startswith(OTHER_AXES) and column(key)]


def _restricted(found: list[Pair]) -> dict[str, list[Pair]]:
    """Return the pairs of the better methods only, for two limits of the FID."""
    middle = median(pair.x for pair in found) if found else 0.0
    return {
        f"FID < {FRONTIER:g}": [pair for pair in found if pair.x < FRONTIER],
        "better half by FID": [pair for pair in found if pair.x <= middle],
    }


def _of_fid(tables: Tables, metric: str, guidance: str) -> Iterator[Question]:
    given = (guidance, "fid", metric)
    for families, title in FAMILIES.items():
        found = pairs(tables, *given, families)
        yield Question(*given, "+".join(families), "", title, tuple(found))
    latent = pairs(tables, *given, LATENT)
    for subset, found in _restricted(latent).items():
        yield Question(*given, "+".join(LATENT), subset, f"Latent space, {subset}", tuple(found))


def of_fid(tables: Tables) -> list[Question]:
    """FID against every score: by families, and over the better methods; empty sets are left out."""
    found = [
        question
        for metric in metrics(tables)
        for guidance in GUIDANCE
        for question in _of_fid(tables, metric, guidance)
        if question.pairs
    ]
    if not found:
        raise UserError("no method has both an FID and a text-to-image score: nothing to relate")
    return found


def of_other_axes(tables: Tables) -> list[Question]:
    """The other ImageNet metrics against every score, over the methods with latents."""
    return [
        Question(guidance, axis, metric, "+".join(LATENT), "", _title(axis), tuple(found))
        for guidance in GUIDANCE
        for axis in axes(tables)
        for metric in metrics(tables)
        if (found := pairs(tables, guidance, axis, metric, LATENT))
    ]


def _title(axis: str) -> str:
    known = column(axis)
    assert known is not None
    return known.title


def tables_of(study: Study | None, inputs: Sequence[Path] = ()) -> Tables:
    """The tables that the numbers are read from: the paper's, or a study's."""
    if study is None:
        return published_tables(TABLES)
    names = [name for name in TABLES if artefacts.TABLES[name].is_of(study)]
    return study_tables(study, names, inputs, what="a correlation")


def row(question: Question, relation: Relation | None) -> Row:
    """An answer as a row: coefficients, p-values, intervals; cells without a value are empty."""
    score = column(question.metric)
    found: Row = {
        "name": question.title,
        "score": score.heading if score else question.metric,
        "guidance": question.guidance,
        "axis": question.axis,
        "metric": question.metric,
        "families": question.families,
        "subset": question.subset or None,
        "n": len(question.pairs),
    }
    if relation is None:
        return found
    for name in ("pearson", "spearman", "kendall"):
        estimate = getattr(relation, name)
        low, high = estimate.interval or (None, None)
        found |= {name: estimate.value, f"{name}_low": low, f"{name}_high": high}
        found["p_value" if name == "pearson" else f"{name}_p"] = estimate.p
    least, largest = relation.range or (None, None)
    most = relation.most_influential
    found |= {
        "permutation_p": relation.permutation_p,
        "without_one_low": least,
        "without_one_high": largest,
        "most_influential": most.name if most else None,
    }
    return {key: None if value != value else value for key, value in found.items()}  # NaN: empty


def rows(questions: Sequence[Question]) -> list[Row]:
    return [row(question, question.answer()) for question in questions]
