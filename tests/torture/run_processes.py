"""All processes of one Snakemake run, and the rule that each of them works for."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

MARK = "NANOGEN_RUN_OF"  # in the environment of the run, which all of its processes inherit
LOG = re.compile(r"results/[^ ]*?/logs/(\w+)")
PARENT, STARTED, TIMES = 1, 19, range(11, 15)  # fields of /proc/PROCESS/stat after the name


@dataclass(frozen=True)
class Running:
    """A process of the run.

    Attributes:
        kind: Its role in the run: Snakemake, shell, tee, command, fork, worker, ...
        rule: The rule that it works for; empty if it belongs to the whole run.
        seconds: Time since it was started.
    """

    number: int
    kind: str
    rule: str
    seconds: float

    def kill(self, mark: str) -> bool:
        """Send SIGKILL and return whether the process still existed; a reused id is not killed."""
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
    """Return every process whose environment has ``MARK=mark``, in the order of their ids."""
    numbers = sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    own = [number for number in numbers if number != os.getpid() and _is_of(number, mark)]
    commands = {number: words for number in own if (words := _command(number))}
    kinds = {number: _kind(number, words, commands) for number, words in commands.items()}
    logs = {_stream(n, 0): _rule(words) for n, words in commands.items() if kinds[n] == "tee"}

    def rule(number: int) -> str:
        """Rule of the log that it writes to or, if nobody reads that any more, of the shell above it."""
        if kinds[number] in ("shell", "tee"):
            return _rule(commands[number])
        found, above = logs.get(_stream(number, 2), ""), _stat(number, PARENT)
        return found or (rule(above) if above in kinds else "")

    return [Running(number, kind, rule(number), _age(number)) for number, kind in kinds.items()]


def processor_seconds(mark: str) -> float:
    """Return the processor seconds used by a run's processes and by their children that have ended."""
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    ticks = [sum(_stat(n, place) for place in TIMES) for n in numbers if _is_of(n, mark)]
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


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
    """Return the kernel's name of the pipe that a process has open there; each job has its own pipe."""
    try:
        target = os.readlink(f"/proc/{number}/fd/{descriptor}")
    except OSError:
        return ""
    return target if target.startswith("pipe:") else ""


def _stat(number: int, place: int) -> int:
    """Return a field of /proc/PROCESS/stat, counted after the name; 0 if the process has ended."""
    try:
        return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[place])
    except OSError:
        return 0


def _age(number: int) -> float:
    started = _stat(number, STARTED) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def _rule(words: str) -> str:
    found = LOG.search(words)
    return found[1] if found else ""


def _kind(number: int, words: str, commands: dict[int, str]) -> str:
    """Return the kind of a process, judged by its command and its parent's."""
    name, above = Path(words.split(" ")[0]).name, commands.get(_stat(number, PARENT), "")
    if name in ("bash", "sh"):
        return "shell"
    if "-m nanogen.fork_server" in words:
        return "fork" if "-m nanogen.fork_server" in above else "fork server"
    if "-m nanogen" in words:
        return "command" if "bash -c" in above else "worker"
    return "Snakemake" if "-m snakemake" in words else name
