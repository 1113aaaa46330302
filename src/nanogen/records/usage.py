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

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def used() -> Usage:
    """What this process and its children that have ended used since it started."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Usage(
        round(own.ru_utime + children.ru_utime, 2),
        round(own.ru_stime + children.ru_stime, 2),
        max(own.ru_maxrss, children.ru_maxrss) * _UNIT,
    )
