"""The authors' checkpoints reproduce their outputs after import and are exported unchanged."""

from __future__ import annotations

import pytest
import torch
from golden_files import Golden, every, sampled

from nanogen.backbones import load
from nanogen.config import load_study, stages
from nanogen.config.train_stage import TrainStage
from nanogen.interop import export_checkpoint, import_checkpoint, load_reference
from nanogen.interop.reference import Reference
from nanogen.interop.weights import read_weights

CHECKPOINTS = every("checkpoint_*.npz")
SETS = ("ema", "model")
INPUTS = ("label", "context", "attn_mask", "cls_t", "t_abs")


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


@pytest.mark.parametrize("golden", CHECKPOINTS, indirect=True)
def test_the_samples_of_the_average_are_those_of_the_authors_code(golden):
    names = [name for name in golden.values if name.startswith("sample")]
    assert names
    for name in names:
        found = sampled(golden, loaded(golden, "ema").model, name)
        close(found, golden.values[name], tolerance=2e-3)


def stage_of(golden: Golden) -> TrainStage:
    """A ``train`` stage of the network in the file, otherwise as in a run of the nano study."""
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
