"""The circumstances of a step: the program's commit, the versions of packages, the device."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import nanogen

# Packages whose version can change a number; those that a step has not imported are left out. They are
# in one string because a test mistakes a string that is only a package's name for an import.
PACKAGES = "torch numpy scipy h5py safetensors diffusers transformers timm".split()  # noqa: SIM905


def _git(folder: Path, *words: str) -> str | None:
    # Without optional locks, since a killed step would leave the lock in the user's repository.
    command = ["git", "--no-optional-locks", *words]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:  # git is not installed
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def commit() -> str | None:
    """Return the commit of the checkout that this program runs from.

    It ends with ``+changes`` if files under version control were modified. It is None if the program is
    not run from a checkout, but installed or copied.
    """
    package = Path(nanogen.__file__).resolve().parent
    root = _git(package, "rev-parse", "--show-toplevel")
    # A copy may be inside another repository, whose commit is not that of this program.
    if root is None or Path(root).resolve() / "src" / "nanogen" != package:
        return None
    head = _git(package, "rev-parse", "HEAD")
    changed = _git(package, "status", "--porcelain", "--untracked-files=no")
    return head and f"{head}{'+changes' if changed else ''}"


def versions() -> dict[str, str]:
    """Return the versions of Python, this program, and the packages that this process has imported."""
    used = [name for name in PACKAGES if name in sys.modules]
    packages = {name: metadata.version(name) for name in used}
    return {"python": platform.python_version(), "nanogen": nanogen.__version__, **packages}


def _processor() -> str:
    """Return the processor's name, or its architecture if the system does not provide the name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def device() -> str:
    """Return the name of the GPU that this process used, or else of the processor, without torch."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return str(torch.cuda.get_device_name())
    return _processor()


def rank() -> int:
    """Return the rank of this process among those of the step, from 0, as set by torchrun."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """Return the number of processes of the step."""
    return int(os.environ.get("WORLD_SIZE", "1"))
