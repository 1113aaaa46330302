"""Snakemake's output on a terminal and in a file, with the logger plugin of profiles/default."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections import Counter
from pathlib import Path

import pytest

from nanogen.progress.durations import read_durations
from nanogen.progress.run import Job, Run

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--logger", "nanogen", "--cores", "2", "--keep-going"]
# Two trainings, the second of which fails, and a target that needs both.
GRAPH = """
rule all:
    input: "first.txt", "second.txt"
rule train:
    output: "{method}.txt"
    log: "logs/{method}.log"
    shell:
        "for step in 100 200 300; do echo $step; sleep 0.7; done"
        " | sed -u 's|.*|{wildcards.method}: step &/400, loss 0.1, 280 images/s|' 2>&1 | tee {log} >&2;"
        " test {wildcards.method} = first || {{ echo 'no such picture' | tee -a {log} >&2; exit 2; }};"
        " touch {output}"
"""


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(GRAPH)
    return tmp_path


def environment() -> dict[str, str]:
    terminal = {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    return os.environ | terminal | {"PYTHONPATH": str(ROOT / "src")}


def in_a_file(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [*SNAKEMAKE, *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)


def on_a_terminal(command: list[str], folder: Path, until: str = "") -> tuple[int, str]:
    """Return the exit code and the terminal's output; press Ctrl-C when it shows ``until``."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(),
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C reaches all processes
    )
    os.close(theirs)
    shown = b""
    pressed = not until
    try:
        while part := os.read(ours, 4096):
            shown += part
            if not pressed and until.encode() in shown:
                os.write(ours, b"\x03")
                pressed = True
    except OSError:  # no process writes to it any longer
        pass
    os.close(ours)
    return process.wait(), shown.decode()


@pytest.mark.slow
def test_a_terminal_has_a_line_per_running_job(graph: Path):
    code, shown = on_a_terminal([*SNAKEMAKE, "all"], graph)
    assert code == 1
    assert "train first" in shown
    assert "200/400 steps   280 images/s" in shown
    assert "first: step" not in shown  # the job's own lines are in its log
    assert "Failed: train second\r\n    no such picture\r\n  its log: logs/second.log" in shown
    assert "CalledProcessError" not in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is visible again


@pytest.mark.slow
def test_ctrl_c_is_no_failure(graph: Path):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
    code, shown = on_a_terminal([*SNAKEMAKE, "first.txt"], graph, until="200/400 steps")
    assert code == 1
    assert "Stopped: train first" in shown
    assert "Failed" not in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


@pytest.mark.slow
def test_a_file_has_lines_only(graph: Path):
    done = in_a_file("all", folder=graph)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert "first: step 200/400" in done.stderr
    assert " s left, 1 of 3 jobs done: train first" in done.stderr
    assert "Failed: train second\n    no such picture\n  its log: logs/second.log" in done.stderr


def test_a_dry_run_is_snakemakes_own(graph: Path):
    done = in_a_file("--dry-run", "all", folder=graph)
    assert done.returncode == 0
    assert "rule train:" in done.stdout + done.stderr
    assert not (graph / ".snakemake/nanogen").exists()


@pytest.mark.slow
def test_durations_of_a_run_serve_the_next(graph: Path):
    assert in_a_file("first.txt", folder=graph).returncode == 0
    noted = graph / ".snakemake/nanogen/durations.json"
    assert 2 < read_durations(noted)["train"] < 20
    noted.write_text(json.dumps({"format": 99, "seconds": {"train": 1}}))
    assert read_durations(noted)["train"] != 1
    noted.write_text("{")
    assert read_durations(noted)


def test_the_share_is_of_time_and_not_of_jobs(tmp_path: Path):
    run = Run(Counter(train=1, score=9), {"train": 91.0, "score": 1.0}, began=0.0)
    log = tmp_path / "train.log"
    run.start(0, Job("train", "train jit", log, 0.0))
    for number in range(1, 10):
        run.start(number, Job("score", f"score {number}", None, float(number)))
        run.finish(number, number + 1.0)
    log.write_text("jit: step 1/4, loss 0.1, 20 images/s\n")
    assert (run.done, run.total, run.waiting) == (9, 10, 0)
    assert run.share(10.0) == pytest.approx((9 + 91 / 4) / 100)
    assert run.seconds_left(10.0) == pytest.approx(91 * 3 / 4 * 10 / (9 + 91 / 4))
    log.write_text("jit: step 4/4, loss 0.1, 20 images/s\n")
    assert run.share(10.0) < 1


def test_what_fails_is_done_when_it_ran_again():
    run = Run(Counter(fetch=1), {}, began=0.0)
    run.start(0, Job("fetch", "fetch", None, 0.0))
    run.drop(0)
    assert run.waiting == 1
    run.start(0, Job("fetch", "fetch", None, 2.0))
    run.finish(0, 5.0)
    assert (run.share(5.0), run.means()) == (1.0, {"fetch": 3.0})
