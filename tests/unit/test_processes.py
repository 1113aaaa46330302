"""The same training by other processes: interrupted on some and continued on others it is the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import commands
import pytest
import torch
from forked import Forks
from safetensors.torch import load_file

from nanogen.config import stages

STEPS, CUT = 24, 4  # it stops after CUT; 20 steps remain
WAYS = {"one": (1, []), "two": (2, [])}


class Result(NamedTuple):
    losses: list[float]  # of each step after CUT
    weights: dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def forks():
    with Forks() as program:
        yield program


@pytest.fixture(scope="module")
def stage(tiny) -> dict:
    keys = {"warmup_steps": 2, "decay_start": 12, "decay_end": STEPS}
    return stages.train(tiny(training={"steps": STEPS, "optimizer": keys}), "jit", "imagenet")


class Trainings:
    """Trainings of one stage, each in a folder of its own."""

    def __init__(self, forks: Forks, stage: dict, images: Path, folder: Path):
        self.forks, self.stage, self.images, self.folder = forks, stage, images, folder

    def run(self, name: str, way: str, *options: str, code: int = 0) -> Path:
        """Train in the way named; returns the folder."""
        processes, more = WAYS[way]
        folder = self.folder / name
        words = commands.train(folder, self.stage, self.images, log_every=1)
        codes = self.forks.run([*words, *more, *options], folder / "log", processes)
        assert codes == [code] * processes, (folder / "log").read_text()
        return folder

    def result(self, folder: Path) -> Result:
        lines = [json.loads(line) for line in (folder / "model" / "train.jsonl").open()]
        losses = [line["loss"] for line in lines if line["step"] > CUT]
        assert len(losses) == STEPS - CUT
        return Result(losses, load_file(folder / "model" / "model.safetensors"))


@pytest.fixture(scope="module")
def trainings(forks, stage, tiny_images, tmp_path_factory) -> Trainings:
    return Trainings(forks, stage, tiny_images, tmp_path_factory.mktemp("trainings"))


@pytest.fixture(scope="module")
def undisturbed(trainings) -> dict[str, Result]:
    """By way of training, what comes of it without an interruption."""
    return {way: trainings.result(trainings.run(f"whole-{way}", way)) for way in WAYS}


@pytest.fixture(scope="module")
def interrupted(trainings) -> dict[str, Path]:
    """By way of training, the folder of one that has stopped after CUT steps."""
    cut = ["--log-every", str(CUT), "--deadline", "0"]
    return {way: trainings.run(f"cut-{way}", way, *cut, code=75) for way in WAYS}


def assert_close(one: Result, other: Result) -> None:
    assert one.losses == pytest.approx(other.losses, abs=1e-4)
    for name, weights in other.weights.items():
        torch.testing.assert_close(one.weights[name], weights, atol=1e-5, rtol=1e-4, msg=name)


def assert_equal(one: Result, other: Result) -> None:
    assert one.losses == other.losses
    assert all(torch.equal(one.weights[name], weights) for name, weights in other.weights.items())


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("before", list(WAYS))
def test_interrupted_one_way_and_continued_another_it_is_the_same_training(
    trainings, undisturbed, interrupted, before, way
):
    folder = trainings.folder / f"{before}-then-{way}"
    shutil.copytree(interrupted[before], folder)
    trainings.run(folder.name, way)
    assert f"continuing jit on imagenet after step {CUT}" in (folder / "log").read_text()
    continued = trainings.result(folder)
    assert_close(continued, undisturbed["one"])
    if before == way:
        assert_equal(continued, undisturbed[way])
