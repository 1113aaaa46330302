"""MeanFlow: where its loss is zero, which steps take the derivative, and its sample sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training import curve, run
from torch import nn

from nanogen.backbones import Condition, build
from nanogen.backbones.encoder import Output
from nanogen.config import load_run, load_study, stages, variants
from nanogen.config.paths import Paths
from nanogen.config.sample_stage import SampleStage
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError
from nanogen.objectives import PREDICTIONS, MeanFlow, StraightPath, TrainingTime, objective_of
from nanogen.objectives.batch import Batch
from nanogen.objectives.meanflow import (
    AdaptiveWeight,
    FlowMatchingSteps,
    TargetGuidance,
    derivative,
)
from nanogen.sampling.generate import Generator
from nanogen.sampling.solvers import average_steps, time_grid
from nanogen.stage2.batches import Batches
from nanogen.tokenizers.pixels import Pixels

SHAPE = (1, 2, 2)
NOBODY = torch.zeros(6, dtype=torch.bool)


class OneImage(nn.Module):
    """Exact solution for data of one image x: from any z, the path leads straight to x.

    v(z, t) = (z - x) / t is constant along a path, so u = v on every interval.
    """

    class Conditioner(nn.Module):
        def dropped(self, condition: Condition, where: torch.Tensor) -> Condition:
            return Condition(labels=condition.labels.masked_fill(where, -1))

        def null(self, condition: Condition) -> Condition:
            return Condition(labels=torch.full_like(condition.labels, -1))

    def __init__(self, x: torch.Tensor):
        super().__init__()
        self.x, self.conditioner = x, self.Conditioner()

    def forward(self, z, t, condition, absolute):
        return Output((z - self.x) / absolute.view(-1, 1, 1, 1))


class Curved(nn.Module):
    """u with known derivatives: 3 by z, 5 by the interval's length and 7 by time."""

    def forward(self, z, t, condition, absolute):
        return Output(3 * z + (5 * t + 7 * absolute).view(-1, 1, 1, 1))


def drawn(count: int = 6) -> tuple[torch.Tensor, ...]:
    """Noise (B, 1, 2, 2) and sorted times t > r, away from 0."""
    generator = torch.Generator().manual_seed(2)
    times = torch.rand(2, count, generator=generator) * 0.8 + 0.2
    return torch.randn(count, *SHAPE, generator=generator), *times.sort(dim=0, descending=True).values


def meanflow(
    kappa: float = 0.0, guidance: TargetGuidance | None = None, prediction: str = "v"
) -> MeanFlow:
    steps, guided = FlowMatchingSteps(0.25, 42), guidance or TargetGuidance(kappa)
    times = TrainingTime(-0.4, 1, 1)
    return MeanFlow(StraightPath(0.05), times, guided, steps, dropout=0.0, prediction=prediction)


LABELS = Condition(labels=torch.arange(6))


def test_the_exact_average_velocity_has_no_error():
    x = torch.full((1, *SHAPE), 0.7)
    noise, t, r = drawn()
    model = OneImage(x)
    for kappa in (0.0, 0.5):  # guidance changes nothing where condition and none agree
        errors = meanflow(kappa).errors(
            model, model.conditioner, x.expand_as(noise), noise, t, r, LABELS, NOBODY
        )
        torch.testing.assert_close(errors, torch.zeros(6), atol=1e-8, rtol=0)


def test_the_derivative_follows_the_path_with_r_held_still():
    noise, t, r = drawn()
    v = torch.randn(noise.shape, generator=torch.Generator().manual_seed(8))
    change = derivative(Curved(), noise, v, t, t - r, LABELS)
    torch.testing.assert_close(change, 3 * v + 5 + 7)  # h = t - r and t both move at rate 1


class Labelled(OneImage):
    """Velocity 1 with a condition and 0 without, for any input."""

    def forward(self, z, t, condition, absolute):
        known = (condition.labels >= 0).float().view(-1, 1, 1, 1)
        return Output(known.expand_as(z))


def test_guidance_is_in_the_target_but_for_samples_without_condition():
    noise, t, _ = drawn()
    dropped = torch.tensor([True, False, False, True, False, False])
    model = Labelled(torch.zeros(1, *SHAPE))
    v = torch.full_like(noise, 2.0)
    target = meanflow(0.5).guided(model, model.conditioner, noise, v, t, LABELS, dropped)
    assert target[:, 0, 0, 0].tolist() == [2.0, 2.5, 2.5, 2.0, 2.5, 2.5]
    plain = meanflow(0.0).guided(model, model.conditioner, noise, v, t, LABELS, dropped)
    assert torch.equal(plain, v)


def test_a_target_is_guided_by_omega_too_and_on_its_interval_only():
    noise, t, _ = drawn()
    model, v = Labelled(torch.zeros(1, *SHAPE)), torch.full_like(noise, 2.0)

    def target(guidance: TargetGuidance) -> torch.Tensor:
        objective = meanflow(guidance=guidance)
        return objective.guided(model, model.conditioner, noise, v, t, LABELS, NOBODY)[:, 0, 0, 0]

    # omega v + (1 - omega - kappa) v_u + kappa v_c, where v_c is 1 and v_u is 0
    assert target(TargetGuidance(0.5, 3.0)).tolist() == [6.5] * 6
    middle = float(t.median())
    expected = torch.where((t >= 0.1) & (t <= middle), 6.5, 2.0)
    assert torch.equal(target(TargetGuidance(0.5, 3.0, (0.1, middle))), expected)
    assert set(expected.tolist()) == {2.0, 6.5}


def test_the_adaptive_weight_goes_from_none_to_all():
    errors = torch.tensor([0.99, 3.99], requires_grad=True)
    for power, expected in ((0.0, [1.0, 1.0]), (0.5, [1.0, 0.5]), (1.0, [1.0, 0.25])):
        (gradient,) = torch.autograd.grad(AdaptiveWeight(power, 0.01)(errors).sum(), errors)
        assert gradient.tolist() == pytest.approx(expected)


class CleanImage(OneImage):
    """The same solution, predicted as the image itself."""

    def forward(self, z, t, condition, absolute):
        return Output(self.x.expand_as(z) + 0 * z)


def test_a_network_that_predicts_the_image_has_the_same_average_velocity():
    x, (noise, t, r) = torch.full((1, *SHAPE), 0.7), drawn()
    model = CleanImage(x)
    errors = meanflow(prediction="x").errors(
        model, model.conditioner, x.expand_as(noise), noise, t, r, LABELS, NOBODY
    )
    torch.testing.assert_close(errors, torch.zeros(6), atol=1e-8, rtol=0)
    result = average_steps(model, noise, LABELS, time_grid(2, 1.7), PREDICTIONS["x"])
    torch.testing.assert_close(result, x.expand_as(result), atol=1e-5, rtol=0)


def test_steps_of_the_average_velocity_land_on_the_image():
    x = torch.full((1, *SHAPE), 0.7)
    noise, *_ = drawn()
    for steps in (1, 2, 5):
        result = average_steps(OneImage(x), noise, LABELS, time_grid(steps, 1.7))
        torch.testing.assert_close(result, x.expand_as(result), atol=1e-5, rtol=0)


# ------------------------------------------------------------------------------- in training


@pytest.fixture(scope="module")
def stage(tiny) -> dict:
    """A ``train`` stage of MeanFlow in pixels, which needs no encoding."""
    objective = {"kind": "meanflow", "meanflow": {"kappa": 0.5}, "prediction": "v"}
    keys = {"objective": objective, "sampling": {"guidance_scale": 1.0}}
    return stages.train(tiny(overrides={"methods": {"jit": keys}}), "jit", "imagenet")


VARIANTS = {
    "omega": {"meanflow": {"kappa": 0.5, "omega": 2.0, "guidance_interval": [0.2, 0.9]}},
    "unweighted": {"meanflow": {"norm_power": 0.5}},
    "image": {"prediction": "x"},
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns(tiny, tiny_images, tmp_path, variant):
    """Compares with a learning rate of almost zero on the same draws, as the error depends on them."""

    def last_errors(rate: float) -> float:
        objective = {"kind": "meanflow", "prediction": "v", **VARIANTS[variant]}
        schedule = {"learning_rate": rate, "decay_start": 40, "decay_end": 40}
        training = {"steps": 40, "optimizer": schedule}
        keys = {"objective": objective, "sampling": {"guidance_scale": 1.0}, "training": training}
        stage = stages.train(tiny(overrides={"methods": {"jit": keys}}), "jit", "imagenet")
        lines = curve(run(stage, tiny_images, tmp_path / str(rate), every=100))
        return sum(line["velocity_error"] for line in lines[-3:])

    assert last_errors(4e-3) < 0.75 * last_errors(1e-9)


def test_a_variant_changes_the_hash_and_its_absence_none(tiny):
    def hash_of(**meanflow: object) -> str:
        keys = {"objective": {"meanflow": meanflow}}
        study = tiny(methods=["meanflow"], overrides={"methods": {"meanflow": keys}})
        return stages.train(study, "meanflow", "imagenet")["hash"]

    plain = hash_of()
    assert hash_of(omega=1.0, norm_power=1.0, norm_offset=0.01, guidance_interval=[0, 1]) == plain
    changed = [hash_of(omega=2.0), hash_of(norm_power=0.5), hash_of(guidance_interval=[0, 0.5])]
    assert len({plain, *changed}) == 4


class Noise:
    """A data source of noise."""

    def __len__(self) -> int:
        return 64

    def load(self, rows, draws):
        x = torch.randn(len(rows), 3, 32, 32, generator=torch.Generator().manual_seed(int(rows[0])))
        return x, Condition(labels=torch.from_numpy(rows % 20))

    def features(self, rows):
        return {}


KINDS = {"flow-matching": 0, "average": 6}  # a step of each


def batch(stage: dict, kind: str) -> Batch:
    return replace(Batches(Noise(), TrainStage.from_json(stage)).at(0), step=KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_every_weight_is_trained_in_both_kinds_of_steps(stage, kind, precision):
    model = build(TrainStage.from_json(stage))
    with torch.no_grad():
        for parameter in model.parameters():  # some are initially zero, which stops the gradient
            parameter.add_(0.05 * torch.randn_like(parameter))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        losses = objective_of(TrainStage.from_json(stage))(model, batch(stage, kind), model.conditioner)
    losses["loss"].backward()
    assert 0.9 < float(losses["loss"].detach()) <= 1.0  # error / (error + 0.01)
    assert all(value.isfinite() for value in losses.values())
    trained = [(name, p.grad) for name, p in model.named_parameters() if p.requires_grad]
    assert not [name for name, gradient in trained if gradient is None or not gradient.any()]


@pytest.mark.slow
def test_compiled_blocks_have_the_derivative_of_the_plain_ones(stage):
    model, inputs = build(TrainStage.from_json(stage)), batch(stage, "average")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))

    def change() -> torch.Tensor:
        t, h = inputs.uniform, inputs.uniform / 2
        return derivative(model, inputs.x, inputs.noise, t, h, inputs.condition)

    with torch.no_grad():
        expected = change()
        for block in model.blocks():
            block.compile(backend="eager", fullgraph=True)
        times = inputs.uniform
        model(inputs.x, times, inputs.condition, absolute=times)  # compiled here
        torch.testing.assert_close(change(), expected)


def test_a_quarter_of_the_steps_is_meant_for_the_average_wherever_a_run_begins():
    steps = FlowMatchingSteps(0.25, 42)
    kinds = [step in steps for step in range(2000)]
    assert np.mean(kinds) == pytest.approx(0.75, abs=0.03)
    resumed = FlowMatchingSteps(0.25, 42)
    assert [step in resumed for step in range(1500, 2000)] == kinds[1500:]


def test_a_flow_matching_step_takes_one_time_and_no_derivative(stage, monkeypatch):
    def refused(*_):
        raise AssertionError("a derivative was taken")

    monkeypatch.setattr("nanogen.objectives.meanflow.derivative", refused)
    model, objective = build(TrainStage.from_json(stage)), objective_of(TrainStage.from_json(stage))
    plain = batch(stage, "flow-matching")
    losses = [
        objective(model, one, model.conditioner)["loss"].detach()
        for one in (plain, replace(plain, other_normal=plain.other_normal + 1))
    ]
    assert losses[0] == losses[1]
    with pytest.raises(AssertionError, match="a derivative was taken"):
        objective(model, batch(stage, "average"), model.conditioner)


def test_the_network_of_a_flow_matching_method_has_no_second_time(tiny, stage):
    plain = build(TrainStage.from_json(stages.train(tiny(), "jit", "imagenet")))
    assert not [name for name, _ in plain.named_parameters() if name.startswith("absolute_time")]
    assert [
        name
        for name, _ in build(TrainStage.from_json(stage)).named_parameters()
        if name.startswith("absolute_time")
    ]


# ------------------------------------------------------------------- sample sets and networks


def test_two_numbers_of_steps_share_a_training_and_guidance_does_not():
    study = load_study("paper")
    drawn = {
        variant: stages.sample(study, "meanflow", "imagenet", variant)
        for variant in ("cfg", "cfg-nfe2", "nocfg", "nocfg-nfe2", "untrained")
    }
    assert [drawn[v]["sampling"]["steps"] for v in drawn] == [1, 2, 1, 2, 1]
    kappas = [drawn[v]["train"]["objective"]["meanflow"]["kappa"] for v in drawn]
    assert kappas == [0.5, 0.5, 0.0, 0.0, 0.5]
    assert len({drawn[v]["expects"]["model"] for v in drawn}) == 2
    assert len({stage["hash"] for stage in drawn.values()}) == 5
    assert variants.trainings(load_run(study, "meanflow", "imagenet")) == ["", "-nocfg"]
    assert variants.trainings(load_run(study, "meanflow", "t2i")) == [""]
    assert variants.trainings(load_run(study, "sd-vae-mse", "imagenet")) == [""]
    assert Paths(study).trained("meanflow", "imagenet", "-nocfg").endswith("/model-nocfg/nanogen.json")
    with pytest.raises(UserError, match="meanflow on imagenet has no sample set 'cfg-nfe7'"):
        stages.sample(study, "meanflow", "imagenet", "cfg-nfe7")


def test_sampling_adds_no_guidance_on_either_task():
    for name in ("nano", "paper"):
        study = load_study(name)
        for task in ("imagenet", "t2i"):
            assert load_run(study, "meanflow", task).sampling.guidance_scale == 1


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"sampling": {"guidance_scale": 2.0}}, "set objective.meanflow.kappa instead of"),
        (
            {"objective": {"meanflow": {"guidance_interval": [0.5, 1.5]}}},
            "objective.meanflow.guidance_interval .0.5, 1.5. must lie in",
        ),
        ({"objective": {"terms": {"reg": {"coefficient": 0.03}}}}, "no added terms.*reg"),
        ({"sampling": {"more_steps": [1]}}, "must not contain sampling.steps 1"),
    ],
)
def test_what_does_not_go_together_is_refused_while_reading(tiny, keys, said):
    with pytest.raises(UserError, match=f"meanflow on imagenet .*{said}"):
        load_run(tiny(overrides={"methods": {"meanflow": keys}}), "meanflow", "imagenet")


def test_a_sample_set_takes_one_pass_per_step(tiny, stage):
    model = build(TrainStage.from_json(stage))
    passes: list[int] = []
    model.register_forward_hook(lambda module, arguments, output: passes.append(len(arguments[0])))
    sample = {**stages.sample(tiny(), "jit", "imagenet", "cfg"), "train": stage}
    sample["sampling"] = {**sample["sampling"], "steps": 2}
    generator = Generator(SampleStage.from_json(sample), model, Pixels(32), torch.device("cpu"))
    images = generator(np.arange(3), Condition(labels=torch.tensor([0, 1, 2])))
    assert passes == [3, 3]
    assert images.shape == (3, 32, 32, 3)
