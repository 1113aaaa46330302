"""Assignment of this machine's GPUs to jobs.

Snakemake knows how many GPUs a job needs (resource ``devices`` of the profile `gpu`), but not which are
free. A command therefore takes its GPUs itself before it does anything else. It locks one file per
device for as long as it runs, which also works against a second Snakemake on the same machine. The
operating system releases the locks however the command ends.
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

SWITCH = (
    "NANOGEN_DEVICES"  # the devices to share, e.g. 0,1,2,3; if it is set, commands take theirs from it
)
VISIBLE = "CUDA_VISIBLE_DEVICES"
# Commands that run networks, each on one device. `launch` takes one device per process.
ON_ONE = frozenset(
    {
        *("build-model", "encode-latents", "encode-features", "encode-text", "reference"),
        *("caption-reference", "reconstruct", "score-samples", "train", "sample"),
        *("train-tokenizer", "tune-tokenizer"),
    }
)
PAUSE = 0.2  # seconds between two searches for free devices
_held: list[int] = []  # descriptors of the locks of this process


def counted() -> list[str]:
    """Return the usable devices: those that `SWITCH` or `VISIBLE` names, or else all of this machine."""
    for name in (SWITCH, VISIBLE):
        if (named := os.environ.get(name)) is not None:
            return [device.strip() for device in named.split(",") if device.strip()]
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in Path("/dev").glob("nvidia*"))
    return [str(number) for number in range(sum(1 for device in found if device))]


def needed(command: Sequence[str]) -> int:
    """Return the number of devices that a command of `nanogen` runs on."""
    if command[:1] == ["launch"]:
        options = command[: command.index("--")] if "--" in command else command
        return int(options[options.index("--processes") + 1]) if "--processes" in options else 1
    return int(bool(command) and command[0] in ON_ONE)


def take(command: Sequence[str]) -> list[str]:
    """Wait until the devices that a command needs are free, and make only these visible to this process.

    Child processes see the same devices and take none themselves. Without `SWITCH` nothing is taken, and
    all devices are visible. Raises UserError if the machine has too few.
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
    """Lock ``count`` of the devices, all or none: a process that holds some never waits for others."""
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
