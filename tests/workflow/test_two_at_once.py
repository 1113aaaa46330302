"""Two runs of Snakemake on one study: the second is refused at once, the first ends undisturbed."""

from __future__ import annotations

import os
import signal
import time

import pytest

pytestmark = pytest.mark.slow
DATA = "results/smoke/data/imagenet/val.h5"
SMOKE = ("--config", "study=smoke")


def test_the_second_snakemake_is_told_and_disturbs_nothing(working_copy, tmp_path):
    copy = working_copy(tmp_path)
    first = copy.started(DATA, *SMOKE)
    try:
        until = time.monotonic() + 300
        while not list((copy / ".snakemake/locks").glob("*.lock")):
            assert first.poll() is None, first.stdout.read()
            assert time.monotonic() < until, "it never locked the folder"
            time.sleep(0.01)
        os.killpg(first.pid, signal.SIGSTOP)  # until the second has ended
        second = copy.snakemake(DATA, *SMOKE)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
        said = first.communicate(timeout=300)[0]
    assert second.code != 0
    assert "make sure that no other Snakemake process is trying to create the same files" in second.text
    assert "Traceback" not in second.text
    assert first.returncode == 0, said[-3000:]
    assert (copy / DATA).exists()
    assert "Nothing to be done" in copy.snakemake(DATA, *SMOKE).text
