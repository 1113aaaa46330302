"""Progress of a run: the jobs that are running, the share that is done, the time that is left.

Times are those of `time.monotonic`, in seconds.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from nanogen.progress.durations import UNKNOWN

STEP = re.compile(r"step (?P<step>\d+)(?:/| of )(?P<steps>\d+), (?:.*?(?P<rate>[\d.]+) images/s)?")
TAIL = 4096  # bytes at the end of a log that are searched for its last lines
ALMOST = 0.95  # largest share that is shown for a job that still runs


@dataclass(frozen=True)
class Job:
    """A running job. ``name`` is its rule with its wildcards; ``log`` is the file that it writes to."""

    rule: str
    name: str
    log: Path | None
    began: float

    def last_lines(self, count: int = 1) -> list[str]:
        """The last ``count`` lines of the log that are not empty; none if there is no log yet."""
        if self.log is None:
            return []
        try:
            with open(self.log, "rb") as file:
                file.seek(-min(TAIL, os.fstat(file.fileno()).st_size), os.SEEK_END)
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return []
        return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]

    def said(self, count: int) -> list[str]:
        """The last lines of the log without those that only report a training step."""
        return [line for line in self.last_lines(5 * count) if not STEP.search(line)][-count:]

    def step(self) -> re.Match[str] | None:
        """The latest line of a training's log that reports its step."""
        found = (STEP.search(line) for line in reversed(self.last_lines(20)))
        return next((line for line in found if line), None)

    def share(self, now: float, expected: float) -> float:
        """Share that is done, from 0 to 1: by the job's steps, else by the time that such jobs take."""
        step = self.step()
        if step:
            return min(int(step["step"]) / max(int(step["steps"]), 1), ALMOST)
        return min((now - self.began) / max(expected, 1e-9), ALMOST)


@dataclass
class Run:
    """All jobs of a run.

    Args:
        jobs: number of jobs of each rule.
        typical: typical seconds of a job, by rule.
    """

    jobs: Counter[str]
    typical: Mapping[str, float]
    began: float
    running: dict[int, Job] = field(default_factory=dict)
    took: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def total(self) -> int:
        return self.jobs.total()

    @property
    def done(self) -> int:
        return sum(map(len, self.took.values()))

    @property
    def waiting(self) -> int:
        return max(self.total - self.done - len(self.running), 0)

    def start(self, number: int, job: Job) -> None:
        self.running[number] = job

    def finish(self, number: int, now: float) -> tuple[Job, float] | None:
        """Return the job that ended and its seconds; None if its start was not recorded."""
        job = self.running.pop(number, None)
        if job is None:
            return None
        self.took[job.rule].append(now - job.began)
        return job, now - job.began

    def drop(self, number: int) -> Job | None:
        """Remove a job that failed from the running jobs; it may start again."""
        return self.running.pop(number, None)

    def expected(self, rule: str) -> float:
        """Expected seconds of a job: the mean in this run, or else the typical duration."""
        return mean(self.took[rule]) if self.took.get(rule) else self.typical.get(rule, UNKNOWN)

    def work(self, now: float) -> tuple[float, float]:
        """Return (done, left) in seconds, summed over jobs."""
        done = sum(map(sum, self.took.values()))
        left = sum(
            self.expected(rule) * max(count - len(self.took.get(rule, ())), 0)
            for rule, count in self.jobs.items()
        )
        for job in self.running.values():
            expected = self.expected(job.rule)
            part = expected * job.share(now, expected)
            done, left = done + part, left - part
        return done, max(left, 0.0)

    def share(self, now: float) -> float:
        done, left = self.work(now)
        return done / (done + left) if done + left else 1.0

    def seconds_left(self, now: float) -> float | None:
        """Estimate the time that is left at the pace so far; None if nothing is done yet."""
        done, left = self.work(now)
        return left * (now - self.began) / done if done else None

    def means(self) -> dict[str, float]:
        """Mean seconds of the rules that ran."""
        return {rule: mean(seconds) for rule, seconds in self.took.items() if seconds}
