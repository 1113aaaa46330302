"""The GPUs of this machine, and which of them a job is given.

Snakemake knows how many a job needs (resource ``devices`` of the profile `gpu`), not which are free. So
a command takes them itself before anything else: it locks one file per device for as long as it runs,
also against a second Snakemake on the machine. However it ends, the system drops its locks.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from nanogen.errors import UserError

SWITCH = "NANOGEN_DEVICES"  # which devices there are, e.g. 0,1,2,3; set, commands take theirs from them
VISIBLE = "CUDA_VISIBLE_DEVICES"
# Commands that compute with networks; what `launch` starts has as many devices as processes.
ON_ONE = frozenset(
    {
        *("build-model", "encode-latents", "encode-features", "encode-text", "reference"),
        *("caption-reference", "reconstruct", "score-samples", "train", "sample"),
        *("train-tokenizer", "tune-tokenizer"),
    }
)
PAUSE = 0.2  # seconds between two looks for free devices
_held: list[int] = []  # descriptors of the locks of this process


def counted() -> list[str]:
    """The devices that may be used: those that `SWITCH` or `VISIBLE` names, else all of this machine."""
    for name in (SWITCH, VISIBLE):
        if (named := os.environ.get(name)) is not None:
            return [device.strip() for device in named.split(",") if device.strip()]
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in Path("/dev").glob("nvidia*"))
    return [str(number) for number in range(sum(1 for device in found if device))]


def needed(command: Sequence[str]) -> int:
    """How many devices a command of `nanogen` computes on."""
    if command[:1] == ["launch"]:
        options = command[: command.index("--")] if "--" in command else command
        return int(options[options.index("--processes") + 1]) if "--processes" in options else 1
    return int(bool(command) and command[0] in ON_ONE)


def take(command: Sequence[str]) -> list[str]:
    """Wait for the free devices that a command needs, and let this process see only these.

    Those that this process starts see the same and take none. Without `SWITCH` nothing is taken, and all
    devices are visible. Raises UserError where there are too few.
    """
    if SWITCH not in os.environ:
        return []
    there, count = counted(), needed(command)
    if count > len(there):
        raise UserError(
            f"{command[0]} needs {count} GPUs, there are {len(there)}; set processes and devices of its "
            "rule in the profile to that or less"
        )
    taken = _locked(there, count)
    os.environ[VISIBLE] = ",".join(taken)
    del os.environ[SWITCH]
    return taken


def _locked(devices: Sequence[str], count: int) -> list[str]:
    """Lock ``count`` of the devices, all at once: who holds some never waits for others."""
    if not count:
        return []
    folder = Path(tempfile.gettempdir(), f"nanogen-devices-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        taken: list[str] = []
        for device in devices:
            if len(taken) < count and _lock(folder / re.sub(r"\W", "_", device)):
                taken.append(device)
        if len(taken) == count:
            return taken
        while _held:
            os.close(_held.pop())
        time.sleep(PAUSE)


def _lock(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    return True
