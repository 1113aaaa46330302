"""Save a training before it stops on a signal or because its time runs out."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

CANCELLED = 130  # stopped by a user; the exit code of shells after SIGINT
OUT_OF_TIME = 75  # EX_TEMPFAIL of sysexits.h: start the same command again
CODES = {signal.SIGINT: CANCELLED, signal.SIGTERM: CANCELLED, signal.SIGUSR1: OUT_OF_TIME}
LAUNCHER = "NANOGEN_LAUNCHER"  # environment variable: the process ID of a worker's launcher
_PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>
RESERVE = 120.0  # seconds for saving and ending


class Interrupted(KeyboardInterrupt):
    """Training stopped after a step; its state is saved and the same command continues it.

    Args:
        code: exit code of the program, `CANCELLED` or `OUT_OF_TIME`.
    """

    def __init__(self, step: int, steps: int, code: int):
        why = "out of time: " if code == OUT_OF_TIME else ""
        super().__init__(f"{why}stopped after step {step} of {steps}; the same command continues")
        self.code = code


def stop_with_launcher() -> None:
    """Have the system send SIGTERM to this worker when its launcher is killed.

    Otherwise workers would continue, invisible to Snakemake, or wait for minutes for the launcher's
    store. Does nothing without a launcher or on systems other than Linux.
    """
    launcher = os.environ.get(LAUNCHER)
    if launcher is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(launcher):  # it was killed earlier
        os.kill(os.getpid(), signal.SIGTERM)


def end_of_job() -> float | None:
    """Return the UNIX time at which SLURM ends this job; None if it is unknown."""
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    return float(end) if end.isdecimal() and int(end) else None


class Deadline:
    """Decide whether too little time is left to continue until the next check.

    The next interval between checks is assumed to be as long as the longest so far, since some contain
    evaluations, checkpoints or compilation.
    """

    def __init__(self, at: float | None, began: float):
        """``at`` (None for no deadline) and ``began``, when the first interval began, are UNIX times."""
        self.at, self.last, self.longest = at, began, 0.0

    def near(self, now: float) -> bool:
        """Whether to stop at the UNIX time ``now``."""
        self.longest, self.last = max(self.longest, now - self.last), now
        return self.at is not None and now + self.longest + RESERVE >= self.at


class StopRequest:
    """Record SIGINT, SIGTERM and SIGUSR1 and watch the deadline, so that the loop can save and end.

    Args:
        deadline: UNIX time by which the process must have ended; None for no deadline.
    """

    def __init__(self, deadline: float | None = None):
        self.deadline, self.noted = Deadline(deadline, time.time()), 0
        for number in CODES:
            with suppress(ValueError):  # only the main thread can set signal handlers
                signal.signal(number, self._note)

    def _note(self, number: int, _: Any) -> None:
        self.noted = max(self.noted, CODES[signal.Signals(number)])

    def code(self) -> int:
        """Return 0 to continue, otherwise the exit code. Call it once wherever the loop may stop."""
        return max(self.noted, OUT_OF_TIME if self.deadline.near(time.time()) else 0)
