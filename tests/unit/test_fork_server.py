"""A command forked from the server behaves like a separate process: output, exit code, signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanogen.fork_client import ONE_THREAD, SOCKET

# Owns a server, as Snakemake does, until its stdin is closed.
OWNER = """
import os
from nanogen.fork_server import start
start(os.environ["PYTHONPATH"])
print(os.environ["NANOGEN_FORK_SERVER"], flush=True)
input()
"""
SOURCE = str(Path(__file__).parents[2] / "src")
CONFIG = ["config", "--study", "nano", "--method", "jit", "--task", "imagenet"]
PARAMETERS = ["params", "--study", "nano", "--method", "jit", "--task", "imagenet"]  # imports torch
NANOGEN = [sys.executable, "-X", "importtime", "-m", "nanogen"]
TORCH = re.compile(r"\| +torch\n")  # as -X importtime reports it

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(os, "pidfd_open") or Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists(),
        reason="the fork server runs on Linux without an accelerator",
    ),
]


def wait_for(true, seconds: float = 240, pause: float = 0.05) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(pause)


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """Environment variables of a job while a server runs."""
    given = {**os.environ, **ONE_THREAD, "PYTHONPATH": SOURCE}
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env=given,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    address = owner.stdout.readline().strip()
    wait_for(Path(address).exists)
    yield given | {SOCKET: address}
    owner.communicate()
    wait_for(lambda: not Path(address).parent.exists())  # the server has ended and left no files


def test_an_owner_that_ends_at_once_leaves_nothing():
    done = subprocess.run(
        [sys.executable, "-c", OWNER.replace("input()", "")],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=True,
    )
    wait_for(lambda: not Path(done.stdout.strip()).parent.exists())


def run(words: list[str], environment: dict[str, str], **options) -> subprocess.CompletedProcess:
    return subprocess.run([*NANOGEN, *words], env=environment, capture_output=True, text=True, **options)


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def server_of(environment: dict[str, str]) -> int:
    """ID of the server process with this address."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if environment[SOCKET] in (folder / "cmdline").read_text():
                return int(folder.name)
        except OSError:  # a process that has just ended
            continue
    raise AssertionError("no server")


def test_what_it_prints_and_how_it_ends_are_the_same(environment):
    alone = {name: value for name, value in environment.items() if name != SOCKET}
    for words, code in ((PARAMETERS, 0), (CONFIG, 0), (["params", "--study", "no-such"], 2)):
        forked, own = run(words, environment), run(words, alone)
        assert (forked.returncode, forked.stdout) == (own.returncode, own.stdout) == (code, own.stdout)
    assert forked.stderr.splitlines()[-1] == own.stderr.splitlines()[-1]


def test_the_libraries_are_not_imported_again(environment):
    assert not TORCH.search(run(PARAMETERS, environment).stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{"OMP_NUM_THREADS": "2"}, {"HF_HOME": "/elsewhere"}, {SOCKET: "/no/such/socket"}]
)
def test_under_other_conditions_it_runs_by_itself(environment, change):
    done = run(PARAMETERS, environment | change)
    assert done.returncode == 0
    assert TORCH.search(done.stderr)


def test_it_runs_in_the_folder_and_with_the_mode_of_its_caller(environment, tmp_path):
    words = ["schema", "--output", "schemas"]
    run(words, environment, cwd=tmp_path, umask=0o027, check=True)
    made = [path for path in (tmp_path / "schemas").rglob("*") if path.is_file()]
    assert made
    assert {path.stat().st_mode & 0o777 for path in made} == {0o640}


@pytest.fixture
def waiting(environment, tmp_path) -> Iterator[tuple[subprocess.Popen, int]]:
    """A command that blocks on a pipe without a writer, and the process ID of its fork."""
    os.mkfifo(tmp_path / "pipe.yaml")
    server = server_of(environment)
    wait_for(lambda: not children(server))  # the fork of another test may not have been reaped yet
    words = [sys.executable, "-m", "nanogen", "config", "--study", str(tmp_path / "pipe.yaml")]
    with subprocess.Popen(
        words, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: children(server), pause=0.0005)
        yield process, children(server)[0]
        process.kill()


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_ends_its_fork(waiting, number):
    process, fork = waiting
    time.sleep(0.5)  # until it blocks
    process.send_signal(number)
    assert process.wait(20) in (130, -number)
    wait_for(lambda: gone(fork))


@pytest.mark.parametrize("seconds", [0, 0.001, 0.003, 0.006, 0.01, 0.015, 0.02, 0.05, 0.1, 0.2])
def test_ctrl_c_while_it_starts_ends_it_without_a_traceback(waiting, seconds):
    process, fork = waiting
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[1]
    assert (process.returncode, said) in (
        (-signal.SIGINT, ""),
        (130, "nanogen config: interrupted\n"),
    )
    wait_for(lambda: gone(fork))


def test_a_fork_does_not_outlive_a_command_that_was_killed(waiting):
    process, fork = waiting
    process.kill()
    wait_for(lambda: gone(fork))


def test_a_fork_that_was_killed_ends_its_command_alike(waiting):
    process, fork = waiting
    os.kill(fork, signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
