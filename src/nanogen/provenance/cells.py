"""A cell of a measured table: its address, its value, and the study's metric file that contains it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nanogen.config import PublicRun, Run, Study, metrics, variants
from nanogen.config.load import trained_run
from nanogen.errors import UserError, nearest
from nanogen.report.artefacts import TABLES
from nanogen.report.columns import FID_AT
from nanogen.report.paper_tables import reproduced_variant
from nanogen.report.results import Results
from nanogen.report.rows import Row, Value, read_rows
from nanogen.report.sample_sets import head, sample_sets

# table -> the sample sets that it scores
TRACED = {name: table.scores for name, table in TABLES.items() if table.scores}
CONFIGURED = {
    "method", "name", "family", "source", "space", "epochs", "iterations", "prediction", "nfe",
    "guidance", "guidance_scale", "params", "hash", "dpg_bench_prompts", "genai_bench_prompts",
}  # fmt: skip
NAME = "TABLE:METHOD:COLUMN, e.g. results/nano/tables/table2.csv:dinov2-b:fid"


@dataclass(frozen=True)
class Address:
    """The address of a number: a study's table (CSV), the method of the row, and the column."""

    table: Path
    method: str
    column: str

    @property
    def study(self) -> str:
        """The study's name, from the table's folder ``results/<study>/tables``."""
        return self.table.absolute().parts[-3]

    @property
    def root(self) -> Path:
        """The folder that contains ``results``; the study's paths are relative to it."""
        return self.table.parent.parent.parent.parent


@dataclass(frozen=True)
class Cell:
    """A measured number and the metric file that it was read from.

    Attributes:
        value: the value in the table.
        key: its name in the metric file.
    """

    address: Address
    value: Value
    run: Run | PublicRun
    variant: str
    metric: str
    key: str


def parse(text: str) -> Address:
    """Parse ``TABLE:METHOD:COLUMN``; raises UserError if it is not a cell of a measured table."""
    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not all(parts):
        raise UserError(f"{text!r} is not the address of a cell; expected {NAME}")
    table = Path(parts[0]).with_suffix(".csv")
    if table.parent.name == "published":
        raise UserError(
            f"{table} contains the paper's own numbers, copied from config/published; no step made them"
        )
    if table.stem not in TRACED:
        raise UserError(
            f"{table.stem!r} is not a table of metric files{nearest(table.stem, TRACED)}; trace numbers "
            "that come from other tables in those"
        )
    return Address(table, *parts[1:])


def read(address: Address, study: Study) -> Cell:
    """The cell at an address; raises UserError if the table, the row or the column does not exist."""
    if not address.table.exists():
        found = [path.name for path in address.table.parent.glob("*.csv")]
        raise UserError(f"there is no table {address.table}{nearest(address.table.name, found)}")
    row = _row(address, study)
    column = address.column
    if column not in row:
        raise UserError(f"{address.table} has no column {column!r}{nearest(column, map(str, row))}")
    if column in CONFIGURED or column.startswith("published_") or column == "best_scale":
        raise UserError(f"{column} of {address.table} is not measured: {_origin(column, address)}")
    run, variant = _sample_set(address, study)
    variant, metric, key = _metric(column, variant)
    return Cell(address, row[column], run, variant, metric, key)


def _row(address: Address, study: Study) -> Row:
    rows = read_rows(address.table, needs=["method"])
    if address.table.stem == "table1":  # it also has the paper's rows
        rows = [row for row in rows if row.get("source") == study.study]
    for row in rows:
        if row["method"] == address.method:
            return row
    known = [str(row["method"]) for row in rows]
    raise UserError(f"{address.table} has no method {address.method!r}{nearest(address.method, known)}")


def _origin(column: str, address: Address) -> str:
    if column.startswith("published_"):
        return f"it is the paper's own number, in config/published/{address.table.stem}.csv"
    if column == "best_scale":
        return f"it is chosen by the FID at each scale; trace a column {FID_AT}SCALE"
    return "it is part of the configuration, which `nanogen config` prints"


def _sample_sets(address: Address, study: Study) -> Iterator[tuple[str, Run | PublicRun, str]]:
    """(row's method, run, sample set) of every row."""
    scored = TRACED[address.table.stem]
    results = Results(study)
    if not scored.guidance:  # each method's own guidance, as in Table 1
        for method in study.methods:
            trained = trained_run(study, method, scored.task)
            yield method, trained, reproduced_variant(trained)
    for guidance in scored.guidance:
        for public in results.public() if scored.task == "t2i" else ():
            yield public.method, public, guidance
        for run, variant, steps in sample_sets(results, scored.task, guidance):
            yield str(head(run, steps)["method"]), run, variant


def _sample_set(address: Address, study: Study) -> tuple[Run | PublicRun, str]:
    sets = {name: (run, variant) for name, run, variant in _sample_sets(address, study)}
    if address.method not in sets:
        raise UserError(
            f"study {study.study} has no method {address.method!r}{nearest(address.method, sets)}; give "
            "the keys that the table was made with as --given"
        )
    return sets[address.method]


def _metric(column: str, variant: str) -> tuple[str, str, str]:
    """(sample set, metric, the number's name in its file) of a column."""
    if column == "fid_untrained":
        return variants.UNTRAINED, "fid", "fid"
    if column.startswith(FID_AT):
        return f"{variants.SWEEP}{column.removeprefix(FID_AT)}", "fid", "fid"
    metric = metrics.holder(column)
    if metric is None:
        raise UserError(f"no metric file holds {column}")
    return variant, metric.name, column
