"""Processes that work together: a mistake of one, how long the others wait, and where they resume."""

from __future__ import annotations

import commands
import pytest
from forked import Forks

from nanogen.config import stages
from nanogen.training import checkpoint

pytestmark = pytest.mark.slow  # two processes import torch


@pytest.fixture(scope="module")
def forks():
    with Forks() as program:
        yield program


@pytest.mark.parametrize(("backend", "still_open"), [("gloo", 0), ("nccl", 1)])
def test_a_mistake_of_one_process_does_not_wait_for_the_others(forks, tmp_path, backend, still_open):
    """With NCCL, leaving the group would wait for a process that waits for this one."""
    log = tmp_path / "log"
    assert forks.run(["in_processes:mistake_of_one", backend], log, 2) == [still_open] * 2
    assert "rank 0: a mistake of one" in log.read_text()
    assert "lost another of the 2 processes" in log.read_text()  # rank 1, once rank 0 has ended


def test_processes_wait_while_one_works_alone(forks, tmp_path):
    log = tmp_path / "log"
    assert forks.run(["in_processes:hours_of_patience"], log, 2) == [2, 2], log.read_text()


def test_processes_that_find_different_checkpoints_are_refused(forks, tiny, tiny_images, tmp_path):
    stage = stages.train(tiny(), "jit", "imagenet")
    words = commands.train(tmp_path, stage, tiny_images, log_every=4)
    words, log = ["in_processes:with_own_state", *words], tmp_path / "log"
    assert forks.run([*words, "--deadline", "0"], log, 2) == [75, 75], log.read_text()
    assert checkpoint.found(tmp_path / "state0")
    assert not checkpoint.found(tmp_path / "state1")  # only the main process writes
    assert forks.run(words, log, 2) == [2, 2], log.read_text()
    for rank in range(2):
        sentence = f"in {tmp_path}/state{rank} are of step 4 on one process and of step 0 on another"
        assert sentence in log.read_text()
