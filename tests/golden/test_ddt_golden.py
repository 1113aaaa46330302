"""The backbone, the loss and the sampler agree with the authors' code on tiny random networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden_files import Golden, conditions, every, prediction, sampled

from nanogen.backbones import Condition, InContextEncoder
from nanogen.config.schema import Term
from nanogen.interop import load_reference
from nanogen.objectives import FlowMatching, StraightPath, TrainingTime
from nanogen.objectives.batch import Batch
from nanogen.objectives.reg import Reg

T_EPS = 0.05  # of x-prediction, for files that do not state it
REG_COEFFICIENT = 0.03  # a file's REG loss is multiplied by it


def of_flow_matching(path: Path) -> bool:
    return not Golden.read(path).meta["is_meanflow"]


def of_text(path: Path) -> bool:
    return of_flow_matching(path) and Golden.read(path).meta["condition_type"] == "text"


FILES = every("ddt_*.npz", of_flow_matching)


@pytest.fixture
def golden(request) -> tuple[Golden, InContextEncoder, Condition]:
    """A golden file, its network and the network's condition."""
    found = Golden.read(request.param)
    model = load_reference(found.params(), found.meta).model
    return found, model, conditions(found)[0]


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("golden", FILES, indirect=True)
def test_forward(golden):
    found, model, condition = golden
    values = found.values
    with torch.no_grad():
        output = model(values["x"], values["t"], condition, values.get("cls_t"))
    assert_close(output.image, values["out0"])
    if "out1" in values:
        assert_close(output.hidden if output.cls is None else output.cls, values["out1"])


@pytest.mark.parametrize("golden", every("ddt_*.npz", of_text), indirect=True)
def test_dropping_padded_text_changes_nothing(golden):
    found, model, condition = golden
    longest = int(condition.mask.sum(1).max())
    condition = Condition(tokens=condition.tokens[:, :longest], mask=condition.mask[:, :longest])
    with torch.no_grad():
        output = model(found.values["x"], found.values["t"], condition, found.values.get("cls_t"))
    assert_close(output.image, found.values["out0"])


@pytest.mark.parametrize("golden", FILES, indirect=True)
def test_loss(golden):
    found, model, condition = golden
    values, nothing = found.values, torch.zeros(len(found.values["x1"]))
    batch = Batch(
        values["x1"],
        values["loss_x0"],
        nothing,
        nothing,
        nothing,
        condition,
        step=0,
        cls=values.get("cls_clean"),
        cls_noise=values.get("cls_x0"),
    )
    path = StraightPath(found.meta.get("t_eps", T_EPS))
    base = FlowMatching(path, TrainingTime(0, 1, 1), prediction(found.meta), dropout=0.0)
    with torch.no_grad():
        predicted = base.predicted_at(model, batch, values["loss_t"], condition)
        assert_close(base.error(predicted), values["loss/loss"].float())
        if "cls_clean" in values:
            reg = Reg(Term(coefficient=REG_COEFFICIENT), base, None)
            assert_close(REG_COEFFICIENT * reg(predicted), values["loss/loss_reg"].float())


@pytest.mark.parametrize("golden", FILES, indirect=True)
def test_sampler(golden):
    found, model, _ = golden
    names = [name for name in found.values if name.startswith("sample")]
    assert names
    for name in names:
        assert_close(sampled(found, model, name), found.values[name])
