"""The table of the paper's claims: what its own numbers say of each, and what a study's say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nanogen.claims.numbers import Counts, Numbers
from nanogen.claims.schema import TABLES, read_claims
from nanogen.claims.verdict import ClaimResult, judge
from nanogen.config import load_run
from nanogen.config.paths import Paths
from nanogen.config.study_schema import Study
from nanogen.errors import UserError
from nanogen.files import check_label, read_json
from nanogen.report import paper_tables
from nanogen.report.columns import Column, column
from nanogen.report.finished_tables import Tables, study_tables
from nanogen.report.rows import Row, read_rows
from nanogen.report.table import Table

NAME = "claims"
NOTE = (
    "A claim holds where every comparison is as claimed, fails where one is not, and cannot be told "
    "where numbers are missing or differ by less than the reach of their 95 % intervals "
    "(config/claims.yaml); correlations have bootstrap intervals. At face value: as if all numbers were "
    "exact. Each number is of one training."
)


def _measured_tables(study: Study, inputs: Sequence[Path]) -> Tables:
    """Those of the study's tables that there are; Table 1 has several rows per method."""
    given = {path.stem: path for path in inputs}
    paths = {name: given.get(name, Path(Paths(study).table(name))) for name in TABLES}
    there = {name: path for name, path in paths.items() if path.exists()}
    if not there:
        raise UserError(
            f"study {study.study} has no table yet, neither {paths['table2']} nor another; make them "
            "with `snakemake all`"
        )
    first = (
        {"table1": read_rows(there.pop("table1"), needs=("method", "source"))}
        if "table1" in there
        else {}
    )
    return {**first, **study_tables(study, list(there), list(there.values()), what="claims")}


def _counts(study: Study, inputs: Sequence[Path]) -> Counts:
    """How many images FID is of, and how many judged images each score."""
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
    prompts = sum("benchmark" not in prompt for prompt in content["prompts"])  # the others name theirs
    answers = prompts * load_run(study, study.methods[0], "t2i").evaluation.images_per_prompt
    return Counts(imagenet, dict.fromkeys(("geneval", "dpg_bench", "genai_bench"), answers))


def numbers_of(study: Study | None, inputs: Sequence[Path] = ()) -> Numbers:
    """What the claims are judged by: the paper's tables (``study`` None), or a study's.

    Args:
        inputs: tables (CSV) and the study's prompts (JSON), else those at their usual places.
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
    """Every claim with its verdict and numbers; a study's beside the paper's verdict."""
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
        ranked=False,
    )
