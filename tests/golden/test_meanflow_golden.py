"""MeanFlow's network, errors, derivative and samples agree with the authors' code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_files import Golden, conditions, every, prediction, sampled

from nanogen.backbones import Condition, InContextEncoder
from nanogen.config.stages.training import MEANFLOW_STEPS_SEED
from nanogen.interop import load_reference
from nanogen.objectives import StraightPath, TrainingTime
from nanogen.objectives.batch import Batch
from nanogen.objectives.meanflow import (
    AdaptiveWeight,
    FlowMatchingSteps,
    MeanFlow,
    TargetGuidance,
    derivative,
)

T_EPS = 0.05  # of x-prediction, for files that do not state it
ERRORS = re.compile(r"(mf|fm)_kappa([\d.]+)/orig_mf_loss")
DERIVATIVE = re.compile(r"mf_kappa([\d.]+)/dudt_norm")


def of_meanflow(path: Path) -> bool:
    return bool(Golden.read(path).meta["is_meanflow"])


FILES = pytest.mark.parametrize("golden", every("ddt_*.npz", of_meanflow), indirect=True)


@pytest.fixture
def golden(request) -> tuple[Golden, InContextEncoder, Condition]:
    """A golden file, its network and the network's condition."""
    found = Golden.read(request.param)
    model = load_reference(found.params(), found.meta).model
    return found, model, conditions(found)[0]


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def dropped(values) -> torch.Tensor:
    """Mask of dropped conditions: golden/README.md, "sample 1's condition is dropped"."""
    return torch.arange(len(values["loss_t"])) == 1


def objective(golden: Golden, kappa: float) -> MeanFlow:
    """The objective for errors at given times; its choice of steps and times is not used."""
    return MeanFlow(
        StraightPath(golden.meta.get("t_eps", T_EPS)),
        TrainingTime(0, 1, 1),
        TargetGuidance(kappa),
        FlowMatchingSteps(0.25, MEANFLOW_STEPS_SEED),
        dropout=0.1,
        prediction=prediction(golden.meta),
    )


def named(golden: Golden, pattern: re.Pattern) -> list[re.Match]:
    """Matches of ``pattern`` among the names of the file's arrays."""
    found = [match for name in golden.values if (match := pattern.fullmatch(name))]
    assert found
    return found


@FILES
def test_forward(golden):
    found, model, condition = golden
    values = found.values
    with torch.no_grad():
        output = model(values["x"], values["t"], condition, absolute=values["t_abs"]).image
    assert_close(output, values["out0"])


@FILES
def test_errors_and_losses(golden):
    found, model, condition = golden
    values = found.values
    for match in named(found, ERRORS):
        branch, kappa = match.groups()
        r = values["loss_r"] if branch == "mf" else None
        errors = objective(found, float(kappa)).errors(
            model, model.conditioner, values["x1"], values["loss_x0"], values["loss_t"], r,
            condition, dropped(values),
        )  # fmt: skip
        assert_close(errors, values[match[0]])
        assert_close(AdaptiveWeight()(errors), values[f"{branch}_kappa{kappa}/loss"])


@FILES
def test_derivative(golden):
    found, model, condition = golden
    values = found.values
    t, h = values["loss_t"], values["loss_t"] - values["loss_r"]
    for match in named(found, DERIVATIVE):
        learning = objective(found, float(match[1]))
        average = learning._average(model)
        with torch.no_grad():
            z, v = learning.path.sample(values["x1"], values["loss_x0"], t)
            v = learning.guided(average, model.conditioner, z, v, t, condition, dropped(values))
            change = derivative(average, z, v, t, h, condition)
        assert_close(change.flatten(1).norm(dim=1), values[match[0]])


@FILES
def test_samples(golden):
    found, model, _ = golden
    names = [name for name in found.values if name.startswith("sample")]
    assert names
    for name in names:
        assert_close(sampled(found, model, name), found.values[name])


# ------------------------------------------------------------------------------- training times


TIMES = pytest.mark.parametrize("times", every("meanflow_times*.npz"), indirect=True)


@pytest.fixture
def times(request) -> tuple[Golden, MeanFlow]:
    """A golden file, and the objective that draws its times."""
    found = Golden.read(request.param)
    meta = found.meta
    return found, MeanFlow(
        StraightPath(T_EPS),
        TrainingTime(meta["mu"], meta["sigma"], meta["time_dist_shift"]),
        TargetGuidance(),
        FlowMatchingSteps(1 - meta["fm_ratio"], MEANFLOW_STEPS_SEED),
        dropout=0.1,
    )


def interval(objective: MeanFlow, step: int, draws: torch.Tensor, others: torch.Tensor):
    """Times t and r of ``step`` from standard normal draws."""
    none = torch.zeros(len(draws), 1, 1, 1)
    batch = Batch(none, none, draws, draws, others, Condition(labels=None), step)
    t, r = objective.interval(batch)
    return t, t if r is None else r


def first_steps(golden: Golden) -> tuple[int | None, int | None]:
    """The first flow-matching step and the first MeanFlow step, each None if the file has none."""
    kinds = golden.values["step_is_fm"].bool().numpy()
    flow, average = (np.flatnonzero(of)[:1].tolist() for of in (kinds, ~kinds))
    return (flow or [None])[0], (average or [None])[0]


@TIMES
def test_the_same_steps_are_flow_matching(times):
    found, objective = times
    expected = found.values["step_is_fm"].bool().tolist()
    assert [step in objective.flow_matching for step in range(len(expected))] == expected


@TIMES
def test_times_of_given_draws(times):
    found, objective = times
    values, (flow, average) = found.values, first_steps(found)
    draws = values["draw/normal_1"], values["draw/normal_2"]
    if flow is not None:
        t, r = interval(objective, flow, *draws)
        np.testing.assert_allclose(t, values["draw/fm_t"], rtol=0, atol=1e-6)
        assert torch.equal(r, t)
    if average is not None:
        t, r = interval(objective, average, *draws)
        np.testing.assert_allclose(t, values["draw/mf_t"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(r, values["draw/mf_r"], rtol=0, atol=1e-6)


@TIMES
def test_quantiles_of_the_times(times):
    found, objective = times
    draws = torch.from_numpy(np.random.default_rng(1).standard_normal((2, found.meta["samples"])))
    flow, average = first_steps(found)
    drawn = {}
    if flow is not None:
        drawn["fm_t"] = interval(objective, flow, *draws)[0]
    if average is not None:
        t, r = interval(objective, average, *draws)
        drawn |= {"mf_t": t, "mf_r": r, "mf_h": t - r}
    assert drawn
    for name, values in drawn.items():
        quantiles = np.quantile(values, found.values["probabilities"])
        np.testing.assert_allclose(quantiles, found.values[name], rtol=0, atol=0.01, err_msg=name)
