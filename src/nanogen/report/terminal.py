"""The summary of a finished study in the terminal: what to look at first, tables, files and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nanogen.report import noise, profile
from nanogen.report.artefacts import FIGURES, TABLES
from nanogen.report.columns import Column, cell, columns
from nanogen.report.first_look import FIGURES as FIRST_FIGURES
from nanogen.report.first_look import TABLES as FIRST_TABLES
from nanogen.report.rows import Row, read_rows
from nanogen.report.table import Table, marks

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

IN_FILES = ("correlations", "sensitivity", "influence", "regimes")  # too long for a terminal
# Prefixes of columns that are dropped in a narrow terminal, in this order; all other columns stay.
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
    "color_attr",
    "position",
    "counting",
    "two_object",
    "tag_mean",
    "accuracy_",
    "accuracy",
    "fid_untrained",
    "methods",
    "latent",
    "channels",
    "colors",
    "single_object",
    "simpleeval_",
    "chance_",
    "simpleeval",
    "genai_bench",
    "dpg_bench",
    "chance",
)
PLAIN_WIDTH = 150  # line width if the output is a file


def from_csv(path: Path) -> Table:
    """Read a table from its CSV file; raises UserError if it is missing or empty."""
    rows = read_rows(path, needs=["tokenizer" if path.stem == "tokenizers" else "name"])
    keys = [key for key in rows[0] if key != "family"]
    shown = columns(keys)
    if path.stem == "claims":
        shown = [replace(c, heading="Claim") if c.key == "name" else c for c in shown]
    known = TABLES.get(path.stem)
    return Table(path.stem, known.title if known else path.stem, shown, rows)


def _width(column: Column, rows: Iterable[Row]) -> int:
    return max(len(column.title), *(len(cell(column, row)) for row in rows)) + 3


def fitting(table: Table, width: int) -> list[Column]:
    """Return the columns that fit into ``width`` characters; the least important ones are dropped."""
    kept = list(table.columns)
    for expendable in _EXPENDABLE:
        for column in [c for c in reversed(kept) if c.key.startswith(expendable)]:
            if sum(_width(c, table.rows) for c in kept) + 1 <= width:
                return kept
            kept.remove(column)
    return kept


def rich_table(table: Table, width: int, plain: bool) -> RichTable:
    """Return a table to print; columns that do not fit into ``width`` characters are dropped."""
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
        drawn.add_row(*(Text(cell(c, row), style=styles[marked.get((index, c.key))]) for c in shown))
    return drawn


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _files(console: Console, heading: str, paths: Sequence[Path | str]) -> None:
    if paths:
        console.print(f"\n{heading}", style="bold", highlight=False)
        for path in paths:
            console.print(f"  {path}", highlight=False, markup=False, soft_wrap=True)


def _first_look(console: Console, figures: Sequence[Path]) -> None:
    """Print the paths of the most informative figures, each with a description."""
    for name in FIRST_FIGURES:
        for path in (path for path in figures if path.stem == name and path.parent.name == "figures"):
            console.print(
                f"  {path}  {FIGURES[name].title}", highlight=False, markup=False, soft_wrap=True
            )


def _by_folder(paths: Sequence[Path]) -> list[str]:
    """Return the paths of a study's own figures, and for each other folder its number of files."""
    own = [str(path) for path in paths if path.parent.name == "figures"]
    folders = Counter(path.parent for path in paths if path.parent.name != "figures")
    return [*own, *(f"{folder}/ ({count} files)" for folder, count in sorted(folders.items()))]


def show(
    console: Console,
    study: str,
    tables: Sequence[Path],
    figures: Sequence[Path],
    pages: Sequence[Path],
    runs: Sequence[profile.Run],
) -> None:
    """Print all tables, the paths of all files, and the time of each kind of step."""
    console.print(f"Study {study}", style="bold", highlight=False)
    _first_look(console, figures)
    _tables(console, tables)
    _files(console, "Tables (also .md, .tex and .html)", tables)
    _files(console, "Figures", _by_folder(figures))
    _files(console, "Pages, for a browser", pages)
    if runs:
        console.print(f"\nTime spent, all jobs: {_time(runs)}", style="bold", highlight=False)
        for one in sorted(profile.totals(runs), key=lambda one: -one.seconds)[:6]:
            jobs = f"{one.runs} job{'s' if one.runs > 1 else ''}"
            console.print(f"  {one.command}: {_clock(one.seconds)} ({jobs})", highlight=False)


def show_briefly(
    console: Console,
    study: str,
    tables: Sequence[Path],
    figures: Sequence[Path],
    pages: Sequence[Path],
    runs: Sequence[profile.Run],
) -> None:
    """Print the main tables, what to look at first, and how to see the rest."""
    spent = f"; all jobs together took {_time(runs)}" if runs else ""
    console.print(f"Study {study}{spent}", style="bold", highlight=False)
    _tables(console, [path for path in tables if path.stem in FIRST_TABLES])
    console.print("\nLook at", style="bold", highlight=False)
    _first_look(console, figures)
    for page in pages:
        console.print(f"  {page}", highlight=False, markup=False, soft_wrap=True)
    rest = f"nanogen summary --study {study} --all"
    console.print(
        f"\n{rest} prints the other tables, all files and the time of each step", highlight=False
    )


def _tables(console: Console, paths: Sequence[Path]) -> None:
    for path in (path for path in paths if path.stem not in IN_FILES):
        table = from_csv(path)
        console.print()
        console.print(rich_table(table, console.width, plain=not console.is_terminal))
        if noise.is_at_chance(table.rows):
            console.print(f"{noise.AT_CHANCE}.", style="bold", highlight=False)
        if told := noise.sentence(table.rows):
            console.print(told, highlight=False)


def _time(runs: Sequence[profile.Run]) -> str:
    return _clock(profile.total("all", runs).seconds)
