"""Checkpoints as the authors' trainer saves them are imported, give its numbers, and come out again."""

from __future__ import annotations

import re

import pytest
import torch
from golden_files import Golden, every

from nanogen.backbones import load
from nanogen.backbones.embeddings import Condition
from nanogen.config import load_study, stages
from nanogen.config.train_stage import TrainStage
from nanogen.interop import export_checkpoint, import_checkpoint, load_reference
from nanogen.interop.reference import Reference
from nanogen.interop.weights import read_weights
from nanogen.objectives import PREDICTIONS
from nanogen.sampling.solvers import Guidance, average_steps, integrate, time_grid

CHECKPOINTS = every("checkpoint_*.npz")
SETS = ("ema", "model")
INPUTS = ("label", "context", "attn_mask", "cls_t", "t_abs")
GUIDED = re.compile(r"sample_cfg([\d.]+)_t([\d.]+)_([\d.]+)")  # the scale and its interval
AVERAGE_STEPS = re.compile(r"sample_nfe(\d+)")  # MeanFlow


@pytest.fixture
def golden(request) -> Golden:
    return Golden.read(request.param)


def close(actual, expected, tolerance=1e-4):
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=tolerance)


def loaded(golden: Golden, which: str) -> Reference:
    return load_reference(read_weights(golden.path.with_suffix(".pt"), which), golden.meta)


@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("golden", CHECKPOINTS, indirect=True)
def test_the_outputs_are_those_of_the_authors_code(golden, which):
    values = golden.values
    inputs = {name: values[name] for name in INPUTS if name in values}
    with torch.no_grad():
        output = loaded(golden, which).output(values["x"], values["t"], **inputs)
    close(output.image, values[f"{which}/image"])
    for name, found in (("cls", output.cls), ("repa", output.hidden)):
        assert (found is not None) == (f"{which}/{name}" in values)
        if found is not None:
            close(found, values[f"{which}/{name}"])


def conditions(golden: Golden) -> tuple[Condition, Condition]:
    """What the samples are conditioned on, and the null condition beside it."""
    values = golden.values
    if golden.meta["condition_type"] == "label":
        labels = values["label"]
        return Condition(labels), Condition(torch.full_like(labels, golden.meta["num_classes"]))
    given = Condition(tokens=values["context"], mask=values["attn_mask"].bool())
    if "null_context" not in values:
        nothing = torch.zeros_like(given.mask)
        return given, Condition(tokens=given.tokens, mask=nothing)
    tokens, mask = values["null_context"], values["null_attn_mask"].bool()
    return given, Condition(tokens=tokens.expand_as(given.tokens), mask=mask.expand_as(given.mask))


def sampled(golden: Golden, name: str) -> torch.Tensor:
    """The samples of a file by their name, which says guidance and interval, or MeanFlow's steps."""
    values, meta, model = golden.values, golden.meta, loaded(golden, "ema").model
    condition, null = conditions(golden)
    if averaged := AVERAGE_STEPS.fullmatch(name):
        grid = time_grid(int(averaged[1]), meta["time_dist_shift"])
        return average_steps(model, values["noise"], condition, grid)
    guided = GUIDED.fullmatch(name)
    scale, start, stop = map(float, guided.groups()) if guided else (1.0, 0.0, 1.0)
    return integrate(
        model,
        PREDICTIONS["x" if meta["prediction"].startswith("x") else "v"],
        values["noise"],
        condition,
        time_grid(meta["sample_steps"], meta["time_dist_shift"]),
        Guidance(scale, (start, stop)),
        cls_noise=values.get("cls_noise"),
        null=null,
    )


@pytest.mark.parametrize("golden", CHECKPOINTS, indirect=True)
def test_the_samples_of_the_average_are_those_of_the_authors_code(golden):
    names = [name for name in golden.values if name.startswith("sample")]
    assert names
    for name in names:
        close(sampled(golden, name), golden.values[name], tolerance=2e-3)


def stage_of(golden: Golden) -> TrainStage:
    """A ``train`` stage of the network in the file, all else as of a run of the nano study."""
    nano = stages.train(load_study("nano"), "jit", "imagenet")
    config = loaded(golden, "ema").model.config
    own = {key: value for key, value in config.items() if value is not None or key in nano["backbone"]}
    kind = "meanflow" if own.pop("absolute_time") else "flow-matching"
    return TrainStage.from_json(
        {
            **nano,
            "latent": list(own.pop("latent")),
            "conditioner": {**nano["conditioner"], **own.pop("conditioner")},
            "text_width": own.pop("text_width", None),
            "objective": {**nano["objective"], "kind": kind},
            "backbone": {**nano["backbone"], **own},
        }
    )


@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("golden", CHECKPOINTS, indirect=True)
def test_it_comes_out_as_it_went_in(golden, which, tmp_path):
    path = golden.path.with_suffix(".pt")
    import_checkpoint(path, which, stage_of(golden), tmp_path / "model")
    export_checkpoint(tmp_path / "model", tmp_path / "exported.pt")
    original = torch.load(path, weights_only=True)[which]
    exported = torch.load(tmp_path / "exported.pt", weights_only=True)
    for weights in (exported["ema"], exported["model"]):
        assert weights.keys() == original.keys()
        assert all(torch.equal(weights[name], value) for name, value in original.items())
    assert not [name for name in load(tmp_path / "model").state_dict() if "rope" in name]
