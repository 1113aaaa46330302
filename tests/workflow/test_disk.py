"""A full or read-only disk ends the workflow with one sentence; a later run resumes it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from working_copy import WorkingCopy

pytestmark = pytest.mark.slow
MODEL = "results/smoke/models/detector/nanogen.json"
COMMAND = (MODEL, "--config", "study=smoke")
DATA_ONLY = "size=6m"


@pytest.fixture
def on_disk(working_copy, tmp_path) -> Iterator[WorkingCopy]:
    """A working copy whose results are on a separate disk, with room for the data alone.

    Skips if the disk cannot be mounted.
    """
    copy = working_copy(tmp_path)
    results = tmp_path / "results"
    results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", DATA_ONLY, "tmpfs", str(results)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield copy
    subprocess.run(["umount", str(results)], check=True)


def remount(copy: WorkingCopy, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(copy / "results")], check=True)


def hidden(copy: WorkingCopy) -> list[str]:
    names = [path.name for path in (copy / "results").rglob(".*")]
    return [name for name in names if name != ".snakemake_timestamp"]


def test_a_full_disk_is_told_and_with_space_the_same_command_goes_on(on_disk):
    outcome = on_disk.snakemake(*COMMAND)
    assert outcome.code != 0
    assert "the disk is full; free some space and start again, finished parts are kept" in outcome.text
    assert "Traceback" not in outcome.text
    assert not hidden(on_disk)
    remount(on_disk, "size=1g")
    again = on_disk.snakemake(*COMMAND)
    assert again.code == 0, again.text[-3000:]
    assert not again.rules["make_data"]
    assert not hidden(on_disk)


def test_results_that_may_only_be_read_are_told_and_afterwards_it_goes_on(on_disk):
    remount(on_disk, "ro,size=1g")
    outcome = on_disk.snakemake(*COMMAND)
    assert outcome.code != 0
    assert "Traceback" not in outcome.text
    assert "results" in outcome.text
    remount(on_disk, "rw")
    again = on_disk.snakemake(*COMMAND)
    assert again.code == 0, again.text[-3000:]
    assert not hidden(on_disk)
