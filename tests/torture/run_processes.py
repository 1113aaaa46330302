"""The processes of one run of Snakemake, whoever started them, and which rule each is at work for."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

MARK = "NANOGEN_RUN_OF"  # in the environment of the run, which all of its processes inherit
LOG = re.compile(r"results/[^ ]*?/logs/(\w+)")


@dataclass(frozen=True)
class Running:
    """A process.

    Attributes:
        kind: what it is for the run: Snakemake, shell, tee, command, fork, worker, ...
        rule: that it is at work for; empty for those of the whole run.
        seconds: since it was started.
    """

    number: int
    kind: str
    rule: str
    seconds: float

    def kill(self, mark: str) -> bool:
        """SIGKILL; whether it was still there. No other process, which has its number by now, is hit."""
        try:
            handle = os.pidfd_open(self.number)
        except ProcessLookupError:
            return False
        try:
            if not _is_of(self.number, mark):
                return False
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


def running(mark: str) -> list[Running]:
    """Every process whose environment has ``MARK=mark``, in the order of their numbers."""
    numbers = sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    own = [number for number in numbers if number != os.getpid() and _is_of(number, mark)]
    commands = {number: _command(number) for number in own}
    rules = {_stream(number, 0): _rule(words) for number, words in commands.items() if _is_tee(words)}
    return [
        Running(
            number,
            _kind(number, words, commands),
            _rule(words) or rules.get(_stream(number, 2), ""),
            _age(number),
        )
        for number, words in commands.items()
        if words
    ]


def _is_of(number: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _command(number: int) -> str:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _stream(number: int, descriptor: int) -> str:
    """The pipe, by its name in the kernel, that a process has open there: of its own for each job."""
    try:
        target = os.readlink(f"/proc/{number}/fd/{descriptor}")
    except OSError:
        return ""
    return target if target.startswith("pipe:") else ""


def _stat(number: int, place: int) -> int:
    """A number of /proc/PROCESS/stat, by its place behind the name; 0 of a process that has ended."""
    try:
        return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[place])
    except OSError:
        return 0


def _age(number: int) -> float:
    started = _stat(number, 19) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def _is_tee(words: str) -> bool:
    return words.startswith("tee ")


def _rule(words: str) -> str:
    found = LOG.search(words) if "/logs/" in words and (_is_tee(words) or "bash" in words) else None
    return found[1] if found else ""


def _kind(number: int, words: str, commands: dict[int, str]) -> str:
    """By its command and its parent's."""
    above = commands.get(_stat(number, 1), "")
    if _is_tee(words):
        return "tee"
    if "-m nanogen.fork_server" in words:
        return "fork" if "-m nanogen.fork_server" in above else "fork server"
    if "-m nanogen" in words:
        return "worker" if "-m nanogen" in above else "command"
    if "-m snakemake" in words:
        return "Snakemake"
    return "shell" if "bash" in words.split(" ")[0] else Path(words.split(" ")[0]).name
