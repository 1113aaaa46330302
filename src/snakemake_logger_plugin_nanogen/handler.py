"""Show Snakemake's log records as progress: updated lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from copy import copy
from datetime import datetime
from logging import LogRecord
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, TextIO

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

if TYPE_CHECKING:
    from nanogen.progress.run import Run
    from snakemake_logger_plugin_nanogen.terminal import Terminal

ERROR_LINES = 4  # lines shown of a failed job's log
USUAL = (
    "Assuming unrestricted shared filesystem usage",
    "Building DAG of jobs",
    "Conda environments: ignored",
    "Config file ",
    "Elapsed time:",
    "Select jobs to execute",
    "Using shell:",
)
# A user's mistake: the name of its exception in rules/common.smk, and patterns of Snakemake's message if
# it is raised while the rules are read, or inside an input function.
MISTAKE = "Mistake"
PLACES = re.compile(
    rf'^({MISTAKE} in file ".*", line \d+:\n|  File ".*", line \d+, in .*\n?)', re.MULTILINE
)
INSIDE = re.compile(rf"^  {MISTAKE}:\n(.*?)(?:\nWildcards:|\Z)", re.MULTILINE | re.DOTALL)
STOPPING = "Terminating processes on user request"


class LogHandler(LogHandlerBase):
    """Handler that shows a run's progress; other records, and dry runs, are shown as by Snakemake."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        settings = self.common_settings
        quiet = {str(kind) for kind in settings.quiet or ()}
        self.shown = not settings.dryrun and not quiet & {"all", "progress"}
        self.stream: TextIO = sys.stdout if settings.stdout else sys.stderr
        self.run: Run | None = None
        self.terminal: Terminal | None = None
        self.stopping = False  # by the user
        if self.shown and self.stream.isatty() and os.environ.get("TERM") != "dumb":
            from snakemake_logger_plugin_nanogen.terminal import Terminal

            self.terminal = Terminal(self.stream)

    def filter(self, record: LogRecord) -> bool:
        """Let records of jobs always pass: they are counted even if they are not shown."""
        return self._event(record) in EVENTS or bool(super().filter(record))

    def format(self, record: LogRecord) -> str:
        """Format a record as Snakemake does, but a user's mistake without its place in the rules."""
        message = record.getMessage()
        inside = INSIDE.search(message)
        if inside or getattr(record, "exception", None) == MISTAKE:
            record = copy(record)
            record.msg, record.args = (
                dedent(inside[1]) if inside else PLACES.sub("", message).rstrip(),
                (),
            )
        return str(super().format(record))

    def emit(self, record: LogRecord) -> None:
        told = EVENTS.get(self._event(record), LogHandler.other)
        try:
            text = told(self, record)
            if text and text != "None":
                self._write(text)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        if self.terminal:
            self.terminal.close()
            self.terminal = None
        if self.run and self.run.done:
            from nanogen.progress import durations

            durations.write_durations(self.run.means())
            self.run = None
        super().close()

    def _event(self, record: LogRecord) -> LogEvent | None:
        return None if self.common_settings.dryrun else getattr(record, "event", None)

    def _write(self, text: str) -> None:
        if self.terminal:
            self.terminal.print(text)
        else:
            self.stream.write(text + "\n")
            self.stream.flush()

    # One method per kind of record, which returns the text to show. `record` has the event's attributes.

    def begin(self, record: LogRecord) -> str | None:
        from nanogen.progress import durations
        from nanogen.progress.run import Run

        jobs = Counter(record.__dict__["stats"])
        jobs.pop("total", None)
        if self.run:  # Snakemake repeats it at the end
            return None
        self.run = Run(jobs, durations.read_durations(), time.monotonic())
        if not self.shown:
            return None
        if self.terminal:
            self.terminal.show(self.run)
        return f"{self.run.total} jobs: " + ", ".join(
            f"{rule} {count}" if count > 1 else rule for rule, count in jobs.items()
        )

    def start(self, record: LogRecord) -> None:
        from nanogen.progress.run import Job

        if self.run:
            facts = record.__dict__
            values = [str(value) for value in facts["wildcards"].values() if value]
            log = Path(facts["log"][0]) if facts["log"] else None
            name = " ".join([facts["rule_name"], *values])
            self.run.start(facts["jobid"], Job(facts["rule_name"], name, log, time.monotonic()))

    def finish(self, record: LogRecord) -> str | None:
        from nanogen.progress import lines

        now = time.monotonic()
        ended = self.run and self.run.finish(record.__dict__["job_id"], now)
        if not (self.run and ended and self.shown):
            return None
        return lines.finished(self.run, *ended, now, datetime.now())

    def fail(self, record: LogRecord) -> str | None:
        from nanogen.progress import lines

        job = self.run.drop(record.__dict__["jobid"]) if self.run else None
        if job is None:  # Snakemake repeats it at the end
            return None
        if self.stopping:
            return f"Stopped: {job.name}"
        return lines.failed(job.name, job.said(ERROR_LINES), str(job.log) if job.log else None)

    def error(self, record: LogRecord) -> str | None:
        """Show an error. A failed command is not repeated: `fail` shows it with the end of its log."""
        return None if "CalledProcessError" in record.getMessage() else self.format(record)

    def other(self, record: LogRecord) -> str | None:
        """Show every other record, except those of Snakemake's preparations."""
        self.stopping |= record.getMessage().startswith(STOPPING)
        usual = record.levelno == logging.INFO and not self.common_settings.dryrun
        return None if usual and record.getMessage().startswith(USUAL) else self.format(record)

    def silence(self, record: LogRecord) -> None:
        """Ignore a record whose content other records show better."""


EVENTS: dict[LogEvent | None, Callable[[LogHandler, LogRecord], str | None]] = {
    LogEvent.RUN_INFO: LogHandler.begin,
    LogEvent.JOB_INFO: LogHandler.start,
    LogEvent.JOB_FINISHED: LogHandler.finish,
    LogEvent.JOB_ERROR: LogHandler.fail,
    LogEvent.ERROR: LogHandler.error,
    LogEvent.WORKFLOW_STARTED: LogHandler.silence,
    LogEvent.PROGRESS: LogHandler.silence,
    LogEvent.JOB_STARTED: LogHandler.silence,
    LogEvent.RESOURCES_INFO: LogHandler.silence,
}
