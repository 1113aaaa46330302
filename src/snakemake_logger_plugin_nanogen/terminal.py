"""The lines at the bottom of a terminal, which are updated while jobs run."""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from nanogen.progress.run import Run

STANDARD_ERROR = 2


class Terminal:
    """Display that owns the terminal until it is closed.

    Jobs write to standard error what is also in their logs. This would break up the lines, so the file
    descriptor that they inherit is redirected to the null device until the terminal is closed.
    """

    def __init__(self, stream: TextIO):
        self.kept = os.dup(STANDARD_ERROR)
        self.own = os.fdopen(os.dup(stream.fileno()), "w", encoding="utf-8", errors="replace")
        self.stderr, sys.stderr = sys.stderr, self.own
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), STANDARD_ERROR)
        self.console = Console(file=self.own, force_terminal=True, highlight=False, soft_wrap=True)
        self.live: Live | None = None

    def show(self, run: Run) -> None:
        """Draw the run's state twice a second from now on."""
        self.live = Live(
            console=self.console,
            get_renderable=lambda: self.render(run),
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.live.start()

    def render(self, run: Run) -> Text:
        from nanogen.progress import lines

        now = time.monotonic()
        jobs = sorted(run.running.copy().values(), key=lambda job: job.began)
        shown = jobs[: max(self.console.height - 3, 1)]
        status = f"{lines.status(run, now, datetime.now())}, {run.waiting} waiting"
        rows = [*(f"  {lines.running(job, now)}" for job in shown), status]
        return Text("\n".join(rows), no_wrap=True, overflow="ellipsis")

    def print(self, text: str) -> None:
        self.console.print(Text(text))
        if self.live:
            self.live.refresh()

    def close(self) -> None:
        if self.live:
            self.live.stop()
        sys.stderr = self.stderr
        self.own.close()
        os.dup2(self.kept, STANDARD_ERROR)
        os.close(self.kept)
