"""MeanFlow's network, errors, derivative and samples agree with the authors' code."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from golden_files import ddt

from nanogen.backbones import Condition
from nanogen.config.stages.runs import MEANFLOW_STEPS_SEED
from nanogen.objectives import StraightPath, TrainingTime
from nanogen.objectives.batch import Batch
from nanogen.objectives.meanflow import (
    AdaptiveWeight,
    FlowMatchingSteps,
    MeanFlow,
    TargetGuidance,
    derivative,
)
from nanogen.sampling.solvers import average_steps, time_grid

DROPPED = torch.tensor([False, True, False])  # "sample 1's condition is dropped", golden/README.md


@pytest.fixture(scope="module")
def golden(golden_folder):
    data = np.load(golden_folder / "ddt_meanflow.npz")
    meta = json.loads(str(data["meta"]))
    values = {k: torch.from_numpy(data[k]) for k in data.files if k != "meta"}
    conditioner = {"kind": "label", "classes": meta["num_classes"], "tokens": meta["num_c_tokens"]}
    weights = {k.removeprefix("param/"): v for k, v in values.items() if k.startswith("param/")}
    model = ddt(meta, weights, conditioner=conditioner, absolute_time=True)
    return model, values, Condition(labels=values["label"])


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def objective(kappa: float) -> MeanFlow:
    steps = FlowMatchingSteps(0.25, MEANFLOW_STEPS_SEED)
    return MeanFlow(
        StraightPath(0.05), TrainingTime(-0.4, 1, 1), TargetGuidance(kappa), steps, dropout=0.1
    )


def test_forward(golden):
    model, values, condition = golden
    with torch.no_grad():
        output = model(values["x"], values["t"], condition, absolute=values["t_abs"]).image
    assert_close(output, values["out0"])


@pytest.mark.parametrize("kappa", [0.0, 0.5])
@pytest.mark.parametrize("branch", ["mf", "fm"])
def test_errors_and_losses(golden, branch, kappa):
    model, values, condition = golden
    r = values["loss_r"] if branch == "mf" else None
    errors = objective(kappa).errors(
        model, model.conditioner, values["x1"], values["loss_x0"], values["loss_t"], r,
        condition, DROPPED,
    )  # fmt: skip
    assert_close(errors, values[f"{branch}_kappa{kappa}/orig_mf_loss"])
    assert_close(AdaptiveWeight()(errors), values[f"{branch}_kappa{kappa}/loss"])


@pytest.mark.parametrize("kappa", [0.0, 0.5])
def test_derivative(golden, kappa):
    model, values, condition = golden
    t, h = values["loss_t"], values["loss_t"] - values["loss_r"]
    with torch.no_grad():
        z, v = StraightPath(0.05).sample(values["x1"], values["loss_x0"], t)
        v = objective(kappa).guided(model, model.conditioner, z, v, t, condition, DROPPED)
        change = derivative(model, z, v, t, h, condition)
    assert_close(change.flatten(1).norm(dim=1), values[f"mf_kappa{kappa}/dudt_norm"])


@pytest.mark.parametrize("steps", [1, 2])
def test_samples(golden, steps):
    model, values, condition = golden
    result = average_steps(model, values["noise"], condition, time_grid(steps, 1.0))
    assert_close(result, values[f"sample_nfe{steps}"])


# ------------------------------------------------------------------------------- training times


@pytest.fixture(scope="module")
def times(golden_folder):
    with np.load(golden_folder / "meanflow_times.npz") as data:
        return {key: data[key] for key in data.files}


def interval(step: int, normal: np.ndarray, other: np.ndarray) -> tuple[torch.Tensor, ...]:
    """Times t and r of ``step`` from its standard normal draws."""
    draws, others = torch.from_numpy(normal), torch.from_numpy(other)
    none = torch.zeros(len(draws), 1, 1, 1)
    batch = Batch(none, none, draws, draws, others, Condition(labels=None), step)
    t, r = objective(0.0).interval(batch)
    return t, t if r is None else r


def test_the_same_steps_are_flow_matching(times):
    steps = FlowMatchingSteps(0.25, MEANFLOW_STEPS_SEED)
    assert [step in steps for step in range(4096)] == times["step_is_fm"].astype(bool).tolist()


def test_times_of_given_draws(times):
    draws = times["draw/normal_1"], times["draw/normal_2"]
    kinds = times["step_is_fm"].astype(bool)
    flow, average = int(np.flatnonzero(kinds)[0]), int(np.flatnonzero(~kinds)[0])
    t, r = interval(flow, *draws)
    np.testing.assert_allclose(t, times["draw/fm_t"], rtol=0, atol=1e-6)
    assert torch.equal(r, t)
    t, r = interval(average, *draws)
    np.testing.assert_allclose(t, times["draw/mf_t"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(r, times["draw/mf_r"], rtol=0, atol=1e-6)


def test_quantiles_of_the_times(times):
    kinds = times["step_is_fm"].astype(bool)
    draws = np.random.default_rng(1).standard_normal((2, 100_000))
    flow, _ = interval(int(np.flatnonzero(kinds)[0]), *draws)
    t, r = interval(int(np.flatnonzero(~kinds)[0]), *draws)
    for name, values in {"fm_t": flow, "mf_t": t, "mf_r": r, "mf_h": t - r}.items():
        found = np.quantile(values, times["probabilities"])
        np.testing.assert_allclose(found, times[name], rtol=0, atol=0.01, err_msg=name)
