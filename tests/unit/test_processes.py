"""A training that is interrupted on some processes and continued on others stays the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import commands
import pytest
import torch
import torch.distributed as dist
from forked import Forks
from safetensors.torch import load_file

from nanogen.backbones import Condition, build, load
from nanogen.backbones.compilation import compile_blocks
from nanogen.cli import main
from nanogen.config import stages
from nanogen.config.study_schema import Study
from nanogen.config.train_stage import TrainStage
from nanogen.files import read_json, write_json
from nanogen.training.processes import Processes
from nanogen.training.sharding import SHARDINGS, whole

pytestmark = pytest.mark.slow  # about a minute
STEPS, CUT = 24, 4  # it stops after CUT; 20 steps remain
CUT_SHORT = ["--log-every", str(CUT), "--deadline", "0"]
WAYS = {"one": (1, []), "two": (2, []), "fsdp": (2, ["--sharding", "fsdp"])}


class Result(NamedTuple):
    curve: dict[str, list[float]]  # loss, grad_norm and update of each step after CUT
    weights: dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def forks():
    with Forks() as program:
        yield program


class Trainings:
    """Trainings on the tiny study's images, each in its own folder."""

    def __init__(self, forks: Forks, study: Callable[..., Study], images: Path, folder: Path):
        self.forks, self.study, self.images, self.folder = forks, study, images, folder

    def stage(self, **keys: Any) -> dict:
        schedule = {"warmup_steps": 2, "decay_start": 12, "decay_end": STEPS}
        study = self.study(training={"steps": STEPS, "optimizer": schedule}, **keys)
        return stages.train(study, "jit", "imagenet")

    def run(self, name: str, way: str, *options: str, code: int = 0, **keys: Any) -> Path:
        """Train in the given way, a key of ``WAYS``, and return the folder."""
        processes, more = WAYS[way]
        folder = self.folder / name
        words = commands.train(folder, self.stage(**keys), self.images, log_every=1)
        codes = self.forks.run([*words, *more, *options], folder / "log", processes)
        assert codes == [code] * processes, (folder / "log").read_text()
        return folder

    def result(self, folder: Path) -> Result:
        lines = [json.loads(line) for line in (folder / "model" / "train.jsonl").open()]
        assert [line["step"] for line in lines][-(STEPS - CUT) :] == list(range(CUT + 1, STEPS + 1))
        names = ("loss", "grad_norm", "update")
        curve = {name: [line[name] for line in lines[-(STEPS - CUT) :]] for name in names}
        return Result(curve, load_file(folder / "model" / "model.safetensors"))


@pytest.fixture(scope="module")
def trainings(forks, tiny, tiny_images, tmp_path_factory) -> Trainings:
    return Trainings(forks, tiny, tiny_images, tmp_path_factory.mktemp("trainings"))


@pytest.fixture(scope="module")
def undisturbed(trainings) -> dict[str, Result]:
    """Results of uninterrupted trainings, by way of training."""
    return {way: trainings.result(trainings.run(f"whole-{way}", way)) for way in WAYS}


@pytest.fixture(scope="module")
def interrupted(trainings) -> dict[str, Path]:
    """Folders of trainings that stopped after CUT steps, by way of training."""
    return {way: trainings.run(f"cut-{way}", way, *CUT_SHORT, code=75) for way in WAYS}


def assert_close(one: Result, other: Result) -> None:
    assert one.curve["loss"] == pytest.approx(other.curve["loss"], abs=1e-4)
    for name in ("grad_norm", "update"):
        assert one.curve[name] == pytest.approx(other.curve[name], rel=1e-3)
    for name, weights in other.weights.items():
        torch.testing.assert_close(one.weights[name], weights, atol=1e-5, rtol=1e-4, msg=name)


def assert_equal(one: Result, other: Result) -> None:
    assert one.curve == other.curve
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


def test_the_model_on_disk_does_not_tell_how_it_was_trained(trainings, undisturbed):
    folders = [trainings.folder / f"whole-{way}" / "model" for way in WAYS]
    assert all(read_json(f / "config.json") == read_json(folders[0] / "config.json") for f in folders)
    counts = {read_json(folder / "nanogen.json")["quality"]["parameters"] for folder in folders}
    assert counts == {sum(p.numel() for p in load(folder).parameters()) for folder in folders}


def test_parts_of_the_weights_learn_what_whole_ones_do(undisturbed):
    assert_close(undisturbed["fsdp"], undisturbed["two"])


def test_bfloat16_is_of_the_matrix_products_only(trainings):
    keys = {"overrides": {"methods": {"jit": {"training": {"precision": "bf16"}}}}}
    one, two, sharded = (trainings.result(trainings.run(f"bf16-{way}", way, **keys)) for way in WAYS)
    for other in (two, sharded):  # gradients of other parts of the batch round differently
        assert other.curve["loss"] == pytest.approx(one.curve["loss"], rel=0.02)
    assert sharded.curve["loss"] == pytest.approx(two.curve["loss"], rel=1e-3)
    assert {weights.dtype for weights in sharded.weights.values()} == {torch.float32}


@pytest.mark.parametrize("way", list(WAYS))
def test_small_parts_of_a_batch_add_up_to_it(trainings, undisturbed, way):
    folder = trainings.run(f"parts-{way}", way, "--micro-batch", "5")
    assert_close(trainings.result(folder), undisturbed[way])


OTHERS = {
    "meanflow": {
        "objective": {"kind": "meanflow", "prediction": "v", "meanflow": {"share": 0.5, "kappa": 0.3}},
        "sampling": {"guidance_scale": 1},
    },
    "terms": {"objective": {"terms": {"internal-guidance": {"coefficient": 0.5, "depth": 1}}}},
}


@pytest.mark.parametrize("name", list(OTHERS))
def test_other_objectives_are_sharded_as_well(trainings, name):
    keys = {"overrides": {"methods": {"jit": OTHERS[name]}}}
    one = trainings.run(f"{name}-one", "one", **keys)
    sharded = trainings.run(f"{name}-fsdp", "fsdp", "--micro-batch", "4", **keys)
    assert_close(trainings.result(sharded), trainings.result(one))


def test_muon_learns_alike_on_any_processes_and_continues_on_others(trainings):
    """Muon orthogonalises in bfloat16, so sums over other parts of a batch are rounded differently."""
    keys = {"overrides": {"methods": {"jit": {"training": {"optimizer": {"kind": "muon"}}}}}}
    folders = [trainings.run(f"muon-{way}", way, **keys) for way in WAYS]
    trainings.run("muon-cut", "one", *CUT_SHORT, code=75, **keys)
    folders.append(trainings.run("muon-cut", "fsdp", **keys))
    assert f"continuing jit on imagenet after step {CUT}" in (folders[-1] / "log").read_text()
    one, *others = map(trainings.result, folders)
    for other in others:
        assert other.curve["loss"] == pytest.approx(one.curve["loss"], rel=1e-3)
        apart, whole_norm = (
            torch.cat([of(name).flatten() for name in one.weights]).norm()
            for of in (
                lambda name, other=other: other.weights[name] - one.weights[name],
                one.weights.get,
            )
        )
        assert apart < 1e-3 * whole_norm


@pytest.mark.parametrize("sharding", ["none", "fsdp"])
def test_the_average_begins_with_the_main_processes_weights(forks, trainings, tmp_path, sharding):
    stage = trainings.stage()
    write_json(tmp_path / "train.json", stage)
    words = ["in_processes:average_of_others", str(tmp_path / "train.json"), sharding]
    assert forks.run(words, tmp_path / "log", 2) == [0, 0], (tmp_path / "log").read_text()
    expected = dict(build(TrainStage.from_json({**stage, "seed": 0})).named_parameters())
    for rank in range(2):
        average = load_file(tmp_path / f"average-{sharding}-{rank}.safetensors")
        assert all(torch.equal(average[name], weights) for name, weights in expected.items())


def test_a_negative_micro_batch_is_refused(trainings, tmp_path, capsys):
    words = commands.train(tmp_path, trainings.stage(), trainings.images, log_every=1)
    assert main([*words, "--micro-batch", "-1"]) == 2
    assert "--micro-batch -1: it must be at least 0" in capsys.readouterr().err


@pytest.fixture
def alone_in_a_group():
    """A process group with this process only, in which networks can be sharded."""
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    yield Processes(0, 1, torch.device("cpu"))
    dist.destroy_process_group()


@pytest.mark.parametrize("sharding", list(SHARDINGS))
def test_compiled_blocks_can_be_shared(trainings, alone_in_a_group, sharding):
    """Skip the compiler's last step, generating code for the device, which takes a minute here."""
    stage = trainings.stage()
    plain, compiled = build(TrainStage.from_json(stage)), build(TrainStage.from_json(stage))
    compile_blocks(compiled, backend="aot_eager")
    shared = SHARDINGS[sharding](compiled, alone_in_a_group)
    x = torch.randn(2, *stage["latent"], generator=torch.Generator().manual_seed(0))
    inputs = (x, torch.tensor([0.2, 0.7]), Condition(labels=torch.tensor([0, 1])))
    for network in (plain, shared):
        network(*inputs).image.sub(x).square().mean().backward()
    for (name, one), other in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(whole(other.grad), one.grad, msg=name)
