"""The table of the paper's claims, with verdicts by the paper's own numbers or by a study's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nanogen.claims.numbers import Counts, Numbers
from nanogen.claims.schema import TABLES, read_claims
from nanogen.claims.verdict import ClaimResult, judge
from nanogen.config import load_run
from nanogen.config.paths import Paths
from nanogen.config.study_schema import Study
from nanogen.errors import UserError
from nanogen.files import check_label, read_json
from nanogen.prompts.files import GENEVAL, of_benchmark
from nanogen.report import paper_tables
from nanogen.report.columns import Column, column
from nanogen.report.finished_tables import Tables, study_tables
from nanogen.report.rows import Row, read_rows
from nanogen.report.table import Table

NAME = "claims"
BENCHMARKS = {"geneval": GENEVAL, "dpg_bench": "dpg", "genai_bench": "genai"}  # by score
NOTE = (
    "A claim holds if every comparison is as claimed, fails if one is not, and cannot be told if "
    "numbers are missing or differ by less than the reach of their 95 % intervals "
    "(config/claims.yaml); correlations have bootstrap intervals. At face value: as if all numbers were "
    "exact. Each number is from one training run."
)


def _measured_tables(study: Study, inputs: Sequence[Path]) -> Tables:
    """Read the study's existing tables; Table 1, with several rows per method, is read separately."""
    given = {path.stem: path for path in inputs}
    paths = {name: given.get(name, Path(Paths(study).table(name))) for name in TABLES}
    there = {name: path for name, path in paths.items() if path.exists()}
    if not there:
        raise UserError(
            f"study {study.study} has none of the tables yet, such as {paths['table2']}; make them with "
            "`snakemake all`"
        )
    first = (
        {"table1": read_rows(there.pop("table1"), needs=("method", "source"))}
        if "table1" in there
        else {}
    )
    return {**first, **study_tables(study, list(there), list(there.values()), what="claims")}


def _counts(study: Study, inputs: Sequence[Path]) -> Counts:
    """Return the number of images behind FID, and of judged images behind each text-to-image score."""
    imagenet = (
        load_run(study, study.methods[0], "imagenet").evaluation.images
        if "imagenet" in study.tasks
        else None
    )
    if "t2i" not in study.tasks:
        return Counts(imagenet)
    path = next((p for p in inputs if p.suffix == ".json"), Path(Paths(study).prompts))
    content = read_json(path)
    check_label(content, path, "prompts", 1, None)
    each = load_run(study, study.methods[0], "t2i").evaluation.images_per_prompt
    answers = {score: _images(content["prompts"], name, each) for score, name in BENCHMARKS.items()}
    return Counts(imagenet, answers)


def _images(prompts: Sequence[Mapping[str, Any]], benchmark: str, each: int) -> int:
    """Return the number of images that a benchmark judges.

    A benchmark without prompts of its own judges the images of GenEval's.
    """
    chosen = of_benchmark(prompts, benchmark) or of_benchmark(prompts, GENEVAL)
    return sum(prompts[k].get("images", each) for k in chosen)


def numbers_of(study: Study | None, inputs: Sequence[Path] = ()) -> Numbers:
    """Return the numbers that claims are judged by: the paper's if ``study`` is None, else the study's.

    Args:
        inputs: tables (CSV) and the study's prompts (JSON). Other files are read from their usual paths.
    """
    claims = read_claims()
    if study is None:
        tables = {name: paper_tables.rows(name) for name in TABLES if name in paper_tables.CAPTIONS}
        return Numbers(tables, claims, claims.published, paper_tables.ITERATIONS)
    tables = _measured_tables(study, [path for path in inputs if path.suffix == ".csv"])
    return Numbers(tables, claims, claims.measured, None, _counts(study, inputs))


def _row(found: ClaimResult, source: str) -> Row:
    return {
        "claim": found.name,
        "name": found.claim.says,
        "section": found.claim.section,
        "verdict": found.verdict,
        "numbers": found.numbers,
        "source": source,
    }


def table(study: Study | None, inputs: Sequence[Path] = ()) -> Table:
    """Return the table of all claims; for a study it also has the verdicts by the paper's numbers."""
    source = f"Study {study.study}" if study else "Published numbers"
    numbers = numbers_of(study, inputs)
    rows = [_row(found, source) for found in judge(numbers)]
    for row, found in zip(rows, judge(replace(numbers, face_value=True)), strict=True):
        row["face_value"] = found.verdict
    beside = []
    if study:
        verdicts = {found.name: found.verdict for found in judge(numbers_of(None))}
        beside = ["published_verdict"]
        for row in rows:
            row["published_verdict"] = verdicts[str(row["claim"])]
    return Table(
        name=NAME,
        caption=f"The paper's claims, judged by {source[0].lower() + source[1:]}.",
        columns=[
            Column("name", "Claim", wide=True),
            Column("section", "Section"),
            *(known for key in ("verdict", "face_value", *beside) if (known := column(key))),
            Column("numbers", "Numbers", wide=True),
        ],
        rows=rows,
        grouped_by="source",
        notes=[NOTE],
        more=("claim", "source"),
    )
