"""What a finished study holds, for a terminal: its tables as far as they fit, files and times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nanogen.errors import UserError
from nanogen.report.columns import Column, columns, printed
from nanogen.report.rows import Row, read_rows
from nanogen.report.table import Table, marks

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

TITLES = {
    "table2": "Table 2: class-conditional generation with guidance",
    "table3": "Table 3: text-to-image generation",
    "table4": "Table 4: class-conditional generation without guidance",
    "tokenizers": "Tokenizers: what they give back of validation images",
    "sweep": "Sweep: each method's best guidance scale",
    "times": "Figure 2: hours of training per 100,000 steps",
    "claims": "The paper's claims: does the study bear them out?",
}
IN_FILES = ("correlations", "sensitivity", "influence", "regimes")  # too long to be read in a terminal
# Left out first where a terminal is narrow; what is not listed stays.
_EXPENDABLE = (
    "most_influential",
    "without_one_",
    "permutation_p",
    "published_genai_bench",
    "published_dpg_bench",
    "published_is",
    "mind_",
    "fdr_",
    "recall",
    "precision",
    "sfid",
    "iterations",
    "params",
    "guidance_scale",
    "published_",
    "simpleeval_",
    "color_attr",
    "position",
    "counting",
    "two_object",
    "accuracy",
    "fid_untrained",
    "methods",
    "latent",
    "channels",
)
PLAIN_WIDTH = 150  # where the output is a file, lines may be long


def from_csv(path: Path) -> Table:
    """A table read back from its CSV; raises UserError where it is missing or empty."""
    rows = read_rows(path, needs=["tokenizer" if path.stem == "tokenizers" else "name"])
    keys = [key for key in rows[0] if key != "family"]
    shown = columns(keys)
    if path.stem == "claims":
        shown = [replace(c, heading="Claim") if c.key == "name" else c for c in shown]
    return Table(path.stem, TITLES.get(path.stem, path.stem), shown, rows)


def _width(column: Column, rows: Iterable[Row]) -> int:
    return max(len(column.title), *(len(printed(column, row.get(column.key))) for row in rows)) + 3


def fitting(table: Table, width: int) -> list[Column]:
    """The columns that fit into ``width`` characters, the least important ones left out."""
    kept = list(table.columns)
    for expendable in _EXPENDABLE:
        for column in [c for c in reversed(kept) if c.key.startswith(expendable)]:
            if sum(_width(c, table.rows) for c in kept) + 1 <= width:
                return kept
            kept.remove(column)
    return kept


def rich_table(table: Table, width: int, plain: bool) -> RichTable:
    """A table to print, its least important columns left out where it would be wider than ``width``."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = fitting(table, width)
    left_out = len(table.columns) - len(shown)
    drawn = RichTable(
        title=table.caption or None,
        title_justify="left",
        caption=f"{left_out} more columns in the file" if left_out else None,
        caption_justify="left",
        box=box.ASCII if plain else box.SIMPLE_HEAD,
    )
    for number, column in enumerate(shown):
        drawn.add_column(Text(column.title), justify="right" if number else "left", no_wrap=True)
    marked = marks(table)
    styles = {"best": "bold", "second": "underline", None: ""}
    for index, row in enumerate(table.rows):
        drawn.add_row(
            *(Text(printed(c, row.get(c.key)), style=styles[marked.get((index, c.key))]) for c in shown)
        )
    return drawn


@dataclass(frozen=True)
class Duration:
    """How long the jobs of one kind took together, in seconds."""

    kind: str
    jobs: int
    seconds: float


def durations(folder: Path) -> list[Duration]:
    """Times from Snakemake's benchmark files below ``folder``, by subfolder, longest first.

    A file directly in ``folder`` counts under its own name. No folder, no times.
    """
    totals: dict[str, tuple[int, float]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) < 2 or not lines[0].startswith("s\t"):
            continue
        within = path.relative_to(folder)
        kind = within.parts[0] if len(within.parts) > 1 else within.stem
        jobs, seconds = totals.get(kind, (0, 0.0))
        totals[kind] = (jobs + 1, seconds + float(lines[-1].split("\t")[0]))
    found = [Duration(kind, *total) for kind, total in totals.items()]
    return sorted(found, key=lambda d: -d.seconds)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _files(console: Console, heading: str, paths: Sequence[Path]) -> None:
    if paths:
        console.print(f"\n{heading}", style="bold", highlight=False)
        for path in paths:
            console.print(f"  {path}", highlight=False, soft_wrap=True)


def show(
    console: Console,
    study: str,
    tables: Sequence[Path],
    figures: Sequence[Path],
    report: Path | None,
    times: Sequence[Duration],
) -> None:
    """Print the tables, then the paths and times; raises UserError where a file is missing."""
    for path in [*figures, *([report] if report else [])]:
        if not path.exists():
            raise UserError(f"{path} does not exist; make it with `snakemake {path}`")
    plain = not console.is_terminal
    console.print(f"Study {study}", style="bold", highlight=False)
    for path in (path for path in tables if path.stem not in IN_FILES):
        console.print()
        console.print(rich_table(from_csv(path), console.width, plain))
    _files(console, "Tables (also .md and .tex)", tables)
    _files(console, "Figures", figures)
    _files(console, "Report", [report] if report else [])
    if times:
        total = sum(d.seconds for d in times)
        console.print(f"\nTime spent, all jobs: {_clock(total)}", style="bold", highlight=False)
        for duration in times[:6]:
            jobs = f"{duration.jobs} job{'s' if duration.jobs > 1 else ''}"
            console.print(f"  {duration.kind}: {_clock(duration.seconds)} ({jobs})", highlight=False)
