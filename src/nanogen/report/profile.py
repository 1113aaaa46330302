"""The cost of every step of a study according to its record, also summed by command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from nanogen.records import record
from nanogen.records.usage import Usage

if TYPE_CHECKING:
    from rich.table import Table

MIB = 1 << 20


@dataclass(frozen=True)
class Run:
    """One run of a command.

    Attributes:
        output: its file, relative to the study's folder; the first by name if there are several.
        began: seconds after the study's first run.
        seconds: its duration.
    """

    command: str
    output: str
    began: float
    seconds: float
    usage: Usage


@dataclass(frozen=True)
class Total:
    """The cost of all runs of a command: seconds of wall clock and processor time, largest memory."""

    command: str
    runs: int
    seconds: float
    user: float
    system: float
    memory: int

    @property
    def processor(self) -> float:
        return self.user + self.system


def runs(root: Path) -> list[Run]:
    """The runs whose outputs are below ``root``, each once, in the order in which they began.

    Outputs whose records lack processor time are left out.
    """
    found: dict[tuple[str, str], tuple[Path, dict]] = {}
    for output, noted in record.read_all(root):
        if "usage" in noted:
            found.setdefault((noted["began"], noted["command"]), (output, noted))
    listed = [found[key] for key in sorted(found)]
    times = [datetime.fromisoformat(noted["began"]) for _, noted in listed]
    return [
        Run(
            shlex.split(noted["command"])[1],
            output.relative_to(root).as_posix(),
            (time - times[0]).total_seconds(),
            noted["seconds"],
            Usage(**noted["usage"]),
        )
        for time, (output, noted) in zip(times, listed, strict=True)
    ]


def total(name: str, of: Sequence[Run]) -> Total:
    return Total(
        name,
        len(of),
        sum(run.seconds for run in of),
        sum(run.usage.user for run in of),
        sum(run.usage.system for run in of),
        max(run.usage.memory for run in of),
    )


def totals(of: Sequence[Run]) -> list[Total]:
    """One total per command, in descending order of processor time."""
    ordered = sorted(of, key=lambda run: run.command)
    found = [total(name, list(group)) for name, group in groupby(ordered, key=lambda run: run.command)]
    return sorted(found, key=lambda one: -one.processor)


def elapsed(of: Sequence[Run]) -> float:
    """Seconds from the first run's beginning to the last one's end."""
    return max(run.began + run.seconds for run in of) - min(run.began for run in of)


def by_command(of: Sequence[Run]) -> Table:
    """A table to print: a line per command, and one for all of them."""
    table = _table("command", "runs", "wall, s", "user, s", "system, s", "CPU, s", "memory, MiB")
    lines = totals(of)
    for one in [*lines, total("all", of)]:
        table.add_row(
            one.command,
            str(one.runs),
            f"{one.seconds:.1f}",
            f"{one.user:.1f}",
            f"{one.system:.1f}",
            f"{one.processor:.1f}",
            f"{one.memory / MIB:.0f}",
            end_section=one is lines[-1],
        )
    return table


def timeline(of: Sequence[Run]) -> Table:
    """A table to print: a line per run; times are relative to the beginning of the study's first run."""
    table = _table("command", "began, s", "ended, s", "CPU, s", "memory, MiB", "output")
    table.columns[-1].justify = "left"
    for run in of:
        table.add_row(
            run.command,
            f"{run.began:.1f}",
            f"{run.began + run.seconds:.1f}",
            f"{run.usage.user + run.usage.system:.1f}",
            f"{run.usage.memory / MIB:.0f}",
            run.output,
        )
    return table


def _table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return table
