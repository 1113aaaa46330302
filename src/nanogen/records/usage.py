"""What a process has used of the machine: processor time and memory, as the system counts it."""

from __future__ import annotations

import resource
import sys
from dataclasses import asdict, dataclass

# The system counts the largest memory in KiB, but macOS in bytes.
_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Usage:
    """Attributes:
    user: seconds of processor time in the program.
    system: seconds of processor time in the operating system for it.
    memory: the most that one process held at a time, in bytes.
    """

    user: float
    system: float
    memory: int

    def since(self, before: Usage) -> Usage:
        """The processor time after ``before``; the memory stays the largest of all."""
        return Usage(
            round(self.user - before.user, 2), round(self.system - before.system, 2), self.memory
        )

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


NONE = Usage(0.0, 0.0, 0)
_noted = NONE


def used() -> Usage:
    """What this process and its children that have ended used since it started."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Usage(
        own.ru_utime + children.ru_utime,
        own.ru_stime + children.ru_stime,
        max(own.ru_maxrss, children.ru_maxrss) * _UNIT,
    )


def used_since_last_time() -> Usage:
    """What was used since the last call, the first time since the process started: where a process runs
    several commands, each one's share, and the start is the first one's."""
    global _noted
    now = used()
    share, _noted = now.since(_noted), now
    return share
