"""Stand-ins for SLURM's commands: `sbatch` records its arguments, `squeue` reports jobs as completed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from working_copy import ENVIRONMENT, WorkingCopy

STAND_IN = """#!/bin/sh
case "${0##*/}" in
  sbatch) printf '%s\\0' "$@" > "$LINES_FOLDER/$$"; echo $$ ;;
  squeue) for file in "$LINES_FOLDER"/*; do echo "${file##*/}|COMPLETED"; done ;;
  sinfo) case "$*" in *--all*) echo "$PARTITIONS" ;; esac ;;  # without it hidden ones are left out
  sacctmgr) echo research ;;
  scontrol) printf 'MinJobAge = 300 sec\\nMaxArraySize = 1001\\n' ;;
esac
"""
COMMANDS = ("sbatch", "squeue", "sinfo", "sacctmgr", "scontrol", "sacct", "sshare", "scancel")


class Recorder:
    """Stand-ins for SLURM's commands, and the jobs submitted to them."""

    def __init__(self, folder: Path):
        self.lines, self.programs = folder / "lines", folder / "bin"
        self.lines.mkdir()
        self.programs.mkdir()
        for name in COMMANDS:
            (self.programs / name).write_text(STAND_IN)
            (self.programs / name).chmod(0o755)

    def snakemake(self, copy: WorkingCopy, *arguments: str, partitions: str = "gpu"):
        path = f"{self.programs}:{ENVIRONMENT['PATH']}"
        told = {"PATH": path, "LINES_FOLDER": str(self.lines), "PARTITIONS": partitions}
        return subprocess.run(
            copy.command("--profile", "slurm", *arguments),
            cwd=copy.folder,
            env=ENVIRONMENT | told,
            capture_output=True,
            text=True,
        )

    def submitted(self) -> Iterator[tuple[str, list[str]]]:
        """Yield (rule, options) of each submitted job, without the command that it runs."""
        for file in sorted(self.lines.iterdir(), key=lambda file: file.stat().st_mtime_ns):
            words = file.read_text().split("\0")[:-1]
            rule = re.fullmatch(r"rule_(.+?)(_wildcards_.*)?", words[words.index("--comment") + 1])
            yield rule[1], [word for word in words if not word.startswith("--wrap=")]
