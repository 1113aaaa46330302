"""A working copy of the repository, and plans of the graph (`snakemake -n`) read back as jobs."""

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
# Plans are made in processes forked from one that has imported Snakemake: half of a plan's time.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["snakemake.cli", "pytest"])


@dataclass(frozen=True)
class Job:
    """One job of a plan."""

    rule: str
    wildcards: dict[str, str] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def __getitem__(self, wildcard: str) -> str | None:
        return self.wildcards.get(wildcard)


@dataclass(frozen=True)
class Outcome:
    """How a run of Snakemake ended; ``text`` is what it said on both streams."""

    code: int
    text: str

    @property
    def jobs(self) -> list[Job]:
        """The jobs of a dry run, targets such as ``all`` left out."""
        blocks = re.split(r"^(?:local)?rule (\w+):\n", self.text, flags=re.MULTILINE)[1:]
        found = [_job(*pair) for pair in zip(blocks[::2], blocks[1::2], strict=True)]
        return [job for job in found if job.outputs]

    @property
    def rules(self) -> Counter[str]:
        """How many jobs of each rule are planned."""
        return Counter(job.rule for job in self.jobs)

    def of(self, *rules: str) -> list[Job]:
        return [job for job in self.jobs if job.rule in rules]


def _job(rule: str, block: str) -> Job:
    lines = re.findall(r"^    (\w+): (.*)$", block, flags=re.MULTILINE)
    values = {key: value.split(", ") for key, value in reversed(lines)}
    wildcards = dict(pair.split("=", 1) for pair in values.get("wildcards", []))
    return Job(rule, wildcards, values.get("input", []), values.get("output", []))


def _snakemake(arguments: Sequence[str], folder: Path, streams: Sequence[Path]) -> None:
    """Be the program `snakemake` in that folder, with both streams in these files."""
    for descriptor, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.update(ENVIRONMENT)
    os.chdir(folder)
    from snakemake.cli import main

    sys.argv = ["snakemake", *arguments]
    main(arguments)


class WorkingCopy:
    """The files that the graph is made of, in a folder of the test's own."""

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
        """Snakemake running in a process group of its own, both streams in ``stdout``."""
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
        """`snakemake -n` with these arguments."""
        with TemporaryDirectory() as folder:
            streams = [Path(folder, name) for name in ("out", "err")]
            process = FORKS.Process(target=_snakemake, args=(["-n", *arguments], self.folder, streams))
            process.start()
            process.join()
            return Outcome(process.exitcode, "".join(path.read_text() for path in streams))

    def plan(self, *arguments: str) -> Outcome:
        """A dry run; fails the test where Snakemake refuses."""
        outcome = self.dry_run(*arguments)
        assert outcome.code == 0, outcome.text[-3000:]
        return outcome
