"""Processes that are killed while they write, and the files that they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

SOURCE = str(Path(__file__).resolve().parents[1] / "src")
IMPORTS = "import os, shutil, signal, sys\nfrom pathlib import Path\nfrom nanogen import files, hidden\n"
KILL = "os.kill(os.getpid(), signal.SIGKILL)\n"


def killed(code: str, path: Path) -> int:
    """Run Python ``code``, which can use the Path ``path``, in a process that kills itself at the end.

    Returns the process's ID.
    """
    words = [sys.executable, "-c", f"{IMPORTS}path = Path(sys.argv[1])\n{code}\n{KILL}", str(path)]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": SOURCE}) as process:
        assert process.wait() == -signal.SIGKILL
    return process.pid


def left_by_killed(path: Path) -> Path:
    """Return the hidden folder, with a file in it, of a process killed while it wrote ``path``."""
    before = set(path.parent.iterdir())
    killed("(hidden.hidden_folder(path) / path.name).write_bytes(b'half')", path)
    (left,) = set(path.parent.iterdir()) - before
    return left
