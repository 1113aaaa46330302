"""The optimizers and schedules that a training can use: each learns and continues where it stopped."""

from __future__ import annotations

import pytest
import torch
from test_training import curve, run, same
from trainings import ALONE

from nanogen.backbones import build
from nanogen.config import stages
from nanogen.config.optimizers import OPTIMIZERS
from nanogen.config.schedules import SCHEDULES
from nanogen.config.train_stage import TrainStage
from nanogen.config.training_schema import Optimizer
from nanogen.errors import UserError
from nanogen.objectives import objective_of
from nanogen.stage2.batches import Batches
from nanogen.stage2.dataset import TrainingData
from nanogen.training import checkpoint
from nanogen.training.optimizer import optimizer_of
from nanogen.training.schedule import learning_rate
from nanogen.training.stopping import Interrupted

FASTER = {"learning_rate": 4e-3, "decay_start": 20, "decay_end": 40}
# The loss does not fall by chance: at a learning rate of zero the last losses are 0.99 of the first.
LEARNT = 0.35


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys", [*({"kind": k} for k in OPTIMIZERS), *({"schedule": s} for s in SCHEDULES)]
)
def test_a_run_learns_by_every_optimizer_and_schedule(tiny, tiny_images, tmp_path, keys):
    training = {"steps": 40, "optimizer": {**FASTER, **keys}}
    stage = stages.train(tiny(training=training), "jit", "imagenet")
    losses = [line["loss"] for line in curve(run(stage, tiny_images, tmp_path, every=100))]
    assert sum(losses[-3:]) < LEARNT * sum(losses[:3])


@pytest.fixture(scope="module")
def muon_stage(tiny) -> dict:
    return stages.train(tiny(training={"optimizer": {"kind": "muon"}}), "jit", "imagenet")


def test_muon_alone_learns_by_the_matrices_of_the_blocks(muon_stage, tiny_images):
    """Other parameters are not updated: embeddings and the last layer can learn much of a small task."""
    stage = TrainStage.from_json(muon_stage)
    model, objective = build(stage), objective_of(stage)
    with torch.no_grad():
        for parameter in model.parameters():  # some start at zero, which stops the gradient
            parameter.add_(
                0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            )
    optimizer = optimizer_of(model, stage.training.optimizer)
    for group in optimizer.param_groups:
        group["lr"] = 0.02 if "momentum" in group else 0.0
    batch = Batches(TrainingData(stage, None, tiny_images, None), stage).at(0)
    losses = []
    for _ in range(20):
        loss = objective(model, batch, model.conditioner)["loss"]
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


def test_muon_turns_a_matrix_by_a_step_as_long_as_adamws_in_every_direction(muon_stage):
    stage = TrainStage.from_json(muon_stage)
    model, rate = build(stage), 0.01
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = optimizer_of(model, stage.training.optimizer)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(len(name))
            )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    steps = {name: p.detach() - before[name] for name, p in model.named_parameters()}
    matrix = steps["encoder.0.mlp.out.weight"]
    assert matrix.square().mean().sqrt() == pytest.approx(0.2 * rate, rel=0.2)
    directions = torch.linalg.svdvals(matrix)
    assert directions.max() < 2 * directions.min()
    for name in ("encoder_patches.weight", "final.linear.weight", "encoder.0.norm1.weight"):
        torch.testing.assert_close(steps[name].abs(), torch.full_like(steps[name], rate), msg=name)


def test_muon_stopped_and_continued_is_the_same_to_the_bit(muon_stage, tiny_images, tmp_path):
    whole = run(muon_stage, tiny_images, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(muon_stage, tiny_images, tmp_path / "stopped", every=100, stop_at=3)
    (saved,) = checkpoint.found(tmp_path / "stopped" / "state")
    _, tensors = checkpoint.newest(saved.parent, muon_stage["hash"], ALONE)
    moments = {name.rpartition("/")[2] for name in tensors if name.startswith("optimizer/")}
    assert moments == {"momentum_buffer", "exp_avg", "exp_avg_sq", "step"}
    assert same(run(muon_stage, tiny_images, tmp_path / "stopped"), whole)


def rates(**keys: object) -> list[float]:
    optimizer = Optimizer.model_validate(
        {"learning_rate": 1.0, "final_learning_rate": 0.2, "decay_start": 4, "decay_end": 8, **keys}
    )
    return [learning_rate(step, optimizer) for step in range(10)]


def test_the_cosine_falls_slowly_at_both_ends_and_meets_the_line_there_and_half_way():
    line, cosine = rates(warmup_steps=2), rates(warmup_steps=2, schedule="cosine")
    assert line == pytest.approx([0.5, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.2])
    assert cosine == pytest.approx([0.5, 1, 1, 1, 1, 0.88284, 0.6, 0.31716, 0.2, 0.2], abs=1e-5)


@pytest.mark.parametrize("keys", [{"kind": "sgd"}, {"schedule": "steps"}])
def test_what_is_no_optimizer_or_schedule_is_refused(tiny, keys):
    (key,) = keys
    with pytest.raises(UserError, match=f"training.optimizer.{key}"):
        stages.train(tiny(training={"optimizer": keys}), "jit", "imagenet")
