"""Kill random processes of a study's run at random times, and check that only its result remains.

    python tests/torture/kills.py 100

starts the smoke study with two processes for each step that can use several, kills any of its processes
(Snakemake, the fork server, shells, commands, workers), continues with the same command, and starts over
when the study is finished. In the end the results must equal those of an undisturbed run, and nothing
else may be left. It prints the kills by rule and by kind of process, and what they cost.
"""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from run_processes import MARK, Running, processor_seconds, running
from same_results import differences
from working_copy import ENVIRONMENT, WorkingCopy

SMOKE = ("all", "--config", "study=smoke")
TOGETHER = ("--set-resources", *(f"{rule}:processes=2" for rule in ("train", "sample", "score_images")))
RESULTS = "results/smoke"
# Upper bounds in processor seconds, from a start to its first kill and from one kill to the next of the
# same start. Wall time would not do: on a busy machine a second is too short for anything to begin.
FIRST, NEXT = 20.0, 5.0
LOOK = 0.1  # seconds
UNFINISHED = 3600  # seconds after which a run, or a job that outlives it, counts as hung


@dataclass
class Report:
    """Kills, starts and faults of a torture run."""

    kills: list[Running] = field(default_factory=list)
    starts: int = 0
    finished: int = 0
    unlocked: int = 0
    faults: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [f"{'rule':<20} {'kills':>5} {'lost, s':>8}  of"]
        for rule in sorted({process.rule for process in self.kills}):
            of = [process for process in self.kills if process.rule == rule]
            # An upper bound: a training continues from its last checkpoint.
            lost = sum(process.seconds for process in of) if rule else 0
            words = ", ".join(f"{kind} {n}" for kind, n in Counter(p.kind for p in of).most_common())
            lines.append(f"{rule or '(the whole run)':<20} {len(of):>5} {lost:>8.1f}  {words}")
        lines.append(
            f"{len(self.kills)} kills, {self.starts} starts of the same command, {self.unlocked} after "
            f"--unlock, {self.finished} whole runs; lost, wrong or left over: {len(self.faults)}"
        )
        return "\n".join([*lines, *self.faults])


class Torture:
    """Kill a study again and again in its own working copy.

    Args:
        words: Words of the command, e.g. ``all --config study=smoke``.
        expected: The results of an undisturbed run.
        said: Called with a line for each kill.
    """

    def __init__(
        self,
        copy: WorkingCopy,
        words: Sequence[str],
        expected: Path,
        seed: int,
        said: Callable[[str], None] = lambda line: None,
    ):
        self.copy, self.words, self.expected, self.said = copy, list(words), expected, said
        self.draws = random.Random(seed)
        self.mark = secrets.token_hex(8)
        self.report = Report()
        self.scratch = copy / "scratch"
        self.scratch.mkdir()
        self.log = copy / "said"

    def run(self, kills: int) -> Report:
        """Kill ``kills`` processes, then let the command end; check every finished run's results."""
        ended = None
        try:
            while len(self.report.kills) < kills or ended != 0:
                disturbed = len(self.report.kills) < kills
                ended = self._start(kills)
                if ended == 0:
                    self._check()
                elif not disturbed:
                    self.report.faults.append(f"the same command fails:\n{self.log.read_text()[-3000:]}")
                    break
                if ended == 0 and len(self.report.kills) < kills:
                    shutil.rmtree(self.copy / RESULTS)
                    shutil.rmtree(self.copy / ".snakemake")
        finally:
            for process in running(self.mark):
                process.kill(self.mark)
        return self.report

    def _start(self, kills: int) -> int:
        """Start the command, kill processes until it has ended, and return its exit code."""
        self._unlock()
        self.report.starts += 1
        with open(self.log, "w") as log:
            process = subprocess.Popen(
                self.copy.command(*self.words),
                cwd=self.copy.folder,
                env={**ENVIRONMENT, MARK: self.mark, "TMPDIR": str(self.scratch)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        span = FIRST
        while len(self.report.kills) < kills and self._goes_on(process, self.draws.uniform(0, span)):
            self._kill()
            span = NEXT
        process.wait(UNFINISHED)
        self._until_alone()
        return process.returncode

    def _goes_on(self, process: subprocess.Popen, seconds: float) -> bool:
        """Return whether the run is still alive after ``seconds`` more processor seconds."""
        end = processor_seconds(self.mark) + seconds
        until = time.monotonic() + UNFINISHED
        while process.poll() is None and processor_seconds(self.mark) < end:
            assert time.monotonic() < until, "the run makes no progress"
            time.sleep(LOOK)
        return process.poll() is None

    def _kill(self) -> None:
        found = running(self.mark)
        if found and (process := self.draws.choice(found)).kill(self.mark):
            self.report.kills.append(process)
            count, rule = len(self.report.kills), process.rule or "the run"
            self.said(f"kill {count}: {process.kind} of {rule}, after {process.seconds:.1f} s")

    def _until_alone(self) -> None:
        """Wait for jobs that outlive a killed Snakemake or shell."""
        until = time.monotonic() + UNFINISHED
        while left := running(self.mark):
            assert time.monotonic() < until, f"still running: {left}"
            time.sleep(0.2)

    def _unlock(self) -> None:
        """Unlock the folder, as Snakemake asks the user to after it was killed itself."""
        if any((self.copy / ".snakemake" / "locks").glob("*")):
            self.report.unlocked += 1
            outcome = self.copy.snakemake("--unlock", *self.words)
            assert outcome.code == 0, outcome.text

    def _check(self) -> None:
        self.report.finished += 1
        snakemake = self.copy / ".snakemake"
        left = [
            *snakemake.glob("locks/*"),
            *snakemake.glob("incomplete/*"),
            *snakemake.glob("nanogen/.*"),
        ]
        left += self.scratch.glob(".nanogen*")  # not *: a killed Snakemake leaves an empty folder too
        self.report.faults += [f"{path} is left over" for path in left]
        self.report.faults += differences(self.copy / RESULTS, self.expected)


def undisturbed(copy: WorkingCopy, words: Sequence[str]) -> Path:
    """Run the command once, undisturbed, and return the folder of its results."""
    outcome = copy.snakemake(*words)
    assert outcome.code == 0, outcome.text[-3000:]
    return copy / RESULTS


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description="kill a run of the smoke study again and again")
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=2026)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "undisturbed"), Path(folder, "killed")
        first.mkdir()
        second.mkdir()
        words = (*SMOKE, *TOGETHER)
        expected = undisturbed(WorkingCopy(first), words)
        torture = Torture(WorkingCopy(second), words, expected, args.seed, say)
        report = torture.run(args.kills)
    say(report.text())
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
