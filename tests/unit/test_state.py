"""A training's state on disk: complete whatever ends the process, and used by one training only."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import commands
import pytest
import torch
from forked import Forks
from killed import left_by_killed
from safetensors.torch import load_file

from nanogen.config import stages
from nanogen.errors import UserError
from nanogen.training import checkpoint

KILLS, STEPS, EVERY = 20, 400, 3


@contextmanager
def held(folder: Path) -> Iterator[multiprocessing.Process]:
    """Let another process hold the state folder inside the block; it is killed at the end."""
    context = multiprocessing.get_context("fork")
    ready = context.Event()

    def hold() -> None:
        with checkpoint.locked(folder):
            ready.set()
            signal.pause()

    process = context.Process(target=hold)
    process.start()
    assert ready.wait(60)
    try:
        yield process
    finally:
        process.kill()
        process.join()


def lock(folder: Path) -> None:
    with checkpoint.locked(folder):
        pass


def test_who_holds_the_state_is_named_however_often_one_asks(tmp_path):
    with held(tmp_path) as process:
        named = rf"\(process {process.pid} on {os.uname().nodename}\) is writing to {tmp_path}"
        for _ in range(2):
            with pytest.raises(UserError, match=named):
                lock(tmp_path)


def test_the_lock_of_a_killed_training_holds_nobody(tmp_path):
    with held(tmp_path):
        pass
    assert (tmp_path / "lock").read_text()
    lock(tmp_path)


def test_the_lock_of_a_node_that_died_holds_nobody_or_names_that_node(tmp_path):
    lock(tmp_path)
    (tmp_path / "lock").write_text("c7 4711\n")
    lock(tmp_path)  # the dead node's system has released the lock
    assert (tmp_path / "lock").read_text() == f"{os.uname().nodename} {os.getpid()}\n"
    with held(tmp_path):  # not released yet
        (tmp_path / "lock").write_text("c7 4711\n")
        with pytest.raises(UserError, match=r"\(process 4711 on c7\) is writing .*; wait for it"):
            lock(tmp_path)


def test_what_a_killed_training_was_writing_is_removed_by_the_next(tmp_path):
    left_by_killed(tmp_path / "train.jsonl")
    elsewhere = tmp_path / ".step-000000005.safetensors.tmp-0123abcd-123-456-x"  # on another node
    elsewhere.mkdir()
    (elsewhere / ".tmpAY6k2w").write_bytes(b"half")  # safetensors' own temporary name
    (tmp_path / ".step-000000009.safetensors.tmp-123").write_bytes(b"half")  # of version 0.1
    (tmp_path / "train.jsonl").touch()
    lock(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "train.jsonl"]


def test_a_curve_that_cannot_be_written_anew_stays_as_it_was(tmp_path):
    curve = tmp_path / "train.jsonl"
    curve.write_text("".join(f'{{"step": {step}}}\n' for step in range(10)))
    before, limits = curve.read_text(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*train.jsonl: File too large"):
            checkpoint.truncate_log(curve, 5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert curve.read_text() == before


def whole_files(state: Path) -> int:
    """Check that the state has only complete files, and return the step of its newest checkpoint."""
    files = [path for path in checkpoint.found(state) if load_file(path)]
    names = {path.name for path in state.iterdir()}
    unfinished = {name for name in names if name.startswith(".")}
    assert names - unfinished <= {"lock", "train.jsonl", *(path.name for path in files)}
    assert len(unfinished) <= 1  # left by the last kill; the next start removes it
    return int(files[-1].stem.removeprefix("step-")) if files else 0


@pytest.fixture
def start(tiny, tiny_images, tmp_path) -> Iterator[Callable]:
    """``start(folder, kill)`` trains there, see `Forks.run`, and returns the exit code and the log."""
    stage = stages.train(tiny(training={"steps": STEPS}), "jit", "imagenet")
    with Forks() as forks:

        def run(folder: Path, kill: tuple[Path, int, float] | None = None) -> tuple[int, str]:
            words = commands.train(folder, stage, tiny_images, log_every=1)
            (folder / "log").unlink(missing_ok=True)
            words += ["--checkpoint-every", str(EVERY)]
            (code,) = forks.run(words, folder / "log", kill=kill)
            return code, (folder / "log").read_text()

        yield run


def losses(folder: Path) -> list[str]:
    """The lines of the curve, up to the measured times."""
    lines = (folder / "model" / "train.jsonl").read_text().splitlines()
    return [line.partition('"seconds"')[0] for line in lines]


@pytest.mark.slow
def test_twenty_kills_cost_the_steps_since_the_last_checkpoint_and_nothing_else(start, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole)[0] == 0
    state, saved, continued = killed / "state", 0, 0
    draws = random.Random(2026)
    for _ in range(KILLS):
        # Kill some steps after this start, counted by the curve, plus a short delay to also hit a save.
        kill = (state / "train.jsonl", saved + draws.randint(0, 12), draws.uniform(0, 0.05))
        code, said = start(killed, kill)
        assert code == -signal.SIGKILL, said
        continued += "continuing" in said
        assert "continuing" not in said or f"continuing jit on imagenet after step {saved}\n" in said
        before, saved = saved, whole_files(state)
        assert saved >= before
    assert continued
    code, said = start(killed)
    assert code == 0, said
    assert f"continuing jit on imagenet after step {saved}" in said
    assert not state.exists()
    assert losses(killed) == losses(whole)
    weights, expected = (load_file(folder / "model" / "model.safetensors") for folder in (killed, whole))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
