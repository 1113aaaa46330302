"""Resources that a process has used, as counted by the system: processor time and memory."""

from __future__ import annotations

import resource
import sys
from dataclasses import asdict, dataclass

# The system counts the largest memory in KiB, but macOS in bytes.
_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Usage:
    """Processor time and memory.

    Attributes:
        user: processor time in the program, in seconds.
        system: processor time in the operating system on its behalf, in seconds.
        memory: largest memory of a single process, in bytes.
    """

    user: float
    system: float
    memory: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def used() -> Usage:
    """Return the usage of this process and of its finished children, since it started."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Usage(
        round(own.ru_utime + children.ru_utime, 2),
        round(own.ru_stime + children.ru_stime, 2),
        max(own.ru_maxrss, children.ru_maxrss) * _UNIT,
    )
