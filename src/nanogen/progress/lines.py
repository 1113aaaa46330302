"""Lines that show the progress of a run, as plain text."""

from __future__ import annotations

from datetime import datetime

from nanogen.progress.run import Job, Run
from nanogen.text import printable

NAME_WIDTH = 40  # most jobs' names are shorter


def duration(seconds: float) -> str:
    """Format a duration in whole seconds, e.g. ``9 min``, ``45 s`` or ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def status(run: Run, now: float, clock: datetime) -> str:
    """Format a run's state, e.g. ``[12:31] 61 %, about 9 min left, 34 of 96 jobs done``."""
    left = run.seconds_left(now)
    parts = [f"{100 * run.share(now):.0f} %"]
    if left is not None and run.done:
        parts.append(f"about {duration(left)} left")
    parts.append(f"{run.done} of {run.total} jobs done")
    return f"[{clock:%H:%M}] {', '.join(parts)}"


def running(job: Job, now: float) -> str:
    """Format a running job, e.g. ``train t2i jit    45 s   550/1400 steps   280 images/s``."""
    told = [f"{job.name:<{NAME_WIDTH}} {duration(now - job.began):>8}"]
    if step := job.step():
        told.append(f"{step['step']}/{step['steps']} steps")
        if step["rate"]:
            told.append(f"{float(step['rate']):.0f} images/s")
    return printable("   ".join(told))


def finished(run: Run, job: Job, seconds: float, now: float, clock: datetime) -> str:
    return printable(f"{status(run, now, clock)}: {job.name}, {duration(seconds)}")


def failed(name: str, lines: list[str], log: str | None) -> str:
    """Format a failed job: its name, the end of its log, and the path of the whole log."""
    said = [f"    {line}" for line in lines]
    where = [f"  its log: {log}"] if log else []
    return printable("\n".join([f"Failed: {name}", *said, *where]))
