"""Shared fixtures."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from golden_files import ABSENT, GOLDEN
from working_copy import WorkingCopy

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts background jobs with SIGINT ignored, which the programs under test would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
ROOT = Path(__file__).resolve().parents[1]
# What collection imports stays. The garbage collector would traverse it again and again.
gc.disable()

# The test files that take longest. They start first, so that none of them is left for the end of a
# parallel run.
LONGEST = (
    "test_smoke.py",
    "test_kills.py",
    "test_dry_runs.py",
    "test_reruns.py",
    "test_launch.py",
    "test_processes.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """Folder of values computed by the authors' code: NANOGEN_GOLDEN, or one beside the repository."""
    if not GOLDEN.is_dir():
        pytest.skip(ABSENT)
    return GOLDEN


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 64 kB; skips if it cannot be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def as_nobody() -> Callable[[], AbstractContextManager[None]]:
    """``with as_nobody():`` drops root's permission to write everywhere; import modules beforehand."""

    @contextmanager
    def unprivileged() -> Iterator[None]:
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(user)

    return unprivileged


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The documentation site, built by the first test process that needs it."""
    from nanogen.cli import parsers
    from nanogen.docs.build import build

    temporary = tmp_path_factory.getbasetemp()
    folder = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "site"
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            build(ROOT, folder, parsers())
    return folder


@pytest.fixture(scope="session")
def working_copy() -> type[WorkingCopy]:
    """The class of working copies: ``working_copy(folder)`` creates one."""
    return WorkingCopy


@pytest.fixture(scope="session")
def fresh(tmp_path_factory) -> WorkingCopy:
    """A working copy in which nothing has run; for dry runs only."""
    return WorkingCopy(tmp_path_factory.mktemp("fresh"))
