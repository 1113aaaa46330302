"""A working copy of the repository, and dry runs (`snakemake -n`) parsed into jobs."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "rules", "config", "profiles", "gpu", "slurm", "envs", "src")
# The copy's steps start `python` and import nanogen from the copy.
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": "",
    "OMP_NUM_THREADS": "1",
}
# Dry runs are forked from a process that has imported Snakemake, which saves half of their time.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["snakemake.cli", "pytest"])


@dataclass(frozen=True)
class Job:
    """One job of a dry run."""

    rule: str
    wildcards: dict[str, str] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def __getitem__(self, wildcard: str) -> str | None:
        return self.wildcards.get(wildcard)


@dataclass(frozen=True)
class Outcome:
    """Exit code of a Snakemake run, and its output on both streams."""

    code: int
    text: str

    @property
    def jobs(self) -> list[Job]:
        """The jobs of a dry run, without targets such as ``all``."""
        blocks = re.split(r"^(?:local)?rule (\w+):\n", self.text, flags=re.MULTILINE)[1:]
        found = [_job(*pair) for pair in zip(blocks[::2], blocks[1::2], strict=True)]
        return [job for job in found if job.outputs]

    @property
    def rules(self) -> Counter[str]:
        """Number of planned jobs per rule."""
        return Counter(job.rule for job in self.jobs)

    def of(self, *rules: str) -> list[Job]:
        return [job for job in self.jobs if job.rule in rules]


def _job(rule: str, block: str) -> Job:
    lines = re.findall(r"^    (\w+): (.*)$", block, flags=re.MULTILINE)
    values = {key: value.split(", ") for key, value in reversed(lines)}
    wildcards = dict(pair.split("=", 1) for pair in values.get("wildcards", []))
    return Job(rule, wildcards, values.get("input", []), values.get("output", []))


def _snakemake(arguments: Sequence[str], folder: Path, streams: Sequence[Path]) -> None:
    """Run `snakemake` in ``folder`` with stdout and stderr redirected to ``streams``."""
    for descriptor, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.update(ENVIRONMENT)
    os.chdir(folder)
    from snakemake.cli import main

    sys.argv = ["snakemake", *arguments]
    main(arguments)


class WorkingCopy:
    """The files of the workflow, copied to the test's own folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in PARTS:
            source = ROOT / name
            if source.is_symlink():
                (folder / name).symlink_to(os.readlink(source))
            elif source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / name)

    def __truediv__(self, path: str) -> Path:
        return self.folder / path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", *arguments]

    def snakemake(self, *arguments: str) -> Outcome:
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True
        )
        return Outcome(done.returncode, done.stdout + done.stderr)

    def started(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake in its own process group, with both streams in ``stdout``."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def dry_run(self, *arguments: str) -> Outcome:
        """Run `snakemake -n` with these arguments."""
        with TemporaryDirectory() as folder:
            streams = [Path(folder, name) for name in ("out", "err")]
            process = FORKS.Process(target=_snakemake, args=(["-n", *arguments], self.folder, streams))
            process.start()
            process.join()
            return Outcome(process.exitcode, "".join(path.read_text() for path in streams))

    def plan(self, *arguments: str) -> Outcome:
        """Run `snakemake -n`; fail the test if Snakemake refuses."""
        outcome = self.dry_run(*arguments)
        assert outcome.code == 0, outcome.text[-3000:]
        return outcome
