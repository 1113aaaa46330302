"""A training that is asked to stop, or whose time runs out, saves first."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import Any

CANCELLED = 130  # somebody stops it; as shells say of SIGINT
OUT_OF_TIME = 75  # EX_TEMPFAIL of sysexits.h: the same command is to be started again
CODES = {signal.SIGINT: CANCELLED, signal.SIGTERM: CANCELLED, signal.SIGUSR1: OUT_OF_TIME}
RESERVE = 120.0  # seconds to save and to end in


class Interrupted(KeyboardInterrupt):
    """Training stopped after a step; its state is saved and the same command continues it.

    Args:
        code: exit code of the program, `CANCELLED` or `OUT_OF_TIME`.
    """

    def __init__(self, step: int, steps: int, code: int):
        why = "out of time: " if code == OUT_OF_TIME else ""
        super().__init__(f"{why}stopped after step {step} of {steps}; the same command continues")
        self.code = code


def end_of_job() -> float | None:
    """UNIX time at which SLURM ends this job; None where it does not say."""
    told = os.environ.get("SLURM_JOB_END_TIME", "")
    return float(told) if told.isdecimal() and int(told) else None


class Deadline:
    """Tells when too little time is left to go on until the next look.

    From one look to the next it may take as long as it ever did: evaluations, checkpoints and
    compilation come between some of them.
    """

    def __init__(self, at: float | None, began: float):
        """``at``: UNIX time, None for no deadline; ``began``: that of the first interval."""
        self.at, self.last, self.longest = at, began, 0.0

    def near(self, now: float) -> bool:
        """Look at the UNIX time ``now``."""
        self.longest, self.last = max(self.longest, now - self.last), now
        return self.at is not None and now + self.longest + RESERVE >= self.at


class StopRequest:
    """Notes SIGINT, SIGTERM and SIGUSR1 and watches the deadline, so that the loop saves before it ends.

    Args:
        deadline: UNIX time at which the process must have ended; None: no deadline.
    """

    def __init__(self, deadline: float | None = None):
        self.deadline, self.noted = Deadline(deadline, time.time()), 0
        for number in CODES:
            with suppress(ValueError):  # not in the main thread: nothing to catch
                signal.signal(number, self._note)

    def _note(self, number: int, _: Any) -> None:
        self.noted = max(self.noted, CODES[signal.Signals(number)])

    def code(self) -> int:
        """0 to go on, else the exit code to stop with; asked once at every place to stop."""
        return max(self.noted, OUT_OF_TIME if self.deadline.near(time.time()) else 0)
